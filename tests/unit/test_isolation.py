"""The isolation probe on a shared server: a bounded part of the neighbours in each look, all of them in turn (X2)."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.isolation import BUCKET_SAMPLE, SAMPLE, next_sample
from tests.support.operator_world import condition, operator_with, policy

LOOK = timedelta(minutes=16)
NEIGHBOURS = {f"neighbour_{number:03}" for number in range(3 * SAMPLE + 5)}


@given(st.sets(st.text("abcdef", min_size=1, max_size=3), max_size=40), st.text("abcdef", max_size=3))
def test_every_database_is_tried_within_so_many_looks_as_samples_fit__X2(names: set[str], after: str) -> None:
    others, seen, size = names - {"own"}, set[str](), 7
    for _ in range(-(-len(others) // size)):
        sample = next_sample({*names, "own"}, "own", after, size)
        assert len(sample) == min(size, len(others))
        seen |= set(sample)
        after = sample[-1]
    assert seen == others


def test_databases_that_come_and_go_make_nobody_wait_for_a_second_round__X2() -> None:
    names = {"a", "b", "c", "d", "e"}
    first = next_sample(names, "own", "", 2)
    second = next_sample((names - {"a"}) | {"aa", "bb"}, "own", first[-1], 2)
    assert (first, second) == (("a", "b"), ("bb", "c"))


async def test_a_look_tries_a_bounded_part_of_a_shared_server_and_says_so__X2() -> None:
    operator = await operator_with(policy())
    operator.stores.neighbours = set(NEIGHBOURS)
    found = await operator.settled()
    verified = condition(found, "IsolationVerified")
    assert verified["status"] == "True"
    assert f"{SAMPLE} of {len(NEIGHBOURS)} databases and buckets of others" in verified["message"]
    for _ in range(3):
        operator.clock.forward(LOOK)
        await operator.settled()
    assert len(operator.stores.probed) == 4
    assert all(len(sample) == SAMPLE for sample in operator.stores.probed)
    assert {name for sample in operator.stores.probed for name in sample} == NEIGHBOURS


async def test_the_buckets_of_others_are_tried_all_in_turn__X2() -> None:
    operator = await operator_with(policy())
    foreign = {f"foreign-{number:02}" for number in range(3 * BUCKET_SAMPLE + 1)}
    operator.stores.foreign_buckets = foreign
    operator.stores.open = {"foreign-15"}
    told = []
    for _ in range(4):
        told.append(condition(await operator.settled(), "IsolationVerified"))
        operator.clock.forward(LOOK)
    assert all(len(sample) == BUCKET_SAMPLE for sample in operator.stores.probed_buckets)
    assert {name for sample in operator.stores.probed_buckets for name in sample} == foreign
    assert [found["status"] for found in told].count("False") > 0
    assert "foreign-15" in told[-1]["message"], "until it is mended"


async def test_what_a_look_finds_is_tried_again_until_it_is_mended__X2() -> None:
    operator = await operator_with(policy())
    operator.stores.neighbours = set(NEIGHBOURS)
    operator.stores.open = {"neighbour_000"}
    looks = 0
    while condition(await operator.settled(), "IsolationVerified")["status"] == "True":
        operator.clock.forward(LOOK)
        looks += 1
        assert looks <= len(NEIGHBOURS) // SAMPLE + 1, "the open database was never tried"
    operator.clock.forward(LOOK)
    broken = condition(await operator.settled(), "IsolationVerified")
    assert (broken["status"], broken["reason"]) == ("False", "IsolationBroken")
    assert "neighbour_000" in broken["message"]
    operator.stores.open = set()
    operator.clock.forward(LOOK)
    assert condition(await operator.settled(), "IsolationVerified")["status"] == "True"
