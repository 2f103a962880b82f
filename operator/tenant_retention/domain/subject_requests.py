"""DataSubjectRequest: which policies it is for, and its status from what is left in their databases (T7, M9, X3); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tenant_retention.api.v1alpha1.common import LocalRef
from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest, DataSubjectRequestStatus
from tenant_retention.api.v1alpha1.legalhold import MOST_STORES
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.chosen_policies import chosen_policies, summed_up
from tenant_retention.domain.conditions import Finding, Transition, instant, moment, reason_of, render, transitions
from tenant_retention.domain.copies import NO_COPIES
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.ports.requests import RequestProgress
from tenant_retention.domain.request_deadlines import RequestDeadlines, RequestTerms
from tenant_retention.domain.requested_rows import RowsLeft, rows_left, summed

_QUIET = frozenset({Reason.REQUEST_DONE.value, Reason.REQUEST_WAITING.value, Reason.PENDING.value})


@dataclass(frozen=True)
class StoreRequest:
    """The request in one database. ``progress``: as the database says; None: it does not know the request yet, or there is a
    ``problem``."""

    data_store: str
    policy: str
    place: str
    progress: RequestProgress | None = None
    problem: RetentionError | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left here."""
        return self.problem is None and self.progress is not None and self.progress.done


@dataclass(frozen=True)
class RequestReport:
    """What one reconcile found. ``policies``: those that the request is for; ``terms``: theirs, of those whose profile is known;
    ``problems``: what is wrong beside the stores. A store that no policy has is one with a problem: the person is still in it."""

    policies: tuple[str, ...] = ()
    terms: Mapping[str, RequestTerms] = field(default_factory=dict)
    stores: tuple[StoreRequest, ...] = ()
    problems: tuple[RetentionError, ...] = ()

    @property
    def done(self) -> bool:
        """Whether nothing is left in any database."""
        return bool(self.stores) and not self.problems and all(store.done for store in self.stores)


def is_done(status: Mapping[str, Any]) -> bool:
    """Whether it was done: databases are not asked any more, and nothing but a restore brings anything back."""
    return bool(status.get("doneAt"))


def may_seek(name: str, policy: TenantRetentionPolicySpec) -> None:
    """Raises Invalid where the platform has stopped deletion in a policy: a request does not get around it (X2)."""
    if policy.suspend:
        raise Invalid(
            f"policy {name} is suspended; nothing is done in its databases before it is resumed",
            reason=Reason.SUSPENDED,
        )
    if policy.mode == "DryRun":
        raise Invalid(
            f"policy {name} has mode DryRun; nothing is done in its databases before it is Enforce",
            reason=Reason.DRY_RUN,
        )


def policies_of(
    request: DataSubjectRequest, there: Iterable[str]
) -> tuple[tuple[str, ...], tuple[RetentionError, ...]]:
    """The policies that it is for, and why not the others. One that names none is for those that it found when it started."""
    started = tuple(LocalRef(name=name) for name in request.status.policies)
    return chosen_policies(request.resource.kind, request.spec.policy_refs or started, there)


def request_status(
    request: DataSubjectRequest, report: RequestReport, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """The whole status of a DataSubjectRequest. Once it is done it stays as it is."""
    if is_done(previous):
        kept = {name: value for name, value in previous.items() if name != "kopf"}
        return DataSubjectRequestStatus.from_object(kept).to_object()
    deadlines = _deadlines(request, report, previous)
    before = {store["dataStore"]: store.get("categories") or () for store in previous.get("stores") or ()}
    left = {
        store.data_store: rows_left(
            store.progress, report.terms.get(store.policy), before.get(store.data_store, ()), now
        )
        for store in report.stores
        if store.progress is not None and store.progress.found_at is not None
    }
    late = deadlines is not None and now >= deadlines.live and _pressing(report, left, now)
    near = deadlines is not None and now >= deadlines.warn_at and _pressing(report, left, now)
    ready = _ready(report, left, previous, now)
    if late and deadlines is not None:
        text = f"past {instant(deadlines.live)}, by when it had to be gone in every database: {ready.message}"
        ready = Finding(ConditionType.READY, False, Reason.REQUEST_OVERDUE, text)
    findings = [ready]
    if near and deadlines is not None:
        reason = Reason.REQUEST_OVERDUE if late else Reason.REQUEST_DUE
        text = (
            f"to be gone in every database by {instant(deadlines.live)}, in every copy by {instant(deadlines.copies)}"
        )
        findings.append(Finding(ConditionType.DEADLINE_NEAR, True, reason, f"{text}: {ready.message}"))
    generation = request.metadata.generation
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": render(findings, previous.get("conditions") or (), generation, now),
        "policies": list(previous.get("policies") or report.policies),
        "databases": f"{sum(store.done for store in report.stores)}/{len(report.stores)}",
        "stores": [_store(store, left) for store in sorted(report.stores, key=_worst_first)[:MOST_STORES]],
        **(deadlines.written() if deadlines is not None else {}),
        **_totals(report, left),
        **_clocks(report, previous, now),
    }
    return DataSubjectRequestStatus.from_object(status).to_object()


