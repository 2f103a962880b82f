"""The server's side of the in-memory tenant database: rows, holds, approvals, claims and evidence, which survive a client.

Its rules are the domain's own (``decisions.cutoffs``), so that the fake decides as the real database must (X7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tenant_retention.adapters.fakes.placed_request import PlacedRequest
from tenant_retention.domain.decisions import CategoryCutoffs, Extension, Rule, cutoffs
from tenant_retention.domain.definition import (
    ARCHIVE,
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    RetentionDefinition,
)
from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cached_rows import CacheEvidence
from tenant_retention.domain.ports.enforcement import CategoryRun, Pressure
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.orphans import OrphanKind, Place

_ASKED_DEADLINE = Period.parse("P30D")
GUARD_FLOOR = 10
"""Newly due rows, and findings, that never trip the guard."""
LARGEST_SKEW = timedelta(minutes=1)
LONGEST_SILENCE = timedelta(days=7)


@dataclass(eq=False)
class Row:
    """One row: ``clocks`` by column name (None: not started), the object's key and version for content, and who called.
    ``flags``: Boolean columns that are true; ``unmasked``: whether a masked column shows digits."""

    identity: str
    table: str
    born_at: datetime
    clocks: dict[str, datetime | None] = field(default_factory=dict)
    session: str | None = None
    key: str | None = None
    version: str | None = None
    caller: str | None = None
    flags: frozenset[str] = frozenset()
    unmasked: bool = False

    def clock(self, category: CategoryDefinition) -> datetime | None:
        """The instant the category counts from: never before the birth (M8), None while its event has not come."""
        if category.clock_event in (ClockEvent.CREATED, ClockEvent.OBJECT_LAST_MODIFIED):
            return self.born_at
        started = self.clocks.get(category.clock_column or "")
        return max(started, self.born_at) if started else None


@dataclass(frozen=True)
class Hold:
    """What a hold selects; None selects everything."""

    category: str | None = None
    session: str | None = None


@dataclass(frozen=True)
class Approval:
    """A person's yes to rules that newly remove up to ``max_rows`` of a category, until an instant."""

    rules_digest: str
    max_rows: int
    until: datetime


@dataclass(frozen=True)
class Claimed:
    """A row whose object is on its way out, and what that object was when it was claimed."""

    row: Row
    key: str
    version: str | None


ObjectName = tuple[str, str, str | None]
"""Category, key and version of an object."""


@dataclass
class Run:
    """The run under way, or the last one. ``approval``: its place among the server's; ``approved``: surplus it let through."""

    run_id: UUID
    mode: Mode
    rules_digest: str
    now: datetime
    categories: dict[str, CategoryRun]
    approval: int | None = None
    approved: dict[str, int] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    acted: dict[str, int] = field(default_factory=dict)
    anonymized: dict[str, int] = field(default_factory=dict)
    archive_due: dict[str, int] = field(default_factory=dict)
    archived: dict[str, int] = field(default_factory=dict)
    archive_waiting: dict[str, int] = field(default_factory=dict)
    archive_counted: tuple[str, str, str | None] | None = None
    objects: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)
    locked: dict[str, int] = field(default_factory=dict)
    refused_locks: set[ObjectName] = field(default_factory=set)
    cleared: dict[str, int] = field(default_factory=dict)
    findings_asked: set[str] = field(default_factory=set)
    request_deleted: dict[str, int] = field(default_factory=dict)
    request_cleared: dict[str, int] = field(default_factory=dict)
    requests_only: bool = False
    finished: bool = False
    caches: dict[str, CacheEvidence] = field(default_factory=dict)
    limited_to: tuple[str, ...] = ()
    files: dict[str, Any] = field(default_factory=dict)
    """By category, what ``TenantFiles`` keeps."""


@dataclass
class OrphanPass:
    """How far a look for orphans came, and what the last whole one found (None: none yet)."""

    goes_on_at: Place = None
    looked_at: int = 0
    found: int = 0
    last_looked_at: int | None = None
    last_found: int | None = None
    overdue: int = 0
    oldest_overdue: datetime | None = None
    last_overdue: int | None = None
    last_oldest_overdue: datetime | None = None


@dataclass(frozen=True)
class Restore:
    """A backup is being restored; ``replay``: the only run that may delete meanwhile."""

    replay: UUID | None = None


