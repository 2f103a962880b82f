"""DataSubjectRequest over fakes: searched for in every database, followed until nothing is left, and never told who (T7, M9, X3)."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tenant_retention.adapters.fakes.kept_requests import KeptRequest
from tenant_retention.domain.manifests.jobs import REQUEST_LABEL
from tenant_retention.domain.manifests.metadata import POLICY_LABEL
from tenant_retention.domain.plan_document import Mode, PlanDocument, Task
from tenant_retention.domain.ports.cluster import POLICY, REQUEST, RUN, SECRET, Manifest
from tenant_retention.domain.ports.requests import RequestLeft, RequestProgress
from tenant_retention.domain.subject_secrets import REQUEST_ANNOTATION
from tenant_retention.domain.subjects import Spelling, digest_of
from tests.support.operator_world import NAMESPACE, Killed, Operator, condition, namespace, operator_with, policy
from tests.unit.test_reconcile_runs import run

NAME = "req-4711"
NUMBER = "+31612345678"
REGION = {"phoneDefaultRegion": "NL"}


def request(name: str = NAME, **spec: Any) -> Manifest:
    return {
        "apiVersion": REQUEST.api_version,
        "kind": REQUEST.name,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"subject": {"secretRef": {"name": name}}, "actions": ["Anonymize", "DeleteContent"], **spec},
    }


def secret(name: str = NAME, phones: str = "06 12345678\n", *, immutable: bool = True) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {REQUEST_ANNOTATION: name}},
        "immutable": immutable,
        "type": "Opaque",
        "data": {"phones": base64.b64encode(phones.encode()).decode()},
    }


async def ready(*policies: Manifest) -> Operator:
    """Policies that are settled, a request and its Secret."""
    found = policies or (policy(**REGION),)
    operator = await operator_with(*found)
    for each in found:
        await operator.settled(each["metadata"]["name"])
    operator.cluster.put(request())
    operator.cluster.put(secret())
    return operator


async def step(operator: Operator, name: str = NAME) -> Manifest:
    await operator.reconcile(REQUEST.name, NAMESPACE, name)
    return await operator.cluster.get(REQUEST, name, NAMESPACE) or {}


def ready_of(found: Manifest) -> tuple[str, str]:
    told = condition(found, "Ready")
    return told["status"], told["reason"]


def message(found: Manifest) -> str:
    return str(condition(found, "Ready")["message"])


def kept(operator: Operator) -> list[KeptRequest]:
    """What the databases were told."""
    return list(operator.stores.requests.values())


def jobs(operator: Operator, name: str = "") -> list[Manifest]:
    """The Jobs of requests, or of one."""
    found = operator.objects("Job", NAMESPACE)
    asked = [job for job in found if REQUEST_LABEL in job["metadata"]["labels"]]
    return [job for job in asked if name in ("", job["metadata"]["labels"][REQUEST_LABEL])]


def plan_of(operator: Operator, job: Manifest) -> PlanDocument:
    name = job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    return PlanDocument.model_validate_json(
        operator.cluster.objects[("ConfigMap", NAMESPACE, name)]["data"]["plan.json"]
    )


def end_jobs(operator: Operator, how: str = "Complete") -> None:
    at = operator.clock.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    for job in jobs(operator):
        ended = {"type": how, "status": "True", "lastTransitionTime": at, "message": "it ended"}
        job.setdefault("status", {}).setdefault("conditions", [ended])


def find(operator: Operator, left: int = 0, held: int = 0) -> None:
    """What the Jobs and the nights do: everything is listed, and so many rows are left in each database."""
    rows = RequestLeft(
        category="recordings", table="recordings", act="Delete", left=left, held=held, deferred=0, until=None
    )
    for each in kept(operator):
        found_at = each.progress.found_at or operator.clock.now
        each.progress = RequestProgress(found_at=found_at, categories=(rows,) if left else ())


async def test_a_request_is_searched_for_by_a_job_and_done_once_nothing_is_left_in_any_database__T7() -> None:
    operator = await ready()
    found = await step(operator)
    assert (ready_of(found), found["status"]["policies"]) == (("False", "Pending"), ["acme"])
    assert found["status"]["deadline"] == found["status"]["liveDeadline"] == "2026-12-22T12:00:00Z"
    (job,) = jobs(operator)
    plan = plan_of(operator, job)
    (whom,) = plan.subjects
    assert (plan.task, plan.mode) == (Task.REQUESTS, Mode.ENFORCE)
    assert (str(whom.request), whom.subject, whom.region) == (found["metadata"]["uid"], "/subject", "NL")
    (told,) = kept(operator)
    assert digest_of(Spelling("PhoneNumber", NUMBER), told.placed.salt) in told.placed.identifiers
    await step(operator)
    assert len(jobs(operator)) == 1, "one at a time"
    find(operator, left=2, held=2)
    end_jobs(operator)
    waiting = await step(operator)
    assert ready_of(waiting) == ("False", "RequestWaiting")
    assert message(waiting) == "recordings: 2 rows left, 2 under a legal hold"
    assert (waiting["status"]["left"], waiting["status"]["held"]) == (2, 2)
    find(operator)
    operator.clock.forward(timedelta(minutes=15))
    done = await step(operator)
    assert (ready_of(done), done["status"]["databases"]) == (("True", "RequestDone"), "1/1")
    assert done["status"]["doneAt"] == done["status"]["lastCopyGoneAt"] == "2026-11-22T12:15:00Z"
    assert operator.shown.requests[NAME]["doneAt"]
    assert (len(operator.told("RequestWaiting")), len(operator.told("RequestDone"))) == (1, 1)


async def test_the_secret_is_the_requests_own_from_the_search_on_and_goes_with_the_plan_when_it_is_done__T7() -> None:
    operator = await ready()
    found = await step(operator)
    kept_secret = await operator.cluster.get(SECRET, NAME, NAMESPACE) or {}
    (owner,) = kept_secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == (REQUEST.name, found["metadata"]["uid"])
    (job,) = jobs(operator)
    (volume,) = (each for each in job["spec"]["template"]["spec"]["volumes"] if each["name"] == "subject")
    assert volume["secret"]["secretName"] == NAME
    plans = len(operator.objects("ConfigMap", NAMESPACE))
    find(operator)
    end_jobs(operator)
    assert ready_of(await step(operator)) == ("True", "RequestDone")
    assert await operator.cluster.get(SECRET, NAME, NAMESPACE) is None
    assert len(operator.objects("ConfigMap", NAMESPACE)) == plans - 1
    asked, writes = len(operator.stores.asked_requests), len(operator.cluster.writes)
    operator.clock.forward(timedelta(days=1))
    await step(operator)
    assert (len(operator.stores.asked_requests), len(operator.cluster.writes)) == (asked, writes), "done is done"


async def test_nothing_but_its_secret_tells_who_it_is__T7_X6() -> None:
    operator = await ready()
    await step(operator)
    find(operator, left=1)
    end_jobs(operator)
    await step(operator)
    world = json.loads(operator.cluster.world())
    told = json.dumps(
        {name: found for name, found in world.items() if not name.startswith(f"Secret|{NAMESPACE}|{NAME}")}
    )
    events = " ".join(event.note for event in operator.cluster.events)
    databases = repr(kept(operator))
    for words in (told, events, databases, " ".join(operator.effects.effects)):
        assert "612345678" not in words
        assert "12345678" not in words
        assert secret()["data"]["phones"] not in words


@pytest.mark.parametrize(
    ("made", "reason", "words"),
    [
        (None, "SecretNotFound", "there is no Secret req-4711"),
        (secret(immutable=False), "SecretNotUsable", "can change"),
        (secret() | {"type": "kubernetes.io/tls"}, "SecretNotUsable", "not of type Opaque"),
        (secret(phones="06 12345678\nanonymous\n"), "SubjectInvalid", "phones, line 2"),
        (secret(phones="\n"), "SubjectInvalid", "nobody is named"),
    ],
)
async def test_a_secret_that_names_nobody_or_is_not_its_own_is_told_and_nothing_is_begun__T7_P12(
    made: Manifest | None, reason: str, words: str
) -> None:
    operator = await ready()
    operator.cluster.remove(SECRET, NAME, NAMESPACE)
    if made is not None:
        operator.cluster.put(made)
    found = await step(operator)
    assert ready_of(found) == ("False", reason)
    assert words in message(found)
    assert (kept(operator), jobs(operator)) == ([], [])
    if made is not None:
        operator.cluster.remove(SECRET, NAME, NAMESPACE)
    operator.cluster.put(secret())
    await step(operator)
    assert (len(kept(operator)), len(jobs(operator))) == (1, 1), "once it is right the search begins"


async def test_a_person_who_is_refused_for_one_policy_is_searched_for_in_none__P12() -> None:
    operator = await ready(policy("acme", **REGION), policy("globex"))
    found = await step(operator)
    assert ready_of(found) == ("False", "SubjectInvalid"), "globex has no default region for 06 12345678"
    assert (kept(operator), jobs(operator)) == ([], [])


async def test_every_policy_has_a_job_and_one_that_is_away_keeps_the_request_open__T7() -> None:
    operator = await ready(policy("acme", **REGION), policy("globex", **REGION))
    away = f"globex-postgresql.{NAMESPACE}.svc"
    operator.stores.away.add(away)
    found = await step(operator)
    assert ready_of(found) == ("False", "ServerUnreachable")
    assert "not done in Analytical of policy globex" in message(found)
    assert [plan_of(operator, job).definition.policy for job in jobs(operator)] == ["acme"]
    find(operator)
    end_jobs(operator)
    found = await step(operator)
    assert (ready_of(found), found["status"]["databases"]) == (("False", "ServerUnreachable"), "1/2")
    assert "left" not in found["status"], "what is not known of one database is not told as a sum"
    operator.stores.away.clear()
    await step(operator)
    assert len(jobs(operator)) == 2
    find(operator)
    end_jobs(operator)
    assert ready_of(await step(operator)) == ("True", "RequestDone")


async def test_a_policy_that_is_made_later_is_not_the_requests__T7() -> None:
    operator = await ready()
    await step(operator)
    operator.cluster.put(policy("globex", **REGION))
    await operator.settled("globex")
    found = await step(operator)
    assert (found["status"]["policies"], len(found["status"]["stores"])) == (["acme"], 1)


async def test_a_policy_that_it_names_in_vain_is_told_and_the_others_are_searched__T7() -> None:
    operator = await ready()
    operator.cluster.put(request(policyRefs=[{"name": "acme"}, {"name": "acne"}]))
    found = await step(operator)
    assert (ready_of(found), len(jobs(operator))) == (("False", "PolicyNotFound"), 1)
    assert "acne" in message(found)


async def test_a_store_that_lost_its_policy_keeps_the_request_open__X5_T7() -> None:
    operator = await ready(policy("acme", **REGION), policy("globex", **REGION))
    await operator.cluster.delete(POLICY, "globex", NAMESPACE)
    await operator.policy("globex")
    await step(operator)
    find(operator)
    end_jobs(operator)
    found = await step(operator)
    assert (ready_of(found), found["status"]["databases"]) == (("False", "StoreReleased"), "1/2")


@pytest.mark.parametrize(
    ("spec", "reason"), [({"suspend": True}, "Suspended"), ({"mode": "DryRun"}, "DryRun")], ids=["suspended", "dry run"]
)
async def test_where_the_platform_stopped_deletion_no_request_gets_around_it__X2(spec: Any, reason: str) -> None:
    operator = await ready(policy(**REGION, **spec))
    found = await step(operator)
    assert (ready_of(found), jobs(operator)) == (("False", reason), [])


async def test_a_search_waits_for_the_policys_other_runs_and_a_run_for_a_search__T7() -> None:
    operator = await ready()
    operator.cluster.put(request("req-4712"))
    operator.cluster.put(secret("req-4712"))
    await step(operator)
    second = await step(operator, "req-4712")
    assert (ready_of(second), len(jobs(operator))) == (("False", "Pending"), 1)
    assert "is at work; the search begins when it has ended" in message(second)
    operator.cluster.put(run())
    await operator.reconcile(RUN.name, NAMESPACE, "now")
    waiting = await operator.cluster.get(RUN, "now", NAMESPACE) or {}
    assert waiting["status"]["phase"] == "Pending"
    find(operator)
    end_jobs(operator)
    await step(operator)
    await step(operator, "req-4712")
    assert len(jobs(operator)) == 2


@pytest.mark.parametrize(
    "spec", [{}, {"suspend": True, "activeDeadlineSeconds": 10**9}, {"activeDeadlineSeconds": "no"}]
)
@pytest.mark.parametrize("as_its_own", [False, True], ids=["of the policy", "of the request"])
async def test_a_job_that_somebody_put_there_stalls_no_search_for_longer_than_one_of_ours_may_last__X2(
    spec: Any, as_its_own: bool
) -> None:
    operator = await ready()
    labelled = {POLICY_LABEL: "acme", "app.kubernetes.io/component": "enforcement"}
    meta: dict[str, Any] = {"name": "forged", "namespace": NAMESPACE, "labels": labelled}
    if as_its_own:
        uid = operator.cluster.objects[(REQUEST.name, NAMESPACE, NAME)]["metadata"]["uid"]
        meta["ownerReferences"] = [{"uid": uid}]
        labelled[REQUEST_LABEL] = NAME
    operator.cluster.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})
    assert ready_of(await step(operator)) == ("False", "Pending")
    assert kept(operator) == []
    operator.clock.forward(timedelta(days=1, minutes=2))
    await step(operator)
    assert (len(kept(operator)), len(jobs(operator))) == (1, 2 if as_its_own else 1)


async def test_a_job_that_failed_is_told_and_followed_by_another_one_after_a_pause_that_grows__T7() -> None:
    operator = await ready()
    await step(operator)
    for number, pause in enumerate((5, 10), 1):
        end_jobs(operator, "Failed")
        found = await step(operator)
        assert (ready_of(found), len(jobs(operator))) == (("False", "RunFailed"), number)
        operator.clock.forward(timedelta(minutes=pause, seconds=-1))
        await step(operator)
        assert len(jobs(operator)) == number
        operator.clock.forward(timedelta(seconds=1))
        assert ready_of(await step(operator)) == ("False", "Pending")
        assert len(jobs(operator)) == number + 1


async def test_a_search_that_begins_anew_tells_the_databases_of_the_person_as_the_policy_reads_numbers_now__T7() -> (
    None
):
    operator = await ready()
    await step(operator)
    end_jobs(operator, "Failed")
    await operator.edit(POLICY, "acme", NAMESPACE, lambda found: found["spec"].update(phoneDefaultRegion="FR"))
    await operator.settled()
    operator.clock.forward(timedelta(minutes=5))
    await step(operator)
    (told,) = kept(operator)
    assert digest_of(Spelling("PhoneNumber", NUMBER), told.placed.salt) not in told.placed.identifiers
    newest = max(jobs(operator), key=lambda job: job["metadata"]["creationTimestamp"])
    assert plan_of(operator, newest).subjects[0].region == "FR"


async def test_what_is_found_is_asked_about_every_quarter_of_an_hour_and_on_time_before_its_deadlines__T7() -> None:
    operator = await ready()
    await step(operator)
    find(operator, left=1)
    end_jobs(operator)
    await step(operator)
    asked = len(operator.stores.asked_requests)
    operator.clock.forward(timedelta(minutes=14, seconds=59))
    assert await operator.reconcile(REQUEST.name, NAMESPACE, NAME) == timedelta(seconds=1)
    assert len(operator.stores.asked_requests) == asked
    operator.clock.forward(timedelta(days=20) - timedelta(minutes=14, seconds=59) - timedelta(minutes=1))
    assert await operator.reconcile(REQUEST.name, NAMESPACE, NAME) == timedelta(minutes=1), "until it warns"
    operator.clock.forward(timedelta(minutes=1))
    assert condition(await step(operator), "DeadlineNear")["reason"] == "RequestDue"
    operator.clock.forward(timedelta(days=10))
    assert ready_of(await step(operator)) == ("False", "RequestOverdue")
    assert (len(operator.told("RequestDue")), len(operator.told("RequestOverdue"))) == (1, 1)


async def test_a_deleted_request_is_taken_back_where_nothing_was_done_and_goes_on_where_all_was_found__T7_X5() -> None:
    operator = await ready(policy("acme", **REGION), policy("globex", **REGION))
    await step(operator)
    (first, _) = sorted(operator.stores.requests)
    operator.stores.requests[first].progress = RequestProgress(found_at=operator.clock.now, categories=())
    await operator.policy("acme")
    await operator.policy("globex")
    assert len(kept(operator)) == 2, "what an object asks for is left alone"
    operator.cluster.remove(REQUEST, NAME, NAMESPACE)
    operator.restart()
    assert await operator.reconcile(REQUEST.name, NAMESPACE, NAME) is None
    assert operator.shown.requests[NAME] == {}
    await operator.policy("acme")
    await operator.policy("globex")
    assert list(operator.stores.requests) == [first]


async def test_a_request_made_anew_under_its_name_is_another_one__T7() -> None:
    operator = await ready()
    await step(operator)
    operator.cluster.remove(REQUEST, NAME, NAMESPACE)
    operator.cluster.remove(SECRET, NAME, NAMESPACE)
    for job in jobs(operator):
        del operator.cluster.objects[("Job", NAMESPACE, job["metadata"]["name"])]
    operator.cluster.put(request())
    operator.cluster.put(secret())
    found = await step(operator)
    assert UUID(found["metadata"]["uid"]) in {each.placed.request for each in kept(operator)}
    assert len(jobs(operator)) == 1


async def carry_out(operator: Operator, name: str) -> None:
    """What everybody does until a request of two policies is done."""
    for _ in range(10):
        if ready_of(await step(operator, name)) == ("True", "RequestDone"):
            return
        if len(jobs(operator, name)) == 2:
            find(operator)
            end_jobs(operator)
    raise AssertionError(f"{name} is not done after ten looks")


async def test_a_kill_before_any_effect_is_continued_by_the_next_process__T7() -> None:
    operator = await ready(policy("acme", **REGION), policy("globex", **REGION))
    before = len(operator.effects.effects)
    await carry_out(operator, NAME)
    effects = len(operator.effects.effects) - before
    assert effects > 10
    for deadly in range(effects):
        name = f"req-killed-{deadly}"
        operator.cluster.put(request(name))
        operator.cluster.put(secret(name))
        operator.effects.deadly = len(operator.effects.effects) + deadly
        with pytest.raises(Killed):
            await carry_out(operator, name)
        operator.effects.deadly = None
        operator.restart()
        await carry_out(operator, name)
        assert await operator.cluster.get(SECRET, name, NAMESPACE) is None
        assert [each.progress.done for each in kept(operator) if each.placed.name == name] == [True, True]
        assert len(jobs(operator, name)) == 2


async def test_a_namespace_that_is_not_served_is_told_and_nobody_is_searched_for__X2() -> None:
    operator = await ready()
    operator.cluster.put(namespace(NAMESPACE, **{"tenantretention.io/tenant": ""}))
    found = await step(operator)
    assert (ready_of(found), kept(operator), jobs(operator)) == (("False", "NamespaceNotServed"), [], [])
