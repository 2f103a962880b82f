"""The status of a policy, computed whole from what is wanted and what was found (rule 8 of ARCHITECTURE.md); pure.

``now`` moves transition times and nothing else, so that an unchanged world is never patched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.policystatus import TenantRetentionPolicyStatus
from tenant_retention.domain.backup_status import backup_findings, backup_row, late_backups
from tenant_retention.domain.category_status import category_rows, overdue_total
from tenant_retention.domain.cluster_backups import late_finding
from tenant_retention.domain.conditions import Finding, instant, reason_of, render
from tenant_retention.domain.encryption import encryption_finding
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.extended_storage import extension_findings
from tenant_retention.domain.foreseen import debt_expected, debt_while_away, foreseen_finding
from tenant_retention.domain.left_behind import unenforced
from tenant_retention.domain.overdue_objects import overdue_objects_text
from tenant_retention.domain.policy_report import PolicyReport, StoreReport
from tenant_retention.domain.readiness import health_finding
from tenant_retention.domain.run_status import approval_request, last_run_time, run_rows, with_last_runs
from tenant_retention.domain.store_rows import binding_rows, store_counts, store_rows
from tenant_retention.domain.uncovered import uncovered_findings, uncovered_row
from tenant_retention.domain.unwanted import unwanted_finding
from tenant_retention.domain.verification import isolation_finding, unserved_reason


def policy_status(report: PolicyReport, previous: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The whole status as the API server should hold it (``status.kopf`` apart, which is the framework's)."""
    before: Sequence[Mapping[str, Any]] = previous.get("conditions") or ()
    stores = report.stores
    status: dict[str, Any] = {
        "observedGeneration": report.generation,
        "conditions": render(_findings(report, previous, now), before, report.generation, now),
        "databases": _ready_of(stores, "PostgreSQL"),
        "buckets": _ready_of(stores, "S3"),
        "stores": store_rows(stores, report.counts),
        "storeCounts": store_counts(stores),
        "categories": with_last_runs(
            category_rows(
                report.profile,
                report.definition,
                report.counts,
                counted_only=report.suspended or report.mode == "DryRun",
                now=now,
                copies_until=report.backups.copies_until() if report.backups is not None else None,
            ),
            report.runs,
            previous.get("categories") or (),
        ),
        "uncovered": uncovered_row(report.counts),
        "overdue": None if _uncounted(report) else _overdue(report),
        "jobs": run_rows(report.runs, report.definition),
        "lastRunTime": last_run_time(report.runs),
        "bindings": binding_rows(report.bindings),
        "holds": list(report.holds) or None,
        "approval": approval_request(report.counts, report.definition),
        "backups": backup_row(report.backups, previous.get("backups") or {}, now) if report.backups else None,
    }
    if (expected := debt_expected(report, now)) is not None:
        status["debtExpected"] = instant(expected)
    if report.definition is not None and report.enforced:
        status["enforced"] = {
            "generation": report.definition.policy_generation,
            "profileGeneration": report.definition.profile_generation,
            "rulesDigest": report.definition.rules_digest(),
        }
    elif previous.get("enforced"):
        status["enforced"] = previous["enforced"]
    if report.cron and report.time_zone:
        status["schedule"] = {"cron": report.cron, "timeZone": report.time_zone}
    if report.next_run is not None and not report.suspended:
        status["nextRun"] = report.next_run.strftime("%Y-%m-%dT%H:%MZ")
    app = next((binding.name for binding in report.bindings if binding.role == "App"), None)
    if app:
        status["binding"] = {"name": app}
    known = TenantRetentionPolicyStatus.from_object(
        {name: value for name, value in status.items() if value is not None}
    )
    return known.to_object()


