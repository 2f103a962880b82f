"""What the enforcement engine needs of a tenant's database to take the person out of rows that stay (P12)."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value


class AnonymizeStep(Value):
    """One month in which rows lose the person; ``describe`` is what the dry run prints."""

    category: str
    table: str
    partition: str
    rows: int

    def describe(self) -> str:
        """One line for people."""
        return f"Anonymize {self.table}/{self.partition}: {self.rows} rows"


class AnonymizeBatch(Value):
    """The result of one keyset batch: rows changed, and where the next one begins (None: the month is done)."""

    anonymized: int
    resume_after: datetime | None


class AnonymizingDatabase(Protocol):
    """Part of ``EnforcementDatabase``; every call is one transaction or several that may each be repeated."""

    def anonymize_steps(self, run_id: UUID, category: str) -> tuple[AnonymizeStep, ...]:
        """The months in which rows are due to lose the person, oldest first; the same for DryRun and Enforce (X7)."""

    def anonymize_range(
        self, run_id: UUID, step: AnonymizeStep, resume_after: datetime | None, limit: int
    ) -> AnonymizeBatch:
        """Takes the person out of about ``limit`` rows of one month in clock order. Held rows, and records that wait for content
        of their session, are passed over. Told twice it changes nothing more."""
