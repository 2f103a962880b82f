"""What came of a run: values for people, for the termination message (at most 2 KiB) and for the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tenant_retention.domain.errors import NotReady, RetentionError, Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.anonymizing import AnonymizeStep
from tenant_retention.domain.ports.archiving import ArchiveStep
from tenant_retention.domain.ports.cached_rows import CacheEvidence
from tenant_retention.domain.ports.enforcement import CategoryRun, PartitionStep
from tenant_retention.domain.ports.evidence import RunEvidence

SUMMARY_BYTES = 2_048
"""Half of what Kubernetes keeps of a termination message."""


class Outcome(StrEnum):
    """How a run ended. From harmless to grave in this order; a run over several stores has its gravest outcome.

    ApprovalRequired is no failure of the program: nothing but an approval changes it, so a Job must not try again.
    """

    SUCCEEDED = "Succeeded"
    APPROVAL_REQUIRED = "ApprovalRequired"
    INCOMPLETE = "Incomplete"
    INVALID = "Invalid"
    NOT_READY = "NotReady"
    INTERRUPTED = "Interrupted"
    UNREACHABLE = "Unreachable"

    def exit_code(self) -> int:
        """0 fine (or waiting for a person), 1 bad configuration: do not retry, 2 work left over, 3 a store is away."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Outcome.SUCCEEDED: 0,
    Outcome.APPROVAL_REQUIRED: 0,
    Outcome.INCOMPLETE: 2,
    Outcome.INVALID: 1,
    Outcome.NOT_READY: 2,
    Outcome.INTERRUPTED: 2,
    Outcome.UNREACHABLE: 3,
}


@dataclass(frozen=True)
class CategoryResult:
    """One category of one store: where it stood, what was (or would be) done, and the reason word if it failed.

    ``files_counted``: the counts at its start are of its files too. ``removed``: rows and files this process saw go; the
    evidence counts also those whose reply was lost. ``anonymized``: rows that it saw lose the person, month by month (``months``),
    ``archived``: that it saw move to the archive (``to_archive``).
    """

    start: CategoryRun
    steps: tuple[PartitionStep, ...] = ()
    removed: int = 0
    failure: str | None = None
    months: tuple[AnonymizeStep, ...] = ()
    anonymized: int = 0
    to_archive: tuple[ArchiveStep, ...] = ()
    archived: int = 0
    files_counted: bool = False


@dataclass(frozen=True)
class StoreResult:
    """One database's part of a run; ``message`` says what went wrong and holds no personal data."""

    purpose: str
    outcome: Outcome
    reason: str | None = None
    message: str | None = None
    categories: tuple[CategoryResult, ...] = ()
    evidence: RunEvidence | None = None


@dataclass(frozen=True)
class OrphanResult:
    """What a night's look for orphans found in the page it looked at; ``failure``: why it could not. Never a failed run."""

    unnamed_objects: int = 0
    missing_objects: int = 0
    failure: str | None = None


@dataclass(frozen=True)
class BucketResult:
    """What a run did to a bucket beside its categories: unfinished uploads that went; ``failure``: why they could not.

    ``orphans``: None where nobody looked for them."""

    purpose: str
    uploads_aborted: int = 0
    failure: str | None = None
    orphans: OrphanResult | None = None


