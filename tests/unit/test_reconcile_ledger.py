"""The ledger: whose a store is, when its policy goes, comes again, or another takes its name (X5, PROVISIONING.md 5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.adapters.fakes.stores import KeptBucket, KeptDatabase
from tenant_retention.domain.ports.cluster import NAMESPACE as NAMESPACE_KIND
from tenant_retention.domain.ports.cluster import POLICY, PROFILE, SECRET, STORE, Manifest
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

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}


def stores_of(operator: Operator) -> list[KeptDatabase | KeptBucket]:
    """What the servers keep of them."""
    return [*operator.stores.databases.values(), *operator.stores.buckets.values()]


async def released() -> Operator:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.settled()
    return operator


def confirm(found: Manifest) -> None:
    found["spec"]["claimRef"] = {"namespace": NAMESPACE, "name": "acme"}


async def test_a_deleted_policy_releases_its_stores_and_deletes_nothing__X5() -> None:
    operator = await released()
    assert {entry["status"]["phase"] for entry in operator.objects("DataStore")} == {"Released"}
    assert all("claimRef" not in entry["spec"] for entry in operator.objects("DataStore"))
    assert len(operator.stores.databases) == 1
    assert len(operator.stores.buckets) == 1
    assert len(operator.objects("StatefulSet", NAMESPACE)) == 2
    assert operator.objects("CronJob", NAMESPACE) == []


async def test_a_policy_that_went_while_no_operator_was_there_is_released_at_start__X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    operator.restart()
    await operator.settled()
    assert {entry["status"]["phase"] for entry in operator.objects("DataStore")} == {"Released"}


async def test_debt_of_a_released_store_is_counted_on__X4() -> None:
    operator = await released()
    (database,) = operator.stores.databases.values()
    database.overdue = 2
    database.next_deadline = operator.clock.now + timedelta(days=3)
    await operator.settled()
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert entry["status"]["overdue"] == 6
    assert operator.shown.released[entry["metadata"]["name"]] == 6
    assert operator.shown.deadlines[entry["metadata"]["name"]] == database.next_deadline, "known before it is missed"


async def test_a_new_policy_of_the_same_name_waits_for_an_administrator__X5() -> None:
    operator = await released()
    operator.cluster.put(policy(**SHORTEST))
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StoreReleased")
    assert "kubectl patch datastore" in stalled["message"]
    assert operator.objects("CronJob", NAMESPACE) == []
    for entry in operator.objects("DataStore"):
        await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    assert {entry["spec"]["claimRef"]["uid"] for entry in operator.objects("DataStore")} == {found["metadata"]["uid"]}
    assert len(operator.stores.databases) == 1


async def test_a_policy_recreated_before_anybody_looked_is_still_another_one__X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    operator.cluster.put(policy(**SHORTEST))
    found = await operator.settled()
    assert condition(found, "Stalled")["reason"] == "StoreReleased"
    assert all("claimRef" not in entry["spec"] for entry in operator.objects("DataStore"))


async def test_a_recreated_namespace_is_another_tenant_until_confirmed__X2_X5() -> None:
    operator = await released()
    operator.cluster.remove(NAMESPACE_KIND, NAMESPACE)
    operator.cluster.put(namespace(NAMESPACE, uid="another"))
    operator.cluster.put(policy(**SHORTEST))
    assert condition(await operator.settled(), "Stalled")["reason"] == "StoreReleased"
    for entry in operator.objects("DataStore"):
        await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_nothing_of_a_released_store_is_made_in_a_namespace_that_was_made_anew_until_it_is_confirmed__X2() -> (
    None
):
    operator = await released()
    for key in [key for key in operator.cluster.objects if key[1] == NAMESPACE]:
        del operator.cluster.objects[key]
    operator.cluster.remove(NAMESPACE_KIND, NAMESPACE)
    operator.cluster.put(namespace(NAMESPACE, uid="another"))
    await operator.settled()
    assert [operator.objects(kind, NAMESPACE) for kind in ("StatefulSet", "Secret", "RoleBinding")] == [[], [], []]
    for entry in operator.objects("DataStore"):
        told = condition(entry, "Ready")
        assert (told["status"], told["reason"]) == ("False", "StoreReleased")
        assert "spec.claimRef" in told["message"]
        await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
    operator.cluster.put(policy(**SHORTEST))
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_a_released_database_refuses_runs_by_itself_until_it_is_bound_again__X5() -> None:
    operator = await released()
    (database,) = operator.stores.databases.values()
    assert database.suspended
    operator.cluster.put(policy(**SHORTEST))
    await operator.settled()
    assert database.suspended
    for entry in operator.objects("DataStore"):
        await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
    await operator.settled()
    assert not database.suspended


async def test_debt_of_a_released_database_is_counted_though_another_installation_has_it_by_now__X4() -> None:
    operator = await released()
    (database,) = operator.stores.databases.values()
    database.namespace_uid, database.suspended, database.overdue = "of another cluster", False, 2
    await operator.settled()
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert condition(entry, "Ready")["reason"] == "StoreConflict"
    assert entry["status"]["overdue"] == 6
    assert not database.suspended


async def test_a_lost_ledger_of_a_rebuilt_cluster_is_written_from_the_markers_and_confirmed__X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    marked = {kept.namespace_uid for kept in operator.stores.databases.values()}
    for life in ("second", "third"):
        for entry in operator.objects("DataStore"):
            operator.cluster.remove(STORE, entry["metadata"]["name"])
        operator.cluster.remove(POLICY, "acme", NAMESPACE)
        operator.cluster.remove(NAMESPACE_KIND, NAMESPACE)
        operator.cluster.put(namespace(NAMESPACE, uid=life))
        operator.cluster.put(policy(**SHORTEST))
        operator.restart()

        stalled = condition(await operator.settled(), "Stalled")

        assert (stalled["status"], stalled["reason"]) == ("True", "StoreReleased")
        assert "kubectl patch datastore" in stalled["message"]
        for entry in operator.objects("DataStore"):
            assert (entry["status"]["phase"], entry["spec"].get("claimRef")) == ("Released", None)
            assert {entry["spec"]["namespaceUid"]} == marked
        assert all(kept.suspended for kept in operator.stores.databases.values())
        for entry in operator.objects("DataStore"):
            await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
        assert condition(await operator.settled(), "Ready")["status"] == "True"
        kept_stores = stores_of(operator)
        assert {kept.namespace_uid for kept in kept_stores} == {life}
        assert {entry["spec"]["namespaceUid"] for entry in operator.objects("DataStore")} == {life}
        marked = {life}


def lose_the_ledger(operator: Operator) -> None:
    for entry in operator.objects("DataStore"):
        operator.cluster.remove(STORE, entry["metadata"]["name"])
    operator.restart()


async def test_a_store_released_before_its_ledger_was_lost_waits_for_an_administrator__X5() -> None:
    operator = await released()
    lose_the_ledger(operator)
    operator.cluster.put(policy(**SHORTEST))

    stalled = condition(await operator.settled(), "Stalled")

    assert (stalled["status"], stalled["reason"]) == ("True", "StoreReleased")
    assert "kubectl patch datastore" in stalled["message"]
    for entry in operator.objects("DataStore"):
        assert (entry["status"]["phase"], entry["spec"].get("claimRef")) == ("Released", None)
    assert all(kept.suspended for kept in operator.stores.databases.values())
    assert operator.objects("CronJob", NAMESPACE) == []
    for entry in operator.objects("DataStore"):
        await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    kept_stores = stores_of(operator)
    assert {kept.policy_uid for kept in kept_stores} == {found["metadata"]["uid"]}
    assert {entry["spec"]["policyRef"]["uid"] for entry in operator.objects("DataStore")} == {found["metadata"]["uid"]}


async def test_ledger_and_policies_lost_before_anybody_saw_the_release_are_confirmed_too__X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    lose_the_ledger(operator)
    operator.cluster.put(policy(**SHORTEST))
    assert condition(await operator.settled(), "Stalled")["reason"] == "StoreReleased"
    assert {entry["status"]["phase"] for entry in operator.objects("DataStore")} == {"Released"}


async def test_a_ledger_lost_under_its_living_policy_is_written_anew_and_goes_on__M10() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    lose_the_ledger(operator)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    assert {entry["spec"]["claimRef"]["uid"] for entry in operator.objects("DataStore")} == {found["metadata"]["uid"]}


async def test_stores_whose_markers_name_no_policy_yet_go_on_and_name_theirs_from_then__M10() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    kept_stores = stores_of(operator)
    for kept in kept_stores:
        kept.policy_uid = ""
    operator.restart()
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    assert {kept.policy_uid for kept in kept_stores} == {found["metadata"]["uid"]}


async def test_a_store_that_an_administrator_promised_to_a_policy_to_come_is_not_released_again() -> None:
    operator = await released()
    for entry in operator.objects("DataStore"):
        await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
    await operator.settled()
    assert all(entry["spec"]["claimRef"]["name"] == "acme" for entry in operator.objects("DataStore"))
    operator.cluster.put(policy(**SHORTEST))
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_a_released_store_of_a_namespace_that_is_gone_hangs_nothing() -> None:
    operator = await released()
    for key in [key for key in operator.cluster.objects if key[1] == NAMESPACE]:
        del operator.cluster.objects[key]
    operator.cluster.remove(NAMESPACE_KIND, NAMESPACE)
    await operator.settled()
    assert {entry["status"]["phase"] for entry in operator.objects("DataStore")} == {"Released"}
    assert operator.objects("StatefulSet", NAMESPACE) == []


async def test_a_nightly_job_that_outlived_its_policy_is_ended__X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    (orphan,) = operator.objects("CronJob", NAMESPACE)
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.settled()
    # kubectl delete --cascade=orphan, or an operator that was killed between the release and the end of the jobs.
    operator.cluster.put({**orphan, "metadata": {**orphan["metadata"], "ownerReferences": []}})
    operator.restart()
    await operator.settled()
    assert operator.objects("CronJob", NAMESPACE) == []


async def test_a_released_store_that_cannot_be_counted_does_not_say_that_nothing_is_overdue__X4() -> None:
    operator = await operator_with(policy(**SHORTEST))
    for host in ("acme-postgresql", "acme-s3"):
        operator.stores.away.add(f"{host}.{NAMESPACE}.svc")
    await operator.settled()
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.settled()
    assert set(operator.shown.released.values()) == {None}


async def test_a_released_store_whose_observer_is_lost_says_so__X4() -> None:
    operator = await released()
    (logins,) = [each for each in operator.objects("Secret", OPERATOR) if "-logins-" in each["metadata"]["name"]]
    operator.cluster.remove(SECRET, logins["metadata"]["name"], OPERATOR)
    await operator.settled()
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert condition(entry, "Ready")["reason"] == "SecretNotFound"


def on_the_customers_server() -> tuple[Manifest, Manifest, Manifest]:
    store_class: Manifest = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataStoreClass",
        "metadata": {"name": "pg"},
        "spec": {
            "type": "PostgreSQL",
            "provisioner": "Existing",
            "existing": {"host": "pg.example.com", "adminSecretRef": {"name": "pg-admin"}},
        },
    }
    login = {"username": "YWRtaW4=", "password": "c2VjcmV0"}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pg-admin", "namespace": OPERATOR},
        "data": login,
    }
    return store_class, secret, policy(stores=[{"purpose": "Analytical", "className": "pg"}], **SHORTEST)


async def test_debt_on_a_customers_own_server_is_counted_when_the_namespace_is_gone__X4() -> None:
    operator = await operator_with(*on_the_customers_server())
    await operator.settled()
    for key in [key for key in operator.cluster.objects if key[1] == NAMESPACE]:
        del operator.cluster.objects[key]
    operator.cluster.remove(NAMESPACE_KIND, NAMESPACE)
    (database,) = operator.stores.databases.values()
    database.overdue = 2
    await operator.settled()
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert (entry["status"]["phase"], entry["status"]["overdue"]) == ("Released", 6)


async def test_debt_of_a_store_that_the_profile_has_no_use_for_any_more_is_counted_on__X4() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    kept = [store["metadata"]["name"] for store in operator.objects("DataStore")]
    (database,) = operator.stores.databases.values()

    def elsewhere(found: Manifest) -> None:
        for category in found["spec"]["categories"]:
            category["database"] = "Dialogue"

    await operator.edit(PROFILE, "puzzel-archive", None, elsewhere)
    await operator.settled()
    database.overdue = 2
    await operator.settled()
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert entry["metadata"]["name"] in kept
    assert (entry["status"]["phase"], entry["status"]["overdue"]) == ("Bound", 6)
    assert operator.shown.released[entry["metadata"]["name"]] == 6
    assert operator.shown.released[next(name for name in operator.shown.released if "dialogue" in name)] is None


async def test_two_released_stores_of_one_server_do_not_restart_it_in_turns() -> None:
    operator = await operator_with(policy(profile="dialogue-cloud"), profile("dialogue-cloud"))
    await operator.settled()
    first, second = [store for store in operator.objects("DataStore") if store["spec"]["type"] == "PostgreSQL"]
    # The class changed between the making of the two.
    operator.cluster.objects[("DataStore", None, second["metadata"]["name"])]["spec"]["classSnapshot"] = {
        **first["spec"]["classSnapshot"],
        "embedded": {"image": "postgres:other"},
    }
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.settled()


@pytest.mark.parametrize("there", [False, True])
async def test_a_claim_that_names_a_policy_that_cannot_have_the_store_is_told_so_and_stays_as_written__X2(
    there: bool,
) -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()

    def other(found: Manifest) -> None:
        # As kubectl patch writes it: the UID of before stays. Or as an editor does, who names a policy that is there.
        found["spec"]["claimRef"] = ({} if there else found["spec"]["claimRef"]) | {
            "namespace": NAMESPACE,
            "name": "other",
        }

    if there:
        operator.cluster.put(policy("other", **SHORTEST))
        await operator.settled()
    entries = [entry for entry in operator.objects("DataStore") if entry["spec"]["policyRef"]["name"] == "acme"]
    for entry in entries:
        await operator.edit(STORE, entry["metadata"]["name"], None, other)
    stalled = condition(await operator.settled(), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StoreReleased")
    assert f"names policy {NAMESPACE}/other, which cannot have it" in stalled["message"]
    assert "is gone" not in stalled["message"]
    claimed = [entry for entry in operator.objects("DataStore") if entry["spec"]["policyRef"]["name"] == "acme"]
    assert {entry["spec"]["claimRef"]["name"] for entry in claimed} == {"other"}
    assert {entry["status"]["phase"] for entry in claimed} == {"Released"}
    acme = {entry["spec"]["name"] for entry in claimed}
    # The nightly Job of before is still there: the database itself refuses it.
    assert {name: kept.suspended for name, kept in operator.stores.databases.items() if name in acme} == dict.fromkeys(
        acme & operator.stores.databases.keys(), True
    )
    for entry in claimed:
        await operator.edit(
            STORE, entry["metadata"]["name"], None, lambda found: found["spec"]["claimRef"].update(name="acme")
        )
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_a_policy_that_never_had_a_store_leaves_no_last_good_choice_behind() -> None:
    operator = await operator_with(policy(stores=[{"purpose": "Analytical", "className": "nowhere"}], **SHORTEST))
    await operator.policy()
    kept = [each for each in operator.objects("Secret") if "last-good" in each["metadata"]["name"]]
    for entry in operator.objects("DataStore"):
        operator.cluster.remove(STORE, entry["metadata"]["name"])
    assert len(kept) == 1
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await operator.reconcile(POLICY.name, NAMESPACE, "acme")
    assert [each for each in operator.objects("Secret") if "last-good" in each["metadata"]["name"]] == []