def status_patch(previous: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The merge patch from ``previous`` to ``wanted``: None if nothing differs; what is no longer said goes."""
    patch: dict[str, Any] = {name: value for name, value in wanted.items() if previous.get(name) != value}
    patch.update({name: None for name in previous if name not in wanted and name != "kopf"})
    # A merge patch merges objects: a field that is gone inside one must be named.
    for name, value in list(patch.items()):
        before = previous.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            patch[name] = {**{key: None for key in before if key not in value}, **value}
    return patch or None


def _findings(report: PolicyReport, previous: Mapping[str, Any], now: datetime) -> list[Finding]:
    before: Sequence[Mapping[str, Any]] = previous.get("conditions") or ()
    databases = _stores_finding(ConditionType.DATABASES_READY, report, "PostgreSQL")
    buckets = _stores_finding(ConditionType.BUCKETS_READY, report, "S3")
    schedules = _schedules_finding(report)
    cached = any(store.type == "Redis" for store in report.stores)
    caches = [_stores_finding(ConditionType.CACHES_READY, report, "Redis")] if cached else []
    parts = (databases, buckets, *caches, schedules)
    made = all(finding.holds for finding in parts)
    return [
        _ready_finding(report, made, parts),
        _reconciling_finding(report, made, parts),
        _stalled_finding(report),
        *parts,
        isolation_finding(report),
        encryption_finding(report.encryption, before),
        health_finding(report.health),
        _compliant_finding(report, previous.get("backups") or {}, now),
        foreseen_finding(report, now),
        _approval_finding(report),
        *extension_findings(report.definition, now),
        *uncovered_findings(report.counts),
        *backup_findings(report.backups, now),
    ]


def _ready_finding(report: PolicyReport, made: bool, parts: Sequence[Finding]) -> Finding:
    if report.problem is not None:
        return Finding(ConditionType.READY, False, reason_of(report.problem.reason), report.problem.message)
    if not made:
        part = next(finding for finding in parts if not finding.holds)
        return Finding(ConditionType.READY, False, part.reason, part.message)
    if report.suspended:
        return Finding(
            ConditionType.READY, True, Reason.SUSPENDED, "runs are suspended, debt counts on; set spec.suspend to false"
        )
    if report.mode == "DryRun":
        return Finding(
            ConditionType.READY, True, Reason.DRY_RUN, "runs count and delete nothing; set spec.mode to Enforce"
        )
    return Finding(ConditionType.READY, True, Reason.ENFORCING, "stores, rules and schedule are as the spec asks")


def _reconciling_finding(report: PolicyReport, made: bool, parts: Sequence[Finding]) -> Finding:
    problem = report.problem
    if problem is not None and not isinstance(problem, Invalid):
        return Finding(ConditionType.RECONCILING, True, reason_of(problem.reason), problem.message)
    if problem is None and not made:
        part = next(finding for finding in parts if not finding.holds)
        if not _stalled_by_stores(report):
            return Finding(ConditionType.RECONCILING, True, part.reason, part.message)
    return Finding(ConditionType.RECONCILING, False, Reason.AVAILABLE)


def _stalled_finding(report: PolicyReport) -> Finding:
    stalled = report.problem if isinstance(report.problem, Invalid) else _stalled_by_stores(report)
    if stalled is None:
        return Finding(ConditionType.STALLED, False, Reason.AVAILABLE)
    kept = (
        ""
        if report.definition is None or not report.enforced
        else "; the last good rules stay enforced inside today's bounds"
    )
    return Finding(ConditionType.STALLED, True, reason_of(stalled.reason), stalled.message + kept)


def _stalled_by_stores(report: PolicyReport) -> Invalid | None:
    problems = [report.schedule_problem, *(store.problem for store in report.stores)]
    return next((problem for problem in problems if isinstance(problem, Invalid)), None)


def _stores_finding(type_: ConditionType, report: PolicyReport, kind: str) -> Finding:
    stores = [store for store in report.stores if store.type == kind]
    if report.problem is not None and not stores:
        return Finding(type_, False, reason_of(report.problem.reason), report.problem.message)
    problem = next(((store, store.problem) for store in stores if store.problem is not None), None)
    if problem is not None:
        store, error = problem
        return Finding(type_, False, reason_of(error.reason), f"{store.name}: {error.message}")
    return Finding(type_, True, Reason.AVAILABLE, "" if stores else "the profile needs none")


def _schedules_finding(report: PolicyReport) -> Finding:
    type_ = ConditionType.SCHEDULES_READY
    if report.schedule_problem is not None:
        return Finding(type_, False, reason_of(report.schedule_problem.reason), report.schedule_problem.message)
    if report.cron is None:
        return Finding(type_, False, Reason.PROVISIONING, "the schedule waits for the stores")
    reason = Reason.SUSPENDED if report.suspended else Reason.SCHEDULED
    return Finding(type_, True, reason, f"{report.cron} in {report.time_zone}")


def _compliant_finding(report: PolicyReport, backups_before: Mapping[str, Any], now: datetime) -> Finding:
    type_ = ConditionType.COMPLIANT
    overdue = _overdue(report)
    if overdue:
        objects = overdue_objects_text(report.counts.overdue_objects)
        rows = (
            "data past its deadline is still there, see status.categories[].overdue: resume what is suspended or in DryRun, "
            "approve what the guard stopped, and see status.jobs for runs that fail"
        )
        of_rows = overdue > sum(each.overdue for each in report.counts.overdue_objects.values())
        text = "; ".join([*([objects] if objects else []), *([rows] if of_rows else [])])
        return Finding(type_, False, Reason.DELETION_DEBT, text[:1024])
    if report.backups is not None and (late_copies := late_backups(report.backups, backups_before, now)) is not None:
        return late_copies
    if (late_copies := late_finding(report.late_cluster_backups)) is not None:
        return late_copies
    if report.problem is not None and report.problem.reason == Reason.COPIES_OUTLIVE_BOUNDS:
        return Finding(type_, False, Reason.COPIES_OUTLIVE_BOUNDS, report.problem.message[:1024])
    if not report.counts.chain_intact:
        return Finding(
            type_,
            False,
            Reason.EVIDENCE_BROKEN,
            "a link of the evidence chain was changed or removed: keep a copy of retention.evidence and find out who could write it",
        )
    if (late := debt_while_away(report, now)) is not None:
        return Finding(type_, False, Reason.DELETION_DEBT, late)
    uncounted = _uncounted(report)
    if uncounted is not None:
        store, problem = uncounted
        return Finding(
            type_, None, reason_of(problem.reason), f"{store.name} cannot be counted: {problem.message}"[:1024]
        )
    if overdue is None:
        return Finding(type_, None, Reason.NO_RUN_YET, "nothing has been counted yet")
    if report.counts.old_anomalies:
        return Finding(type_, False, Reason.ANOMALIES_TOO_OLD, "; ".join(report.counts.old_anomalies)[:1024])
    if (unserved := unserved_reason(report)) is not None:
        text = "nothing is overdue, but the nightly runs are not watched while the namespace is not served"
        return Finding(type_, None, unserved, text)
    if (run := _run_finding(report)) is not None:
        return run
    if (unwanted := unwanted_finding(report.counts)) is not None:
        return unwanted
    told = unenforced(report.definition, report.counts, report.left_stores)
    if told:
        return Finding(type_, False, Reason.CATEGORIES_NOT_ENFORCED, "; ".join(told)[:1024])
    if not report.runs.latest:
        return Finding(type_, None, Reason.NO_RUN_YET, "nothing is overdue; no run has ended yet")
    return Finding(type_, True, Reason.COMPLIANT, "nothing is past its deadline")


def _run_finding(report: PolicyReport) -> Finding | None:
    """What the last run or the lack of one has against it; None: nothing."""
    type_ = ConditionType.COMPLIANT
    if report.runs.missed:
        text = (
            "the last scheduled run did not come; the operator starts it as soon as every store is ready: see status.stores, "
            "and kubectl describe cronjob for what kept it away"
        )
        return Finding(type_, False, Reason.RUN_MISSED, text)
    if report.runs.waits:
        return Finding(type_, False, Reason.POD_PENDING, report.runs.waits)
    if report.runs.failed:
        why = report.runs.failure or "the last run failed"
        step = "see status.jobs, then kubectl logs -l tenantretention.io/task=expire --tail=-1"
        return Finding(type_, False, Reason.RUN_FAILED, f"{why[: 1022 - len(step)]}; {step}")
    return None


def _overdue(report: PolicyReport) -> int | None:
    """Everything past its deadline, also in databases that the profile has no use for any more (X4)."""
    total = overdue_total(report.counts)
    left = sum(store.overdue or 0 for store in report.left_stores)
    return left + (total or 0) if total is not None or left else None


def _uncounted(report: PolicyReport) -> tuple[StoreReport, RetentionError] | None:
    """A database whose rows nobody counted, and why: with it missing nothing is pretended about the others' sum (D7)."""
    return next(
        ((store, store.problem) for store in report.stores if store.type == "PostgreSQL" and store.problem is not None),
        None,
    )


def _approval_finding(report: PolicyReport) -> Finding:
    type_ = ConditionType.APPROVAL_REQUIRED
    request = approval_request(report.counts, report.definition)
    if request is None:
        return Finding(type_, False, Reason.NOT_REQUIRED)
    return Finding(
        type_,
        True,
        Reason.GUARD_STOPPED,
        f"{', '.join(request['categories'])}: more would be newly deleted than spec.guard.maxDeletedPercent lets pass; "
        "to allow it, create a RetentionRun whose spec.approves has the rulesDigest of status.approval",
    )


def _ready_of(stores: Sequence[StoreReport], kind: str) -> str:
    mine = [store for store in stores if store.type == kind]
    return f"{sum(1 for store in mine if store.problem is None)}/{len(mine)}"
