"""The files of a run on a real tenant database (M5): what was listed goes there as counts and names, the database decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.failures import answer
from tenant_retention.adapters.postgres.orphans import PostgresOrphans
from tenant_retention.domain.ports.enforcement import CategoryRun, ObjectLock
from tenant_retention.domain.ports.files import FileSpan, StoredFile


class PostgresFiles(PostgresOrphans):
    """Implements the methods of ``EnforcementDatabase`` about files."""

    def count_files(
        self, run_id: UUID, category: str, store_clock: datetime | None, spans: Sequence[FileSpan]
    ) -> CategoryRun:
        """See ``EnforcementDatabase.count_files``."""
        (row,) = self._call("count_files", run_id, category, store_clock, _spans(spans))
        return answer(CategoryRun, row)

    def own_files(self, run_id: UUID, category: str, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        """See ``EnforcementDatabase.own_files``."""
        return tuple(
            files[place].model_copy(update={"modified": datetime.fromisoformat(modified)})
            for place, modified in self._call("own_files", run_id, category, _files(files))
        )

    def files_to_lock(self, run_id: UUID, category: str, files: Sequence[StoredFile]) -> tuple[ObjectLock, ...]:
        """See ``EnforcementDatabase.files_to_lock``."""
        return tuple(answer(ObjectLock, row) for row in self._call("files_to_lock", run_id, category, _files(files)))

    def claim_files(
        self, run_id: UUID, category: str, files: Sequence[StoredFile], claimed_before: int
    ) -> tuple[int, ...]:
        """See ``EnforcementDatabase.claim_files``."""
        return tuple(self._call("claim_files", run_id, category, _files(files), claimed_before))

    def confirm_files(self, run_id: UUID, category: str, gone: int, refused: int) -> None:
        """See ``EnforcementDatabase.confirm_files``."""
        self._call("confirm_files", run_id, category, gone, refused)

    def recount_files(self, run_id: UUID, category: str, spans: Sequence[FileSpan]) -> None:
        """See ``EnforcementDatabase.recount_files``."""
        self._call("recount_files", run_id, category, _spans(spans))


def _spans(spans: Sequence[FileSpan]) -> Jsonb:
    return Jsonb([[span.oldest.isoformat(), span.newest.isoformat(), span.files] for span in spans])


def _files(files: Sequence[StoredFile]) -> Jsonb:
    return Jsonb([[each.key, each.version, each.modified.isoformat()] for each in files])
