"""The archive as a bucket in the operator's world: a class of type S3 makes it, and the nights write, read and empty it (D3, T6)."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from tenant_retention.domain.copies import margin
from tenant_retention.domain.ports.cluster import POLICY, SECRET, Manifest
from tests.support.operator_world import NAMESPACE, Operator, condition
from tests.unit.test_reconcile_archive import ARCHIVED, PLAIN, choose
from tests.unit.test_reconcile_placement import dialogue_cloud, entry_of, plan_of, purposes

IN_FILES = [{"purpose": "Archive", "className": "embedded-s3"}]


async def archived_in_files(**spec: Any) -> Operator:
    return await dialogue_cloud(**{"channels": ["Phone"], "retention": [ARCHIVED], "stores": IN_FILES, **spec})


def mounted(operator: Operator) -> set[str]:
    """The binding Secrets in the pods of the nights."""
    pod = operator.cluster.objects[("CronJob", NAMESPACE, "acme-expire")]["spec"]["jobTemplate"]["spec"]["template"]
    return {each["secret"]["secretName"] for each in pod["spec"]["volumes"] if "secret" in each}


async def test_a_class_of_type_s3_makes_the_archive_a_bucket_that_only_the_nights_write_into__D3_X2() -> None:
    operator = await archived_in_files()
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True", condition(found, "Ready")["message"]
    assert purposes(operator) == ["Analytical"], "no database is made for it"
    entry = entry_of(operator, "Archive")["spec"]
    assert (entry["type"], entry["name"] in operator.stores.buckets) == ("S3", True)
    plan = plan_of(operator)
    archive = next(each for each in plan.buckets if each.purpose == "Archive")
    assert (archive.binding, archive.writer) == ("/bindings/acme-archive-enforcer", "/bindings/acme-archive-app")
    assert [each.writer for each in plan.buckets if each.purpose != "Archive"] == [""]
    assert plan.definition.database_names() == ("Analytical",)
    assert {"acme-archive-enforcer", "acme-archive-app", "acme-content-enforcer"} <= mounted(operator)
    assert "acme-content-app" not in mounted(operator)
    told = {each["name"] for each in found["status"]["bindings"]}
    assert {"acme-archive-reader", "acme-archive-enforcer"} <= told
    assert "acme-archive-app" not in told, "it is the Job's, and no application's"


async def test_files_leave_a_day_earlier_as_their_oldest_row_waits_for_the_newest__M10() -> None:
    operator = await archived_in_files()
    await operator.settled()
    assert plan_of(operator).definition.margin_seconds == margin(in_files=True).total_seconds()
    assert margin(in_files=True) == margin() + timedelta(days=1)


async def test_the_bucket_goes_on_being_emptied_when_nothing_is_archived_any_more__D3_M10() -> None:
    operator = await archived_in_files()
    await operator.settled()
    found = await choose(operator, PLAIN)
    assert condition(found, "Ready")["status"] == "True", condition(found, "Ready")["message"]
    plan = plan_of(operator)
    assert plan.definition.category("call-records").archive_after is None
    assert "Archive" in [each.purpose for each in plan.buckets]
    assert plan.definition.margin_seconds == margin(in_files=True).total_seconds(), "there may be files still"
    assert entry_of(operator, "Archive")["status"]["phase"] == "Bound"


async def test_a_policy_that_archives_nothing_makes_no_bucket_and_keeps_its_digest__D3() -> None:
    operator = await archived_in_files(retention=[PLAIN])
    await operator.settled()
    without = await dialogue_cloud(channels=["Phone"], retention=[PLAIN])
    await without.settled()
    assert "Archive" not in [each["spec"]["purpose"] for each in operator.objects("DataStore")]
    assert plan_of(operator).rules_digest == plan_of(without).rules_digest


async def test_rows_that_must_lose_the_person_later_are_not_put_into_files_and_the_field_is_named__X1() -> None:
    operator = await archived_in_files()
    await operator.settled()
    found = await choose(operator, {**ARCHIVED, "anonymizeAfter": "P18M"})
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ArchiveOutOfBounds")
    assert "spec.retention[call-records].archiveAfter" in stalled["message"]
    assert "P18M or longer" in stalled["message"]
    kept = plan_of(operator).definition.category("call-records")
    assert (kept.archive_after, kept.anonymize_after) == ("P1Y", None), "the last good rules go on"
    found = await choose(operator, {**ARCHIVED, "anonymizeAfter": "P1Y"})
    assert condition(found, "Stalled")["status"] == "False"


async def test_an_archive_never_moves_from_files_to_a_database__D3() -> None:
    operator = await archived_in_files()
    await operator.settled()

    def change(found: Manifest) -> None:
        found["spec"]["stores"] = [{"purpose": "Archive", "className": "embedded-postgresql"}]

    await operator.edit(POLICY, "acme", NAMESPACE, change)
    found = await operator.settled()
    assert (condition(found, "Stalled")["status"], condition(found, "Stalled")["reason"]) == ("True", "StoreConflict")
    assert "does not move" in condition(found, "Stalled")["message"]
    plan = plan_of(operator)
    assert "Archive" in [each.purpose for each in plan.buckets]
    assert "Archive" not in [each.purpose for each in plan.databases]


async def test_a_profile_that_is_gone_leaves_the_archive_a_bucket__M10() -> None:
    operator = await archived_in_files()
    await operator.settled()
    before = plan_of(operator)
    del operator.cluster.objects[("RetentionProfile", None, "dialogue-cloud")]
    operator.restart()
    await operator.settled()
    after = plan_of(operator)
    assert after.rules_digest == before.rules_digest
    assert [each.purpose for each in after.buckets] == [each.purpose for each in before.buckets]


async def test_nights_go_on_without_the_archive_where_its_writer_s_secret_is_gone_and_cannot_be_made__M10() -> None:
    operator = await archived_in_files()
    await operator.settled()
    found = await operator.cluster.get(SECRET, "acme-archive-app", NAMESPACE)
    assert found is not None
    await operator.cluster.delete(SECRET, "acme-archive-app", NAMESPACE, found["metadata"]["uid"])
    operator.stores.away.add(next(iter(server_urls(operator))))
    await operator.policy()
    plan = plan_of(operator)
    assert ("Archive" in [each.purpose for each in plan.buckets], plan.awaited) == (False, ("Archive",))
    assert "acme-archive-app" not in mounted(operator), "a pod that waits for it would delete nothing"


def server_urls(operator: Operator) -> set[str]:
    """Where the policy's buckets answer."""
    data = operator.cluster.objects[("Secret", NAMESPACE, "acme-content-enforcer")]["data"]
    return {base64.b64decode(data["AWS_ENDPOINT_URL"]).decode()}
