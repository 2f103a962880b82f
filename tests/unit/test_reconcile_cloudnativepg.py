"""A policy on a class of CloudNativePG: one Cluster for all its databases, kept whatever happens to it (X5, D7)."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.domain.ports.cluster import (
    NAMESPACE as NAMESPACE_KIND,
)
from tenant_retention.domain.ports.cluster import (
    NETWORK_POLICY,
    PERSISTENT_VOLUME,
    POLICY,
    POSTGRES_CLUSTER,
    SECRET,
    STORE,
    STORE_CLASS,
    VOLUME_CLAIM,
    Manifest,
)
from tests.support.operator_world import NAMESPACE, Operator, condition, operator_with, policy, server_controllers

NAME = "acme-cnpg"
CLASS = {
    "apiVersion": "tenantretention.io/v1alpha1",
    "kind": "DataStoreClass",
    "metadata": {"name": "ha"},
    "spec": {
        "type": "PostgreSQL",
        "provisioner": "CloudNativePG",
        "default": True,
        "cloudNativePG": {"instances": 3, "storage": "20Gi", "synchronous": {"number": 1, "durability": "Required"}},
    },
}
SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}


class CloudNativePG:
    """What CloudNativePG does with a Cluster: claims, volumes, a certificate authority, and a status."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.instances = [1, 2, 3]
        self.status: dict[str, Any] = {}
        self.ready()

    def ready(self) -> None:
        self.status = {
            "currentPrimary": f"{NAME}-1",
            "targetPrimary": f"{NAME}-1",
            "readyInstances": 3,
            "phase": "Cluster in healthy state",
            "conditions": [{"type": "Ready", "status": "True"}],
        }

    def failing(self, phase: str, **status: Any) -> None:
        self.status = {**self.status, "phase": phase, "conditions": [{"type": "Ready", "status": "False"}], **status}

    def __call__(self, manifest: Manifest) -> None:
        server_controllers(manifest)
        if manifest["kind"] != POSTGRES_CLUSTER.name:
            return
        manifest["status"] = dict(self.status)
        where = manifest["metadata"]["namespace"]
        cluster = self.operator.cluster
        data = {"ca.crt": base64.b64encode(b"the Cluster's authority").decode(), "ca.key": "c2VjcmV0"}
        authority = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{NAME}-ca", "namespace": where}}
        cluster.put({**authority, "data": data})
        for number in self.instances:
            claim(self.operator, number, "primary" if number == 1 else "replica")


