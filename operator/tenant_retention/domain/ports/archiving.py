"""How rows leave a live database for the archive (D3, T5): read there, written and read back here, only then deleted there.

A kill between any two calls leaves a row in at least one of the two; the next run finds it again and ends it with exactly one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value


class ArchiveStep(Value):
    """One month of one table from which rows are due to move; ``describe`` is what the dry run prints."""

    category: str
    table: str
    partition: str
    born_from: datetime
    rows: int

    def describe(self) -> str:
        """One line for people."""
        return f"Archive {self.table}/{self.partition}: {self.rows} rows"


class ArchiveRow(Value):
    """One row. ``row``: a JSON object of all its columns, as PostgreSQL's ``to_jsonb`` writes them (times in UTC, numbers exact).
    ``digest``: this version of it, hexadecimal; the live database deletes the row only while it still has this digest."""

    digest: str
    row: str


class ArchiveBatch(Value):
    """Rows of one month of one table in the order of births and keys, whose places come after ``after`` and up to ``through``, as
    the database spells places (None: the first, and the last of the month). ``waiting``: due rows in between that wait for their
    content, and stay (P4)."""

    rows: tuple[ArchiveRow, ...]
    after: str | None
    through: str | None
    waiting: int = 0


class ArchivingDatabase(Protocol):
    """The live side, part of ``EnforcementDatabase``: every call is one transaction, and the database decides by its own rules."""

    def archive_steps(self, run_id: UUID, category: str) -> tuple[ArchiveStep, ...]:
        """The months with rows to move, oldest first, and counts them into the run's evidence; the same for DryRun and Enforce
        (X7). Rows below min, held, due for deletion, or due to lose the person are not among them."""

    def archive_rows(self, run_id: UUID, step: ArchiveStep, after: str | None, limit: int) -> ArchiveBatch:
        """Up to ``limit`` rows of one month that are due to move, fewer where they are large. Changes nothing."""

    def archive_moved(self, run_id: UUID, step: ArchiveStep, batch: ArchiveBatch, kept: Sequence[str]) -> int:
        """Deletes the rows of ``batch`` whose digests are in ``kept``, that is, which the archive has shown to keep: those that are
        still due, not held, wait for nothing and are unchanged. Rows deleted. The others stay, and come in the next run."""

    def take_archived(self, run_id: UUID, step: ArchiveStep, rows: Sequence[ArchiveRow]) -> None:
        """The archive's side: inserts these rows; one whose key is there already stays as it is there. Refuses rows that are
        younger than the category's ``archive_after``, and a database that is no archive (Invalid, NotAnArchive)."""

    def archived_here(self, run_id: UUID, step: ArchiveStep, rows: Sequence[ArchiveRow]) -> tuple[str, ...]:
        """The archive's side: the digests of those rows that are here exactly as they are told."""


class ArchiveTarget(Protocol):
    """Where the rows go. Both calls may be repeated with the same rows: nothing is ever there twice."""

    rows_at_once: int
    """How many rows a batch should have."""

    def write(self, run_id: UUID, step: ArchiveStep, batch: ArchiveBatch) -> None:
        """Keeps these rows for good: after it returns they survive a crash. A row that is there already with the same key stays as
        it is. Raises RetentionError where it could keep none of them."""

    def kept(self, run_id: UUID, step: ArchiveStep, batch: ArchiveBatch) -> tuple[str, ...]:
        """Reads back: the digests of those rows that the archive has exactly as they are in ``batch``. One that is missing there, or
        is there with other values (the application wrote its key again), is not among them: it stays in both, and is told as a
        failure of its category (``ArchiveConflict``)."""
