"""The decision (X3, RETENTION.md section 1): keep or remove one item, and why. One place, the same for dry run and real run (X7).

The database applies the same rule to whole ranges through one cut-off per category (``CategoryCutoffs``); tests prove
that a range decides as its single items do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tenant_retention.domain.durations import LAST_INSTANT, Period, cutoff, end_of_period


class Verdict(StrEnum):
    """What happens to one item in this run."""

    KEEP = "Keep"
    REMOVE = "Remove"


class Ground(StrEnum):
    """Why: the first rule of X3 that spoke."""

    HELD = "Held"
    CLOCK_NOT_STARTED = "ClockNotStarted"
    NO_USABLE_TIME = "NoUsableTime"
    YOUNGER_THAN_MINIMUM = "YoungerThanMinimum"
    DEFERRED_TO_MINIMUM = "DeferredToMinimum"
    NOT_YET_ELIGIBLE = "NotYetEligible"
    KEEP_ENDED = "KeepEnded"
    LAST_WINDOW = "LastWindow"
    REQUESTED = "Requested"
    TERMINATED = "Terminated"


@dataclass(frozen=True)
class Extension:
    """Bought storage (T5): before ``until`` (UTC; None: no end) these bounds stand for the category's keep and max."""

    keep: Period
    maximum: Period
    until: datetime | None


@dataclass(frozen=True)
class Rule:
    """One category's rule as enforced: periods counted from the clock, and how soon before a deadline the last run is.

    ``margin``: one run interval plus the life of every copy (versions, backups); data must leave the live store this
    long before its deadline. ``keep`` and ``maximum`` are None only for categories that end by termination or request.
    """

    minimum: Period | None
    keep: Period | None
    maximum: Period | None
    early_deletion: bool
    margin: timedelta
    request_deadline: Period
    termination_deadline: Period
    extension: Extension | None = None


@dataclass(frozen=True)
class Item:
    """What the decision needs to know of one record or object; instants in UTC, None where there is none.

    ``clock``: never before the item's birth; what says it was closed before it was born counts from its birth (M8).
    """

    clock: datetime | None
    held: bool = False
    requested_at: datetime | None = None
    terminated_at: datetime | None = None
    clock_usable: bool = True


@dataclass(frozen=True)
class Decision:
    """The verdict for one item, its ground, and the two instants it follows from (None: never by what is known now)."""

    verdict: Verdict
    ground: Ground
    eligible: datetime | None
    deadline: datetime | None


def decide(item: Item, rule: Rule, now: datetime) -> Decision:
    """Decides one item at ``now`` (M8, M9, M10, T7, X3, X8). ``now``: the smaller of own and database clock, UTC."""
    eligible, deadline = _eligible(item, rule), _deadline(item, rule)

    def outcome(verdict: Verdict, ground: Ground) -> Decision:
        return Decision(verdict, ground, eligible, deadline)

    if item.held:
        return outcome(Verdict.KEEP, Ground.HELD)
    asked = _first(item.requested_at, item.terminated_at)
    asked_now = asked is not None and asked <= now
    if not item.clock_usable:
        return (
            outcome(Verdict.REMOVE, _asked_ground(item)) if asked_now else outcome(Verdict.KEEP, Ground.NO_USABLE_TIME)
        )
    if item.clock is None:
        # A clock that has not started has not reached its min either (M9): only EFD lets a request through before it.
        if asked_now and (rule.minimum is None or rule.early_deletion):
            return outcome(Verdict.REMOVE, _asked_ground(item))
        return outcome(Verdict.KEEP, Ground.DEFERRED_TO_MINIMUM if asked_now else Ground.CLOCK_NOT_STARTED)
    if rule.minimum is not None and end_of_period(item.clock, rule.minimum) > now:
        if asked_now and rule.early_deletion:
            return outcome(Verdict.REMOVE, _asked_ground(item))
        return outcome(Verdict.KEEP, Ground.DEFERRED_TO_MINIMUM if asked_now else Ground.YOUNGER_THAN_MINIMUM)
    if asked_now:
        return outcome(Verdict.REMOVE, _asked_ground(item))
    keep_end = _keep_end(item, rule)
    if keep_end is not None and keep_end <= now:
        return outcome(Verdict.REMOVE, Ground.KEEP_ENDED)
    if deadline is not None and deadline <= now + rule.margin:
        return outcome(Verdict.REMOVE, Ground.LAST_WINDOW)
    return outcome(Verdict.KEEP, Ground.NOT_YET_ELIGIBLE)


