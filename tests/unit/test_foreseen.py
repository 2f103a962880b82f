"""Deletion debt is foreseen: told a week before a deadline that no run will keep, whatever stands in the way (X4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.domain.conditions import instant
from tenant_retention.domain.ports.cluster import POLICY
from tests.support.operator_world import NAMESPACE, Operator, condition, operator_with, policy, profile

SERVER = f"acme-postgresql.{NAMESPACE}.svc"
BUCKETS = f"https://acme-s3.{NAMESPACE}.svc:8333"
SECOND = timedelta(seconds=1)
WEEK = timedelta(days=7)


async def counted(ahead: timedelta, **spec: Any) -> Operator:
    """A policy whose oldest items must be gone after ``ahead``, counted while everything answered."""
    operator = await operator_with(profile("myoperator"), policy(**spec))
    await operator.settled()
    for database in operator.stores.databases.values():
        database.next_deadline = operator.clock.now + ahead
    await operator.settled()
    return operator


async def foreseen(operator: Operator) -> dict[str, Any]:
    """The condition."""
    return condition(await operator.settled(), "DebtForeseen")


def deadline(operator: Operator) -> str:
    """When the oldest items must be gone."""
    return instant(
        next(database.next_deadline for database in operator.stores.databases.values() if database.next_deadline)
    )


async def test_nothing_is_foreseen_while_runs_delete_in_time__X4() -> None:
    operator = await counted(timedelta(days=2))
    assert (await foreseen(operator))["status"] == "False"
    assert "debtExpected" not in (await operator.policy())["status"]


@pytest.mark.parametrize(
    ("spec", "step"),
    [({"suspend": True}, "set it to false"), ({"mode": "DryRun"}, "set it to Enforce")],
    ids=["suspended", "DryRun"],
)
async def test_debt_of_a_policy_that_deletes_nothing_is_foreseen_a_week_ahead_to_the_second__X4(
    spec: dict[str, Any], step: str
) -> None:
    operator = await counted(WEEK + SECOND, **spec)
    assert (await foreseen(operator))["status"] == "False"
    operator.clock.forward(SECOND)
    found = await foreseen(operator)
    assert (found["status"], found["reason"]) == ("True", "DebtForeseen")
    assert deadline(operator) in found["message"]
    assert "general-information" in found["message"]
    assert step in found["message"]
    assert (await operator.policy())["status"]["debtExpected"] == deadline(operator)


async def test_debt_of_a_store_that_is_away_is_foreseen_from_its_last_count_also_by_a_new_process__X4() -> None:
    operator = await counted(WEEK + timedelta(days=1))
    operator.stores.away = {SERVER}
    operator.restart()
    assert (await foreseen(operator))["status"] == "False"
    operator.clock.forward(timedelta(days=2))
    operator.restart()
    for _ in range(2):
        found = await foreseen(operator)
        assert found["status"] == "True"
        assert "Analytical is not ready (ServerUnreachable), bring it back" in found["message"]
        assert deadline(operator) in found["message"]
    assert len(operator.told("DebtForeseen")) == 1, "told on the transition only"
    assert condition(await operator.policy(), "Compliant")["status"] == "Unknown", "not missed yet"


async def test_a_deadline_that_passed_while_its_store_was_away_is_debt_although_nobody_can_count_it__X4_D7() -> None:
    operator = await counted(timedelta(days=3))
    operator.stores.away = {SERVER}
    operator.clock.forward(timedelta(days=3) - SECOND)
    assert condition(await operator.settled(), "Compliant")["status"] == "Unknown"
    operator.clock.forward(SECOND)
    compliant = condition(await operator.settled(), "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("False", "DeletionDebt")
    assert f"since {deadline(operator)}" in compliant["message"]
    assert "overdue" not in (await operator.policy())["status"], "nobody counted it"


async def test_content_whose_bucket_is_away_is_foreseen_and_other_categories_are_not__X4() -> None:
    operator = await counted(timedelta(days=3))
    operator.stores.away = {BUCKETS}
    found = await foreseen(operator)
    assert found["status"] == "True"
    assert "recordings" in found["message"]
    assert "general-information" not in found["message"]


async def test_log_files_whose_bucket_is_away_are_foreseen__X4_M5() -> None:
    operator = await counted(timedelta(days=3), profile="myoperator")
    operator.stores.away = {BUCKETS}
    found = await foreseen(operator)
    assert found["status"] == "True"
    assert "system-log-files" in found["message"]


async def test_what_was_foreseen_is_over_when_the_store_is_back__X4() -> None:
    operator = await counted(timedelta(days=3))
    operator.stores.away = {SERVER}
    assert (await foreseen(operator))["status"] == "True"
    operator.stores.away = set()
    assert (await foreseen(operator))["status"] == "False"
    assert "debtExpected" not in (await operator.policy())["status"]


async def test_debt_of_a_released_store_is_foreseen_by_its_ledger_entry_also_while_it_is_away__X4_X5() -> None:
    operator = await counted(WEEK + timedelta(days=1))
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.settled()
    operator.stores.away = {SERVER}
    operator.clock.forward(timedelta(days=2))
    operator.shown.deadlines.clear()
    operator.restart()
    await operator.settled()
    (entry,) = [found for found in operator.objects("DataStore") if found["spec"]["purpose"] == "Analytical"]
    told = condition(entry, "DebtForeseen")
    assert told["status"] == "True"
    assert "spec.claimRef" in told["message"]
    assert deadline(operator) in told["message"]
    assert len(operator.told("DebtForeseen")) == 1
    assert operator.shown.deadlines[entry["metadata"]["name"]] is not None
