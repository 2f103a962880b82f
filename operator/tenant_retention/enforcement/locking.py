"""Object locks of one category: young objects are locked in the bucket until their min is reached (M8), night after night."""

from __future__ import annotations

from uuid import UUID

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.enforcement import ContentBucket, EnforcementDatabase, ObjectLock
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World

LOCKS_AT_ONCE = 1_000
"""Locks a transaction: each is a request of its own, a second or two of work in all."""


class CategoryLocks:
    """Asks what to lock, locks it, records it. A kill in between repeats a lock, which changes nothing.

    Not part of ``CategoryWork``: a category that the guard stopped, or that failed, is locked all the same.
    """

    def __init__(
        self,
        database: EnforcementDatabase,
        bucket: ContentBucket,
        run_id: UUID,
        category: str,
        persistence: Persistence,
        world: World,
    ) -> None:
        self.locked = 0
        self._database = database
        self._bucket = bucket
        self._run_id = run_id
        self._category = category
        self._persistence = persistence
        self._world = world

    def set_all(self) -> str | None:
        """Locks what needs it; the store's code for the first object that it would not lock, None if there is none.

        A bucket that is away, or refuses every object of a batch, is not asked on: the rest waits for the next run.
        Raises Interrupted, or RetentionError of the database.
        """
        failure = resume_from = None
        while True:
            self._persistence.go_on()
            batch = self._persistence.patiently(
                self._database.objects_to_lock, self._run_id, self._category, resume_from, LOCKS_AT_ONCE
            )
            errors = self._set(batch.locks) if batch.locks else []
            failure = failure or next(iter(errors), None)
            resume_from = batch.resume_from
            if resume_from is None or (errors and len(errors) == len(batch.locks)):
                break
        if self.locked:
            self._world.journal.tell("objects.locked", category=self._category, objects=self.locked)
        return failure

    def _set(self, locks: tuple[ObjectLock, ...]) -> list[str]:
        """One batch: locked, then recorded. The store's codes for those that are not locked."""
        try:
            answers = {
                done.lock_id: done.error for done in self._persistence.patiently(self._bucket.retain_objects, locks)
            }
        except RetentionError as error:
            answers = {lock.lock_id: error.reason for lock in locks}
        outcomes = [(lock.lock_id, answers.get(lock.lock_id, "NoAnswer")) for lock in locks]
        self._persistence.patiently(self._database.record_locks, self._run_id, self._category, outcomes)
        errors = [error for _, error in outcomes if error is not None]
        self.locked += len(outcomes) - len(errors)
        if errors:
            self._world.journal.tell(
                "objects.lock.failed", category=self._category, objects=len(errors), reason=errors[0]
            )
        return errors
