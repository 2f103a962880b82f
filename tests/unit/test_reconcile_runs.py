"""RetentionRun over fakes: one-shot, within what the platform allows, approvals into the databases, evidence out (X2, X7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tenant_retention.domain.approvals import shares
from tenant_retention.domain.plan_document import Mode, PlanDocument
from tenant_retention.domain.ports.cluster import JOB, POLICY, RUN, Manifest
from tenant_retention.domain.ports.evidence import CategoryEvidence, RunEvidence
from tenant_retention.domain.ports.observation import GuardRequest
from tests.support.operator_world import NAMESPACE, Operator, condition, operator_with, policy, profile

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}
NAME = "now"


def run(mode: str = "DryRun", name: str = NAME, target: str = "acme", **spec: Any) -> Manifest:
    return {
        "apiVersion": RUN.api_version,
        "kind": RUN.name,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"policyRef": {"name": target}, "mode": mode, **spec},
    }


async def ready(**spec: Any) -> Operator:
    operator = await operator_with(policy(**{**SHORTEST, **spec}))
    await operator.settled()
    return operator


async def step(operator: Operator, name: str = NAME) -> Manifest:
    await operator.reconcile(RUN.name, NAMESPACE, name)
    return await operator.cluster.get(RUN, name, NAMESPACE) or {}


def evidence(operator: Operator, outcome: str = "Succeeded", mode: Mode = Mode.DRY_RUN) -> RunEvidence:
    category = CategoryEvidence(
        category="recordings",
        candidates=7,
        acted=7,
        held=0,
        skipped=0,
        failed=0,
        surplus=0,
        oldest_left=None,
        residue=0,
    )
    return RunEvidence(
        sequence=1,
        run_id=UUID(int=4),
        mode=mode,
        outcome=outcome,
        started_at=operator.clock.now,
        finished_at=operator.clock.now + timedelta(seconds=3),
        policy_generation=1,
        rules_digest="sha256:" + "0" * 64,
        categories=(category,),
        previous_digest="",
        digest="a" * 64,
    )


async def end_job(operator: Operator, how: str = "Complete", name: str = NAME) -> None:
    found = await operator.cluster.get(RUN, name, NAMESPACE)
    assert found is not None
    job = operator.cluster.objects[("Job", NAMESPACE, found["status"]["jobName"])]
    ended = {"type": how, "status": "True", "lastTransitionTime": "2026-11-22T12:00:05Z", "message": "it ended"}
    job["status"] = {"conditions": [ended]}


def digest(operator: Operator) -> str:
    (database,) = operator.stores.databases.values()
    assert database.definition is not None
    return database.definition.rules_digest()


async def test_a_dry_run_makes_one_job_and_brings_its_counts_home__X7() -> None:
    operator = await ready()
    operator.cluster.put(run())
    assert (await step(operator))["status"]["phase"] == "Running"
    (job,) = operator.objects("Job", NAMESPACE)
    plan_name = job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    text = operator.cluster.objects[("ConfigMap", NAMESPACE, plan_name)]["data"]["plan.json"]
    assert PlanDocument.model_validate_json(text).mode is Mode.DRY_RUN
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator))
    await end_job(operator)
    status = (await step(operator))["status"]
    assert (status["phase"], status["deletedObjects"], status["runId"]) == ("Succeeded", 7, str(UUID(int=4)))
    assert condition(await step(operator), "Ready")["status"] == "True"
    assert len(operator.objects("Job", NAMESPACE)) == 1


def last_words(operator: Operator, words: str, pod: str = "x") -> None:
    """A pod of the run's Job has ended with this termination message."""
    (job,) = operator.objects("Job", NAMESPACE)
    name = job["metadata"]["name"]
    labels = {"batch.kubernetes.io/job-name": name}
    operator.cluster.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{name}-{pod}", "namespace": NAMESPACE, "labels": labels},
            "status": {"containerStatuses": [{"state": {"terminated": {"message": words}}}]},
        }
    )


async def ended_run(behind: timedelta, words: str | None, *earlier: RunEvidence) -> Manifest:
    """A dry run whose evidence a database wrote that is so far behind the API server's clock."""
    operator = await ready()
    operator.cluster.put(run())
    await step(operator)
    (database,) = operator.stores.databases.values()
    mine = evidence(operator)
    database.runs += [*earlier, mine.model_copy(update={"started_at": mine.started_at - behind})]
    if words is not None:
        last_words(operator, words)
    await end_job(operator)
    return dict((await step(operator))["status"])


