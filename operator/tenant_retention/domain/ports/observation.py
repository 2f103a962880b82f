"""What the operator's observer login may read of a tenant's database: counts and evidence, never a row's content."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value
from tenant_retention.domain.ports.cached_rows import CacheLooks
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.orphans import OrphanKind


class CategoryObservation(Value):
    """Counts of one category now. ``due``: past keep end; ``overdue``: past the deadline, deletion debt (X4).

    ``files``: those that go by their last modification, as a run counted them at ``files_counted_at`` (None: no run yet); every
    other count has moved on with the time since. ``anomalies``: rows without usable time (X8), first seen at ``anomalies_since``.
    ``next_deadline``: when the oldest row must be gone (UTC), with room for the life of copies; None without rows or a max.
    ``anonymize_due``: rows past the age at which they lose the person, ``anonymize_held`` of them kept by a hold apart;
    ``next_anonymization``: when the oldest row that still tells of one reaches it. All None where the category has no such rule.
    ``archived``: rows that lie in files of the archive bucket; None: none ever did.
    ``against_consent``, ``unmasked``, ``unapproved``: what the last scans marked (P10, P11, M7); None where the profile looks for none.
    """

    category: str
    rows: int
    oldest: datetime | None
    due: int
    overdue: int
    held: int
    anomalies: int
    anomalies_since: datetime | None
    next_deadline: datetime | None
    anonymize_due: int | None = None
    anonymize_held: int | None = None
    next_anonymization: datetime | None = None
    against_consent: int | None = None
    unmasked: int | None = None
    unapproved: int | None = None
    archived: int | None = None
    files: int | None = None
    files_counted_at: datetime | None = None


class LeftTable(Value):
    """A table that left the profile and still has rows: no run deletes from it (M10, X4), and records of ``content_of``
    wait for it (P4). ``overdue``: rows past the last max that was known; ``oldest``: None without a usable clock."""

    table: str
    category: str
    content_of: str | None = None
    rows: int
    oldest: datetime | None
    overdue: int
    next_deadline: datetime | None = None


class OrphanCount(Value):
    """What the nightly look found: by the last whole pass, or by the one under way if that is more already.

    ``name``: a bucket's purpose (UnnamedObjects, UnfinishedUploads) or a category (MissingObjects). ``looked_at``: of the same pass.
    ``finished_at``: end of the last whole pass (UTC), None while the first is under way. ``overdue``: of a bucket's objects
    those that no category could still keep, the oldest written at ``oldest_overdue``: deletion debt (M10, T6).
    """

    kind: OrphanKind
    name: str
    found: int
    looked_at: int
    finished_at: datetime | None
    overdue: int = 0
    oldest_overdue: datetime | None = None


class GuardRequest(Value):
    """A guard that stopped: which rules (digest) would newly remove how many rows."""

    category: str
    rules_digest: str
    surplus: int
    total: int


class Uncovered(Value):
    """What somebody made in a database and the profile does not know (M11): counts, and the first names, tables before columns."""

    tables: int = 0
    columns: int = 0
    names: tuple[str, ...] = ()


class LiveHold(Value):
    """What is in force under the name of a LegalHold (None: placed by hand), since when, and for which case."""

    name: str | None
    since: datetime
    reference: str | None


class DatabaseFacts(Value):
    """One reading of a tenant database by the observer. ``left``: what the profile no longer has, but the database has.
    ``uncovered``: what it never had. ``cache_looks``: of the categories whose first database it is. ``holds``: some at most.
    ``pending_requests``: some of the DataSubjectRequests that are placed there, and whose rows are not found yet."""

    rules_digest: str
    now: datetime
    categories: tuple[CategoryObservation, ...]
    guard_requests: tuple[GuardRequest, ...]
    latest_run: RunEvidence | None
    latest_success: datetime | None
    chain_intact: bool
    left: tuple[LeftTable, ...] = ()
    orphans: tuple[OrphanCount, ...] = ()
    uncovered: Uncovered = Uncovered()
    cache_looks: tuple[CacheLooks, ...] = ()
    holds: tuple[LiveHold, ...] = ()
    pending_requests: tuple[UUID, ...] = ()

    def rows(self) -> int:
        """Rows of all categories, those included that left the profile."""
        return sum(found.rows + (found.files or 0) for found in self.categories) + sum(
            found.rows for found in self.left
        )

    def next_deadline(self) -> datetime | None:
        """When the first row must be gone, wherever it is."""
        found = [each.next_deadline for each in self.categories] + [table.next_deadline for table in self.left]
        return min((deadline for deadline in found if deadline is not None), default=None)

    def overdue(self) -> int:
        """Rows past their deadline, wherever they are, and objects that no row names."""
        rows = sum(found.overdue for found in self.categories) + sum(found.overdue for found in self.left)
        return rows + sum(found.overdue for found in self.orphans)


class ObserverDatabase(Protocol):
    """A tenant's database as the observer login sees it."""

    def observe(self) -> DatabaseFacts:
        """Reads everything in one transaction. Raises Unavailable if the server does not answer."""

    def evidence(self, limit: int) -> tuple[RunEvidence, ...]:
        """The latest ``limit`` links of the chain, newest first."""
