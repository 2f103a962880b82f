"""A policy whose Cluster its owner has CloudNativePG back up: the copies count like backups of ours, or are refused (T6, M10)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from tenant_retention.domain.conditions import instant
from tenant_retention.domain.ports.cluster import (
    CLUSTER_BACKUP,
    POLICY,
    POSTGRES_CLUSTER,
    SCHEDULED_BACKUP,
    VOLUME_CLAIM,
    Manifest,
)
from tests.support.operator_world import NAMESPACE, Operator, condition
from tests.unit.test_reconcile_cloudnativepg import NAME, cluster_of, on_cloudnativepg

WINDOW = {"retentionPolicy": "14d", "barmanObjectStore": {"destinationPath": "s3://theirs"}}


async def backed_up(backup: dict[str, Any], schedule: str | None = "0 0 2 * * *") -> tuple[Operator, Manifest]:
    """A policy that was Ready before its Cluster's owner wrote this into it."""
    operator, _ = await on_cloudnativepg()
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    if schedule is not None:
        put_schedule(operator, schedule)
    await operator.edit(POSTGRES_CLUSTER, NAME, NAMESPACE, lambda found: found["spec"].update(backup=backup))
    return operator, await operator.settled()


def put_schedule(operator: Operator, schedule: str) -> None:
    meta = {"name": "nightly", "namespace": NAMESPACE}
    kind = {"apiVersion": SCHEDULED_BACKUP.api_version, "kind": SCHEDULED_BACKUP.name}
    operator.cluster.put({**kind, "metadata": meta, "spec": {"cluster": {"name": NAME}, "schedule": schedule}})


def margin_days(operator: Operator) -> int:
    (plan,) = [each for each in operator.objects("ConfigMap", NAMESPACE) if "plan.json" in each["data"]]
    return int(json.loads(plan["data"]["plan.json"])["definition"]["marginSeconds"]) // 86400


def store_message(found: Manifest) -> str:
    (row,) = [row for row in found["status"]["stores"] if row["purpose"] == "Analytical"]
    return str(row.get("message", ""))


async def test_backups_that_the_clusters_owner_added_stay_and_runs_delete_so_much_earlier__T6_M10() -> None:
    operator, found = await backed_up(WINDOW)

    assert condition(found, "Stalled")["status"] == "False"
    assert cluster_of(operator)["spec"]["backup"] == WINDOW
    assert margin_days(operator) == 2 + 14 + 2 + 1
    assert "up to 17 days (spec.backup.retentionPolicy of Cluster acme-cnpg)" in store_message(found)


async def test_without_backups_of_its_own_a_cluster_means_what_it_meant_before__T6() -> None:
    operator, _ = await on_cloudnativepg()
    await operator.settled()
    assert margin_days(operator) == 2


async def test_backups_that_are_never_removed_stall_the_policy_and_its_last_good_rules_go_on__M10_T6() -> None:
    operator, found = await backed_up({"barmanObjectStore": {"destinationPath": "s3://theirs"}})

    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "CopiesOutliveBounds")
    assert "spec.backup.retentionPolicy of Cluster acme-cnpg: there is none" in stalled["message"]
    assert "its owner writes one" in stalled["message"]
    assert condition(found, "Compliant")["status"] == "False"
    assert condition(found, "Compliant")["reason"] == "CopiesOutliveBounds"
    assert "there is none" in store_message(found)
    assert margin_days(operator) == 2

    await operator.edit(POSTGRES_CLUSTER, NAME, NAMESPACE, lambda found: found["spec"].update(backup=WINDOW))
    assert condition(await operator.settled(), "Stalled")["status"] == "False"
    assert margin_days(operator) == 19


async def test_a_window_beyond_a_deadline_stalls_with_the_longest_that_fits_and_the_last_good_margin_stays__M10() -> (
    None
):
    operator, _ = await backed_up(WINDOW)
    longer = {**WINDOW, "retentionPolicy": "60d"}
    await operator.edit(POSTGRES_CLUSTER, NAME, NAMESPACE, lambda found: found["spec"].update(backup=longer))

    stalled = condition(await operator.settled(), "Stalled")

    assert stalled["reason"] == "CopiesOutliveBounds"
    assert "writes 25d or shorter there" in stalled["message"]
    assert margin_days(operator) == 19


async def test_while_nobody_can_look_at_the_cluster_its_copies_are_counted_as_before__M10_X4() -> None:
    operator, _ = await backed_up(WINDOW)
    operator.cluster.unserved = frozenset({"postgresql.cnpg.io"})
    await operator.settled()
    assert margin_days(operator) == 19
    operator.cluster.unserved = frozenset()
    operator.cluster.remove(POSTGRES_CLUSTER, NAME, NAMESPACE)
    for number in (1, 2, 3):
        operator.cluster.remove(VOLUME_CLAIM, f"{NAME}-{number}", NAMESPACE)
    await operator.settled()
    assert margin_days(operator) == 19


async def test_backups_that_are_taken_out_again_leave_no_margin_behind__T6() -> None:
    operator, _ = await backed_up(WINDOW)
    await operator.edit(POSTGRES_CLUSTER, NAME, NAMESPACE, lambda found: found["spec"].pop("backup"))
    await operator.settled()
    assert margin_days(operator) == 2


async def test_a_backup_that_should_have_been_removed_is_debt_until_it_is__X4_T6() -> None:
    operator, _ = await backed_up(WINDOW)
    taken = operator.clock.now
    meta = {"name": "monday", "namespace": NAMESPACE}
    kind = {"apiVersion": CLUSTER_BACKUP.api_version, "kind": CLUSTER_BACKUP.name}
    status = {"phase": "completed", "stoppedAt": instant(taken), "destinationPath": "s3://theirs"}
    operator.cluster.put({**kind, "metadata": meta, "spec": {"cluster": {"name": NAME}}, "status": status})
    operator.clock.now = taken + timedelta(days=17)
    assert "monday" not in condition(await operator.settled(), "Compliant")["message"]

    operator.clock.now = taken + timedelta(days=17, seconds=1)
    late = condition(await operator.settled(), "Compliant")

    assert (late["status"], late["reason"]) == ("False", "DeletionDebt")
    assert "monday" in late["message"]
    # Also while something else is wrong with the policy.
    await operator.edit(POLICY, "acme", NAMESPACE, lambda found: found["spec"]["retention"][0].update(keep="P9000Y"))
    late = await operator.settled()
    assert condition(late, "Stalled")["reason"] != "CopiesOutliveBounds"
    assert condition(late, "Stalled")["status"] == "True"
    assert "monday" in condition(late, "Compliant")["message"]
    operator.cluster.remove(CLUSTER_BACKUP, "monday", NAMESPACE)
    assert "monday" not in condition(await operator.settled(), "Compliant")["message"]