SAID = f'{{"version": 1, "runId": "{UUID(int=4)}", "outcome": "Succeeded"}}'


async def test_a_run_is_found_by_its_own_word_though_the_databases_clock_is_behind__X6() -> None:
    status = await ended_run(timedelta(seconds=50), SAID)
    assert (status["phase"], status["runId"]) == ("Succeeded", str(UUID(int=4)))


@pytest.mark.parametrize("words", [None, "", "the node went away", "[]", "[" * 4096, '{"runId": 4}', '{"runId": "4"}'])
async def test_a_run_whose_message_is_lost_is_found_by_its_time__X6(words: str | None) -> None:
    status = await ended_run(timedelta(seconds=1), words)
    assert (status["phase"], status["runId"]) == ("Succeeded", str(UUID(int=4)))


async def test_a_run_that_began_after_the_job_had_ended_is_none_of_its_attempts__X6() -> None:
    operator = await ready()
    operator.cluster.put(run())
    await step(operator)
    (database,) = operator.stores.databases.values()
    mine = evidence(operator)
    later = {"sequence": mine.sequence + 1, "run_id": UUID(int=9), "outcome": "Failed"}
    database.runs += [mine, mine.model_copy(update={**later, "started_at": mine.started_at + timedelta(minutes=10)})]
    await end_job(operator)
    status = (await step(operator))["status"]
    assert (status["phase"], status["runId"]) == ("Succeeded", str(UUID(int=4)))


async def test_a_run_is_not_taken_for_another_one_that_began_after_its_job__X6() -> None:
    operator = await ready()
    other = evidence(operator).model_copy(update={"run_id": UUID(int=5), "outcome": "Failed"})
    status = await ended_run(timedelta(seconds=-2), SAID, other)
    assert (status["phase"], status["runId"]) == ("Succeeded", str(UUID(int=4)))


async def test_a_message_that_names_a_run_of_long_before_proves_nothing__X6() -> None:
    status = await ended_run(timedelta(hours=1), SAID)
    assert status["phase"] == "Failed"
    assert "without evidence" in status["conditions"][0]["message"]


def counted(link: RunEvidence, number: int, outcome: str, **counts: Any) -> RunEvidence:
    """That evidence as attempt ``number``, a second later each."""
    (category,) = link.categories
    later = link.started_at + timedelta(seconds=number)
    ids = {"run_id": UUID(int=100 + number), "sequence": number, "started_at": later, "outcome": outcome}
    return link.model_copy(update={**ids, "categories": (category.model_copy(update=counts),)})


async def test_a_runs_counts_are_those_of_all_its_jobs_attempts__X6() -> None:
    operator = await ready()
    operator.cluster.put(run("Enforce"))
    await step(operator)
    (database,) = operator.stores.databases.values()
    link = evidence(operator, mode=Mode.ENFORCE)
    database.runs += [
        # Killed after 12 rows, 11 objects with them; then 7; the last one finds 2 left of the 21.
        counted(link, 1, "Interrupted", candidates=21, acted=12, objects=11, residue=None),
        counted(link, 2, "Failed", candidates=9, acted=7, objects=6, failed=2, residue=2),
        counted(link, 3, "Succeeded", candidates=2, acted=2, objects=2, failed=0, residue=0),
    ]
    last_words(operator, f'{{"runId": "{UUID(int=102)}"}}', "a")
    last_words(operator, f'{{"runId": "{UUID(int=103)}"}}', "b")
    await end_job(operator)
    status = (await step(operator))["status"]
    assert (status["phase"], status["deletedObjects"], status["deletedRows"]) == ("Succeeded", 19, 2)
    (row,) = status["categories"]
    assert (row["candidates"], row["acted"], row["failed"], row["residue"]) == (21, 21, 0, 0)
    assert (status["runId"], status["started"]) == (str(UUID(int=103)), "2026-11-22T12:00:01Z")


