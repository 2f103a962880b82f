"""Conditions as Kubernetes means them: transition times move on transitions only, and transitions become Events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason

PATIENCE = timedelta(minutes=5)
"""How long a missing profile or class is waited for before it is the user's turn (Helm and Flux apply in any order)."""


@dataclass(frozen=True)
class Finding:
    """What is so of one condition. ``holds`` None means Unknown."""

    type: ConditionType
    holds: bool | None
    reason: Reason
    message: str = ""


@dataclass(frozen=True)
class Transition:
    """A condition that changed, to be told as an Event."""

    type: str
    status: str
    reason: str
    message: str


def instant(moment: datetime) -> str:
    """A point in time as Kubernetes writes it, to the second."""
    # Not strftime: it writes the year 26 with two digits, which nobody reads back.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def moment(text: str) -> datetime:
    """The point in time that ``instant`` wrote."""
    return datetime.fromisoformat(text)


def reason_of(word: str) -> Reason:
    """The reason of the closed list; ``Unavailable`` for a word that is not in it."""
    try:
        return Reason(word)
    except ValueError:
        return Reason.UNAVAILABLE


def render(
    findings: Iterable[Finding], previous: Sequence[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions of the status. ``previous``: those of the status now there; a time moves only with its status."""
    known = {str(condition.get("type")): condition for condition in previous}
    rendered = []
    for finding in findings:
        status = {True: "True", False: "False", None: "Unknown"}[finding.holds]
        before = known.get(finding.type.value, {})
        stays = before.get("status") == status and before.get("lastTransitionTime")
        rendered.append(
            {
                "type": finding.type.value,
                "status": status,
                "reason": finding.reason.value,
                "message": finding.message[:32768],
                "lastTransitionTime": before["lastTransitionTime"] if stays else instant(now),
                "observedGeneration": generation,
            }
        )
    return rendered


def transitions(previous: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> tuple[Transition, ...]:
    """What changed in status or reason; a condition seen for the first time counts only where it says something."""
    known = {str(condition.get("type")): condition for condition in previous}
    changed = []
    for condition in current:
        before = known.get(condition["type"])
        first_and_silent = before is None and condition["status"] != "True"
        same = before is not None and (before.get("status"), before.get("reason")) == (
            condition["status"],
            condition["reason"],
        )
        if not first_and_silent and not same:
            changed.append(
                Transition(condition["type"], condition["status"], condition["reason"], condition["message"])
            )
    return tuple(changed)


def patience_ended(previous: Sequence[Mapping[str, Any]], waiting: Reason, stalled: Reason, now: datetime) -> bool:
    """Whether what is missing has been waited for long enough (``waiting`` since 5 minutes, or ``stalled`` already)."""
    for condition in previous:
        if condition.get("status") != "True":
            continue
        if condition.get("type") == ConditionType.STALLED and condition.get("reason") == stalled:
            return True
        if condition.get("type") == ConditionType.RECONCILING and condition.get("reason") == waiting:
            return now - moment(str(condition["lastTransitionTime"])) >= PATIENCE
    return False
