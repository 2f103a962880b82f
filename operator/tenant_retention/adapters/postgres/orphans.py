"""``OrphanDatabase`` on a real tenant database: one call of a function each, which returns counts, positions or a page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.failures import answer
from tenant_retention.domain.orphans import StoredObject
from tenant_retention.domain.ports.orphans import OrphanKind, OrphanPage, Place, RowPage


class PostgresOrphans(ABC):
    """See ``OrphanDatabase``; ``_call`` is one function in one transaction."""

    def orphan_place(self, kind: OrphanKind, name: str) -> Place:
        """See ``OrphanDatabase.orphan_place``."""
        place: Place = self._call("orphan_place", kind.value, name)
        return place

    def unnamed_objects(self, objects: Sequence[StoredObject], *, exactly: bool = False) -> tuple[int, ...]:
        """See ``OrphanDatabase.unnamed_objects``: one reading of every table that names objects."""
        return tuple(self._call("unnamed_objects", Jsonb([[each.key, each.version, exactly] for each in objects])))

    def rows_naming_objects(self, category: str, begins_at: Place, born_before: datetime, limit: int) -> RowPage:
        """See ``OrphanDatabase.rows_naming_objects``."""
        return answer(RowPage, self._call("rows_naming_objects", category, _json(begins_at), born_before, limit))

    def record_orphans(self, page: OrphanPage) -> None:
        """See ``OrphanDatabase.record_orphans``."""
        places = _json(page.begins_at), _json(page.goes_on_at)
        counts = page.looked_at, page.found, page.overdue, page.oldest_overdue
        self._call("record_orphans", page.kind.value, page.name, *places, *counts)

    @abstractmethod
    def _call(self, name: str, *arguments: object) -> Any: ...


def _json(place: Place) -> Jsonb | None:
    return None if place is None else Jsonb(place)
