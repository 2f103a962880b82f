"""Requests of data subjects in a run (T7, M9, P12): the Job of a request finds the rows, every run that enforces does what is listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from tenant_retention.domain.ports.enforcement import EnforcementDatabase
from tenant_retention.domain.ports.requests import SoughtSubject
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World

ROWS_AT_ONCE = 2_000
"""Rows of one transaction: a second or so of work."""


def find(
    database: EnforcementDatabase,
    run_id: UUID,
    sought: Sequence[SoughtSubject],
    persistence: Persistence,
) -> None:
    """Lists all rows of these people in one database: their own, then those of the same sessions. Nothing acts on it before
    ``subjects_found``. Raises Interrupted between two transactions, RetentionError when it fails."""
    tables = persistence.patiently(database.begin_search, run_id, sought)
    for table in tables:
        _through(partial(database.find_subjects, run_id, table, sought), persistence)
    for table in tables:
        _through(partial(database.find_relatives, run_id, table), persistence)


def _through(call: Callable[[], bool], persistence: Persistence) -> None:
    """A table to its end."""
    through = False
    while not through:
        persistence.go_on()
        through = persistence.patiently(call)


class CategoryRequests:
    """What requests ask of one category's rows, once their objects went."""

    def __init__(
        self,
        database: EnforcementDatabase,
        run_id: UUID,
        category: str,
        tables: Sequence[str],
        persistence: Persistence,
        pacer: Pacer,
        world: World,
    ) -> None:
        self._database = database
        self._run_id = run_id
        self._category = category
        self._tables = tables
        self._persistence = persistence
        self._pacer = pacer
        self._world = world

    def work(self) -> None:
        """Does all that can be done now. Raises Interrupted between two transactions, RetentionError when it fails."""
        for table in self._tables:
            done, tried, worked = 0, ROWS_AT_ONCE, 0.0
            while tried:
                self._persistence.go_on()
                if tried >= ROWS_AT_ONCE:
                    # After a small batch nobody needs a rest: there is little left, or nothing.
                    self._pacer.pause(worked)
                started = self._world.elapsed()
                tried = self._persistence.patiently(
                    self._database.work_requests, self._run_id, self._category, table, ROWS_AT_ONCE
                )
                worked = self._world.elapsed() - started
                done += tried
            if done:
                self._world.journal.tell("requests.done", category=self._category, table=table, rows=done)