@dataclass
class TenantServer:
    """What the server holds. ``definition`` may be replaced, as the operator does when a policy changes."""

    definition: RetentionDefinition
    purpose: str
    now: Callable[[], datetime]
    rows: list[Row] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    spent: dict[int, int] = field(default_factory=dict)
    executed: dict[str, CategoryDefinition] = field(default_factory=dict)
    claims: dict[int, Claimed] = field(default_factory=dict)
    last_claim: int = 0
    asked_locks: dict[int, tuple[ObjectName, datetime]] = field(default_factory=dict)
    locks: dict[ObjectName, datetime] = field(default_factory=dict)
    file_times: dict[ObjectName, datetime] = field(default_factory=dict)
    orphans: dict[tuple[OrphanKind, str], OrphanPass] = field(default_factory=dict)
    findings: dict[str, UUID] = field(default_factory=dict)
    requests: dict[UUID, PlacedRequest] = field(default_factory=dict)
    detached: list[str] = field(default_factory=list)
    partitions: set[str] = field(default_factory=set)
    evidence: list[RunEvidence] = field(default_factory=list)
    suspended: bool = False
    restore: Restore | None = None
    running: object | None = None
    run: Run | None = None
    seen_at: datetime | None = None
    skew: timedelta = timedelta(0)
    enforced_at: datetime | None = None
    pressure: Callable[[], Pressure | None] = lambda: Pressure(
        wal_bytes=0, largest_wal=2**30, lag_bytes=None, transactions=0
    )

    def note_clock(self, operators: datetime) -> bool:
        """The operator's clock, as ``note_clock`` of the real database takes it."""
        before = max((at for at in (self.seen_at, self.enforced_at) if at), default=operators)
        self.seen_at = before if operators > before + LONGEST_SILENCE else operators
        self.skew = self.now() - operators
        return abs(self.skew) <= LARGEST_SKEW

    def refuse_while_restoring(self, run_id: UUID) -> None:
        """Raises NotReady for every run but the restore's own."""
        if self.restore is not None and self.restore.replay != run_id:
            raise NotReady("a backup is being restored into this database", reason="RestoreUnderWay")

    def check_clock(self) -> None:
        """Raises NotReady where the clock is in doubt and nobody approved today's rules."""
        here = self.now()
        if abs(self.skew) > LARGEST_SKEW:
            raise NotReady("the clocks of the database and of the operator differ by over a minute", reason="ClockSkew")
        if any(a.rules_digest == self.definition.rules_digest() and a.until > here for a in self.approvals):
            return
        seen = max((at for at in (self.seen_at, self.enforced_at) if at), default=here)
        if self.seen_at and here > seen + LONGEST_SILENCE:
            raise NotReady("by the clock nobody was here for over a week", reason="ClockJumped")
        if self.enforced_at and self.enforced_at > here + LARGEST_SKEW:
            raise NotReady("the clock was put back", reason="ClockJumped")

    def categories(self) -> Iterator[CategoryDefinition]:
        """The enforced categories of this database."""
        for category in self.definition.categories:
            if self.lies_here(category) and category.state is CategoryState.ENFORCED:
                yield category

    def lies_here(self, category: CategoryDefinition) -> bool:
        """Whether the category is this database's; what came to an archive once goes on expiring there."""
        came = self.purpose == ARCHIVE and any(row.table in category.tables for row in self.rows)
        return category.lies_in(self.purpose) or came

    def rows_of(self, category: CategoryDefinition) -> list[Row]:
        """The category's rows, children first, oldest first."""
        return sorted(
            (row for row in self.rows if row.table in category.tables),
            key=lambda row: (category.tables.index(row.table), row.born_at, row.identity),
        )

    def clock(self, category: CategoryDefinition, row: Row) -> datetime | None:
        """The row's clock in its category."""
        clock = row.clock(category)
        # Nobody closes what is archived: it counts from its birth.
        return row.born_at if clock is None and self.purpose == ARCHIVE else clock

    def held(self, category: CategoryDefinition, row: Row) -> bool:
        """Whether a hold selects the row; holding a record holds its content and the other way round (X3)."""
        related = {
            category.name,
            category.content_of,
            *(c.name for c in self.categories() if c.content_of == category.name),
        }
        return any(
            (hold.category is None or hold.category in related)
            and (hold.session is None or hold.session == row.session)
            for hold in self.holds
        )

    def denied(self, category: CategoryDefinition, row: Row) -> bool:
        """Whether the record of the row's session denies it, or was forced and not accepted (P10)."""
        consent = category.consent
        if consent is None or row.session is None:
            return False
        records = [each for each in self.rows if each.table == consent.table and each.session == row.session]
        return any(
            consent.refused_column in each.flags
            or (consent.forced_column in each.flags and consent.accepted_column not in each.flags)
            for each in records
        )

    def unapproved(self, category: CategoryDefinition, row: Row) -> bool:
        """Whether the row's time for an approval is over (M7); which rows need one is told by flag ``column=value``."""
        rule = category.quarantine
        if rule is None or row.clocks.get(rule.approved_column) is not None:
            return False
        needed = rule.only_column is None or f"{rule.only_column}={rule.only_value}" in row.flags
        return needed and row.born_at <= cutoff(self.now(), Period.parse(rule.keep))

    def unwanted(self, category: CategoryDefinition, row: Row) -> bool:
        """Whether the row is to go before it is due: without consent, or without approval."""
        return self.denied(category, row) or self.unapproved(category, row)

    def waits_for_content(self, category: CategoryDefinition, row: Row) -> bool:
        """P4: a record waits until the content rows of its session are gone; without a session, those of its birth."""
        tables = {table for other in self.categories() if other.content_of == category.name for table in other.tables}
        return any(
            other.session == row.session and (row.session is not None or other.born_at == row.born_at)
            for other in self.rows
            if other.table in tables
        )

    def cutoffs(self, category: CategoryDefinition, now: datetime) -> CategoryCutoffs:
        """The category's bounds at ``now`` by the domain's own rule (X7)."""

        def period(text: str | None) -> Period | None:
            return Period.parse(text) if text else None

        margin = timedelta(seconds=self.definition.margin_seconds)
        periods = (period(category.minimum), period(category.keep), period(category.maximum))
        bought = category.extended
        extension = Extension(Period.parse(bought.keep), Period.parse(bought.maximum), bought.until) if bought else None
        rule = Rule(*periods, category.early_deletion, margin, _ASKED_DEADLINE, _ASKED_DEADLINE, extension)
        return cutoffs(rule, now)

    def due(self, category: CategoryDefinition, through: datetime | None) -> list[Row]:
        """Rows whose clock is at or before ``through``, held ones included."""
        if through is None:
            return []
        return [row for row in self.rows_of(category) if (clock := self.clock(category, row)) and clock <= through]
