"""What a policy's status says of the isolation probe, and of namespaces in which nothing is tried; pure."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.conditions import Finding, reason_of
from tenant_retention.domain.policy_report import PolicyReport


def isolation_finding(report: PolicyReport) -> Finding:
    """The condition ``IsolationVerified``."""
    type_ = ConditionType.ISOLATION_VERIFIED
    if report.isolation is None and (unserved := unserved_reason(report)) is not None:
        return Finding(type_, None, unserved, "no role is tried anywhere while the namespace is not served")
    if report.isolation is None:
        return Finding(type_, None, Reason.NOT_YET_VERIFIED, "each role is tried elsewhere once the stores are ready")
    if report.isolation:
        return Finding(type_, False, Reason.ISOLATION_BROKEN, "; ".join(report.isolation)[:1024])
    tried, others = report.probed
    refused = "every role of this policy was refused everywhere else"
    if others:
        refused += f"; a look tries {tried} of {others} databases and buckets of others, all in turn"
    return Finding(type_, True, Reason.VERIFIED, refused)


def unserved_reason(report: PolicyReport) -> Reason | None:
    """Why the operator does nothing in the namespace; None where it does."""
    reason = report.problem.reason if report.problem is not None else None
    return reason_of(reason) if reason in {Reason.NAMESPACE_NOT_SERVED, Reason.NAMESPACE_TERMINATING} else None
