"""LegalHold over fakes: in every database or not Ready, released once and for all, and never ended by its deletion (X3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.domain.ports.cluster import HOLD, POLICY, Manifest
from tests.support.operator_world import (
    NAMESPACE,
    Killed,
    Operator,
    condition,
    namespace,
    operator_with,
    policy,
    profile,
)

NAME = "case-17"


def hold(name: str = NAME, **spec: Any) -> Manifest:
    return {
        "apiVersion": HOLD.api_version,
        "kind": HOLD.name,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"select": {"categories": ["recordings"]}, "reference": "case 17/2026", **spec},
    }


async def ready(*policies: Manifest) -> Operator:
    operator = await operator_with(*(policies or (policy(),)))
    for found in policies or (policy(),):
        await operator.settled(found["metadata"]["name"])
    return operator


async def step(operator: Operator, name: str = NAME) -> Manifest:
    await operator.reconcile(HOLD.name, NAMESPACE, name)
    return await operator.cluster.get(HOLD, name, NAMESPACE) or {}


def live(operator: Operator, name: str = NAME) -> dict[str, int]:
    """How many combinations are in force in each database."""
    return {database: len(kept.live) for (database, of), kept in operator.stores.holds.items() if of == name}


async def release(operator: Operator, name: str = NAME) -> None:
    def change(found: Manifest) -> None:
        found["spec"]["release"] = {"reason": "closed"}

    await operator.edit(HOLD, name, NAMESPACE, change)


def ready_of(found: Manifest) -> tuple[str, str]:
    told = condition(found, "Ready")
    return told["status"], told["reason"]


async def test_a_hold_is_ready_once_every_database_has_it_and_tells_what_it_keeps__X3() -> None:
    operator = await ready()
    (database,) = operator.stores.databases
    operator.stores.held_rows[database] = {"recordings": 5, "general-information": 5}
    operator.cluster.put(hold())
    found = await step(operator)
    status = found["status"]
    assert ready_of(found) == ("True", "HoldPlaced")
    assert (status["policies"], status["databases"], status["held"]) == ("1/1", "1/1", 10)
    (store,) = status["stores"]
    assert (store["policy"], store["place"], store["rows"], store["placedAt"]) == (
        "acme",
        "Analytical",
        10,
        "2026-11-22T12:00:00Z",
    )
    assert status["categories"] == [{"name": "general-information", "rows": 5}, {"name": "recordings", "rows": 5}]
    assert operator.told("HoldPlaced")


async def test_an_unchanged_hold_writes_nothing_and_counts_once_an_hour__X3() -> None:
    operator = await ready()
    operator.cluster.put(hold())
    await step(operator)
    before = len(operator.cluster.writes), len(operator.effects.effects)
    await step(operator)
    assert (len(operator.cluster.writes), len(operator.effects.effects)) == before
    assert len(operator.stores.counted_holds) == 1
    operator.clock.forward(timedelta(hours=1))
    await step(operator)
    assert len(operator.stores.counted_holds) == 2


async def test_a_database_that_is_away_keeps_it_pending_by_name_and_the_others_have_it__X3() -> None:
    operator = await ready(policy("acme"), policy("globex"))
    (away,) = {
        store["metadata"]["name"] for store in operator.objects("DataStore") if "globex-analytical" in str(store)
    }
    operator.cluster.put(hold())
    hosts = {"acme": "", "globex": ""}
    for name in hosts:
        hosts[name] = f"{name}-postgresql.{NAMESPACE}.svc"
    operator.stores.away.add(hosts["globex"])
    found = await step(operator)
    assert ready_of(found) == ("False", "ServerUnreachable")
    assert "not in force in Analytical of policy globex" in condition(found, "Ready")["message"]
    assert (found["status"]["policies"], found["status"]["databases"]) == ("1/2", "1/2")
    assert found["status"]["stores"][0]["dataStore"] == away, "what is not as wanted comes first"
    assert "held" not in found["status"], "what is not known of one database is not told as a sum"
    assert list(live(operator).values()) == [1]
    operator.stores.away.clear()
    assert ready_of(await step(operator)) == ("True", "HoldPlaced")
    assert list(live(operator).values()) == [1, 1]


async def test_a_database_that_is_made_later_gets_it_too__X3() -> None:
    operator = await ready()
    operator.cluster.put(hold())
    await step(operator)
    operator.cluster.put(policy("globex"))
    assert ready_of(await step(operator)) == ("False", "Pending"), "nobody may read that all have it"
    await operator.settled("globex")
    found = await step(operator)
    assert (ready_of(found), found["status"]["policies"]) == (("True", "HoldPlaced"), "2/2")


async def test_a_database_that_comes_new_has_it_before_any_night_of_its_policy_could_begin__X3() -> None:
    operator = await ready()
    operator.cluster.put(hold())
    operator.cluster.put(hold("of-acme", policyRefs=[{"name": "acme"}]))
    operator.cluster.put(hold("released", release={"reason": "closed"}))
    operator.cluster.put(policy("globex"))
    await operator.settled("globex")
    assert [name for _, name in operator.stores.holds] == [NAME], "its own reconcile never ran"
    await operator.policy()
    assert sorted(name for _, name in operator.stores.holds) == [NAME, NAME, "of-acme"]


async def test_only_the_policies_that_it_names_have_it__X3() -> None:
    operator = await ready(policy("acme"), policy("globex"))
    operator.cluster.put(hold(policyRefs=[{"name": "globex"}]))
    found = await step(operator)
    assert found["status"]["policies"] == "1/1"
    assert [store["policy"] for store in found["status"]["stores"]] == ["globex"]
    assert len(live(operator)) == 1


async def test_a_policy_or_a_category_that_nobody_has_is_told_and_the_rest_is_held__X3() -> None:
    operator = await ready()
    operator.cluster.put(hold(policyRefs=[{"name": "acme"}, {"name": "acne"}]))
    found = await step(operator)
    assert ready_of(found) == ("False", "PolicyNotFound")
    assert "acne" in condition(found, "Ready")["message"]
    assert found["status"]["policies"] == "1/2"
    operator.cluster.put(hold("typo", select={"categories": ["recordings", "recrodings"]}))
    typo = await step(operator, "typo")
    assert ready_of(typo) == ("False", "CategoryUnknown")
    assert "recrodings" in condition(typo, "Ready")["message"]
    assert (list(live(operator).values()), list(live(operator, "typo").values())) == ([1], [2])


async def test_a_release_ends_it_everywhere_and_nothing_places_it_again__X3() -> None:
    operator = await ready()
    (database,) = operator.stores.databases
    operator.stores.held_rows[database] = {"recordings": 5}
    operator.cluster.put(hold())
    await step(operator)
    await release(operator)
    found = await step(operator)
    assert ready_of(found) == ("True", "HoldReleased")
    assert found["status"]["held"] == 0
    assert "placedAt" not in found["status"]["stores"][0]
    (kept,), uid = operator.stores.holds.values(), found["metadata"]["uid"]
    assert kept.acts == [("HoldPlaced", uid, None), ("HoldReleased", uid, {"recordings": 5})]
    operator.restart()
    await step(operator)
    assert list(live(operator).values()) == [0]


async def test_a_release_that_one_database_did_not_hear_of_is_not_ready__X3() -> None:
    operator = await ready()
    operator.cluster.put(hold())
    await step(operator)
    operator.stores.away.add(f"acme-postgresql.{NAMESPACE}.svc")
    await release(operator)
    found = await step(operator)
    assert ready_of(found) == ("False", "ServerUnreachable")
    assert "not released in Analytical of policy acme" in condition(found, "Ready")["message"]
    operator.stores.away.clear()
    assert ready_of(await step(operator)) == ("True", "HoldReleased")


async def test_deleting_the_object_releases_nothing_and_an_object_of_its_name_does__X3() -> None:
    operator = await ready()
    operator.cluster.put(hold())
    await step(operator)
    await operator.cluster.delete(HOLD, NAME, NAMESPACE)
    await step(operator)
    assert list(live(operator).values()) == [1]
    operator.cluster.put(hold(select={"sessions": ["any"]}, release={"reason": "closed"}))
    assert ready_of(await step(operator)) == ("True", "HoldReleased")
    assert list(live(operator).values()) == [0]


async def test_a_kill_before_any_effect_is_continued_by_the_next_process__X3() -> None:
    killed = 0
    for released in (False, True):
        for effect in range(3):
            operator = await ready(policy("acme"), policy("globex"))
            operator.cluster.put(hold())
            if released:
                await step(operator)
                await release(operator)
            operator.effects.deadly = len(operator.effects.effects) + effect
            with pytest.raises(Killed):
                await step(operator)
            killed += 1
            operator.effects.deadly = None
            operator.restart()
            assert ready_of(await step(operator)) == ("True", "HoldReleased" if released else "HoldPlaced")
            assert list(live(operator).values()) == [0 if released else 1] * 2
    assert killed == 6, "in the first database, in the second, and in the status"


async def test_what_somebody_took_out_of_a_database_by_hand_is_placed_again__X3() -> None:
    operator = await ready(policy("acme"), policy("globex"))
    operator.cluster.put(hold())
    await step(operator)
    next(iter(operator.stores.holds.values())).live.clear()
    await step(operator)
    assert list(live(operator).values()) == [1, 1]


async def test_the_store_of_a_policy_that_is_gone_is_left_alone_and_told__X5_X3() -> None:
    operator = await ready(policy("acme"), policy("globex"))
    await operator.cluster.delete(POLICY, "globex", NAMESPACE)
    await operator.policy("globex")
    operator.cluster.put(hold())
    found = await step(operator)
    assert (ready_of(found), found["status"]["databases"]) == (("True", "HoldPlaced"), "1/1")
    (gone,) = (store for store in found["status"]["stores"] if store["policy"] == "globex")
    assert (gone["reason"], "placedAt" in gone) == ("StoreReleased", False)
    assert "stores without a policy that are left alone: 1" in condition(found, "Ready")["message"]


async def test_a_namespace_that_is_not_served_or_has_no_policy_is_told__X2() -> None:
    operator = await operator_with()
    operator.cluster.put(hold())
    assert ready_of(await step(operator)) == ("False", "Pending")
    operator.cluster.put(namespace(NAMESPACE, **{"tenantretention.io/tenant": ""}))
    assert ready_of(await step(operator)) == ("False", "NamespaceNotServed")


async def test_a_count_that_took_too_long_is_told_and_the_hold_is_in_force__X3() -> None:
    operator = await ready()
    (database,) = operator.stores.databases
    operator.stores.held_rows[database] = None
    operator.cluster.put(hold())
    found = await step(operator)
    assert ready_of(found) == ("True", "HoldPlaced")
    assert "held" not in found["status"]
    assert "could not be counted" in found["status"]["stores"][0]["message"]


async def test_a_hold_on_a_policy_with_several_databases_is_in_all_of_them__X3() -> None:
    operator = await operator_with(
        profile("dialogue-cloud"), policy(profile="dialogue-cloud", channels=["Phone", "Chat"])
    )
    await operator.settled()
    operator.cluster.put(hold(select={"from": "2026-01-01T00:00:00Z", "to": "2026-07-01T00:00:00.5Z"}))
    found = await step(operator)
    assert ready_of(found) == ("True", "HoldPlaced")
    assert len(live(operator)) == len(operator.stores.databases) > 1


async def test_the_policy_tells_what_is_on_hold_also_where_the_object_is_gone__X3() -> None:
    operator = await ready()
    operator.cluster.put(hold())
    operator.cluster.put(hold("case-18", reference="case 18/2026"))
    await step(operator)
    await step(operator, "case-18")
    assert [row["objectMissing"] for row in (await operator.policy())["status"]["holds"]] == [False, False]
    await operator.cluster.delete(HOLD, "case-18", NAMESPACE)
    first, second = (await operator.policy())["status"]["holds"]
    assert first == {
        "name": "case-18",
        "since": "2026-11-22T12:00:00Z",
        "reference": "case 18/2026",
        "objectMissing": True,
    }
    assert (second["name"], second["objectMissing"]) == (NAME, False)
    operator.stores.away.add(f"acme-postgresql.{NAMESPACE}.svc")
    assert len((await operator.policy())["status"]["holds"]) == 2, "what does not answer still holds"
    operator.stores.away.clear()
    await release(operator)
    await step(operator)
    assert [row["name"] for row in (await operator.policy())["status"]["holds"]] == ["case-18"]
