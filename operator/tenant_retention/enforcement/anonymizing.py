"""One category's rows lose the person: month by month, in keyset batches, after its deletions and those of its content (P12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from uuid import UUID

from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.ports.anonymizing import AnonymizeStep
from tenant_retention.domain.ports.enforcement import EnforcementDatabase
from tenant_retention.enforcement.batches import BatchSize
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World


class Anonymizing:
    """Does the work and remembers how far it came, also when it fails on the way."""

    def __init__(
        self,
        database: EnforcementDatabase,
        run_id: UUID,
        batch_milliseconds: int,
        persistence: Persistence,
        pacer: Pacer,
        world: World,
    ) -> None:
        self.anonymized = 0
        self._database = database
        self._run_id = run_id
        self._batch = BatchSize(batch_milliseconds / 1000)
        self._persistence = persistence
        self._pacer = pacer
        self._world = world

    def steps(self, category: str) -> tuple[AnonymizeStep, ...]:
        """The months in which something is due. Raises Interrupted, RetentionError."""
        self._persistence.go_on()
        return self._persistence.patiently(self._database.anonymize_steps, self._run_id, category)

    def take_all(self, steps: Sequence[AnonymizeStep]) -> None:
        """All months, in order; those that are written anew side by side. Raises as ``take``."""
        while steps:
            some = tuple(takewhile(lambda step: step.rewrite, steps))
            if some:
                self._rewrite(some)
            else:
                self.take(steps[0])
            steps = steps[max(len(some), 1) :]

    def _rewrite(self, steps: tuple[AnonymizeStep, ...]) -> None:
        waiting, refused = list(steps), list[AnonymizeStep]()

        def unless_stopped() -> Iterator[AnonymizeStep]:
            yield from takewhile(lambda _: not self._world.stopping(), tuple(waiting))

        def done(step: AnonymizeStep, rows: int | None) -> None:
            waiting.remove(step)
            self.anonymized += rows or 0
            if rows is None:
                refused.append(step)

        self._persistence.patiently(lambda: self._database.rewrite_months(self._run_id, unless_stopped(), done))
        self._persistence.go_on()
        for step in refused:
            self.take(step)

    def take(self, step: AnonymizeStep) -> None:
        """One month to its end. Raises Interrupted between two transactions, RetentionError when it fails."""
        resume_after, worked = None, 0.0
        while True:
            self._persistence.go_on()
            self._pacer.pause(worked)
            started = self._world.elapsed()
            batch = self._persistence.patiently(
                self._database.anonymize_range, self._run_id, step, resume_after, self._batch.rows
            )
            worked = self._world.elapsed() - started
            self._batch = self._batch.after(batch.anonymized, worked)
            self.anonymized += batch.anonymized
            if batch.resume_after is None:
                return
            if batch.anonymized == 0 and batch.resume_after == resume_after:
                raise NotReady(f"{step.table}: a batch made no progress", reason="NoProgress")
            resume_after = batch.resume_after
