"""No status outlives what it says: specs that cannot be read, errors nobody foresaw, namespaces that are not served."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cluster import CRON_JOB, POLICY, PROFILE, STORE, Manifest
from tenant_retention.domain.ports.cluster import NAMESPACE as NAMESPACE_KIND
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
HOST = f"acme-postgresql.{NAMESPACE}.svc"


async def settled() -> Operator:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    return operator


async def written(operator: Operator, **spec: Any) -> Manifest:
    """The policy after something got past the API server that this version cannot read."""

    def rewrite(found: Manifest) -> None:
        found["spec"] |= spec

    await operator.edit(POLICY, "acme", NAMESPACE, rewrite)
    return await operator.settled()


@pytest.mark.parametrize(
    "spec",
    [
        {"retention": "P14D"},
        {"profileRef": None},
        {"window": 4},
        {"retention": [{"category": "recordings", "keep": 14}]},
    ],
)
async def test_a_spec_that_cannot_be_read_goes_on_by_the_last_good_rules__M10(spec: dict[str, Any]) -> None:
    operator = await settled()
    (database,) = operator.stores.databases.values()
    database.overdue = 2
    operator.cluster.remove(CRON_JOB, "acme-expire", NAMESPACE)

    found = await written(operator, **spec)

    stalled = condition(found, "Stalled")
    assert stalled["status"] == "True"
    assert next(iter(spec)) in stalled["message"]
    assert "the last good rules stay enforced" in stalled["message"]
    assert condition(found, "Ready")["status"] == "False"
    assert (found["status"]["overdue"], condition(found, "Compliant")["reason"]) == (6, "DeletionDebt")
    assert database.definition is not None
    assert database.definition.category("recordings").keep == "P14D"
    assert len(operator.objects("CronJob", NAMESPACE)) == 1


def refuse_every_profile(*_: object) -> None:
    raise Invalid("spec.categories[recordings].max: refused since this version", reason="ProfileInvalid")


def with_a_max_that_nobody_can_read(profile: dict[str, Any]) -> None:
    for category in profile["categories"]:
        category["max"] = "five years"


async def make_unreadable(operator: Operator) -> None:
    """What an upgrade whose model is stricter finds: the profile in the cluster and the one that was kept, both refused."""
    await operator.edit(PROFILE, "puzzel-archive", None, lambda found: with_a_max_that_nobody_can_read(found["spec"]))
    (kept,) = [found for found in operator.objects("Secret", OPERATOR) if "-last-good-" in found["metadata"]["name"]]
    choice = json.loads(b64decode(kept["data"]["choice"]))
    with_a_max_that_nobody_can_read(choice["profile"])
    choice["definition"]["policyUid"] = "of a policy of this name before"
    data = {"choice": b64encode(json.dumps(choice).encode()).decode()}
    operator.cluster.put({**kept, "data": data})


@pytest.mark.parametrize("unreadable", [False, True])
async def test_a_profile_that_only_an_upgrades_checks_refuse_goes_on_by_the_last_good_rules__M10(
    unreadable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await settled()
    (database,) = operator.stores.databases.values()
    before = database.definition
    database.overdue = 2
    operator.cluster.remove(CRON_JOB, "acme-expire", NAMESPACE)
    operator.restart()
    if unreadable:
        await make_unreadable(operator)
    else:
        monkeypatch.setattr("tenant_retention.domain.rules.check_profile", refuse_every_profile)

    found = await operator.settled()

    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ProfileInvalid")
    assert "max" in stalled["message"]
    assert "the last good rules stay enforced" in stalled["message"]
    assert database.definition == before
    assert database.policy_uid == found["metadata"]["uid"]
    assert (found["status"]["overdue"], condition(found, "Compliant")["reason"]) == (6, "DeletionDebt")
    assert condition(found, "SchedulesReady")["status"] == "True"
    assert len(operator.objects("CronJob", NAMESPACE)) == 1
    monkeypatch.undo()
    await operator.edit(PROFILE, "puzzel-archive", None, lambda found: found.update(spec=profile()["spec"]))
    assert condition(await operator.settled(), "Ready")["status"] == "True", "as soon as the profile can be used"


@pytest.mark.parametrize("spec", [{"suspend": True}, {"suspend": "yes"}, {"mode": "DryRun"}, {"mode": "Perhaps"}])
async def test_where_a_spec_cannot_be_read_doubt_about_deleting_keeps_the_data__X2(spec: dict[str, Any]) -> None:
    operator = await settled()
    await written(operator, retention="P14D", **spec)
    (database,) = operator.stores.databases.values()
    assert database.suspended or database.mode is Mode.DRY_RUN


async def test_a_spec_that_never_could_be_read_says_so_and_makes_nothing() -> None:
    operator = await operator_with(policy(retention="P14D"))
    stalled = condition(await operator.settled(), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "SpecInvalid")
    assert operator.objects("DataStore") == []


async def test_an_error_that_nobody_foresaw_is_in_the_status_without_its_text_and_goes_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = await settled()

    def fails(*_: object) -> None:
        raise RuntimeError("password=of-somebody")

    with monkeypatch.context() as broken:
        broken.setattr(operator.stores, "prepare_database", fails)
        with pytest.raises(RuntimeError):
            await operator.policy()
    found = await operator.cluster.get(POLICY, "acme", NAMESPACE)
    assert found is not None
    ready = condition(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Unforeseen")
    assert "RuntimeError" in ready["message"]
    assert "report it" in ready["message"]
    assert "of-somebody" not in str(found)
    assert found["status"]["databases"] == "1/1"
    assert operator.shown.ready["acme"] is False, "metrics say what the status says"
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    assert operator.shown.ready["acme"] is True


async def test_a_ledger_entry_that_cannot_be_read_says_which_field_is_wrong() -> None:
    operator = await settled()
    entry = operator.objects("DataStore")[0]

    def spoil(found: Manifest) -> None:
        found["spec"]["purpose"] = "Nonsense"

    await operator.edit(STORE, entry["metadata"]["name"], None, spoil)
    with pytest.raises(Exception, match="purpose"):
        await operator.reconcile(STORE.name, "", entry["metadata"]["name"])
    found = await operator.cluster.get(STORE, entry["metadata"]["name"])
    assert found is not None
    assert (condition(found, "Ready")["status"], condition(found, "Ready")["reason"]) == ("False", "StoreConflict")
    assert "purpose" in condition(found, "Ready")["message"]


async def unlabelled(operator: Operator) -> Manifest:
    def unlabel(found: Manifest) -> None:
        found["metadata"]["labels"] = {}

    await operator.edit(NAMESPACE_KIND, NAMESPACE, None, unlabel)
    return await operator.settled()


async def test_debt_of_a_namespace_that_lost_its_label_is_counted_on__X4() -> None:
    operator = await settled()
    (database,) = operator.stores.databases.values()
    database.overdue = 2
    operator.restart()

    found = await unlabelled(operator)

    assert (found["status"]["overdue"], condition(found, "Compliant")["reason"]) == (6, "DeletionDebt")
    assert condition(found, "Stalled")["reason"] == "NamespaceNotServed"
    operator.cluster.writes.clear()
    await operator.policy()
    assert operator.cluster.writes == []


async def test_without_debt_nobody_calls_an_unwatched_namespace_compliant__D7() -> None:
    found = await unlabelled(await settled())
    compliant = condition(found, "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("Unknown", "NamespaceNotServed")
    assert found["status"]["overdue"] == 0


async def test_debt_that_cannot_be_counted_in_a_namespace_without_label_is_unknown__D7() -> None:
    operator = await settled()
    operator.stores.away.add(HOST)
    found = await unlabelled(operator)
    compliant = condition(found, "Compliant")
    assert compliant["status"] == "Unknown"
    assert "cannot be counted" in compliant["message"]
    assert found["status"].get("overdue") is None


async def test_debt_of_a_released_store_is_counted_on_in_a_namespace_that_lost_its_label__X4_X5() -> None:
    operator = await settled()
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    await unlabelled(operator)
    (database,) = operator.stores.databases.values()
    database.overdue = 2
    await operator.settled()
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["type"] == "PostgreSQL"]
    assert (entry["status"]["phase"], entry["status"]["overdue"]) == ("Released", 6)
    assert condition(entry, "Ready")["reason"] == "NamespaceNotServed"
    assert database.suspended
    operator.cluster.put(namespace(NAMESPACE))
    await operator.settled()
    (entry,) = [store for store in operator.objects("DataStore") if store["spec"]["type"] == "PostgreSQL"]
    assert condition(entry, "Ready")["status"] == "True"
