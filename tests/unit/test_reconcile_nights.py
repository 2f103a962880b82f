"""The night's run: the databases' evidence counts and not a Job's word; what was not due was not missed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cluster import CRON_JOB, JOB, POLICY, Manifest
from tests.support.operator_world import NAMESPACE, Operator, condition, evidence, operator_with, policy, profile

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}


async def ready(**spec: Any) -> Operator:
    operator = await operator_with(policy(**{**SHORTEST, **spec}))
    await operator.settled()
    return operator


async def night(operator: Operator, how: str = "Complete", evidence_after: timedelta | None = None) -> Manifest:
    """A Job of the night that ended ``how``; ten minutes later the policy is looked at."""
    operator.clock.forward(timedelta(days=1))
    await operator.settled()
    (job,) = operator.objects("Job", NAMESPACE)
    at = operator.clock.now + timedelta(seconds=20)
    job["status"] = {"conditions": [{"type": how, "status": "True", "lastTransitionTime": at.isoformat()}]}
    if evidence_after is not None:
        (database,) = operator.stores.databases.values()
        database.runs.append(evidence(operator.clock.now + evidence_after))
    operator.clock.forward(timedelta(minutes=10))
    operator.stores.now = operator.clock.now
    return await operator.settled()


async def test_a_job_that_ended_well_without_evidence_has_failed__X6_D7() -> None:
    operator = await ready()
    found = await night(operator)
    compliant = condition(found, "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("False", "RunFailed")
    assert "1 of 1 databases have no evidence" in compliant["message"]
    assert len(operator.told("RunFailed")) == 1
    await operator.settled()
    assert len(operator.told("RunFailed")) == 1


async def test_a_job_whose_evidence_is_in_every_database_is_believed__X6() -> None:
    operator = await ready()
    # The database's clock may be behind the API server's by up to a minute.
    found = await night(operator, evidence_after=timedelta(seconds=-40))
    assert condition(found, "Compliant")["status"] == "True"
    assert operator.told("RunFailed") == []


async def test_evidence_that_was_read_while_the_run_was_still_writing_alarms_nobody() -> None:
    operator = await ready()
    operator.clock.forward(timedelta(days=1))
    await operator.settled()
    (job,) = operator.objects("Job", NAMESPACE)
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": operator.clock.now.isoformat()}
    job["status"] = {"conditions": [ended]}
    operator.stores.now = operator.clock.now + timedelta(seconds=5)
    assert condition(await operator.settled(), "Compliant")["reason"] != "RunFailed"
    assert operator.told("RunFailed") == []


async def test_a_job_that_failed_without_evidence_is_told_once_as_an_event() -> None:
    operator = await ready()
    await night(operator, "Failed")
    await operator.settled()
    assert len(operator.told("RunFailed")) == 1


@pytest.mark.parametrize("words", ["[" * 4096, "[1]", '{"message": "x"}', '{"reason": 1, "stores": 3, "message": "x"}'])
async def test_whatever_a_pod_says_last_the_policys_status_is_written__X2(words: str) -> None:
    operator = await ready()
    await night(operator, "Failed")
    (job,) = operator.objects("Job", NAMESPACE)
    name = job["metadata"]["name"]
    labels = {"batch.kubernetes.io/job-name": name}
    said = {"containerStatuses": [{"state": {"terminated": {"message": words}}}]}
    metadata = {"name": f"{name}-x", "namespace": NAMESPACE, "labels": labels}
    operator.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": said})
    found = await operator.settled()
    assert f"Job {name}: {words}"[:100] in condition(found, "Compliant")["message"]


@pytest.mark.parametrize("by_hand", [{"mode": Mode.DRY_RUN}, {"limited_to": ("recordings",)}], ids=["dry", "limited"])
@pytest.mark.parametrize("outcome", ["Incomplete", "Failed", None])
async def test_a_run_by_hand_that_was_dry_or_limited_does_not_hide_that_the_night_failed__X6(
    outcome: str | None, by_hand: dict[str, Any]
) -> None:
    operator = await ready()
    (database,) = operator.stores.databases.values()
    await night(operator, "Failed")
    if outcome is not None:
        failed = evidence(operator.clock.now - timedelta(minutes=5)).model_copy(update={"outcome": outcome})
        database.runs.append(failed)
    assert condition(await operator.settled(), "Compliant")["reason"] == "RunFailed"
    database.runs.append(evidence(operator.clock.now, 2).model_copy(update=by_hand))
    operator.clock.forward(timedelta(minutes=10))
    operator.stores.now = operator.clock.now
    found = await operator.settled()
    assert condition(found, "Compliant")["reason"] == "RunFailed"
    assert found["status"]["jobs"][0]["outcome"] == "Failed"


@pytest.mark.parametrize("before, after", [("Enforce", "DryRun"), ("DryRun", "Enforce")])
async def test_a_change_of_mode_at_noon_makes_no_failure_of_the_night_before(before: str, after: str) -> None:
    operator = await ready(mode=before)
    (database,) = operator.stores.databases.values()
    await night(operator)
    database.runs.append(evidence(operator.clock.now - timedelta(minutes=10)).model_copy(update={"mode": Mode(before)}))
    assert condition(await operator.settled(), "Compliant")["status"] == "True"

    def change(found: Manifest) -> None:
        found["spec"]["mode"] = after

    told = (operator.told("RunMissed"), operator.told("RunFailed"))
    await operator.edit(POLICY, "acme", NAMESPACE, change)
    found = await operator.settled()
    assert condition(found, "Compliant")["reason"] == ("NoRunYet" if after == "Enforce" else "Compliant")
    assert (operator.told("RunMissed"), operator.told("RunFailed")) == told


async def edited(operator: Operator, change: Callable[[Manifest], None]) -> list[Manifest]:
    """Jobs after an edit of the policy at noon, and a look half an hour later."""
    await operator.edit(POLICY, "acme", NAMESPACE, change)
    await operator.settled()
    operator.clock.forward(timedelta(minutes=30))
    await operator.settled()
    return operator.objects("Job", NAMESPACE)


async def quiet_day(**spec: Any) -> Operator:
    """Noon of a day whose night's Job was removed after its evidence came."""
    operator = await ready(**spec)
    operator.clock.forward(timedelta(days=1))
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator.clock.now - timedelta(hours=8)))
    await operator.settled()
    for job in operator.objects("Job", NAMESPACE):
        operator.cluster.remove(JOB, job["metadata"]["name"], NAMESPACE)
    return operator


