"""When jobs run: the hashed minute, time zones, the two nights a year, and runs that did not come."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.schedule import Schedule, chosen_minute, plan_schedule

AMSTERDAM = "Europe/Amsterdam"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_two_thousand_policies_spread_over_a_four_hour_window() -> None:
    minutes = Counter(chosen_minute(f"customer-{number}", "acme", "expire", 240) for number in range(2000))
    assert max(minutes.values()) <= 18
    assert len(minutes) == 240


def test_two_thousand_policies_spread_over_a_day() -> None:
    minutes = Counter(chosen_minute(f"customer-{number}", "acme", "expire", 1440) for number in range(2000))
    assert max(minutes.values()) <= 8


def test_the_minute_of_a_policy_never_changes() -> None:
    assert plan_schedule("customer-acme", "acme", "expire").cron == "24 1 * * *"


def test_names_that_read_alike_when_joined_draw_apart() -> None:
    draws = {chosen_minute(*names, 1440) for names in (("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"))}
    assert len(draws) == 3


hours = st.integers(0, 23)


@given(hour=hours, minute=st.integers(0, 59), length=st.integers(1, 24), name=st.text(min_size=1, max_size=40))
def test_the_start_lies_in_the_window_also_across_midnight(hour: int, minute: int, length: int, name: str) -> None:
    schedule = plan_schedule("ns", name, "expire", start=f"{hour:02}:{minute:02}", duration=f"PT{length}H")
    start_minute, start_hour = (int(field) for field in schedule.cron.split()[:2])
    after_opening = (start_hour * 60 + start_minute - hour * 60 - minute) % 1440
    assert 0 <= after_opening < length * 60
    assert schedule.window_seconds == length * 3600


def test_a_window_across_midnight_runs_on_both_sides_of_it() -> None:
    found = {
        int(plan_schedule(f"ns-{number}", "p", "expire", start="23:00", duration="PT2H").cron.split()[1])
        for number in range(50)
    }
    assert found == {23, 0}


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "Europe/Amsterdm", "Europe", "europe/amsterdam ", "Local", "local", "../etc/passwd", "/etc/localtime",
        "Mars/Olympus", "UTC\n", "UTC\x00", "CEST-", "x" * 300, "'; DROP TABLE x; --", "+01:00",
    ],
)  # fmt: skip
def test_an_unknown_time_zone_is_refused_with_the_fields_name(name: str) -> None:
    with pytest.raises(Invalid, match=r"spec\.timeZone") as caught:
        plan_schedule("ns", "p", "expire", time_zone=name)
    assert caught.value.field == "spec.timeZone"
    assert caught.value.reason == "TimeZoneUnknown"
    assert len(caught.value.message) < 250


@pytest.mark.parametrize(
    "name", ["UTC", "Etc/UTC", AMSTERDAM, "America/Argentina/Buenos_Aires", "Etc/GMT+12", "EST5EDT"]
)
def test_every_iana_name_is_taken(name: str) -> None:
    assert plan_schedule("ns", "p", "expire", time_zone=name).time_zone == name


@pytest.mark.parametrize(
    "start", ["", "1:00", "24:00", "01:60", "0100", "01:00:00", "-1:00", "noon", "01:00\n", "٠١:٠٠"]
)
def test_a_window_that_opens_at_no_time_of_day_is_refused(start: str) -> None:
    with pytest.raises(Invalid, match=r"spec\.window\.start"):
        plan_schedule("ns", "p", "expire", start=start)


@pytest.mark.parametrize(
    "duration", ["", "PT0H", "PT25H", "PT100H", "P1D", "PT30M", "PT1.5H", "PT-1H", "4h", "4", "PT4H ", "pt4h", "PT04H"]
)
def test_a_window_that_does_not_fit_a_day_is_refused(duration: str) -> None:
    with pytest.raises(Invalid, match=r"spec\.window\.duration"):
        plan_schedule("ns", "p", "expire", duration=duration)


@pytest.mark.parametrize("cron", ["0 0 1 * * *", "* * * *", "", "61 1 * * *", "@daily", "0  1 * * *", "a b c d e"])
def test_a_schedule_that_is_no_five_field_cron_line_is_refused(cron: str) -> None:
    with pytest.raises(Invalid, match=r"spec\.window"):
        Schedule(cron, "UTC", 3600)


def test_the_next_run_is_local_time_in_summer_and_winter() -> None:
    schedule = Schedule("30 2 * * *", AMSTERDAM, 14400)
    assert schedule.next_run(at("2026-07-01T12:00")) == at("2026-07-02T00:30")
    assert schedule.next_run(at("2026-12-01T12:00")) == at("2026-12-02T01:30")


def test_a_run_whose_local_time_does_not_exist_is_expected_when_the_clocks_have_gone_forward() -> None:
    # 29 March 2026: 02:00 becomes 03:00. Kubernetes skips this start; the operator must notice.
    schedule = Schedule("30 2 * * *", AMSTERDAM, 14400)
    assert schedule.next_run(at("2026-03-28T12:00")) == at("2026-03-29T01:00")
    assert schedule.latest_run(at("2026-03-29T01:00")) == at("2026-03-29T01:00")


def test_a_run_whose_local_time_exists_twice_is_expected_once() -> None:
    # 25 October 2026: 03:00 becomes 02:00 again.
    schedule = Schedule("30 2 * * *", AMSTERDAM, 14400)
    first = schedule.next_run(at("2026-10-24T12:00"))
    assert first == at("2026-10-25T00:30")
    assert schedule.next_run(first) == at("2026-10-26T01:30")


@pytest.mark.parametrize("zone", [AMSTERDAM, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
def test_every_local_day_of_a_year_has_exactly_one_run(zone: str) -> None:
    for minute in (0, 75, 120, 150, 179):
        schedule = Schedule(f"{minute % 60} {minute // 60} * * *", zone, 14400)
        moment, days = at("2026-01-01T00:00"), Counter[str]()
        while moment < at("2027-01-10T00:00"):
            moment = schedule.next_run(moment)
            days[moment.astimezone(ZoneInfo(zone)).date().isoformat()] += 1
        assert set(days.values()) == {1}
        assert len([day for day in days if day.startswith(("2026-06", "2026-03"))]) == 61


def test_the_latest_run_is_the_last_start_that_should_have_been() -> None:
    schedule = Schedule("37 1 * * *", "UTC", 14400)
    assert schedule.latest_run(at("2026-11-22T01:36")) == at("2026-11-21T01:37")
    assert schedule.latest_run(at("2026-11-22T01:37")) == at("2026-11-22T01:37")


@given(minutes=st.integers(0, 10 * 365 * 1440), zone=st.sampled_from([AMSTERDAM, "Asia/Tokyo"]))
def test_the_next_run_after_the_latest_one_is_still_to_come(minutes: int, zone: str) -> None:
    now = at("2020-01-01T00:00") + timedelta(minutes=minutes)
    schedule = Schedule("30 2 * * *", zone, 14400)
    latest = schedule.latest_run(now)
    assert latest <= now < schedule.next_run(latest) == schedule.next_run(now)
    assert now - latest <= timedelta(hours=25)


def test_a_late_start_is_allowed_for_hours_and_not_for_days() -> None:
    assert Schedule("0 1 * * *", "UTC", 4 * 3600).starting_deadline_seconds == 4 * 3600
    assert Schedule("0 1 * * *", "UTC", 24 * 3600).starting_deadline_seconds == 8 * 3600
