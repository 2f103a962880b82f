"""The reconcile of a policy over fakes: what appears, what is said, what stays."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.domain.plan_document import Mode, PlanDocument
from tenant_retention.domain.ports.cluster import (
    CRON_JOB,
    NETWORK_POLICY,
    POLICY,
    PROFILE,
    SECRET,
    STORE,
    STORE_CLASS,
    Manifest,
)
from tenant_retention.domain.ports.cluster import (
    NAMESPACE as NAMESPACE_KIND,
)
from tenant_retention.domain.schedule import plan_schedule
from tests.support.operator_world import (
    NAMESPACE,
    OPERATOR,
    Operator,
    condition,
    evidence,
    namespace,
    operator_with,
    policy,
    profile,
)

SHORTEST: dict[str, Any] = {
    "retention": [{"category": "general-information", "keep": "P180D"}, {"category": "recordings", "keep": "P14D"}]
}


async def test_the_shortest_policy_brings_database_bucket_secrets_and_a_nightly_job__D1_D2() -> None:
    operator = await operator_with(policy(**SHORTEST))
    made = await operator.settled()
    assert condition(made, "Ready") | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "True",
        "reason": "Enforcing",
        "message": "stores, rules and schedule are as the spec asks",
        "observedGeneration": 1,
        "lastTransitionTime": "",
    }
    assert (made["status"]["databases"], made["status"]["buckets"]) == ("1/1", "1/1")
    assert made["status"]["observedGeneration"] == made["metadata"]["generation"]
    names = {found["metadata"]["name"] for found in operator.objects("Secret", NAMESPACE)}
    assert {"acme-analytical-app", "acme-analytical-enforcer", "acme-content-app", "acme-content-enforcer"} <= names
    assert [found["metadata"]["name"] for found in operator.objects("CronJob", NAMESPACE)] == ["acme-expire"]
    assert {found["status"]["phase"] for found in operator.objects("DataStore")} == {"Bound"}


async def test_a_policy_never_carries_a_finalizer__X5() -> None:
    operator = await operator_with(policy(**SHORTEST))
    made = await operator.settled()
    assert "finalizers" not in made["metadata"]


async def test_an_unchanged_world_is_left_alone() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    operator.effects.effects.clear()
    operator.clock.forward(timedelta(seconds=60))
    await operator.policy()
    assert operator.effects.effects == []


async def test_observers_and_administrators_credentials_stay_in_the_operators_namespace__X2() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    names = {found["metadata"]["name"] for found in operator.objects("Secret", NAMESPACE)}
    assert not [name for name in names if "observer" in name or "logins" in name]
    (logins,) = [
        found for found in operator.objects("Secret", OPERATOR) if "analytical-logins" in found["metadata"]["name"]
    ]
    assert "observer" in logins["data"]
    (administrator,) = [
        found for found in operator.objects("Secret", OPERATOR) if "postgresql-admin" in found["metadata"]["name"]
    ]
    password = administrator["data"]["password"]
    assert not [found for found in operator.objects("Secret", NAMESPACE) if password in found["data"].values()]


async def test_a_namespace_without_the_label_is_told_the_command_and_nothing_is_made__X2() -> None:
    operator = Operator(namespace(NAMESPACE, **{"tenantretention.io/tenant": ""}), profile(), policy(**SHORTEST))
    await operator.start()
    found = await operator.policy()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "NamespaceNotServed")
    assert f"kubectl label namespace {NAMESPACE} tenantretention.io/tenant=true" in stalled["message"]
    assert operator.objects("DataStore") == []
    assert operator.objects("Secret", NAMESPACE) == []


async def test_in_a_namespace_that_is_terminating_nothing_is_created() -> None:
    operator = await operator_with(policy(**SHORTEST))
    operator.cluster.objects[("Namespace", None, NAMESPACE)]["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    found = await operator.settled()
    assert condition(found, "Stalled")["reason"] == "NamespaceTerminating"
    assert operator.objects("StatefulSet") == []


async def test_a_missing_profile_is_waited_for_five_minutes_and_then_asked_for() -> None:
    operator = Operator(namespace(NAMESPACE), policy(**SHORTEST))
    await operator.start()
    waiting = await operator.policy()
    assert condition(waiting, "Reconciling")["reason"] == "WaitingForProfile"
    assert condition(waiting, "Stalled")["status"] == "False"
    operator.clock.forward(timedelta(minutes=5))
    asked = await operator.policy()
    assert condition(asked, "Stalled")["reason"] == "ProfileNotFound"
    assert "puzzel-archive" in condition(asked, "Stalled")["message"]
    operator.cluster.put(profile())
    ready = await operator.settled()
    assert condition(ready, "Ready")["status"] == "True"


async def test_a_missing_class_is_waited_for_and_then_asked_for_by_name() -> None:
    operator = await operator_with(policy(stores=[{"purpose": "Analytical", "className": "pg-emea"}], **SHORTEST))
    waiting = await operator.policy()
    assert condition(waiting, "Reconciling")["reason"] == "WaitingForClass"
    operator.clock.forward(timedelta(minutes=6))
    asked = await operator.policy()
    assert condition(asked, "Stalled")["reason"] == "ClassNotFound"
    assert "spec.stores[Analytical].className" in condition(asked, "Stalled")["message"]


async def test_an_invalid_edit_stalls_and_the_last_good_rules_stay_in_force__X1_M10() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    before = operator.objects("CronJob", NAMESPACE)

    def too_long(found: Manifest) -> None:
        found["spec"]["retention"] = [{"category": "recordings", "keep": "P90Y"}]

    await operator.edit(POLICY, "acme", NAMESPACE, too_long)
    operator.restart()
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "KeepOutOfBounds")
    assert "recordings" in stalled["message"]
    assert "P90Y" in stalled["message"]
    assert "P5Y" in stalled["message"]
    assert condition(found, "Ready")["status"] == "False"
    assert found["status"]["enforced"]["generation"] == 1
    assert operator.objects("CronJob", NAMESPACE) == before
    kept = {row["name"]: row["keep"] for row in found["status"]["categories"]}
    assert kept["recordings"] == "P14D"


async def test_a_profile_that_tightens_stalls_the_policy_inside_the_new_bounds__X1_M10() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()

    def tighten(found: Manifest) -> None:
        for category in found["spec"]["categories"]:
            category["max"], category["default"] = "P100D", "P14D"

    await operator.edit(PROFILE, "puzzel-archive", None, tighten)
    found = await operator.settled()
    assert condition(found, "Stalled")["reason"] == "KeepOutOfBounds"
    (database,) = operator.stores.databases.values()
    assert database.definition is not None
    record = database.definition.category("general-information")
    assert (record.keep, record.maximum) == ("P100D", "P100D")


async def test_a_profile_that_goes_leaves_its_policies_enforced() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    operator.cluster.remove(PROFILE, "puzzel-archive")
    operator.cluster.remove(CRON_JOB, "acme-expire", NAMESPACE)
    found = await operator.settled()
    assert condition(found, "Reconciling")["reason"] == "WaitingForProfile"
    assert [job["metadata"]["name"] for job in operator.objects("CronJob", NAMESPACE)] == ["acme-expire"]


async def test_an_edit_of_the_keep_time_reaches_database_and_plan() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()

    def shorter(found: Manifest) -> None:
        found["spec"]["retention"] = [{"category": "recordings", "keep": "P7D"}]

    await operator.edit(POLICY, "acme", NAMESPACE, shorter)
    found = await operator.settled()
    assert found["status"]["observedGeneration"] == 2
    assert condition(found, "Ready")["observedGeneration"] == 2
    (database,) = operator.stores.databases.values()
    assert database.definition is not None
    assert database.definition.category("recordings").keep == "P7D"
    (plan,) = [found for found in operator.objects("ConfigMap", NAMESPACE) if found["metadata"]["name"] == "acme-plan"]
    assert database.definition.rules_digest() in plan["data"]["plan.json"]


async def test_a_secret_that_is_deleted_or_edited_is_put_right_and_told_once() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    before = await operator.cluster.get(SECRET, "acme-analytical-app", NAMESPACE)
    assert before is not None

    def forge(found: Manifest) -> None:
        found["data"]["password"] = base64.b64encode(b"forged").decode()
        found["data"]["surplus"] = base64.b64encode(b"added").decode()

    await operator.edit(SECRET, "acme-analytical-app", NAMESPACE, forge)
    operator.cluster.remove(NETWORK_POLICY, "acme-jobs", NAMESPACE)
    await operator.settled()
    after = await operator.cluster.get(SECRET, "acme-analytical-app", NAMESPACE)
    assert after is not None
    assert after["data"] == before["data"]
    told = operator.told("DriftRepaired")
    assert len([note for note in told if "acme-analytical-app" in note]) == 1
    assert len([note for note in told if "acme-jobs" in note]) == 1


async def test_a_suspended_cron_job_is_resumed_and_a_suspended_policy_is_not() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()

    def stop(found: Manifest) -> None:
        found["spec"]["suspend"] = True

    await operator.edit(CRON_JOB, "acme-expire", NAMESPACE, stop)
    await operator.settled()
    (job,) = operator.objects("CronJob", NAMESPACE)
    assert job["spec"]["suspend"] is False
    assert operator.told("DriftRepaired")
    await operator.edit(POLICY, "acme", NAMESPACE, stop)
    found = await operator.settled()
    (job,) = operator.objects("CronJob", NAMESPACE)
    assert job["spec"]["suspend"] is True
    assert condition(found, "Ready")["reason"] == "Suspended"
    assert {row["state"] for row in found["status"]["categories"]} == {"CountedOnly"}


def nightly_mode(operator: Operator) -> Mode:
    """What the jobs of the night are told."""
    (plan,) = [found for found in operator.objects("ConfigMap", NAMESPACE) if found["metadata"]["name"] == "acme-plan"]
    return PlanDocument.model_validate_json(plan["data"]["plan.json"]).mode


@pytest.mark.parametrize(
    ("chosen", "mode"),
    [({"suspend": True}, Mode.ENFORCE), ({"mode": "DryRun"}, Mode.DRY_RUN)],
    ids=["suspended", "dry run"],
)
async def test_debt_is_shown_also_while_the_policy_deletes_nothing__X4(chosen: dict[str, Any], mode: Mode) -> None:
    operator = await operator_with(policy(**chosen, **SHORTEST))
    await operator.settled()
    assert nightly_mode(operator) is mode, "the database refuses a night that enforces where the policy does not"
    (database,) = operator.stores.databases.values()
    database.overdue = 3
    found = await operator.settled()
    assert found["status"]["overdue"] == 3 * 3
    assert condition(found, "Compliant")["reason"] == "DeletionDebt"
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["purpose"] == "Analytical"]
    assert entry["status"]["overdue"] == 9


async def test_a_server_that_is_away_deletes_nothing_and_is_named() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    before = operator.picture()
    operator.stores.away = {f"acme-postgresql.{NAMESPACE}.svc"}
    found = await operator.policy()
    ready = condition(found, "DatabasesReady")
    assert (ready["status"], ready["reason"]) == ("False", "ServerUnreachable")
    assert condition(found, "Reconciling")["status"] == "True"
    assert (found["status"]["databases"], found["status"]["buckets"]) == ("0/1", "1/1")
    operator.stores.away = set()
    await operator.settled()
    assert operator.picture() == before


async def test_two_policies_of_one_name_in_two_namespaces_share_nothing__X2() -> None:
    operator = await operator_with(
        policy(**SHORTEST), namespace("customer-globex"), policy(where="customer-globex", **SHORTEST)
    )
    await operator.settled()
    await operator.settled(where="customer-globex")
    assert len(operator.stores.databases) == 2
    assert len(operator.stores.buckets) == 2
    passwords = [set(kept.passwords.values()) for kept in operator.stores.databases.values()]
    assert passwords[0].isdisjoint(passwords[1])


async def test_a_role_that_reaches_elsewhere_breaks_isolation_and_is_said() -> None:
    operator = await operator_with(policy(**SHORTEST))
    operator.stores.breaches = ("acme_app can connect to globex",)
    found = await operator.policy()
    isolation = condition(found, "IsolationVerified")
    assert (isolation["status"], isolation["reason"]) == ("False", "IsolationBroken")
    assert "globex" in isolation["message"]


async def test_the_night_that_did_not_come_is_started_once_and_only_after_the_grace() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    operator.clock.forward(timedelta(days=1))
    schedule = (await operator.settled())["status"]["nextRun"]
    jobs = operator.objects("Job", NAMESPACE)
    assert len(jobs) == 1
    assert len(operator.told("RunMissed")) == 1
    assert schedule.startswith("2026-11-24")
    await operator.settled()
    assert len(operator.objects("Job", NAMESPACE)) == 1


async def test_a_suspended_policy_starts_no_missed_run() -> None:
    operator = await operator_with(policy(suspend=True, **SHORTEST))
    await operator.settled()
    operator.clock.forward(timedelta(days=2))
    await operator.settled()
    assert operator.objects("Job", NAMESPACE) == []


async def test_a_class_that_the_namespace_may_not_use_is_refused_by_name__X2() -> None:
    forbidden = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataStoreClass",
        "metadata": {"name": "gold"},
        "spec": {
            "type": "PostgreSQL",
            "provisioner": "Embedded",
            "allowedNamespaces": {"matchLabels": {"tier": "gold"}},
        },
    }
    operator = await operator_with(
        forbidden, policy(stores=[{"purpose": "Analytical", "className": "gold"}], **SHORTEST)
    )
    found = await operator.policy()
    assert condition(found, "Stalled")["reason"] == "ClassNotAllowed"
    assert "gold" in condition(found, "Stalled")["message"]
    assert operator.stores.databases == {}


async def test_a_policy_that_never_had_a_time_zone_stalls_and_runs_by_the_default_window_in_utc__M10() -> None:
    operator = await operator_with(policy(timeZone="Mars/Olympus", **SHORTEST))
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "TimeZoneUnknown")
    assert "spec.timeZone" in stalled["message"]
    assert found["status"]["databases"] == "1/1"
    schedule = plan_schedule(NAMESPACE, "acme", "expire")
    spec = operator.cluster.objects[("CronJob", NAMESPACE, "acme-expire")]["spec"]
    assert (spec["schedule"], spec["timeZone"]) == (schedule.cron, "UTC")
    assert found["status"]["nextRun"] == schedule.next_run(operator.clock.now).strftime("%Y-%m-%dT%H:%MZ")


@pytest.mark.parametrize("cron", ["*/5 * * * *", "0 0 1 1 *", "0,30 1 * * *", "0 1 * * 1", "@daily", ""])
async def test_with_a_wrong_zone_a_cronjob_that_somebody_edited_is_not_believed__M10(cron: str) -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.edit(STORE_CLASS, "embedded-postgresql", None, backups_too)
    await operator.settled()
    operator.cluster.objects[("CronJob", NAMESPACE, "acme-expire")]["spec"]["schedule"] = cron
    await operator.edit(POLICY, "acme", NAMESPACE, lambda found: found["spec"].update(timeZone="Mars/Olympus"))
    found = await operator.settled()
    assert condition(found, "Stalled")["reason"] == "TimeZoneUnknown"
    schedule = plan_schedule(NAMESPACE, "acme", "expire")
    for name, wanted in (("acme-expire", schedule), ("acme-backup", schedule.later(30))):
        spec = operator.cluster.objects[("CronJob", NAMESPACE, name)]["spec"]
        assert (spec["schedule"], spec["timeZone"]) == (wanted.cron, "UTC")


def backups_too(found: Manifest) -> None:
    found["spec"]["backup"] = {"schedule": "Daily", "keep": "P14D"}


async def test_the_next_run_is_told_while_the_cronjob_keeps_its_time_under_a_wrong_zone() -> None:
    operator = await operator_with(policy(**SHORTEST))
    before = (await operator.settled())["status"]

    def wrong(found: Manifest) -> None:
        found["spec"]["timeZone"] = "Mars/Olympus"

    await operator.edit(POLICY, "acme", NAMESPACE, wrong)
    found = await operator.settled()
    assert condition(found, "Stalled")["reason"] == "TimeZoneUnknown"
    assert (found["status"]["nextRun"], found["status"]["schedule"]) == (before["nextRun"], before["schedule"])


async def test_a_store_whose_class_was_deleted_goes_on_and_says_so() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    (kept,) = [store for store in (await operator.policy())["status"]["stores"] if store["type"] == "PostgreSQL"]
    operator.cluster.remove(STORE_CLASS, kept["className"])
    found = await operator.settled()
    (row,) = [store for store in found["status"]["stores"] if store["type"] == "PostgreSQL"]
    assert row["ready"]
    assert f"DataStoreClass {kept['className']} is gone" in row["message"]
    assert condition(found, "Ready")["status"] == "True"


async def test_an_existing_server_whose_secret_is_missing_is_asked_for_by_field() -> None:
    existing = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataStoreClass",
        "metadata": {"name": "pg"},
        "spec": {
            "type": "PostgreSQL",
            "provisioner": "Existing",
            "existing": {"host": "pg.example.com", "adminSecretRef": {"name": "pg-admin"}},
        },
    }
    operator = await operator_with(existing, policy(stores=[{"purpose": "Analytical", "className": "pg"}], **SHORTEST))
    found = await operator.policy()
    stalled = condition(found, "Stalled")
    assert stalled["reason"] == "SecretNotFound"
    assert "pg-admin" in stalled["message"]
    assert OPERATOR in stalled["message"]


async def test_labels_and_ledger_tell_whose_a_store_is() -> None:
    operator = await operator_with(policy(**SHORTEST))
    made = await operator.settled()
    home = await operator.cluster.get(NAMESPACE_KIND, NAMESPACE)
    assert home is not None
    for entry in await operator.cluster.list(STORE):
        assert entry["spec"]["claimRef"]["uid"] == made["metadata"]["uid"]
        assert entry["spec"]["namespaceUid"] == home["metadata"]["uid"]


async def test_a_store_that_the_profile_does_not_need_stops_neither_counting_nor_a_raised_min__M8_X4() -> None:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()

    def surplus(found: Manifest) -> None:
        found["spec"]["stores"] = [{"purpose": "Dialogue"}]

    def raise_minimum(found: Manifest) -> None:
        for category in found["spec"]["categories"]:
            if category["name"] == "general-information":
                category.update({"min": "P90D", "earlyDeletion": "Allowed"})

    await operator.edit(POLICY, "acme", NAMESPACE, surplus)
    await operator.edit(PROFILE, "puzzel-archive", None, raise_minimum)
    (database,) = operator.stores.databases.values()
    database.overdue = 1
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert stalled["reason"] == "ClassInvalid"
    assert "spec.stores[Dialogue].purpose" in stalled["message"]
    assert found["status"]["overdue"] == 3
    assert database.definition is not None
    assert database.definition.category("general-information").minimum == "P90D"


async def test_a_namespace_that_lost_its_label_is_left_as_it_is_and_the_operators_role_there_is_given_back__X2() -> (
    None
):
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    before = operator.objects("CronJob", NAMESPACE)

    def unlabel(found: Manifest) -> None:
        found["metadata"]["labels"] = {}

    await operator.edit(NAMESPACE_KIND, NAMESPACE, None, unlabel)
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "NamespaceNotServed")
    assert "goes on by its last rules" in stalled["message"]
    assert operator.objects("RoleBinding", NAMESPACE) == []
    assert operator.objects("CronJob", NAMESPACE) == before
    isolation = condition(found, "IsolationVerified")
    assert (isolation["status"], isolation["reason"]) == ("Unknown", "NamespaceNotServed"), isolation
    operator.cluster.put(namespace(NAMESPACE))
    assert condition(await operator.settled(), "Ready")["status"] == "True"


async def test_a_breach_of_isolation_stays_told_while_the_namespace_is_not_served_and_over_restarts__X2() -> None:
    operator = await operator_with(policy(**SHORTEST))
    operator.stores.breaches = ("acme_app can connect to globex",)
    await operator.settled()

    def unlabel(found: Manifest) -> None:
        found["metadata"]["labels"] = {}

    await operator.edit(NAMESPACE_KIND, NAMESPACE, None, unlabel)
    for _ in range(3):
        isolation = condition(await operator.settled(), "IsolationVerified")
        assert (isolation["status"], isolation["reason"]) == ("False", "IsolationBroken")
        operator.restart()
    operator.stores.breaches = ()
    operator.cluster.put(namespace(NAMESPACE))
    assert condition(await operator.settled(), "IsolationVerified")["status"] == "True"


async def test_the_operators_own_namespace_serves_no_tenant__X2() -> None:
    operator = await operator_with(policy(where=OPERATOR, **SHORTEST))
    operator.cluster.put(namespace(OPERATOR))
    found = await operator.policy(where=OPERATOR)
    assert condition(found, "Stalled")["reason"] == "NamespaceNotServed"
    assert operator.objects("RoleBinding", OPERATOR) == []


async def test_a_category_that_leaves_the_profile_is_told_once_and_loses_no_data__M11() -> None:
    operator = await operator_with(policy())
    await operator.settled()

    def without_chat_logs(found: Manifest) -> None:
        found["spec"]["categories"] = [each for each in found["spec"]["categories"] if each["name"] != "chat-logs"]

    await operator.edit(PROFILE, "puzzel-archive", None, without_chat_logs)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    (note,) = [told for told in operator.told("CategoriesNotEnforced") if told.startswith("database")]
    assert "chat-logs left the profile" in note
    assert len(operator.stores.databases) == 1
    compliant = condition(found, "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("False", "CategoriesNotEnforced")
    assert "chat_logs (category chat-logs); put them back into the profile" in compliant["message"]
    row = next(each for each in found["status"]["categories"] if each["name"] == "chat-logs")
    assert (row["state"], row["rows"], row["overdue"]) == ("NotEnforced", 10, 0)
    assert "records of general-information wait for it" in row["message"]


async def test_a_database_that_left_the_profile_keeps_its_policy_from_being_compliant_until_it_is_empty__M10_X4() -> (
    None
):
    operator = await operator_with(policy())
    await operator.settled()

    def other_database(found: Manifest) -> None:
        for category in found["spec"]["categories"]:
            if category.get("contentOf") is None:
                category["database"] = "Dialogue"

    await operator.edit(PROFILE, "puzzel-archive", None, other_database)
    found = await operator.settled()
    entry = next(each for each in operator.objects("DataStore") if each["spec"]["purpose"] == "Analytical")
    left = condition(found, "Compliant")
    assert (left["status"], left["reason"]) == ("False", "CategoriesNotEnforced")
    assert f"kubectl get datastore {entry['metadata']['name']}" in left["message"]
    entry["status"] = {**entry["status"], "empty": False, "overdue": 7}
    found = await operator.policy()
    assert condition(found, "Compliant")["reason"] == "DeletionDebt"
    assert found["status"]["overdue"] == 7
    entry["status"] = {**entry["status"], "empty": True, "phase": "Released", "overdue": 0}
    assert "Analytical" not in condition(await operator.policy(), "Compliant")["message"]


async def test_a_new_purpose_of_a_profile_joins_the_tenants_server_although_the_default_class_changed__M11() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    other = {"type": "PostgreSQL", "provisioner": "Embedded", "default": True}
    kind = {"apiVersion": "tenantretention.io/v1alpha1", "kind": "DataStoreClass"}
    operator.cluster.put({**kind, "metadata": {"name": "other"}, "spec": other})
    del operator.cluster.objects[("DataStoreClass", None, "embedded-postgresql")]["spec"]["default"]

    def second_database(found: Manifest) -> None:
        for category in found["spec"]["categories"]:
            if category["name"] != "general-information" and category.get("contentOf") is None:
                category["database"] = "Dialogue"
        found["spec"]["categories"].append(
            {
                "name": "messages",
                "database": "Dialogue",
                "default": "P1Y",
                "max": "P2Y",
                "earlyDeletion": "Allowed",
                "clock": {"event": "Created"},
                "tables": ["messages"],
            }
        )
        template = next(table for table in found["spec"]["tables"] if table["name"] == "requests")
        found["spec"]["tables"].append({**template, "name": "messages"})

    await operator.edit(PROFILE, "puzzel-archive", None, second_database)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True", condition(found, "Ready")["message"]
    assert found["status"]["databases"] == "2/2"
    classes = {
        each["spec"]["className"] for each in operator.objects("DataStore") if each["spec"]["type"] == "PostgreSQL"
    }
    assert classes == {"embedded-postgresql"}


async def test_a_breach_is_not_forgotten_by_a_restart_before_every_database_was_tried_again__X2() -> None:
    operator = await operator_with(policy(**SHORTEST))
    operator.stores.neighbours = {f"db{number:03d}" for number in range(60)}
    operator.stores.open = {"db050"}
    await operator.settled()
    told = []
    for look in range(12):
        if look == 6:
            operator.restart()
        if look == 7:
            operator.stores.open = set()
        operator.clock.forward(timedelta(minutes=16))
        told.append(condition(await operator.policy(), "IsolationVerified")["status"])
    first = told.index("False")
    assert told[first:] == ["False"] * (8 - first) + ["True"] * 4, "three looks after the restart are all places"


async def test_a_category_that_this_version_cannot_enforce_says_so_and_is_never_called_compliant() -> None:
    asked = policy(profile="tencent-ccc")
    operator = Operator(namespace(NAMESPACE), profile("tencent-ccc"), asked)
    await operator.start()
    await operator.settled()
    operator.clock.forward(timedelta(hours=1))
    for database in operator.stores.databases.values():
        database.runs.append(evidence(operator.clock.now))
    operator.stores.now = operator.clock.now
    found = await operator.settled()
    rows = {row["name"]: row for row in found["status"]["categories"]}
    unenforced = [name for name, row in rows.items() if row["state"] == "NotEnforced"]
    assert unenforced == ["agent-information", "configuration"]
    assert {row["state"] for name, row in rows.items() if name not in unenforced} == {"Enforced"}
    assert all("clock event Terminated" in rows[name]["message"] for name in unenforced)
    compliant = condition(found, "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("False", "CategoriesNotEnforced")
    assert all(name in compliant["message"] for name in unenforced)
    assert "delete by hand" in compliant["message"]
