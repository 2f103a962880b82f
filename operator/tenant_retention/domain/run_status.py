"""What a policy's runs did, from the evidence in its databases (X6), as the status says it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import CategoryEvidence, RunEvidence
from tenant_retention.domain.several_databases import evidence_as_one

SUCCEEDED, STOPPED, FAILED = "Succeeded", "Stopped", "Failed"
_WORST_FIRST = (FAILED, STOPPED, SUCCEEDED)
CLOCK_SKEW = timedelta(minutes=1)
"""How far the clocks of API server and database may lie apart; a run refuses more."""
_OF_EVIDENCE = {"Succeeded": SUCCEEDED, "ApprovalRequired": STOPPED}
"""What the database writes at a run's end; every other word (Failed, Incomplete, RulesChanged, Interrupted) is a failure."""
_INTERRUPTED = "Interrupted"


@dataclass(frozen=True)
class RunReport:
    """``latest``: the newest evidence by database purpose. ``active_since``: a Job is at work now; ``waits``: why that Job
    has no running pod. ``failure``: what the last Job said that ended without evidence (bad configuration, a store that did
    not answer). ``missed``: see resync."""

    latest: Mapping[str, RunEvidence] = field(default_factory=dict)
    active_since: datetime | None = None
    waits: str | None = None
    failure: str | None = None
    failed_at: datetime | None = None
    missed: bool = False

    @property
    def failed(self) -> bool:
        """Whether the last thing that happened was a failure."""
        if self.failure is not None:
            return True
        return outcome(self.latest) == FAILED


def outcome(latest: Mapping[str, RunEvidence]) -> str | None:
    """The worst outcome over the databases of the newest run; None without a run. An interrupted run is a failed one."""
    newest = newest_run(latest)
    if not newest:
        return None
    outcomes = {_OF_EVIDENCE.get(run.outcome, FAILED) for run in newest.values()}
    return next(word for word in _WORST_FIRST if word in outcomes)


def newest_run(latest: Mapping[str, RunEvidence]) -> dict[str, RunEvidence]:
    """The evidence of the newest run alone: one run id over all databases."""
    if not latest:
        return {}
    newest = max(latest.values(), key=lambda run: run.started_at).run_id
    return {purpose: run for purpose, run in latest.items() if run.run_id == newest}


_OF_RUNS = ("lastRunTime", "cachedKeys")
"""What a category's row keeps of the last run that told it."""


def last_run_time(report: RunReport) -> str | None:
    """When the last run ended."""
    ends = [run.finished_at for run in newest_run(report.latest).values() if run.finished_at is not None]
    return instant(max(ends)) if ends else None


