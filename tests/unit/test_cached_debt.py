"""Keys that outlive their rows are deletion debt, told before their deadline, also while nobody can look at them (T6, X4)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tenant_retention.domain.cached_debt import looks_as_one
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.ports.cached_rows import CacheLooks
from tenant_retention.telemetry import Telemetry
from tests.support.operator_world import Operator, condition
from tests.unit.test_reconcile_caches import HOST, with_cache

SECOND = timedelta(seconds=1)
MARGIN = timedelta(days=2)


def looks(operator: Operator, *, left: int | None, ago: timedelta, failure: str | None = None) -> None:
    """The nights' looks at the agents' keys: clean until ``ago`` and a day, and since ``ago`` not."""
    (database,) = operator.stores.databases.values()
    since = operator.clock.now - ago
    operator.stores.now = operator.clock.now
    clean = left == 0
    database.cache_looks = (
        CacheLooks(
            category="agent-information",
            looked_at=since,
            left=left,
            failure=failure,
            clean_at=since if clean else since - timedelta(days=1),
            left_since=None if clean else since,
        ),
    )


async def category(operator: Operator) -> dict[str, object]:
    found = await operator.settled()
    return next(row for row in found["status"]["categories"] if row["name"] == "agent-information")


@pytest.fixture
async def operator() -> Operator:
    operator = await with_cache()
    await operator.settled()
    return operator


@pytest.mark.parametrize(("early", "overdue"), [(SECOND, 0), (timedelta(), 3), (-SECOND, 3)])
async def test_a_key_without_its_row_is_debt_once_the_margin_before_its_deadline_is_over__T6_X4(
    operator: Operator, early: timedelta, overdue: int
) -> None:
    looks(operator, left=3, ago=MARGIN - early)
    row = await category(operator)
    assert (row["due"], row["overdue"]) == (3, overdue)
    found = await operator.policy()
    told = condition(found, "Compliant")
    assert (told["reason"] == "DeletionDebt") == bool(overdue)
    assert found["status"].get("overdue") == overdue


async def test_keys_that_are_left_are_foreseen_debt_with_the_instant__X4(operator: Operator) -> None:
    looks(operator, left=3, ago=timedelta(hours=1))
    found = condition(await operator.settled(), "DebtForeseen")
    assert found["status"] == "True"
    assert instant(operator.clock.now - timedelta(hours=1) + MARGIN) in found["message"]
    assert "keys without their rows are left in the cache" in found["message"]


async def test_a_cache_that_is_away_is_foreseen_debt_from_its_last_clean_look_on__X4_D7(operator: Operator) -> None:
    looks(operator, left=0, ago=timedelta(hours=20))
    assert condition(await operator.settled(), "DebtForeseen")["status"] == "False"
    operator.stores.away.add(HOST)
    operator.restart()
    found = condition(await operator.settled(), "DebtForeseen")
    assert found["status"] == "True"
    assert "Cache is not ready (ServerUnreachable), bring it back" in found["message"]
    assert instant(operator.clock.now - timedelta(hours=20) + MARGIN) in found["message"]


async def test_keys_that_no_run_could_look_at_are_debt_although_nobody_can_count_them__X4_D7(
    operator: Operator,
) -> None:
    looks(operator, left=None, ago=MARGIN - SECOND, failure="ServerUnreachable")
    assert condition(await operator.settled(), "Compliant")["reason"] != "DeletionDebt"
    operator.clock.forward(SECOND)
    compliant = condition(await operator.settled(), "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("False", "DeletionDebt")
    assert "keys in the cache may be past their deadline: agent-information since" in compliant["message"]
    assert "bring the cache back" in compliant["message"]


def test_the_keys_that_are_left_are_a_metric_while_the_policy_is_there__T6() -> None:
    telemetry = Telemetry()
    status = {"categories": [{"name": "agent-information", "cachedKeys": 240}]}
    telemetry.policy("n", "p", status, None)
    series = 'tenant_retention_cached_keys{category="agent-information",namespace="n",policy="p"}'
    assert f"{series} 240.0" in telemetry.render(0).decode()
    telemetry.forget_policy("n", "p")
    assert series not in telemetry.render(0).decode()


def test_of_two_databases_that_told_of_one_cache_the_newest_look_counts__D3() -> None:
    def look(day: int, left: int | None, clean: int | None, since: int | None) -> CacheLooks:
        at = [None if each is None else datetime(2026, 11, each).astimezone() for each in (clean, since)]
        return CacheLooks(
            category="agents",
            looked_at=datetime(2026, 11, day).astimezone(),
            left=left,
            failure=None,
            clean_at=at[0],
            left_since=at[1],
        )

    (one,) = looks_as_one([look(9, 0, 9, None), look(4, 2, 1, 3)]).values()
    assert (one.left, one.left_since) == (0, None)
    (one,) = looks_as_one([look(9, 2, 1, 7), look(4, 0, 4, None)]).values()
    assert one.left_since is not None
    assert (one.left, one.left_since.day) == (2, 7)
