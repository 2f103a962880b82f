"""What the enforcement engine needs of a tenant's database and bucket; both sides pass the same contract tests.

Every method of ``EnforcementDatabase`` is one transaction: after it returns its effect is committed, after a kill it is
either wholly there or not at all. Nothing here takes a cut-off from the caller: the database decides by its own rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.anonymizing import AnonymizingDatabase
from tenant_retention.domain.ports.archiving import ArchivingDatabase
from tenant_retention.domain.ports.cached_rows import CachedRowsDatabase
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.files import FileBucket, FileSpan, StoredFile
from tenant_retention.domain.ports.findings import FindingsDatabase
from tenant_retention.domain.ports.orphans import OrphanBucket, OrphanDatabase
from tenant_retention.domain.ports.requests import RequestsDatabase


class GuardState(StrEnum):
    """What the blast guard says of a category in this run."""

    CLEAR = "Clear"
    APPROVED = "Approved"
    TRIPPED = "Tripped"


class CategoryRun(Value):
    """One category at the start of a run. Counts are rows (content: rows that name objects).

    ``remove_through``: births ``<=`` it are removed in this run (None: nothing by age); when ``guard`` is Tripped it
    is the cut-off of the last executed rules. ``candidates``: rows due in this run. ``surplus``: rows that wait for an
    approval. ``anonymize_due``: rows that this run anonymizes. ``files_through``: files modified ``<=`` it are removed.
    ``files_young_after``: those modified later are below min. ``file_edges``: where the spans end in which files are counted
    (``FileSpan``). ``total``: rows of the category. ``held``: due rows kept by a hold. ``anomalies``: rows without usable time.
    All counts: with its files once they are counted.
    """

    category: str
    store: str = ""
    remove_through: datetime | None
    total: int
    candidates: int
    surplus: int
    anonymize_due: int = 0
    held: int
    overdue: int
    anomalies: int
    oldest: datetime | None
    guard: GuardState
    files_through: datetime | None = None
    files_young_after: datetime | None = None
    file_edges: tuple[datetime, ...] = ()


class PartitionStepKind(StrEnum):
    """TRUNCATE: an expired month within ``back``. DETACH: one beyond it, dropped afterwards. RANGE: a boundary partition,
    or one with held rows, or a clock other than birth: row by row in keyset batches."""

    TRUNCATE = "Truncate"
    DETACH = "Detach"
    RANGE = "Range"


class PartitionStep(Value):
    """One step of a category's work, in order; ``describe`` is what the dry run prints."""

    kind: PartitionStepKind
    category: str
    table: str
    partition: str
    rows: int

    def describe(self) -> str:
        """One line for people."""
        return f"{self.kind} {self.table}/{self.partition}: {self.rows} rows"


class MonthBatch(Value):
    """The result of one transaction over whole months: rows deleted, and how many of the months were done (at least one)."""

    deleted: int
    months: int


class Pressure(Value):
    """What the server bears now. ``wal_bytes``: position in its write-ahead log; ``largest_wal``: how much of it the server
    lets grow between two checkpoints (``max_wal_size``); ``lag_bytes``: how far the slowest standby is behind, None: none is seen;
    ``transactions``: how many that write have begun so far, whoever began them.
    """

    wal_bytes: int
    largest_wal: int
    lag_bytes: int | None
    transactions: int


class RangeBatch(Value):
    """The result of one keyset batch: rows deleted, and where the next one begins (None: the partition is done)."""

    deleted: int
    resume_after: datetime | None


class Claim(Value):
    """One object that is claimed for deletion: its row waits until ``confirm_claims``. ``version`` None: all versions."""

    claim_id: int
    key: str
    version: str | None


class NamedObject(Value):
    """An object, by its place among those asked about, that a staying row names. ``in_part``: that row means one version where
    all of them were asked about."""

    place: int
    in_part: bool


class ObjectLock(Value):
    """An object that has not reached its min: the bucket must refuse its deletion before ``until`` (UTC) = birth + min.

    ``version`` None: every version of the key that is there.
    """

    lock_id: int
    key: str
    version: str | None
    until: datetime


class LockBatch(Value):
    """Locks to set now, and where to ask on (None: every object was looked at)."""

    locks: tuple[ObjectLock, ...]
    resume_from: datetime | None