async def test_a_window_that_is_edited_into_the_morning_starts_no_run_at_noon() -> None:
    operator = await quiet_day()

    def morning(found: Manifest) -> None:
        found["spec"]["window"] = {"start": "10:00", "duration": "PT1H"}

    assert await edited(operator, morning) == []
    assert operator.told("RunMissed") == []


async def test_a_policy_that_is_resumed_at_noon_waits_for_its_window() -> None:
    operator = await ready(suspend=True)
    operator.clock.forward(timedelta(days=3))
    await operator.settled()

    def resume(found: Manifest) -> None:
        found["spec"]["suspend"] = False

    assert await edited(operator, resume) == []
    operator.clock.forward(timedelta(days=1))
    await operator.settled()
    assert len(operator.objects("Job", NAMESPACE)) == 1


async def test_a_job_that_runs_longer_than_any_of_ours_may_does_not_stop_the_night() -> None:
    operator = await ready()
    operator.clock.forward(timedelta(days=1))
    await operator.settled()
    (job,) = operator.objects("Job", NAMESPACE)
    operator.cluster.remove(JOB, job["metadata"]["name"], NAMESPACE)
    forged = {key: value for key, value in job["metadata"].items() if key in ("labels", "namespace")}
    operator.cluster.put({**job, "metadata": {**forged, "name": "forged"}, "status": {"active": 1}})
    operator.clock.forward(timedelta(days=1))
    await operator.settled()
    assert len(operator.objects("Job", NAMESPACE)) == 2


async def test_the_last_success_of_a_policy_is_that_of_the_database_that_waits_longest() -> None:
    operator = await operator_with(policy(profile="dialogue-cloud"), profile("dialogue-cloud"))
    await operator.settled()
    first, second = operator.stores.databases.values()
    first.runs.append(evidence(operator.clock.now))
    await operator.settled()
    assert operator.shown.successes["acme"] is None
    second.runs.append(evidence(operator.clock.now - timedelta(days=3)))
    await operator.settled()
    assert operator.shown.successes["acme"] == second.runs[0].finished_at


async def test_nights_that_did_not_come_while_a_store_is_away_are_not_called_compliant__X4_D7() -> None:
    operator = await ready()
    found = await night(operator, evidence_after=timedelta(seconds=2))
    assert condition(found, "Compliant")["status"] == "True"
    operator.cluster.remove(CRON_JOB, "acme-expire", NAMESPACE)
    operator.stores.away.add(f"https://acme-s3.{NAMESPACE}.svc:8333")
    found = await operator.policy()
    assert condition(found, "Compliant")["status"] == "True", "the last night was fine"

    operator.clock.forward(timedelta(days=1))
    operator.stores.now = operator.clock.now
    found = await operator.policy()

    compliant = condition(found, "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("False", "RunMissed")
    assert len(operator.objects("Job", NAMESPACE)) == 1, "it would find no bucket"

    operator.stores.away.clear()
    await operator.policy()
    assert len(operator.objects("Job", NAMESPACE)) == 2, "now it is made up for"
