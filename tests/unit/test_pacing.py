"""A run waits between batches for standbys and the write-ahead log, told, bounded, and never stopped by it (RETENTION 2)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Row, TenantServer
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.enforcement import Pressure
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.pacing import (
    LARGEST_LAG,
    LONGEST_BATCH,
    LONGEST_REST,
    LONGEST_WAIT,
    REST,
    WAL_PER_SECOND,
    Pacer,
)
from tenant_retention.enforcement.persistence import Interrupted, Persistence
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.support.enforcement import NOW, RecordedWorld, archive, plan_of

GIBIBYTE = 2**30


def pacer(around: RecordedWorld, pressure: Callable[[], Pressure | None]) -> Pacer:
    server = TenantServer(archive(), "Analytical", lambda: NOW)
    server.pressure = pressure
    world = around.world()
    return Pacer(InMemoryEnforcementDatabase(server), Persistence(world), world)


def seen(wal: int = 0, lag: int | None = None, transactions: int = 0) -> Pressure:
    return Pressure(wal_bytes=wal, largest_wal=GIBIBYTE, lag_bytes=lag, transactions=transactions)


@pytest.mark.parametrize("pressure", [None, seen(), seen(lag=LARGEST_LAG), seen(wal=GIBIBYTE)])
def test_a_server_that_bears_it_or_cannot_tell_is_not_waited_for(pressure: Pressure | None) -> None:
    around = RecordedWorld()
    pacer(around, lambda: pressure).pause()
    assert around.pauses == []


def test_a_standby_that_is_behind_is_waited_for_until_it_has_caught_up_and_that_is_told() -> None:
    around = RecordedWorld()
    lags = [LARGEST_LAG + 1, LARGEST_LAG + 1, LARGEST_LAG]
    pacer(around, lambda: seen(lag=lags.pop(0))).pause()
    assert around.pauses == [1.0, 1.0]
    assert around.told == [("pacing", {"cause": "ReplicaLag"})]


def test_write_ahead_log_may_come_in_one_burst_and_then_only_at_the_rate() -> None:
    around = RecordedWorld()
    written = [0, GIBIBYTE // 2 + 3 * WAL_PER_SECOND]
    paced = pacer(around, lambda: seen(wal=written[0]))
    paced.pause()
    del written[0]
    paced.pause()
    assert len(around.pauses) == 3
    assert around.told == [("pacing", {"cause": "WalRate"})]


def test_a_standby_that_is_stuck_keeps_no_run_for_ever__M10() -> None:
    around = RecordedWorld()
    paced = pacer(around, lambda: seen(lag=GIBIBYTE))
    for _ in range(3):
        paced.pause()
    assert sum(around.pauses) == LONGEST_WAIT
    assert around.events() == ["pacing", "pacing.ended"]


def test_a_run_rests_after_a_batch_while_an_application_writes_and_tells_it_once() -> None:
    around = RecordedWorld()
    looks = [seen(transactions=number) for number in (100, 102, 110, 111)]
    paced = pacer(around, lambda: looks.pop(0))
    for worked in (0.0, 0.1, 0.2, 0.1):
        paced.pause(worked)
    assert around.pauses == [REST * 0.1, REST * 0.2], "the last batch was the only transaction"
    assert around.told == [("pacing", {"cause": "OthersWrite"})]


def test_resting_beside_an_application_ends_before_it_keeps_what_has_to_be_gone__M10() -> None:
    around = RecordedWorld()
    begun = [0]

    def busy() -> Pressure:
        begun[0] += 50
        return seen(transactions=begun[0])

    paced = pacer(around, busy)
    for _ in range(1000):
        paced.pause(10.0)
    assert sum(around.pauses) == pytest.approx(LONGEST_REST)
    assert around.pauses[0] == REST * LONGEST_BATCH, "a batch that itself waited for a lock is not rested for at length"
    assert around.events() == ["pacing", "pacing.ended"]


def test_rests_beside_an_application_leave_a_standby_its_whole_time() -> None:
    around = RecordedWorld()
    begun, lag = [0], [0]

    def busy() -> Pressure:
        begun[0] += 50
        return seen(transactions=begun[0], lag=lag[0])

    paced = pacer(around, busy)
    for _ in range(1000):
        paced.pause(10.0)
    rested = sum(around.pauses)
    lag[0] = GIBIBYTE
    paced.pause(10.0)
    assert sum(around.pauses) - rested == pytest.approx(LONGEST_WAIT)


def test_a_run_that_is_asked_to_stop_while_it_waits_stops() -> None:
    around = RecordedWorld(stop=True)
    with pytest.raises(Interrupted):
        pacer(around, lambda: seen(lag=GIBIBYTE)).pause()


def test_a_connection_that_dies_in_a_look_is_made_good_like_that_of_any_other_call__X6() -> None:
    def cut() -> Pressure | None:
        if looks.pop(0):
            raise Unavailable("cut", reason="ServerUnreachable")
        return seen()

    around, looks = RecordedWorld(), [True, False]
    pacer(around, cut).pause()
    assert (around.events(), looks) == (["waiting"], [])


def test_a_server_that_can_never_be_looked_at_is_asked_for_a_restarts_time_and_no_more__M10() -> None:
    def refuse() -> Pressure | None:
        raise Unavailable("no", reason="Unavailable")

    around = RecordedWorld()
    paced = pacer(around, refuse)
    paced.pause()
    assert around.events()[-1] == "pacing.failed"
    once = len(around.told)
    paced.pause()
    assert len(around.told) == once


def test_a_run_that_cannot_look_at_the_server_deletes_all_the_same() -> None:
    def refuse() -> Pressure | None:
        raise Unavailable("no", reason="Unavailable")

    around = RecordedWorld()
    server = TenantServer(archive(), "Analytical", lambda: around.at)
    server.pressure = refuse
    plan = plan_of(archive()).model_copy(update={"buckets": (), "categories": ("chat-logs",)})
    server.rows.append(Row("old", "chat_logs", NOW.replace(year=2025), session="s"))
    stores = Stores({"Analytical": InMemoryEnforcementDatabase(server)}, {"Content": InMemoryContentBucket()})
    result = expire(plan, stores, uuid4(), around.world())
    assert result.outcome is Outcome.SUCCEEDED
    assert server.rows == []
    assert "pacing.failed" in around.events()
