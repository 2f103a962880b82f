"""The primary of a highly available database is lost while a night runs: nothing is lost by it, and nothing is done twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from demo import runs
from demo.copies import databases
from demo.customers import Customer
from demo.kubectl import DemoFailure, wait
from demo.story import Story

_NIGHT = "night-without-primary"
_AT_WORK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE '%\\_enforcer\\_%'"
)
_ROWS = """
SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', oid::regclass), false, true, '')))[1]
    ::text::bigint)
FROM pg_class WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace
"""
_EVIDENCE = "SELECT body FROM retention.evidence ORDER BY sequence"


@dataclass(frozen=True)
class Cluster:
    """The customer's Cluster of CloudNativePG, and its database of call records."""

    story: Story
    customer: Customer
    database: str

    def found(self) -> Any:
        """The Cluster as it is."""
        return self.story.kubectl.get(
            "-n", self.customer.namespace, "clusters.postgresql.cnpg.io", f"{self.customer.name}-cnpg"
        )

    def primary(self) -> str:
        """The instance that is the primary now; empty while none is."""
        status = self.found().get("status", {})
        return str(status["currentPrimary"]) if status.get("currentPrimary") == status.get("targetPrimary") else ""

    def ask(self, query: str) -> str:
        """What the primary's superuser answers; empty where it cannot be asked now."""
        psql = ("psql", "-U", "postgres", "-d", self.database, "-Atc", query)
        place = ("-n", self.customer.namespace, "exec", self.primary(), "-c", "postgres", "--", *psql)
        return self.story.kubectl.attempt(*place, show=False).stdout.strip()

    def rows(self) -> int:
        """Rows of all tables, as the superuser counts them."""
        return int(self.ask(_ROWS))

    def told(self) -> int:
        """Rows that runs have deleted or moved to the archive, as the evidence of all runs tells it."""
        evidence = [json.loads(line) for line in self.ask(_EVIDENCE).splitlines()]
        return sum(line["acted"] + line.get("archived", 0) for body in evidence for line in body["categories"])


def lose_primary_in_a_night(story: Story, customer: Customer) -> None:
    """Starts a night, deletes the primary's pod once the night is at work in it, and compares what left with what is told."""
    (database,) = (s["spec"]["name"] for s in databases(story, customer) if s["spec"]["purpose"] == "Analytical")
    cluster, place = Cluster(story, customer, database), ("-n", customer.namespace)
    several = cluster.found()["spec"]["instances"] > 1
    rows, told = cluster.rows(), cluster.told()
    story.kubectl.run(*place, "create", "job", _NIGHT, f"--from=cronjob/{runs.cron_job(story, customer)}")
    wait("the night to be at work in the database", 180, lambda: cluster.ask(_AT_WORK) not in ("", "0"))
    lost = cluster.primary()
    story.kubectl.run(*place, "delete", "pod", lost, "--grace-period=0", "--force")

    def back() -> bool:
        return (not several or cluster.primary() != lost) and cluster.ask("SELECT 1") == "1"

    wait("another primary" if several else "the instance to be back", 300, back)
    print(f"      primary {lost} was lost, {cluster.primary()} answers; the night is tried again by itself", flush=True)
    story.kubectl.run(*place, "wait", "--for=condition=Complete", f"job/{_NIGHT}", "--timeout=300s")
    left, told = rows - cluster.rows(), cluster.told() - told
    print(f"      rows that left the tables: {left}; rows that the evidence tells of, each once: {told}")
    if left != told:
        raise DemoFailure(f"the night told of {told} rows and {left} have left")
