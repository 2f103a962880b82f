"""Objects without a row and rows without their object: compared, counted and reported; nothing here deletes (RETENTION.md section 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

SETTLING = timedelta(days=1)
"""Applications upload first and write the row afterwards: a younger object, or row, is no orphan yet."""
SAMPLE = 100
"""How many keys of each kind a report carries."""


@dataclass(frozen=True)
class StoredObject:
    """One version in a bucket. ``version`` None: the store does not version. ``modified``: UTC, None if not told."""

    key: str
    version: str | None
    modified: datetime | None
    delete_marker: bool = False


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


def find_orphans(objects: Iterable[StoredObject], rows: Iterable[ObjectRow], settled_before: datetime) -> OrphanReport:
    """Compares a whole bucket with all rows that name objects in it; both in any order.

    The rows are read to their end before the first object is: applications upload before they write the row, so every
    row's object is there by then, and an object without a row is either an orphan or younger than ``settled_before`` (UTC).
    """
    expected: dict[bytes, ObjectRow] = {}
    row_count = 0
    for row in rows:
        row_count += 1
        expected[_digest(row.key, row.version)] = row
    found: set[bytes] = set()
    sample: list[StoredObject] = []
    counted = orphans = markers = unsettled = 0
    for stored in objects:
        if stored.delete_marker:
            markers += 1
            continue
        counted += 1
        matches = {_digest(stored.key, stored.version), _digest(stored.key, None)} & expected.keys()
        found |= matches
        if matches:
            continue
        if stored.modified is None or stored.modified >= settled_before:
            unsettled += 1
            continue
        orphans += 1
        if len(sample) < SAMPLE:
            sample.append(stored)
    missing = [row for digest, row in expected.items() if digest not in found]
    return OrphanReport(
        objects=counted,
        rows=row_count,
        objects_without_row=orphans,
        rows_without_object=len(missing),
        delete_markers=markers,
        unsettled=unsettled,
        object_sample=tuple(sample),
        row_sample=tuple(missing[:SAMPLE]),
    )


def _digest(key: str, version: str | None) -> bytes:
    named = f"{len(key)}:{key}:" + ("" if version is None else f"v{version}")
    return hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=16).digest()