def tellings(
    previous: Mapping[str, Any], status: Mapping[str, Any]
) -> list[tuple[Transition, Literal["Normal", "Warning"]]]:
    """What is told by Events, and how. A passed deadline is told once, by DeadlineNear."""
    return [
        (change, "Normal" if change.reason in _QUIET else "Warning")
        for change in transitions(previous.get("conditions") or (), status["conditions"])
        if (change.type, change.reason) != (ConditionType.READY.value, Reason.REQUEST_OVERDUE.value)
    ]


def _deadlines(
    request: DataSubjectRequest, report: RequestReport, previous: Mapping[str, Any]
) -> RequestDeadlines | None:
    """As the profiles say today; as was told before where one of them cannot be asked and that is earlier."""
    received = request.metadata.creation_timestamp
    told = RequestDeadlines.read(previous)
    found = RequestDeadlines.of(moment(received), report.terms.values()) if received else None
    if found is None or told is None or (report.policies and report.terms.keys() >= set(report.policies)):
        return found or told
    return min(found, told, key=lambda each: each.live)


def _pressing(report: RequestReport, left: Mapping[str, Sequence[RowsLeft]], now: datetime) -> bool:
    """Whether something is open that neither a hold nor a minimum keeps: a database that is away or not searched is."""
    if report.problems or not report.stores:
        return True
    return any(
        store.problem is not None
        or store.data_store not in left
        or any(rows.pressing(now) for rows in left[store.data_store])
        for store in report.stores
    )


def _ready(
    report: RequestReport, left: Mapping[str, Sequence[RowsLeft]], previous: Mapping[str, Any], now: datetime
) -> Finding:
    ready, stores = ConditionType.READY, report.stores
    problems = [(problem, problem.message) for problem in report.problems]
    problems += [
        (store.problem, f"not done in {store.place} of policy {store.policy}: {store.problem.message}")
        for store in stores
        if store.problem is not None
    ]
    if problems:
        return Finding(ready, False, *summed_up(problems))
    if report.done:
        gone = _clocks(report, previous, now)["lastCopyGoneAt"]
        text = f"nothing is left in any database ({len(stores)}); backups no longer have it from {gone}"
        return Finding(ready, True, Reason.REQUEST_DONE, text)
    if not left or len(left) < len(stores):
        text = f"the person's rows are listed in {len(left)} of {len(stores)} databases; those of a policy wait for each other"
        return Finding(ready, False, Reason.PENDING, text)
    rows = summed(left.values())
    return Finding(ready, False, Reason.REQUEST_WAITING, "; ".join(each.told() for each in rows))


def _totals(report: RequestReport, left: Mapping[str, Sequence[RowsLeft]]) -> dict[str, Any]:
    rows = summed(left.values())
    totals: dict[str, Any] = {"categories": [each.written() for each in rows]}
    if report.stores and len(left) == len(report.stores):
        totals |= {word: sum(getattr(each, word) for each in rows) for word in ("left", "held", "deferred")}
    untils = [each.until for each in rows if each.until is not None]
    return totals | ({"deferredUntil": instant(max(untils))} if untils else {})


def _clocks(report: RequestReport, previous: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """What is listed, done and gone in the last copy; the first stays once it was so."""
    clocks = {"foundAt": previous["foundAt"]} if previous.get("foundAt") else {}
    found = [store.progress.found_at for store in report.stores if store.progress is not None]
    known = [at for at in found if at is not None]
    if not clocks and known and len(known) == len(report.stores):
        clocks["foundAt"] = instant(max(known))
    if report.done:
        life = max((each.life for each in report.terms.values()), default=NO_COPIES)
        clocks |= {"doneAt": instant(now), "lastCopyGoneAt": instant(now + life)}
    return clocks


def _worst_first(store: StoreRequest) -> tuple[bool, bool, str, str]:
    return (store.problem is None, store.done, store.policy, store.data_store)


def _store(store: StoreRequest, left: Mapping[str, Sequence[RowsLeft]]) -> dict[str, Any]:
    row: dict[str, Any] = {"dataStore": store.data_store, "policy": store.policy, "place": store.place}
    if store.progress is not None and store.progress.found_at is not None:
        rows = left[store.data_store]
        row |= {"foundAt": instant(store.progress.found_at), "left": sum(each.left for each in rows)}
        row["categories"] = [each.written() for each in rows]
    if store.problem is not None:
        row |= {"reason": reason_of(store.problem.reason).value, "message": store.problem.message[:1024]}
    return row
