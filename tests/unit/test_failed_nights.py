"""A night that failed because a store was away is started again in time: not for ever, not beside another one, not at noon without
need (M10, D7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tenant_retention.domain.conditions import moment
from tenant_retention.domain.ports.cluster import POLICY, Manifest
from tests.support.operator_world import NAMESPACE, Operator, condition, evidence, operator_with, policy

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}
WINDOW = timedelta(hours=4)
MINUTE = timedelta(minutes=1)


async def at_night(**spec: Any) -> tuple[Operator, datetime]:
    """An operator twenty seconds after the night of its policy began, with the night's Job; and when it began."""
    operator = await operator_with(policy(**SHORTEST, **spec))
    await operator.settled()
    operator.clock.forward(timedelta(days=1))
    found = await operator.settled()
    for job in operator.objects("Job", NAMESPACE):
        end(operator, job, "Complete")
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator.clock.now))
    begin = moment(found["status"]["nextRun"].replace("Z", ":00Z"))
    operator.clock.now = begin + timedelta(seconds=20)
    operator.stores.now = operator.clock.now
    nightly(operator, begin)
    return operator, begin


def nightly(operator: Operator, begin: datetime, **labels: str) -> Manifest:
    """The Job that the CronJob controller makes."""
    (cron,) = [found for found in operator.objects("CronJob", NAMESPACE) if found["metadata"]["name"] == "acme-expire"]
    template = cron["spec"]["jobTemplate"]
    name = f"acme-expire-{int(begin.timestamp()) // 60}"
    metadata = {"namespace": NAMESPACE, "name": name, "labels": {**template["metadata"]["labels"], **labels}}
    operator.cluster.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]})
    return begun(operator)[-1]


def begun(operator: Operator) -> list[Manifest]:
    """All Jobs, oldest first."""
    return sorted(operator.objects("Job", NAMESPACE), key=lambda job: str(job["metadata"]["creationTimestamp"]))


def end(operator: Operator, job: Manifest, how: str) -> None:
    """The Job controller tells how it ended, now."""
    ended = {"type": how, "status": "True", "lastTransitionTime": operator.clock.now.isoformat()}
    job["status"] = {"conditions": [ended]}


async def later(operator: Operator, by: timedelta) -> Manifest:
    """The policy as it is then."""
    operator.clock.forward(by)
    operator.stores.now = operator.clock.now
    return await operator.settled()


def away(operator: Operator, back: bool = False) -> None:
    """The policy's database does not answer; or it does again."""
    (operator.stores.away.discard if back else operator.stores.away.add)(f"acme-postgresql.{NAMESPACE}.svc")


async def failing(operator: Operator) -> list[Manifest]:
    """Fails the Job at work; all Jobs."""
    end(operator, begun(operator)[-1], "Failed")
    await operator.policy()
    return begun(operator)


async def test_a_night_whose_database_was_away_is_started_again_once_it_is_back__M10_D7() -> None:
    operator, begin = await at_night()
    away(operator)
    jobs = await failing(operator)
    found = await later(operator, timedelta(minutes=40))
    assert condition(found, "DatabasesReady")["status"] == "False"
    assert begun(operator) == jobs, "nothing is started while the database is away"
    away(operator, back=True)
    await later(operator, MINUTE)
    *before, again = begun(operator)
    assert len(before) == len(jobs)
    assert again["metadata"]["labels"] == jobs[-1]["metadata"]["labels"]
    left = begin + WINDOW - operator.clock.now
    assert again["spec"]["activeDeadlineSeconds"] == int(left.total_seconds()), "it ends with the night's window"
    (note,) = operator.told("RunRepeated")
    assert again["metadata"]["name"] in note
    await later(operator, timedelta(hours=1))
    assert begun(operator)[-1] == again, "never two at once"


async def test_a_night_that_failed_is_not_started_again_before_five_minutes() -> None:
    operator, _ = await at_night()
    jobs = await failing(operator)
    await later(operator, timedelta(minutes=5, seconds=-1))
    assert begun(operator) == jobs
    await later(operator, timedelta(seconds=1))
    assert len(begun(operator)) == len(jobs) + 1


async def test_what_fails_for_good_is_tried_a_few_times_and_not_after_the_window() -> None:
    operator, begin = await at_night()
    starts = []
    while operator.clock.now < begin + timedelta(hours=23):
        if not (begun(operator)[-1].get("status") or {}).get("conditions"):
            starts.append(operator.clock.now)
            await failing(operator)
        operator.clock.forward(5 * MINUTE)
        operator.stores.now = operator.clock.now
        await operator.policy()
    pauses = [round((second - first) / MINUTE) for first, second in pairwise(starts)]
    assert pauses == [5, 10, 20, 40, 80]
    assert starts[-1] < begin + WINDOW