async def test_a_run_that_did_not_reach_every_database_in_its_last_attempt_has_failed__X6() -> None:
    operator = await operator_with(policy(profile="dialogue-cloud"), profile("dialogue-cloud"))
    await operator.settled()
    operator.cluster.put(run("Enforce"))
    await step(operator)
    first, second = operator.stores.databases.values()
    link = evidence(operator, mode=Mode.ENFORCE)
    first.runs += [counted(link, 1, "Failed"), counted(link, 2, "Succeeded", acted=0)]
    second.runs += [counted(link, 1, "Succeeded")]
    stores = '[{"purpose": "Dialogue", "outcome": "Unreachable", "reason": "ServerUnreachable"}]'
    last_words(operator, f'{{"runId": "{UUID(int=101)}", "outcome": "Incomplete"}}', "a")
    operator.clock.forward(timedelta(seconds=1))
    last_words(operator, f'{{"runId": "{UUID(int=102)}", "outcome": "Unreachable", "stores": {stores}}}', "b")
    await end_job(operator, "Failed")
    found = await step(operator)
    assert found["status"]["phase"] == "Failed"
    assert condition(found, "Ready")["message"].endswith(": Dialogue ServerUnreachable")


async def test_a_failed_run_says_in_words_what_its_job_said_in_json() -> None:
    operator = await ready()
    operator.cluster.put(run("Enforce"))
    await step(operator)
    told = '{"version": 1, "runId": "x", "outcome": "NotReady", "reason": "Suspended", "message": "it is; resume it"}'
    last_words(operator, told)
    await end_job(operator, "Failed")
    message = condition(await step(operator), "Ready")["message"]
    assert message.endswith(": Suspended: it is; resume it")
    assert "{" not in message


QUOTA = "no pod could be made (FailedCreate: a quota, or an admission rule)"
PULLS = {"state": {"waiting": {"reason": "ErrImagePull", "message": "try 3 failed"}}, "image": "wrong:1"}
UNFIT = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
SILENT = [
    (None, QUOTA),
    ({"phase": "Pending", "containerStatuses": [PULLS]}, "ImagePullBackOff: wrong:1"),
    ({"phase": "Pending", "conditions": [UNFIT]}, "Unschedulable: 0/1 nodes are available"),
    ({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, "a volume"),
]


def pod_of(operator: Operator, job: Manifest, status: Manifest) -> None:
    """The pod of a Job, made now."""
    labels = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    meta = {"name": f"{job['metadata']['name']}-x", "namespace": NAMESPACE, "labels": labels}
    operator.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status})


@pytest.mark.parametrize(("pod", "why"), SILENT)
async def test_a_run_that_gets_no_running_pod_says_why_after_two_minutes(pod: Manifest | None, why: str) -> None:
    operator = await ready()
    operator.cluster.put(run())
    await step(operator)
    (job,) = operator.objects("Job", NAMESPACE)
    if pod is not None:
        pod_of(operator, job, pod)
    operator.clock.forward(timedelta(seconds=119))
    assert condition(await step(operator), "Ready")["reason"] == "Running"
    operator.clock.forward(timedelta(seconds=1))
    found = await step(operator)
    told = condition(found, "Ready")
    assert (found["status"]["phase"], told["reason"]) == ("Running", "PodPending")
    assert why in told["message"]
    assert f"kubectl -n {NAMESPACE} describe" in told["message"]
    pod_of(operator, job, {"phase": "Running"})
    assert condition(await step(operator), "Ready")["reason"] == "Running"


@pytest.mark.parametrize(("pod", "why"), SILENT)
async def test_a_policy_whose_nightly_job_gets_no_running_pod_does_not_stay_compliant(
    pod: Manifest | None, why: str
) -> None:
    operator = await ready()
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator, "Succeeded", Mode.ENFORCE))
    assert condition(await operator.settled(), "Compliant")["status"] == "True"
    (cron,) = operator.objects("CronJob", NAMESPACE)
    labels = cron["spec"]["jobTemplate"]["metadata"]["labels"]
    meta = {"name": "acme-expire-1", "namespace": NAMESPACE, "labels": labels}
    job = operator.cluster.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {}})
    if pod is not None:
        pod_of(operator, job, pod)
    assert condition(await operator.settled(), "Compliant")["status"] == "True"
    operator.clock.forward(timedelta(minutes=2))
    found = await operator.settled()
    told = condition(found, "Compliant")
    assert (told["status"], told["reason"]) == ("False", "PodPending")
    assert why in told["message"]
    assert found["status"]["jobs"][0]["message"] == told["message"]
    assert len(operator.told("PodPending")) == 1
    pod_of(operator, job, {"phase": "Running"})
    assert condition(await operator.settled(), "Compliant")["status"] == "True"


