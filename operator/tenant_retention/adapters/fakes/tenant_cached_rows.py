"""Rows that cached keys are about, in the tenant database in memory. A row's key column is its session or its id."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_server import Row
from tenant_retention.adapters.fakes.tenant_session import TenantSession
from tenant_retention.domain.definition import CacheDefinition, CategoryDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.cached_rows import CachedRow, CachedRows, CacheEvidence


class TenantCachedRows(TenantSession):
    """See ``CachedRowsDatabase`` for each method."""

    def cached_rows(self, run_id: UUID, category: str, values: Sequence[str]) -> CachedRows:
        self._current(run_id)
        found, cache = self._cached(category)
        selecting = [hold for hold in self._server.holds if hold.category in (None, category)]
        held = any(cache.table is None or hold.session is None for hold in selecting)
        if cache.table is None:
            return CachedRows(held=held)
        by_value: dict[str | None, list[Row]] = {}
        for row in self._server.rows:
            if row.table == cache.table:
                value = row.session if cache.key_column == "session_id" else row.identity.partition(":")[2]
                by_value.setdefault(value, []).append(row)
        rows = tuple(
            CachedRow(
                place=place,
                held=any(self._server.held(found, row) for row in by_value[value]),
                clock=min(filter(None, (row.clock(found) for row in by_value[value])), default=None),
            )
            for place, value in enumerate(values)
            if value in by_value
        )
        return CachedRows(held=held, rows=rows)

    def record_cache(self, run_id: UUID, evidence: CacheEvidence) -> None:
        run = self._known(run_id)
        if evidence.category:
            self._cached(evidence.category)
        run.caches.pop(evidence.category, None)
        run.caches[evidence.category] = evidence

    def _cached(self, category: str) -> tuple[CategoryDefinition, CacheDefinition]:
        for found in self._server.definition.categories:
            if found.name == category and found.database == self._server.purpose and found.cache is not None:
                return found, found.cache
        raise Invalid(f"category {category} is not cached", reason="CategoryUnknown")
