"""Objects without a row and rows without their object: compared, counted and reported; nothing here deletes (RETENTION.md section 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from tenant_retention.domain.definition import ARCHIVE, ClockEvent, RetentionDefinition
from tenant_retention.domain.durations import Period, end_of_period

SETTLING = timedelta(days=1)
"""Applications upload first and write the row afterwards: a younger object, or row, is no orphan yet."""
SAMPLE = 100
"""How many keys of each kind a report carries."""
_ASKED_AT_ONCE = 10_000
_Half = TypeVar("_Half")


@dataclass(frozen=True)
class StoredObject:
    """One version in a bucket. ``version`` None: the store does not version. ``modified``: UTC, None if not told.
    ``replaced``: when a newer version or a delete marker took its place; None: it is the latest, or nobody saw that one."""

    key: str
    version: str | None
    modified: datetime | None
    delete_marker: bool = False
    replaced: datetime | None = None


@dataclass(frozen=True)
class LongestStay:
    """What any category that keeps objects in a bucket could still keep there: the longest max of them all (M10, T6).

    ``from_birth``: every clock there starts with the object. Otherwise one may be in use, for years, until it is replaced.
    """

    maxima: tuple[Period, ...]
    from_birth: bool

    def is_over(self, stored: StoredObject, now: datetime) -> bool:
        """Whether no category could still keep it, in doubt not. ``now``: UTC."""
        since = stored.modified if self.from_birth else stored.replaced
        return since is not None and all(end_of_period(since, each) <= now for each in self.maxima)


def longest_stay(definition: RetentionDefinition, bucket: str) -> LongestStay | None:
    """Of the bucket with this purpose; None: no category keeps objects there, or one of them knows no max."""
    categories = [
        each
        for each in definition.categories
        if (each.archivable if bucket == ARCHIVE else each.objects is not None and each.objects.bucket == bucket)
    ]
    bought = [each.extended.maximum for each in categories if each.extended is not None]
    maxima = [*bought, *(each.maximum for each in categories)]
    if not categories or None in maxima:
        return None
    known = tuple(Period.parse(each) for each in maxima if each is not None)
    return LongestStay(known, all(each.clock_event is ClockEvent.CREATED for each in categories))


@dataclass(frozen=True)
class ObjectRow:
    """What a row says of its object; ``version`` None: the row names no version."""

    key: str
    version: str | None


@dataclass(frozen=True)
class OrphanReport:
    """The comparison. ``unsettled``: objects too young to have their row yet, not counted as orphans.

    Keys may hold personal data: a report's keys are for the administrator's eyes, never for logs, status or evidence.
    """

    objects: int
    rows: int
    objects_without_row: int
    rows_without_object: int
    delete_markers: int
    unsettled: int
    object_sample: tuple[StoredObject, ...] = ()
    row_sample: tuple[ObjectRow, ...] = ()


def find_orphans(
    objects: Iterable[StoredObject],
    rows: Iterable[ObjectRow],
    settled_before: datetime,
    *,
    unnamed: Callable[[Sequence[StoredObject]], Sequence[StoredObject]],
    missing: Callable[[Sequence[ObjectRow]], Sequence[ObjectRow]],
) -> OrphanReport:
    """Compares a whole bucket with all rows that name objects in it; both in any order.

    The rows are read to their end before the first object is: applications upload before they write the row, so every
    row's object is there by then, and an object without a row is either an orphan or younger than ``settled_before`` (UTC).
    What finds no other half is then asked for by its key, since a listing may lose names and rows go on being written:
    ``unnamed`` and ``missing`` return those of some thousands that still have none.
    """
    expected: dict[bytes, ObjectRow] = {}
    row_count = 0
    for row in rows:
        row_count += 1
        expected[_digest(row.key, row.version)] = row
    objects_seen = _Objects(expected.keys(), settled_before)
    without_row, object_sample = _confirmed(objects_seen.without_row(objects), unnamed)
    alone = (row for digest, row in expected.items() if digest not in objects_seen.found)
    without_object, row_sample = _confirmed(alone, missing)
    return OrphanReport(
        objects=objects_seen.counted,
        rows=row_count,
        objects_without_row=without_row,
        rows_without_object=without_object,
        delete_markers=objects_seen.markers,
        unsettled=objects_seen.unsettled,
        object_sample=object_sample,
        row_sample=row_sample,
    )


class _Objects:
    """One walk over a bucket beside the digests of all rows; ``found``: those that an object was there for."""

    def __init__(self, expected: Set[bytes], settled_before: datetime) -> None:
        self._expected = expected
        self._settled_before = settled_before
        self.found: set[bytes] = set()
        self.counted = self.markers = self.unsettled = 0

    def without_row(self, objects: Iterable[StoredObject]) -> Iterator[StoredObject]:
        """The settled objects that no row names."""
        for stored in objects:
            if stored.delete_marker:
                self.markers += 1
                continue
            self.counted += 1
            matches = {_digest(stored.key, stored.version), _digest(stored.key, None)} & self._expected
            self.found |= matches
            if matches:
                continue
            if stored.modified is None or stored.modified >= self._settled_before:
                self.unsettled += 1
            else:
                yield stored


def _confirmed(
    candidates: Iterable[_Half], still_alone: Callable[[Sequence[_Half]], Sequence[_Half]]
) -> tuple[int, tuple[_Half, ...]]:
    """How many candidates are found to be alone when asked for, and a sample of them."""
    count, waiting = 0, iter(candidates)
    sample: list[_Half] = []
    while asked := tuple(islice(waiting, _ASKED_AT_ONCE)):
        alone = still_alone(asked)
        count += len(alone)
        sample += alone[: SAMPLE - len(sample)]
    return count, tuple(sample)


def _digest(key: str, version: str | None) -> bytes:
    named = f"{len(key)}:{key}:" + ("" if version is None else f"v{version}")
    return hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=16).digest()
