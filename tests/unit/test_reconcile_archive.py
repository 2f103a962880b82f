"""The archive in the operator's world: made with the first archiveAfter, part of the nights, kept until it is empty (D3, T5)."""

from __future__ import annotations

from typing import Any

from tenant_retention.domain.ports.cluster import POLICY, Manifest
from tests.support.operator_world import NAMESPACE, Operator, condition
from tests.unit.test_reconcile_placement import dialogue_cloud, entry_of, plan_of, purposes

ARCHIVED = {"category": "call-records", "keep": "P3Y", "archiveAfter": "P1Y"}
PLAIN = {"category": "call-records", "keep": "P3Y"}


async def choose(operator: Operator, choice: dict[str, Any]) -> Manifest:
    """Edits ``spec.retention`` and waits until all is settled."""

    def change(found: Manifest) -> None:
        found["spec"]["retention"] = [choice]
        found["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1

    await operator.edit(POLICY, "acme", NAMESPACE, change)
    return await operator.settled()


async def test_an_archive_database_comes_with_the_first_age_and_the_night_works_on_it__D3() -> None:
    operator = await dialogue_cloud(channels=["Phone"], retention=[PLAIN])
    await operator.settled()
    before = plan_of(operator)
    assert (purposes(operator), before.definition.database_names()) == (["Analytical"], ("Analytical",))
    found = await choose(operator, ARCHIVED)
    assert condition(found, "Ready")["status"] == "True", condition(found, "Ready")["message"]
    assert found["status"]["databases"] == "2/2"
    plan = plan_of(operator)
    assert [store.purpose for store in plan.databases] == ["Analytical", "Archive"]
    assert plan.definition.category("call-records").archive_after == "P1Y"
    assert plan.rules_digest != before.rules_digest
    row = next(each for each in found["status"]["categories"] if each["name"] == "call-records")
    assert row["archiveAfter"] == "P1Y"
    assert row["archived"] > 0, "the archive's rows are among the category's"
    assert row["archived"] < row["rows"]
    assert "archived" not in next(each for each in found["status"]["categories"] if each["name"] == "recordings")


async def test_an_archive_that_is_asked_for_no_more_goes_on_expiring_until_it_is_empty__D3_M10() -> None:
    operator = await dialogue_cloud(channels=["Phone"], retention=[ARCHIVED])
    await operator.settled()
    archive = operator.stores.databases[entry_of(operator, "Archive")["spec"]["name"]]
    archive.rows = 7
    found = await choose(operator, PLAIN)
    assert condition(found, "Ready")["status"] == "True"
    assert [store.purpose for store in plan_of(operator).databases] == ["Analytical", "Archive"]
    assert entry_of(operator, "Archive")["status"]["phase"] == "Bound"
    archive.rows = 0
    await operator.settled()
    await operator.settled()
    assert entry_of(operator, "Archive")["status"]["phase"] == "Released"
    assert [store.purpose for store in plan_of(operator).databases] == ["Analytical"]


async def test_an_age_that_nothing_can_be_archived_at_stalls_with_its_field_and_the_last_good_one_goes_on__X1() -> None:
    operator = await dialogue_cloud(channels=["Phone"], retention=[ARCHIVED])
    await operator.settled()
    found = await choose(operator, {**ARCHIVED, "archiveAfter": "P3Y"})
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ArchiveOutOfBounds")
    assert "spec.retention[call-records].archiveAfter" in stalled["message"]
    assert plan_of(operator).definition.category("call-records").archive_after == "P1Y"
