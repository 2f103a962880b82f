"""One contract for the cluster port: the fake and a real API server (with etcd, without a node) behave alike."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.adapters.fakes.cluster import FakeCluster
from tenant_retention.adapters.kubernetes.client import KubernetesCluster
from tenant_retention.adapters.kubernetes.session import api_client
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.domain import ledger
from tenant_retention.domain.errors import Invalid, NotReady, Unavailable
from tenant_retention.domain.ledger import Claimant
from tenant_retention.domain.manifests.inputs import (
    DnsServers,
    EmbeddedPostgres,
    EnforcementPod,
    Image,
    OperatorRef,
    PolicyRef,
    ServerCertificate,
)
from tenant_retention.domain.manifests.jobs import cron_job
from tenant_retention.domain.manifests.metadata import encoded, secret
from tenant_retention.domain.manifests.networking import jobs_network_policy
from tenant_retention.domain.manifests.postgresql import embedded_postgresql
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.cluster import (
    CONFIG_MAP,
    CRON_JOB,
    NAMESPACE,
    NETWORK_POLICY,
    POSTGRES_CLUSTER,
    RESTARTED_AT,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    STORE,
    Cluster,
    Happening,
    Kind,
    Manifest,
)
from tenant_retention.domain.schedule import plan_schedule
from tests.support.api_server import ROOT, ApiServer, start

HOME = "customer-acme"
POLICY = PolicyRef(HOME, "acme", "6f1c7f0e-64a5-4f8e-9f43-1f0b3c5d7a90")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    running = start(tmp_path_factory.mktemp("api-contract"))
    try:
        running.kubectl("create", "namespace", HOME)
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        running.kubectl("wait", "--for=condition=Established", "crd", "--all")
        yield running
    finally:
        running.stop()


@pytest.fixture(params=["fake", "real"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    if request.param == "fake":
        yield FakeCluster([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}}])
        return
    server: ApiServer = request.getfixturevalue("server")
    server.kubectl(
        "-n", HOME, "delete", "configmaps,secrets,services,statefulsets,networkpolicies,cronjobs,datastores", "--all"
    )
    async with api_client(Path(server.folder) / "kubeconfig", in_cluster=False) as api:
        yield KubernetesCluster(api, "contract")


def config_map(**data: str) -> Manifest:
    meta = {"name": "plan", "namespace": HOME, "labels": {"part": "plan"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def pod() -> EnforcementPod:
    return EnforcementPod(POLICY, Image("job:1"), ("acme-analytical-enforcer",), "acme-plan")


def nightly(*, suspend: bool = False) -> Manifest:
    return cron_job(pod(), plan_schedule(HOME, "acme", "expire", time_zone="Europe/Amsterdam"), suspend=suspend)


def database_server() -> tuple[Manifest, Manifest]:
    """Service and StatefulSet of an embedded server."""
    wanted = EmbeddedPostgres(
        policy=POLICY,
        operator=OperatorRef("tenant-retention"),
        image=Image("postgres:1"),
        certificate=ServerCertificate("certificate", "key"),
        verifier="verifier",
        storage="1024Mi",
    )
    objects = {found["kind"]: found for found in embedded_postgresql(wanted)}
    return objects["Service"], objects["StatefulSet"]


def store() -> Manifest:
    store_class = DataStoreClass.from_object(
        {
            "kind": "DataStoreClass",
            "metadata": {"name": "embedded-postgresql", "uid": "b6c5c5a2-3b5e-4e43-9d37-0a7b8f2f1f10", "generation": 1},
            "spec": {"type": "PostgreSQL", "provisioner": "Embedded"},
        }
    )
    claimant = Claimant(HOME, "0d6e2c0f-8f52-4c29-8b3f-2a9c62d1f2e7", "acme", POLICY.uid)
    return ledger.entry(StoreIdentity("installation", HOME, "acme", "Analytical"), claimant, store_class)


async def test_what_is_not_there_is_none_and_an_empty_list(cluster: Cluster) -> None:
    assert await cluster.get(CONFIG_MAP, "nothing", HOME) is None
    assert await cluster.list(STORE) == ()
    assert await cluster.delete(CONFIG_MAP, "nothing", HOME) is False
    assert await cluster.merge(STORE, "nothing", None, {"spec": {}}) is None
    assert await cluster.patch_status(STORE, "nothing", None, {"phase": "Bound"}) is None


async def test_an_apply_makes_changes_and_tells_whether_it_did(cluster: Cluster) -> None:
    first = await cluster.apply(config_map(a="1", b="2"))
    again = await cluster.apply(config_map(a="1", b="2"))
    changed = await cluster.apply(config_map(a="3"))
    assert [(done.existed, done.changed) for done in (first, again, changed)] == [
        (False, True),
        (True, False),
        (True, True),
    ]
    assert changed.manifest["data"] == {"a": "3"}


async def test_what_others_add_to_an_applied_object_stays(cluster: Cluster) -> None:
    await cluster.apply(config_map(a="1"))
    await cluster.merge(CONFIG_MAP, "plan", HOME, {"data": {"theirs": "x"}})
    after = await cluster.apply(config_map(a="2"))
    assert after.manifest["data"] == {"a": "2", "theirs": "x"}


async def test_a_secret_is_replaced_whole_so_that_a_surplus_key_goes(cluster: Cluster) -> None:
    wanted = secret("acme-app", HOME, {"a": "b"}, "Opaque", {"password": "p"})
    await cluster.apply(wanted)
    assert not (await cluster.apply(wanted)).changed
    await cluster.merge(SECRET, "acme-app", HOME, {"data": encoded({"password": "forged", "surplus": "x"})})
    repaired = await cluster.apply(wanted)
    assert repaired.changed
    assert repaired.manifest["data"] == encoded({"password": "p"})
    assert not (await cluster.apply(wanted)).changed


async def test_a_secret_that_somebody_made_immutable_is_put_right(cluster: Cluster) -> None:
    wanted = secret("acme-app", HOME, {"a": "b"}, "Opaque", {"password": "p"})
    await cluster.apply(wanted)
    await cluster.merge(SECRET, "acme-app", HOME, {"data": encoded({"password": "forged"}), "immutable": True})
    repaired = await cluster.apply(wanted)
    assert (repaired.existed, repaired.changed) == (True, True)
    assert repaired.manifest["data"] == encoded({"password": "p"})
    assert not repaired.manifest.get("immutable")


async def test_a_secret_of_another_type_in_our_place_is_put_right(cluster: Cluster) -> None:
    await cluster.create(secret("acme-app", HOME, {}, "Opaque", {"password": "forged"}))
    await cluster.apply(secret("acme-app", HOME, {"a": "b"}, "servicebinding.io/s3", {"password": "p"}))
    found = await cluster.get(SECRET, "acme-app", HOME)
    assert found is not None
    assert (found["type"], found["data"]) == ("servicebinding.io/s3", encoded({"password": "p"}))


async def test_a_plan_that_somebody_made_immutable_is_put_right(server: ApiServer) -> None:
    async with api_client(Path(server.folder) / "kubeconfig", in_cluster=False) as api:
        cluster = KubernetesCluster(api, "contract")
        await cluster.apply(config_map(a="1"))
        await cluster.merge(CONFIG_MAP, "plan", HOME, {"data": {"a": "forged"}, "immutable": True})
        assert (await cluster.apply(config_map(a="1"))).manifest["data"] == {"a": "1"}


async def test_a_kind_that_is_not_served_is_not_taken_for_an_object_that_is_gone__X5(server: ApiServer) -> None:
    unserved = Kind("tenantretention.io/v1alpha1", "NeverServed", "neverserveds")
    async with api_client(Path(server.folder) / "kubeconfig", in_cluster=False) as api:
        with pytest.raises(NotReady):
            await KubernetesCluster(api, "contract").get(unserved, "acme", HOME)


async def test_kinds_of_products_that_are_not_installed_are_known_to_be_missing(cluster: Cluster) -> None:
    if isinstance(cluster, FakeCluster):
        cluster.unserved = frozenset({POSTGRES_CLUSTER.group})
    assert await cluster.serves(STORE)
    assert not await cluster.serves(POSTGRES_CLUSTER)
    with pytest.raises(NotReady):
        await cluster.get(POSTGRES_CLUSTER, "acme-cnpg", HOME)


@pytest.mark.parametrize("kind", ["CronJob", "NetworkPolicy"])
async def test_what_the_server_fills_in_is_no_change(cluster: Cluster, kind: str) -> None:
    wanted = nightly() if kind == "CronJob" else jobs_network_policy(POLICY, DnsServers())
    await cluster.apply(wanted)
    for _ in range(2):
        assert not (await cluster.apply(copy.deepcopy(wanted))).changed


async def test_a_cron_job_that_somebody_suspended_is_resumed(cluster: Cluster) -> None:
    await cluster.apply(nightly())
    await cluster.merge(CRON_JOB, "acme-expire", HOME, {"spec": {"suspend": True}})
    repaired = await cluster.apply(nightly())
    assert repaired.changed
    assert repaired.manifest["spec"]["suspend"] is False


async def test_a_network_policy_that_somebody_opened_is_closed(cluster: Cluster) -> None:
    wanted = jobs_network_policy(POLICY, DnsServers())
    await cluster.apply(wanted)
    await cluster.merge(NETWORK_POLICY, "acme-jobs", HOME, {"spec": {"ingress": [{}]}})
    repaired = await cluster.apply(wanted)
    assert repaired.changed
    assert not repaired.manifest["spec"].get("ingress")


async def test_a_server_to_whose_pods_somebody_added_a_container_loses_it(cluster: Cluster) -> None:
    _, wanted = database_server()
    await cluster.apply(wanted)
    for _ in range(2):
        assert not (await cluster.apply(copy.deepcopy(wanted))).changed
    found = await cluster.get(STATEFUL_SET, "acme-postgresql", HOME)
    assert found is not None
    pod = found["spec"]["template"]["spec"]
    container = {**pod["containers"][0], "env": [{"name": "PGOPTIONS", "value": "forged"}]}
    containers = [container, {"name": "theirs", "image": "theirs:1"}]
    await cluster.merge(
        STATEFUL_SET, "acme-postgresql", HOME, {"spec": {"template": {"spec": {"containers": containers}}}}
    )
    repaired = await cluster.apply(wanted)
    assert repaired.changed
    (container,) = repaired.manifest["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in container["env"]] == [
        each["name"] for each in wanted["spec"]["template"]["spec"]["containers"][0]["env"]
    ]
    assert repaired.manifest["metadata"]["uid"] == found["metadata"]["uid"]
    assert not (await cluster.apply(wanted)).changed


async def test_the_order_to_restart_a_server_and_notes_on_it_outlive_what_is_put_right(cluster: Cluster) -> None:
    _, wanted = database_server()
    await cluster.apply(wanted)
    found = await cluster.get(STATEFUL_SET, "acme-postgresql", HOME)
    assert found is not None
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    by_hand = {**annotations, RESTARTED_AT: "2026-11-22T12:00:00Z", "theirs": "x"}
    patch = {
        "metadata": {"annotations": {"cloud.example/status": "seen"}},
        "spec": {"template": {"metadata": {"annotations": by_hand}}},
    }
    await cluster.merge(STATEFUL_SET, "acme-postgresql", HOME, patch)
    repaired = await cluster.apply(wanted)
    kept = {**annotations, RESTARTED_AT: "2026-11-22T12:00:00Z"}
    assert repaired.manifest["spec"]["template"]["metadata"]["annotations"] == kept
    assert repaired.manifest["metadata"]["annotations"] == {"cloud.example/status": "seen"}
    assert not (await cluster.apply(wanted)).changed


async def test_a_server_that_was_made_anew_with_another_selector_is_made_anew_once_more(cluster: Cluster) -> None:
    _, wanted = database_server()
    theirs = copy.deepcopy(wanted)
    theirs["spec"]["selector"] = {"matchLabels": {"app": "theirs"}}
    theirs["spec"]["template"]["metadata"]["labels"]["app"] = "theirs"
    made = await cluster.create(theirs)
    assert made is not None
    repaired = await cluster.apply(wanted)
    assert (repaired.existed, repaired.changed) == (True, True)
    assert repaired.manifest["spec"]["selector"] == wanted["spec"]["selector"]
    assert repaired.manifest["metadata"]["uid"] != made["metadata"]["uid"]


async def test_an_address_that_somebody_opened_to_the_world_is_closed_and_stays_the_same(cluster: Cluster) -> None:
    wanted, _ = database_server()
    made = (await cluster.apply(wanted)).manifest
    assert not (await cluster.apply(copy.deepcopy(wanted))).changed
    await cluster.merge(SERVICE, "acme-postgresql", HOME, {"spec": {"externalIPs": ["192.0.2.1"]}})
    repaired = await cluster.apply(wanted)
    assert repaired.changed
    assert "externalIPs" not in repaired.manifest["spec"]
    assert repaired.manifest["spec"].get("clusterIP") == made["spec"].get("clusterIP")


async def test_the_second_to_create_an_object_is_told_that_it_is_there(cluster: Cluster) -> None:
    assert await cluster.create(store()) is not None
    assert await cluster.create(store()) is None
    (found,) = await cluster.list(STORE, labels=ledger.selector(HOME, "acme"))
    assert found["kind"] == "DataStore"
    assert await cluster.list(STORE, labels=ledger.selector(HOME, "other")) == ()


async def test_only_the_object_of_that_uid_is_deleted(cluster: Cluster) -> None:
    made = (await cluster.apply(config_map(a="1"))).manifest
    assert await cluster.delete(CONFIG_MAP, "plan", HOME, "00000000-0000-4000-8000-ffffffffffff") is False
    assert await cluster.delete(CONFIG_MAP, "plan", HOME, made["metadata"]["uid"]) is True
    assert await cluster.get(CONFIG_MAP, "plan", HOME) is None


async def test_a_claim_ends_and_an_administrators_word_is_completed__X5(cluster: Cluster) -> None:
    made = await cluster.create(store())
    assert made is not None
    name = made["metadata"]["name"]
    released = await cluster.merge(STORE, name, None, ledger.release())
    assert released is not None
    assert "claimRef" not in released["spec"]
    await cluster.merge(STORE, name, None, {"spec": {"claimRef": {"namespace": HOME, "name": "acme"}}})
    claimant = Claimant(HOME, "0d6e2c0f-8f52-4c29-8b3f-2a9c62d1f2e7", "acme", "11111111-0000-4000-8000-000000000000")
    bound = await cluster.merge(STORE, name, None, ledger.bind(claimant))
    assert bound is not None
    assert bound["spec"]["claimRef"]["uid"] == claimant.policy_uid


async def test_a_status_is_patched_apart_from_the_spec(cluster: Cluster) -> None:
    made = await cluster.create(store())
    assert made is not None
    name = made["metadata"]["name"]
    await cluster.patch_status(STORE, name, None, {"phase": "Bound", "overdue": 3})
    after = await cluster.patch_status(STORE, name, None, {"overdue": None})
    assert after is not None
    assert after["status"]["phase"] == "Bound"
    assert "overdue" not in after["status"] or after["status"]["overdue"] == 0
    assert after["metadata"]["generation"] == made["metadata"]["generation"]


async def test_in_a_namespace_that_is_missing_or_terminating_nothing_is_created(
    cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    elsewhere: dict[str, Any] = copy.deepcopy(config_map(a="1"))
    elsewhere["metadata"]["namespace"] = "nowhere"
    with pytest.raises(NotReady):
        await cluster.create(elsewhere)
    leaving = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "leaving"}}
    if isinstance(cluster, FakeCluster):
        cluster.put({**leaving, "metadata": {"name": "leaving", "deletionTimestamp": "2026-11-22T12:00:00Z"}})
    else:
        await cluster.create(leaving)
        # Without a controller manager the namespace stays Terminating for ever: just what is wanted here.
        await cluster.delete(NAMESPACE, "leaving")
    elsewhere["metadata"]["namespace"] = "leaving"
    with pytest.raises(NotReady) as refused:
        await cluster.create(elsewhere)
    assert refused.value.reason == "NamespaceTerminating"


async def test_an_event_can_be_told_of_any_object(cluster: Cluster) -> None:
    made = await cluster.create(store())
    assert made is not None
    await cluster.tell(Happening(made, "StoreReleased", "the policy is gone " + "x" * 2000, "Warning"))


async def test_the_api_server_says_what_is_wrong_with_an_object(server: ApiServer) -> None:
    async with api_client(Path(server.folder) / "kubeconfig", in_cluster=False) as api:
        cluster = KubernetesCluster(api, "contract")
        broken = store()
        broken["spec"]["purpose"] = "Nonsense"
        with pytest.raises(Invalid, match="purpose"):
            await cluster.create(broken)


async def test_an_api_server_that_is_away_is_unavailable_and_nothing_else(tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "it", "user": {"token": "t"}}],
    }
    nowhere.write_text(yaml.safe_dump(configuration))
    async with api_client(nowhere, in_cluster=False) as api:
        with pytest.raises(Unavailable):
            await KubernetesCluster(api, "contract").get(NAMESPACE, "default")