async def test_a_run_whose_time_is_over_is_removed() -> None:
    operator = await ready()
    operator.cluster.put(run(ttlSecondsAfterFinished=60))
    await step(operator)
    await end_job(operator, "Failed")
    assert (await step(operator))["status"]["phase"] == "Failed"
    operator.clock.forward(timedelta(seconds=59))
    assert await step(operator)
    operator.clock.forward(timedelta(seconds=2))
    assert await step(operator) == {}


async def test_a_run_does_not_get_around_suspension_or_mode__X2() -> None:
    for field, value, reason in (("suspend", True, "Suspended"), ("mode", "DryRun", "DryRun")):
        operator = await ready(**{field: value})
        operator.cluster.put(run("Enforce"))
        found = await step(operator)
        assert found["status"]["phase"] == "Failed"
        assert condition(found, "Ready")["reason"] == reason
        assert operator.objects("Job", NAMESPACE) == []


async def test_a_run_waits_while_another_job_of_the_policy_is_at_work() -> None:
    operator = await ready()
    operator.cluster.put(run(name="first"))
    await step(operator, "first")
    operator.cluster.put(run())
    waiting = await step(operator)
    assert waiting["status"]["phase"] == "Pending"
    assert "is at work" in condition(waiting, "Ready")["message"]
    await end_job(operator, name="first")
    assert (await step(operator))["status"]["phase"] == "Running"


async def test_a_job_that_somebody_put_there_stalls_no_run_for_longer_than_one_of_ours_may_last__X2() -> None:
    operator = await ready()
    labelled = {"tenantretention.io/policy": "acme", "app.kubernetes.io/component": "enforcement"}
    forged = {"name": "forged", "namespace": NAMESPACE, "labels": labelled}
    operator.cluster.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": forged, "spec": {}})
    operator.cluster.put(run())
    assert (await step(operator))["status"]["phase"] == "Pending"
    operator.clock.forward(timedelta(minutes=2))
    assert (await step(operator))["status"]["phase"] == "Running"


async def test_an_approval_reaches_every_database_before_the_job() -> None:
    operator = await ready()
    approves = {"rulesDigest": digest(operator), "maxRows": 100, "until": "2026-11-23T00:00:00Z"}
    operator.cluster.put(run("Enforce", approves=approves))
    await step(operator)
    (database,) = operator.stores.databases.values()
    assert [grant.max_rows for grant in database.approvals] == [100]
    effects = operator.effects.effects
    approved = next(index for index, effect in enumerate(effects) if effect.startswith("approval"))
    started = next(index for index, effect in enumerate(effects) if effect.startswith("create ('Job'"))
    assert approved < started


async def test_an_approval_of_other_rules_or_past_its_time_is_refused__X2() -> None:
    operator = await ready()
    other = {"rulesDigest": "sha256:" + "1" * 64, "maxRows": 100, "until": "2026-11-23T00:00:00Z"}
    late = {"rulesDigest": digest(operator), "maxRows": 100, "until": "2026-11-22T11:59:59Z"}
    for name, approves, reason in (("other", other, "ApprovalMismatch"), ("late", late, "ApprovalExpired")):
        operator.cluster.put(run("Enforce", name=name, approves=approves))
        found = await step(operator, name)
        assert found["status"]["phase"] == "Failed"
        assert condition(found, "Ready")["reason"] == reason
    (database,) = operator.stores.databases.values()
    assert database.approvals == []
    assert operator.objects("Job", NAMESPACE) == []


async def test_a_run_of_a_policy_that_is_not_there_says_so() -> None:
    operator = await ready()
    operator.cluster.put(run(target="nobody"))
    assert condition(await step(operator), "Ready")["reason"] == "PolicyNotFound"


async def test_a_run_waits_for_a_policy_that_is_still_coming_up() -> None:
    operator = await operator_with(policy(**SHORTEST), run())
    found = await step(operator)
    assert (found["status"]["phase"], condition(found, "Ready")["reason"]) == ("Pending", "Pending")
    await operator.settled()
    assert (await step(operator))["status"]["phase"] == "Running"


async def test_a_run_that_the_guard_stopped_says_where_the_approval_is_asked_for() -> None:
    operator = await ready()
    operator.cluster.put(run("Enforce"))
    await step(operator)
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator, "ApprovalRequired", Mode.ENFORCE))
    await end_job(operator, "Failed")
    found = await step(operator)
    assert found["status"]["phase"] == "Stopped"
    assert "status.approval" in condition(found, "Ready")["message"]


