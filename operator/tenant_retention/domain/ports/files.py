"""Files in a bucket that go by their last modification (M5): what a run lists, and how it counts them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from tenant_retention.domain.definition import Value
from tenant_retention.domain.ports.orphans import Place


class StoredFile(Value):
    """One version, or one delete marker. ``modified``: UTC, the latest instant that the store's answer can mean.
    ``version`` None: the store does not version."""

    key: str
    version: str | None
    modified: datetime
    delete_marker: bool = False


class FilePage(Value):
    """One page of a listing, in the store's own order. ``goes_on_at`` None: it is at its end. ``store_clock``: what the store
    said it was (UTC), None where it said nothing."""

    files: tuple[StoredFile, ...]
    goes_on_at: Place
    store_clock: datetime | None


class FileSpan(Value):
    """``files`` versions with last modifications from ``oldest`` to ``newest``, of one day and between two edges."""

    oldest: datetime
    newest: datetime
    files: int


class FileCount:
    """Counts by day of last modification, and apart on both sides of every edge: counts up to an edge are exact."""

    def __init__(self, edges: Iterable[datetime]) -> None:
        self._edges = sorted(edges)
        self._spans: dict[tuple[int, int], tuple[datetime, datetime, int]] = {}

    def add(self, modified: datetime) -> None:
        """One more."""
        place = modified.toordinal(), bisect_left(self._edges, modified)
        oldest, newest, files = self._spans.get(place, (modified, modified, 0))
        self._spans[place] = min(oldest, modified), max(newest, modified), files + 1

    def spans(self) -> Sequence[FileSpan]:
        """What was counted, oldest first."""
        return [
            FileSpan(oldest=oldest, newest=newest, files=files)
            for _, (oldest, newest, files) in sorted(self._spans.items())
        ]


class FileBucket(Protocol):
    """A bucket as it lists files."""

    def list_files(self, prefix: str, begins_at: Place, limit: int) -> FilePage:
        """The next versions and delete markers below ``prefix``, about ``limit`` of them. Raises Unavailable or Invalid."""
