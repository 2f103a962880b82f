"""One bench for the contract tests: the same acts on a real server and on its twin in memory.

``Site`` methods are what somebody else does behind the operator's back; each keeps to what a server's administrator can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from psycopg import sql

from tenant_retention.adapters.fakes.databases import InMemoryDatabases, PretendServer
from tenant_retention.adapters.postgres.administration import PostgresAdministration
from tenant_retention.domain.database_plan import plan_database
from tenant_retention.domain.database_steps import DatabaseStep
from tenant_retention.domain.databases import (
    PUBLIC,
    ObservedData,
    ObservedDatabase,
    ObservedInterior,
    ObservedRole,
    WantedDatabase,
)
from tenant_retention.domain.ports.databases import DatabaseAdministration, TenantLogin
from tenant_retention.domain.servers import ServerAccess
from tests.stores.servers.postgres import PostgresProcess, connect_as


class Site(Protocol):
    """A server with its administration."""

    @property
    def databases(self) -> DatabaseAdministration:
        """What the operator uses."""

    @property
    def server(self) -> ServerAccess:
        """The administrator's access."""

    def with_minimum_version(self, version: int) -> DatabaseAdministration:
        """The operator's side, asking for at least this version."""

    def create_role(self, name: str, comment: str | None = None) -> None:
        """A superuser makes a role of this name."""

    def create_database(self, name: str) -> None:
        """A superuser makes a database of this name, their own."""

    def comment(self, role: str, comment: str) -> None:
        """Somebody writes another comment on a role."""

    def grant_role(self, role: str, member: str) -> None:
        """Somebody with the administrator's login grants a role."""

    def revoke_role(self, role: str, member: str) -> None:
        """Somebody with the administrator's login revokes a role."""

    def let_connect(self, database: str, grantee: str) -> None:
        """Somebody grants CONNECT."""

    def forbid_connections(self, database: str) -> None:
        """Somebody closes the database to everybody."""

    def open_interior(self, database: str, owner: str) -> None:
        """Somebody lets PUBLIC use schema public and every new function."""

    def change_login(self, role: str, change: str) -> None:
        """Somebody alters a login: one of ``CREATEDB``, ``CREATEROLE``, ``NOLOGIN``, ``CONNECTION LIMIT 7``."""

    def set_setting(self, role: str, setting: str, value: str) -> None:
        """The login alters its own settings."""

    def set_password(self, role: str, password: str) -> None:
        """Somebody sets another password."""


@dataclass(frozen=True)
class RealSite:
    """A running PostgreSQL."""

    process: PostgresProcess

    @property
    def databases(self) -> DatabaseAdministration:
        return PostgresAdministration()

    @property
    def server(self) -> ServerAccess:
        return self.process.administrator

    def with_minimum_version(self, version: int) -> DatabaseAdministration:
        return PostgresAdministration(minimum_version=version)

    def create_role(self, name: str, comment: str | None = None) -> None:
        self.superuser("CREATE ROLE {}", name)
        if comment is not None:
            self.comment(name, comment)

    def create_database(self, name: str) -> None:
        self.superuser("CREATE DATABASE {} TEMPLATE template0", name)

    def comment(self, role: str, comment: str) -> None:
        self.superuser("COMMENT ON ROLE {} IS {}", role, sql.Literal(comment))

    def grant_role(self, role: str, member: str) -> None:
        self._as_administrator("GRANT {} TO {}", role, member)

    def revoke_role(self, role: str, member: str) -> None:
        self._as_administrator("REVOKE {} FROM {}", role, member)

    def let_connect(self, database: str, grantee: str) -> None:
        self.superuser("GRANT CONNECT ON DATABASE {} TO {}", database, _grantee(grantee))

    def forbid_connections(self, database: str) -> None:
        self.superuser("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", database)

    def open_interior(self, database: str, owner: str) -> None:
        self.superuser("GRANT ALL ON SCHEMA public TO PUBLIC", database=database)
        self.superuser(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT EXECUTE ON FUNCTIONS TO PUBLIC", owner, database=database
        )

    def change_login(self, role: str, change: str) -> None:
        self.superuser("ALTER ROLE {} " + change, role)

    def set_setting(self, role: str, setting: str, value: str) -> None:
        self.superuser("ALTER ROLE {} SET {} TO {}", role, setting, sql.Literal(value))

    def set_password(self, role: str, password: str) -> None:
        self.superuser("ALTER ROLE {} PASSWORD {}", role, sql.Literal(password))

    def superuser(
        self, text: str, *parts: str | sql.Composable, database: str = "postgres"
    ) -> list[tuple[object, ...]]:
        """Executes a statement as the superuser; strings are identifiers."""
        return _execute(replace(self.process.superuser, database=database), text, *parts)

    def _as_administrator(self, text: str, *parts: str) -> None:
        _execute(self.server, text, *parts)


