"""Where a cached key belongs and how long it may live: pure, to the second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.cached_keys import KeyPlaces, Place, longest_life
from tenant_retention.domain.caches import CacheRole, want_cache
from tenant_retention.domain.definition import CacheDefinition, CategoryDefinition, CategoryState, ClockEvent
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.names import StoreIdentity
from tests.support.enforcement import archive

DAY = timedelta(days=1)
NOW = datetime(2026, 1, 31, 1, 37, tzinfo=UTC)


def category(name: str = "agents", **more: object) -> CategoryDefinition:
    facts = {"state": CategoryState.ENFORCED, "keep": "P30D", "maximum": "P1Y", "cache": CacheDefinition(prefix=name)}
    return CategoryDefinition.model_validate({"name": name, **facts, **more})


PLACES = KeyPlaces(b"acme-1:", [category("agents"), category("agents-2"), category("plain", cache=None)])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (b"acme-1:agents:7", Place("agents", "7")),
        (b"acme-1:agents:7:status:x", Place("agents", "7")),
        (b"acme-1:agents-2:7", Place("agents-2", "7")),
        (b"acme-1:agents:a%3Ab%25", Place("agents", "a:b%")),
        (b"acme-1:agents", Place(None, None)),
        (b"acme-1:agents:", Place("agents", None)),
        (b"acme-1:agents::7", Place("agents", None)),
        (b"acme-1:agents:%", Place("agents", None)),
        (b"acme-1:agents:%4", Place("agents", None)),
        (b"acme-1:agents:\xff", Place("agents", None)),
        (b"acme-1:agents:\x00", Place("agents", None)),
        (b"acme-1:plain:7", Place(None, None)),
        (b"acme-1:Agents:7", Place(None, None)),
        (b"acme-1:", Place(None, None)),
    ],
)
def test_a_key_belongs_to_the_category_and_the_row_that_it_names(name: bytes, place: Place) -> None:
    assert PLACES.place(name) == place


@given(st.binary(max_size=40))
def test_any_bytes_have_a_place_and_never_a_value_that_no_row_can_have(rest: bytes) -> None:
    place = PLACES.place(b"acme-1:" + rest)
    assert place.category in (None, "agents", "agents-2")
    assert place.value is None or "\0" not in place.value


def test_a_key_lives_for_the_keep_and_never_so_long_that_a_late_night_passes_max__M10() -> None:
    assert longest_life(category(), DAY, NOW) == timedelta(days=30)
    assert longest_life(category(maximum=None), DAY, NOW) == timedelta(days=30)
    assert longest_life(category(keep="P1Y"), DAY, NOW) == timedelta(days=364)
    assert longest_life(category(keep="P1M"), DAY, NOW) == datetime(2026, 3, 1, tzinfo=UTC) - NOW, "X9"


def test_a_key_never_ends_before_min__M8() -> None:
    assert longest_life(category(minimum="P6M", keep="P6M", maximum="P6M"), DAY, NOW) == timedelta(days=181)


@pytest.mark.parametrize("bought", [None, {"keep": "P1000D", "maximum": "P3000D"}], ids=["own keep", "bought time"])
def test_a_cached_copy_ends_at_the_age_at_which_its_row_loses_the_person__T6_X1(bought: dict[str, str] | None) -> None:
    assert longest_life(category(anonymize_after="P7D", extended=bought), DAY, NOW) == timedelta(days=7)
    assert longest_life(category(anonymize_after="P30D", extended=bought), DAY, NOW) == timedelta(days=30)
    bound = category(minimum="P7D", anonymize_after="P7D", extended=bought)
    assert longest_life(bound, DAY, NOW) == timedelta(days=7), "and never before min (M8)"


def test_a_key_about_a_row_ends_when_that_row_loses_the_person_and_never_before_min__T6_M8() -> None:
    found = category(anonymize_after="P7D", minimum="P2D")
    for age, left in ((0, 7), (3, 4), (7, 0), (20, 0)):
        assert longest_life(found, DAY, NOW, NOW - age * DAY) == left * DAY
    below = category(anonymize_after="P7D", minimum="P9D")
    assert longest_life(below, DAY, NOW, NOW - 3 * DAY) == 6 * DAY, "rules of before a longer min"
    assert longest_life(category(), DAY, NOW, NOW - 3 * DAY) == 30 * DAY, "else the row's end is its key's end"
    closed = category(anonymize_after="P7D", clock_event=ClockEvent.CLOSED, clock_column="closed_at")
    assert longest_life(closed, DAY, NOW, NOW - 3 * DAY) == 4 * DAY
    assert longest_life(closed, DAY, NOW) is None, "it is not closed yet"


@pytest.mark.parametrize(
    ("until", "days"), [(None, 1000), (5, 30), (100, 100), (2000, 1000)], ids=["for good", "ends soon", "ends", "long"]
)
def test_bought_time_lets_a_key_live_longer_and_no_longer_than_it_lasts__T5(until: int | None, days: int) -> None:
    end = None if until is None else NOW + timedelta(days=until)
    bought = {"keep": "P1000D", "maximum": "P3000D", "until": end}
    assert longest_life(category(extended=bought), DAY, NOW) == timedelta(days=days)


def test_age_ends_no_key_whose_clock_begins_later_or_never__T1() -> None:
    for more in (
        {"keep": None, "maximum": None, "clockEvent": "Terminated"},
        {"clock_event": ClockEvent.CLOSED, "clock_column": "closed_at"},
        {"keep": None},
    ):
        assert longest_life(category(**more), DAY, NOW) is None


@given(
    st.integers(0, 20 * 366 * 86_400),
    st.sampled_from(["P1D", "P30D", "P1M", "P6M", "P1Y"]),
    st.integers(0, 86_400),
)
def test_a_key_that_is_seen_within_a_day_of_its_birth_is_gone_a_day_after_its_keep_at_the_latest__T6(
    born: int, keep: str, seen_after: int
) -> None:
    birth = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=born)
    seen = birth + timedelta(seconds=seen_after)
    life = longest_life(category(keep=keep, maximum="P5Y"), DAY, seen)
    assert life is not None
    # No later than what was born a day after it.
    assert end_of_period(birth, Period.parse(keep)) <= seen + life <= end_of_period(birth + DAY, Period.parse(keep))


def test_a_rule_without_a_cache_has_the_digest_that_it_had_before_there_were_caches() -> None:
    rules = archive()
    assert rules.rules_digest() == "sha256:2c1c4d1a9f608219dddd81df4401690902b18e2c00d72e5b8e81babc4cf4d5a3"
    cached = rules.categories[0].model_copy(update={"cache": CacheDefinition(prefix="calls")})
    assert (
        rules.model_copy(update={"categories": (cached, *rules.categories[1:])}).rules_digest() != rules.rules_digest()
    )


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_tenant_s_prefix_is_a_pattern_or_begins_another_one_s__X2(one: str, other: str) -> None:
    passwords = dict.fromkeys(CacheRole, "x")
    first, second = (
        want_cache(StoreIdentity("i", "customer", policy, "Cache"), "n", passwords).prefix for policy in (one, other)
    )
    assert all(character in "abcdefghijklmnopqrstuvwxyz0123456789-" for character in first[:-1])
    assert first.endswith(":")
    assert one == other or not first.startswith(second)
