"""The part of a bucket in memory that looks for orphans, over whatever the fake keeps its objects in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from tenant_retention.domain.orphans import ObjectRow, StoredObject
from tenant_retention.domain.ports.orphans import ObjectPage, Place


class ListedObjects(ABC):
    """Implements ``OrphanBucket``."""

    def list_objects(self, begins_at: Place, limit: int) -> ObjectPage:
        there = sorted((each for each in self._listed() if not each.delete_marker), key=_place)
        rest = [each for each in there if begins_at is None or _place(each) > begins_at]
        page = rest[:limit]
        return ObjectPage(objects=tuple(page), goes_on_at=_place(page[-1]) if len(rest) > limit else None)

    def missing_objects(self, rows: Sequence[ObjectRow]) -> tuple[ObjectRow, ...]:
        there = {(each.key, each.version) for each in self._listed() if not each.delete_marker}
        keys = {key for key, _ in there}
        return tuple(
            row for row in rows if (row.key not in keys if row.version is None else (row.key, row.version) not in there)
        )

    @abstractmethod
    def _listed(self) -> Iterable[StoredObject]:
        """Everything, by key. Raises as the store's listing does."""


def _place(stored: StoredObject) -> list[str]:
    return [stored.key, stored.version or ""]
