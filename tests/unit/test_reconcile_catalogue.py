"""Profiles, classes and existing servers over fakes: what the platform is told, and what is used (D6, D7, X2)."""

from __future__ import annotations

import base64
from typing import Any

from tenant_retention.domain.bucket_identities import AccessKey, BucketRole
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.manifests.metadata import secret
from tenant_retention.domain.ports.cluster import PROFILE, STORE_CLASS, Manifest
from tests.support.operator_world import (
    NAMESPACE,
    OPERATOR,
    Operator,
    condition,
    namespace,
    operator_with,
    policy,
    profile,
)

HOST = "pg.example.com"


def existing(name: str = "pg", **spec: Any) -> Manifest:
    return {
        "apiVersion": STORE_CLASS.api_version,
        "kind": STORE_CLASS.name,
        "metadata": {"name": name},
        "spec": {
            "type": "PostgreSQL",
            "provisioner": "Existing",
            "existing": {
                "host": HOST,
                "port": 5433,
                "adminSecretRef": {"name": "pg-admin"},
                "tls": {"caSecretRef": {"name": "pg-ca"}},
            },
            **spec,
        },
    }


def administrator(**values: str) -> Manifest:
    return secret("pg-admin", OPERATOR, {}, "Opaque", values or {"username": "admin", "password": "p"})


def authority() -> Manifest:
    return secret("pg-ca", OPERATOR, {}, "Opaque", {"ca.crt": "-----BEGIN CERTIFICATE-----\n"})


async def looked_at(operator: Operator, kind: Any, name: str) -> Manifest:
    await operator.reconcile(kind.name, "", name)
    return await operator.cluster.get(kind, name) or {}


def class_names(operator: Operator) -> set[str]:
    return {found["metadata"]["name"] for found in operator.objects("DataStoreClass")}


async def test_default_classes_are_made_once_and_only_where_no_class_of_that_type_is_the_default() -> None:
    operator = Operator(existing(default=True))
    await operator.start()
    await operator.start()
    assert class_names(operator) == {"pg", "embedded-s3"}


async def test_a_customers_own_class_applied_before_the_first_start_keeps_no_default_class_from_being_made() -> None:
    operator = Operator(existing(allowedNamespaces={"matchLabels": {"customer": "initech"}}))
    await operator.start()
    assert class_names(operator) == {"pg", "embedded-postgresql", "embedded-s3"}


async def test_an_embedded_class_that_the_platform_made_no_default_is_left_as_it_is() -> None:
    operator = Operator()
    await operator.start()
    (mine,) = [c for c in operator.objects("DataStoreClass") if c["metadata"]["name"] == "embedded-postgresql"]
    operator.cluster.put({**mine, "spec": {**mine["spec"], "default": False}})
    await operator.start()
    kept = {c["metadata"]["name"]: c["spec"]["default"] for c in operator.objects("DataStoreClass")}
    assert kept == {"embedded-postgresql": False, "embedded-s3": True}


async def test_a_class_says_which_secret_or_key_it_misses_and_that_it_can_be_used() -> None:
    operator = await operator_with(existing())
    ready = condition(await looked_at(operator, STORE_CLASS, "pg"), "Ready")
    assert (ready["reason"], "pg-admin" in ready["message"]) == ("SecretNotFound", True)
    operator.cluster.put(administrator(username="admin"))
    operator.cluster.put(authority())
    ready = condition(await looked_at(operator, STORE_CLASS, "pg"), "Ready")
    assert (ready["reason"], "password" in ready["message"]) == ("SecretInvalid", True)
    operator.cluster.put(administrator())
    assert condition(await looked_at(operator, STORE_CLASS, "pg"), "Ready")["status"] == "True"


async def test_a_class_whose_server_is_away_says_so__D7() -> None:
    operator = await operator_with(existing(), administrator(), authority())
    operator.stores.away = {HOST}
    ready = condition(await looked_at(operator, STORE_CLASS, "pg"), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ServerUnreachable")


async def test_a_profile_that_contradicts_itself_is_not_ready_and_names_the_field__X1() -> None:
    broken = profile()
    broken["spec"]["categories"][0]["default"] = "P9Y"
    operator = Operator(namespace(NAMESPACE), broken, policy())
    found = await looked_at(operator, PROFILE, "puzzel-archive")
    ready = condition(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ProfileInvalid")
    assert "spec.categories[general-information].default" in ready["message"]
    assert (found["status"]["categories"], found["status"]["policies"]) == (3, 1)


async def test_an_existing_server_gets_the_database_and_jobs_may_reach_it_alone() -> None:
    stores = [{"purpose": "Analytical", "className": "pg"}]
    operator = await operator_with(existing(), administrator(), authority(), policy(stores=stores))
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    assert [server["metadata"]["name"] for server in operator.objects("StatefulSet", NAMESPACE)] == ["acme-s3"]
    (allowed,) = [
        found for found in operator.objects("NetworkPolicy", NAMESPACE) if found["metadata"]["name"] == "acme-jobs"
    ]
    ports = {port["port"] for rule in allowed["spec"]["egress"] for port in rule["ports"]}
    assert 5433 in ports
    assert (await looked_at(operator, STORE_CLASS, "pg"))["status"]["stores"] == 1


async def test_a_class_that_changed_or_went_leaves_its_stores_working() -> None:
    stores = [{"purpose": "Analytical", "className": "pg"}]
    operator = await operator_with(existing(), administrator(), authority(), policy(stores=stores))
    await operator.settled()
    operator.cluster.remove(STORE_CLASS, "pg")
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"


async def test_a_policy_that_names_another_class_is_told_that_stores_do_not_move() -> None:
    operator = await operator_with(administrator(), authority(), policy())
    await operator.settled()
    operator.cluster.put(existing())
    operator.cluster.put(policy(stores=[{"purpose": "Analytical", "className": "pg"}]))
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StoreConflict")
    assert "embedded-postgresql" in stalled["message"]
    assert found["status"]["databases"] == "1/1"


async def test_what_is_put_right_inside_a_server_is_told_once() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    ((name, database),) = operator.stores.databases.items()
    database.passwords["app"] = "changed by hand"
    await operator.settled()
    (note,) = operator.told("DriftRepaired")
    assert name in note
    assert "password of app" in note


async def test_a_key_of_a_bucket_that_is_changed_by_hand_is_put_right_and_told_once() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    ((name, bucket),) = operator.stores.buckets.items()
    bucket.keys[BucketRole.APP] = AccessKey("BYHAND", "known to somebody")
    await operator.settled()
    (handed_out,) = [s for s in operator.objects("Secret", NAMESPACE) if s["metadata"]["name"] == "acme-content-app"]
    key = bucket.keys[BucketRole.APP]
    assert key.key_id != "BYHAND"
    assert base64.b64decode(handed_out["data"]["AWS_ACCESS_KEY_ID"]).decode() == key.key_id
    (note,) = operator.told("DriftRepaired")
    assert name in note
    assert "key of app" in note
    assert key.secret not in note


async def test_an_api_server_that_does_not_answer_is_tried_again_and_nothing_else_happens() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    before = operator.picture()

    async def away(*_: Any) -> Any:
        raise Unavailable("Kubernetes API does not answer", reason="Unavailable")

    operator.cluster.get = away  # type: ignore[method-assign, assignment]
    try:
        await operator.reconcile("TenantRetentionPolicy", NAMESPACE, "acme")
    except Unavailable:
        assert operator.picture() == before
        return
    raise AssertionError("the outage was swallowed")