def with_last_runs(
    rows: Sequence[Mapping[str, Any]], report: RunReport, before: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The categories' rows, each with when its last run ended and how many keys it left in the cache. A run that left
    no evidence of a category, or was
    interrupted, says nothing: then what the rows ``before`` said stays."""
    known = {row["name"]: {key: row[key] for key in _OF_RUNS if key in row} for row in before}
    ended = [
        (run.finished_at, run) for run in report.latest.values() if run.finished_at and run.outcome != _INTERRUPTED
    ]
    for end, run in sorted(ended, key=lambda each: each[0]):
        for found in run.categories:
            known.setdefault(found.category, {})["lastRunTime"] = instant(end)
        for cached in run.caches:
            if cached.residue is not None:
                known.setdefault(cached.category, {})["cachedKeys"] = cached.keys - cached.removed
    return [{**row, **known.get(row["name"], {})} for row in rows]


def run_rows(report: RunReport, definition: RetentionDefinition | None) -> list[dict[str, Any]]:
    """The last run of the task ``expire``; a Job at work, or one that failed without evidence, is told instead."""
    newest = newest_run(report.latest)
    summary = summarize(newest, definition) if newest else None
    if report.active_since is not None:
        running = {"task": "expire", "outcome": "Running", "started": instant(report.active_since)}
        waits = {"message": report.waits} if report.waits else {}
        return [{**(summary or {}), **running, **waits}]
    if report.failure is not None:
        told: dict[str, Any] = {"task": "expire", "outcome": FAILED, "message": report.failure[:1024]}
        return [{**told, "finished": instant(report.failed_at)} if report.failed_at else told]
    return [summary] if summary else []


def summarize(runs: Mapping[str, RunEvidence], definition: RetentionDefinition | None) -> dict[str, Any]:
    """One run over all its databases: worst outcome, sums, counts by category."""
    first = min(run.started_at for run in runs.values())
    ends = [run.finished_at for run in runs.values() if run.finished_at is not None]
    categories = evidence_as_one(found for name in sorted(runs) for found in runs[name].categories)
    with_objects = _categories_with_objects(definition)
    any_run = next(iter(runs.values()))

    def acted(found: CategoryEvidence) -> int:
        # A dry run deletes nothing: it tells what would have been deleted, by the same decision (X7).
        return found.candidates if any_run.mode is Mode.DRY_RUN else found.acted

    def objects(found: CategoryEvidence) -> int:
        if found.category not in with_objects:
            return 0
        # A row may name no object, or one that another row still needs: then it goes alone.
        return found.objects if any_run.mode is Mode.ENFORCE and found.objects is not None else acted(found)

    row: dict[str, Any] = {
        "task": "expire",
        "outcome": outcome(runs),
        "runId": str(any_run.run_id),
        "mode": any_run.mode.value,
        "started": instant(first),
        "deletedRows": sum(acted(found) - objects(found) for found in categories),
        "deletedObjects": sum(objects(found) for found in categories),
        "categories": [_category_row(found, acted(found), any_run.mode) for found in categories],
    }
    if len(ends) == len(runs):
        row["finished"] = instant(max(ends))
        row["durationSeconds"] = round((max(ends) - first).total_seconds(), 3)
    return row


def attempts_as_one(attempts: Sequence[RunEvidence]) -> RunEvidence:
    """What all attempts of one Job did to one database, oldest first, as one link: the last one's word, and of each category
    what was due when the first one began, what all of them deleted and locked, and what the last one left."""
    names = dict.fromkeys(found.category for attempt in reversed(attempts) for found in attempt.categories)
    categories = tuple(
        _category_as_one([found for attempt in attempts for found in attempt.categories if found.category == name])
        for name in names
    )
    return attempts[-1].model_copy(update={"started_at": attempts[0].started_at, "categories": categories})


def _category_as_one(found: Sequence[CategoryEvidence]) -> CategoryEvidence:
    known = [each.objects for each in found if each.objects is not None]
    sums = {"acted": sum(each.acted for each in found), "locked": sum(each.locked for each in found)}
    objects = sum(known) if len(known) == len(found) else None
    if found[-1].anonymized is not None:
        first = next(each for each in found if each.anonymized is not None)
        sums["anonymized"] = sum(each.anonymized or 0 for each in found)
        sums["anonymize_due"] = first.anonymize_due or 0
    if found[-1].archived is not None:
        first = next(each for each in found if each.archived is not None)
        sums["archived"] = sum(each.archived or 0 for each in found)
        sums["archive_due"] = first.archive_due or 0
    return found[-1].model_copy(update={"candidates": found[0].candidates, "objects": objects, **sums})


def approval_request(counts: Counts, definition: RetentionDefinition | None) -> dict[str, Any] | None:
    """What an approval must say; None where the guard asks for nothing."""
    requests = [
        found for found in counts.guard if definition is None or found.rules_digest == definition.rules_digest()
    ]
    if not requests:
        return None
    return {
        "rulesDigest": requests[0].rules_digest,
        "rows": sum(found.surplus for found in requests),
        "categories": sorted({found.category for found in requests}),
    }


def _categories_with_objects(definition: RetentionDefinition | None) -> set[str]:
    return (
        {category.name for category in definition.categories if category.objects or category.files}
        if definition
        else set()
    )


def _category_row(found: CategoryEvidence, acted: int, mode: Mode) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": found.category,
        "candidates": found.candidates,
        "acted": acted,
        "held": found.held,
        "skipped": found.skipped + found.surplus,
        "failed": found.failed,
        "locked": found.locked,
        "residue": found.residue,
        "anonymized": found.anonymize_due if mode is Mode.DRY_RUN else found.anonymized,
        "anonymizeResidue": found.anonymize_residue,
        "archived": found.archive_due if mode is Mode.DRY_RUN else found.archived,
        "oldestLeft": instant(found.oldest_left) if found.oldest_left else None,
    }
    return {name: value for name, value in row.items() if value is not None}
