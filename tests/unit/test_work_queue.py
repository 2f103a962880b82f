"""The work queue: one key at a time, many keys at once, nothing lost, backoff on failure; and the index of what was seen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_retention.handlers.queue import Key, WorkQueue
from tenant_retention.handlers.seen import Seen
from tenant_retention.telemetry import Health, Telemetry

KEY = Key("TenantRetentionPolicy", "customer-acme", "acme")
OTHER = Key("TenantRetentionPolicy", "customer-globex", "globex")


@asynccontextmanager
async def working(queue: WorkQueue, reconcile: Any, workers: int = 2) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(workers, reconcile))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def queue_of() -> WorkQueue:
    return WorkQueue(asyncio.get_running_loop().time, lambda: 0.01)


async def until(holds: Callable[[], object], message: str, seconds: float = 60.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110  # any condition, not one event
                # Between two looks at the condition; the deadline is above.
                await asyncio.sleep(0.001)
    except TimeoutError:
        pytest.fail(f"{message}: not within {seconds:.0f} s")


async def test_a_key_that_comes_while_it_is_worked_on_is_worked_on_once_more_and_never_twice_at_once() -> None:
    queue, running, most, done = queue_of(), 0, 0, 0
    gate = asyncio.Event()

    async def reconcile(_: Key) -> timedelta | None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        done += 1
        return None

    async with working(queue, reconcile):
        queue.add(KEY)
        await until(lambda: running == 1, "the key is worked on")
        for _ in range(20):
            queue.add(KEY)
        gate.set()
        await until(lambda: done == 2 and queue.depth() == 0, "it is worked on once more")
    assert most == 1


async def test_different_keys_are_worked_on_at_once() -> None:
    queue, running = queue_of(), set()
    gate = asyncio.Event()

    async def reconcile(key: Key) -> timedelta | None:
        running.add(key)
        await gate.wait()
        return None

    async with working(queue, reconcile):
        queue.add(KEY)
        queue.add(OTHER)
        await until(lambda: running == {KEY, OTHER}, "both are worked on")
        gate.set()
        await until(lambda: queue.depth() == 0, "the queue is empty")


async def test_a_failure_is_tried_again_and_does_not_stop_the_others() -> None:
    queue, tries, fine = queue_of(), [], []

    async def reconcile(key: Key) -> timedelta | None:
        if key == OTHER:
            fine.append(key)
            return None
        tries.append(key)
        if len(tries) < 3:
            raise RuntimeError("not yet")
        return None

    async with working(queue, reconcile, workers=1):
        queue.add(KEY)
        queue.add(OTHER)
        await until(lambda: len(tries) == 3 and fine, "the failing key is tried again, the other one is done")


async def test_a_reconcile_says_when_it_wants_to_look_again() -> None:
    queue, seen = queue_of(), []

    async def reconcile(key: Key) -> timedelta | None:
        seen.append(key)
        return timedelta(milliseconds=1) if len(seen) < 3 else None

    async with working(queue, reconcile):
        queue.add(KEY)
        await until(lambda: len(seen) == 3, "all are seen")


async def test_what_is_asked_for_now_does_not_wait_for_a_later_appointment() -> None:
    queue, seen = queue_of(), []

    async def reconcile(key: Key) -> timedelta | None:
        seen.append(key)
        return None

    queue.add(KEY, delay=3600)
    queue.add(KEY)
    async with working(queue, reconcile):
        await until(lambda: seen == [KEY], "the key is seen")
        assert queue.depth() == 0


async def test_a_policy_that_takes_long_to_look_at_rests_before_a_routine_look_and_not_before_a_change__D4() -> None:
    now, seen = 1000.0, []
    queue = WorkQueue(lambda: now)

    async def reconcile(key: Key) -> timedelta | None:
        nonlocal now
        seen.append(key)
        now += 40 if key == KEY else 1
        return None

    async with working(queue, reconcile, workers=1):
        queue.add(KEY)
        queue.add(OTHER)
        await until(lambda: queue.depth() == 0, "both are done")
        queue.add_routine(KEY, 0.0)
        queue.add_routine(OTHER, 0.0)
        await until(lambda: len(seen) == 3, "the quick one is looked at again")
        now += 9 * 40 - 5
        queue.add_routine(OTHER, 0.0)
        await until(lambda: len(seen) == 4, "the quick one once more")
        assert seen == [KEY, OTHER, OTHER, OTHER]
        queue.add(KEY)
        await until(lambda: len(seen) == 5, "a change comes at once")
        now += 9 * 40
        queue.add_routine(KEY, 0.0)
        await until(lambda: len(seen) == 6, "the slow one after its rest")
    assert seen[4:] == [KEY, KEY]


def manifest(generation: int, uid: str = "1", profile: str = "p") -> dict[str, Any]:
    meta = {"namespace": "customer-acme", "name": "acme", "uid": uid, "generation": generation}
    return {"metadata": meta, "spec": {"profileRef": {"name": profile}}}


def test_a_status_that_we_wrote_ourselves_wakes_nobody() -> None:
    seen = Seen()
    assert seen.policy("customer-acme", "acme", manifest(1), gone=False)
    assert not seen.policy("customer-acme", "acme", manifest(1), gone=False)
    assert seen.policy("customer-acme", "acme", manifest(2), gone=False)
    assert seen.policy("customer-acme", "acme", manifest(2, uid="2"), gone=False)
    assert seen.policy("customer-acme", "acme", manifest(2, uid="2"), gone=True)


def test_a_profile_wakes_the_policies_that_name_it() -> None:
    seen = Seen()
    seen.policy("customer-acme", "acme", manifest(1, profile="puzzel-archive"), gone=False)
    assert seen.policies_with_profile("puzzel-archive") == (("customer-acme", "acme"),)
    assert seen.policies_with_profile("other") == ()
    assert seen.policies_in("customer-acme") == ("acme",)


def test_a_dead_watch_is_noticed_when_lists_show_twice_what_no_event_has_shown() -> None:
    seen = Seen()
    seen.policy("customer-acme", "acme", manifest(1), gone=False)
    assert not seen.watch_lags([manifest(2)])
    assert seen.watch_lags([manifest(2)])
    seen.policy("customer-acme", "acme", manifest(2), gone=False)
    assert not seen.watch_lags([manifest(2)])


def test_a_loop_that_stops_turning_fails_the_probe() -> None:
    now = 0.0
    health = Health(lambda: now)
    health.beat("resync", 60)
    assert health.problems() == ()
    now = 61.0
    assert health.problems() == ("resync: no sign of life",)
    health.beat("resync", 60)
    health.complain("watch", "dead")
    assert health.problems() == ("watch: dead",)
    health.complain("watch", None)
    assert health.problems() == ()


def test_a_deadline_can_be_alarmed_before_it_is_missed__X4() -> None:
    telemetry = Telemetry()
    name, labels = "tenant_retention_next_deadline_timestamp_seconds", ("customer-acme", "acme")
    at = datetime(2027, 3, 1, tzinfo=UTC)

    def shown(**row: object) -> str:
        categories = [{"name": "calls", **row}]
        telemetry.policy(*labels, {"categories": categories}, None)
        lines = telemetry.render(0).decode().splitlines()
        return next((line.rpartition(" ")[2] for line in lines if line.startswith(f"{name}{{")), "none")

    assert float(shown(rows=4, nextDeadline="2027-03-01T00:00:00Z")) == at.timestamp()
    assert float(shown()) == at.timestamp(), "a database that is away makes no deadline vanish"
    assert shown(rows=0) == "none"
    released = "tenant_retention_released_store_next_deadline_timestamp_seconds{"
    telemetry.released_store("store-1", 0)
    telemetry.released_deadline("store-1", at)
    assert released in telemetry.render(0).decode()
    telemetry.released_store("store-1", None)
    assert released not in telemetry.render(0).decode()


def samples(telemetry: Telemetry, *labels: str) -> dict[str, float]:
    """What is scraped of the policy: value by metric, and by category or store if it is of one."""
    found = {}
    for line in telemetry.render(0).decode().splitlines():
        if line.startswith("tenant_retention_") and 'policy="acme"' in line:
            series, _, value = line.rpartition(" ")
            name, _, rest = series.partition("{")
            of = [re.search(rf'{label}="([^"]*)"', rest) for label in labels]
            found[" ".join([name.removeprefix("tenant_retention_"), *(each[1] for each in of if each)])] = float(value)
    return found


def test_every_number_of_a_policys_status_is_in_the_metrics__X4() -> None:
    telemetry, at = Telemetry(), datetime(2027, 3, 1, tzinfo=UTC)
    calls = {"name": "calls", "rows": 40, "due": 7, "overdue": 3, "held": 2, "anomalies": 1}
    status: dict[str, Any] = {
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Compliant", "status": "True"},
            {"type": "ApprovalRequired", "status": "True"},
        ],
        "categories": [
            {**calls, "archived": 9, "missingObjects": 4, "nextDeadline": "2027-03-01T00:00:00Z"},
            {"name": "chats", "objects": 5},
            # Logs that are rows and files.
            {"name": "logs", "rows": 3, "objects": 4},
        ],
        "stores": [{"purpose": "Content", "unnamedObjects": 6}, {"purpose": "Analytical"}],
        "jobs": [{"task": "expire", "outcome": "Failed"}],
    }
    telemetry.policy("customer-acme", "acme", status, at - timedelta(days=99))
    assert samples(telemetry, "category", "store") == {
        "items calls": 40,
        "items chats": 5,
        "items logs": 7,
        "due_items calls": 7,
        "overdue_items calls": 3,
        "held_items calls": 2,
        "anomaly_items calls": 1,
        "missing_objects calls": 4,
        "archived_items calls": 9,
        "next_deadline_timestamp_seconds calls": at.timestamp(),
        "unnamed_objects Content": 6,
        "policy_ready": 1,
        "policy_compliant": 1,
        "approval_required": 1,
        "last_success_timestamp_seconds": (at - timedelta(days=99)).timestamp(),
        "last_run_failed": 1,
    }
    status["conditions"] = [
        {"type": "Ready", "status": "False"},
        {"type": "Compliant", "status": "Unknown"},
        {"type": "ApprovalRequired", "status": "False"},
    ]
    telemetry.policy("customer-acme", "acme", status, at)
    shown = samples(telemetry)
    assert {shown[name] for name in ("policy_ready", "policy_compliant", "approval_required")} == {0}
    assert shown["last_success_timestamp_seconds"] == at.timestamp()


def test_why_a_policy_is_not_compliant_is_one_series_by_reason_that_goes_with_it__X4_X6() -> None:
    telemetry = Telemetry()

    def told(status: str, reason: str) -> dict[str, float]:
        conditions = [{"type": "Compliant", "status": status, "reason": reason}]
        telemetry.policy("customer-acme", "acme", {"conditions": conditions}, None)
        return {name: value for name, value in samples(telemetry, "reason").items() if "not_compliant" in name}

    assert told("True", "Compliant") == {}
    assert told("False", "EvidenceBroken") == {"policy_not_compliant EvidenceBroken": 1}
    assert told("False", "CategoriesNotEnforced") == {"policy_not_compliant CategoriesNotEnforced": 1}
    assert told("Unknown", "NoRunYet") == {}
    told("False", "ContentAgainstConsent")
    telemetry.forget_policy("customer-acme", "acme")
    assert samples(telemetry, "reason") == {}


def test_encryption_that_is_unknown_has_no_series_and_what_lies_in_the_clear_is_zero__T8() -> None:
    telemetry = Telemetry()

    def told(status: str) -> float | None:
        telemetry.policy(
            "customer-acme", "acme", {"conditions": [{"type": "EncryptionVerified", "status": status}]}, None
        )
        return samples(telemetry).get("policy_encryption_verified")

    assert [told(status) for status in ("Unknown", "True", "False", "Unknown", "False")] == [None, 1, 0, None, 0]
    telemetry.forget_policy("customer-acme", "acme")
    assert samples(telemetry) == {}


def test_a_store_s_readiness_is_one_series_and_ends_with_it__D7() -> None:
    telemetry = Telemetry()

    def told(policy: str, ready: bool | None) -> dict[str, float]:
        telemetry.store_ready("customer-acme", policy, "acme-analytical", ready)
        return {name: value for name, value in samples(telemetry, "store").items() if "store_ready" in name}

    assert told("acme", True) == {"store_ready acme-analytical": 1}
    assert told("acme", False) == {"store_ready acme-analytical": 0}
    assert told("other", True) == {}, "it is another policy's now"
    assert told("acme", None) == {}


def test_a_run_that_failed_is_told_until_another_one_ended_well() -> None:
    telemetry = Telemetry()

    def after(*outcomes: str) -> float | None:
        jobs = [{"task": "expire", "outcome": outcome} for outcome in outcomes]
        telemetry.policy("customer-acme", "acme", {"jobs": jobs}, None)
        return samples(telemetry).get("last_run_failed")

    assert after() is None, "none has run yet"
    assert after("Running") is None
    assert after("Succeeded") == 0
    assert after("Failed") == 1
    assert after("Running") == 1
    assert after("Stopped") == 0, "the guard waits for an approval: that is said by approval_required"
    telemetry.forget_policy("customer-acme", "acme")
    assert samples(telemetry) == {}


def test_series_vanish_with_their_object_and_their_category() -> None:
    telemetry = Telemetry()
    status: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "categories": [{"name": "calls", "rows": 4, "overdue": 1}, {"name": "chats", "objects": 2}],
    }
    telemetry.policy("customer-acme", "acme", status, None)
    text = telemetry.render(0).decode()
    assert 'tenant_retention_overdue_items{category="calls",namespace="customer-acme",policy="acme"} 1.0' in text
    assert 'tenant_retention_items{category="chats"' in text
    calls, _ = status["categories"]
    telemetry.policy("customer-acme", "acme", {**status, "categories": [calls]}, None)
    assert 'category="chats"' not in telemetry.render(0).decode()
    telemetry.forget_policy("customer-acme", "acme")
    telemetry.forget_policy("customer-acme", "acme")
    assert "customer-acme" not in telemetry.render(0).decode()
