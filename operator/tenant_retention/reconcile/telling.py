"""Telling: statuses are patched only where they differ, Events only on transitions, metrics follow the status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.conditions import Finding, reason_of, render, transitions
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import NotReady, RetentionError, Unavailable
from tenant_retention.domain.live_holds import hold_rows, in_force
from tenant_retention.domain.policy_report import (
    PolicyReport,
)
from tenant_retention.domain.ports.cluster import HOLD, POLICY, STORE, Happening, Kind, Manifest
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.readiness import Measurements
from tenant_retention.domain.status import (
    policy_status,
    status_patch,
)
from tenant_retention.domain.store_status import store_status
from tenant_retention.reconcile.buckets import BucketResult
from tenant_retention.reconcile.caches import CacheResult
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.world import World, parse

Result = DatabaseResult | BucketResult | CacheResult
_SILENT_WHEN_FALSE = {
    ConditionType.STALLED.value,
    ConditionType.APPROVAL_REQUIRED.value,
    ConditionType.EXTENDED_STORAGE_ENDING.value,
    ConditionType.UNCOVERED.value,
    ConditionType.DEBT_FORESEEN.value,
}
_GOOD_WHEN_FALSE = {*_SILENT_WHEN_FALSE, ConditionType.RECONCILING.value}
_TOLD_BY_READY = {
    ConditionType.RECONCILING.value,
    ConditionType.DATABASES_READY.value,
    ConditionType.BUCKETS_READY.value,
    ConditionType.CACHES_READY.value,
    ConditionType.SCHEDULES_READY.value,
}
_TOLD_BY_RUNS = {"RunMissed", "RunFailed"}
_RUN_REASONS = {"Succeeded": "RunSucceeded", "Failed": "RunFailed", "Stopped": "GuardStopped"}


async def tell_policy(
    world: World, manifest: Manifest, report: PolicyReport, facts: Sequence[DatabaseFacts | None]
) -> None:
    """The status of a policy, its Events and its metrics."""
    previous = manifest.get("status") or {}
    meta = manifest["metadata"]
    report = replace(report, holds=await _holds(world, meta["namespace"], facts, previous))
    status = policy_status(report, previous, world.now())
    await tell_status(world, POLICY, manifest, status)
    successes = [found.latest_success for found in facts if found is not None and found.latest_success is not None]
    # A policy's last success is that of its database that waits longest: another one's must not hide it.
    latest = min(successes) if successes and len(successes) == len(facts) else None
    world.shown.policy(meta["namespace"], meta["name"], status, latest)
    for happening in policy_happenings(manifest, previous, status):
        await world.cluster.tell(happening)


async def _holds(
    world: World, namespace: str, facts: Sequence[DatabaseFacts | None], previous: Manifest
) -> tuple[Manifest, ...]:
    """What is on hold in the databases, with or without its LegalHold."""
    found = [hold for each in facts if each is not None for hold in each.holds]
    objects = await world.cluster.list(HOLD, namespace) if found else ()
    holds = in_force(found, {each["metadata"]["name"] for each in objects})
    return hold_rows(holds, previous.get("holds") or (), whole=bool(facts) and None not in facts)


async def tell_stores(
    world: World,
    definition: RetentionDefinition | None,
    results: Sequence[Result],
    at_work: Callable[[], Awaitable[str | None]],
) -> None:
    """The status of the ledger entries of a policy that is there. A database that a Job ``at_work`` has emptied is Released when
    that Job has ended: without it the rules are other ones, which would end the run."""
    emptied = {result.store.entry.metadata.name for result in results if _is_emptied(result)}
    if emptied and await at_work() is not None:
        emptied = set()
    for result in results:
        facts = result.facts if isinstance(result, DatabaseResult) else None
        name = result.store.entry.metadata.name
        bound = name not in emptied and (result.problem is None or result.problem.reason != Reason.STORE_RELEASED)
        await tell_store(world, name, bound, facts, result.problem, definition, result.measured)


def _is_emptied(result: Result) -> bool:
    facts = result.facts if isinstance(result, DatabaseResult) else None
    return result.store.wanted.leaving and facts is not None and facts.rows() == 0


async def tell_store(
    world: World,
    name: str,
    bound: bool,
    facts: DatabaseFacts | None,
    problem: RetentionError | None,
    definition: RetentionDefinition | None,
    measured: Measurements | None = None,
    backups: Manifest | None = None,
) -> Manifest | None:
    """The status of one ledger entry, read afresh, and the Event where its debt begins to be foreseen; that status."""
    manifest = await world.cluster.get(STORE, name)
    if manifest is None:
        return None
    previous = manifest.get("status") or {}
    entry = parse(DataStore, manifest, "StoreConflict")
    namespace, policy = entry.spec.namespace, entry.spec.policy_ref.name
    world.shown.store_measured(namespace, policy, name, measured)
    # One that no policy has is nobody's to bring back: its debt is told instead.
    world.shown.store_ready(namespace, policy, name, problem is None if bound else None)
    status = store_status(
        entry,
        previous,
        bound=bound,
        facts=facts,
        problem=problem,
        definition=definition,
        now=world.now(),
        measured=measured,
        backups=backups,
    )
    await tell_status(world, STORE, manifest, status)
    for change in transitions(previous.get("conditions") or (), status["conditions"]):
        if change.type == ConditionType.DEBT_FORESEEN.value and change.status == "True":
            await world.cluster.tell(Happening(manifest, change.reason, change.message, "Warning"))
    return status


async def tell_failure(world: World, kind: Kind, namespace: str, name: str, problem: Exception) -> None:
    """That a reconcile ended by ``problem``, which nobody caught: the last word must not stand as if it were still so.

    The rest of the status stays: what was counted last is better than nothing. No text of an unforeseen error, which may
    hold anything. An API server that did not answer is no news about the object.
    """
    if isinstance(problem, NotReady | Unavailable):
        return
    manifest = await world.cluster.get(kind, name, namespace or None)
    if manifest is None:
        return
    if isinstance(problem, RetentionError):
        ready = Finding(ConditionType.READY, False, reason_of(problem.reason), problem.message)
    else:
        text = (
            f"{type(problem).__name__} in the operator, which nobody foresaw; it tries again. See the operator's log "
            f"in namespace {world.operator.namespace} and report it"
        )
        ready = Finding(ConditionType.READY, None, Reason.UNFORESEEN, text)
    before = manifest.get("status") or {}
    generation = manifest["metadata"].get("generation", 0)
    findings = [ready]
    held = {found["type"]: found["status"] for found in before.get("conditions") or ()}
    if held.get(ConditionType.COMPLIANT.value) == "True":
        findings.append(Finding(ConditionType.COMPLIANT, None, ready.reason, ready.message))
    told = render(findings, before.get("conditions") or (), generation, world.now())
    others = [found for found in before.get("conditions") or () if found["type"] not in {each["type"] for each in told}]
    status = {**before, "observedGeneration": generation, "conditions": [*told, *others]}
    await tell_status(world, kind, manifest, status)
    if kind is POLICY:
        # Metrics must not stay at Ready and Compliant either.
        world.shown.policy(namespace, name, status, None)


async def tell_status(world: World, kind: Kind, manifest: Manifest, status: Manifest) -> bool:
    """Patches the status where it differs; whether it did."""
    patch = status_patch(manifest.get("status") or {}, status)
    if patch is None:
        return False
    meta = manifest["metadata"]
    await world.cluster.patch_status(kind, meta["name"], meta.get("namespace"), patch)
    return True


def policy_happenings(manifest: Manifest, previous: Manifest, status: Manifest) -> list[Happening]:
    """Events for what changed: conditions, and a run that is new in the evidence."""
    told = []
    changes = transitions(previous.get("conditions") or (), status["conditions"])
    for change in changes:
        if change.type in _TOLD_BY_READY or change.status == "Unknown" or change.reason in _TOLD_BY_RUNS:
            continue
        if change.type in _SILENT_WHEN_FALSE and change.status == "False":
            continue
        good = (change.status == "True") != (change.type in _GOOD_WHEN_FALSE)
        # What is still coming up is no warning.
        coming_up = change.type == ConditionType.READY.value and _waits(status)
        told.append(
            Happening(
                manifest,
                change.reason,
                f"{change.type}: {change.message}",
                "Normal" if good or coming_up else "Warning",
            )
        )
    told.extend(_run_happenings(manifest, previous, status))
    told.extend(_orphan_happenings(manifest, previous, status))
    return told


def _waits(status: Manifest) -> bool:
    return any(found["type"] == "Reconciling" and found["status"] == "True" for found in status["conditions"])


def _orphan_happenings(manifest: Manifest, previous: Manifest, status: Manifest) -> list[Happening]:
    """The first orphans of a bucket or a category; that there are more of them, or fewer, is in the status and the metrics."""
    places = (
        ("stores", "purpose", "unnamedObjects", "objects in {} that no row names"),
        ("categories", "name", "missingObjects", "rows of {} whose object is missing"),
    )
    told = []
    for rows, name, count, text in places:
        before = {row.get(name): row.get(count) for row in previous.get(rows) or ()}
        for row in status.get(rows) or ():
            if row.get(count) and not before.get(row[name]):
                note = (
                    f"{row[count]} {text.format(row[name])}; nothing was deleted: tenant-retention orphans lists them"
                )
                told.append(Happening(manifest, Reason.ORPHANS_FOUND.value, note, "Warning"))
    return told


def _run_happenings(manifest: Manifest, previous: Manifest, status: Manifest) -> list[Happening]:
    before = [(row.get("runId"), row.get("finished")) for row in previous.get("jobs") or ()]
    runs = {run for run, _ in before}
    told = []
    for row in status.get("jobs") or ():
        reason, run = _RUN_REASONS.get(row["outcome"]), row.get("runId")
        # A Job that failed without evidence has no run id: the time of its failure tells it from the one before.
        if reason is None or (run in runs if run is not None else (run, row.get("finished")) in before):
            continue
        note = row.get("message") or (
            f"run {run} ({row.get('mode')}): {row.get('deletedRows', 0)} rows and {row.get('deletedObjects', 0)} objects"
        )
        told.append(Happening(manifest, reason, note, "Normal" if row["outcome"] == "Succeeded" else "Warning"))
    return told
