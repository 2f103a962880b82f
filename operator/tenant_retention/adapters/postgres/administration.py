"""The administrator's side of PostgreSQL servers: implements ``domain.ports.databases.DatabaseAdministration``.

One connection for each call, to database ``postgres``; into a tenant's database only for what lies inside it. Never a
superuser: CREATEDB and CREATEROLE are enough for everything here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import psycopg
from psycopg import sql

from tenant_retention.adapters.postgres import survey
from tenant_retention.adapters.postgres.connections import (
    DEFAULT_TIMEOUTS,
    Connection,
    Timeouts,
    connect,
    errors_of,
)
from tenant_retention.adapters.postgres.passwords import password_works
from tenant_retention.adapters.postgres.probe import IsolationProbe
from tenant_retention.adapters.postgres.roles import Workbench, apply_role_step, require_marker, run
from tenant_retention.domain.database_steps import (
    CloseInterior,
    CreateDatabase,
    DatabaseStep,
    DropDatabase,
    SetDatabaseLimits,
    SetDatabasePrivileges,
)
from tenant_retention.domain.databases import PUBLIC, MarkedDatabase, ObservedData, ObservedDatabase, WantedDatabase
from tenant_retention.domain.ports.databases import IsolationReport, TenantLogin
from tenant_retention.domain.servers import MINIMUM_SERVER_VERSION, ServerAccess, ServerFacts

APPLICATION_NAME = "tenant-retention-operator"
_REVOKE = {"CONNECT": "revoke_connect", "CREATE": "revoke_create", "TEMPORARY": "revoke_temporary"}
_CLOSE_INTERIOR = (
    "close_default_functions",
    "close_default_tables",
    "close_default_sequences",
    "close_default_schemas",
)
_LONGEST_CREATE = timedelta(minutes=3)
"""CREATE and DROP DATABASE copy or flush files: on a slow server they take longer than any other statement here."""


class PostgresAdministration:
    """Holds settings, no connection: safe to share between threads."""

    def __init__(
        self,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        minimum_version: int = MINIMUM_SERVER_VERSION,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._timeouts = timeouts
        self._minimum_version = minimum_version
        self._random_bytes = random_bytes
        self._clock = clock

    def facts(self, server: ServerAccess) -> ServerFacts:
        """See the port."""
        with errors_of(server), self._connect(server) as connection:
            before = self._clock()
            ((database, role, superuser, tls),) = survey.rows(connection, "server_facts")
            latency = timedelta(seconds=self._clock() - before)
            version = connection.info.server_version
        return ServerFacts(version, latency, tls, database or superuser, role or superuser, superuser)

    def observe(self, server: ServerAccess, wanted: WantedDatabase, passwords: Mapping[str, str]) -> ObservedDatabase:
        """See the port."""
        names = wanted.roles().all_names()
        with errors_of(server), self._connect(server) as connection:
            roles = survey.observe_roles(connection, names)
            memberships = survey.observe_memberships(connection, names)
            data = survey.observe_data(connection, wanted.name)
            open_databases = survey.open_databases(connection, wanted.name)
        if data is not None and self._may_look_inside(server, wanted, data):
            inside = replace(server, database=wanted.name)
            with errors_of(inside), self._connect(inside) as connection:
                data = replace(data, interior=survey.observe_interior(connection, wanted.roles().owner))
        refused = {
            role
            for role, password in passwords.items()
            if role in roles and not self.verify_password(server, TenantLogin(wanted.name, role, password))
        }
        return ObservedDatabase(server.user, roles, memberships, data, frozenset(refused), open_databases)

    def apply(self, server: ServerAccess, step: DatabaseStep, passwords: Mapping[str, str]) -> None:
        """See the port."""
        long_ones = (CreateDatabase, DropDatabase)
        timeouts = replace(self._timeouts, statement=_LONGEST_CREATE) if isinstance(step, long_ones) else self._timeouts
        with errors_of(server), self._connect(server, timeouts) as connection:
            match step:
                case CreateDatabase(database, owner, limit):
                    run(
                        connection,
                        "create_database",
                        database=database,
                        owner=owner,
                        connection_limit=sql.Literal(limit),
                    )
                case SetDatabasePrivileges():
                    _set_privileges(connection, step)
                case SetDatabaseLimits(database, limit):
                    run(connection, "allow_connections", database=database, connection_limit=sql.Literal(limit))
                case CloseInterior(database, owner):
                    with self._connect(replace(server, database=database)) as inside:
                        _close_interior(inside, owner)
                case DropDatabase(database, owner, marker):
                    require_marker(connection, owner, marker)
                    _drop_database(connection, database)
                case _:
                    bench = Workbench(server, connection, self._connect, self._random_bytes)
                    apply_role_step(bench, step, passwords)

    def discover(self, server: ServerAccess, installation: str) -> tuple[MarkedDatabase, ...]:
        """See the port."""
        with errors_of(server), self._connect(server) as connection:
            found = survey.marked_databases(connection)
        return tuple(each for each in found if each.marker.installation == installation)

    def verify_password(self, server: ServerAccess, login: TenantLogin) -> bool:
        """See the port."""
        return password_works(server, login, self._timeouts)

    def databases(self, server: ServerAccess) -> tuple[str, ...]:
        """See the port."""
        with errors_of(server), self._connect(server) as connection:
            return tuple(name for name, _ in survey.rows(connection, "discover_databases"))

    def probe_isolation(
        self, server: ServerAccess, logins: Sequence[TenantLogin], databases: Sequence[str] | None = None
    ) -> IsolationReport:
        """See the port."""
        with errors_of(server), self._connect(server) as connection:
            marked = frozenset(each.name for each in survey.marked_databases(connection) if each.exists)
            everything = tuple(name for name, _ in survey.rows(connection, "discover_databases"))
        targets = everything if databases is None else tuple(databases)
        return IsolationProbe(server, marked, targets, self._timeouts).run(logins)

    def _connect(self, server: ServerAccess, timeouts: Timeouts | None = None) -> Connection:
        return connect(
            server,
            application_name=APPLICATION_NAME,
            timeouts=timeouts or self._timeouts,
            minimum_version=self._minimum_version,
        )

    def _may_look_inside(self, server: ServerAccess, wanted: WantedDatabase, data: ObservedData) -> bool:
        ours = data.owner == wanted.roles().owner
        return ours and data.allows_connections and (server.user, "CONNECT") in data.grants


def _drop_database(connection: Connection, database: str) -> None:
    try:
        run(connection, "drop_database_in_use", database=database)
    except psycopg.errors.InsufficientPrivilege:
        # Nobody but a superuser may end autovacuum, which counts as one of the database's sessions; without FORCE the
        # server itself ends it.
        run(connection, "drop_database", database=database)


def _set_privileges(connection: Connection, step: SetDatabasePrivileges) -> None:
    with connection.transaction():
        # As the owner, so that every grant is the owner's and can be taken back by the owner.
        run(connection, "become", role=step.owner)
        for grantee, privilege in step.revoke:
            target = sql.SQL("PUBLIC") if grantee == PUBLIC else sql.Identifier(grantee)
            run(connection, _REVOKE[privilege], database=step.database, grantee=target)
        for grantee in step.grant_connect:
            run(connection, "grant_connect", database=step.database, grantee=grantee)


def _close_interior(connection: Connection, owner: str) -> None:
    with connection.transaction():
        run(connection, "become", role=owner)
        run(connection, "close_public_schema")
        for name in _CLOSE_INTERIOR:
            run(connection, name, owner=owner)