async def test_a_job_that_vanished_ends_its_run() -> None:
    operator = await ready()
    operator.cluster.put(run())
    found = await step(operator)
    operator.cluster.remove(JOB, found["status"]["jobName"], NAMESPACE)
    assert (await step(operator))["status"]["phase"] == "Failed"


async def test_the_nights_evidence_becomes_status_and_one_event__X6() -> None:
    operator = await ready()
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator, "Succeeded", Mode.ENFORCE))
    found = await operator.settled()
    (job,) = found["status"]["jobs"]
    assert (job["outcome"], job["deletedObjects"], job["durationSeconds"]) == ("Succeeded", 7, 3.0)
    assert found["status"]["lastRunTime"] == "2026-11-22T12:00:03Z"
    assert condition(found, "Compliant")["status"] == "True"
    assert len(operator.told("RunSucceeded")) == 1
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert entry["status"]["evidenceHead"]["hash"] == "sha256:" + "a" * 64


async def test_evidence_that_vanishes_after_it_was_anchored_in_the_ledger_is_noticed__X6() -> None:
    operator = await ready()
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator, "Succeeded", Mode.ENFORCE))
    await operator.settled()
    database.runs.append(evidence(operator, "Succeeded", Mode.ENFORCE).model_copy(update={"digest": "b" * 64}))
    assert condition(await operator.settled(), "Compliant")["status"] == "True"
    del database.runs[1:]
    found = await operator.settled()
    assert condition(found, "Compliant")["reason"] == "EvidenceBroken"
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert entry["status"]["evidenceHead"]["hash"] == "sha256:" + "b" * 64


async def test_a_dry_run_by_hand_is_not_the_nights_deletion() -> None:
    operator = await ready()
    operator.clock.forward(timedelta(days=1))
    (database,) = operator.stores.databases.values()
    database.runs.append(evidence(operator, "Succeeded", Mode.DRY_RUN))
    await operator.settled()
    assert len(operator.objects("Job", NAMESPACE)) == 1
    found = await operator.cluster.get(POLICY, "acme", NAMESPACE)
    assert found is not None
    assert operator.told("RunMissed")


async def test_a_run_that_comes_with_an_edit_waits_until_the_stores_hold_the_new_rules() -> None:
    operator = await ready()

    def shorter(found: Manifest) -> None:
        found["spec"]["retention"] = [{"category": "recordings", "keep": "P7D"}]

    await operator.edit(POLICY, "acme", NAMESPACE, shorter)
    operator.cluster.put(run())
    found = await step(operator)
    assert found["status"]["phase"] == "Pending"
    assert operator.objects("Job", NAMESPACE) == []
    await operator.settled()
    assert (await step(operator))["status"]["phase"] == "Running"


async def test_an_approvals_ceiling_is_the_policys_and_not_each_databases__X2() -> None:
    operator = await operator_with(policy(profile="dialogue-cloud"), profile("dialogue-cloud"))
    await operator.settled()
    first, second = operator.stores.databases.values()
    assert first.definition is not None
    rules = first.definition.rules_digest()
    first.guard = (GuardRequest(category="one", rules_digest=rules, surplus=900, total=1000),)
    second.guard = (GuardRequest(category="two", rules_digest=rules, surplus=100, total=1000),)
    until = "2026-11-25T00:00:00Z"
    operator.cluster.put(run("Enforce", approves={"rulesDigest": rules, "maxRows": 1200, "until": until}))
    await step(operator)
    ceilings = [database.approvals[0].max_rows for database in (first, second)]
    assert ceilings == [1080, 120]


@pytest.mark.parametrize("asking", [{"a": 0, "b": 0, "c": 0}, {"a": 7, "b": 5, "c": 0}, {"a": 1, "b": 1, "c": 1}])
def test_shares_of_a_ceiling_never_exceed_it_and_a_sufficient_one_lets_everybody_through(
    asking: dict[str, int],
) -> None:
    for ceiling in (0, 1, sum(asking.values()) - 1, sum(asking.values()), 1000):
        found = shares(max(ceiling, 0), asking)
        assert sum(found.values()) <= max(ceiling, 0)
        if ceiling >= sum(asking.values()):
            assert all(found[purpose] >= rows for purpose, rows in asking.items())
