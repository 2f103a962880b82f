"""A tenant on CloudNativePG, three instances: served, backed up and restored; losing the primary loses nothing (T6, X5, X6).

The tests tell one story of one tenant and run in this order: a Cluster of three takes a minute to come up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from demo.kubectl import Kubectl, wait
from devcluster.recipes import POSTGRES_VERSION
from tests.cluster.applications import SQL, python, secret
from tests.cluster.backups import assert_one_backup_of_a_fortnight, back_up, category, restore
from tests.cluster.conftest import (
    OPERATOR_NAMESPACE,
    QUIET,
    RELEASE,
    ROOT,
    SPEC,
    Tenant,
    install_operator,
    passing_tenants,
)

CLUSTER = "clusters.postgresql.cnpg.io"
SCHEDULED = "scheduledbackups.postgresql.cnpg.io"
NAMESPACE = "trial-cnpg"
NAME = "acme-cnpg"
CATALOGUE = "trial"
BINDING = "acme-analytical-app"
URI = f"/bindings/{BINDING}/uri"
OLD, YOUNG = 3_000, 40
FILL = """
import psycopg, sys
insert = ("INSERT INTO records (id, session_id, started_at) SELECT number, 's' || number, now() - %s::interval"
    " FROM generate_series(%s::bigint, %s::bigint) number")
old, young = int(sys.argv[2]), int(sys.argv[3])
with psycopg.connect(open(sys.argv[1]).read()) as database:
    for third, age in enumerate(('110 days', '75 days', '40 days')):
        database.execute(insert, (age, third * old // 3 + 1, (third + 1) * old // 3))
    database.execute(insert, ('10 days', old + 1, old + young))
print('written')
"""
"""Rows of three months, which are kept thirty days, and a few of ten days."""
NIGHTLY = {
    "apiVersion": "postgresql.cnpg.io/v1",
    "kind": "ScheduledBackup",
    "metadata": {"namespace": NAMESPACE, "name": "nightly"},
    "spec": {"cluster": {"name": NAME}, "schedule": f"0 0 {QUIET['start'][:2]} * * *"},
}
"""The Cluster's owner has it backed up every day, half a day from now."""
HOLD_UP = "BEGIN; LOCK TABLE ONLY public.{} IN SHARE MODE; SELECT pg_sleep(300)"
"""What keeps a month from being removed, so that a night can be met in its midst."""


LAST_MONTH = (
    "SELECT tableoid::regclass FROM records WHERE started_at < now() - interval '30 days' ORDER BY id DESC LIMIT 1"
)
COUNT = "SELECT count(*) FROM records"
SYNCHRONOUS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
EVIDENCE = "SELECT body FROM retention.evidence ORDER BY sequence"
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 5432), 5)
except OSError as kept_out:
    print(type(kept_out).__name__)
"""
"""Whether the network lets a pod through to the primary."""


@pytest.fixture(scope="module")
def tenant(operator: Kubectl) -> Iterator[Tenant]:
    """A tenant whose database comes from the class of CloudNativePG."""
    classes = (ROOT / "examples/classes/cloudnativepg.yaml").read_text()
    (found,) = yaml.safe_load_all(classes)
    found["spec"] |= {"allowedNamespaces": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
    found["spec"]["cloudNativePG"] |= {"storage": "1Gi", "imageCatalogRef": {"name": CATALOGUE, "major": 17}}
    operator.apply([found])
    with passing_tenants(operator) as make:
        yield make(NAMESPACE, spec=tenant_spec())
    operator.run("delete", "clusterimagecatalog", CATALOGUE, show=False)


def tenant_spec() -> dict[str, Any]:
    """The policy: its database is of the class of ``examples``."""
    stores = [{"purpose": "Analytical", "className": "cloudnativepg"}]
    return {**SPEC, "stores": stores, "guard": {"maxDeletedPercent": 100}}


def cluster(tenant: Tenant) -> Any:
    """The Cluster as it is."""
    return tenant.kubectl.get(*tenant.place(), CLUSTER, NAME)


def primary(tenant: Tenant) -> str:
    """The instance that is the primary now; empty while none is."""
    status = cluster(tenant).get("status", {})
    now = status.get("currentPrimary", "")
    return str(now) if now == status.get("targetPrimary") else ""


def ask(tenant: Tenant, query: str) -> str:
    """What the primary's superuser answers, beside every role of ours; empty where it cannot be asked now."""
    return tenant.kubectl.attempt(*tenant.place(), *psql(tenant, query), show=False).stdout.strip()


