"""Embedded servers: what is the tenant's is not touched, and a volume that was swapped is said (X5, D7)."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from tenant_retention.domain.certificates import AUTHORITY_LIFETIME, OVERLAP, SERVER_LIFETIME
from tenant_retention.domain.ports.cluster import (
    NETWORK_POLICY,
    PERSISTENT_VOLUME,
    SERVICE,
    STATEFUL_SET,
    STORE,
    VOLUME_CLAIM,
    Kind,
    Manifest,
)
from tests.support.operator_world import NAMESPACE, Operator, condition, operator_with, policy

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}


def of_the_tenant(kind: Kind, name: str, **content: Any) -> Manifest:
    meta: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    if kind.namespaced:
        meta["namespace"] = NAMESPACE
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, **content}


def bind(operator: Operator, volume: str) -> None:
    """What the storage provisioner does for the PostgreSQL server's claim."""
    ours = {"app.kubernetes.io/managed-by": "tenant-retention-operator"}
    claim = of_the_tenant(VOLUME_CLAIM, "data-acme-postgresql-0", spec={"volumeName": volume})
    claim["metadata"]["labels"] = ours
    operator.cluster.put(claim)
    operator.cluster.put(of_the_tenant(PERSISTENT_VOLUME, volume, spec={"persistentVolumeReclaimPolicy": "Delete"}))


def volumes(operator: Operator) -> list[str]:
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["type"] == "PostgreSQL"]
    return list(entry["spec"].get("volumes", ()))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (STATEFUL_SET, "acme-postgresql"),
        (SERVICE, "acme-postgresql"),
        (NETWORK_POLICY, "acme-postgresql"),
        (VOLUME_CLAIM, "data-acme-postgresql-0"),
    ],
)
async def test_a_server_of_the_tenants_own_that_has_our_name_is_not_touched__D6(kind: Kind, name: str) -> None:
    theirs = of_the_tenant(kind, name, spec={"selector": {"app": "theirs"}})
    operator = await operator_with(theirs, policy(**SHORTEST))
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StoreConflict")
    assert name in stalled["message"]
    assert operator.cluster.objects[(kind.name, NAMESPACE, name)]["spec"] == theirs["spec"]


async def test_a_label_that_a_tenant_removes_is_put_back_once_the_server_is_known() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    bind(operator, "pv-1")
    await operator.settled()
    assert volumes(operator) == ["pv-1"]

    def strip(found: Manifest) -> None:
        found["metadata"]["labels"] = {}

    await operator.edit(SERVICE, "acme-postgresql", NAMESPACE, strip)
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    assert operator.cluster.objects[("Service", NAMESPACE, "acme-postgresql")]["metadata"]["labels"]


async def test_a_server_that_comes_up_on_a_new_empty_volume_is_not_called_ready__D7_X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    bind(operator, "pv-1")
    await operator.settled()
    assert operator.cluster.objects[("PersistentVolume", None, "pv-1")]["spec"] == {
        "persistentVolumeReclaimPolicy": "Retain"
    }
    operator.cluster.remove(VOLUME_CLAIM, "data-acme-postgresql-0", NAMESPACE)
    bind(operator, "pv-2")
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert stalled["reason"] == "StoreConflict"
    assert "pv-1" in stalled["message"]
    assert "pv-2" in stalled["message"]
    assert condition(found, "Compliant")["status"] != "True"

    def given_up(store: Manifest) -> None:
        store["spec"]["volumes"] = ["pv-2"]

    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["type"] == "PostgreSQL"]
    await operator.edit(STORE, entry["metadata"]["name"], None, given_up)
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_a_server_made_anew_by_hand_with_other_selectors_becomes_ours_again_and_is_told() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    bind(operator, "pv-1")
    await operator.settled()
    ours = operator.cluster.objects[("StatefulSet", NAMESPACE, "acme-postgresql")]
    operator.cluster.remove(STATEFUL_SET, "acme-postgresql", NAMESPACE)
    theirs = of_the_tenant(
        STATEFUL_SET, "acme-postgresql", spec={**ours["spec"], "selector": {"matchLabels": {"a": "b"}}}
    )
    by_hand = operator.cluster.put(theirs)

    assert condition(await operator.settled(), "Ready")["status"] == "True"

    again = operator.cluster.objects[("StatefulSet", NAMESPACE, "acme-postgresql")]
    assert again["spec"] == ours["spec"]
    assert again["metadata"]["uid"] != by_hand["metadata"]["uid"]
    assert len([note for note in operator.told("DriftRepaired") if "StatefulSet" in note]) == 1


