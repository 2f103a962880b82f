"""The chart's roles on a real API server: enough for every call of the operator's own client, and no more (X2, X5)."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from tenant_retention.adapters.kubernetes.client import KubernetesCluster
from tenant_retention.adapters.kubernetes.session import api_client
from tenant_retention.domain.errors import NotReady, RetentionError, Unavailable
from tenant_retention.domain.manifests import bindings, postgresql, seaweedfs
from tenant_retention.domain.manifests.inputs import OperatorRef, RequestRef
from tenant_retention.domain.manifests.metadata import owner_reference
from tenant_retention.domain.manifests.operator_secrets import tenant_role_binding
from tenant_retention.domain.ports.cluster import (
    CRON_JOB,
    HOLD,
    JOB,
    PERSISTENT_VOLUME,
    POD,
    POLICY,
    PROFILE,
    REQUEST,
    RUN,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    STORE,
    STORE_CLASS,
    VOLUME_CLAIM,
    Happening,
    Kind,
    Manifest,
)
from tenant_retention.domain.ports.cluster import NAMESPACE as NAMESPACE_KIND
from tests.chart.test_api_server import FULLNAME, NAMESPACE, OPERATOR, hold, install, policy, request, run, stored
from tests.support.api_server import ApiServer, start
from tests.support.waiting import eventually
from tests.unit import manifest_examples as examples

HOME = examples.POLICY.namespace
GROUPS = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]
"""What every service account of that namespace belongs to."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with the chart's roles and one namespace that is served."""
    running = start(tmp_path_factory.mktemp("operator-rights"))
    try:
        install(running)
        running.kubectl("create", "namespace", HOME)
        running.kubectl("label", "namespace", HOME, "tenantretention.io/tenant=true")
        yield running
    finally:
        running.stop()


@pytest.fixture
async def operator(server: ApiServer) -> AsyncIterator[KubernetesCluster]:
    """The operator's client with the rights of its service account, let into the namespace by itself."""
    async with api_client(Path(server.folder) / "kubeconfig", in_cluster=False) as api:
        api.default_headers["Impersonate-User"] = OPERATOR
        cluster = KubernetesCluster(api, "trial")
        itself = OperatorRef(NAMESPACE, service_account=FULLNAME, cluster_role=f"{FULLNAME}-tenant")
        await cluster.apply(tenant_role_binding(itself, HOME))
        eventually(lambda: can(server, "create", "secrets"), "the operator is not let in by its own binding")
        yield cluster


def can(server: ApiServer, verb: str, resource: str) -> bool:
    return "yes" in server.kubectl("auth", "can-i", verb, resource, "-n", HOME, f"--as={OPERATOR}", "--quiet=false")


