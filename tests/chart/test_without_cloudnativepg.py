"""A policy on CloudNativePG in a cluster that does not have it: an API server without its kinds, whatever else ran before (D7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.adapters.kubernetes.client import KubernetesCluster
from tenant_retention.adapters.kubernetes.session import api_client
from tenant_retention.domain.manifests.inputs import OperatorRef
from tenant_retention.domain.ports.cluster import POLICY, POSTGRES_CLUSTER
from tenant_retention.reconcile.catalogue import make_default_classes
from tenant_retention.reconcile.dispatch import Reconcile
from tenant_retention.reconcile.world import Applier
from tests.chart.test_api_server import FULLNAME, NAMESPACE, policy
from tests.chart.test_operator_rights import HOME, server
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
