"""``tenant-retention verify``: the chain of evidence and today's counts, as the observer login of each database sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.adapters.postgres.connections import connect
from tenant_retention.adapters.postgres.observation import PostgresObserverDatabase
from tenant_retention.cli.reports import Verification
from tenant_retention.cli.siblings import sibling
from tenant_retention.domain.databases import Group
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.overdue_objects import overdue_objects_text
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.enforcement.opening import APPLICATION_NAME, server_access

LINKS = 10
"""Links of the chain that are shown."""


def observer_directories(options: Sequence[str]) -> dict[str, Path]:
    """``PURPOSE=DIR`` options by purpose. Raises Invalid for anything else."""
    directories = {}
    for option in options:
        purpose, separator, directory = option.partition("=")
        if not (purpose and separator and directory):
            raise Invalid(
                f"--observer-binding: {option!r} is not PURPOSE=DIR", reason="Usage", field="observer-binding"
            )
        directories[purpose] = Path(directory)
    return directories


def verify(plan: PlanDocument, base: Path, observers: Mapping[str, Path]) -> tuple[Verification, ...]:
    """Reads every database of the plan. Raises Unavailable if one does not answer."""
    verifications = []
    for store in plan.databases:
        directory = observers.get(store.place.name) or sibling(base / store.binding, Group.OBSERVER)
        access = server_access(read_postgres_binding(directory))
        database = PostgresObserverDatabase(partial(connect, access, application_name=APPLICATION_NAME))
        facts = database.observe()
        links = database.evidence(LINKS)
        verifications.append(Verification(store.place.name, facts, links, problems(facts, plan)))
    return tuple(verifications)


def problems(facts: DatabaseFacts, plan: PlanDocument) -> tuple[str, ...]:
    """What is not as the plan promises, one sentence each; empty when all is well."""
    found = []
    if not facts.chain_intact:
        found.append("the chain of evidence is broken: somebody changed or removed a link")
    if facts.rules_digest != plan.rules_digest:
        found.append(f"the database enforces other rules ({facts.rules_digest}) than the plan ({plan.rules_digest})")
    if facts.latest_success is None:
        found.append("no run has succeeded yet")
    found += [
        f"{seen.category}: {seen.overdue} rows are past their deadline" for seen in facts.categories if seen.overdue
    ]
    overdue = {each.name: each for each in facts.orphans if each.overdue}
    found += [overdue_objects_text(overdue)] if overdue else []
    found += [
        f"{asked.category}: {asked.surplus} of {asked.total} rows wait for an approval of {asked.rules_digest}"
        for asked in facts.guard_requests
    ]
    return tuple(found)
