"""Where a run's archived rows go: the policy's archive database."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.ports.archiving import ArchiveBatch, ArchiveStep, ArchiveTarget
from tenant_retention.domain.ports.enforcement import EnforcementDatabase

ROWS_AT_ONCE = 2_000
"""A second or less of work on both sides, and a few megabytes in this process."""


class ArchiveDatabase:
    """``ArchiveTarget``: a database with the tables of the live ones, which is in the same run."""

    rows_at_once = ROWS_AT_ONCE

    def __init__(self, database: EnforcementDatabase) -> None:
        self._database = database

    def write(self, run_id: UUID, step: ArchiveStep, batch: ArchiveBatch) -> None:
        """See ``ArchiveTarget.write``."""
        self._database.take_archived(run_id, step, batch.rows)

    def kept(self, run_id: UUID, step: ArchiveStep, batch: ArchiveBatch) -> tuple[str, ...]:
        """See ``ArchiveTarget.kept``: another transaction than the one that wrote."""
        return self._database.archived_here(run_id, step, batch.rows)


def archive_target(under_way: Mapping[str, EnforcementDatabase | None]) -> ArchiveTarget:
    """The archive of this run. ``under_way``: its databases, None for one that did not begin.

    Raises NotReady (ArchiveNotReady): then nothing moves, and the rows stay where they are.
    """
    database = under_way.get(ARCHIVE)
    if database is None:
        raise NotReady("the archive is not in this run: its rows stay where they are", reason="ArchiveNotReady")
    return ArchiveDatabase(database)