async def test_a_server_that_would_take_its_claim_with_it_is_not_replaced_before_the_claim_is_free__X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    bind(operator, "pv-1")
    await operator.settled()
    ours = operator.cluster.objects[("StatefulSet", NAMESPACE, "acme-postgresql")]["spec"]
    operator.cluster.remove(STATEFUL_SET, "acme-postgresql", NAMESPACE)
    dangerous = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    spec = {**ours, "serviceName": "theirs", "persistentVolumeClaimRetentionPolicy": dangerous}
    by_hand = operator.cluster.put(of_the_tenant(STATEFUL_SET, "acme-postgresql", spec=spec))
    claim = operator.cluster.objects[("PersistentVolumeClaim", NAMESPACE, "data-acme-postgresql-0")]
    claim["metadata"]["ownerReferences"] = [{"kind": "StatefulSet", "uid": by_hand["metadata"]["uid"]}]

    waiting = condition(await operator.settled(), "Ready")

    assert (waiting["status"], waiting["reason"]) == ("False", "WaitingForVolume")
    kept = operator.cluster.objects[("StatefulSet", NAMESPACE, "acme-postgresql")]
    assert kept["metadata"]["uid"] == by_hand["metadata"]["uid"]
    assert set(kept["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}

    # What the controller of StatefulSets does then.
    claim = operator.cluster.objects[("PersistentVolumeClaim", NAMESPACE, "data-acme-postgresql-0")]
    del claim["metadata"]["ownerReferences"]
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    assert operator.cluster.objects[("StatefulSet", NAMESPACE, "acme-postgresql")]["spec"] == ours


@pytest.mark.parametrize("resources", [{}, {"requests": {}}])
async def test_a_server_made_by_hand_whose_claim_asks_for_no_size_is_made_anew_as_ours(
    resources: dict[str, Any],
) -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    bind(operator, "pv-1")
    await operator.settled()
    ours = operator.cluster.objects[("StatefulSet", NAMESPACE, "acme-postgresql")]["spec"]
    operator.cluster.remove(STATEFUL_SET, "acme-postgresql", NAMESPACE)
    claims = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}}]
    operator.cluster.put(of_the_tenant(STATEFUL_SET, "acme-postgresql", spec={**ours, "volumeClaimTemplates": claims}))
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    assert operator.cluster.objects[("StatefulSet", NAMESPACE, "acme-postgresql")]["spec"] == ours


def decoded(found: Manifest, key: str) -> str:
    return base64.b64decode(found["data"][key]).decode()


def believed(operator: Operator) -> set[tuple[str, ...]]:
    """The certificates that the bindings tell applications to believe."""
    handed_out = [found for found in operator.objects("Secret", NAMESPACE) if "ca.crt" in found["data"]]
    assert {found["type"] for found in handed_out} >= {"servicebinding.io/postgresql", "servicebinding.io/s3"}
    bundles = [x509.load_pem_x509_certificates(decoded(found, "ca.crt").encode()) for found in handed_out]
    return {tuple(sorted(each.subject.rfc4514_string() for each in bundle)) for bundle in bundles}


def certificates(operator: Operator) -> dict[str, x509.Certificate]:
    """The certificate of every server."""
    return {
        found["metadata"]["name"]: x509.load_pem_x509_certificate(decoded(found, "tls.crt").encode())
        for found in operator.objects("Secret", NAMESPACE)
        if found["type"] == "kubernetes.io/tls"
    }


def issuers(operator: Operator) -> set[str]:
    return {found.issuer.rfc4514_string() for found in certificates(operator).values()}


def digests(operator: Operator) -> dict[str, str]:
    """By which the pods of every server learn of a new certificate."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]["metadata"]["annotations"][
            "tenantretention.io/certificate-digest"
        ]
        for found in operator.objects("StatefulSet", NAMESPACE)
    }


async def test_an_authority_is_believed_by_every_application_a_week_before_it_signs() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    ((old,),) = believed(operator)

    operator.clock.forward(AUTHORITY_LIFETIME * 2 / 3)
    await operator.settled()
    (bundle,) = believed(operator)
    assert len(bundle) == 2
    assert old in bundle
    assert issuers(operator) == {old}
    before = digests(operator)

    operator.clock.forward(OVERLAP)
    await operator.settled()
    assert believed(operator) == {bundle}, "what was signed before the servers restart is still believed"
    assert issuers(operator) == set(bundle) - {old}
    after = digests(operator)
    assert set(after) == {"acme-postgresql", "acme-s3"}
    assert all(after[server] != before[server] for server in after), "its pod must be restarted with the new one"

    operator.clock.forward(AUTHORITY_LIFETIME / 3)
    await operator.settled()
    assert believed(operator) == {tuple(set(bundle) - {old})}
    assert operator.told("DriftRepaired") == []


async def test_a_servers_certificate_is_made_anew_when_two_thirds_of_its_life_are_over_and_not_before() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    first, restarted = certificates(operator), digests(operator)
    assert set(first) == {"acme-postgresql-tls", "acme-s3-tls"}

    operator.clock.forward(SERVER_LIFETIME * 2 / 3 - timedelta(days=1))
    await operator.settled()
    assert certificates(operator) == first

    operator.clock.forward(timedelta(days=1))
    await operator.settled()
    second = certificates(operator)
    for server, found in second.items():
        assert found.serial_number != first[server].serial_number
        assert found.not_valid_after_utc > operator.clock() + SERVER_LIFETIME - timedelta(days=1)
    assert {found.issuer for found in second.values()} == {found.issuer for found in first.values()}
    assert all(digests(operator)[server] != restarted[server] for server in restarted)
