"""One category's work in one run: claimed objects first, then whole partitions and keyset ranges, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from tenant_retention.domain.errors import NotReady, RetentionError
from tenant_retention.domain.plan_document import Mode, PlanDocument, Task
from tenant_retention.domain.ports.anonymizing import AnonymizeStep
from tenant_retention.domain.ports.enforcement import (
    CategoryRun,
    Claim,
    ContentBucket,
    EnforcementDatabase,
    PartitionStep,
    PartitionStepKind,
)
from tenant_retention.enforcement.anonymizing import Anonymizing
from tenant_retention.enforcement.batches import BatchSize
from tenant_retention.enforcement.findings import CategoryFindings
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.requests import CategoryRequests
from tenant_retention.enforcement.results import CategoryResult
from tenant_retention.enforcement.sharing import NAMED_IN_PART, SharedObjects
from tenant_retention.enforcement.world import World

CLAIMS_AT_ONCE = 3_200
"""Objects claimed by one transaction: four full rounds of eight requests with a hundred keys, a second or two of work."""
_PROGRESS_SECONDS = 5.0


class CategoryWork:
    """Does the work and remembers how far it came, also when it fails on the way."""

    def __init__(
        self,
        database: EnforcementDatabase,
        bucket: ContentBucket | None,
        shared: SharedObjects,
        run_id: UUID,
        start: CategoryRun,
        plan: PlanDocument,
        persistence: Persistence,
        pacer: Pacer,
        world: World,
    ) -> None:
        self.removed = 0
        self.steps: tuple[PartitionStep, ...] = ()
        self._database = database
        self._bucket = bucket
        self._shared = shared
        self._run_id = run_id
        self._start = start
        self._plan = plan
        self._persistence = persistence
        self._pacer = pacer
        self._world = world
        self._batch = BatchSize(plan.batch_milliseconds / 1000)
        self._anonymizing = Anonymizing(database, run_id, plan.batch_milliseconds, persistence, pacer, world)
        self._worked = 0.0
        self._told_at = world.elapsed()

    def result(self) -> CategoryResult:
        """Does all of it. Raises Interrupted between two transactions when asked to stop, RetentionError when it fails."""
        category = self._start.category
        self._world.journal.tell(
            "category.started", category=category, due=self._start.candidates, guard=self._start.guard.value
        )
        nightly = self._plan.task is Task.EXPIRE
        if self._plan.mode is Mode.DRY_RUN and not nightly:
            return CategoryResult(self._start)
        if self._plan.mode is Mode.DRY_RUN:
            self.steps = self._partition_steps()
            self._look_for_findings()
            return CategoryResult(self._start, self.steps, months=self._months())
        if self._bucket is not None:
            self._remove_objects(self._bucket)
        # What somebody asked for waits for no guard; nor does the night wait for what cannot be done of it.
        failure = self._carry_out_requests()
        months = self._remove_due() if nightly else ()
        if failure is not None:
            raise failure
        self._world.journal.tell(
            "category.finished", category=category, removed=self.removed, anonymized=self.anonymized
        )
        return CategoryResult(self._start, self.steps, self.removed, months=months, anonymized=self.anonymized)

    def _remove_due(self) -> tuple[AnonymizeStep, ...]:
        # Asked for only now: months whose objects are gone may go as a whole.
        self.steps = self._partition_steps()
        self._take(self.steps)
        # What is deleted anyway is not rewritten first; its content went before (P4).
        months = self._months()
        try:
            self._anonymizing.take_all(months)
        except RetentionError:
            # What may not be stored does not wait for what may not be known.
            self._look_for_findings()
            raise
        self._look_for_findings()
        return months

    @property
    def anonymized(self) -> int:
        """Rows that lost the person so far."""
        return self._anonymizing.anonymized

    def _months(self) -> tuple[AnonymizeStep, ...]:
        return self._anonymizing.steps(self._start.category)

    def _partition_steps(self) -> tuple[PartitionStep, ...]:
        self._persistence.go_on()
        return self._persistence.patiently(self._database.partition_steps, self._run_id, self._start.category)

    def _carry_out_requests(self) -> RetentionError | None:
        """After the objects: entries that are left are of rows without one, or of what must stay. What kept it from its end."""
        parts = (self._persistence, self._pacer, self._world)
        tables = self._plan.definition.category(self._start.category).tables
        try:
            CategoryRequests(self._database, self._run_id, self._start.category, tables, *parts).work()
        except RetentionError as error:
            return error
        return None

    def _look_for_findings(self) -> None:
        """Last: what is due went already, and is not looked at."""
        parts = (self._persistence, self._pacer, self._world)
        CategoryFindings(self._database, self._run_id, self._start.category, self._plan.definition, *parts).work(
            self._plan.mode
        )

    def _take(self, steps: Sequence[PartitionStep]) -> None:
        while steps:
            first = steps[0]
            if first.kind is PartitionStepKind.RANGE:
                self._remove_range(first)
                steps = steps[1:]
                continue
            _, alike = next(groupby(steps, key=lambda step: (step.table, step.kind)))
            self._go_on()
            batch = self._persistence.patiently(
                self._database.expire_months, self._run_id, tuple(alike), self._plan.batch_milliseconds
            )
            self._count(batch.deleted)
            steps = steps[batch.months :]

    def _go_on(self) -> None:
        """Between two batches: stops when asked to, waits while the server bears too much or an application writes."""
        self._persistence.go_on()
        self._pacer.pause(self._worked)
        self._worked = 0.0

    def _remove_range(self, step: PartitionStep) -> None:
        resume_after = None
        while True:
            self._go_on()
            started = self._world.elapsed()
            batch = self._persistence.patiently(
                self._database.expire_range, self._run_id, step, resume_after, self._batch.rows
            )
            self._worked = self._world.elapsed() - started
            self._batch = self._batch.after(batch.deleted, self._worked)
            self._count(batch.deleted)
            if batch.resume_after is None:
                return
            if batch.deleted == 0 and batch.resume_after == resume_after:
                raise NotReady(f"{step.table}: a batch made no progress", reason="NoProgress")
            resume_after = batch.resume_after

    def _remove_objects(self, bucket: ContentBucket) -> None:
        """Claim, object, row: a kill anywhere leaves a claim that the next run finishes (RETENTION.md section 3)."""
        while True:
            self._go_on()
            claims = self._persistence.patiently(
                self._database.claim_content, self._run_id, self._start.category, CLAIMS_AT_ONCE
            )
            if not claims:
                return
            gone, failures = self._delete(bucket, claims)
            if failures:
                self._persistence.patiently(self._database.release_claims, self._run_id, failures)
            if gone:
                self._count(self._persistence.patiently(self._database.confirm_claims, self._run_id, gone))

    def _delete(self, bucket: ContentBucket, claims: tuple[Claim, ...]) -> tuple[list[int], list[tuple[int, str]]]:
        """Deletes the objects; what the store did not answer for counts as failed, never as gone. So does what another database
        names in part; what it names as a whole stays with its row there, and is as good as gone here."""
        try:
            found = self._shared.sort(claims)
            outcomes = self._persistence.patiently(bucket.delete_objects, found.free) if found.free else ()
        except RetentionError as error:
            released = [(claim.claim_id, error.reason) for claim in claims]
            self._persistence.patiently(self._database.release_claims, self._run_id, released)
            raise
        answers = {outcome.claim_id: outcome.error for outcome in outcomes}
        answers |= {claim.claim_id: None for claim in found.named}
        answers |= {claim.claim_id: NAMED_IN_PART for claim in found.in_part}
        failures = [(claim.claim_id, answers.get(claim.claim_id, "NoAnswer")) for claim in claims]
        gone = [claim_id for claim_id, error in failures if error is None]
        return gone, [(claim_id, error) for claim_id, error in failures if error is not None]

    def _count(self, rows: int) -> None:
        self.removed += rows
        now = self._world.elapsed()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            self._world.journal.tell(
                "category.progress", category=self._start.category, removed=self.removed, of=self._start.candidates
            )
