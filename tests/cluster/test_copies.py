"""A tenant whose rows have copies: old ones lie in an archive, all of them in backups; what was lost comes back (D3, T6).

The tests tell one story of one tenant and run in this order.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo.kubectl import Kubectl, wait
from tests.cluster.applications import SQL, python, secret
from tests.cluster.backups import assert_one_backup_of_a_fortnight, back_up, category, command, restore
from tests.cluster.conftest import Tenant, passing_tenants

NAMESPACE = "trial-copied"
LIVE, ARCHIVE = DATABASES = "acme-analytical-app", "acme-archive-app"
SPEC: dict[str, Any] = {
    "profileRef": {"name": "small"},
    "stores": [{"purpose": purpose, "className": "trial-copied"} for purpose in ("Analytical", "Archive")],
    "retention": [{"category": "records", "keep": "P90D", "archiveAfter": "P30D"}],
    "guard": {"maxDeletedPercent": 100},
}
CLASS = {
    "apiVersion": "tenantretention.io/v1alpha1",
    "kind": "DataStoreClass",
    "metadata": {"name": "trial-copied"},
    "spec": {
        "type": "PostgreSQL",
        "provisioner": "Embedded",
        "backup": {"keep": "P14D"},
        "allowedNamespaces": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
    },
}
WRITE = """
import psycopg, sys
with psycopg.connect(open(f'/bindings/{sys.argv[1]}/uri').read()) as database:
    for age in map(int, sys.argv[2:]):
        database.execute("INSERT INTO records (id, session_id, caller, started_at)"
            " VALUES (%s, %s, '+31201234567', now() - %s * interval '1 day')", (age, f's{age}', age))
print('written')
"""
"""A record of each age in days."""
READ = "SELECT id FROM records ORDER BY id"


@pytest.fixture(scope="module")
def tenant(operator: Kubectl) -> Iterator[Tenant]:
    """The tenant; both of its databases are of a class that asks for backups."""
    operator.apply([CLASS])
    with passing_tenants(operator) as make:
        yield make(NAMESPACE, spec=SPEC)
    operator.run("delete", "dsc", "trial-copied", show=False)


def rows(tenant: Tenant, binding: str) -> str:
    """The ages in days of the records of a database."""
    return python(tenant, (binding,), "read", SQL, f"/bindings/{binding}/uri", READ)


def superuser(tenant: Tenant, *statements: str) -> None:
    """What nobody may do who is not at the server itself."""
    words = [word for each in statements for word in ("-c", each)]
    tenant.kubectl.run(
        *tenant.place(), "exec", "acme-postgresql-0", "--", "psql", "-qd", "postgres", *words, show=False
    )


def test_a_night_moves_old_records_to_the_archive_and_deletes_only_what_is_past_its_keep__D3_T5(tenant: Tenant) -> None:
    tenant.wait_for("condition=Ready", 300)
    assert tenant.status()["databases"] == "2/2"
    assert python(tenant, (LIVE,), "write", WRITE, LIVE, "1", "40", "50", "91") == "written"
    night = tenant.run({"mode": "Enforce"})
    assert night["status"]["phase"] == "Succeeded", night["status"]
    assert (rows(tenant, LIVE), rows(tenant, ARCHIVE)) == ("[(1,)]", "[(40,), (50,)]")
    told = wait(
        "the archived rows in the status", 300, lambda: category(tenant).get("archived") == 2 and category(tenant)
    )
    assert (told["rows"], told["archiveAfter"]) == (3, "P30D")
    day = (datetime.now(UTC) - timedelta(days=45)).date().isoformat()
    found = command(tenant, "archive", "search", "--plan", "plan.json", "--category", "records", "--to", day)
    assert [line.partition("\t")[0] for line in found.splitlines()] == ["id", "50"]


def test_the_backup_job_makes_a_backup_and_the_policy_says_when_the_last_copy_goes__T6_M10(tenant: Tenant) -> None:
    assert_one_backup_of_a_fortnight(tenant, back_up(tenant))


def test_lost_databases_come_back_by_one_command_with_todays_rules__T6_X5(tenant: Tenant) -> None:
    lost = [secret(tenant.kubectl, NAMESPACE, binding)["database"] for binding in DATABASES]
    superuser(tenant, *(f'DROP DATABASE "{name}" WITH (FORCE)' for name in lost))
    said = restore(tenant)
    assert said.startswith("restored Analytical, Archive from "), said
    assert (rows(tenant, LIVE), rows(tenant, ARCHIVE)) == ("[(1,)]", "[(40,), (50,)]")
    wait("the records to be back in the status", 300, lambda: category(tenant).get("rows") == 3)
    assert category(tenant)["archived"] == 2
    gone = lambda: tenant.condition("Compliant").get("reason") == "EvidenceBroken"  # noqa: E731
    wait("the evidence to be told as lost with the databases", 300, gone)
    for store in tenant.kubectl.get("dst", "-l", f"tenantretention.io/namespace={NAMESPACE}")["items"]:
        accept = ("--subresource=status", "--type=merge", "-p", '{"status":{"evidenceHead":null}}')
        tenant.kubectl.run("patch", "dst", store["metadata"]["name"], *accept, show=False)
    tenant.wait_for("condition=Compliant", 300)
    night = tenant.run({"mode": "Enforce"})
    assert night["status"]["phase"] == "Succeeded", night["status"]
    assert python(tenant, (LIVE,), "write", WRITE, LIVE, "2") == "written", "its application works on as before"


def test_a_night_moves_old_records_into_files_of_a_bucket_that_one_command_searches__D3_T5_T6(
    operator: Kubectl,
) -> None:
    stores = [{"purpose": "Archive", "className": "embedded-s3"}]
    with passing_tenants(operator) as make:
        filed = make("trial-filed", spec={**SPEC, "stores": stores})
        filed.wait_for("condition=Ready", 300)
        assert python(filed, (LIVE,), "write", WRITE, LIVE, "1", "40", "50", "91") == "written"
        for _ in range(2):
            night = filed.run({"mode": "Enforce"})
            assert night["status"]["phase"] == "Succeeded", night["status"]
            assert rows(filed, LIVE) == "[(1,)]"
        wait("the rows in files in the status", 300, lambda: category(filed).get("archived") == 2)
        found = command(filed, "archive", "search", "--plan", "plan.json", "--category", "records")
        assert [line.partition("\t")[0] for line in found.splitlines()] == ["id", "50", "40"]
        assert filed.condition("Compliant")["status"] == "True", filed.condition("Compliant")
