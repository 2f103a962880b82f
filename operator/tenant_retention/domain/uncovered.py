"""What lies in a policy's databases and its profile does not know (M11): told by name, never touched; pure."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.conditions import Finding


def uncovered_row(counts: Counts) -> dict[str, int] | None:
    """``status.uncovered``; None where the profile knows everything."""
    tables = sum(each.tables for each in counts.uncovered.values())
    columns = sum(each.columns for each in counts.uncovered.values())
    return {"tables": tables, "columns": columns} if tables or columns else None


def uncovered_findings(counts: Counts) -> tuple[Finding, ...]:
    """The condition Uncovered; none where the profile knows everything."""
    if uncovered_row(counts) is None:
        return ()
    told = [
        f"{purpose}: {each.tables} tables and {each.columns} columns ({', '.join(each.names)})"
        for purpose, each in sorted(counts.uncovered.items())
        if each.tables or each.columns
    ]
    step = "no run deletes from them: add them to the profile, or take them away by hand, as <database>_owner"
    message = f"the profile does not know {'; '.join(told)}"[: 1022 - len(step)]
    return (Finding(ConditionType.UNCOVERED, True, Reason.NOT_IN_PROFILE, f"{message}; {step}"),)
