"""The nightly removal (P2, M10): asks each database what is due by its own rules, and takes it away step by step.

Pure orchestration over ports: every call is one transaction, so a kill between or inside calls leaves nothing half done
that the next run does not finish. The database decides; a dry run makes the same calls up to the first effect (X7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable
from tenant_retention.domain.plan_document import Mode, PlanDocument
from tenant_retention.domain.ports.enforcement import (
    CategoryRun,
    EnforcementDatabase,
    PartitionStepKind,
    RunEvidence,
)
from tenant_retention.enforcement.category import CategoryWork
from tenant_retention.enforcement.locking import CategoryLocks
from tenant_retention.enforcement.orphans import OrphanLook
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Interrupted, Persistence
from tenant_retention.enforcement.results import (
    BucketResult,
    CategoryResult,
    OrphanResult,
    Outcome,
    RunResult,
    StoreResult,
)
from tenant_retention.enforcement.sharing import SharedObjects, sharing
from tenant_retention.enforcement.world import Stores, World

UPLOADS_END_AFTER = timedelta(days=2)
"""Longer than any upload takes that still goes on, shorter than any keep that a nightly run can promise."""


def expire(plan: PlanDocument, stores: Stores, run_id: UUID, world: World) -> RunResult:
    """Runs ``plan`` once over all its databases; one that fails does not stop the others.

    Raises Invalid, before anything is touched, if the plan contradicts itself or names a store that is not there.
    """
    check_plan(plan, stores)
    started = world.now()
    world.journal.tell("run.started", mode=plan.mode.value, databases=len(stores.databases))
    concerned = _concerned(plan)
    runs: dict[str, _DatabaseRun] = {}
    for purpose in stores.databases:
        if concerned is None or purpose in concerned:
            runs[purpose] = _DatabaseRun(plan, purpose, stores, runs, run_id, world)
    # Every database is in the run, and every young object locked, before the first object goes: what one of them would delete
    # may be young in another (M8).
    for step in (_DatabaseRun.begin, _DatabaseRun.lock, _DatabaseRun.work):
        for run in runs.values():
            run.attempt(step)
    results = [run.result() for run in runs.values()]
    # Only a database knows that its policy was suspended or its store released since the plan was written.
    allowed = plan.mode is Mode.ENFORCE and any(result.categories for result in results)
    buckets = _tidy(plan.definition, stores, world) if allowed else ()
    result = RunResult(run_id, plan.mode, started, world.now(), tuple(results), buckets)
    world.journal.tell("run.finished", outcome=result.outcome.value)
    return result


def _concerned(plan: PlanDocument) -> set[str] | None:
    """The databases of the categories that the plan is limited to; None: it is not."""
    if not plan.categories:
        return None
    return {category.database for category in plan.definition.categories if category.name in plan.categories}


def _tidy(definition: RetentionDefinition, stores: Stores, world: World) -> tuple[BucketResult, ...]:
    """Ends uploads that nobody will complete any more, whatever their key; then, last of all, looks for orphans
    (RETENTION.md section 3)."""
    results = []
    for purpose, bucket in stores.buckets.items():
        if world.stopping():
            break
        try:
            aborted = bucket.abort_unfinished_uploads(UPLOADS_END_AFTER)
        except RetentionError as error:
            world.journal.tell("uploads.abort.failed", bucket=purpose, reason=error.reason)
            results.append(BucketResult(purpose, failure=error.reason))
        else:
            world.journal.tell("uploads.aborted", bucket=purpose, uploads=aborted)
            results.append(BucketResult(purpose, aborted))
    return tuple(
        result if world.stopping() else replace(result, orphans=_look(definition, result, stores, world))
        for result in results
    )


def _look(definition: RetentionDefinition, tidied: BucketResult, stores: Stores, world: World) -> OrphanResult | None:
    uploads = None if tidied.failure else tidied.uploads_aborted
    return OrphanLook(definition, tidied.purpose, uploads, stores, world).result()


def check_plan(plan: PlanDocument, stores: Stores) -> None:
    """Raises Invalid naming the field if the plan's parts do not belong together."""
    if plan.rules_digest != plan.definition.rules_digest():
        raise Invalid(
            "rulesDigest: is not the digest of definition; write the plan anew",
            reason="InvalidPlan",
            field="rulesDigest",
        )
    known = {category.name for category in plan.definition.categories}
    for name in plan.categories:
        if name not in known:
            raise Invalid(
                f"categories: {name!r} is not in the definition", reason="UnknownCategory", field="categories"
            )
    if not stores.databases:
        raise Invalid("databases: name at least one", reason="InvalidPlan", field="databases")
    for category in plan.definition.categories:
        objects = category.objects
        if objects and category.database in stores.databases and objects.bucket not in stores.buckets:
            raise Invalid(
                f"buckets: category {category.name!r} keeps its objects in {objects.bucket!r}, which the plan does not name",
                reason="InvalidPlan",
                field="buckets",
            )