async def test_a_night_whose_bucket_was_away_is_started_again_by_the_databases_own_word__T2() -> None:
    operator, _ = await at_night()
    (database,) = operator.stores.databases.values()
    told = evidence(operator.clock.now, 2).model_copy(update={"outcome": "Failed"})
    database.runs.append(told)
    jobs = await failing(operator)
    await later(operator, timedelta(minutes=6))
    assert len(begun(operator)) == len(jobs) + 1


@pytest.mark.parametrize("outcome", ["Succeeded", "ApprovalRequired"])
async def test_a_night_that_did_its_work_or_waits_for_an_approval_is_not_started_again(outcome: str) -> None:
    operator, _ = await at_night()
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator.clock.now, 2).model_copy(update={"outcome": outcome}))
    jobs = await failing(operator)
    await later(operator, timedelta(hours=1))
    assert begun(operator) == jobs


@pytest.mark.parametrize(
    "deadline, overdue, expected",
    [(None, 0, 0), (timedelta(days=3), 0, 0), (timedelta(hours=19), 0, 1), (timedelta(days=-1), 7, 1)],
    ids=["nothing is near", "later than the next night", "before the next night ends", "past its deadline"],
)
async def test_after_the_window_a_night_is_started_again_only_where_data_would_stay_past_its_deadline__M10(
    deadline: timedelta | None, overdue: int, expected: int
) -> None:
    operator, begin = await at_night()
    (database,) = operator.stores.databases.values()
    away(operator)
    jobs = await failing(operator)
    await later(operator, timedelta(hours=8))
    away(operator, back=True)
    database.next_deadline = operator.clock.now + deadline if deadline is not None else None
    database.overdue = overdue
    await later(operator, MINUTE)
    assert len(begun(operator)) == len(jobs) + expected
    if expected:
        ends = operator.clock.now + timedelta(seconds=begun(operator)[-1]["spec"]["activeDeadlineSeconds"])
        assert ends <= begin + timedelta(days=1), "the next night finds no run in its way"


async def test_shortly_before_the_next_night_nothing_is_started_that_would_stand_in_its_way() -> None:
    operator, begin = await at_night()
    (database,) = operator.stores.databases.values()
    database.overdue = 7
    away(operator)
    jobs = await failing(operator)
    away(operator, back=True)
    operator.clock.now = begin + timedelta(days=1) - timedelta(minutes=14)
    await later(operator, timedelta(0))
    assert begun(operator) == jobs


async def test_a_night_is_not_started_again_beside_a_run_by_hand() -> None:
    operator, begin = await at_night()
    jobs = await failing(operator)
    by_hand = nightly(operator, begin + MINUTE, **{"tenantretention.io/run": "now"})
    await later(operator, timedelta(minutes=30))
    assert len(begun(operator)) == len(jobs) + 1, "the one by hand"
    end(operator, by_hand, "Failed")
    await later(operator, MINUTE)
    assert len(begun(operator)) == len(jobs) + 2


async def test_a_suspended_policy_starts_no_night_again() -> None:
    operator, _ = await at_night()
    jobs = await failing(operator)

    def suspend(found: Manifest) -> None:
        found["spec"]["suspend"] = True

    await operator.edit(POLICY, "acme", NAMESPACE, suspend)
    await later(operator, timedelta(minutes=30))
    assert begun(operator) == jobs


async def test_after_the_window_what_failed_in_every_database_is_not_repeated_all_day_long() -> None:
    operator, _ = await at_night()
    (database,) = operator.stores.databases.values()
    database.overdue = 7
    database.runs.append(evidence(operator.clock.now, 2).model_copy(update={"outcome": "Failed"}))
    jobs = await failing(operator)
    await later(operator, timedelta(hours=8))
    assert begun(operator) == jobs


async def test_jobs_that_somebody_makes_by_the_dozen_keep_no_status_from_being_written__X2() -> None:
    operator, begin = await at_night()
    for number in range(1, 41):
        operator.clock.forward(timedelta(seconds=1))
        end(operator, nightly(operator, begin + number * MINUTE), "Failed")
    found = await later(operator, timedelta(hours=2))
    assert condition(found, "Compliant")["reason"] == "RunFailed"