@dataclass(frozen=True)
class RunResult:
    """A whole run over all stores; instants in UTC."""

    run_id: UUID
    mode: Mode
    started_at: datetime
    finished_at: datetime
    stores: tuple[StoreResult, ...]
    buckets: tuple[BucketResult, ...] = ()
    caches: tuple[CacheEvidence, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The gravest outcome of its stores; a bucket that could not be tidied leaves work over."""
        order = list(Outcome)
        outcomes = [store.outcome for store in self.stores]
        outcomes += [Outcome.INCOMPLETE for bucket in self.buckets if bucket.failure]
        outcomes += [Outcome.INCOMPLETE for cache in self.caches if cache.failure]
        return max(outcomes, key=order.index, default=Outcome.SUCCEEDED)


def summarize(result: RunResult) -> str:
    """The termination message: one line of JSON, at most 2 KiB; the truth is the evidence table, this only hurries it up.

    What does not fit is left out from the least to the most telling: quiet categories, then all of them, then stores.
    """
    for detail in (_Detail.ALL, _Detail.TELLING, _Detail.STORES, _Detail.TOTALS):
        text = json.dumps(_summary(result, detail), separators=(",", ":"), ensure_ascii=True)
        if len(text) <= SUMMARY_BYTES:
            break
    return text


class _Detail(StrEnum):
    ALL = "All"
    TELLING = "Telling"
    STORES = "Stores"
    TOTALS = "Totals"


def _summary(result: RunResult, detail: _Detail) -> dict[str, object]:
    summary: dict[str, object] = {
        "version": 1,
        "runId": str(result.run_id),
        "mode": result.mode.value,
        "outcome": result.outcome.value,
        "startedAt": result.started_at.isoformat(timespec="seconds"),
        "finishedAt": result.finished_at.isoformat(timespec="seconds"),
        "removed": sum(category.removed for store in result.stores for category in store.categories),
        "detail": detail.value,
    }
    if detail is not _Detail.TOTALS:
        if told := [_bucket(bucket) for bucket in result.buckets if _has_news(bucket)]:
            summary["buckets"] = told
        if cached := [_cache(cache) for cache in result.caches if cache.keys or cache.failure]:
            summary["caches"] = cached
        summary["stores"] = [_store(store, detail) for store in result.stores]
    return summary


def _store(store: StoreResult, detail: _Detail) -> dict[str, object]:
    content: dict[str, object] = {"purpose": store.purpose, "outcome": store.outcome.value}
    if store.reason:
        content["reason"] = store.reason
    if store.evidence:
        content["digest"] = store.evidence.digest
    if detail is not _Detail.STORES:
        content["categories"] = [
            _category(category) for category in store.categories if detail is _Detail.ALL or _tells(category)
        ]
    return content


def _bucket(bucket: BucketResult) -> dict[str, object]:
    content: dict[str, object] = {"purpose": bucket.purpose, "uploadsAborted": bucket.uploads_aborted}
    if bucket.orphans is not None:
        content |= {
            "unnamedObjects": bucket.orphans.unnamed_objects,
            "missingObjects": bucket.orphans.missing_objects,
        }
        content |= {"orphansFailure": bucket.orphans.failure} if bucket.orphans.failure else {}
    return content | ({"failure": bucket.failure} if bucket.failure else {})


def _cache(cache: CacheEvidence) -> dict[str, object]:
    content: dict[str, object] = {"category": cache.category, "keys": cache.keys, "removed": cache.removed}
    content |= {"unmapped": cache.unmapped} if cache.unmapped else {}
    return content | ({"failure": cache.failure} if cache.failure else {})


def _has_news(bucket: BucketResult) -> bool:
    return bool(bucket.uploads_aborted or bucket.failure) or bucket.orphans not in (None, OrphanResult())


def _category(category: CategoryResult) -> dict[str, object]:
    start = category.start
    content: dict[str, object] = {
        "category": start.category,
        "due": start.candidates,
        "removed": category.removed,
        "surplus": start.surplus,
        "overdue": start.overdue,
        "held": start.held,
    }
    if start.anonymize_due or category.anonymized:
        content |= {"anonymizeDue": start.anonymize_due, "anonymized": category.anonymized}
    if category.to_archive:
        content |= {"toArchive": sum(step.rows for step in category.to_archive), "archived": category.archived}
    if category.failure:
        content["failure"] = category.failure
    return content


def _tells(category: CategoryResult) -> bool:
    start = category.start
    return bool(
        category.failure
        or category.removed
        or category.anonymized
        or category.archived
        or start.surplus
        or start.overdue
    )


def outcome_of(categories: Sequence[CategoryResult], evidence: RunEvidence) -> Outcome:
    """What the database says of the run (it counted what is left), or worse if this process saw a failure."""
    if any(result.failure for result in categories):
        return Outcome.INCOMPLETE
    return _OUTCOMES.get(evidence.outcome, Outcome.INCOMPLETE)


def outcome_of_error(error: RetentionError) -> Outcome:
    """How a run, or one database's part of it, ended that this error stopped."""
    if isinstance(error, Unavailable):
        return Outcome.UNREACHABLE
    # Rules that changed since the plan was written are no bad configuration: the next attempt reads the new plan.
    waits = isinstance(error, NotReady) or error.reason == "RulesChanged"
    return Outcome.NOT_READY if waits else Outcome.INVALID


_OUTCOMES = {
    "Succeeded": Outcome.SUCCEEDED,
    "ApprovalRequired": Outcome.APPROVAL_REQUIRED,
    # The operator has a new plan for the next attempt.
    "RulesChanged": Outcome.NOT_READY,
}
