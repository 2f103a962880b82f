"""``ArchivingDatabase`` on a real tenant database: one call of a function each, which decides by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_retention.adapters.postgres.failures import answer
from tenant_retention.domain.ports.archiving import ArchiveBatch, ArchiveRow, ArchiveStep


class PostgresArchiving(ABC):
    """See ``ArchivingDatabase``; ``_call`` is one function in one transaction."""

    def archive_steps(self, run_id: UUID, category: str) -> tuple[ArchiveStep, ...]:
        """See ``ArchivingDatabase.archive_steps``."""
        return tuple(answer(ArchiveStep, row) for row in self._call("archive_steps", run_id, category))

    def archive_rows(self, run_id: UUID, step: ArchiveStep, after: str | None, limit: int) -> ArchiveBatch:
        """See ``ArchivingDatabase.archive_rows``."""
        return answer(ArchiveBatch, self._call("archive_rows", *_month(run_id, step), after, limit))

    def archive_moved(self, run_id: UUID, step: ArchiveStep, batch: ArchiveBatch, kept: Sequence[str]) -> int:
        """See ``ArchivingDatabase.archive_moved``."""
        told = (batch.after, batch.through, list(kept), batch.waiting)
        moved: int = self._call("archive_moved", *_month(run_id, step), *told)
        return moved

    def take_archived(self, run_id: UUID, step: ArchiveStep, rows: Sequence[ArchiveRow]) -> None:
        """See ``ArchivingDatabase.take_archived``."""
        self._call("take_archived", run_id, step.category, step.table, [each.row for each in rows])

    def archived_here(self, run_id: UUID, step: ArchiveStep, rows: Sequence[ArchiveRow]) -> tuple[str, ...]:
        """See ``ArchivingDatabase.archived_here``."""
        places = self._call("archived_here", run_id, step.category, step.table, [each.row for each in rows])
        return tuple(rows[place].digest for place in places)

    def pause_archiving(self, category: str, born_from: datetime, born_to: datetime, until: datetime) -> None:
        """Rows born from ``born_from`` on and before ``born_to`` do not move before ``until``. Raises Invalid (NotAnArchive)
        where nothing of the category is archived."""
        self._call("pause_archiving", category, born_from, born_to, until)

    def bring_back(self, category: str, table: str, rows: Sequence[str]) -> int:
        """Inserts rows of such a pause (``ArchiveRow.row``) that are not past their keep; how many are here now with these
        values."""
        here: int = self._call("bring_back", category, table, list(rows))
        return here

    @abstractmethod
    def _call(self, name: str, *arguments: object) -> Any: ...


def _month(run_id: UUID, step: ArchiveStep) -> tuple[object, ...]:
    return (run_id, step.category, step.table, step.partition)