class _DatabaseRun:
    """One database's part of the run."""

    def __init__(
        self,
        plan: PlanDocument,
        purpose: str,
        stores: Stores,
        runs: Mapping[str, _DatabaseRun],
        run_id: UUID,
        world: World,
    ) -> None:
        self.begun = False
        self._plan = plan
        self._purpose = purpose
        self._database = stores.databases[purpose]
        self._buckets = stores.buckets
        self._runs = runs
        self._run_id = run_id
        self._world = world
        self._persistence = Persistence(world)
        self._pacer = Pacer(self._database, self._persistence, world)
        self._categories: tuple[CategoryResult, ...] = ()
        self._result: StoreResult | None = None

    def attempt(self, step: Callable[[_DatabaseRun], None]) -> None:
        """Takes one step, unless an earlier one failed; only errors of this product's three kinds are answered here."""
        if self._result is None:
            self._result = self._failure(partial(step, self))

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
        except Unavailable as error:
            return self._ended(Outcome.UNREACHABLE, error.reason, error.message)
        except NotReady as error:
            return self._ended(Outcome.NOT_READY, error.reason, error.message)
        except RetentionError as error:
            # Rules that changed since the plan was written are no bad configuration: the next attempt reads the new plan.
            changed = error.reason == "RulesChanged"
            return self._ended(Outcome.NOT_READY if changed else Outcome.INVALID, error.reason, error.message)
        return self._result

    def _ended(self, outcome: Outcome, reason: str, message: str) -> StoreResult:
        self._world.journal.tell(
            "database.failed", database=self._purpose, outcome=outcome.value, reason=reason, message=message
        )
        return StoreResult(self._purpose, outcome, reason, message, self._categories)

    def begin(self) -> None:
        """Fixes clock and cut-offs, counts, asks the guard; then partitions ahead."""
        runs = self._persistence.briefly(
            self._database.begin_run, self._run_id, self._plan.mode, self._plan.rules_digest, self._world.now()
        )
        if self._plan.categories:
            here = {run.category for run in runs}
            only = [name for name in self._plan.categories if name in here]
            runs = self._persistence.briefly(self._database.limit_run, self._run_id, only)
        self._categories = tuple(CategoryResult(run) for run in self._in_order(runs))
        self.begun = True
        if self._plan.mode is Mode.ENFORCE:
            self._prepare()

    def lock(self) -> None:
        """Locks young objects in the bucket."""
        if self._plan.mode is Mode.ENFORCE:
            for position, category in enumerate(self._categories):
                self._replace(position, replace(category, failure=self._lock(category.start.category)))

    def work(self) -> None:
        """Removes what is due, category by category, and finishes the run."""
        for position, category in enumerate(self._categories):
            done = self._work_on(category.start)
            self._replace(position, replace(done, failure=done.failure or category.failure))
            if self._plan.mode is Mode.ENFORCE and any(step.kind is PartitionStepKind.DETACH for step in done.steps):
                # In this run still: what is detached but not dropped is not gone.
                self._housekeep("partitions.dropped", self._database.finish_detached)
            if done.removed:
                self._refresh_statistics(category.start.category)
        evidence = self._persistence.patiently(self._database.finish_run, self._run_id)
        outcome = _outcome(self._categories, evidence)
        self._world.journal.tell("database.finished", database=self._purpose, outcome=outcome.value)
        self._result = StoreResult(self._purpose, outcome, categories=self._categories, evidence=evidence)

    def _others(self, bucket: str) -> dict[str, EnforcementDatabase | None]:
        """The other databases that keep objects there; None for one that is not in this run."""
        wanted = sharing(self._plan.definition, bucket, self._purpose)
        return {name: run._database if (run := self._runs.get(name)) and run.begun else None for name in wanted}

    def _in_order(self, runs: tuple[CategoryRun, ...]) -> tuple[CategoryRun, ...]:
        """Content before the records that name it (P4): a record waits for its content."""
        definition = self._plan.definition
        return tuple(sorted(runs, key=lambda run: definition.category(run.category).content_of is None))

    def _prepare(self) -> None:
        """Partitions ahead first, in a transaction of their own: neither may deletion undo them, nor they stop deletion."""
        self._housekeep("partitions.ensured", self._database.ensure_partitions)
        self._housekeep("partitions.dropped", self._database.finish_detached)

    def _housekeep(self, name: str, call: Callable[[UUID], int]) -> None:
        self._persistence.go_on()
        try:
            count = self._persistence.patiently(call, self._run_id)
        except RetentionError as error:
            self._world.journal.tell(f"{name}.failed", database=self._purpose, reason=error.reason)
        else:
            self._world.journal.tell(name, database=self._purpose, partitions=count)

    def _refresh_statistics(self, category: str) -> None:
        """Queries of the application are planned with what is left. That it fails stops nothing."""
        tables = self._plan.definition.category(category).tables
        try:
            count = self._persistence.patiently(self._database.refresh_statistics, self._run_id, category, tables)
        except RetentionError as error:
            self._world.journal.tell("statistics.failed", database=self._purpose, reason=error.reason)
        else:
            self._world.journal.tell("statistics.refreshed", database=self._purpose, tables=count)

    def _lock(self, category: str) -> str | None:
        """Locks young objects, also where the guard stopped the category or its work failed; the reason if some are not."""
        objects = self._plan.definition.category(category).objects
        if objects is None:
            return None
        bucket = self._buckets[objects.bucket]
        locks = CategoryLocks(self._database, bucket, self._run_id, category, self._persistence, self._world)
        try:
            return locks.set_all()
        except RetentionError as error:
            return self._failed(category, error, locks.locked)

    def _work_on(self, run: CategoryRun) -> CategoryResult:
        definition = self._plan.definition.category(run.category)
        name = definition.objects.bucket if definition.objects else None
        bucket = self._buckets[name] if name is not None else None
        shared = SharedObjects(self._others(name) if name is not None else {}, self._run_id, self._persistence)
        work = CategoryWork(
            self._database, bucket, shared, self._run_id, run, self._plan, self._persistence, self._pacer, self._world
        )
        try:
            return work.result()
        except RetentionError as error:
            failed = self._failed(run.category, error, work.removed)
        return CategoryResult(run, work.steps, work.removed, failed)

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


def _outcome(categories: tuple[CategoryResult, ...], evidence: RunEvidence) -> Outcome:
    """What the database says of the run (it counted what is left), or worse if this process saw a failure."""
    if any(result.failure for result in categories):
        return Outcome.INCOMPLETE
    return _OUTCOMES.get(evidence.outcome, Outcome.INCOMPLETE)


_OUTCOMES = {
    "Succeeded": Outcome.SUCCEEDED,
    "ApprovalRequired": Outcome.APPROVAL_REQUIRED,
    # The operator has a new plan for the next attempt.
    "RulesChanged": Outcome.NOT_READY,
}
