"""The part of a bucket in memory that looks for orphans, over whatever the fake keeps its objects in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tenant_retention.domain.orphans import ObjectRow, StoredObject
from tenant_retention.domain.ports.files import FilePage, StoredFile
from tenant_retention.domain.ports.orphans import ObjectPage, Place


class ListedObjects(ABC):
    """Implements ``OrphanBucket``."""

    def list_objects(self, begins_at: Place, limit: int) -> ObjectPage:
        there = sorted((each for each in self._listed() if not each.delete_marker), key=place_of)
        rest = [each for each in there if begins_at is None or place_of(each) > begins_at]
        page = rest[:limit]
        return ObjectPage(objects=tuple(page), goes_on_at=place_of(page[-1]) if len(rest) > limit else None)

    def list_files(self, prefix: str, begins_at: Place, limit: int) -> FilePage:
        there = sorted((each for each in self._listed() if each.key.startswith(prefix)), key=place_of)
        rest = [each for each in there if begins_at is None or place_of(each) > begins_at]
        now = self._store_clock()
        files = [
            StoredFile(
                key=each.key, version=each.version, modified=each.modified or now, delete_marker=each.delete_marker
            )
            for each in rest[:limit]
        ]
        goes_on = place_of(rest[limit - 1]) if len(rest) > limit else None
        return FilePage(files=tuple(files), goes_on_at=goes_on, store_clock=now)

    def _store_clock(self) -> datetime:
        return datetime.now(UTC)

    def missing_objects(self, rows: Sequence[ObjectRow]) -> tuple[ObjectRow, ...]:
        there = {(each.key, each.version) for each in self._listed() if not each.delete_marker}
        keys = {key for key, _ in there}
        return tuple(
            row for row in rows if (row.key not in keys if row.version is None else (row.key, row.version) not in there)
        )

    @abstractmethod
    def _listed(self) -> Iterable[StoredObject]:
        """Everything, by key. Raises as the store's listing does."""


def place_of(stored: StoredObject) -> list[str]:
    """Where a listing stands after this object."""
    return [stored.key, stored.version or ""]
