"""A tenant database for the tests of what lies inside one: roles and database by the administrator, never a superuser."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.postgres.observation import PostgresObserverDatabase
from tenant_retention.adapters.postgres.schema import apply_definition
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.definition import (
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    ColumnDefinition,
    ObjectsDefinition,
    RetentionDefinition,
    TableDefinition,
)
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import CategoryRun, PartitionStep, PartitionStepKind
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.servers import ServerAccess
from tests.stores.enforcer_session import EnforcerSession, wait_for_end
from tests.stores.servers.postgres import PostgresProcess, connect_as, quick_verifier
from tests.support.waiting import eventually

Connection = psycopg.Connection[Any]


@dataclass
class TenantDatabase:
    """One database with its roles; ``connect("app")`` gives a session of that group's login."""

    administrator: ServerAccess
    roles: DatabaseRoles
    passwords: dict[str, str]

    def connect(self, group: str) -> Connection:
        """An autocommit session as ``<group>_1``."""
        login = f"{getattr(self.roles, group)}_1"
        return connect_as(replace(self.administrator, user=login, password=self.passwords[login]))

    def as_administrator(self) -> Connection:
        """An autocommit session of the operator's administrator."""
        return connect_as(self.administrator)

    def as_owner(self) -> Connection:
        """A session of the administrator that became the owner, as somebody with too much power would."""
        connection = self.as_administrator()
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.roles.owner)))
        return connection

    def apply(self, definition: RetentionDefinition, purpose: str = "Analytical", **more: Any) -> tuple[str, ...]:
        """``apply_definition`` as the operator calls it."""
        with self.as_administrator() as connection:
            return apply_definition(connection, definition, purpose, self.roles, **more)

    def enforcer(self) -> PostgresEnforcementDatabase:
        """A fresh enforcement session; close it."""
        return EnforcerSession(lambda: self.connect("enforcer"), self.as_administrator)

    def wait_for_end(self, pid: int) -> None:
        """Until the server has noticed that a client hung up: until then its run is one in progress."""
        wait_for_end(self.as_administrator, pid)

    def wait_until_someone_waits_for(self, relation: str) -> None:
        """Until a lock on this table (``schema.name``) is wanted and not granted."""
        waiting = "SELECT count(*) FROM pg_locks WHERE relation = to_regclass(%s) AND NOT granted"
        eventually(lambda: self.value(waiting, relation), f"somebody waits for {relation}")

    def observer(self) -> PostgresObserverDatabase:
        """The operator's eye."""
        return PostgresObserverDatabase(lambda: self.connect("observer"))

    def write(self, statement: str, *parameters: object) -> None:
        """One statement as the tenant's application."""
        with self.connect("app") as connection:
            connection.execute(statement.encode(), parameters)

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What the owner sees."""
        with self.as_owner() as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def value(self, statement: str, *parameters: object) -> Any:
        """The first column of the first row that the owner sees."""
        return self.rows(statement, *parameters)[0][0]


class TenantDatabases:
    """Fresh tenant databases for tests: made once for each definition, then copied, since making one takes seconds."""

    def __init__(self, process: PostgresProcess) -> None:
        self._administrator = process.administrator
        # Only a superuser may end an autovacuum worker that is in the way of DROP DATABASE.
        self._superuser = process.superuser
        self._originals: dict[tuple[RetentionDefinition, str], TenantDatabase] = {}

    @contextmanager
    def having(self, rules: RetentionDefinition, purpose: str = "Analytical") -> Iterator[TenantDatabase]:
        """A database of its own to which ``rules`` were applied; gone afterwards."""
        if (rules, purpose) not in self._originals:
            made = _make_database(self._administrator)
            self._originals[rules, purpose] = made
            made.apply(rules, purpose)
        original = self._originals[rules, purpose]
        name = f"t_{secrets.token_hex(6)}"
        with connect_as(self._administrator) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name),
                    sql.Identifier(original.roles.owner),
                    sql.Identifier(original.administrator.database),
                )
            )
        try:
            yield replace(original, administrator=replace(self._administrator, database=name))
        finally:
            _drop_database(self._superuser, name)

    def close(self) -> None:
        """Drops the originals and their roles."""
        for made in self._originals.values():
            _drop_database(self._superuser, made.administrator.database)
            with connect_as(self._administrator) as connection:
                for role in (*made.passwords, *made.roles.groups(), made.roles.owner):
                    connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture(scope="session")
def tenant_databases(postgres_process: PostgresProcess) -> Iterator[TenantDatabases]:
    """Tenant databases on both servers, one after the other."""
    databases = TenantDatabases(postgres_process)
    yield databases
    databases.close()


def _make_database(administrator: ServerAccess) -> TenantDatabase:
    """An empty database of a fresh name with all roles and one login of each group."""
    name = f"t_{secrets.token_hex(6)}"
    roles = DatabaseRoles.of(name)
    passwords = {f"{group}_1": secrets.token_urlsafe(12) for group in roles.groups()}
    with connect_as(administrator) as connection:
        _make_roles(connection, roles, passwords)
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(roles.owner))
        )
    return TenantDatabase(replace(administrator, database=name), roles, passwords)


def _drop_database(superuser: ServerAccess, name: str) -> None:
    with connect_as(superuser) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_roles(connection: Connection, roles: DatabaseRoles, passwords: dict[str, str]) -> None:
    if connection.info.server_version >= 160000:
        connection.execute("SET createrole_self_grant = 'set, inherit'")
    for role in (roles.owner, *roles.groups()):
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    for login, password in passwords.items():
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(login), sql.Literal(quick_verifier(password))
            )
        )
        connection.execute(
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(login.removesuffix("_1")), sql.Identifier(login))
        )
    if connection.info.server_version < 160000:
        for role in (roles.owner, *passwords):
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


def text(name: str, role: str | None = None) -> ColumnDefinition:
    """A nullable Text column."""
    return ColumnDefinition(name=name, type="Text", role=role)


def table(name: str, *columns: ColumnDefinition, back: str = "P1Y", **more: Any) -> TableDefinition:
    """A managed table with ``id`` and ``session_id``, born at ``started_at``."""
    own = (ColumnDefinition(name="id", type="BigInteger", nullable=False), text("session_id", "SessionId"))
    return TableDefinition(
        name=name,
        primary_key=("id",),
        born_at="started_at",
        back=back,
        ahead="P1M",
        columns=(*own, *columns),
        session_column="session_id",
        **more,
    )


def category(name: str, *tables: str, **more: Any) -> CategoryDefinition:
    """An enforced category: keep P90D, max P5Y and a clock from birth unless told otherwise."""
    rule: dict[str, Any] = {"keep": "P90D", "maximum": "P5Y", "clock_column": "started_at"}
    return CategoryDefinition(name=name, state=CategoryState.ENFORCED, tables=tables, **{**rule, **more})


def definition(
    tables: Iterable[TableDefinition], categories: Iterable[CategoryDefinition], **more: Any
) -> RetentionDefinition:
    """A definition of policy ``acme`` with a margin of a day and a guard of 25 percent."""
    facts: dict[str, Any] = {"policy_generation": 1, "profile_generation": 1, "margin_seconds": 86400}
    return RetentionDefinition(
        installation="test",
        namespace="customer-acme",
        policy="acme",
        policy_uid="1",
        tables=tuple(tables),
        categories=tuple(categories),
        **{**facts, "guard_percent": 25, **more},
    )


def records(**more: Any) -> RetentionDefinition:
    """The smallest definition: one category ``records`` with one table ``calls``."""
    return definition([table("calls", text("caller", "PhoneNumber"))], [category("records", "calls", **more)])


def archive(
    keep: str = "P180D", content_keep: str = "P14D", *, back: str = "P1Y", guard_percent: int = 100, **content: Any
) -> RetentionDefinition:
    """Records with surveys, and recordings as their content: objects named by table ``recordings``."""
    objects = ObjectsDefinition(
        bucket="Content", table="recordings", key_column="object_key", version_column="object_version"
    )
    return definition(
        [
            table("surveys", back=back),
            table("calls", text("caller", "PhoneNumber"), text("unit", "Unit"), back=back, unit_column="unit"),
            table("recordings", text("object_key", "ObjectKey"), text("object_version"), back=back),
        ],
        [
            category("recordings", "recordings", content_of="records", keep=content_keep, objects=objects, **content),
            category("records", "surveys", "calls", keep=keep),
        ],
        guard_percent=guard_percent,
    )


def cases(**more: Any) -> RetentionDefinition:
    """A category that counts from the day a case was closed."""
    closed = ColumnDefinition(name="closed_at", type="Timestamp")
    rule: dict[str, Any] = {"clock_event": ClockEvent.CLOSED, "clock_column": "closed_at", **more}
    return definition(
        [table("cases", closed, clock_columns=("closed_at",), back="P3Y")],
        [category("cases", "cases", **rule)],
        guard_percent=100,
    )


def run(
    database: TenantDatabase, rules: RetentionDefinition, mode: Mode = Mode.ENFORCE, *, batch: int = 5000
) -> RunEvidence:
    """A whole run as the engine drives it; every object of the bucket can be deleted, and no log file is there."""
    enforcement = database.enforcer()
    run_id = uuid4()
    try:
        categories = enforcement.begin_run(run_id, mode, rules.rules_digest(), datetime.now(UTC))
        if mode is Mode.ENFORCE:
            enforcement.ensure_partitions(run_id)
            enforcement.finish_detached(run_id)
        files = [each.category for each in categories if each.file_edges]
        for category in files:
            enforcement.count_files(run_id, category, datetime.now(UTC), ())
        for each in categories:
            work(enforcement, run_id, each, mode, batch)
        for category in files if mode is Mode.ENFORCE else ():
            enforcement.recount_files(run_id, category, ())
        return enforcement.finish_run(run_id)
    finally:
        enforcement.close()


def work(
    enforcement: PostgresEnforcementDatabase, run_id: Any, each: CategoryRun, mode: Mode, batch: int = 5000
) -> None:
    """One category of a run: content first, then months, then ranges."""
    if mode is Mode.ENFORCE:
        while claims := enforcement.claim_content(run_id, each.category, batch):
            enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims])
    for step in enforcement.partition_steps(run_id, each.category):
        if mode is Mode.ENFORCE:
            take(enforcement, run_id, step, batch)


def take(enforcement: PostgresEnforcementDatabase, run_id: Any, step: PartitionStep, batch: int = 5000) -> int:
    """One step to its end; rows deleted."""
    if step.kind is not PartitionStepKind.RANGE:
        return enforcement.expire_months(run_id, [step], 0).deleted
    result = enforcement.expire_range(run_id, step, None, batch)
    deleted = result.deleted
    while result.resume_after is not None:
        result = enforcement.expire_range(run_id, step, result.resume_after, batch)
        deleted += result.deleted
    return deleted


def days_ago(days: float) -> datetime:
    """The instant that many days before now, UTC."""
    return datetime.now(UTC) - timedelta(days=days)


def month_ahead() -> datetime:
    """An instant of the newest month that ``table`` has today: a number of days is, on some days, a month too far."""
    return end_of_period(datetime.now(UTC), Period.parse("P1M"))