def psql(tenant: Tenant, query: str) -> tuple[str, ...]:
    """kubectl's words for a query in the tenant's database, by the primary's superuser."""
    database = secret(tenant.kubectl, tenant.namespace, BINDING)["database"]
    return ("exec", primary(tenant), "-c", "postgres", "--", "psql", "-U", "postgres", "-d", database, "-Atc", query)


def lose_primary(tenant: Tenant) -> str:
    """Deletes the primary's pod, as the end of a node would; the name of the instance that was lost."""
    lost = primary(tenant)
    tenant.kubectl.run(*tenant.place(), "delete", "pod", lost, "--grace-period=0", "--force", show=False)
    return lost


def ask_for(tenant: Tenant, backup: dict[str, Any] | None) -> None:
    """Edits what CloudNativePG itself backs up, as the Cluster's owner would."""
    patch = json.dumps({"spec": {"backup": backup}})
    tenant.kubectl.run(*tenant.place(), "patch", CLUSTER, NAME, "--type=merge", "-p", patch, show=False)


def reason_of_stall(tenant: Tenant) -> str:
    """Why the policy is Stalled; empty if it is not."""
    found = tenant.condition("Stalled")
    return str(found["reason"]) if found.get("status") == "True" else ""


def store_message(tenant: Tenant) -> str:
    """What the policy says of its database."""
    (row,) = [row for row in tenant.status()["stores"] if row["purpose"] == "Analytical"]
    return str(row.get("message", ""))


def entry(tenant: Tenant) -> Any:
    """The ledger entry of the tenant's database."""
    mine = [s for s in tenant.kubectl.get("dst")["items"] if s["spec"]["namespace"] == tenant.namespace]
    found = [store for store in mine if store["spec"]["type"] == "PostgreSQL"]
    return found[0] if found else {}


def test_a_policy_waits_for_cloudnativepg_and_its_image_catalogue_and_goes_on_when_they_are_there(
    tenant: Tenant,
) -> None:
    kubectl = tenant.kubectl
    if kubectl.attempt("get", "crd", CLUSTER, show=False).returncode:
        waiting = lambda: tenant.condition("Reconciling").get("reason") == "WaitingForCloudNativePG"  # noqa: E731
        wait("the policy to say that CloudNativePG is missing", 300, waiting)
    if os.environ.get("CLUSTER") != "current":
        command = [sys.executable, "-m", "devcluster", "cloudnative-pg"]
        done = subprocess.run(command, cwd=ROOT, check=False, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr

    def made() -> bool:
        return kubectl.attempt(*tenant.place(), "get", CLUSTER, NAME, show=False).returncode == 0

    wait("the Cluster to be made", 300, made)
    assert not cluster(tenant)["metadata"].get("ownerReferences")
    missing = lambda: "image catalog" in tenant.condition("Reconciling").get("message", "")  # noqa: E731
    wait("the policy to say that the catalogue of images is missing", 300, missing)
    image = f"localhost/tenant-retention/postgres:{POSTGRES_VERSION}"
    catalogue = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "ClusterImageCatalog",
        "metadata": {"name": CATALOGUE},
        "spec": {"images": [{"major": 17, "image": image}]},
    }
    kubectl.apply([catalogue])
    taken = lambda: cluster(tenant)["status"].get("image") == image  # noqa: E731
    wait("the Cluster to take its image from the catalogue", 300, taken)


