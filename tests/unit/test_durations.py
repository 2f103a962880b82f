"""X9: the one calendar rule, held against an independent model that only knows which days exist."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.durations import (
    FIRST_INSTANT,
    LAST_INSTANT,
    RESOLUTION,
    Period,
    cutoff,
    end_of_period,
)
from tenant_retention.domain.errors import Invalid
from tests.support.calendar_model import EVERY_DAY, model_end

PERIODS = ["P1D", "P14D", "P30D", "P180D", "P2W", "P1M", "P6M", "P11M", "P13M", "P1Y", "P18M", "P2Y", "P5Y"]


@pytest.mark.parametrize("text", PERIODS)
def test_a_period_ends_as_the_calendar_says_for_every_birthday_from_1990_to_2100__X9(text: str) -> None:
    period = Period.parse(text)
    for day in EVERY_DAY:
        for clock in (time(0), time(13, 37, 59, 123456), time(23, 59, 59, 999999)):
            birth = datetime.combine(day, clock, UTC)
            assert end_of_period(birth, period) == model_end(birth, text), (text, birth)


@pytest.mark.parametrize("text", PERIODS)
def test_one_cutoff_divides_what_has_ended_from_what_has_not_to_the_microsecond_on_every_day__X9(text: str) -> None:
    period = Period.parse(text)
    for day in EVERY_DAY[365 * 6 :]:
        for clock in (time(0), time(1, 37), time(23, 59, 59, 999999)):
            now = datetime.combine(day, clock, UTC)
            bound = cutoff(now, period)
            assert model_end(bound, text) <= now < model_end(bound + RESOLUTION, text), (text, now, bound)


births = st.integers(0, 800 * 365 * 86_400_000_000).map(
    lambda microseconds: datetime(1600, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
periods = st.one_of(
    st.builds(Period, st.integers(1, 1200), st.just(0)),
    st.builds(Period, st.just(0), st.integers(1, 40_000)),
)


@given(births, births, periods)
def test_whoever_is_born_later_never_ends_earlier__X9(one: datetime, other: datetime, period: Period) -> None:
    first, second = sorted((one, other))
    assert end_of_period(first, period) <= end_of_period(second, period)


@given(births, periods, st.integers(-2, 2))
def test_a_birth_is_at_or_before_the_cutoff_exactly_when_its_period_has_ended__X9(
    birth: datetime, period: Period, steps: int
) -> None:
    now = end_of_period(birth, period) + steps * RESOLUTION
    assert (birth <= cutoff(now, period)) == (end_of_period(birth, period) <= now)


@given(births, births, periods)
def test_a_cutoff_is_exact_for_births_far_from_it_too__X9(birth: datetime, now: datetime, period: Period) -> None:
    assert (birth <= cutoff(now, period)) == (end_of_period(birth, period) <= now)


@pytest.mark.parametrize(
    ("birth", "text", "end"),
    [
        ("2026-01-30T11:00:00", "P1M", "2026-03-01T00:00:00"),
        ("2026-01-31T10:00:00", "P1M", "2026-03-01T00:00:00"),
        ("2026-01-28T10:00:00", "P1M", "2026-02-28T10:00:00"),
        ("2024-01-29T10:00:00", "P1M", "2024-02-29T10:00:00"),
        ("2024-02-29T23:59:59", "P1Y", "2025-03-01T00:00:00"),
        ("2024-02-29T23:59:59", "P4Y", "2028-02-29T23:59:59"),
        ("2096-02-29T08:00:00", "P4Y", "2100-03-01T00:00:00"),
        ("2025-08-31T12:00:00", "P6M", "2026-03-01T00:00:00"),
        ("2025-12-31T00:00:00", "P2M", "2026-03-01T00:00:00"),
        ("2025-10-31T00:00:00", "P1M", "2025-12-01T00:00:00"),
        ("2025-02-28T00:00:00", "P365D", "2026-02-28T00:00:00"),
        ("2024-02-28T00:00:00", "P365D", "2025-02-27T00:00:00"),
    ],
)
def test_month_ends_and_leap_days_end_at_the_next_day_that_exists__X9(birth: str, text: str, end: str) -> None:
    assert end_of_period(_utc(birth), Period.parse(text)) == _utc(end)


@pytest.mark.parametrize("night", [date(2026, 3, 29), date(2026, 10, 25)])
def test_a_night_in_which_the_clocks_change_is_a_night_like_any_other__X9(night: date) -> None:
    amsterdam = ZoneInfo("Europe/Amsterdam")
    birth = datetime.combine(night, time(0, 30), UTC)
    local = birth.astimezone(amsterdam)
    for text, length in (("P1D", timedelta(hours=24)), ("P2W", timedelta(days=14))):
        assert end_of_period(local, Period.parse(text)) - birth == length
    assert end_of_period(local, Period.parse("P1M")) == end_of_period(birth, Period.parse("P1M"))
    assert cutoff(local, Period.parse("P1M")) == cutoff(birth, Period.parse("P1M"))


def test_periods_beyond_the_calendar_stop_at_its_ends_instead_of_failing__X9() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    for text in ("P9999Y", "P9999M", "P9999W", "P9999D"):
        period = Period.parse(text)
        assert now < end_of_period(now, period) <= LAST_INSTANT
        assert FIRST_INSTANT <= cutoff(now, period) < now
    assert end_of_period(now, Period.parse("P9999Y")) == LAST_INSTANT
    assert cutoff(now, Period.parse("P9999Y")) == FIRST_INSTANT
    assert end_of_period(LAST_INSTANT, Period.parse("P1D")) == LAST_INSTANT
    assert cutoff(FIRST_INSTANT, Period.parse("P1D")) == FIRST_INSTANT


@pytest.mark.parametrize(
    ("text", "months", "days"), [("P30D", 0, 30), ("P2W", 0, 14), ("P6M", 6, 0), ("P1Y", 12, 0), ("P9999D", 0, 9999)]
)
def test_one_number_and_one_unit_is_a_duration(text: str, months: int, days: int) -> None:
    assert Period.parse(text) == Period(months, days)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "30d",
        "30",
        "P",
        "P0D",
        "P-1D",
        "P1.5D",
        "P1Y6M",
        "PT4H",
        "P10000D",
        "P1D ",
        "p1d",
        "P１D",
        "P1D\n",
        "P01D",
    ],
)
def test_anything_else_is_refused_with_the_name_of_its_field__X1(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Period.parse(text, field="retention[0].keep")
    assert refusal.value.field == "retention[0].keep"
    assert refusal.value.reason == "InvalidDuration"
    assert "retention[0].keep" in refusal.value.message


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        ("P1M", "P31D"),
        ("P28D", "P1M"),
        ("P1Y", "P366D"),
        ("P365D", "P1Y"),
        ("P6M", "P184D"),
        ("P180D", "P6M"),
        ("P181D", "P6M"),
        ("P12M", "P1Y"),
        ("P1Y", "P12M"),
        ("P2W", "P14D"),
        ("P4W", "P1M"),
        ("P1D", "P9999Y"),
    ],
)
def test_durations_of_different_units_compare_by_what_holds_for_every_birthday__X1(shorter: str, longer: str) -> None:
    assert Period.parse(shorter).never_longer_than(Period.parse(longer))


@pytest.mark.parametrize(
    ("left", "right"),
    [("P1M", "P30D"), ("P29D", "P1M"), ("P1Y", "P365D"), ("P366D", "P1Y"), ("P182D", "P6M"), ("P9999Y", "P9999W")],
)
def test_a_duration_that_can_be_longer_for_some_birthday_is_not_called_shorter__X1(left: str, right: str) -> None:
    assert not Period.parse(left).never_longer_than(Period.parse(right))


@pytest.mark.parametrize("months", [*range(1, 14), 24, 47, 48, 49, 95, 97, 1200, 1236, 2400, 4800])
def test_the_shortest_and_the_longest_of_so_many_months_are_those_of_some_birthday__X1(months: int) -> None:
    period = Period(months, 0)
    lengths = set()
    for year in range(1800, 2200):
        for month in range(1, 13):
            # Ends depend on the day only where a month is shorter than it: the first, and what February may lack.
            for day in (1, 28, 29, 30, 31):
                try:
                    birth = datetime(year, month, day, tzinfo=UTC)
                except ValueError:
                    continue
                lengths.add((end_of_period(birth, period) - birth).days)
    assert (period.shortest_days(), period.longest_days()) == (min(lengths), max(lengths))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
