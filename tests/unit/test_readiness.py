"""What is measured at stores that nobody here owns, and how it is told: value, limit, step, and no flapping (D6, D7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_retention.adapters.fakes.stores import HEALTHY_BUCKET, HEALTHY_DATABASE
from tenant_retention.domain.ports.cluster import POLICY, STORE_CLASS, Manifest
from tenant_retention.domain.readiness import Limits, Measure, StoreReadings, figures, judge, rows, version_figure
from tenant_retention.domain.replay import MOST_MARKS, ReplayWatch
from tenant_retention.telemetry import Telemetry
from tests.support.operator_world import NAMESPACE, Operator, condition, operator_with, policy

MEASURE = timedelta(minutes=5)
CONFIRM = timedelta(seconds=20)
SERVER = f"acme-postgresql.{NAMESPACE}.svc"
LIMITS = Limits(
    latency=timedelta(seconds=1),
    clock_skew=timedelta(seconds=30),
    free_sessions=10,
    replication_lag=timedelta(minutes=5),
    size=100.0,
)
SLOW = replace(HEALTHY_DATABASE, latency=timedelta(seconds=3))


async def health(operator: Operator) -> dict[str, Any]:
    """The condition."""
    return condition(await operator.settled(), "StoresHealthy")


def measure_as(operator: Operator, readings: StoreReadings) -> None:
    """What the database's server is like from now on."""
    operator.stores.readings = dict.fromkeys(operator.stores.databases, readings)


def measurements(operator: Operator) -> dict[str, dict[str, Any]]:
    """What the database's ledger entry says, by name."""
    (entry,) = [found for found in operator.objects("DataStore") if found["spec"]["purpose"] == "Analytical"]
    return {row["name"]: row for row in entry["status"].get("measurements", ())}


@pytest.mark.parametrize(
    ("measure", "name", "limit"),
    [
        (Measure.LATENCY, "latency", timedelta(seconds=1)),
        (Measure.CLOCK_SKEW, "clock_skew", timedelta(seconds=30)),
        (Measure.SESSIONS, "sessions", 87),
        (Measure.SIZE, "size", 100),
        (Measure.REPLICATION_LAG, "replication_lag", timedelta(minutes=5)),
    ],
)
def test_a_figure_at_its_limit_is_met_and_one_over_it_is_exceeded__D7(
    measure: Measure, name: str, limit: int | timedelta
) -> None:
    def exceeded(value: object) -> bool:
        readings: StoreReadings = replace(HEALTHY_DATABASE, standbys=1, **{name: value})  # type: ignore[arg-type]
        return next(each for each in figures(readings, LIMITS) if each.measure is measure).exceeded

    assert not exceeded(limit)
    assert exceeded(limit + 1 if isinstance(limit, int) else limit + timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("said", "shown", "exceeded"),
    [("15.0", "15", False), ("14.22", "14.22", True), ("18beta1", "18", False), ("17.6 (Debian)", "17.6", False)],
)
def test_a_version_is_told_beside_the_oldest_that_is_supported_and_judged_as_a_number__D6(
    said: str, shown: str, exceeded: bool
) -> None:
    found = next(
        each for each in figures(replace(HEALTHY_DATABASE, version=said), LIMITS) if each.measure is Measure.VERSION
    )
    (row,) = rows({found.measure: judge(found, None, was_bad=exceeded)})
    assert (row["value"], row["limit"], row["state"]) == (shown, "15", "Exceeded" if exceeded else "Met")
    assert found.exceeded is exceeded
    assert ("upgrade" in row.get("message", "")) is exceeded


def test_another_minor_version_is_told_at_once_and_a_server_that_tells_none_is_unknown__D6() -> None:
    before = judge(version_figure("17.5", 15), None, was_bad=False)
    assert judge(version_figure("17.6", 15), before, was_bad=False).shown == 17.06
    unseen = version_figure("", 15)
    assert (unseen.value, unseen.exceeded) == (None, False)
    assert "does not tell" in unseen.note