def claim(operator: Operator, number: int, role: str, phase: str = "Bound") -> None:
    """The claim of one instance, bound to a volume of its own."""
    labels = {"cnpg.io/cluster": NAME, "cnpg.io/instanceRole": role}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{number}"}}
    if (PERSISTENT_VOLUME.name, None, f"pv-{number}") not in operator.cluster.objects:
        operator.cluster.put({**volume, "spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    meta = {"name": f"{NAME}-{number}", "namespace": NAMESPACE, "labels": labels}
    found = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
    operator.cluster.put({**found, "spec": {"volumeName": f"pv-{number}"}, "status": {"phase": phase}})


async def on_cloudnativepg(**spec: Any) -> tuple[Operator, CloudNativePG]:
    """An operator, a policy on the class, and a CloudNativePG that does its work at once."""
    operator = await operator_with(CLASS, policy(**SHORTEST, **spec))
    controller = CloudNativePG(operator)
    operator.cluster.settle = controller
    return operator, controller


def cluster_of(operator: Operator) -> Manifest:
    (found,) = operator.objects(POSTGRES_CLUSTER.name)
    return found


def database_entry(operator: Operator) -> Manifest:
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["type"] == "PostgreSQL"]
    return entry


def touch(operator: Operator) -> None:
    """CloudNativePG changes the Cluster's status."""
    operator.cluster.put(cluster_of(operator))


async def test_a_policy_on_the_class_gets_one_cluster_and_its_binding_leads_to_the_primary() -> None:
    operator, _ = await on_cloudnativepg()
    assert condition(await operator.settled(), "Ready")["status"] == "True"

    spec = cluster_of(operator)["spec"]

    assert (spec["instances"], spec["storage"]) == (3, {"size": "20Gi"})
    synchronous = {"method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True}
    assert spec["postgresql"]["synchronous"] == synchronous
    (binding,) = [
        found for found in operator.objects("Secret", NAMESPACE) if found["metadata"]["name"] == "acme-analytical-app"
    ]
    values = {key: base64.b64decode(value).decode() for key, value in binding["data"].items()}
    assert values["host"] == f"{NAME}-rw.{NAMESPACE}.svc"
    assert values["ca.crt"] == "the Cluster's authority"
    assert values["provider"] == "cloudnativepg"
    assert not [found for found in operator.objects("StatefulSet") if "postgresql" in found["metadata"]["name"]]


async def test_the_tenants_namespace_holds_a_verifier_of_the_administrator_and_no_password() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()

    (shown,) = [
        found for found in operator.objects("Secret", NAMESPACE) if found["metadata"]["name"] == f"{NAME}-admin"
    ]

    assert base64.b64decode(shown["data"]["password"]).startswith(b"SCRAM-SHA-256$")
    assert cluster_of(operator)["spec"]["enableSuperuserAccess"] is False


async def test_without_cloudnativepg_policy_and_class_say_so_and_go_on_when_it_comes() -> None:
    operator, _ = await on_cloudnativepg()
    operator.cluster.unserved = frozenset({"postgresql.cnpg.io"})
    waiting = condition(await operator.settled(), "Reconciling")
    assert (waiting["status"], waiting["reason"]) == ("True", "WaitingForCloudNativePG")
    assert "install CloudNativePG" in waiting["message"]

    operator.clock.forward(timedelta(minutes=6))
    stalled = condition(await operator.settled(), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "CloudNativePGMissing")
    await operator.reconcile(STORE_CLASS.name, "", "ha")
    shown = await operator.cluster.get(STORE_CLASS, "ha")
    assert shown is not None
    assert condition(shown, "Ready")["reason"] == "WaitingForCloudNativePG"

    operator.cluster.unserved = frozenset()
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_the_policy_waits_for_the_clusters_own_condition_and_tells_its_phase() -> None:
    operator, controller = await on_cloudnativepg()
    controller.failing("Setting up primary", readyInstances=0, currentPrimary="")

    waiting = condition(await operator.settled(), "Ready")

    assert (waiting["status"], waiting["reason"]) == ("False", "WaitingForServer")
    assert "0 of 3 instances are ready (Setting up primary)" in waiting["message"]
    # A primary alone is not what was asked for.
    controller.failing("Creating a new replica", readyInstances=1, currentPrimary=f"{NAME}-1")
    touch(operator)
    assert condition(await operator.settled(), "Ready")["reason"] == "WaitingForServer"
    controller.ready()
    touch(operator)
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_a_missing_standby_keeps_nobody_from_deleting_in_time_and_is_told__X4() -> None:
    operator, controller = await on_cloudnativepg()
    await operator.settled()
    controller.failing("Creating a new replica", readyInstances=2)
    touch(operator)

    found = await operator.settled()

    assert condition(found, "Ready")["status"] == "True"
    (row,) = [row for row in found["status"]["stores"] if row["purpose"] == "Analytical"]
    assert "2 of 3 instances are ready" in row["message"]


async def test_while_the_primary_changes_the_policy_waits() -> None:
    operator, controller = await on_cloudnativepg()
    await operator.settled()
    controller.failing("Failing over", readyInstances=2, targetPrimary="pending")
    touch(operator)
    assert condition(await operator.settled(), "Ready")["reason"] == "WaitingForServer"


async def test_the_volumes_of_all_instances_are_retained_and_recorded__X5() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()
    assert database_entry(operator)["spec"]["volumes"] == ["pv-1", "pv-2", "pv-3"]
    policies = {found["spec"]["persistentVolumeReclaimPolicy"] for found in operator.objects("PersistentVolume")}
    assert policies == {"Retain"}


async def test_the_volume_of_an_instance_that_went_is_told_as_a_copy_until_it_is_removed__T6() -> None:
    operator, controller = await on_cloudnativepg()
    await operator.settled()
    operator.cluster.remove(VOLUME_CLAIM, f"{NAME}-3", NAMESPACE)
    controller.instances = [1, 2, 4]
    touch(operator)

    found = await operator.settled()

    (row,) = [row for row in found["status"]["stores"] if row["purpose"] == "Analytical"]
    assert "PersistentVolume pv-3" in row["message"]
    assert set(database_entry(operator)["spec"]["volumes"]) == {"pv-1", "pv-2", "pv-3", "pv-4"}
    operator.cluster.remove(PERSISTENT_VOLUME, "pv-3")
    found = await operator.settled()
    (row,) = [row for row in found["status"]["stores"] if row["purpose"] == "Analytical"]
    assert "pv-3" not in row.get("message", "")
    assert set(database_entry(operator)["spec"]["volumes"]) == {"pv-1", "pv-2", "pv-4"}


async def test_a_cluster_that_somebody_deleted_is_not_made_anew_beside_its_data__X5_D7() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()
    operator.cluster.remove(POSTGRES_CLUSTER, NAME, NAMESPACE)
    for number in (1, 2, 3):
        operator.cluster.remove(VOLUME_CLAIM, f"{NAME}-{number}", NAMESPACE)

    found = await operator.settled()

    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StoreConflict")
    assert "pv-1" in stalled["message"]
    assert condition(found, "Compliant")["status"] != "True"
    assert not operator.objects(POSTGRES_CLUSTER.name)

    claim(operator, 1, "primary", "Pending")
    assert condition(await operator.settled(), "Stalled")["reason"] == "StoreConflict"
    claim(operator, 1, "primary")
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_no_cluster_is_made_while_the_claims_of_a_deleted_one_are_still_going__X5_D7() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()
    owner = cluster_of(operator)["metadata"]["uid"]
    for number in (1, 2, 3):
        owned = operator.cluster.objects[(VOLUME_CLAIM.name, NAMESPACE, f"{NAME}-{number}")]
        owned["metadata"]["ownerReferences"] = [{"kind": "Cluster", "name": NAME, "uid": owner}]
    operator.cluster.remove(POSTGRES_CLUSTER, NAME, NAMESPACE)

    stalled = condition(await operator.settled(), "Stalled")

    assert (stalled["status"], stalled["reason"]) == ("True", "StoreConflict")
    assert not operator.objects(POSTGRES_CLUSTER.name)


async def test_a_cluster_on_other_volumes_than_the_ledgers_is_not_called_ready__X5_D7() -> None:
    operator, controller = await on_cloudnativepg()
    await operator.settled()
    for number in (1, 2, 3):
        operator.cluster.remove(VOLUME_CLAIM, f"{NAME}-{number}", NAMESPACE)
    controller.instances = [7]
    touch(operator)

    stalled = condition(await operator.settled(), "Stalled")

    assert stalled["reason"] == "StoreConflict"
    assert "pv-7" in stalled["message"]
    assert set(database_entry(operator)["spec"]["volumes"]) == {"pv-1", "pv-2", "pv-3"}


async def test_a_cluster_of_the_tenants_own_that_has_our_name_is_not_touched__D6() -> None:
    theirs = {"apiVersion": POSTGRES_CLUSTER.api_version, "kind": "Cluster", "spec": {"instances": 1}}
    meta = {"name": NAME, "namespace": NAMESPACE}
    operator = await operator_with(CLASS, {**theirs, "metadata": meta}, policy(**SHORTEST))

    stalled = condition(await operator.settled(), "Stalled")

    assert (stalled["status"], stalled["reason"]) == ("True", "StoreConflict")
    assert cluster_of(operator)["spec"] == {"instances": 1}


async def test_a_cluster_that_its_owner_made_larger_stays_larger__D6() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()

    def larger(found: Manifest) -> None:
        found["spec"]["instances"] = 5
        found["spec"]["storage"]["size"] = "80Gi"

    await operator.edit(POSTGRES_CLUSTER, NAME, NAMESPACE, larger)
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    spec = cluster_of(operator)["spec"]
    assert (spec["instances"], spec["storage"]["size"]) == (5, "80Gi")
    assert operator.told("DriftRepaired") == []


async def test_what_somebody_changed_in_the_cluster_is_put_right_and_told() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()

    def opened(found: Manifest) -> None:
        found["spec"]["enableSuperuserAccess"] = True

    await operator.edit(POSTGRES_CLUSTER, NAME, NAMESPACE, opened)
    await operator.settled()
    assert cluster_of(operator)["spec"]["enableSuperuserAccess"] is False
    assert len(operator.told("DriftRepaired")) == 1


async def test_deleting_the_policy_keeps_the_cluster_and_counts_its_debt_on__X5_X4() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()
    before = cluster_of(operator)
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.policy()
    entry = database_entry(operator)
    await operator.reconcile(STORE.name, "", entry["metadata"]["name"])

    assert cluster_of(operator)["spec"] == before["spec"]
    assert "ownerReferences" not in cluster_of(operator)["metadata"]
    entry = database_entry(operator)
    assert entry["status"]["phase"] == "Released"
    assert entry["status"]["overdue"] == 0


async def test_a_namespace_that_is_served_no_more_is_not_read_and_its_debt_counts_on__X4() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()

    def unlabelled(found: Manifest) -> None:
        found["metadata"]["labels"] = {}

    await operator.edit(NAMESPACE_KIND, NAMESPACE, None, unlabelled)
    operator.cluster.remove(SECRET, f"{NAME}-ca", NAMESPACE)
    await operator.settled()
    assert database_entry(operator)["status"]["overdue"] == 0


@pytest.mark.parametrize("kind", [NETWORK_POLICY, SECRET])
async def test_its_network_policy_and_administrator_come_back_when_somebody_deletes_them(kind: Any) -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()
    name = NAME if kind is NETWORK_POLICY else f"{NAME}-admin"
    operator.cluster.remove(kind, name, NAMESPACE)
    await operator.settled()
    assert await operator.cluster.get(kind, name, NAMESPACE) is not None
