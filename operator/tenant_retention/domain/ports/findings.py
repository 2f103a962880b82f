"""What a run's look for things that may not be stored needs of a database: content without consent (P10), unmasked digits (P11).

A scan marks what is so; the next run takes it away if it is still so, no hold keeps it, and the guard does not ask.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value


class ScanBatch(Value):
    """The result of one transaction's scan. ``found``: rows of the table that are marked, 0 until its end is reached;
    ``resume_after``: where the next one begins (None: every month was looked at)."""

    found: int
    resume_after: datetime | None


class FindingsDatabase(Protocol):
    """Part of ``EnforcementDatabase``: every method is one transaction; tables are looked up, nothing else is believed."""

    def scan_findings(self, run_id: UUID, category: str, table: str, resume_after: datetime | None) -> ScanBatch:
        """Marks rows of the next months that are without consent or show digits, and forgets marks of what is so no longer.
        In dry runs too (X7)."""

    def clear_findings(self, run_id: UUID, category: str, table: str, limit: int) -> int:
        """Takes away up to ``limit`` rows that earlier runs found: rows without an object go, digits are blanked; those with
        an object go by ``claim_content``. Returns how many were tried; 0: none is left to this run."""
