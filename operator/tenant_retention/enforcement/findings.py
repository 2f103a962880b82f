"""What may not be stored, in one category (P10, P11): what earlier runs found is taken away, then the scan looks anew."""

from __future__ import annotations

from uuid import UUID

from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import EnforcementDatabase
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World

FINDINGS_AT_ONCE = 2_000
"""Rows of one transaction: a second or so of work."""


class CategoryFindings:
    """``work`` after the category's objects went: marks that are left are of rows without objects, or of what must stay."""

    def __init__(
        self,
        database: EnforcementDatabase,
        run_id: UUID,
        category: str,
        definition: RetentionDefinition,
        persistence: Persistence,
        pacer: Pacer,
        world: World,
    ) -> None:
        self._database = database
        self._run_id = run_id
        self._category = category
        self._tables = definition.scanned_tables(category)
        self._persistence = persistence
        self._pacer = pacer
        self._world = world

    def work(self, mode: Mode) -> None:
        """Does all of it; a dry run only looks. Raises Interrupted between two transactions, RetentionError when it fails."""
        for table in self._tables:
            if mode is Mode.ENFORCE:
                self._clear(table)
            self._scan(table)

    def _clear(self, table: str) -> None:
        cleared, tried, worked = 0, 1, 0.0
        while tried:
            self._persistence.go_on()
            self._pacer.pause(worked)
            started = self._world.elapsed()
            tried = self._persistence.patiently(
                self._database.clear_findings, self._run_id, self._category, table, FINDINGS_AT_ONCE
            )
            worked = self._world.elapsed() - started
            cleared += tried
        if cleared:
            self._world.journal.tell("findings.cleared", category=self._category, table=table, rows=cleared)

    def _scan(self, table: str) -> None:
        resume_after = None
        while True:
            self._persistence.go_on()
            batch = self._persistence.patiently(
                self._database.scan_findings, self._run_id, self._category, table, resume_after
            )
            if batch.resume_after is None:
                break
            resume_after = batch.resume_after
        if batch.found:
            self._world.journal.tell("findings.found", category=self._category, table=table, rows=batch.found)
