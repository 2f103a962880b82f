"""What a sweep of a cache needs of the tenant's database: whether the rows that keys are about are still there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value


class CachedRow(Value):
    """Rows that are there, by their value's place among those asked for; ``held``: a legal hold selects one of them. ``clock``: the
    earliest instant that one of them counts from, None: none has started."""

    place: int
    held: bool
    clock: datetime | None = None


class CachedRows(Value):
    """``held``: a legal hold selects the whole category, so that every key of it stays. ``rows``: those that are there."""

    held: bool
    rows: tuple[CachedRow, ...] = ()


class CacheEvidence(Value):
    """What a run did to the keys of one category (T6, X6); counts alone, no name. ``category`` empty: keys of no category.

    ``unlimited``: found without a time to live where the rule knows one; ``limited``: given one, or a shorter one.
    ``due``: keys whose row is gone; ``removed``: of these. ``held``: keys of held rows. ``unmapped``: keys that name no row.
    ``residue``: due keys that are left, None when it could not be counted. ``failure``: why the look did not come to its end.
    """

    category: str
    keys: int = 0
    unlimited: int = 0
    limited: int = 0
    due: int = 0
    removed: int = 0
    held: int = 0
    unmapped: int = 0
    residue: int | None = None
    failure: str | None = None


class CacheLooks(Value):
    """What the nights' looks at one category's keys came to (X4). ``left``: keys without their row after the last one, None
    where it failed, with the ``failure``. ``clean_at``: the last look that left none; ``left_since``: the first after it that
    left some, or failed; None: there is none such."""

    category: str
    looked_at: datetime
    left: int | None
    failure: str | None
    clean_at: datetime | None
    left_since: datetime | None


class CachedRowsDatabase(Protocol):
    """The database's part, in a run; one transaction each."""

    def cached_rows(self, run_id: UUID, category: str, values: Sequence[str]) -> CachedRows:
        """Which of these values of the category's key column a row has, committed by now. Raises as every step of a run
        where its rules changed or it was suspended; Invalid (CategoryUnknown) for one that is not cached."""

    def record_cache(self, run_id: UUID, evidence: CacheEvidence) -> None:
        """Makes it part of the run's evidence; told again it counts once, the last time."""
