"""A policy with a cache: made, handed out, put right, refused, and part of the nightly plan."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tenant_retention.domain.caches import CacheRole, CacheUser
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.cluster import POLICY, STORE_CLASS, Manifest
from tests.support.operator_world import (
    NAMESPACE,
    OPERATOR,
    Killed,
    Operator,
    condition,
    namespace,
    operator_with,
    policy,
    profile,
)

HOST = "cache.example.com"
STORES = [{"purpose": "Cache", "className": "acme-cache"}]
KEEP = [{"category": "call-data", "keep": "P90D"}]
UNUSED = {"region": "", "unit": "", "writer": ""}


def cache_class(name: str = "acme-cache") -> Manifest:
    existing = {"host": HOST, "port": 6379, "adminSecretRef": {"name": "cache-admin"}}
    spec = {"type": "Redis", "provisioner": "Existing", "existing": existing}
    return {"apiVersion": STORE_CLASS.api_version, "kind": STORE_CLASS.name, "metadata": {"name": name}, "spec": spec}


def administrator() -> Manifest:
    values = {"username": "administrator", "password": "cache-secret"}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    meta = {"name": "cache-admin", "namespace": OPERATOR}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


async def with_cache(*more: Manifest, **spec: Any) -> Operator:
    wanted = policy(profile="tencent-ccc", **{"retention": KEEP, "stores": STORES, **spec})
    return await operator_with(profile("tencent-ccc"), cache_class(), administrator(), wanted, *more)


def secret(operator: Operator, name: str) -> dict[str, str]:
    data = operator.cluster.objects[("Secret", NAMESPACE, name)]["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def users(operator: Operator) -> dict[str, CacheUser]:
    return operator.stores.caches[HOST].users


def plan(operator: Operator) -> dict[str, Any]:
    (found,) = [each for each in operator.objects("ConfigMap", NAMESPACE) if "plan.json" in each.get("data", {})]
    return dict(json.loads(found["data"]["plan.json"]))


async def test_a_policy_that_names_a_cache_gets_users_bindings_and_a_plan_that_looks_through_it__T1_D1() -> None:
    operator = await with_cache()
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True", found["status"]["conditions"]
    assert condition(found, "CachesReady")["status"] == "True"
    binding = secret(operator, "acme-cache-app")
    prefix, user = binding["prefix"], binding["username"]
    assert (binding["type"], binding["host"], binding["port"]) == ("redis", HOST, "6379")
    assert prefix.endswith(":")
    assert user == f"{prefix[:-1]}-app"
    assert binding["uri"] == f"rediss://{user}:{binding['password']}@{HOST}:6379/0"
    assert users(operator)[user].keys == (f"~{prefix}*",)
    assert plan(operator)["caches"] == [{**UNUSED, "purpose": "Cache", "binding": "/bindings/acme-cache-enforcer"}]
    (agents,) = [each for each in plan(operator)["definition"]["categories"] if each["name"] == "agent-information"]
    assert agents["cache"] == {"prefix": "agents", "table": "agents", "keyColumn": "staff_id"}
    handed_out = {each["name"]: each["role"] for each in found["status"]["bindings"] if each["store"] == "Cache"}
    assert handed_out == {"acme-cache-app": "App", "acme-cache-reader": "Reader", "acme-cache-enforcer": "Enforcer"}


async def test_a_policy_that_names_no_cache_has_none_and_means_what_it_meant_before() -> None:
    operator = await with_cache(stores=[])
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    assert not operator.stores.caches
    assert "CachesReady" not in {each["type"] for each in found["status"]["conditions"]}
    assert all(each["cache"] is None for each in plan(operator)["definition"]["categories"])


async def test_no_password_of_the_cache_is_anywhere_but_in_secrets__T8() -> None:
    operator = await with_cache()
    await operator.settled()
    passwords = [secret(operator, f"acme-cache-{role}")["password"] for role in CacheRole]
    assert len(set(passwords)) == 3
    shown = [json.dumps(each) for (kind, _, _), each in operator.cluster.objects.items() if kind != "Secret"] + [
        event.note for event in operator.cluster.events
    ]
    for password in (*passwords, "cache-secret"):
        assert not any(password in text for text in shown)


async def test_a_user_that_somebody_changed_is_put_right_and_told__X2() -> None:
    operator = await with_cache()
    await operator.settled()
    name = secret(operator, "acme-cache-app")["username"]
    before = users(operator)[name]
    users(operator)[name] = CacheUser(before.flags, before.passwords, ("+@all",), ("~*",), ("&*",))
    await operator.settled()
    assert users(operator)[name] == before
    assert [note for note in operator.told("DriftRepaired") if f"user {name} put right" in note]


async def test_a_kill_before_any_effect_is_continued_by_the_next_process() -> None:
    whole = await with_cache()
    await whole.settled()
    cached = [at for at, effect in enumerate(whole.effects.effects) if "cache" in effect or effect.startswith("user ")]
    for at in cached:
        operator = await with_cache()
        operator.effects.deadly = at
        with pytest.raises(Killed):
            await operator.settled()
        operator.effects.deadly = None
        operator.restart()
        found = await operator.settled()
        assert condition(found, "Ready")["status"] == "True", at
        assert len(users(operator)) == 4


async def test_a_cache_that_is_away_is_told_and_holds_nothing_else_up__D7() -> None:
    operator = await with_cache()
    operator.stores.away.add(HOST)
    found = await operator.policy()
    ready = condition(found, "CachesReady")
    assert (ready["status"], ready["reason"]) == ("False", "ServerUnreachable")
    assert condition(found, "DatabasesReady")["status"] in ("True", "False")
    operator.stores.away.clear()
    assert condition(await operator.settled(), "CachesReady")["status"] == "True"


async def test_a_second_namespace_is_refused_at_the_server_of_the_first__X2() -> None:
    other = policy("globex", "customer-globex", profile="tencent-ccc", retention=KEEP, stores=STORES)
    operator = await with_cache(namespace("customer-globex"), other)
    await operator.settled()
    before = dict(users(operator))
    found = await operator.policy("globex", "customer-globex")
    for _ in range(6):
        found = await operator.policy("globex", "customer-globex")
    refused = condition(found, "CachesReady")
    assert (refused["status"], refused["reason"]) == ("False", "StoreConflict")
    assert f"serves namespace {NAMESPACE}" in refused["message"]
    assert users(operator) == before


async def test_the_entry_of_a_cache_that_is_there_cannot_be_left_out__T6() -> None:
    operator = await with_cache()
    await operator.settled()

    def leave_out(found: Manifest) -> None:
        found["spec"]["stores"] = []
        found["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1

    await operator.edit(POLICY, "acme", NAMESPACE, leave_out)
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ClassInvalid")
    assert "put the entry back" in stalled["message"]
    assert plan(operator)["caches"]


async def test_a_class_tells_whether_its_server_answers__D7() -> None:
    operator = await with_cache()
    await operator.reconcile(STORE_CLASS.name, "", "acme-cache")
    found = await operator.cluster.get(STORE_CLASS, "acme-cache")
    assert found is not None
    assert condition(found, "Ready")["status"] == "True"
    operator.stores.refusals[HOST] = Unavailable("no answer", reason="ServerUnreachable")
    await operator.reconcile(STORE_CLASS.name, "", "acme-cache")
    found = await operator.cluster.get(STORE_CLASS, "acme-cache")
    assert found is not None
    assert "spec.existing.host of DataStoreClass acme-cache" in condition(found, "Ready")["message"]


def mounted(operator: Operator) -> set[str]:
    """The Secrets that the pods of the nights mount."""
    (cron_job,) = operator.objects("CronJob", NAMESPACE)
    volumes = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    return {each["secret"]["secretName"] for each in volumes if "secret" in each}


async def test_a_cache_that_is_added_while_it_does_not_answer_stops_no_night_of_the_databases__M10() -> None:
    operator = await with_cache(stores=[])
    await operator.settled()
    operator.stores.away.add(HOST)

    def add(found: Manifest) -> None:
        found["spec"]["stores"] = STORES
        found["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1

    await operator.edit(POLICY, "acme", NAMESPACE, add)
    await operator.settled()
    (database,) = operator.stores.databases.values()
    assert database.definition is not None
    assert plan(operator)["rulesDigest"] == database.definition.rules_digest()
    assert (plan(operator)["caches"], plan(operator)["awaited"]) == ([], ["Cache"])
    assert "acme-cache-enforcer" not in mounted(operator)
    operator.stores.away.clear()
    await operator.settled()
    assert ([each["purpose"] for each in plan(operator)["caches"]], plan(operator)["awaited"]) == (["Cache"], [])
    assert "acme-cache-enforcer" in mounted(operator)


async def test_a_new_policy_whose_cache_is_away_has_its_nights__M10() -> None:
    operator = await with_cache()
    operator.stores.away.add(HOST)
    found = await operator.settled()
    assert condition(found, "SchedulesReady")["status"] == "True"
    assert plan(operator)["awaited"] == ["Cache"]
    assert {"acme-analytical-enforcer", "acme-content-enforcer"} <= mounted(operator)


async def test_a_cache_that_was_there_and_is_away_stays_in_the_plan__T6_M10() -> None:
    operator = await with_cache()
    await operator.settled()
    operator.stores.away.add(HOST)
    operator.restart()
    await operator.settled()
    assert ([each["purpose"] for each in plan(operator)["caches"]], plan(operator)["awaited"]) == (["Cache"], [])


async def test_a_bucket_without_a_class_stops_no_night_of_the_records__M10() -> None:
    operator = await with_cache(stores=[{"purpose": "Content", "className": "not-there"}])
    await operator.settled()
    assert (plan(operator)["buckets"], plan(operator)["awaited"]) == ([], ["Content"])
    assert mounted(operator) == {"acme-analytical-enforcer"}
