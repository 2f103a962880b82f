"""Hundreds of units in one policy stay readable and cheap (D4): sizes, writes and what is in work at once."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from itertools import pairwise

import pytest

from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.cluster import STORE
from tenant_retention.domain.ports.stores import DatabaseOutcome, DatabaseRequest
from tenant_retention.reconcile.databases import Databases
from tenant_retention.reconcile.preparing import AT_ONCE
from tests.support.operator_world import condition
from tests.unit.test_reconcile_placement import plan_of, with_units

MANY = [{"name": f"unit-{number:03d}", "database": "Dedicated"} for number in range(300)]
STATUS_BYTES = 50_000
OBJECT_BYTES = 1_048_576


async def test_three_hundred_units_make_one_plan_a_small_status_and_an_unchanged_reconcile_writes_nothing__D4() -> None:
    operator = await with_units(*MANY)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True", condition(found, "Ready")["message"]
    assert found["status"]["databases"] == "302/302"
    assert len(operator.stores.databases) == 302
    assert found["status"]["storeCounts"] == [
        {"purpose": "Analytical", "wanted": 301, "ready": 301},
        {"purpose": "Content", "wanted": 1, "ready": 1},
        {"purpose": "Dialogue", "wanted": 1, "ready": 1},
    ]
    assert len(found["status"]["stores"]) == 3, "the home stores; the others have nothing to say"
    assert len(json.dumps(found["status"])) < STATUS_BYTES
    plans = [each for each in operator.objects("ConfigMap") if each["metadata"]["name"].startswith("acme-plan")]
    assert len(plans) == 1
    assert len(json.dumps(plans[0])) < OBJECT_BYTES
    assert len(json.dumps(operator.objects("CronJob")[0])) < OBJECT_BYTES
    assert len(plan_of(operator).databases) == 302
    one = await operator.cluster.list(STORE, labels="tenantretention.io/policy=acme,tenantretention.io/unit=unit-042")
    assert [each["status"]["phase"] for each in one] == ["Bound"]
    before = list(operator.effects.effects)
    await operator.policy()
    assert operator.effects.effects == before, "an unchanged policy writes nothing"


async def test_a_region_that_is_away_is_one_line_and_a_few_examples__D4_D7(monkeypatch: pytest.MonkeyPatch) -> None:
    units = [{"name": f"unit-{number:03d}", "region": "APAC", "database": "Dedicated"} for number in range(40)]
    operator = await with_units(*units)
    running = most = 0
    prepare = Databases.prepare

    async def counted(*arguments: object, **named: object) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        # No wait: the others have their turn, or none would run beside this one.
        await asyncio.sleep(0)
        try:
            return await prepare(*arguments, **named)  # type: ignore[arg-type]
        finally:
            running -= 1

    monkeypatch.setattr(Databases, "prepare", counted)
    found = await operator.settled()
    assert found["status"]["databases"] == "82/82"
    (jobs,) = [each for each in operator.objects("NetworkPolicy") if each["metadata"]["name"].endswith("jobs")]
    assert len(json.dumps(jobs)) < 5_000, "a server is named once, however many databases it has"
    assert 1 < most <= AT_ONCE + 2, "a few of a region at once, and the home stores beside them"
    host = "pg.apac.example.com"
    operator.stores.refusals[host] = Unavailable(f"{host} does not answer " + "x" * 2000, reason="ServerUnreachable")
    found = await operator.policy()
    assert condition(found, "DatabasesReady")["status"] == "False"
    counts = {(row["purpose"], row.get("region")): row for row in found["status"]["storeCounts"]}
    assert (counts["Analytical", "APAC"]["ready"], counts["Analytical", "APAC"]["wanted"]) == (0, 40)
    assert counts["Analytical", None]["ready"] == 1
    rows = found["status"]["stores"]
    assert [row["ready"] for row in rows[:3]] == [True, True, True]
    assert len(rows) == 16
    assert {(row["region"], row["reason"]) for row in rows[3:]} == {("APAC", "ServerUnreachable")}
    assert len(json.dumps(found["status"])) < STATUS_BYTES


async def test_while_hundreds_are_made_the_status_tells_how_many_and_a_restart_of_the_operator_takes_nothing_back__D4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = await with_units(*MANY[:60])
    prepare = operator.stores.prepare_database

    def slow(request: DatabaseRequest) -> DatabaseOutcome:
        operator.clock.forward(timedelta(seconds=5))
        return prepare(request)

    monkeypatch.setattr(operator.stores, "prepare_database", slow)
    told = []
    for _ in range(10):
        found = await operator.policy()
        told.append(int(found["status"]["databases"].split("/")[0]))
        if told[-1] == 62:
            break
        state = condition(found, "DatabasesReady")
        assert (state["status"], state["reason"]) == ("False", "Provisioning"), state["message"]
    assert told[-1] == 62
    assert len(told) >= 3
    assert all(10 <= after - before <= 25 for before, after in pairwise([0, *told[:-1]])), told
    operator.restart()
    found = await operator.policy()
    assert found["status"]["databases"] == "62/62", "what was there stays ready, however long it takes to look"


async def test_a_server_that_never_answered_is_asked_for_a_few_of_hundreds_and_its_word_is_told_of_all__D4_D7(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = [{"name": f"unit-{number:03d}", "region": "APAC", "database": "Dedicated"} for number in range(60)]
    operator = await with_units(*units)
    prepare, host, asked = operator.stores.prepare_database, "pg.apac.example.com", 0

    def away(request: DatabaseRequest) -> DatabaseOutcome:
        nonlocal asked
        if request.server.host == host and request.identity.unit:
            asked += 1
            raise Unavailable(f"{host} does not answer", reason="ServerUnreachable")
        return prepare(request)

    monkeypatch.setattr(operator.stores, "prepare_database", away)
    found = await operator.policy()
    assert 1 <= asked <= AT_ONCE + 2, asked
    rows = [row for row in found["status"]["stores"] if not row["ready"]]
    assert {row["reason"] for row in rows} == {"ServerUnreachable"}
    assert (found["status"]["databases"], condition(found, "DatabasesReady")["status"]) == ("2/122", "False")
