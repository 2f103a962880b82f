"""The nightly removal (P2, M10): asks each database what is due by its own rules, and takes it away step by step.

Pure orchestration over ports: every call is one transaction, so a kill between or inside calls leaves nothing half done
that the next run does not finish. The database decides; a dry run makes the same calls up to the first effect (X7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.plan_document import Mode, PlanDocument, Task
from tenant_retention.domain.ports.requests import SoughtSubject
from tenant_retention.enforcement.cache_sweep import sweep_caches
from tenant_retention.enforcement.database_run import DatabaseRun
from tenant_retention.enforcement.orphans import OrphanLook
from tenant_retention.enforcement.results import BucketResult, OrphanResult, RunResult
from tenant_retention.enforcement.world import Stores, World

UPLOADS_END_AFTER = timedelta(days=2)
"""Longer than any upload takes that still goes on, shorter than any keep that a nightly run can promise."""


def expire(
    plan: PlanDocument, stores: Stores, run_id: UUID, world: World, sought: Sequence[SoughtSubject] = ()
) -> RunResult:
    """Runs ``plan`` once over all its databases; one that fails does not stop the others.

    ``sought``: whom the requests are about that this run carries out. Raises Invalid, before anything is touched, if the plan
    contradicts itself or names a store that is not there.
    """
    check_plan(plan, stores)
    started = world.now()
    world.journal.tell("run.started", mode=plan.mode.value, databases=len(stores.databases))
    concerned = _concerned(plan)
    runs: dict[str, DatabaseRun] = {}
    for name in stores.databases:
        if concerned is None or purpose_of(name) in concerned:
            runs[name] = DatabaseRun(plan, name, stores, runs, run_id, world)
    # Every database is in the run, and every young object locked, before the first object goes: what one of them would delete
    # may be young in another (M8).
    for run in runs.values():
        run.attempt(DatabaseRun.begin)
    if sought:
        _find(runs, sought, plan.mode)
    for step in (DatabaseRun.count, DatabaseRun.lock, DatabaseRun.work, DatabaseRun.archive):
        for run in runs.values():
            run.attempt(step)
    # Keys follow their rows: those that went a moment ago, too.
    caches = sweep_caches(plan, stores, runs, run_id, world)
    for run in runs.values():
        run.attempt(DatabaseRun.finish)
    results = [run.result() for run in runs.values()]
    # Only a database knows that its policy was suspended or its store released since the plan was written.
    nightly = plan.mode is Mode.ENFORCE and plan.task is Task.EXPIRE
    allowed = nightly and any(result.categories for result in results)
    buckets = _tidy(plan.definition, stores, world) if allowed else ()
    result = RunResult(run_id, plan.mode, started, world.now(), tuple(results), buckets, caches)
    world.journal.tell("run.finished", outcome=result.outcome.value)
    return result


def _find(runs: Mapping[str, DatabaseRun], sought: Sequence[SoughtSubject], mode: Mode) -> None:
    """Lists the people's rows in every database; only where all have them anything is done by it."""
    for run in runs.values():
        run.attempt(partial(DatabaseRun.find, sought=sought))
    if mode is Mode.ENFORCE and all(run.under_way() for run in runs.values()):
        for run in runs.values():
            run.attempt(DatabaseRun.found)


def _concerned(plan: PlanDocument) -> set[str] | None:
    """The purposes of the databases that the run begins in; None: all.

    One that is limited to some categories begins in theirs; in all of them where objects may go, as any of them may have a
    row that keeps one (M8).
    """
    chosen = [category for category in plan.definition.categories if category.name in plan.categories]
    if not chosen or (plan.mode is Mode.ENFORCE and any(category.objects for category in chosen)):
        return None
    return {category.database for category in chosen} | {ARCHIVE for category in chosen if category.tables}


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
    purposes = {purpose_of(name) for name in stores.databases}
    cached = [each for each in plan.definition.categories if each.cache and each.database in purposes]
    if cached and not stores.caches:
        raise Invalid(
            f"caches: category {cached[0].name!r} has keys in a cache, which the plan does not name",
            reason="InvalidPlan",
            field="caches",
        )
    for category in plan.definition.categories:
        link = category.objects or category.files
        if link and category.database in purposes and link.bucket not in stores.buckets:
            raise Invalid(
                f"buckets: category {category.name!r} keeps its objects in {link.bucket!r}, which the plan does not name",
                reason="InvalidPlan",
                field="buckets",
            )
