"""Placement by rule: which databases a policy has, and what becomes of one that it asks for no more (D2, D3, D4)."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.ports.cluster import POLICY, Manifest
from tests.support.operator_world import NAMESPACE, Operator, condition, namespace, policy, profile


async def dialogue_cloud(**spec: Any) -> Operator:
    """An operator with one policy of the dialogue cloud."""
    asked = policy(profile="dialogue-cloud", **spec)
    operator = Operator(namespace(NAMESPACE), profile("dialogue-cloud"), asked)
    await operator.start()
    return operator


def purposes(operator: Operator) -> list[str]:
    """What the databases of the ledger are for."""
    found = (each["spec"] for each in operator.objects("DataStore"))
    return sorted(spec["purpose"] for spec in found if spec["type"] == "PostgreSQL")


def entry_of(operator: Operator, purpose: str) -> Manifest:
    """The ledger entry of the home store of a purpose."""
    return next(each for each in operator.objects("DataStore") if each["spec"]["purpose"] == purpose)


def plan_of(operator: Operator, name: str = "acme-plan") -> PlanDocument:
    """The nightly plan."""
    plan = next(each for each in operator.objects("ConfigMap", NAMESPACE) if each["metadata"]["name"] == name)
    return PlanDocument.model_validate_json(plan["data"]["plan.json"])


async def use(operator: Operator, *channels: str) -> Manifest:
    """Edits ``spec.channels`` and waits until all is settled."""

    def change(found: Manifest) -> None:
        found["spec"]["channels"] = list(channels)
        found["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1

    await operator.edit(POLICY, "acme", NAMESPACE, change)
    return await operator.settled()


@pytest.mark.parametrize("channel", ["Chat", "Email", "Text", "WhatsApp"])
async def test_one_dialogue_channel_makes_the_dialogue_database__D2(channel: str) -> None:
    operator = await dialogue_cloud(channels=["Phone", channel])
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    assert purposes(operator) == ["Analytical", "Dialogue"]


@pytest.mark.parametrize("channels", [["Phone"], ["Phone", "Task"]])
async def test_calls_and_tasks_alone_make_no_dialogue_database_and_the_nights_run_without_one__D2(
    channels: list[str],
) -> None:
    operator = await dialogue_cloud(channels=channels)
    found = await operator.settled()
    assert (purposes(operator), found["status"]["databases"]) == (["Analytical"], "1/1")
    assert condition(found, "Ready")["status"] == "True", condition(found, "Ready")["message"]
    assert "dialogues" not in {row["name"] for row in found["status"]["categories"]}
    plan = plan_of(operator)
    assert [store.purpose for store in plan.databases] == ["Analytical"]
    assert plan.definition.database_names() == ("Analytical",), "no object waits for a database that is not there"


async def test_a_policy_without_channels_uses_those_of_its_profile_and_its_digest_stays__D2() -> None:
    operator = await dialogue_cloud()
    await operator.settled()
    assert purposes(operator) == ["Analytical", "Dialogue"]
    definition = plan_of(operator).definition
    assert definition.databases is None
    named = definition.placed_in(["Dialogue", "Analytical"])
    assert named.rules_digest() == definition.rules_digest()
    assert definition.placed_in(["Analytical"]).rules_digest() != definition.rules_digest()


async def test_a_channel_that_is_turned_off_releases_nothing_that_has_rows_and_they_go_on_expiring__D2_D3() -> None:
    operator = await dialogue_cloud(channels=["Phone", "Chat"])
    await operator.settled()
    digest = plan_of(operator).rules_digest
    found = await use(operator, "Phone")
    assert condition(found, "Ready")["status"] == "True"
    assert [store.purpose for store in plan_of(operator).databases] == ["Analytical", "Dialogue"]
    assert plan_of(operator).rules_digest == digest, "nothing becomes newly due by turning a channel off"
    row = next(each for each in found["status"]["stores"] if each["purpose"] == "Dialogue")
    assert "go on expiring" in row["message"]
    assert entry_of(operator, "Dialogue")["status"]["phase"] == "Bound"


async def test_a_switched_off_store_is_released_once_it_is_empty_and_bound_again_when_it_is_turned_on__D2_D3() -> None:
    operator = await dialogue_cloud(channels=["Phone", "Chat"])
    await operator.settled()
    before = entry_of(operator, "Dialogue")
    kept = operator.stores.databases[before["spec"]["name"]]
    kept.rows = 0
    found = await use(operator, "Phone")
    released = entry_of(operator, "Dialogue")
    assert (released["status"]["phase"], released["status"]["empty"]) == ("Released", True)
    assert [store.purpose for store in plan_of(operator).databases] == ["Analytical"]
    assert found["status"]["databases"] == "1/1"
    kept.rows = 3
    await operator.settled()
    found = await operator.settled()
    assert entry_of(operator, "Dialogue")["status"]["phase"] == "Bound", "rows that come late expire like all others"
    kept.rows = 0
    await operator.settled()
    await operator.settled()
    assert entry_of(operator, "Dialogue")["status"]["phase"] == "Released"
    found = await use(operator, "Phone", "WhatsApp")
    again = entry_of(operator, "Dialogue")
    assert again["spec"] == before["spec"], "the same store, not another one"
    assert again["status"]["phase"] == "Bound"
    assert found["status"]["databases"] == "2/2"


async def test_a_store_that_nobody_counted_yet_is_not_taken_for_empty__D3_D7() -> None:
    operator = await dialogue_cloud(channels=["Phone", "Chat"])
    await operator.settled()
    del entry_of(operator, "Dialogue")["status"]["empty"]
    found = await use(operator, "Phone")
    assert {row["purpose"] for row in found["status"]["stores"]} >= {"Dialogue"}
