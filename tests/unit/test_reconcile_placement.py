"""Placement by rule: which databases a policy has, and what becomes of one that it asks for no more (D2, D3, D4)."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ledger import place_of
from tenant_retention.domain.manifests.inputs import Image
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.ports.cluster import POLICY, STORE, Manifest
from tenant_retention.reconcile.dispatch import Reconcile
from tests.support.operator_world import NAMESPACE, OPERATOR, Operator, condition, namespace, policy, profile
from tests.unit.test_reconcile_runs import end_job, run, step


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


async def test_a_store_that_a_job_has_emptied_keeps_its_place_in_the_rules_until_that_job_has_ended__D3_X7() -> None:
    operator = await dialogue_cloud(channels=["Phone", "Chat"])
    await operator.settled()
    await use(operator, "Phone")
    begun = plan_of(operator)
    operator.cluster.put(run(mode="Enforce"))
    await step(operator)
    operator.stores.databases[entry_of(operator, "Dialogue")["spec"]["name"]].rows = 0
    await operator.settled()
    assert entry_of(operator, "Dialogue")["status"]["phase"] == "Bound"
    await operator.settled()
    assert plan_of(operator) == begun, "a run ends by the rules that it began with"
    await end_job(operator)
    await operator.settled()
    assert entry_of(operator, "Dialogue")["status"]["phase"] == "Released"
    await operator.settled()
    assert [store.purpose for store in plan_of(operator).databases] == ["Analytical"]


async def test_a_store_that_nobody_counted_yet_is_not_taken_for_empty__D3_D7() -> None:
    operator = await dialogue_cloud(channels=["Phone", "Chat"])
    await operator.settled()
    del entry_of(operator, "Dialogue")["status"]["empty"]
    found = await use(operator, "Phone")
    assert {row["purpose"] for row in found["status"]["stores"]} >= {"Dialogue"}


APAC: dict[str, Any] = {
    "type": "PostgreSQL",
    "provisioner": "Existing",
    "region": "APAC",
    "existing": {"host": "pg.apac.example.com", "adminSecretRef": {"name": "pg-apac"}},
}
UNITS = [
    {"name": "helpdesk"},
    {"name": "sydney", "region": "APAC", "database": "Shared"},
    {"name": "clinic", "region": "APAC", "database": "Dedicated"},
    {"name": "ward", "sharedWith": "clinic"},
    {"name": "beds", "database": "Dedicated"},
]
PLACES = [
    "Analytical",
    "Analytical/APAC",
    "Analytical/APAC:clinic",
    "Analytical:beds",
    "Dialogue",
    "Dialogue/APAC",
    "Dialogue/APAC:clinic",
]


async def with_units(*units: dict[str, Any], **spec: Any) -> Operator:
    """A dialogue cloud whose units lie at home, on an embedded server, and in APAC, on the customer's own."""
    asked = policy(profile="dialogue-cloud", units=list(units), **spec)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-apac", "namespace": OPERATOR}}
    values = {"username": "admin", "password": "secret"}
    keys = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    apac = {"apiVersion": "tenantretention.io/v1alpha1", "kind": "DataStoreClass", "metadata": {"name": "pg-apac"}}
    operator = Operator(
        namespace(NAMESPACE), profile("dialogue-cloud"), asked, {**secret, "data": keys}, {**apac, "spec": APAC}
    )
    await operator.start()
    return operator


