"""When deletion debt will begin if what keeps runs from deleting stays as it is: told days before, not after (X4); pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.datastore import DataStoreStatus
from tenant_retention.domain.cached_debt import keys_in_danger, keys_unknown
from tenant_retention.domain.conditions import Finding, instant, moment
from tenant_retention.domain.definition import CategoryState
from tenant_retention.domain.policy_report import PolicyReport

WARN_WITHIN = timedelta(days=7)
"""How long before debt begins it is told."""


@dataclass
class _Stop:
    """One thing that keeps runs from deleting: the first deadline that it will break, and of which categories."""

    at: datetime
    categories: list[str] = field(default_factory=list)


def last_deadlines(status: DataStoreStatus) -> dict[str, datetime]:
    """When the oldest item of each category of a store must be gone, as it was last counted: what stays known of one that
    is away."""
    return {debt.category: moment(debt.next_deadline) for debt in status.debt if debt.next_deadline is not None}


def debt_expected(report: PolicyReport, now: datetime) -> datetime | None:
    """The first deadline that nothing will keep, if it is within a week or past; None: none is foreseen."""
    return min((stop.at for stop in _stops(report, now).values()), default=None)


def foreseen_finding(report: PolicyReport, now: datetime) -> Finding:
    """The condition ``DebtForeseen``: the day, the categories, what stands in the way and the next step."""
    stops = sorted(_stops(report, now).items(), key=lambda each: each[1].at)
    if not stops:
        return Finding(ConditionType.DEBT_FORESEEN, False, Reason.NOT_FORESEEN)
    told = [f"{instant(stop.at)} {', '.join(stop.categories)}: {why}" for why, stop in stops]
    text = f"deletion debt begins at {'; '.join(told)}"
    return Finding(ConditionType.DEBT_FORESEEN, True, Reason.DEBT_FORESEEN, text[:1024])


def released_finding(deadline: datetime | None, data_store: str, now: datetime) -> Finding:
    """The same of a store that no policy has."""
    if deadline is None or deadline - now > WARN_WITHIN:
        return Finding(ConditionType.DEBT_FORESEEN, False, Reason.NOT_FORESEEN)
    text = (
        f"deletion debt begins at {instant(deadline)}: no policy has the store and nothing deletes from it; bind it to one "
        f"(spec.claimRef of DataStore {data_store}), or delete by hand, as its owner, what must go"
    )
    return Finding(ConditionType.DEBT_FORESEEN, True, Reason.DEBT_FORESEEN, text)


def debt_while_away(report: PolicyReport, now: datetime) -> str | None:
    """That data of a database that cannot be counted passed its deadline meanwhile, as far as it was known; None: not yet."""
    late = [
        f"{category} of {purpose} since {instant(at)}"
        for purpose, deadlines in report.last_deadlines.items()
        for category, at in deadlines.items()
        if at <= now
    ]
    if not late:
        return keys_unknown(report.definition, report.counts.cache_looks, now)
    return (
        f"past its deadline, as last counted: {', '.join(late)}; its database does not answer, so nothing deletes it and "
        "nobody can count it: bring it back, see status.stores"
    )[:1024]


def _stops(report: PolicyReport, now: datetime) -> dict[str, _Stop]:
    """What stands in the way, by its words, of deadlines that are near."""
    found: dict[str, _Stop] = {}
    for category, at, reasons in _deadlines(report):
        for why in reasons if at - now <= WARN_WITHIN else ():
            stop = found.setdefault(why, _Stop(at))
            stop.at = min(stop.at, at)
            if category not in stop.categories:
                stop.categories.append(category)
    return found


def _deadlines(report: PolicyReport) -> list[tuple[str, datetime, list[str]]]:
    """Every category's next deadline with what keeps runs from meeting it."""
    everywhere, single, away = _everywhere(report), _single(report), _away(report)
    deadlines = [
        (name, counted.next_deadline, [*single.get(name, ()), *everywhere])
        for name, counted in report.counts.categories.items()
        if counted.next_deadline is not None
    ]
    deadlines += [
        (
            table.category,
            table.next_deadline,
            [f"table {table.table} left the profile: put it back into it", *everywhere],
        )
        for table in report.counts.left
        if table.next_deadline is not None
    ]
    for name, at, why in keys_in_danger(report.definition, report.counts.cache_looks, away):
        deadlines.append((name, at, [*why, *everywhere]))
    for purpose, last in report.last_deadlines.items():
        deadlines += [(name, at, [*away.get(purpose, ()), *everywhere]) for name, at in last.items()]
    return deadlines


def _everywhere(report: PolicyReport) -> list[str]:
    """What keeps runs from deleting anything at all."""
    stops = []
    if report.suspended:
        stops.append("spec.suspend is true, set it to false")
    if report.mode == "DryRun":
        stops.append("spec.mode is DryRun, set it to Enforce")
    if report.runs.missed or report.runs.waits is not None or report.runs.failed:
        stops.append("the last run did not end well, see status.jobs")
    return stops


def _single(report: PolicyReport) -> Mapping[str, Sequence[str]]:
    """What keeps runs from deleting from single categories."""
    away = _away(report)
    stops: dict[str, list[str]] = {}
    for category in report.definition.categories if report.definition else ():
        if category.state is CategoryState.NOT_ENFORCED:
            stops[category.name] = [
                "this version does not act on it, delete by hand, as <database>_owner, what must go"
            ]
            continue
        kept_in = category.objects or category.files
        if kept_in is not None and kept_in.bucket in away:
            stops[category.name] = list(away[kept_in.bucket])
    for request in report.counts.guard:
        stops.setdefault(request.category, []).append("the guard holds it back, see status.approval")
    return stops


def _away(report: PolicyReport) -> dict[str, list[str]]:
    """Stores that have a problem, by name."""
    return {
        store.name: [f"{store.name} is not ready ({store.problem.reason}), bring it back, see status.stores"]
        for store in report.stores
        if store.problem is not None
    }
