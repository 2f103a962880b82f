"""The Cluster that CloudNativePG is asked for: who gets in, what is confirmed by whom, which image."""

from __future__ import annotations

from dataclasses import replace

from tenant_retention.domain.manifests.cloudnativepg import (
    Catalogue,
    PostgresCluster,
    cluster_host,
    dedicated_cluster,
)
from tenant_retention.domain.manifests.inputs import Amounts, DnsServers, PolicyRef, Resources
from tenant_retention.domain.manifests.metadata import Manifest
from tenant_retention.domain.manifests.networking import jobs_network_policy
from tests.unit.manifest_examples import OPERATOR, POLICY, VERIFIER, of_kind

CLUSTER = PostgresCluster(POLICY, OPERATOR, VERIFIER)
INSTANCE = {"cnpg.io/cluster": "acme-cnpg"}


def spec_of(cluster: PostgresCluster) -> Manifest:
    found: Manifest = of_kind(dedicated_cluster(cluster), "Cluster")["spec"]
    return found


def test_no_object_of_a_cluster_is_owned_by_the_policy__X5() -> None:
    assert [found["metadata"].get("ownerReferences") for found in dedicated_cluster(CLUSTER)] == [None] * 3


def test_the_longest_policy_name_makes_a_name_that_cloudnativepg_takes() -> None:
    longest = PolicyRef("customer-acme", "a" * 40, POLICY.uid)
    name = of_kind(dedicated_cluster(replace(CLUSTER, policy=longest)), "Cluster")["metadata"]["name"]
    assert len(name) <= 50
    assert cluster_host(longest) == f"{name}-rw.customer-acme.svc"


def test_nobody_gets_in_without_tls_and_the_superuser_not_at_all__T8() -> None:
    spec = spec_of(CLUSTER)
    assert "hostnossl all all all reject" in spec["postgresql"]["pg_hba"]
    assert "host all postgres all reject" in spec["postgresql"]["pg_hba"]
    assert spec["enableSuperuserAccess"] is False
    (administrator,) = spec["managed"]["roles"]
    assert administrator["inRoles"] == ["pg_read_all_stats"], "else the lag of its standbys is hidden from it"
    assert "superuser" not in administrator
    assert spec["bootstrap"]["initdb"]["owner"] == administrator["name"], "no login beside the administrator's"


def test_no_statement_reaches_the_log__X6() -> None:
    parameters = spec_of(CLUSTER)["postgresql"]["parameters"]
    assert (parameters["log_min_error_statement"], parameters["log_statement"]) == ("panic", "none")


def test_a_commit_waits_for_a_standby_where_there_is_one__X6() -> None:
    synchronous = spec_of(CLUSTER)["postgresql"]["synchronous"]
    assert synchronous == {"method": "any", "number": 1, "dataDurability": "preferred", "failoverQuorum": True}
    strict = spec_of(replace(CLUSTER, synchronous=2, required=True))["postgresql"]["synchronous"]
    assert (strict["number"], strict["dataDurability"]) == (2, "required")
    # Somebody took instances away: more standbys than there are would stop every commit.
    assert spec_of(replace(CLUSTER, instances=2, synchronous=2))["postgresql"]["synchronous"]["number"] == 1
    assert "synchronous" not in spec_of(replace(CLUSTER, instances=1))["postgresql"]


def test_image_catalogue_storage_and_resources_are_as_the_class_says() -> None:
    plain = spec_of(CLUSTER)
    assert not {"imageName", "imageCatalogRef", "resources", "imagePullSecrets"} & set(plain)
    amounts = Resources(Amounts("1", "2Gi"), Amounts(memory="4Gi"))
    spec = spec_of(
        replace(CLUSTER, image="pg:17.11", storage_class_name="fast", resources=amounts, pull_secrets=("pull",))
    )
    assert spec["imageName"] == "pg:17.11"
    assert spec["storage"] == {"size": "10Gi", "storageClass": "fast"}
    assert spec["resources"] == {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    catalogue = spec_of(replace(CLUSTER, catalogue=Catalogue("ClusterImageCatalog", "postgresql", 17)))
    assert catalogue["imageCatalogRef"]["major"] == 17


def test_the_network_lets_in_clients_peers_and_cloudnativepg_and_nobody_else__X2() -> None:
    spec = of_kind(dedicated_cluster(CLUSTER), "NetworkPolicy")["spec"]
    assert spec["podSelector"] == {"matchLabels": INSTANCE}
    clients, peers = spec["ingress"]
    assert [port["port"] for port in clients["ports"]] == [5432]
    assert len(clients["from"]) == 3
    assert peers["from"][0] == {"podSelector": {"matchLabels": INSTANCE}}
    namespaces = peers["from"][1]["namespaceSelector"]["matchLabels"]
    assert namespaces == {"kubernetes.io/metadata.name": "cnpg-system"}
    jobs = jobs_network_policy(POLICY, DnsServers())["spec"]["egress"]
    reached = [rule["to"][0].get("podSelector") for rule in jobs if "to" in rule]
    assert {"matchLabels": INSTANCE} in reached