async def change_units(operator: Operator, *units: dict[str, Any]) -> Manifest:
    """Edits ``spec.units`` and waits until all is settled."""

    def change(found: Manifest) -> None:
        found["spec"]["units"] = list(units)
        found["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1

    await operator.edit(POLICY, "acme", NAMESPACE, change)
    return await operator.settled()


def places_of(plan: PlanDocument) -> list[str]:
    """The databases of a plan by name."""
    return sorted(store.place.name for store in plan.databases)


async def test_every_further_region_and_every_dedicated_unit_has_databases_of_its_own_in_one_plan__D3_D4() -> None:
    operator = await with_units(*UNITS)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True", condition(found, "Ready")["message"]
    assert found["status"]["databases"] == "7/7"
    plan = plan_of(operator)
    assert places_of(plan) == PLACES
    assert plan.definition.database_names() == tuple(PLACES)
    entries = {
        each["spec"]["name"]: each for each in operator.objects("DataStore") if each["spec"]["type"] == "PostgreSQL"
    }
    assert set(entries) == set(operator.stores.databases)
    further = [each["spec"] for each in entries.values() if each["spec"].get("region") == "APAC"]
    assert sorted((spec["purpose"], spec.get("unit", "")) for spec in further) == [
        ("Analytical", ""),
        ("Analytical", "clinic"),
        ("Dialogue", ""),
        ("Dialogue", "clinic"),
    ]
    clinic = await operator.cluster.list(STORE, labels="tenantretention.io/policy=acme,tenantretention.io/unit=clinic")
    assert {each["spec"]["purpose"] for each in clinic} == {"Analytical", "Dialogue"}


async def test_every_further_database_has_the_same_rules_and_secrets_that_name_region_and_unit__D3() -> None:
    operator = await with_units(*UNITS)
    await operator.settled()
    digests = {kept.definition.rules_digest() for kept in operator.stores.databases.values() if kept.definition}
    assert digests == {plan_of(operator).rules_digest}
    handed = [
        each
        for each in operator.objects("Secret", NAMESPACE)
        if each["metadata"]["labels"].get("tenantretention.io/unit") == "clinic"
    ]
    assert {each["metadata"]["labels"]["tenantretention.io/role"] for each in handed} == {"app", "reader", "enforcer"}
    assert {each["metadata"]["labels"]["tenantretention.io/region"] for each in handed} == {"APAC"}
    assert all("apac-clinic" in each["metadata"]["name"] for each in handed)
    assert len({each["metadata"]["name"] for each in handed}) == 6
    plan = {store.binding.removeprefix("/bindings/") for store in plan_of(operator).databases}
    assert plan <= {each["metadata"]["name"] for each in operator.objects("Secret", NAMESPACE)}


async def test_counts_of_all_databases_of_a_category_are_one_sum__D4_X4() -> None:
    operator = await with_units(*UNITS)
    found = await operator.settled()
    rows = {row["name"]: row for row in found["status"]["categories"]}
    assert (rows["call-records"]["rows"], rows["messages"]["rows"]) == (40, 30)
    for kept in operator.stores.databases.values():
        kept.overdue = 2
    found = await operator.settled()
    assert {row["name"]: row["overdue"] for row in found["status"]["categories"]}["call-records"] == 8


async def test_a_unit_that_is_removed_takes_no_agent_along_and_its_private_rows_go_on_expiring__D4() -> None:
    operator = await with_units(*UNITS)
    await operator.settled()
    before = {name: kept.rows for name, kept in operator.stores.databases.items()}
    digest = plan_of(operator).rules_digest
    found = await change_units(operator, *UNITS[:2])
    assert condition(found, "Ready")["status"] == "True"
    assert places_of(plan_of(operator)) == PLACES
    assert plan_of(operator).rules_digest == digest
    assert {name: kept.rows for name, kept in operator.stores.databases.items()} == before, "no row is touched"
    for kept in operator.stores.databases.values():
        kept.rows = 0 if kept.purpose == "Dialogue" else 5
    await operator.settled()
    await operator.settled()
    phases = {
        place_of(DataStore.from_object(each).spec).name: each["status"]["phase"]
        for each in operator.objects("DataStore")
    }
    assert phases["Dialogue/APAC:clinic"] == "Released"
    assert phases["Analytical/APAC:clinic"] == phases["Analytical:beds"] == "Bound", (
        "a private database with rows stays"
    )
    assert phases["Dialogue"] == phases["Dialogue/APAC"] == "Bound", "an asked one stays, empty or not"
    operator.restart()
    await operator.settled()
    assert places_of(plan_of(operator)) == [name for name in PLACES if name != "Dialogue/APAC:clinic"]
    await change_units(operator, *UNITS)
    assert places_of(plan_of(operator)) == PLACES


async def test_an_existing_policy_without_units_keeps_its_names_secrets_and_digest__M11() -> None:
    operator = await with_units()
    await operator.settled()
    assert plan_of(operator).definition.databases is None
    assert [store.binding for store in plan_of(operator).databases] == [
        "/bindings/acme-analytical-enforcer",
        "/bindings/acme-dialogue-enforcer",
    ]
    await change_units(operator, {"name": "helpdesk"}, {"name": "sales"})
    assert plan_of(operator).definition.databases is None


async def test_a_further_region_on_a_second_embedded_class_is_refused_and_harms_no_home_store__D3() -> None:
    operator = await with_units({"name": "rio", "region": "AMER", "database": "Shared"})
    amer = {"type": "PostgreSQL", "provisioner": "Embedded", "region": "AMER"}
    kind = {"apiVersion": "tenantretention.io/v1alpha1", "kind": "DataStoreClass"}
    operator.cluster.put({**kind, "metadata": {"name": "pg-amer"}, "spec": amer})
    found = await operator.settled()
    assert condition(found, "Stalled")["reason"] == "ClassInvalid"
    assert "its one Embedded server of type PostgreSQL" in condition(found, "Stalled")["message"]
    assert found["status"]["databases"] == "2/4"


async def test_a_region_without_a_class_says_which_and_the_home_stores_work_on__D3() -> None:
    operator = await with_units({"name": "rio", "region": "AMER", "database": "Shared"})
    found = await operator.settled()
    assert condition(found, "Stalled")["reason"] == "NoDefaultClass"
    assert "in region AMER" in condition(found, "Stalled")["message"]
    assert len(operator.stores.databases) == 2


def refusing(operator: Operator, *away: str) -> list[str]:
    """The databases that would refuse tonight's run, by their rules. ``away``: hosts whose databases cannot be told anything."""
    digest = plan_of(operator).rules_digest
    hosts = {each["spec"]["name"]: each["spec"].get("region") for each in operator.objects("DataStore")}
    return [
        name
        for name, kept in operator.stores.databases.items()
        if hosts[name] not in away and (kept.definition is None or kept.definition.rules_digest() != digest)
    ]


def put_away(operator: Operator) -> None:
    """The customer's server in APAC does not answer."""
    operator.stores.refusals["pg.apac.example.com"] = Unavailable("away", reason="ServerUnreachable")


async def test_a_region_that_is_added_without_a_class_stops_no_night_of_the_others__M10_D3() -> None:
    operator = await with_units()
    await operator.settled()
    found = await change_units(operator, {"name": "rio", "region": "AMER", "database": "Shared"})
    assert condition(found, "Stalled")["reason"] == "NoDefaultClass"
    assert refusing(operator) == []
    assert plan_of(operator).definition.database_names() == ("Analytical", "Dialogue"), (
        "nothing waits for what is nowhere"
    )


async def test_a_region_that_is_away_while_another_store_is_emptied_stops_no_night_of_the_others__M8_M10_D4() -> None:
    operator = await with_units(*UNITS)
    await operator.settled()
    await change_units(operator, *UNITS[:2])
    put_away(operator)
    beds = next(each["spec"]["name"] for each in operator.objects("DataStore") if each["spec"].get("unit") == "beds")
    operator.stores.databases[beds].rows = 0
    for _ in range(3):
        await operator.settled()
    assert [name for name in refusing(operator, "APAC") if name != beds] == []
    plan = plan_of(operator)
    assert places_of(plan) == [name for name in PLACES if name != "Analytical:beds"], "what is away fails alone"
    assert plan.definition.database_names() == tuple(places_of(plan)), "no shared object goes without its word"
    operator.stores.refusals.clear()
    await operator.settled()
    assert [name for name in refusing(operator) if name != beds] == []


async def test_a_region_that_never_answered_is_asked_about_its_objects_and_stops_no_night__M8_M10_D3() -> None:
    operator = await with_units()
    await operator.settled()
    put_away(operator)
    await change_units(operator, UNITS[1])
    assert refusing(operator) == []
    plan = plan_of(operator)
    assert places_of(plan) == ["Analytical", "Dialogue"], "a pod without the login's Secret would never start"
    assert set(plan.definition.database_names()) >= {"Analytical/APAC", "Dialogue/APAC"}, "doubt keeps shared objects"


async def test_an_upgrade_while_a_region_is_away_brings_the_new_image_to_the_nights_of_the_others__M10_M11() -> None:
    operator = await with_units(*UNITS)
    await operator.settled()
    put_away(operator)
    operator.restart()
    operator.world = replace(operator.world, images=replace(operator.world.images, job=Image("job:2")))
    operator.reconcile = Reconcile(operator.world)
    await operator.settled()
    (cron_job,) = operator.objects("CronJob", NAMESPACE)
    (container,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "job:2"
    assert places_of(plan_of(operator)) == PLACES


@pytest.mark.parametrize("restarted", [False, True])
async def test_rows_that_come_late_into_an_emptied_store_of_a_unit_that_is_gone_expire_like_all_others__D4_M10(
    restarted: bool,
) -> None:
    operator = await with_units(*UNITS)
    await operator.settled()
    for kept in operator.stores.databases.values():
        kept.rows = 0
    await change_units(operator)
    await operator.settled()
    beds = next(each for each in operator.objects("DataStore") if each["spec"].get("unit") == "beds")
    assert (beds["status"]["phase"], places_of(plan_of(operator))) == ("Released", ["Analytical", "Dialogue"])
    if restarted:
        operator.restart()
        await operator.settled()
    kept = operator.stores.databases[beds["spec"]["name"]]
    kept.rows, kept.overdue = 9, 9
    name = beds["metadata"]["name"]
    await operator.reconcile(STORE.name, "", name)
    beds = operator.cluster.objects[("DataStore", None, name)]
    assert (beds["status"]["phase"], beds["status"]["overdue"]) == ("Released", 27), "the policy does not have it yet"
    assert operator.shown.released[name] == 27, "nor is its debt hidden"
    found = await operator.settled()
    assert "Analytical:beds" in places_of(plan_of(operator))
    assert operator.cluster.objects[("DataStore", None, name)]["status"]["phase"] == "Bound"
    assert found["status"]["overdue"] == 27
    kept.overdue = 50
    assert (await operator.settled())["status"]["overdue"] == 150
    kept.rows, kept.overdue = 0, 0
    await operator.settled()
    assert places_of(plan_of(operator)) == ["Analytical", "Dialogue"]
