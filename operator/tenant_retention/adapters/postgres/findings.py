"""``FindingsDatabase`` on a real tenant database: one call of a function each, which returns counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_retention.adapters.postgres.failures import answer
from tenant_retention.domain.ports.findings import ScanBatch


class PostgresFindings(ABC):
    """See ``FindingsDatabase``; ``_call`` is one function in one transaction."""

    def scan_findings(self, run_id: UUID, category: str, table: str, resume_after: datetime | None) -> ScanBatch:
        """See ``FindingsDatabase.scan_findings``: about a second a call."""
        return answer(ScanBatch, self._call("scan_findings", run_id, category, table, resume_after))

    def clear_findings(self, run_id: UUID, category: str, table: str, limit: int) -> int:
        """See ``FindingsDatabase.clear_findings``."""
        tried: int = self._call("clear_findings", run_id, category, table, limit)
        return tried

    @abstractmethod
    def _call(self, name: str, *arguments: object) -> Any: ...
