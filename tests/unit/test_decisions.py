"""X3, M8 to M10, T7, X7, X8: what happens to one item, and that one cut-off decides for a whole range as for each item."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenant_retention.domain.decisions import Decision, Ground, Item, Rule, Verdict, cutoffs, decide
from tenant_retention.domain.durations import RESOLUTION, Period, end_of_period
from tests.support.calendar_model import EVERY_DAY, model_end

NOW = datetime(2026, 11, 22, 1, 37, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def rule(
    minimum: str | None = None,
    keep: str | None = None,
    maximum: str | None = None,
    *,
    early_deletion: bool = False,
    margin: timedelta = timedelta(days=1),
) -> Rule:
    def period(text: str | None) -> Period | None:
        return Period.parse(text) if text else None

    return Rule(
        period(minimum),
        period(keep),
        period(maximum),
        early_deletion,
        margin,
        Period.parse("P30D"),
        Period.parse("P30D"),
    )


CDR = rule("P1Y", "P2Y", "P5Y")
ACD = rule("P6M", "P1Y", "P1Y", early_deletion=True)
RECORDINGS = rule(None, "P14D", "P10Y")
YEARS_AGO = NOW - timedelta(days=900)


def outcome(decision: Decision) -> tuple[Verdict, Ground]:
    return decision.verdict, decision.ground


def test_a_recording_goes_in_the_microsecond_its_keep_ends_and_not_one_before__P2() -> None:
    birth = datetime(2026, 11, 8, 1, 37, tzinfo=UTC)
    assert outcome(decide(Item(birth), RECORDINGS, NOW)) == (Verdict.REMOVE, Ground.KEEP_ENDED)
    for younger in (RESOLUTION, SECOND):
        assert outcome(decide(Item(birth + younger), RECORDINGS, NOW)) == (Verdict.KEEP, Ground.NOT_YET_ELIGIBLE)


def test_a_record_younger_than_its_minimum_is_never_deleted_by_the_schedule__M8() -> None:
    too_short = rule("P1Y", "P1M", "P5Y")
    birth = datetime(2025, 11, 22, 1, 37, tzinfo=UTC)
    assert outcome(decide(Item(birth), too_short, NOW)) == (Verdict.REMOVE, Ground.KEEP_ENDED)
    for younger in (RESOLUTION, SECOND):
        assert outcome(decide(Item(birth + younger), too_short, NOW)) == (Verdict.KEEP, Ground.YOUNGER_THAN_MINIMUM)


def test_a_request_under_the_minimum_is_deferred_where_early_deletion_is_not_allowed__M9() -> None:
    birth = NOW - timedelta(days=100)
    asked = Item(birth, requested_at=NOW - SECOND)
    decision = decide(asked, CDR, NOW)
    assert outcome(decision) == (Verdict.KEEP, Ground.DEFERRED_TO_MINIMUM)
    day_of_minimum = end_of_period(birth, Period.parse("P1Y"))
    assert decide(asked, CDR, day_of_minimum - RESOLUTION).verdict is Verdict.KEEP
    assert outcome(decide(asked, CDR, day_of_minimum)) == (Verdict.REMOVE, Ground.REQUESTED)


def test_a_request_under_the_minimum_is_carried_out_where_early_deletion_is_allowed__M9() -> None:
    item = Item(NOW - timedelta(days=100), requested_at=NOW)
    assert outcome(decide(item, ACD, NOW)) == (Verdict.REMOVE, Ground.REQUESTED)


def test_a_termination_under_the_minimum_follows_the_same_rule_as_a_request__T7() -> None:
    item = Item(NOW - timedelta(days=100), terminated_at=NOW)
    assert outcome(decide(item, ACD, NOW)) == (Verdict.REMOVE, Ground.TERMINATED)
    assert outcome(decide(item, CDR, NOW)) == (Verdict.KEEP, Ground.DEFERRED_TO_MINIMUM)


def test_a_keep_longer_than_the_maximum_ends_at_the_last_run_before_the_maximum__M10() -> None:
    late = rule("P1Y", "P9Y", "P5Y", margin=timedelta(days=1))
    deadline = NOW + timedelta(days=1)
    birth = deadline.replace(year=deadline.year - 5)
    decision = decide(Item(birth), late, NOW)
    assert outcome(decision) == (Verdict.REMOVE, Ground.LAST_WINDOW)
    assert decision.deadline == deadline
    assert decide(Item(birth + RESOLUTION), late, NOW).verdict is Verdict.KEEP
    assert decide(Item(birth + SECOND), late, NOW).verdict is Verdict.KEEP


def test_a_category_without_a_keep_still_goes_by_its_maximum__M10() -> None:
    only_max = rule(None, None, "P1Y")
    assert outcome(decide(Item(YEARS_AGO), only_max, NOW)) == (Verdict.REMOVE, Ground.LAST_WINDOW)


def test_a_category_that_ends_by_termination_alone_is_never_removed_by_age__T1() -> None:
    agents = rule()
    assert decide(Item(datetime(1990, 1, 1, tzinfo=UTC)), agents, NOW).verdict is Verdict.KEEP
    ended = decide(Item(datetime(1990, 1, 1, tzinfo=UTC), terminated_at=NOW), agents, NOW)
    assert outcome(ended) == (Verdict.REMOVE, Ground.TERMINATED)
    assert ended.deadline == end_of_period(NOW, Period.parse("P30D"))


@pytest.mark.parametrize("asked", [None, NOW - timedelta(days=3)])
@pytest.mark.parametrize("clock", [None, NOW, YEARS_AGO, datetime(1990, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("category", [CDR, ACD, RECORDINGS])
def test_a_hold_beats_everything__X3(category: Rule, clock: datetime | None, asked: datetime | None) -> None:
    held = Item(clock, held=True, requested_at=asked, terminated_at=asked)
    assert outcome(decide(held, category, NOW)) == (Verdict.KEEP, Ground.HELD)


def test_the_earliest_of_keep_termination_and_request_makes_an_item_eligible__T7() -> None:
    keep_end = NOW + timedelta(days=10)
    item = Item(
        keep_end - timedelta(days=14), requested_at=NOW + timedelta(days=5), terminated_at=NOW + timedelta(days=7)
    )
    assert decide(item, RECORDINGS, NOW).eligible == NOW + timedelta(days=5)
    assert decide(replace(item, requested_at=None), RECORDINGS, NOW).eligible == NOW + timedelta(days=7)
    assert decide(replace(item, requested_at=None, terminated_at=None), RECORDINGS, NOW).eligible == keep_end


def test_the_ground_names_the_earlier_of_request_and_termination__T7() -> None:
    asked = Item(YEARS_AGO, requested_at=NOW - SECOND, terminated_at=NOW)
    assert decide(asked, CDR, NOW).ground is Ground.REQUESTED
    assert decide(replace(asked, requested_at=NOW, terminated_at=NOW - SECOND), CDR, NOW).ground is Ground.TERMINATED


def test_a_request_or_a_termination_of_the_future_removes_nothing_today__T7() -> None:
    tomorrow = NOW + timedelta(days=1)
    young = NOW - timedelta(days=1)
    assert decide(Item(young, requested_at=tomorrow), RECORDINGS, NOW).verdict is Verdict.KEEP
    assert decide(Item(young, terminated_at=tomorrow), RECORDINGS, NOW).verdict is Verdict.KEEP


def test_an_item_without_usable_time_is_never_deleted_by_age_but_a_request_reaches_it__X8() -> None:
    nowhere = Item(None, clock_usable=False)
    assert outcome(decide(nowhere, CDR, NOW)) == (Verdict.KEEP, Ground.NO_USABLE_TIME)
    assert outcome(decide(replace(nowhere, requested_at=NOW), CDR, NOW)) == (Verdict.REMOVE, Ground.REQUESTED)
    assert outcome(decide(replace(nowhere, terminated_at=NOW), CDR, NOW)) == (Verdict.REMOVE, Ground.TERMINATED)


def test_a_clock_that_has_not_started_keeps_the_item_whatever_the_day__M6() -> None:
    in_use = Item(None)
    assert outcome(decide(in_use, ACD, datetime(2090, 1, 1, tzinfo=UTC))) == (Verdict.KEEP, Ground.CLOCK_NOT_STARTED)


def test_a_request_before_the_clock_has_started_counts_as_one_below_the_minimum__M9() -> None:
    ivr_media = rule("P1Y", "P2Y", "P5Y", early_deletion=False)
    asked = Item(None, requested_at=NOW)
    assert outcome(decide(asked, ivr_media, NOW)) == (Verdict.KEEP, Ground.DEFERRED_TO_MINIMUM)
    assert outcome(decide(asked, ACD, NOW)) == (Verdict.REMOVE, Ground.REQUESTED)
    assert outcome(decide(asked, RECORDINGS, NOW)) == (Verdict.REMOVE, Ground.REQUESTED)


def test_an_item_is_overdue_from_the_instant_of_its_deadline__X4() -> None:
    bound = cutoffs(CDR, NOW).overdue
    assert bound is not None
    on_time = decide(Item(bound), CDR, NOW).deadline
    later = decide(Item(bound + RESOLUTION), CDR, NOW).deadline
    assert on_time is not None
    assert later is not None
    assert on_time <= NOW < later


@pytest.mark.parametrize(
    "minimum, keep, maximum",
    [("P6M", "P13M", "P5Y"), (None, "P180D", "P2Y"), ("P1Y", "P1Y", "P1Y"), ("P1M", "P11M", "P11M")],
)
def test_every_birthday_from_1990_to_2100_is_kept_and_goes_as_the_calendar_says__M8_P2_M10(
    minimum: str | None, keep: str, maximum: str
) -> None:
    """Against a model that knows nothing but which days exist, to the second on both sides of every end."""
    category = rule(minimum, keep, maximum, margin=timedelta(days=2))
    clocks = (time(0), time(1, 37, 59), time(23, 59, 59))
    for day in EVERY_DAY:
        birth = datetime.combine(day, clocks[day.toordinal() % 3], UTC)
        young_until = model_end(birth, minimum) if minimum else birth
        goes_at = max(young_until, min(model_end(birth, keep), model_end(birth, maximum) - category.margin))
        for now, expected in (
            (young_until - SECOND, Verdict.KEEP),
            (goes_at - SECOND, Verdict.KEEP),
            (goes_at, Verdict.REMOVE),
        ):
            assert decide(Item(birth), category, now).verdict is expected, (birth, now)


instants = st.integers(0, 200 * 366 * 86_400_000_000).map(
    lambda microseconds: datetime(1950, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
some_period = st.one_of(
    st.builds(Period, st.integers(1, 130), st.just(0)), st.builds(Period, st.just(0), st.integers(1, 4000))
)
rules = st.builds(
    Rule,
    st.none() | some_period,
    st.none() | some_period,
    st.none() | some_period,
    st.booleans(),
    st.builds(timedelta, days=st.integers(0, 60), seconds=st.integers(0, 86_399)),
    some_period,
    some_period,
)
items = st.builds(Item, st.none() | instants, st.booleans(), st.none() | instants, st.none() | instants, st.booleans())


@given(rules, instants, instants)
@example(CDR, datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
def test_one_cutoff_decides_for_a_range_as_the_rule_does_for_each_item__X7(
    rules: Rule, birth: datetime, now: datetime
) -> None:
    bounds = cutoffs(rules, now)
    removed_by_range = bounds.remove is not None and birth <= bounds.remove
    assert removed_by_range == (decide(Item(birth), rules, now).verdict is Verdict.REMOVE)


@given(rules, instants, st.integers(-2, 2))
def test_the_range_and_the_rule_agree_on_both_sides_of_the_cutoff__X7(rules: Rule, now: datetime, steps: int) -> None:
    bounds = cutoffs(rules, now)
    for bound in (bounds.remove, bounds.minimum, bounds.overdue):
        if bound is not None:
            birth = bound + steps * RESOLUTION
            removed = bounds.remove is not None and birth <= bounds.remove
            assert removed == (decide(Item(birth), rules, now).verdict is Verdict.REMOVE)


@given(items, rules, instants)
def test_whatever_the_rules_a_held_or_too_young_item_stays__M8(item: Item, rules: Rule, now: datetime) -> None:
    decision = decide(item, rules, now)
    if item.held:
        assert decision.verdict is Verdict.KEEP
    asked = [at for at in (item.requested_at, item.terminated_at) if at is not None and at <= now]
    young = (
        item.clock is not None
        and item.clock_usable
        and rules.minimum is not None
        and end_of_period(item.clock, rules.minimum) > now
    )
    if young and not (asked and rules.early_deletion):
        assert decision.verdict is Verdict.KEEP


@given(items, rules, instants)
def test_whatever_the_rules_an_old_item_without_hold_goes_by_its_maximum__M10(
    item: Item, rules: Rule, now: datetime
) -> None:
    if item.held or item.clock is None or not item.clock_usable or rules.maximum is None:
        return
    above_minimum = rules.minimum is None or end_of_period(item.clock, rules.minimum) <= now
    if above_minimum and end_of_period(item.clock, rules.maximum) <= now:
        assert decide(item, rules, now).verdict is Verdict.REMOVE


@given(items, rules, instants, st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9000)))
def test_what_is_removed_today_would_be_removed_on_any_later_day__X9(
    item: Item, rules: Rule, now: datetime, wait: timedelta
) -> None:
    if decide(item, rules, now).verdict is Verdict.REMOVE:
        assert decide(item, rules, now + wait).verdict is Verdict.REMOVE
