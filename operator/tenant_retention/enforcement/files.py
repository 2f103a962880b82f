"""One category's files in one run (M5): listed with all versions, counted, locked while young, removed when due, counted again.

The run sees, the database decides: by its own cut-offs, holds and guard, in one transaction a batch, before the batch is deleted.
A kill leaves files that the next run finds again, and a count of those of which nobody knows whether they went.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from tenant_retention.domain.ports.enforcement import CategoryRun, Claim, ContentBucket, EnforcementDatabase
from tenant_retention.domain.ports.files import FileCount, FilePage, StoredFile
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.sharing import SharedObjects
from tenant_retention.enforcement.world import World

FILES_AT_ONCE = 1_000
"""Entries of one listing, and the most that one transaction lets go."""


class CategoryFiles:
    """The files below ``prefix`` that no row of any database names: those are another category's, or this one's rows' own.

    ``gone``: files this process saw go. Every method raises Interrupted, or RetentionError of database or bucket.
    """

    def __init__(
        self,
        database: EnforcementDatabase,
        bucket: ContentBucket,
        others: SharedObjects,
        run_id: UUID,
        prefix: str,
        start: CategoryRun,
        persistence: Persistence,
        world: World,
    ) -> None:
        self.gone = 0
        self._database = database
        self._bucket = bucket
        self._others = others
        self._run_id = run_id
        self._prefix = prefix
        self._start = start
        self._persistence = persistence
        self._world = world
        self._claimed = 0
        self._refused: set[str] = set()
        self._refusals = 0

    def count(self) -> CategoryRun:
        """The category's counts with those of its files, after the guard was asked; the same in a dry run (X7)."""
        counted, store_clock = FileCount(self._start.file_edges), None
        for page in self._pages():
            # By the clock of this machine's own pace: what the store said a page ago is not now.
            told_at = self._world.elapsed()
            for found in self._own(page.files):
                counted.add(found.modified)
            store_clock = page.store_clock and page.store_clock + timedelta(seconds=self._world.elapsed() - told_at)
        return self._persistence.briefly(
            self._database.count_files, self._run_id, self._start.category, store_clock, counted.spans()
        )

    def lock(self) -> str | None:
        """Locks young files until their min is reached (M8); the store's code for the first that it would not lock."""
        if self._start.files_young_after is None:
            return None
        failure, locked = None, 0
        for page in self._pages():
            contents = self._own([each for each in page.files if not each.delete_marker])
            young = [each for each in contents if each.modified > self._start.files_young_after]
            locks = self._persistence.patiently(self._database.files_to_lock, self._run_id, self._start.category, young)
            if not locks:
                continue
            answers = {
                done.lock_id: done.error for done in self._persistence.patiently(self._bucket.retain_objects, locks)
            }
            outcomes = [(each.lock_id, answers.get(each.lock_id, "NoAnswer")) for each in locks]
            self._persistence.patiently(self._database.record_locks, self._run_id, self._start.category, outcomes)
            errors = [error for _, error in outcomes if error is not None]
            failure = failure or next(iter(errors), None)
            locked += len(outcomes) - len(errors)
        if locked:
            self._world.journal.tell("files.locked", category=self._start.category, files=locked)
        return failure

    def remove(self) -> None:
        """Deletes what is due, by version id: contents first, and only then the markers, since a marker that went alone would
        bring an older version back. Then counts what is left."""
        through = self._start.files_through
        if through is not None:
            for markers in (False, True):
                for page in self._pages():
                    kind = [each for each in page.files if each.delete_marker == markers]
                    due = [each for each in self._own(kind) if each.modified <= through]
                    self._remove([each for each in due if not markers or each.key not in self._refused])
        left = FileCount(self._start.file_edges)
        for page in self._pages():
            for found in self._own(page.files):
                left.add(found.modified)
        self._persistence.patiently(self._database.recount_files, self._run_id, self._start.category, left.spans())
        self._world.journal.tell("files.removed", category=self._start.category, files=self.gone)

    def _remove(self, due: Sequence[StoredFile]) -> None:
        if not due:
            return
        free = self._persistence.patiently(
            self._database.claim_files, self._run_id, self._start.category, due, self._claimed
        )
        claims = [Claim(claim_id=place, key=due[place].key, version=due[place].version or "null") for place in free]
        if not claims:
            return
        self._claimed += len(claims)
        answers = {
            done.claim_id: done.error for done in self._persistence.patiently(self._bucket.delete_objects, claims)
        }
        failed = [claim for claim in claims if answers.get(claim.claim_id, "NoAnswer") is not None]
        self.gone += len(claims) - len(failed)
        self._refusals += len(failed)
        self._refused |= {claim.key for claim in failed}
        self._persistence.patiently(
            self._database.confirm_files, self._run_id, self._start.category, self.gone, self._refusals
        )

    def _own(self, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        """Without those that a row names, here or in another database of the bucket."""
        if not files:
            return ()
        own = self._persistence.patiently(self._database.own_files, self._run_id, self._start.category, files)
        return self._others.unnamed(own)

    def _pages(self) -> Iterator[FilePage]:
        place = None
        while True:
            self._persistence.go_on()
            page = self._persistence.patiently(self._bucket.list_files, self._prefix, place, FILES_AT_ONCE)
            yield page
            if page.goes_on_at is None:
                return
            place = page.goes_on_at