@dataclass(frozen=True)
class MemorySite:
    """The twin."""

    there: PretendServer

    @classmethod
    def create(cls) -> MemorySite:
        """A fresh server with the databases that every PostgreSQL has."""
        everybody = frozenset({(PUBLIC, "CONNECT")})
        there = PretendServer("retention_operator", {"retention_operator": "administrator's secret"})
        there.data |= {name: ObservedData("postgres", True, -1, everybody) for name in ("postgres", "template1")}
        return cls(there)

    @property
    def databases(self) -> DatabaseAdministration:
        return InMemoryDatabases({("localhost", 5432): self.there})

    @property
    def server(self) -> ServerAccess:
        return ServerAccess(
            "localhost", 5432, self.there.administrator, "administrator's secret", Path("/nowhere/ca.crt")
        )

    def with_minimum_version(self, version: int) -> DatabaseAdministration:
        return InMemoryDatabases({("localhost", 5432): self.there}, minimum_version=version)

    def create_role(self, name: str, comment: str | None = None) -> None:
        self.there.create_role(ObservedRole(name, login=False, comment=comment, at_hand=False))

    def create_database(self, name: str) -> None:
        self.there.data[name] = ObservedData("postgres", True, -1, frozenset({(PUBLIC, "CONNECT")}))

    def comment(self, role: str, comment: str) -> None:
        self.there.change_role(role, comment=comment)

    def grant_role(self, role: str, member: str) -> None:
        self.there.memberships.add((role, member))

    def revoke_role(self, role: str, member: str) -> None:
        self.there.memberships.discard((role, member))

    def let_connect(self, database: str, grantee: str) -> None:
        self.there.change_data(database, grants=self.there.data[database].grants | {(grantee, "CONNECT")})

    def forbid_connections(self, database: str) -> None:
        self.there.change_data(database, allows_connections=False)

    def open_interior(self, database: str, owner: str) -> None:
        self.there.change_data(database, interior=ObservedInterior(frozenset({"USAGE", "CREATE"}), False))

    def change_login(self, role: str, change: str) -> None:
        power = frozenset({change}) if change.startswith("CREATE") else frozenset()
        if change == "NOLOGIN":
            self.there.change_role(role, login=False)
        elif change.startswith("CONNECTION LIMIT"):
            self.there.change_role(role, connection_limit=int(change.split()[-1]))
        else:
            self.there.change_role(role, powers=power)

    def set_setting(self, role: str, setting: str, value: str) -> None:
        settings = {each for each in self.there.roles[role].settings if each[1] != setting}
        self.there.change_role(role, settings=frozenset(settings | {("", setting, value)}))

    def set_password(self, role: str, password: str) -> None:
        self.there.passwords[role] = password


def passwords_of(wanted: WantedDatabase, suffix: str = "") -> dict[str, str]:
    """A password for every login that could exist, as the binding Secrets would hold them."""
    return {role: f"secret-of-{role}{suffix}" for role in wanted.roles().logins()}


def logins_of(wanted: WantedDatabase, passwords: Mapping[str, str]) -> list[TenantLogin]:
    """The wanted logins as a tenant would use them."""
    names = [wanted.roles().login(login) for login in wanted.logins]
    return [TenantLogin(wanted.name, name, passwords[name]) for name in names]


def bring_about(
    site: Site, wanted: WantedDatabase, passwords: Mapping[str, str] | None = None
) -> tuple[DatabaseStep, ...]:
    """One reconcile: observe, plan, apply; the steps that were taken."""
    known = passwords_of(wanted) if passwords is None else passwords
    steps = plan_database(wanted, look(site, wanted, known))
    for step in steps:
        site.databases.apply(site.server, step, known)
    return steps


def look(site: Site, wanted: WantedDatabase, passwords: Mapping[str, str] | None = None) -> ObservedDatabase:
    """What is there; every login's password is tried."""
    known = passwords_of(wanted) if passwords is None else passwords
    return site.databases.observe(site.server, wanted, known)


def is_as_wanted(site: Site, wanted: WantedDatabase, passwords: Mapping[str, str] | None = None) -> bool:
    """True if a further reconcile would do nothing."""
    return not plan_database(wanted, look(site, wanted, passwords))


def _grantee(name: str) -> sql.Composable:
    return sql.SQL("PUBLIC") if name == PUBLIC else sql.Identifier(name)


def _execute(access: ServerAccess, text: str, *parts: str | sql.Composable) -> list[tuple[object, ...]]:
    filled = [sql.Identifier(part) if isinstance(part, str) else part for part in parts]
    with connect_as(access) as connection:
        cursor = connection.execute(sql.SQL(text).format(*filled))
        return cursor.fetchall() if cursor.description else []
