"""A run's result and a verification as documents (for ``-o json|yaml``) and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from tenant_retention.cli.output import table, visible
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.enforcement.results import CategoryResult, RunResult, StoreResult

RUN_HEADS = (
    "STORE",
    "CATEGORY",
    "GUARD",
    "TOTAL",
    "DUE",
    "REMOVED",
    "ANONYMIZED",
    "ARCHIVED",
    "SURPLUS",
    "HELD",
    "OVERDUE",
    "OLDEST",
    "STATUS",
)
VERIFY_HEADS = ("STORE", "CATEGORY", "ROWS", "DUE", "OVERDUE", "HELD", "ANOMALIES", "OLDEST", "NEXT-DEADLINE")


@dataclass(frozen=True)
class Verification:
    """What one database's observer login saw, and the latest links of its chain, newest first."""

    purpose: str
    facts: DatabaseFacts
    links: tuple[RunEvidence, ...]
    problems: tuple[str, ...]


def run_document(result: RunResult) -> dict[str, Any]:
    """Everything of a run."""
    return {
        "version": 1,
        "runId": str(result.run_id),
        "mode": result.mode.value,
        "outcome": result.outcome.value,
        "startedAt": result.started_at.isoformat(),
        "finishedAt": result.finished_at.isoformat(),
        "stores": [
            {
                "purpose": store.purpose,
                "outcome": store.outcome.value,
                "reason": store.reason,
                "message": store.message,
                "categories": [
                    category.start.model_dump(mode="json", by_alias=True, exclude={"store"})
                    | {
                        "removed": category.removed,
                        "failure": category.failure,
                        "anonymized": category.anonymized,
                        "steps": [step.model_dump(mode="json", by_alias=True) for step in category.steps],
                        "months": [month.model_dump(mode="json", by_alias=True) for month in category.months],
                        "archived": category.archived,
                        "toArchive": [step.model_dump(mode="json", by_alias=True) for step in category.to_archive],
                    }
                    for category in store.categories
                ],
                "evidence": store.evidence.model_dump(mode="json", by_alias=True) if store.evidence else None,
            }
            for store in result.stores
        ],
    }


def print_run(result: RunResult, stream: TextIO) -> None:
    """The run as a table; a dry run's steps below it."""
    rows = [_run_row(store, category, result.mode) for store in result.stores for category in store.categories]
    if rows:
        table(RUN_HEADS, rows, stream)
    if result.mode is Mode.DRY_RUN:
        for category in (category for store in result.stores for category in store.categories):
            lines = [step.describe() for step in category.steps] + [month.describe() for month in category.months]
            for line in (*lines, *(month.describe() for month in category.to_archive)):
                stream.write(f"{visible(line)}\n")
    for store in result.stores:
        if store.message:
            stream.write(f"{visible(store.purpose)}: {visible(store.message)}\n")
    stream.write(f"{result.mode.value} run {result.run_id}: {result.outcome.value}\n")


def _run_row(store: StoreResult, category: CategoryResult, mode: Mode) -> tuple[object, ...]:
    start = category.start
    return (
        store.purpose,
        start.category,
        start.guard.value,
        start.total,
        start.candidates,
        None if mode is Mode.DRY_RUN else category.removed,
        start.anonymize_due if mode is Mode.DRY_RUN else category.anonymized,
        sum(step.rows for step in category.to_archive) if mode is Mode.DRY_RUN else category.archived,
        start.surplus,
        start.held,
        start.overdue,
        _instant(start.oldest),
        category.failure or store.outcome.value,
    )


def verify_document(verifications: Sequence[Verification]) -> dict[str, Any]:
    """Everything that was verified."""
    return {
        "version": 1,
        "compliant": not any(verification.problems for verification in verifications),
        "stores": [
            {"purpose": verification.purpose, "problems": list(verification.problems)}
            | verification.facts.model_dump(mode="json", by_alias=True)
            | {"evidence": [link.model_dump(mode="json", by_alias=True) for link in verification.links]}
            for verification in verifications
        ],
    }


def print_verification(verifications: Sequence[Verification], stream: TextIO) -> None:
    """Counts per category, the latest runs, and what is wrong."""
    table(
        VERIFY_HEADS,
        [
            (
                verification.purpose,
                seen.category,
                seen.rows,
                seen.due,
                seen.overdue,
                seen.held,
                seen.anomalies,
                _instant(seen.oldest),
                _instant(seen.next_deadline),
            )
            for verification in verifications
            for seen in verification.facts.categories
        ],
        stream,
    )
    links = [(verification.purpose, link) for verification in verifications for link in verification.links]
    if links:
        stream.write("\n")
        table(
            ("STORE", "RUN", "MODE", "OUTCOME", "STARTED", "REMOVED", "RESIDUE", "DIGEST"),
            [
                (
                    purpose,
                    link.run_id,
                    link.mode.value,
                    _outcome(link),
                    _instant(link.started_at),
                    sum(category.acted for category in link.categories),
                    _residue(link),
                    link.digest[:19],
                )
                for purpose, link in links
            ],
            stream,
        )
    problems = [(verification.purpose, text) for verification in verifications for text in verification.problems]
    for purpose, text in problems:
        stream.write(f"{visible(purpose)}: {visible(text)}\n")
    stream.write("NotCompliant\n" if problems else "Compliant\n")


def _outcome(link: RunEvidence) -> str:
    if link.act is not None:
        return f"{link.act.kind.value} ({link.act.describe()})"
    return f"{link.outcome} ({', '.join(link.limited_to)})" if link.limited_to else link.outcome


def _residue(link: RunEvidence) -> int | None:
    counts = [category.residue for category in link.categories]
    return None if any(count is None for count in counts) else sum(count for count in counts if count is not None)


def _instant(value: datetime | None) -> str | None:
    return instant(value) if value else None
