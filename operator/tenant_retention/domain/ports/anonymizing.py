"""What the enforcement engine needs of a tenant's database to take the person out of rows that stay (P12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value


class AnonymizeStep(Value):
    """One month in which rows lose the person; ``rewrite``: so many that the month is written anew. ``describe`` is what the dry
    run prints."""

    category: str
    table: str
    partition: str
    rows: int
    rewrite: bool = False

    def describe(self) -> str:
        """One line for people."""
        return f"{'Rewrite' if self.rewrite else 'Anonymize'} {self.table}/{self.partition}: {self.rows} rows"


class AnonymizeBatch(Value):
    """The result of one keyset batch: rows changed, and where the next one begins (None: the month is done)."""

    anonymized: int
    resume_after: datetime | None


MonthDone = Callable[[AnonymizeStep, int | None], None]
"""A month that was to be written anew, with the rows changed; None where something was written to it or held meanwhile: then nothing
was done, and it goes by ``anonymize_range``."""


class AnonymizingDatabase(Protocol):
    """Part of ``EnforcementDatabase``; every call is one transaction or several that may each be repeated."""

    def anonymize_steps(self, run_id: UUID, category: str) -> tuple[AnonymizeStep, ...]:
        """The months in which rows are due to lose the person, oldest first; the same for DryRun and Enforce (X7)."""

    def anonymize_range(
        self, run_id: UUID, step: AnonymizeStep, resume_after: datetime | None, limit: int
    ) -> AnonymizeBatch:
        """Takes the person out of about ``limit`` rows of one month in clock order. Held rows, and records that wait for content
        of their session, are passed over. Told twice it changes nothing more."""

    def rewrite_months(self, run_id: UUID, steps: Iterable[AnonymizeStep], done: MonthDone) -> None:
        """Writes these months anew without the person, two at a time. ``steps`` is asked for a month when it is about to be begun;
        ``done`` is told each one in the order in which they end. Told again it goes on, or is done: then with 0 rows."""

    def discard_rewrites(self, run_id: UUID) -> int:
        """Removes what a run that was killed left of months it was writing anew; how many."""