def test_what_cannot_be_seen_is_unknown_and_never_called_good_or_bad__D7() -> None:
    of_bucket = {each.measure: each for each in figures(HEALTHY_BUCKET, LIMITS)}
    assert of_bucket[Measure.SIZE].value is None
    assert "quota" in of_bucket[Measure.SIZE].note
    hidden = figures(replace(HEALTHY_DATABASE, standbys=1), LIMITS)
    lag = next(each for each in hidden if each.measure is Measure.REPLICATION_LAG)
    assert (lag.value, lag.exceeded) == (None, False)
    assert "GRANT pg_read_all_stats" in lag.note


async def test_every_figure_stands_beside_its_limit_in_the_ledger_and_in_the_metrics__D6_D7() -> None:
    operator = await operator_with(policy())
    found = await health(operator)
    assert (found["status"], found["reason"]) == ("True", "WithinLimits")
    shown = measurements(operator)
    assert shown["Latency"] == {"name": "Latency", "value": "3 ms", "limit": "1.0 s", "state": "Met"}
    assert shown["Sessions"] == {"name": "Sessions", "value": "4", "limit": "87", "state": "Met"}
    assert (shown["Size"]["value"], shown["Size"]["limit"]) == ("8.0 MiB", "8.5 GiB")
    assert shown["ReadOnly"]["value"] == "no"
    assert shown["Version"] == {"name": "Version", "value": "17.6", "limit": "15", "state": "Met"}
    telemetry = Telemetry()
    for store, found_there in operator.shown.measured.items():
        telemetry.store_measured(NAMESPACE, "acme", store, found_there)
    text = telemetry.render(0).decode()
    assert "tenant_retention_store_latency_seconds{" in text
    assert "tenant_retention_store_latency_limit_seconds{" in text
    for store in operator.shown.measured:
        telemetry.store_measured(NAMESPACE, "acme", store, None)
    assert "tenant_retention_store_latency_seconds{" not in telemetry.render(0).decode(), "a series goes with its store"


async def test_each_store_of_a_policy_has_its_own_readiness_and_a_released_one_none__D7() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    names = {entry["spec"]["purpose"]: entry["metadata"]["name"] for entry in operator.objects("DataStore")}
    assert operator.shown.stores_ready == dict.fromkeys(names.values(), True)
    operator.stores.away = {SERVER}
    await operator.settled()
    ready = operator.shown.stores_ready
    assert {purpose: ready[name] for purpose, name in names.items()} == {"Analytical": False, "Content": True}
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.settled()
    assert set(operator.shown.stores_ready.values()) == {None}


async def test_a_store_is_measured_every_five_minutes_and_not_at_every_reconcile__D6() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    stores = len(operator.stores.measured)
    for _ in range(3):
        await operator.settled()
    assert len(operator.stores.measured) == stores == 2
    operator.clock.forward(MEASURE)
    await operator.settled()
    assert len(operator.stores.measured) == 2 * stores


async def test_one_slow_answer_is_no_news_and_three_in_a_row_are__D7() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    measure_as(operator, SLOW)
    operator.clock.forward(MEASURE)
    assert (await health(operator))["status"] == "True"
    measure_as(operator, HEALTHY_DATABASE)
    operator.clock.forward(CONFIRM)
    assert (await health(operator))["status"] == "True"
    measure_as(operator, SLOW)
    operator.clock.forward(MEASURE)
    told = []
    for _ in range(3):
        told.append((await health(operator))["status"])
        operator.clock.forward(CONFIRM)
    assert told == ["True", "True", "False"], "within a minute"
    found = await health(operator)
    assert found["reason"] == "LimitExceeded"
    assert "Analytical: Latency 3.0 s, limit 1.0 s; runs will be slow: put the server nearer" in found["message"]
    assert measurements(operator)["Latency"]["state"] == "Exceeded"
    assert condition(await operator.policy(), "Ready")["status"] == "True", "nothing stops working for it"
    assert len(operator.told("LimitExceeded")) == 1