def test_losing_the_primary_while_the_database_is_made_ends_in_one_whole_database__D1(tenant: Tenant) -> None:
    # The volumes are recorded right before the first word to the server.
    wait("the Cluster's volumes in the ledger", 300, lambda: entry(tenant).get("spec", {}).get("volumes"))
    lost = lose_primary(tenant)
    assert tenant.condition("Ready").get("status") != "True", "it was made already"
    wait("another primary", 300, lambda: primary(tenant) not in ("", lost))
    tenant.wait_for("condition=Ready", 300)
    databases = ask(tenant, "SELECT count(*) FROM pg_database WHERE datname LIKE 'trial\\_cnpg%'")
    assert databases == "1"
    question = ("ask", SQL, URI, COUNT)
    assert python(tenant, (BINDING,), *question) == "[(0,)]"
    host = secret(tenant.kubectl, tenant.namespace, BINDING)["host"]
    assert python(tenant, (BINDING,), "stranger", KNOCK, host, labelled=False) == "TimeoutError"


def test_backups_that_are_kept_too_long_stall_the_policy_and_those_within_its_bounds_are_told__M10_T6(
    tenant: Tenant,
) -> None:
    refused = lambda: reason_of_stall(tenant) == "CopiesOutliveBounds"  # noqa: E731
    elsewhere = {"destinationPath": "s3://elsewhere/", "s3Credentials": {"inheritFromIAMRole": True}}
    ask_for(tenant, {"barmanObjectStore": elsewhere})
    wait("the policy to refuse copies without an end", 300, refused)
    assert f"spec.backup.retentionPolicy of Cluster {NAME}" in tenant.condition("Stalled")["message"]
    tenant.kubectl.apply([NIGHTLY])
    ask_for(tenant, {"barmanObjectStore": elsewhere, "retentionPolicy": "14d"})
    told = f"up to 17 days (spec.backup.retentionPolicy of Cluster {NAME})"
    wait("the policy to tell how long they live", 300, lambda: told in store_message(tenant))
    wait("the policy to go on", 300, lambda: not reason_of_stall(tenant))
    ask_for(tenant, {"barmanObjectStore": elsewhere, "retentionPolicy": "60d"})
    wait("the policy to refuse copies beyond a deadline", 300, refused)
    assert "a window of 60 days" in tenant.condition("Stalled")["message"]
    ask_for(tenant, None)
    tenant.kubectl.run(*tenant.place(), "delete", SCHEDULED, "nightly", show=False)
    wait("the policy to go on", 300, lambda: not reason_of_stall(tenant))


