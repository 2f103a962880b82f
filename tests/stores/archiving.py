"""A policy's live database and its archive database for tests, real or in memory: what both can be asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Hold, Row, TenantServer
from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import EnforcementDatabase
from tenant_retention.domain.ports.evidence import CategoryEvidence
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.tenant_databases import TenantDatabase, category, days_ago, definition, table, text
from tests.support.enforcement import RecordedWorld, column, plan_of

CALLER = column("caller", role="PhoneNumber", method="SetNull").model_copy(update={"person": "caller"})
LIVE = "Analytical"
RECORDS = "records"


def rules(
    after: str | None = "P90D", keep: str = "P1Y", *, content_keep: str = "P14D", back: str = "P3Y", **more: Any
) -> RetentionDefinition:
    """Calls with their surveys, archived ``after``, and notes, their content."""
    return definition(
        [
            table("surveys", column("score", "Integer"), back=back),
            table("calls", CALLER, back=back),
            table("notes", text("note", "FreeText"), back=back),
        ],
        [
            category("notes", "notes", content_of=RECORDS, keep=content_keep),
            category(RECORDS, "surveys", "calls", keep=keep, archive_after=after, **more),
        ],
        guard_percent=100,
    )


def masked(given: RetentionDefinition) -> RetentionDefinition:
    """The same, but what a call has for its caller shows no digit."""
    mask = {"role": "MaskedDigits", "visible_digits": 0}
    columns = {
        each.name: tuple(one.model_copy(update=mask if one.name == "caller" else {}) for one in each.columns)
        for each in given.tables
    }
    tables = tuple(each.model_copy(update={"columns": columns[each.name]}) for each in given.tables)
    return given.model_copy(update={"tables": tables})


class Customer(Protocol):
    """Rows are told as ``table:id``."""

    rules: RetentionDefinition

    def insert(self, row: int, age: float | datetime, *tables: str, caller: str | None = None) -> None:
        """One call in each of these tables of the live database, with a caller."""

    def begin_month(self, table: str, age: float) -> None:
        """A month of the live database that it would not begin with today."""

    def rename(self, row: int, caller: str) -> None:
        """Another caller of a call in the live database."""

    def close(self, row: int, age: float) -> None:
        """A call in the live database was closed, where calls are (``closed_at``)."""

    def redefine(self, rules: RetentionDefinition) -> None:
        """What the operator does when the policy changes."""

    def live(self) -> set[str]:
        """The rows in the live database."""

    def archived(self) -> set[str]:
        """The rows in the archive."""

    def hold(self, row: int) -> None:
        """A legal hold on one call, in the live database."""

    def empty(self) -> None:
        """No row and no hold in either; what was done before stays told."""

    def sessions(self) -> dict[str, Any]:
        """A session of the enforcer login in each."""


def night(
    customer: Customer,
    *,
    at: datetime | None = None,
    mode: Mode = Mode.ENFORCE,
    wrapped: Callable[[str, EnforcementDatabase], EnforcementDatabase] = lambda _, database: database,
    without: tuple[str, ...] = (),
) -> RunResult:
    """One run over both databases; ``wrapped``: what stands between the engine and each of them."""
    with ExitStack() as closing:
        opened = customer.sessions()
        for session in opened.values():
            closing.callback(session.close)
        databases = {name: wrapped(name, each) for name, each in opened.items() if name not in without}
        around = RecordedWorld(at=at or days_ago(0))
        plan = plan_of(customer.rules, mode=mode)
        return expire(plan, Stores(databases, {}), uuid4(), around.world())


def evidence_of(result: RunResult, database: str = LIVE, name: str = RECORDS) -> CategoryEvidence:
    """What one database's evidence says of a category."""
    (store,) = (each for each in result.stores if each.purpose == database)
    assert store.evidence is not None, f"{store.outcome} {store.reason} {store.message}"
    (found,) = (each for each in store.evidence.categories if each.category == name)
    return found


