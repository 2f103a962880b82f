"""One database's part of a run: it decides, this goes step by step through its categories.

Every call is one transaction, so a kill between or inside calls leaves nothing half done that the next run does not finish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from tenant_retention.domain.definition import ARCHIVE, ClockEvent, ObjectsDefinition
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.plan_document import Mode, PlanDocument, Task
from tenant_retention.domain.ports.enforcement import CategoryRun, EnforcementDatabase, PartitionStepKind
from tenant_retention.domain.ports.requests import SoughtSubject
from tenant_retention.enforcement.archive_target import archive_target
from tenant_retention.enforcement.archiving import Archiving
from tenant_retention.enforcement.archiving_files import FileArchiving
from tenant_retention.enforcement.category import CategoryWork
from tenant_retention.enforcement.files import CategoryFiles
from tenant_retention.enforcement.locking import CategoryLocks
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Interrupted, Persistence
from tenant_retention.enforcement.requests import find
from tenant_retention.enforcement.results import CategoryResult, Outcome, StoreResult, outcome_of, outcome_of_error
from tenant_retention.enforcement.sharing import SharedObjects, sharing
from tenant_retention.enforcement.world import Stores, World


class DatabaseRun:
    """One database's part of the run: ``begin``, ``lock``, ``work``, ``archive`` and ``finish``, each by ``attempt``, then ``result``.

    ``runs``: all databases of this run by purpose, itself too; those that share a bucket ask each other."""

    def __init__(
        self,
        plan: PlanDocument,
        purpose: str,
        stores: Stores,
        runs: Mapping[str, DatabaseRun],
        run_id: UUID,
        world: World,
    ) -> None:
        self.begun = False
        self._plan = plan
        self._purpose = purpose
        self._database = stores.databases[purpose]
        self._buckets = stores.buckets
        self._files_of_archive = stores.archive
        self._runs = runs
        self._run_id = run_id
        self._world = world
        self._persistence = Persistence(world)
        self._pacer = Pacer(self._database, self._persistence, world)
        self._nightly = plan.mode is Mode.ENFORCE and plan.task is Task.EXPIRE
        self._categories: tuple[CategoryResult, ...] = ()
        self._result: StoreResult | None = None

    def attempt(self, step: Callable[[DatabaseRun], None]) -> None:
        """Takes one step, unless an earlier one failed; only errors of this product's three kinds are answered here."""
        if self._result is None:
            self._result = self._failure(partial(step, self))

    def under_way(self) -> EnforcementDatabase | None:
        """The database, while the run goes on in it; None before it began, or after it failed or ended."""
        return self._database if self.begun and self._result is None else None

    def result(self) -> StoreResult:
        """How it ended."""
        return self._result or self._ended(Outcome.INTERRUPTED, "Interrupted", "asked to stop before it began")

    def _failure(self, step: Callable[[], None]) -> StoreResult | None:
        try:
            self._persistence.go_on()
            step()
        except Interrupted:
            # No finish: the next run marks this one Interrupted and goes on where it stopped.
            return self._ended(Outcome.INTERRUPTED, "Interrupted", "asked to stop; the next run goes on")
        except RetentionError as error:
            return self._ended(outcome_of_error(error), error.reason, error.message)
        return self._result

    def _ended(self, outcome: Outcome, reason: str, message: str) -> StoreResult:
        self._world.journal.tell(
            "database.failed", database=self._purpose, outcome=outcome.value, reason=reason, message=message
        )
        return StoreResult(self._purpose, outcome, reason, message, self._categories)

    def begin(self) -> None:
        """Fixes clock and cut-offs, counts, asks the guard; then partitions ahead."""
        asked = (self._run_id, self._plan.mode, self._plan.rules_digest)
        runs = self._persistence.briefly(self._database.begin_run, *asked, self._world.now())
        if self._plan.categories:
            runs = self._persistence.briefly(self._database.limit_run, self._run_id, self._plan.categories)
        if self._plan.task is Task.REQUESTS:
            runs = self._persistence.briefly(self._database.limit_to_requests, self._run_id)
        self._categories = tuple(CategoryResult(run) for run in self._in_order(runs))
        self.begun = True
        if self._nightly:
            self._prepare()

    def find(self, sought: Sequence[SoughtSubject]) -> None:
        """Lists whatever is to become of these people's rows."""
        find(self._database, self._run_id, sought, self._persistence)

    def found(self) -> None:
        """All databases have their list: from now on what is listed is done."""
        self._persistence.patiently(self._database.subjects_found, self._run_id)

    def count(self) -> None:
        """Counts the files of the categories that have some: the database has counted its rows already."""
        for position, category in enumerate(self._categories):
            files = self._files(category.start)
            if files is not None:
                self._replace(position, self._count_files(files, category))

    def lock(self) -> None:
        """Locks young objects in the bucket."""
        if self._nightly:
            for position, category in enumerate(self._categories):
                failure = self._lock(category.start.category) or self._lock_files(category)
                self._replace(position, replace(category, failure=category.failure or failure))

    def work(self) -> None:
        """Removes what is due, category by category."""
        for position, category in enumerate(self._categories):
            done = self._remove_archived(self._remove_files(self._work_on(category.start), category))
            self._replace(position, replace(done, failure=done.failure or category.failure))
            if self._plan.mode is Mode.ENFORCE and any(step.kind is PartitionStepKind.DETACH for step in done.steps):
                # In this run still: what is detached but not dropped is not gone.
                self._housekeep("partitions.dropped", self._database.finish_detached)
            if done.removed:
                self._refresh_statistics(category.start.category)

    def archive(self) -> None:
        """Moves what is old enough from here to the archive; only from a home database, as no unit's rows are mixed with others'."""
        if self._plan.task is Task.REQUESTS:
            return
        for position, category in enumerate(self._categories):
            definition = self._plan.definition.category(category.start.category)
            if definition.archive_after is not None and definition.database == self._purpose:
                self._replace(position, self._archive(category))

    def finish(self) -> None:
        """Counts what is left and writes the evidence."""
        evidence = self._persistence.patiently(self._database.finish_run, self._run_id)
        outcome = outcome_of(self._categories, evidence)
        self._world.journal.tell("database.finished", database=self._purpose, outcome=outcome.value)
        self._result = StoreResult(self._purpose, outcome, categories=self._categories, evidence=evidence)

    def _others(self, bucket: str) -> dict[str, EnforcementDatabase | None]:
        """The other databases that keep objects there, and all others of the run: what left the profile has its rows still, with
        their holds and minimum, and no definition says in which bucket its objects are. None for one that did not begin."""
        wanted = sharing(self._plan.definition, bucket, self._purpose)
        # No row of an archive ever named an object.
        runs = {name: run for name, run in self._runs.items() if name not in (self._purpose, ARCHIVE)}
        return {**dict.fromkeys(wanted), **{name: run._database if run.begun else None for name, run in runs.items()}}

    def _in_order(self, runs: tuple[CategoryRun, ...]) -> tuple[CategoryRun, ...]:
        """Content before the records that name it (P4): a record waits for its content."""
        return tuple(sorted(runs, key=lambda run: self._plan.definition.category(run.category).content_of is None))

    def _prepare(self) -> None:
        """Partitions ahead first, in a transaction of their own: neither may deletion undo them, nor they stop deletion."""
        self._housekeep("partitions.ensured", self._database.ensure_partitions)
        self._housekeep("partitions.dropped", self._database.finish_detached)
        self._housekeep("copies.discarded", self._database.discard_rewrites)

    def _housekeep(self, name: str, call: Callable[[UUID], int]) -> None:
        self._persistence.go_on()
        try:
            count = self._persistence.patiently(call, self._run_id)
        except RetentionError as error:
            self._world.journal.tell(f"{name}.failed", database=self._purpose, reason=error.reason)
        else:
            self._world.journal.tell(name, database=self._purpose, count=count)

    def _refresh_statistics(self, category: str) -> None:
        """Queries of the application are planned with what is left. That it fails stops nothing."""
        tables = self._plan.definition.category(category).tables
        self._housekeep("statistics.refreshed", lambda run: self._database.refresh_statistics(run, category, tables))

    def _lock(self, category: str) -> str | None:
        """Locks young objects, also where the guard stopped the category or its work failed; the reason if some are not."""
        objects = self._objects(category)
        if objects is None:
            return None
        parts = (self._run_id, category, self._persistence, self._world)
        locks = CategoryLocks(self._database, self._buckets[objects.bucket], *parts)
        try:
            return locks.set_all()
        except RetentionError as error:
            return self._failed(category, error, locks.locked)

    def _objects(self, category: str) -> ObjectsDefinition | None:
        """Where the objects are that this database's rows name; no row of an archive ever named one."""
        return None if self._purpose == ARCHIVE else self._plan.definition.category(category).objects

    def _files(self, run: CategoryRun) -> CategoryFiles | None:
        """The files of a category; None where it has none, or another database of the policy decides about them."""
        found = self._plan.definition.category(run.category).files
        if found is None or not run.file_edges:
            return None
        others = SharedObjects(self._others(found.bucket), self._run_id, self._persistence)
        bucket = self._buckets[found.bucket]
        return CategoryFiles(
            self._database, bucket, others, self._run_id, found.prefix, run, self._persistence, self._world
        )

    def _count_files(self, files: CategoryFiles, category: CategoryResult) -> CategoryResult:
        try:
            return replace(category, start=files.count(), files_counted=True)
        except RetentionError as error:
            return replace(category, failure=self._failed(category.start.category, error, 0))

    def _lock_files(self, category: CategoryResult) -> str | None:
        """Young files are locked also where the guard stopped their category."""
        files = self._files(category.start) if category.files_counted else None
        try:
            return files.lock() if files is not None else None
        except RetentionError as error:
            return self._failed(category.start.category, error, 0)

    def _remove_files(self, done: CategoryResult, category: CategoryResult) -> CategoryResult:
        """The rest of a category's work: its files, where they could be counted; a failure of its rows does not keep them."""
        files = self._files(category.start) if category.files_counted and self._plan.mode is Mode.ENFORCE else None
        if files is None:
            return done
        try:
            files.remove()
        except RetentionError as error:
            done = replace(done, failure=self._failed(category.start.category, error, files.gone))
        return replace(done, removed=done.removed + files.gone)

    def _work_on(self, run: CategoryRun) -> CategoryResult:
        objects = self._objects(run.category)
        name = objects.bucket if objects is not None else None
        bucket = self._buckets[name] if name is not None else None
        shared = SharedObjects(self._others(name) if name is not None else {}, self._run_id, self._persistence)
        work = CategoryWork(
            self._database, bucket, shared, self._run_id, run, self._plan, self._persistence, self._pacer, self._world
        )
        try:
            return work.result()
        except RetentionError as error:
            failed = self._failed(run.category, error, work.removed)
        return CategoryResult(run, work.steps, work.removed, failed, anonymized=work.anonymized)

    def _archive(self, category: CategoryResult) -> CategoryResult:
        name, failure = category.start.category, None
        archiving = Archiving(self._database, self._run_id, self._persistence, self._pacer, self._world)
        files = self._file_archiving()
        try:
            archiving.count(name)
            if self._plan.mode is Mode.ENFORCE and archiving.months:
                if files is not None:
                    files.move(self._plan.definition, name, archiving.months)
                else:
                    target = archive_target({other: run.under_way() for other, run in self._runs.items()})
                    failure = archiving.move(name, target)
        except RetentionError as error:
            failure = self._failed(name, error, archiving.archived)
        archived = archiving.archived + (files.archived if files is not None else 0)
        return replace(category, archived=archived, to_archive=archiving.months, failure=category.failure or failure)

    def _remove_archived(self, done: CategoryResult) -> CategoryResult:
        """Files in the archive bucket go by the same rules as rows, also of a category that may not be archived any more."""
        files = self._file_archiving() if self._nightly else None
        name, definition = done.start.category, self._plan.definition.category(done.start.category)
        if files is None or definition.clock_event is not ClockEvent.CREATED:
            return done
        try:
            files.remove(name, sweep=definition.database == self._purpose)
        except RetentionError as error:
            done = replace(done, failure=done.failure or self._failed(name, error, files.removed))
        return replace(done, removed=done.removed + files.removed)

    def _file_archiving(self) -> FileArchiving | None:
        """The policy's archive bucket, for this database; None where it has none."""
        archive = self._files_of_archive
        if archive is None or self._purpose not in archive.databases:
            return None
        database = archive.databases[self._purpose]
        return FileArchiving(archive, database, self._run_id, self._persistence, self._pacer, self._world)

    def _failed(self, category: str, error: RetentionError, done: int) -> str:
        """Tells and records the failure of one category; the others go on. The reason."""
        self._world.journal.tell(
            "category.failed", database=self._purpose, category=category, reason=error.reason, done=done
        )
        if self._plan.mode is Mode.ENFORCE:
            # If the database is away this raises Unavailable and ends its part; else only the category failed.
            self._persistence.patiently(self._database.record_failure, self._run_id, category, error.reason)
        return error.reason

    def _replace(self, position: int, result: CategoryResult) -> None:
        before = self._categories
        self._categories = (*before[:position], result, *before[position + 1 :])