def test_losing_the_primary_during_a_night_loses_nothing_and_deletes_nothing_twice__M8_P2_X6(tenant: Tenant) -> None:
    wait("all instances", 240, lambda: cluster(tenant)["status"].get("readyInstances") == 3)
    wait("a standby that commits wait for", 120, lambda: ask(tenant, SYNCHRONOUS) not in ("", "0"))
    assert python(tenant, (BINDING,), "fill", FILL, URI, str(OLD), str(YOUNG)) == "written"
    month = ask(tenant, LAST_MONTH)
    holding = psql(tenant, HOLD_UP.format(month.removeprefix("public.")))
    kubectl = [str(argument) for argument in ("kubectl", *tenant.place(), *holding)]
    with subprocess.Popen(kubectl, env={**os.environ, **tenant.kubectl.environment}, stdout=subprocess.DEVNULL):
        job = ("create", "job", "night", "--from=cronjob/acme-expire")
        tenant.kubectl.run(*tenant.place(), *job, show=False)
        wait("the night to stand before its last month", 300, lambda: ask(tenant, COUNT) == str(OLD // 3 + YOUNG))
        lost = lose_primary(tenant)
    wait("another primary", 300, lambda: primary(tenant) not in ("", lost))
    wait("the night's end", 300, lambda: ask(tenant, COUNT) == str(YOUNG))
    tenant.kubectl.run(*tenant.place(), "wait", "--for=condition=Complete", "job/night", "--timeout=300s", show=False)
    assert ask(tenant, "SELECT min(id) FROM records") == str(OLD + 1)
    evidence = [json.loads(line) for line in ask(tenant, EVIDENCE).splitlines()]
    acted = [
        category["acted"] for body in evidence for category in body["categories"] if category["category"] == "records"
    ]
    assert sum(acted) == OLD, "each row is told once"
    tenant.wait_for("condition=Compliant", 300)


def test_the_night_is_followed_by_a_backup_of_the_clusters_database_and_the_policy_tells_both_dates__T6_M10(
    tenant: Tenant,
) -> None:
    assert_one_backup_of_a_fortnight(tenant, back_up(tenant))


def test_a_database_that_was_lost_comes_back_into_the_same_cluster_by_the_one_command__T6_X5(tenant: Tenant) -> None:
    before = cluster(tenant)["metadata"]["uid"]
    drop = f'DROP DATABASE "{secret(tenant.kubectl, tenant.namespace, BINDING)["database"]}" WITH (FORCE)'
    superuser = ("exec", primary(tenant), "-c", "postgres", "--", "psql", "-U", "postgres", "-qc", drop)
    tenant.kubectl.run(*tenant.place(), *superuser, show=False)
    said = restore(tenant)
    assert said.startswith("restored Analytical from "), said
    assert cluster(tenant)["metadata"]["uid"] == before
    assert ask(tenant, "SELECT count(*), min(id) FROM records") == f"{YOUNG}|{OLD + 1}"
    wait("the records to be back in the status", 300, lambda: category(tenant).get("rows") == YOUNG)
    assert python(tenant, (BINDING,), "refill", FILL, URI, "0", "0") == "written", "its application works on as before"


def test_a_gitops_prune_keeps_the_cluster_its_volumes_and_its_network_policy__X5(tenant: Tenant) -> None:
    before = cluster(tenant)
    prune = ("delete", "trp", "acme", "--cascade=foreground", "--timeout=30s")
    tenant.kubectl.run(*tenant.place(), *prune, show=False)
    wait("the store to be Released", 300, lambda: entry(tenant)["status"].get("phase") == "Released")
    after = cluster(tenant)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "deletionTimestamp" not in after["metadata"]
    tenant.kubectl.get(*tenant.place(), "networkpolicy", NAME)
    volumes = {
        claim["spec"]["volumeName"]
        for claim in tenant.kubectl.get(*tenant.place(), "pvc")["items"]
        if NAME in claim["metadata"]["name"]
    }
    assert volumes <= set(entry(tenant)["spec"]["volumes"])
    for volume in volumes:
        assert tenant.kubectl.get("pv", volume)["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    wait("its debt to be counted on", 300, lambda: entry(tenant)["status"].get("overdue") == 0)


def test_after_an_uninstall_the_policy_made_anew_gets_the_same_cluster_with_its_rows__X5(tenant: Tenant) -> None:
    kubectl, before = tenant.kubectl, cluster(tenant)
    uninstall = ("uninstall", RELEASE, "-n", OPERATOR_NAMESPACE, "--wait", "--timeout", "300s")
    done = kubectl.program("helm", *uninstall, show=False)
    assert done.returncode == 0, done.stderr
    assert cluster(tenant)["metadata"]["uid"] == before["metadata"]["uid"]
    assert "deletionTimestamp" not in cluster(tenant)["metadata"]
    install_operator(kubectl)
    tenant.apply(tenant_spec())
    tenant.wait_for("condition=Stalled", 300)
    uid = tenant.policy()["metadata"]["uid"]
    for store in kubectl.get("dst", "-l", f"tenantretention.io/namespace={tenant.namespace}")["items"]:
        patch = json.dumps({"spec": {"claimRef": {"namespace": tenant.namespace, "name": "acme", "uid": uid}}})
        kubectl.run("patch", "dst", store["metadata"]["name"], "--type=merge", "-p", patch, show=False)
    tenant.wait_for("condition=Ready", 300)
    assert cluster(tenant)["metadata"]["uid"] == before["metadata"]["uid"]
    assert python(tenant, (BINDING,), "ask", SQL, URI, COUNT) == f"[({YOUNG},)]"