@dataclass(frozen=True)
class CategoryCutoffs:
    """What one run does to one category by age: remove exactly the births ``<= remove``; all instants in UTC.

    ``minimum``: births ``> minimum`` are younger than min and refused by the database whoever asks (M8).
    ``overdue``: births ``<= overdue`` are past their deadline: deletion debt if still there (X4).
    None: nothing is removed by age (``remove``), there is no min (``minimum``) or no max (``overdue``).
    """

    remove: datetime | None
    minimum: datetime | None
    overdue: datetime | None


def cutoffs(rule: Rule, now: datetime) -> CategoryCutoffs:
    """The one cut-off per category and run that decides as ``decide`` does for items nobody asked about (X9, X7)."""
    minimum = cutoff(now, rule.minimum) if rule.minimum else None
    keep, maximum = _bounds(rule, now)
    by_keep = cutoff(now, keep) if keep else None
    by_max = cutoff(now + rule.margin, maximum) if maximum else None
    known = [bound for bound in (by_keep, by_max) if bound is not None]
    remove = max(known) if known else None
    if remove is not None and minimum is not None:
        remove = min(remove, minimum)
    # What only the bought time kept is debt from a margin after its end on: nobody could remove it before.
    overdue_by = _bounds(rule, now - rule.margin)[1] if rule.extension else rule.maximum
    return CategoryCutoffs(remove, minimum, cutoff(now, overdue_by) if overdue_by else None)


def _bounds(rule: Rule, at: datetime) -> tuple[Period | None, Period | None]:
    """Keep and max in force at an instant."""
    bought = rule.extension
    if bought is None or (bought.until is not None and bought.until <= at):
        return rule.keep, rule.maximum
    return bought.keep, bought.maximum


def _end(clock: datetime, own: Period | None, longer: Period | None, over: datetime | None) -> datetime | None:
    """When a period ends that is ``longer`` until ``over`` (None: for ever), and the rule's own afterwards."""
    if longer is None:
        return end_of_period(clock, own) if own else None
    latest = end_of_period(clock, longer)
    if over is None or own is None:
        return latest
    return min(latest, max(end_of_period(clock, own), over))


def _keep_end(item: Item, rule: Rule) -> datetime | None:
    if item.clock is None or not item.clock_usable:
        return None
    bought = rule.extension
    return _end(item.clock, rule.keep, bought.keep if bought else None, bought.until if bought else None)


def _max_end(item: Item, rule: Rule) -> datetime | None:
    if item.clock is None or not item.clock_usable:
        return None
    bought = rule.extension
    over = bought.until + rule.margin if bought and bought.until else None
    return _end(item.clock, rule.maximum, bought.maximum if bought else None, over)


def _eligible(item: Item, rule: Rule) -> datetime | None:
    return _first(_keep_end(item, rule), item.requested_at, item.terminated_at)


def _deadline(item: Item, rule: Rule) -> datetime | None:
    by_max = _max_end(item, rule)
    by_request = end_of_period(item.requested_at, rule.request_deadline) if item.requested_at else None
    by_termination = end_of_period(item.terminated_at, rule.termination_deadline) if item.terminated_at else None
    return _first(by_max, by_request, by_termination)


def _asked_ground(item: Item) -> Ground:
    request = item.requested_at or LAST_INSTANT
    return Ground.REQUESTED if request <= (item.terminated_at or LAST_INSTANT) else Ground.TERMINATED


def _first(*instants: datetime | None) -> datetime | None:
    known = [instant for instant in instants if instant is not None]
    return min(known) if known else None
