"""Children of a policy: left alone while they are as they must be, put right and told once when they are not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tenant_retention.domain.ports.cluster import STORE, Manifest
from tests.support.operator_world import NAMESPACE, OPERATOR, Operator, operator_with, policy

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}
SURPLUS: dict[str, Any] = {
    "Secret": ("data", {"surplus": "eA=="}),
    "CronJob": ("spec", {"suspend": True}),
    "NetworkPolicy": ("spec", {"ingress": [{}]}),
    "RoleBinding": ("subjects", [{"kind": "User", "name": "somebody"}]),
    "ConfigMap": ("data", {"plan.json": "forged", "postgresql.conf": "forged", "start-seaweedfs.sh": "forged"}),
    "Service": ("spec", {"selector": {"app": "theirs"}, "externalIPs": ["192.0.2.1"]}),
}
"""What a hand adds to or changes in each kind: the field, and what is put into it."""


async def settled() -> Operator:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    return operator


def children(operator: Operator) -> dict[tuple[str, str], Manifest]:
    """What the operator has made in the tenant's namespace, without what changes with every write."""
    found = {}
    for kind in (*SURPLUS, "StatefulSet"):
        for each in copy.deepcopy(operator.objects(kind, NAMESPACE)):
            for name in ("uid", "resourceVersion", "generation", "creationTimestamp"):
                each["metadata"].pop(name, None)
            found[(kind, each["metadata"]["name"])] = each
    return found


def without_content(found: dict[tuple[str, str], Manifest]) -> dict[tuple[str, str], Manifest]:
    """A certificate that was lost is issued anew: neither it nor the digest by which the pod learns of it is the same."""
    for (kind, _), each in found.items():
        if kind == "Secret" and each["type"] == "kubernetes.io/tls":
            each["data"] = sorted(each["data"])
        if kind == "StatefulSet":
            each["spec"]["template"]["metadata"]["annotations"].pop("tenantretention.io/certificate-digest")
    return found


async def test_a_second_look_at_an_unchanged_policy_writes_nothing() -> None:
    operator = await settled()
    operator.cluster.writes.clear()
    await operator.policy()
    for entry in operator.objects("DataStore"):
        await operator.reconcile(STORE.name, "", entry["metadata"]["name"])
    assert operator.cluster.writes == []


async def test_a_new_process_writes_what_it_cannot_know_once_and_changes_nothing() -> None:
    operator = await settled()
    before = operator.picture()
    operator.restart()
    await operator.settled()
    operator.cluster.writes.clear()
    await operator.policy()
    assert operator.cluster.writes == []
    assert operator.picture() == before
    assert operator.told("DriftRepaired") == []


async def test_every_child_that_is_deleted_by_hand_is_back_within_one_look_and_told_once() -> None:
    operator = await settled()
    before = without_content(children(operator))
    assert {kind for kind, _ in before} == {*SURPLUS, "StatefulSet"}
    for kind, name in list(before):
        del operator.cluster.objects[(kind, NAMESPACE, name)]
        await operator.settled()
        assert without_content(children(operator)) == before, (kind, name)
        assert len([note for note in operator.told("DriftRepaired") if f"{kind} {name} " in note]) == 1, (kind, name)


async def test_every_child_that_is_changed_by_hand_is_put_right_within_one_look_and_told_once() -> None:
    operator = await settled()
    before = children(operator)
    for kind, name in before:
        found = copy.deepcopy(operator.cluster.objects[(kind, NAMESPACE, name)])
        if kind == "StatefulSet":
            _intrude(found)
        else:
            field, value = SURPLUS[kind]
            found[field] = [*found[field], *value] if isinstance(value, list) else {**found[field], **value}
            if kind == "ConfigMap":
                found[field] = {key: text for key, text in found[field].items() if key in before[(kind, name)][field]}
        operator.cluster.put(found)
        assert children(operator) != before, (kind, name)
        await operator.settled()
        assert children(operator) == before, (kind, name)
        assert len([note for note in operator.told("DriftRepaired") if f"{kind} {name} " in note]) == 1, (kind, name)


async def test_a_server_that_is_restarted_by_kubectl_rollout_restart_is_restarted_once_and_that_is_no_drift() -> None:
    operator = await settled()
    for asked in ("2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z"):
        for found in operator.objects("StatefulSet", NAMESPACE):
            restarted = copy.deepcopy(found)
            restarted["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = asked
            operator.cluster.put(restarted)
        before = children(operator)
        await operator.settled()
        operator.restart()
        await operator.settled()
        assert children(operator) == before
    assert operator.told("DriftRepaired") == []


@pytest.mark.parametrize("kind", ["StatefulSet", "Service"])
async def test_a_note_that_a_controller_of_the_cluster_makes_on_a_server_is_no_drift_to_fight_about(kind: str) -> None:
    operator = await settled()
    for found in operator.objects(kind, NAMESPACE):
        noted = copy.deepcopy(found)
        noted["metadata"]["annotations"] = {"cloud.example/status": "seen"}
        operator.cluster.put(noted)
    await operator.settled()
    for found in operator.objects(kind, NAMESPACE):
        assert found["metadata"]["annotations"] == {"cloud.example/status": "seen"}
    assert operator.told("DriftRepaired") == []


@pytest.mark.parametrize("reconciles", [1, 2])
async def test_the_operators_way_into_a_namespace_is_put_right_though_two_policies_share_it(reconciles: int) -> None:
    operator = await operator_with(policy(**SHORTEST), policy("other", **SHORTEST))
    for _ in range(reconciles):
        await operator.settled("acme")
        await operator.settled("other")
    (binding,) = operator.objects("RoleBinding", NAMESPACE)
    assert [subject["namespace"] for subject in binding["subjects"]] == [OPERATOR]
    operator.cluster.put({**binding, "subjects": []})
    await operator.settled("other")
    assert operator.objects("RoleBinding", NAMESPACE)[0]["subjects"] == binding["subjects"]
    assert len([note for note in operator.told("DriftRepaired") if "RoleBinding" in note]) == 1


def _intrude(found: Manifest) -> None:
    """A container, a variable and a place to run that somebody adds to the server's pods."""
    pod = found["spec"]["template"]["spec"]
    # The fake merges maps only: of lists the contract tests on a real API server tell.
    pod["nodeSelector"] = {"theirs": "true"}
    pod["containers"][0]["env"].append({"name": "PGOPTIONS", "value": "-c log_statement=all"})
    pod["containers"].append(
        {"name": "theirs", "image": "busybox", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}
    )
