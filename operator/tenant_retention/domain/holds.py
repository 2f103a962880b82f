"""LegalHold: what its databases are asked to hold, and its status from what became of that (X3); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import prod
from typing import Any

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.hold_rules import MOST_COMBINATIONS
from tenant_retention.api.v1alpha1.legalhold import MOST_STORES, LegalHold, LegalHoldStatus
from tenant_retention.domain.chosen_policies import summed_up
from tenant_retention.domain.conditions import Finding, instant, moment, reason_of, render
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.ports.holds import WantedHold
from tenant_retention.domain.subjects import Subject

NOT_COUNTED = "its rows could not be counted within 10 s; they are held all the same"


@dataclass(frozen=True)
class StoreHold:
    """The hold in one database. ``unowned``: why no policy has the store, so that it is left alone and nothing is deleted from it.
    ``counts``: rows by category; None: counting took too long. ``unknown``: categories that it never had."""

    data_store: str
    policy: str
    place: str
    since: datetime | None = None
    counts: Mapping[str, int] | None = None
    unknown: frozenset[str] = frozenset()
    problem: RetentionError | None = None
    unowned: str = ""


@dataclass(frozen=True)
class HoldReport:
    """What one reconcile found. ``policies``: those that the hold is for; ``problems``: what is wrong beside the stores.
    ``looked``: False where no database was asked: what was told of them before stands."""

    policies: tuple[str, ...] = ()
    stores: tuple[StoreHold, ...] = ()
    problems: tuple[RetentionError, ...] = ()
    looked: bool = True

    def mine(self) -> list[StoreHold]:
        """The stores that the hold is to be in."""
        return [store for store in self.stores if not store.unowned]


def wanted_hold(hold: LegalHold, subject: Subject | None) -> WantedHold:
    """What every database is asked for. Raises Invalid where that would be too much for them."""
    select = hold.spec.select
    combinations = prod(
        max(len(each), 1)
        for each in (select.sessions, select.categories, select.units, subject.spellings if subject else ())
    )
    if combinations > MOST_COMBINATIONS:
        raise Invalid(
            f"spec.select and the forms in which the subject may be written make over {MOST_COMBINATIONS} combinations; make "
            "several LegalHolds",
            reason=Reason.SPEC_INVALID,
            field="spec.select",
        )
    return WantedHold(
        name=hold.metadata.name,
        reference=hold.spec.reference,
        uid=hold.metadata.uid or "",
        sessions=select.sessions,
        categories=select.categories,
        units=select.units,
        born_from=moment(select.from_) if select.from_ else None,
        born_to=moment(select.to) if select.to else None,
        subject=subject,
    )


def hold_status(hold: LegalHold, report: HoldReport, previous: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The whole status of a LegalHold."""
    mine = report.mine()
    wrong = {store.policy for store in mine if store.problem is not None}
    reached = {store.policy for store in mine}
    named = max(len(report.policies), len(hold.spec.policy_refs))
    good = sum(name in reached and name not in wrong for name in report.policies)
    counted = all(store.counts is not None for store in mine)
    generation = hold.metadata.generation
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": render([_ready(hold, report)], previous.get("conditions") or (), generation, now),
        "policies": f"{good}/{named}",
        "databases": f"{sum(store.problem is None for store in mine)}/{len(mine)}",
        "categories": _rows(_summed(mine)),
        "stores": [_store(store) for store in sorted(report.stores, key=_worst_first)[:MOST_STORES]],
    }
    if mine and counted:
        status["held"] = sum(_summed(mine).values())
    if not report.looked:
        status |= {name: told for name, told in previous.items() if name not in ("conditions", "observedGeneration")}
    return LegalHoldStatus.from_object(status).to_object()


def _ready(hold: LegalHold, report: HoldReport) -> Finding:
    released, mine = hold.spec.release is not None, report.mine()
    word = "released" if released else "in force"
    problems = [(problem, problem.message) for problem in report.problems]
    problems += [
        (store.problem, f"not {word} in {store.place} of policy {store.policy}: {store.problem.message}")
        for store in mine
        if store.problem is not None
    ]
    problems = problems or [(problem, problem.message) for problem in _misspelt(mine)]
    if problems:
        return Finding(ConditionType.READY, False, *summed_up(problems))
    left = len(report.stores) - len(mine)
    text = f"{word} in every database ({len(mine)})" + (
        f"; stores without a policy that are left alone: {left}" if left else ""
    )
    if released:
        return Finding(
            ConditionType.READY, True, Reason.HOLD_RELEASED, f"{text}; the next run applies the normal rules"
        )
    return Finding(
        ConditionType.READY, True, Reason.HOLD_PLACED, f"{text}; spec.release ends it, deleting this object does not"
    )


def _misspelt(mine: Sequence[StoreHold]) -> list[RetentionError]:
    """A category that no database ever had: whoever wrote it believes that it is held."""
    if not mine:
        return []
    unknown = frozenset.intersection(*(store.unknown for store in mine))
    return [
        Invalid(
            f"spec.select.categories: no database of its policies has {name}, so nothing is held by it; make a LegalHold with the "
            "name as the profile has it, and release this one",
            reason=Reason.CATEGORY_UNKNOWN,
            field="spec.select.categories",
        )
        for name in sorted(unknown)
    ]


def _worst_first(store: StoreHold) -> tuple[bool, bool, str, str]:
    return (store.problem is None, not store.unowned, store.policy, store.data_store)


def _summed(stores: Iterable[StoreHold]) -> dict[str, int]:
    found: dict[str, int] = {}
    for store in stores:
        for category, rows in (store.counts or {}).items():
            found[category] = found.get(category, 0) + rows
    return found


def _rows(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "rows": rows} for name, rows in sorted(counts.items())]


def _store(store: StoreHold) -> dict[str, Any]:
    row: dict[str, Any] = {"dataStore": store.data_store, "policy": store.policy, "place": store.place}
    if store.since is not None:
        row["placedAt"] = instant(store.since)
    if store.unowned:
        row |= {"reason": Reason.STORE_RELEASED.value, "message": store.unowned[:1024]}
    elif store.problem is not None:
        row |= {"reason": reason_of(store.problem.reason).value, "message": store.problem.message[:1024]}
    elif store.counts is None:
        row["message"] = NOT_COUNTED
    if store.counts is not None:
        row |= {"rows": sum(store.counts.values()), "categories": _rows(store.counts)}
    return row