async def test_what_was_bad_stays_bad_over_a_restart_until_three_measurements_say_otherwise__D7() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    measure_as(operator, SLOW)
    operator.clock.forward(MEASURE)
    for _ in range(3):
        await operator.settled()
        operator.clock.forward(CONFIRM)
    operator.restart()
    measure_as(operator, HEALTHY_DATABASE)
    told = []
    for _ in range(3):
        told.append((await health(operator))["status"])
        operator.clock.forward(CONFIRM)
    assert told == ["False", "False", "True"]


async def test_small_movements_change_no_status__D7() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    before = len(operator.effects.effects)
    for latency, sessions in ((4, 6), (2, 3), (9, 8)):
        operator.clock.forward(MEASURE)
        measure_as(operator, replace(HEALTHY_DATABASE, latency=timedelta(milliseconds=latency), sessions=sessions))
        await operator.settled()
    assert [each for each in operator.effects.effects[before:] if "DataStore" in each] == []
    shown = {each.shown for found in operator.shown.measured.values() if found for each in found.figures.values()}
    assert 0.009 not in shown


async def test_the_class_sets_the_limits__D6() -> None:
    operator = await operator_with(policy())

    def tighten(found: Manifest) -> None:
        found["spec"]["thresholds"] = {"latencyMilliseconds": 2, "size": "20Mi"}

    await operator.edit(STORE_CLASS, "embedded-postgresql", None, tighten)
    await operator.settled()
    shown = measurements(operator)
    assert (shown["Latency"]["limit"], shown["Size"]["limit"]) == ("2 ms", "20.0 MiB")


async def test_a_server_that_takes_no_writes_is_told_with_what_its_owner_has_to_do__D7() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    measure_as(operator, replace(HEALTHY_DATABASE, read_only=True))
    operator.clock.forward(MEASURE)
    for _ in range(3):
        found = await health(operator)
        operator.clock.forward(CONFIRM)
    assert (
        "Analytical: takes no writes; nothing can be deleted there: point the class at the primary" in found["message"]
    )


async def test_a_store_that_is_away_is_not_called_healthy_for_long_and_its_figures_go__D7() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    operator.stores.away = {SERVER}
    operator.clock.forward(timedelta(minutes=31))
    found = await health(operator)
    assert (found["status"], found["reason"]) == ("Unknown", "NotYetMeasured")
    assert "Analytical" in found["message"]
    assert measurements(operator) == {}


async def test_a_standby_that_replays_nothing_is_told_after_its_limit__D7_T6() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    standby = replace(HEALTHY_DATABASE, standbys=1, replication_lag=timedelta(milliseconds=26), replayed=100)
    for look in range(3):
        measure_as(operator, replace(standby, written=200 + look))
        operator.clock.forward(MEASURE)
        assert (await health(operator))["status"] == "True", "not behind for longer than the limit, or not confirmed"
    for _ in range(3):
        operator.clock.forward(CONFIRM)
        found = await health(operator)
    assert found["status"] == "False"
    assert "Analytical: ReplicationLag" in found["message"]
    measure_as(operator, replace(standby, written=203, replayed=203))
    for _ in range(4):
        operator.clock.forward(MEASURE)
        found = await health(operator)
    assert found["status"] == "True", "it has caught up"


def test_what_was_replayed_meanwhile_counts_no_more_and_what_was_not_counts_from_its_look__D7() -> None:
    start = datetime(2026, 11, 22, tzinfo=UTC)
    watch = ReplayWatch()
    for minute, written, replayed, behind in (
        (0, 100, 100, 0),
        (5, 200, 100, 0),
        (10, 300, 100, 5),
        (15, 300, 199, 10),
        (20, 300, 200, 10),
        (25, 400, 300, 0),
        (30, 400, 400, 0),
    ):
        now = start + timedelta(minutes=minute)
        watch = watch.after(now, written, replayed)
        assert watch.behind(now) == timedelta(minutes=behind), minute
    for _ in range(2 * MOST_MARKS):
        written += 1
        watch = watch.after(start, written, 400)
    assert len(watch.marks) == MOST_MARKS
