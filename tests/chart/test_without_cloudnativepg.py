"""Kinds that a cluster does not have: those of CloudNativePG (D7), and ours once somebody has deleted their definitions (X5).

On an API server of its own, whatever else ran before.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.adapters.kubernetes.client import KubernetesCluster
from tenant_retention.adapters.kubernetes.session import api_client
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.manifests.inputs import OperatorRef
from tenant_retention.domain.ports.cluster import POLICY, POSTGRES_CLUSTER, STORE
from tenant_retention.reconcile.catalogue import make_default_classes
from tenant_retention.reconcile.dispatch import Reconcile
from tenant_retention.reconcile.world import Applier
from tests.chart.test_api_server import FULLNAME, NAMESPACE, policy
from tests.chart.test_operator_rights import HOME, server
from tests.support.api_cases import ROOT
from tests.support.api_server import ApiServer
from tests.support.operator_world import Operator, condition

__all__ = ["server"]

CLASS = {
    "apiVersion": "tenantretention.io/v1alpha1",
    "kind": "DataStoreClass",
    "metadata": {"name": "ha"},
    "spec": {
        "type": "PostgreSQL",
        "provisioner": "CloudNativePG",
        "cloudNativePG": {"instances": 3, "storage": "1Gi"},
    },
}
SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "clusters.postgresql.cnpg.io"},
    "spec": {
        "group": "postgresql.cnpg.io",
        "scope": "Namespaced",
        "names": {"kind": "Cluster", "plural": "clusters", "singular": "cluster", "listKind": "ClusterList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": SCHEMA, "subresources": {"status": {}}}],
    },
}
"""The kind alone, as if CloudNativePG were there and had not got to work yet."""


@pytest.fixture
async def cluster(server: ApiServer) -> AsyncIterator[KubernetesCluster]:
    """The operator's client; what its own rights allow is shown in test_operator_rights."""
    async with api_client(Path(server.folder) / "kubeconfig", in_cluster=False) as api:
        yield KubernetesCluster(api, "trial")


async def test_without_its_kinds_the_policy_says_what_to_install_and_goes_on_as_soon_as_they_come__D7(
    server: ApiServer, cluster: KubernetesCluster
) -> None:
    itself = OperatorRef(NAMESPACE, service_account=FULLNAME, cluster_role=f"{FULLNAME}-tenant")
    world = replace(Operator().world, cluster=cluster, applier=Applier(cluster), operator=itself)
    await make_default_classes(world)
    wanted = policy("waiting", stores=[{"purpose": "Analytical", "className": "ha"}])
    wanted["metadata"]["namespace"] = HOME
    server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([CLASS, wanted]))

    async def reconciled() -> dict[str, Any]:
        await Reconcile(world)(POLICY.name, HOME, "waiting")
        return condition(await cluster.get(POLICY, "waiting", HOME) or {}, "Reconciling")

    assert not await cluster.serves(POSTGRES_CLUSTER)
    told = await reconciled()
    assert (told["status"], told["reason"]) == ("True", "WaitingForCloudNativePG"), told
    assert "install CloudNativePG 1.30 or newer" in told["message"]
    server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(DEFINITION))
    server.kubectl("wait", "--for=condition=Established", "crd/clusters.postgresql.cnpg.io")
    told = await reconciled()
    assert told["reason"] != "WaitingForCloudNativePG", told
    made = await cluster.get(POSTGRES_CLUSTER, "waiting-cnpg", HOME)
    assert made is not None, told
    assert made["spec"]["instances"] == 3


async def test_definitions_that_somebody_deletes_take_no_data_with_them_and_nothing_is_released_meanwhile__X5(
    server: ApiServer, cluster: KubernetesCluster
) -> None:
    operator = Operator()
    itself = OperatorRef(NAMESPACE, service_account=FULLNAME, cluster_role=f"{FULLNAME}-tenant")
    world = replace(operator.world, cluster=cluster, applier=Applier(cluster), operator=itself)
    await make_default_classes(world)
    wanted = policy("kept")
    wanted["metadata"]["namespace"] = HOME
    server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(wanted))
    reconcile = Reconcile(world)
    await reconcile(POLICY.name, HOME, "kept")
    up = ("--subresource=status", "--type=merge", "-p", '{"status": {"replicas": 1, "readyReplicas": 1}}')
    server.kubectl("-n", HOME, "patch", "statefulsets", "kept-postgresql", "kept-s3", *up)
    await reconcile(POLICY.name, HOME, "kept")
    assert condition(await cluster.get(POLICY, "kept", HOME) or {}, "Ready")["status"] == "True"
    stores = [found["metadata"]["name"] for found in await cluster.list(STORE, labels="tenantretention.io/policy=kept")]
    (database,) = operator.stores.databases.values()
    before = made_in(server, HOME)
    assert {"StatefulSet", "Secret"}.isdisjoint(before["owned"]), "what a policy owns goes with it"

    async def nothing_goes() -> None:
        for kind, where, name in ((POLICY, HOME, "kept"), *((STORE, "", store) for store in stores)):
            with pytest.raises(NotReady):
                await reconcile(kind.name, where, name)
        assert (made_in(server, HOME), database.suspended) == (before, False)

    server.kubectl("delete", "crd", "tenantretentionpolicies.tenantretention.io")
    await nothing_goes()
    assert {(await cluster.get(STORE, name) or {})["status"]["phase"] for name in stores} == {"Bound"}
    server.kubectl("delete", "crd", "datastores.tenantretention.io")
    await nothing_goes()

    server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    server.kubectl("wait", "--for=condition=Established", "crd", "--all")
    server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(wanted))
    await reconcile(POLICY.name, HOME, "kept")
    told = condition(await cluster.get(POLICY, "kept", HOME) or {}, "DatabasesReady")
    assert told["reason"] == "StoreReleased", "an administrator binds it again, like any store of a policy that is gone"
    database.overdue = 2
    for name in stores:
        await reconcile(STORE.name, "", name)
    counted = [(await cluster.get(STORE, name) or {})["status"].get("overdue") for name in stores]
    assert sorted(counted, key=str) == [6, None], "what is overdue in the database is counted on"
    after = made_in(server, HOME)
    assert [kind for kind in ("StatefulSet", "Secret", "Service") if not before[kind] <= after[kind]] == []


def made_in(server: ApiServer, namespace: str) -> dict[str, set[str]]:
    """The UIDs of what the operator made there, by kind, and the kinds that others own."""
    kinds = "statefulsets,services,secrets,configmaps,networkpolicies,cronjobs"
    found = json.loads(server.kubectl("-n", namespace, "get", kinds, "-o", "json"))["items"]
    made = {"owned": {each["kind"] for each in found if each["metadata"].get("ownerReferences")}}
    for each in found:
        made.setdefault(each["kind"], set()).add(each["metadata"]["uid"])
    return made
