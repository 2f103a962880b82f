"""Tries to break out as each tenant login: into other databases, into other roles, onto the server. Changes nothing.

A refusal counts only after the login reached its own database: else a wrong password would look like isolation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import errors, sql

from tenant_retention.adapters.postgres.connections import Connection, Timeouts, connect, errors_of
from tenant_retention.adapters.postgres.statements import statements
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.errors import NotReady, RetentionError
from tenant_retention.domain.ports.databases import IsolationFinding, IsolationReport, TenantLogin
from tenant_retention.domain.servers import ServerAccess

APPLICATION_NAME = "tenant-retention isolation probe"
_BECOME = "become_a_role"
_STRONG_ROLES = ("pg_read_all_data", "pg_write_all_data", "pg_read_server_files", "pg_execute_server_program")
_REFUSALS = frozenset({"PrivilegesMissing", "AuthenticationFailed"})
_NOT_OPEN = ("not currently accepting connections", "does not exist")


@dataclass(frozen=True)
class IsolationProbe:
    """One server, whose databases ``marked`` are stores that this product made; ``targets``: the databases to try."""

    server: ServerAccess
    marked: frozenset[str]
    targets: tuple[str, ...]
    timeouts: Timeouts

    def run(self, logins: Sequence[TenantLogin]) -> IsolationReport:
        """Tries everything as each login. Raises NotReady (NotYetVerified) if a login does not reach its own database."""
        tried = 0
        findings: list[IsolationFinding] = []
        for login in logins:
            for finding in (*self._elsewhere(login), *self._at_home(login)):
                tried += 1
                findings += [finding] if finding else []
        return IsolationReport(tried, tuple(findings))

    def _connect(self, login: TenantLogin, database: str) -> Connection:
        access = replace(self.server, user=login.role, password=login.password, database=database)
        return connect(access, application_name=APPLICATION_NAME, timeouts=self.timeouts)

    def _elsewhere(self, login: TenantLogin) -> Iterator[IsolationFinding | None]:
        for database in self.targets:
            if database == login.database:
                continue
            try:
                self._connect(login, database).close()
            except RetentionError as refusal:
                # A server that is away, slow or full would have said nothing about this login.
                if refusal.reason not in _REFUSALS and not any(words in refusal.message for words in _NOT_OPEN):
                    raise
                yield None
            else:
                yield IsolationFinding(login.role, f"connects to database {database}", database in self.marked)

    def _at_home(self, login: TenantLogin) -> Iterator[IsolationFinding | None]:
        try:
            connection = self._connect(login, login.database)
        except RetentionError as error:
            raise NotReady(
                f"{login.role} does not reach its own database: {error.message}", reason="NotYetVerified"
            ) from error
        with errors_of(self.server), connection:
            for name, attempt in _attempts(login, self.server.user, self.marked & set(self.targets)):
                yield _try(connection, login, name, attempt)


def _attempts(
    login: TenantLogin, administrator: str, marked: frozenset[str]
) -> Iterator[tuple[str, sql.SQL | sql.Composed]]:
    for name, text in statements("isolation").items():
        if name != _BECOME:
            yield name.replace("_", " "), text
    own = DatabaseRoles.of(login.database)
    others = [role for role in (own.owner, *own.groups()) if not login.role.startswith(f"{role}_")]
    neighbours = [DatabaseRoles.of(database).owner for database in sorted(marked - {login.database})]
    for role in (administrator, *_STRONG_ROLES, *others, *neighbours):
        yield f"become {role}", statements("isolation")[_BECOME].format(role=sql.Identifier(role))


def _try(
    connection: Connection, login: TenantLogin, name: str, attempt: sql.SQL | sql.Composed
) -> IsolationFinding | None:
    outcome = "succeeded"
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(attempt)
    except errors.InsufficientPrivilege:
        return None
    except psycopg.DatabaseError as error:
        if error.sqlstate is None:
            raise
        # Anything but a plain refusal means that the privilege was there and something else was in the way.
        outcome = f"was not refused for lack of privilege (SQLSTATE {error.sqlstate})"
    return IsolationFinding(login.role, f"{name}: {outcome}", serious=True)
