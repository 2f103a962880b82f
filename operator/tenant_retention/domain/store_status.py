"""The status of a ledger entry: phase, debt and the anchored head of the evidence chain (X4, X6); pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.category_status import MOST_CATEGORIES
from tenant_retention.domain.conditions import Finding, instant, moment, reason_of, render
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.foreseen import released_finding
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.readiness import Measurements, rows

RECOUNT = timedelta(hours=1)
"""An unchanged count is dated anew at most this often: a ledger entry is no clock."""


def store_status(
    entry: DataStore,
    previous: Mapping[str, Any],
    *,
    bound: bool,
    facts: DatabaseFacts | None,
    problem: RetentionError | None,
    definition: RetentionDefinition | None,
    now: datetime,
    measured: Measurements | None = None,
    backups: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole status. Without ``facts`` the last counts stay: a server that is away does not make debt vanish (X4).
    ``backups``: the counts of a bucket of backups (``backup_debt``)."""
    ready = (
        Finding(ConditionType.READY, False, reason_of(problem.reason), problem.message)
        if problem is not None
        else Finding(ConditionType.READY, True, Reason.AVAILABLE)
    )
    status: dict[str, Any] = {
        name: previous[name]
        for name in ("evidenceHead", "empty", "overdue", "debt", "countedAt", "rulesDigest")
        if name in previous
    }
    status.update(
        {
            "observedGeneration": entry.metadata.generation,
            "phase": _phase(bound=bound, problem=problem, previous=previous),
        }
    )
    if measured is not None:
        status["measurements"] = rows(measured.figures)
        if measured.version is not None:
            status["version"] = measured.version
    if facts is not None:
        status.update(_counted(facts, definition, previous, now))
    if backups is not None:
        status.update({**backups, "countedAt": _dated(backups, previous, now)})
    findings = [ready] if bound else [ready, released_finding(next_deadline(status), entry.metadata.name, now)]
    status["conditions"] = render(findings, previous.get("conditions") or (), entry.metadata.generation, now)
    return status


def next_deadline(status: Mapping[str, Any]) -> datetime | None:
    """When the first item of a store must be gone, by the status of its ledger entry: as last counted."""
    found = [moment(debt["nextDeadline"]) for debt in status.get("debt") or () if debt.get("nextDeadline")]
    return min(found, default=None)


def evidence_hash(link: RunEvidence) -> str:
    """The hash of a link as the ledger anchors it."""
    return link.digest if link.digest.startswith("sha256:") else f"sha256:{link.digest}"


def _phase(*, bound: bool, problem: RetentionError | None, previous: Mapping[str, Any]) -> str:
    if not bound:
        return "Released"
    return "Pending" if problem is not None and previous.get("phase") in (None, "Pending") else "Bound"


def _deadlines(facts: DatabaseFacts) -> dict[str, datetime]:
    """When the oldest item of each category must be gone, wherever it is."""
    found: dict[str, datetime] = {}
    pairs = [(each.category, each.next_deadline) for each in facts.categories]
    for category, deadline in (*pairs, *((table.category, table.next_deadline) for table in facts.left)):
        if deadline is not None:
            found[category] = min(deadline, found.get(category, deadline))
    return found


def _counted(
    facts: DatabaseFacts, definition: RetentionDefinition | None, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    with_objects = (
        {found.name for found in definition.categories if found.objects or found.files} if definition else set()
    )
    overdue = {found.category: found.overdue for found in facts.categories}
    for table in facts.left:
        overdue[table.category] = overdue.get(table.category, 0) + table.overdue
    deadlines = _deadlines(facts)
    debt = [
        {
            "category": name,
            "rows": 0 if name in with_objects else count,
            "objects": count if name in with_objects else 0,
            **({"nextDeadline": instant(deadlines[name])} if name in deadlines else {}),
        }
        for name, count in list(overdue.items())[:MOST_CATEGORIES]
    ]
    counted: dict[str, Any] = {"empty": facts.rows() == 0, "overdue": facts.overdue(), "debt": debt}
    dated = _dated(counted, previous, now)
    head = facts.latest_run
    # The anchor of a chain that was tampered with is the proof of it: it stays where it is.
    if head is not None and facts.chain_intact:
        counted["evidenceHead"] = {
            "runId": str(head.run_id),
            "hash": evidence_hash(head),
            "time": instant(head.finished_at or head.started_at),
        }
    return {**counted, "countedAt": dated, "rulesDigest": facts.rules_digest}


def _dated(counted: Mapping[str, Any], previous: Mapping[str, Any], now: datetime) -> str:
    """When these counts were counted; what has not changed since is not dated anew at each look."""
    same = all(previous.get(name) == value for name, value in counted.items())
    dated = previous.get("countedAt")
    return str(dated) if same and dated is not None and now - moment(dated) < RECOUNT else instant(now)
