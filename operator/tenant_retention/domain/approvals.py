"""RetentionRun: whether it may start, what it approves, and what became of it (X7); pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.retentionrun import RetentionRunSpec, RetentionRunStatus
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.conditions import Finding, instant, moment, render
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.stores import ApprovalGrant
from tenant_retention.domain.run_status import CLOCK_SKEW, attempts_as_one, summarize

FINISHED = frozenset({"Succeeded", "Failed", "Stopped"})


@dataclass(frozen=True)
class RunOutcome:
    """How far a run is. ``evidence``: by database purpose; ``message``: what the next step is."""

    phase: str
    reason: Reason
    message: str = ""
    job: str | None = None
    digest: str | None = None
    evidence: Mapping[str, RunEvidence] | None = None


def may_start(run: RetentionRunSpec, policy: TenantRetentionPolicySpec) -> None:
    """Raises Invalid where the platform has stopped deletion: a run does not get around suspension or mode (X2)."""
    if run.mode == "Enforce" and policy.suspend:
        raise Invalid(
            "spec.mode: the policy is suspended (spec.suspend); resume it, or run with mode DryRun",
            reason=Reason.SUSPENDED,
            field="spec.mode",
        )
    if run.mode == "Enforce" and policy.mode == "DryRun":
        raise Invalid(
            "spec.mode: the policy's mode is DryRun; set it to Enforce, or run with mode DryRun",
            reason=Reason.DRY_RUN,
            field="spec.mode",
        )


def grant_of(run: RetentionRunSpec, name: str, definition: RetentionDefinition, now: datetime) -> ApprovalGrant | None:
    """The approval that the run carries; None if it carries none. Raises Invalid: expired, or for other rules."""
    approval = run.approves
    if approval is None:
        return None
    until = moment(approval.until)
    if until <= now:
        raise Invalid(
            f"spec.approves.until: {approval.until} has passed; make a new RetentionRun",
            reason=Reason.APPROVAL_EXPIRED,
            field="spec.approves.until",
        )
    if approval.rules_digest != definition.rules_digest():
        raise Invalid(
            f"spec.approves.rulesDigest: the policy's rules are {definition.rules_digest()}, not {approval.rules_digest}; "
            "make a new RetentionRun with status.approval of the policy",
            reason=Reason.APPROVAL_MISMATCH,
            field="spec.approves.rulesDigest",
        )
    return ApprovalGrant(approval.rules_digest, approval.max_rows, until, name)


def shares(max_rows: int, asking: Mapping[str, int]) -> dict[str, int]:
    """The ceiling of each database of a policy, by purpose, so that all together stay under the approved ``max_rows``.

    ``asking``: the rows that its guard holds back. Each gets its part of the room; where nothing is asked yet, an equal one.
    """
    total = sum(asking.values())
    if total == 0:
        return {purpose: max_rows // len(asking) for purpose in asking}
    return {purpose: max_rows * rows // total for purpose, rows in asking.items()}


def run_id_of(words: str) -> UUID | None:
    """The run that a termination message tells of; None where there is none, or it is not one of ours."""
    try:
        told = json.loads(words)
        return UUID(told["runId"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def evidence_of(
    links: Mapping[str, Sequence[RunEvidence]], mode: Mode, since: datetime, until: datetime, run_ids: Set[UUID]
) -> dict[str, RunEvidence]:
    """The evidence of a Job that began at ``since`` and ended at ``until``, by database, all its attempts as one.

    ``run_ids``: what its pods' termination messages said, which is exact; a run of before is never this Job's, whatever it
    says. An attempt that was killed said nothing, and its evidence is Interrupted. Where no message is left, the time says it.
    """
    # The Job's time has whole seconds, and the clocks of API server and database lie apart by up to a minute.
    begin = since - (CLOCK_SKEW if run_ids else timedelta(seconds=2))
    found: dict[str, RunEvidence] = {}
    for purpose, chain in links.items():
        runs = [link for link in chain if link.act is None and link.mode is mode]
        mine = [link for link in runs if begin <= link.started_at <= until + CLOCK_SKEW]
        if run_ids:
            mine = [link for link in mine if link.run_id in run_ids or link.outcome == "Interrupted"]
        if mine:
            found[purpose] = attempts_as_one(sorted(mine, key=lambda link: link.sequence))
    return found


def run_status(
    outcome: RunOutcome,
    previous: Mapping[str, Any],
    generation: int,
    definition: RetentionDefinition | None,
    now: datetime,
) -> dict[str, Any]:
    """The whole status of a RetentionRun."""
    ready = {"Succeeded": True, "Failed": False, "Stopped": False}.get(outcome.phase)
    finding = Finding(ConditionType.READY, ready, outcome.reason, outcome.message)
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "phase": outcome.phase,
        "conditions": render([finding], previous.get("conditions") or (), generation, now),
        "jobName": outcome.job or previous.get("jobName"),
        "rulesDigest": outcome.digest or previous.get("rulesDigest"),
    }
    if outcome.evidence:
        row = summarize(outcome.evidence, definition)
        kept = ("runId", "started", "finished", "deletedRows", "deletedObjects", "categories")
        status.update({name: row[name] for name in kept if name in row})
    if outcome.phase in FINISHED and "finished" not in status:
        status["finished"] = previous.get("finished") or instant(now)
    told = {name: value for name, value in status.items() if value is not None}
    return RetentionRunStatus.from_object(told).to_object()
