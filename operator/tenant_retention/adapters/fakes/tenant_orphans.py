"""The look for orphans in the tenant database in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tenant_retention.adapters.fakes.tenant_server import OrphanPass, TenantServer
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.orphans import ObjectRow, StoredObject
from tenant_retention.domain.ports.orphans import OrphanKind, OrphanPage, Place, RowPage


class TenantOrphans:
    """See ``OrphanDatabase`` for each method; needs no run."""

    _server: TenantServer

    def orphan_place(self, kind: OrphanKind, name: str) -> Place:
        found = self._server.orphans.get((kind, name))
        return found.goes_on_at if found else None

    def unnamed_objects(self, objects: Sequence[StoredObject], *, exactly: bool = False) -> tuple[int, ...]:
        versions: dict[str, set[str | None]] = {}
        for row in self._server.rows:
            if row.key:
                versions.setdefault(row.key, set()).add(row.version)

        def named(each: StoredObject) -> bool:
            found = versions.get(each.key, set())
            return bool(found) and (each.version is None or each.version in found or (None in found and not exactly))

        return tuple(place for place, each in enumerate(objects) if not named(each))

    def rows_naming_objects(self, category: str, begins_at: Place, born_before: datetime, limit: int) -> RowPage:
        found = self._server.definition.category(category)
        places = sorted(
            {
                (row.born_at.isoformat(timespec="microseconds"), row.key, row.version or "")
                for row in self._server.rows
                if row.table in found.tables and row.key and row.born_at < born_before
            }
        )
        page = [place for place in places if begins_at is None or place > tuple(begins_at)][:limit]
        rows = tuple(ObjectRow(key, version or None) for _, key, version in page)
        return RowPage(rows=rows, goes_on_at=list(page[-1]) if len(page) == limit else None)

    def record_orphans(self, page: OrphanPage) -> None:
        self._require(page)
        here = self._server.orphans.setdefault((page.kind, page.name), OrphanPass())
        if here.goes_on_at != page.begins_at:
            return
        here.goes_on_at = page.goes_on_at
        here.looked_at += page.looked_at
        here.found += page.found
        here.overdue += page.overdue
        known = [each for each in (here.oldest_overdue, page.oldest_overdue) if each is not None]
        here.oldest_overdue = min(known, default=None)
        if page.goes_on_at is None:
            here.last_looked_at, here.last_found = here.looked_at, here.found
            here.last_overdue, here.last_oldest_overdue = here.overdue, here.oldest_overdue
            here.looked_at = here.found = here.overdue = 0
            here.oldest_overdue = None

    def _require(self, page: OrphanPage) -> None:
        named = [each for each in self._server.definition.categories if each.objects]
        names = {(OrphanKind.MISSING_OBJECTS, each.name) for each in named}
        for kind in (OrphanKind.UNNAMED_OBJECTS, OrphanKind.UNFINISHED_UPLOADS):
            names |= {(kind, each.objects.bucket) for each in named if each.objects}
        if (page.kind, page.name) not in names:
            raise Invalid(f"nothing here is called {page.name}", reason="CategoryUnknown")