class EnforcementDatabase(
    OrphanDatabase,
    AnonymizingDatabase,
    ArchivingDatabase,
    CachedRowsDatabase,
    FindingsDatabase,
    RequestsDatabase,
    Protocol,
):
    """A tenant's database as the enforcer login sees it (functions of schema ``retention`` only)."""

    def begin_run(self, run_id: UUID, mode: Mode, rules_digest: str, own_clock: datetime) -> tuple[CategoryRun, ...]:
        """Fixes the run's clock and cut-offs, counts, asks the guard, writes the intent; marks unfinished runs Interrupted.

        Raises Invalid (reason RulesChanged) if the digest is not the database's; NotReady (reason ClockSkew) if the
        clocks differ by over a minute; NotReady (reason RunInProgress) if another session is in a run right now.
        """

    def limit_run(self, run_id: UUID, categories: Sequence[str]) -> tuple[CategoryRun, ...]:
        """Takes all other categories out of a run that has just begun: it works on these, is judged by these, and its
        evidence says so. It never counts as a night's run. Categories of the policy's other databases may be among them.
        Raises Invalid (CategoryUnknown)."""

    def limit_to_requests(self, run_id: UUID) -> tuple[CategoryRun, ...]:
        """Takes all that is due by age out of a run that has just begun: it only carries out requests, and never counts as a
        night's run."""

    def ensure_partitions(self, run_id: UUID) -> int:
        """Creates partitions ahead; returns how many were made. A failure here never undoes or stops deletion."""

    def finish_detached(self, run_id: UUID) -> int:
        """Drops partitions that an earlier run detached (holds are checked again; held rows are attached back). Count dropped.

        One that somebody reads keeps none of the others. Raises Unavailable (LockTimeout) naming it once the others are gone.
        """

    def partition_steps(self, run_id: UUID, category: str) -> tuple[PartitionStep, ...]:
        """The category's work in order, children first, oldest first; the same for DryRun and Enforce (X7)."""

    def expire_months(self, run_id: UUID, steps: Sequence[PartitionStep], milliseconds: int) -> MonthBatch:
        """Truncates, or detaches and drops, the first of these months and as many of the others as fit the time.

        ``steps``: at least one, of one table and one kind, TRUNCATE or DETACH. Raises Unavailable on a lock timeout."""

    def expire_range(self, run_id: UUID, step: PartitionStep, resume_after: datetime | None, limit: int) -> RangeBatch:
        """Deletes about ``limit`` rows of one partition in clock order, held ones skipped."""

    def pressure(self) -> Pressure | None:
        """What the server bears now; None where it cannot tell. Needs no privilege of the server."""

    def refresh_statistics(self, run_id: UUID, category: str, tables: Sequence[str]) -> int:
        """ANALYZE of these tables of the category, where the run took much of it; how many were analyzed."""

    def claim_content(self, run_id: UUID, category: str, limit: int) -> tuple[Claim, ...]:
        """Claims up to ``limit`` due objects, those of interrupted runs first; empty when none is left to try in this run."""

    def confirm_claims(self, run_id: UUID, claim_ids: Sequence[int]) -> int:
        """Deletes the rows of objects that are proven gone; rows deleted."""

    def release_claims(self, run_id: UUID, failures: Iterable[tuple[int, str]]) -> None:
        """Gives claims back with the store's error code; this run does not try them again, the next one does."""

    def objects_named_here(self, run_id: UUID, objects: Sequence[ObjectRow]) -> tuple[NamedObject, ...]:
        """Which of these a row names that stays in this run (younger than its category's cut-off, or held): for a database
        that shares the bucket and is about to delete them (M8, X3). Raises where this database is not in the run, or its
        rules changed since."""

    def objects_to_lock(self, run_id: UUID, category: str, resume_from: datetime | None, limit: int) -> LockBatch:
        """Up to ``limit`` young objects whose lock is missing or shorter than birth + min; () without a min (M8).

        What was recorded as locked long enough, or as failed in this run, is not asked for again.
        """

    def record_locks(self, run_id: UUID, category: str, outcomes: Iterable[tuple[int, str | None]]) -> None:
        """What came of locks, by id: the store's error code, None for a lock that holds. A failure is tried by the next run."""

    def count_files(
        self, run_id: UUID, category: str, store_clock: datetime | None, spans: Sequence[FileSpan]
    ) -> CategoryRun:
        """Takes the count of a category's files, asks the guard for them; the category's counts with them. Asked twice it
        answers the same. Raises NotReady (ClockSkew) if the bucket's server and the database differ by over a minute."""

    def own_files(self, run_id: UUID, category: str, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        """Those of these that no row here names, with their last modification from before they were locked: a store may call
        the locking one."""

    def files_to_lock(self, run_id: UUID, category: str, files: Sequence[StoredFile]) -> tuple[ObjectLock, ...]:
        """Which of these young files still lack their lock until last modification + min (M8); recorded by ``record_locks``."""

    def claim_files(
        self, run_id: UUID, category: str, files: Sequence[StoredFile], claimed_before: int
    ) -> tuple[int, ...]:
        """Which of these may go now, by position: due, past min, not held, named by no row. ``claimed_before``: the run's
        claims of this category so far."""

    def confirm_files(self, run_id: UUID, category: str, gone: int, refused: int) -> None:
        """How many of the claimed files are proven gone, and how many the store would not delete: totals of the run."""

    def recount_files(self, run_id: UUID, category: str, spans: Sequence[FileSpan]) -> None:
        """What is there after the work: residue, and the inventory that the operator counts on by time."""

    def record_failure(self, run_id: UUID, category: str, reason: str) -> None:
        """Notes that a category's work failed in this run (a reason word, no data); the others go on."""

    def finish_run(self, run_id: UUID) -> RunEvidence:
        """Counts residue and debt, appends the evidence to the chain, remembers the executed rules. Idempotent."""


class ObjectDeletion(Value):
    """The outcome of deleting one claim's object: ``error`` is the store's code, None when it is gone."""

    claim_id: int
    error: str | None


class LockOutcome(Value):
    """What came of one lock: ``error`` is the store's code, None when it holds or the object is gone."""

    lock_id: int
    error: str | None


class ContentBucket(OrphanBucket, FileBucket, Protocol):
    """A tenant's content bucket as the enforcer identity sees it."""

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        """Deletes every named version (and, for version None, all versions and markers); a missing object counts as gone.

        Reads the per-key errors inside a 200. Raises Unavailable if the store does not answer at all.
        """

    def retain_objects(self, locks: Sequence[ObjectLock]) -> tuple[LockOutcome, ...]:
        """Locks objects so that nobody deletes them before their ``until``; never shortens a lock. Outcomes in that order.

        Raises Unavailable if the store does not answer at all.
        """

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        """Ends uploads in parts that began before that and were never completed: data too, and in no listing. How many went.

        Raises Unavailable or Invalid as ``delete_objects``, and Unavailable (UploadsLeft) if some could not be ended.
        """
