"""``RequestsDatabase`` on a real tenant database: one call of a function each. Identifiers are parameters, never part of a statement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.failures import answer
from tenant_retention.domain.ports.enforcement import CategoryRun
from tenant_retention.domain.ports.requests import SoughtSubject


class PostgresRequests(ABC):
    """See ``RequestsDatabase``; ``_call`` is one function in one transaction."""

    def limit_to_requests(self, run_id: UUID) -> tuple[CategoryRun, ...]:
        """See ``RequestsDatabase.limit_to_requests``."""
        return tuple(answer(CategoryRun, row) for row in self._call("limit_to_requests", run_id))

    def begin_search(self, run_id: UUID, subjects: Sequence[SoughtSubject]) -> tuple[str, ...]:
        """See ``RequestsDatabase.begin_search``."""
        return tuple(self._call("begin_search", run_id, _told(subjects)))

    def find_subjects(self, run_id: UUID, table: str, subjects: Sequence[SoughtSubject]) -> bool:
        """See ``RequestsDatabase.find_subjects``: about a second a call."""
        through: bool = self._call("find_subjects", run_id, table, _told(subjects))
        return through

    def find_relatives(self, run_id: UUID, table: str) -> bool:
        """See ``RequestsDatabase.find_relatives``: about a second a call."""
        through: bool = self._call("find_relatives", run_id, table)
        return through

    def subjects_found(self, run_id: UUID) -> None:
        """See ``RequestsDatabase.subjects_found``."""
        self._call("subjects_found", run_id)

    def work_requests(self, run_id: UUID, category: str, table: str, limit: int) -> int:
        """See ``RequestsDatabase.work_requests``."""
        tried: int = self._call("work_requests", run_id, category, table, limit)
        return tried

    @abstractmethod
    def _call(self, name: str, *arguments: object) -> Any: ...


def _told(subjects: Sequence[SoughtSubject]) -> Jsonb:
    return Jsonb(
        [
            {"request": str(each.request), "spellings": [[of.role, of.value] for of in each.subject.spellings]}
            for each in subjects
        ]
    )
