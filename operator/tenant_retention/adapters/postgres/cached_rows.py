"""``CachedRowsDatabase`` on a real tenant database: one call of a function each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.failures import answer
from tenant_retention.domain.ports.cached_rows import CachedRows, CacheEvidence


class PostgresCachedRows(ABC):
    """See ``CachedRowsDatabase``; ``_call`` is one function in one transaction."""

    def cached_rows(self, run_id: UUID, category: str, values: Sequence[str]) -> CachedRows:
        """See ``CachedRowsDatabase.cached_rows``: one reading of the table, whatever indexes it has."""
        return answer(CachedRows, self._call("cached_rows", run_id, category, list(values)))

    def record_cache(self, run_id: UUID, evidence: CacheEvidence) -> None:
        """See ``CachedRowsDatabase.record_cache``."""
        self._call("record_cache", run_id, Jsonb(evidence.model_dump(mode="json", by_alias=True)))

    @abstractmethod
    def _call(self, name: str, *arguments: object) -> Any: ...