def may(server: ApiServer, verb: str, resource: str, where: str) -> bool:
    """What the API server says that the operator may do there."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": OPERATOR,
            "groups": GROUPS,
            "resourceAttributes": {"namespace": where, "verb": verb, **_resource(resource)},
        },
    }
    answer = server.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer.ok, answer.text
    return bool(answer.json()["status"]["allowed"])


def _resource(text: str) -> dict[str, str]:
    name, _, group = text.partition(".")
    resource, _, subresource = name.partition("/")
    return {"resource": resource, "subresource": subresource, "group": group}


def made_for_a_tenant() -> list[Manifest]:
    """One of everything, without owners: the policy of the examples is not there, so that what it owned would go."""
    objects = copy.deepcopy(
        [
            *postgresql.embedded_postgresql(examples.POSTGRES),
            *seaweedfs.embedded_s3(examples.S3),
            bindings.postgres_binding(examples.POLICY, "Analytical", "app", examples.POSTGRES_CREDENTIALS, "store-1"),
            *(found for found in examples.schedule_objects() if found["kind"] != "Job"),
        ]
    )
    for found in objects:
        found["metadata"].pop("ownerReferences", None)
    return objects


async def test_the_operator_makes_and_puts_right_everything_of_a_tenant(
    server: ApiServer, operator: KubernetesCluster
) -> None:
    for wanted in made_for_a_tenant():
        assert (await operator.apply(wanted)).changed
        drifted = copy.deepcopy(wanted)
        drifted["metadata"]["labels"] = {"changed": "by-hand"}
        server.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(drifted))
        repaired = await operator.apply(wanted)
        assert repaired.manifest["metadata"]["labels"].items() >= wanted["metadata"]["labels"].items()


async def test_a_frozen_secret_is_put_right_with_the_operators_own_rights(
    server: ApiServer, operator: KubernetesCluster
) -> None:
    wanted = bindings.s3_binding(examples.POLICY, "Content", "app", examples.S3_CREDENTIALS, "store-2")
    await operator.apply(wanted)
    name = wanted["metadata"]["name"]
    server.kubectl("-n", HOME, "patch", "secret", name, "--type=merge", "-p", '{"immutable": true, "data": {}}')
    server.kubectl("-n", HOME, "label", "secret", name, "changed=by-hand")
    assert (await operator.apply(wanted)).manifest["data"] == wanted["data"]


async def test_the_secret_of_a_request_becomes_its_own_and_goes_with_the_operators_own_rights__T7(
    server: ApiServer, operator: KubernetesCluster
) -> None:
    server.kubectl("-n", HOME, "create", "secret", "generic", "req-1", "--from-literal=phones=+31612345678")
    server.kubectl("-n", HOME, "patch", "secret", "req-1", "--type=merge", "-p", '{"immutable": true}')
    found = await operator.get(SECRET, "req-1", HOME) or {}
    kept = {name: found["metadata"][name] for name in ("uid", "resourceVersion")}
    patch = {"metadata": {**kept, "ownerReferences": [owner_reference(RequestRef("req-1", "u-1", "req-1"))]}}
    owned = await operator.merge(SECRET, "req-1", HOME, patch) or {}
    assert owned["data"] == found["data"]
    with pytest.raises(NotReady):
        await operator.merge(SECRET, "req-1", HOME, {"metadata": {**kept, "labels": {"changed": "meanwhile"}}})
    assert await operator.delete(SECRET, "req-1", HOME, kept["uid"])


async def test_the_operator_starts_and_ends_jobs_and_looks_at_pods_and_volumes(operator: KubernetesCluster) -> None:
    job = copy.deepcopy(next(found for found in examples.schedule_objects() if found["kind"] == "Job"))
    del job["metadata"]["ownerReferences"]
    nightly = copy.deepcopy(examples.of_kind(examples.schedule_objects(), "CronJob"))
    del nightly["metadata"]["ownerReferences"]
    await operator.apply(nightly)
    assert await operator.create(job) is not None
    assert await operator.list(POD, HOME) == ()
    assert await operator.get(VOLUME_CLAIM, "data-acme-postgresql-0", HOME) is None
    assert await operator.get(PERSISTENT_VOLUME, "none") is None
    for kind, made in ((CRON_JOB, nightly), (JOB, job)):
        assert len(await operator.list(kind, HOME)) == 1
        assert await operator.delete(kind, made["metadata"]["name"], HOME)


SECRETS = [(verb, "secrets") for verb in ("get", "list", "watch", "create", "update", "patch", "delete")]
REACH = [
    ("get", "configmaps"),
    ("get", "pods"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("create", "serviceaccounts/token"),
]
CHANGES = [
    ("create", "jobs.batch"),
    ("delete", "cronjobs.batch"),
    ("patch", "statefulsets.apps"),
    ("update", "services"),
]


async def test_what_it_is_said_to_may_not_do_it_may_not_where_it_serves_nobody_and_may_where_it_does__X2(
    server: ApiServer, operator: KubernetesCluster
) -> None:
    del operator  # it let itself in
    for elsewhere in ("kube-system", "default"):
        told = server.kubectl("auth", "can-i", "--list", "-n", elsewhere, f"--as={OPERATOR}")
        assert [line for line in told.splitlines() if line.startswith(("secrets", "pods", "configmaps", "*"))] == []
        assert [want for want in (*SECRETS, *REACH, *CHANGES) if may(server, *want, elsewhere)] == []
    told = server.kubectl("auth", "can-i", "--list", "-n", HOME, f"--as={OPERATOR}")
    (secrets,) = [line for line in told.splitlines() if line.startswith("secrets")]
    assert "list" not in secrets.split("[")[-1], "Secrets are read by name"
    assert may(server, "get", "secrets", HOME)
    assert not may(server, "create", "pods/exec", HOME)
    # A Cluster of CloudNativePG takes its volume claims with it (X5).
    assert may(server, "create", "clusters.postgresql.cnpg.io", HOME)
    assert not may(server, "delete", "clusters.postgresql.cnpg.io", HOME)
    # The backups that its owner has it make are read, never made or removed (T6).
    read = (("list", "scheduledbackups.postgresql.cnpg.io"), ("list", "backups.postgresql.cnpg.io"))
    for verb, resource in (*read, ("get", "objectstores.barmancloud.cnpg.io")):
        assert may(server, verb, resource, HOME)
        assert [word for word in ("create", "patch", "update", "delete") if may(server, word, resource, HOME)] == []
        assert not may(server, verb, resource, "default")


@pytest.mark.parametrize("elsewhere", ["kube-system", "default"])
async def test_it_tries_to_reach_what_is_not_its_own_and_is_refused__X2(
    server: ApiServer, operator: KubernetesCluster, elsewhere: str
) -> None:
    server.kubectl("create", "secret", "generic", "theirs", "-n", elsewhere, "--from-literal=password=kept")
    with pytest.raises(Unavailable, match="cannot get resource"):
        await operator.get(SECRET, "theirs", elsewhere)
    with pytest.raises(Unavailable, match="cannot list resource"):
        await operator.list(SECRET, elsewhere)
    with pytest.raises(Unavailable, match="cannot delete resource"):
        await operator.delete(SECRET, "theirs", elsewhere)
    for wanted in made_for_a_tenant():
        wanted["metadata"]["namespace"] = elsewhere
        with pytest.raises(Unavailable, match="is forbidden"):
            await operator.apply(wanted)
    itself = OperatorRef(NAMESPACE, service_account=FULLNAME, cluster_role=f"{FULLNAME}-tenant")
    with pytest.raises(RetentionError, match=f"namespace {elsewhere} is not served"):
        await operator.apply(tenant_role_binding(itself, elsewhere))
    assert "theirs" in server.kubectl("get", "secrets", "-n", elsewhere)


async def test_a_server_of_our_name_with_other_selectors_is_made_anew_with_the_operators_own_rights(
    operator: KubernetesCluster,
) -> None:
    wanted = examples.of_kind(postgresql.embedded_postgresql(examples.POSTGRES), "StatefulSet")
    theirs = copy.deepcopy(wanted)
    theirs["spec"]["selector"]["matchLabels"]["app"] = "theirs"
    theirs["spec"]["template"]["metadata"]["labels"]["app"] = "theirs"
    await operator.delete(STATEFUL_SET, wanted["metadata"]["name"], HOME)
    assert await operator.create(theirs) is not None
    patch = {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}}
    assert await operator.merge(STATEFUL_SET, wanted["metadata"]["name"], HOME, patch) is not None
    repaired = (await operator.apply(copy.deepcopy(wanted))).manifest
    assert repaired["spec"]["selector"] == wanted["spec"]["selector"]


@pytest.mark.parametrize("kind", [SERVICE, VOLUME_CLAIM])
async def test_the_operator_cannot_delete_what_leads_to_data__X5(operator: KubernetesCluster, kind: Kind) -> None:
    with pytest.raises(Unavailable, match="cannot delete"):
        await operator.delete(kind, "acme-postgresql", HOME)


async def test_the_operator_writes_statuses_events_and_the_ledger_and_no_spec_of_its_users__X2(
    server: ApiServer, operator: KubernetesCluster
) -> None:
    found = stored(server, policy("rights"))
    stored(server, run())
    stored(server, hold("rights"))
    stored(server, request("rights"))
    for kind in (POLICY, HOLD, REQUEST):
        assert await operator.patch_status(kind, "rights", "default", {"databases": "0/1"}) is not None
    with pytest.raises(Unavailable, match="cannot patch"):
        await operator.merge(HOLD, "rights", "default", {"spec": {"release": {"reason": "by itself"}}})
    with pytest.raises(Unavailable, match="cannot delete"):
        await operator.delete(HOLD, "rights", "default")
    with pytest.raises(Unavailable, match="cannot delete"):
        await operator.delete(REQUEST, "rights", "default")
    with pytest.raises(Unavailable, match="cannot patch"):
        await operator.merge(POLICY, "rights", "default", {"spec": {"suspend": True}})
    await operator.tell(Happening(found, "RunMissed", "told"))
    assert "told" in server.kubectl("-n", "default", "get", "events")
    for kind in (POLICY, RUN, HOLD, REQUEST, PROFILE, STORE_CLASS, STORE, NAMESPACE_KIND):
        await operator.list(kind)
    assert await operator.delete(RUN, "trial", "default")
    with pytest.raises(Unavailable, match="cannot delete"):
        await operator.delete(STORE, "none")
