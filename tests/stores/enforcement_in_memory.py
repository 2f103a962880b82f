"""``LiveArchive`` without servers: the same arranging and looking over the in-memory stores, for the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Approval, Hold, Restore, Row, TenantServer
from tenant_retention.domain.definition import RetentionDefinition
from tests.support.enforcement import archive


@dataclass
class InMemoryArchive:
    """One tenant in memory, at the real time."""

    definition: RetentionDefinition = field(default_factory=lambda: archive(back="P15M"))
    content: InMemoryContentBucket = field(default_factory=InMemoryContentBucket)
    versions: int = 0

    def __post_init__(self) -> None:
        self.server = TenantServer(self.definition, "Analytical", lambda: datetime.now(UTC))

    def define(self, definition: RetentionDefinition) -> None:
        """What the operator does when a policy changes."""
        self.definition = self.server.definition = definition

    def enforcer(self) -> InMemoryEnforcementDatabase:
        """A session of the enforcer login."""
        return InMemoryEnforcementDatabase(self.server)

    def call(self, name: str, born_at: datetime, *tables: str, closed_at: datetime | None = None) -> None:
        """One call in each of these tables; its recording with an object in the bucket."""
        for table in tables:
            row = Row(f"{table}:{name}", table, born_at, session=name)
            row.caller = f"+47{name}" if table == "requests" else None
            if table == "recordings":
                row.key, row.version = f"audio/{name}", self.put(f"audio/{name}")
            if table == "cases":
                row.clocks["closed_at"] = closed_at
            self.server.rows.append(row)

    def call_with_object_of(self, other: str, name: str, born_at: datetime, version: str | None) -> None:
        """A recording whose row names the object of another call as well."""
        row = Row(f"recordings:{name}", "recordings", born_at, session=name, key=f"audio/{other}", version=version)
        self.server.rows.append(row)

    def name_version(self, name: str, version: str) -> None:
        """The application fills in the version that a recording's row left open."""
        (row,) = (row for row in self.server.rows if row.identity == f"recordings:{name}")
        row.version = version

    def call_without_object(self, name: str, born_at: datetime) -> None:
        """A recording's row whose object was never stored."""
        self.server.rows.append(Row(f"recordings:{name}", "recordings", born_at, session=name))

    def left(self) -> set[str]:
        """Every row that is there, as ``table:id``."""
        return {row.identity for row in self.server.rows}

    def callers(self) -> set[str]:
        """The calls whose request still says who called."""
        return {str(row.session) for row in self.server.rows if row.table == "requests" and row.caller is not None}

    def hold(self, session: str) -> None:
        """Places a legal hold on one session."""
        self.server.holds.append(Hold(session=session))

    def hold_category(self, category: str) -> None:
        """Places a legal hold on a whole category."""
        self.server.holds.append(Hold(category=category))

    def write_log_row(self, key: str) -> None:
        """A young recording whose object lies below the logs' prefix."""
        self.server.rows.append(Row(f"recordings:{key}", "recordings", datetime.now(UTC), session=key, key=key))

    def release(self) -> None:
        """What becomes of the database when its policy goes."""
        self.server.suspended = True

    @contextmanager
    def restoring(self, replay: UUID | None = None) -> Iterator[None]:
        """While a backup is restored; ``replay``: the run that the restore lets through."""
        self.server.restore = Restore(replay)
        try:
            yield
        finally:
            self.server.restore = None

    def approve(self, max_rows: int, until: datetime) -> None:
        """What a RetentionRun's approval becomes."""
        self.server.approvals.append(Approval(self.definition.rules_digest(), max_rows, until))

    def operator_looks(self, clock: datetime) -> bool:
        """The operator's look, by its own clock; whether the clocks agree."""
        return self.server.note_clock(clock)

    def let_pass(self, period: timedelta) -> None:
        """All that was seen lies so much longer ago: as if every clock here had jumped ahead by it."""
        server = self.server
        server.seen_at = server.seen_at - period if server.seen_at else None
        server.enforced_at = server.enforced_at - period if server.enforced_at else None

    def put(self, key: str) -> str:
        """Writes one object; its version."""
        self.versions += 1
        self.content.objects.add((key, f"v{self.versions}"))
        return f"v{self.versions}"

    def objects(self) -> set[tuple[str, str | None]]:
        """Every version in the bucket."""
        return set(self.content.objects)

    def keys(self) -> set[str]:
        """The keys that anything is left of."""
        return {key for key, _ in self.content.objects}

    def content_bucket(self) -> InMemoryContentBucket:
        """The bucket as the enforcer sees it."""
        return self.content
