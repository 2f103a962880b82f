"""One category's rows move to the archive, month by month: read, written there, read back there, and only then deleted (D3, T5).

Last of a database's work: what is due to be deleted or to lose the person went through that first, so nothing is moved in vain.
"""

from __future__ import annotations

from uuid import UUID

from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.ports.archiving import ArchiveStep, ArchiveTarget
from tenant_retention.domain.ports.enforcement import EnforcementDatabase
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World

CONFLICT = "ArchiveConflict"
"""Why rows stay in both places: the archive has others with their keys, or could not take them."""


class Archiving:
    """Does the work and remembers how far it came, also when it fails on the way. ``months``: from which rows are to move."""

    def __init__(
        self, database: EnforcementDatabase, run_id: UUID, persistence: Persistence, pacer: Pacer, world: World
    ) -> None:
        self.archived = 0
        self.months: tuple[ArchiveStep, ...] = ()
        self._left_in_both = 0
        self._database = database
        self._run_id = run_id
        self._persistence = persistence
        self._pacer = pacer
        self._world = world

    def count(self, category: str) -> None:
        """What is old enough, the same for a dry run and the real one (X7). Raises Interrupted, RetentionError."""
        self._persistence.go_on()
        self.months = self._persistence.patiently(self._database.archive_steps, self._run_id, category)

    def move(self, category: str, target: ArchiveTarget) -> str | None:
        """Moves it; the reason word if some rows had to stay in both places. Raises Interrupted between two transactions,
        RetentionError when it fails."""
        for step in self.months:
            self._take(step, target)
        self._world.journal.tell(
            "category.archived", category=category, rows=self.archived, conflicts=self._left_in_both
        )
        if not self._left_in_both:
            return None
        # Doubt keeps both; the category is told as failed until somebody looks.
        self._persistence.patiently(self._database.record_failure, self._run_id, category, CONFLICT)
        return CONFLICT

    def _take(self, step: ArchiveStep, target: ArchiveTarget) -> None:
        after, worked = None, 0.0
        while True:
            self._persistence.go_on()
            self._pacer.pause(worked)
            started = self._world.elapsed()
            batch = self._persistence.patiently(
                self._database.archive_rows, self._run_id, step, after, target.rows_at_once
            )
            kept: tuple[str, ...] = ()
            if batch.rows:
                self._persistence.patiently(target.write, self._run_id, step, batch)
                kept = self._persistence.patiently(target.kept, self._run_id, step, batch)
                self._left_in_both += len(batch.rows) - len(kept)
            if kept or batch.waiting:
                self.archived += self._persistence.patiently(
                    self._database.archive_moved, self._run_id, step, batch, kept
                )
            worked = self._world.elapsed() - started
            if batch.through is None:
                return
            if batch.through == after:
                raise NotReady(f"{step.table}: a batch made no progress", reason="NoProgress")
            after = batch.through
