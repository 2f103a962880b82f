"""``tenant-retention install``: what the operator does to a tenant's databases, from a shell, on any PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.adapters.postgres.administration import PostgresAdministration
from tenant_retention.adapters.postgres.connections import connect, errors_of
from tenant_retention.adapters.postgres.indexes import IndexBuilds
from tenant_retention.adapters.postgres.schema import apply_definition
from tenant_retention.cli.siblings import LOGINS, LoginBinding, logins_of
from tenant_retention.domain.database_plan import plan_database
from tenant_retention.domain.databases import Group, Login, WantedDatabase
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.names import Place, StoreIdentity
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.domain.store_marker import StoreMarker
from tenant_retention.enforcement.opening import APPLICATION_NAME, server_access

_ROUNDS = 5
"""What one round of steps uncovers, the next one puts right; a plan that never ends is a fault."""


def install(plan: PlanDocument, base: Path, administrator: Path) -> Iterator[str]:
    """Makes every database of the plan as the definition says; yields one line for each thing that changed.

    Raises Invalid (the plan, a binding, or a database of that name that is not ours) or Unavailable.
    """
    binding = read_postgres_binding(administrator)
    server = server_access(binding)
    ca = binding.ca_file.read_text(encoding="utf-8") if binding.ca_file else None
    groups = (*LOGINS, Group.BACKUP) if plan.backup is not None else LOGINS
    for store in plan.databases:
        definition, place = plan.definition, store.place
        name = identity(definition, place).database()
        logins = logins_of(base / store.binding, name, server, ca, groups)
        yield from _provision(definition, place, name, server, logins)
        for change in _define(definition, place, name, server):
            yield f"{place.name}: {change}"
        yield f"{place.name}: database {name} is ready; logins in {', '.join(str(login.directory) for login in logins)}"


def identity(definition: RetentionDefinition, place: Place) -> StoreIdentity:
    """What names the database of a place."""
    return StoreIdentity(
        definition.installation, definition.namespace, definition.policy, place.purpose, place.region, place.unit
    )


def _provision(
    definition: RetentionDefinition, place: Place, name: str, server: ServerAccess, logins: tuple[LoginBinding, ...]
) -> Iterator[str]:
    administration = PostgresAdministration()
    # No namespace outside a cluster: the policy's uid stands for it, so that another plan's database is not taken for ours.
    marker = StoreMarker.of(identity(definition, place), definition.policy_uid)
    wanted = WantedDatabase(name, marker)
    known = wanted.roles().logins()
    passwords = {login.binding.username: login.binding.password for login in logins}
    wanted = replace(wanted, logins=tuple(Login(known[user].group, known[user].number) for user in passwords))
    for _ in range(_ROUNDS):
        steps = plan_database(wanted, administration.observe(server, wanted, passwords))
        if not steps:
            return
        for step in steps:
            administration.apply(server, step, passwords)
            yield f"{place.name}: {step.describe()}"
    raise NotReady(f"database {name} is not as wanted after {_ROUNDS} rounds", reason="Unavailable")


def _define(definition: RetentionDefinition, place: Place, name: str, server: ServerAccess) -> tuple[str, ...]:
    inside = replace(server, database=name)
    roles = WantedDatabase(name, StoreMarker.of(identity(definition, place), definition.policy_uid)).roles()
    with errors_of(inside), connect(inside, application_name=APPLICATION_NAME) as connection:
        changes = apply_definition(connection, definition, place.purpose, roles, files=place.name == place.purpose)
        unbuilt = IndexBuilds().build(connection, roles)
        return (*changes, unbuilt) if unbuilt else changes