@dataclass
class RealCustomer:
    """Both on a real server."""

    rules: RetentionDefinition
    databases: dict[str, TenantDatabase]

    def insert(self, row: int, age: float | datetime, *tables: str, caller: str | None = None) -> None:
        """See ``Customer``."""
        born_at = age if isinstance(age, datetime) else days_ago(age)
        for name in tables:
            more = {"calls": ("caller", caller or f"+47{row}"), "surveys": ("score", 7), "notes": ("note", "said")}[
                name
            ]
            self.databases[LIVE].write(
                f"INSERT INTO {name} (id, session_id, started_at, {more[0]}) VALUES (%s, %s, %s, %s)",  # noqa: S608
                row,
                str(row),
                born_at,
                more[1],
            )

    def begin_month(self, table: str, age: float) -> None:
        """See ``Customer``."""
        with self.databases[LIVE].as_owner() as owner:
            owner.execute("SET TimeZone = 'UTC'")
            owner.execute("SELECT retention.create_month(%s, date_trunc('month', %s))", (table, days_ago(age)))

    def rename(self, row: int, caller: str) -> None:
        """See ``Customer``."""
        self.databases[LIVE].write("UPDATE calls SET caller = %s WHERE id = %s", caller, row)

    def close(self, row: int, age: float) -> None:
        """See ``Customer``."""
        self.databases[LIVE].write("UPDATE calls SET closed_at = %s WHERE id = %s", days_ago(age), row)

    def redefine(self, rules: RetentionDefinition) -> None:
        """See ``Customer``."""
        self.rules = rules
        for name, database in self.databases.items():
            database.apply(rules, name)

    def live(self) -> set[str]:
        """See ``Customer``."""
        return self._rows(LIVE, "surveys", "calls", "notes")

    def archived(self) -> set[str]:
        """See ``Customer``."""
        return self._rows(ARCHIVE, "surveys", "calls")

    def _rows(self, database: str, *tables: str) -> set[str]:
        return {
            f"{name}:{row[0]}"
            for name in tables
            for row in self.databases[database].rows(f"SELECT id FROM {name}")  # noqa: S608
        }

    def callers(self, database: str) -> set[str | None]:
        """Who called, by the calls of one database."""
        return {row[0] for row in self.databases[database].rows("SELECT caller FROM calls")}

    def hold(self, row: int) -> None:
        """See ``Customer``."""
        with self.databases[LIVE].as_owner() as owner:
            owner.execute("INSERT INTO retention.hold (session) VALUES (%s)", (str(row),))

    def empty(self) -> None:
        """See ``Customer``."""
        for database in self.databases.values():
            with database.as_owner() as owner:
                owner.execute("DELETE FROM retention.hold")
                for (name,) in owner.execute("SELECT name FROM retention.managed_table").fetchall():
                    # A customer without any minimum: the guards let the owner do so.
                    owner.execute(f"DELETE FROM {name}".encode())  # noqa: S608

    def sessions(self) -> dict[str, Any]:
        """See ``Customer``."""
        return {name: each.enforcer() for name, each in self.databases.items()}


class InMemoryCustomer:
    """Both in memory."""

    def __init__(self, rules: RetentionDefinition, now: Callable[[], datetime]) -> None:
        self.rules = rules
        self.servers = {name: TenantServer(rules, name, now) for name in (LIVE, ARCHIVE)}

    def insert(self, row: int, age: float | datetime, *tables: str, caller: str | None = None) -> None:
        """See ``Customer``."""
        born_at = age if isinstance(age, datetime) else days_ago(age)
        for name in tables:
            who = (caller or f"+47{row}") if name == "calls" else None
            self.servers[LIVE].rows.append(Row(f"{name}:{row}", name, born_at, session=str(row), caller=who))

    def begin_month(self, table: str, age: float) -> None:
        """See ``Customer``: here a table has every month."""

    def rename(self, row: int, caller: str) -> None:
        """See ``Customer``."""
        for each in self.servers[LIVE].rows:
            each.caller = caller if each.identity == f"calls:{row}" else each.caller

    def close(self, row: int, age: float) -> None:
        """See ``Customer``."""
        for each in self.servers[LIVE].rows:
            if each.identity == f"calls:{row}":
                each.clocks["closed_at"] = days_ago(age)

    def redefine(self, rules: RetentionDefinition) -> None:
        """See ``Customer``."""
        self.rules = rules
        for server in self.servers.values():
            server.definition = rules
            for row in server.rows:
                row.unmasked = rules == masked(rules) and any(each.isdigit() for each in row.caller or "")

    def live(self) -> set[str]:
        """See ``Customer``."""
        return {row.identity for row in self.servers[LIVE].rows}

    def archived(self) -> set[str]:
        """See ``Customer``."""
        return {row.identity for row in self.servers[ARCHIVE].rows}

    def callers(self, database: str) -> set[str | None]:
        """Who called, by the calls of one database."""
        return {row.caller for row in self.servers[database].rows if row.table == "calls"}

    def hold(self, row: int) -> None:
        """See ``Customer``."""
        self.servers[LIVE].holds.append(Hold(session=str(row)))

    def empty(self) -> None:
        """See ``Customer``."""
        for server in self.servers.values():
            server.rows.clear()
            server.holds.clear()

    def sessions(self) -> dict[str, Any]:
        """See ``Customer``."""
        return {name: InMemoryEnforcementDatabase(server) for name, server in self.servers.items()}
