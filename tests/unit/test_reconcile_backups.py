"""A policy whose databases' class asks for backups: bucket, key, Secrets, plan and CronJob, and what its status says (T6, M10)."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.domain.backups import StoredBackup, key_id
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.plan_document import Task
from tenant_retention.domain.ports.cluster import JOB, POLICY, STORE_CLASS, Manifest
from tenant_retention.domain.ports.evidence import ActEvidence, ActKind
from tenant_retention.enforcement.plans import load_plan
from tests.support.operator_world import NAMESPACE, Killed, Operator, condition, evidence, operator_with, policy

DAILY = {"schedule": "Daily", "keep": "P14D"}
CLASS = "embedded-postgresql"
UNUSED = {"region": "", "unit": "", "writer": ""}


async def backed_up(backup: dict[str, Any] | None = None, **spec: Any) -> Operator:
    operator = await operator_with(policy(**spec))
    await operator.edit(STORE_CLASS, CLASS, None, lambda found: found["spec"].update(backup=backup or DAILY))
    return operator


def night(operator: Operator, outcome: str = "Succeeded", digest: str | None = None) -> None:
    """A run by the rules of now, or by others, has ended in every database."""
    for kept in operator.stores.databases.values():
        assert kept.definition is not None
        link = evidence(operator.clock.now, len(kept.runs) + 1)
        kept.runs.append(
            link.model_copy(update={"rules_digest": digest or kept.definition.rules_digest(), "outcome": outcome})
        )


async def with_night(backup: dict[str, Any] | None = None) -> Operator:
    operator = await backed_up(backup)
    await operator.settled()
    night(operator)
    await operator.settled()
    return operator


def secret(operator: Operator, name: str) -> dict[str, str]:
    data = operator.cluster.objects[("Secret", NAMESPACE, name)]["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def plan(operator: Operator, task: str = "backup") -> dict[str, Any]:
    found = [
        json.loads(each["data"]["plan.json"])
        for each in operator.objects("ConfigMap", NAMESPACE)
        if "plan.json" in each["data"]
    ]
    (wanted,) = [each for each in found if each["task"] == task]
    return dict(wanted)


def cron_job(operator: Operator, name: str = "acme-backup") -> Manifest:
    return operator.cluster.objects[("CronJob", NAMESPACE, name)]


def bucket(operator: Operator) -> str:
    (name,) = [name for name in operator.stores.buckets if "backups" in name]
    return name


def taken(operator: Operator, at: datetime, size: int = 1000, *, complete: bool = True) -> None:
    name = f"{at:%Y%m%dT%H%M%SZ}-00000000"
    operator.stores.backups.setdefault(bucket(operator), []).append(
        StoredBackup(name, at, at, True, complete, size, ())
    )


async def later(operator: Operator, by: timedelta) -> Manifest:
    operator.clock.forward(by)
    operator.stores.now = operator.clock.now
    return await operator.settled()


async def test_a_class_that_asks_for_backups_gets_bucket_key_secrets_plan_and_cron_job__T6() -> None:
    operator = await with_night()
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True", found["status"]["conditions"]
    key = secret(operator, "acme-backup-key")["key"]
    assert len(bytes.fromhex(key)) == 32
    assert plan(operator)["databases"] == [
        {**UNUSED, "purpose": "Analytical", "binding": "/bindings/acme-analytical-backup"}
    ]
    assert plan(operator)["backup"] == {
        "keep": "P14D",
        "frequency": "Daily",
        "bucket": "/bindings/acme-backups-enforcer",
        "writer": "/bindings/acme-backups-app",
        "key": "/bindings/acme-backup-key",
        "keyId": key_id(bytes.fromhex(key)),
    }
    assert secret(operator, "acme-analytical-backup")["username"].endswith("_backup_1")
    assert ("Secret", NAMESPACE, "acme-backups-reader") not in operator.cluster.objects
    pod = cron_job(operator)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    mounted = {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    assert mounted == {"acme-analytical-backup", "acme-backups-enforcer", "acme-backups-app", "acme-backup-key"}
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert not found["status"].get("bindings", ()) or not [
        each for each in found["status"]["bindings"] if "backup" in each["name"]
    ]


async def test_the_backup_begins_half_an_hour_after_the_night__T6() -> None:
    operator = await with_night()
    minutes = []
    for name in ("acme-expire", "acme-backup"):
        minute, hour, *_ = cron_job(operator, name)["spec"]["schedule"].split()
        minutes.append(int(hour) * 60 + int(minute))
    assert (minutes[1] - minutes[0]) % 1440 == 30


async def test_the_night_and_its_plan_know_nothing_of_the_bucket_of_the_backups__M10() -> None:
    operator = await with_night()
    assert [each["purpose"] for each in plan(operator, "expire")["buckets"]] == ["Content"]
    assert plan(operator, "expire")["awaited"] == []
    assert plan(operator, "expire")["backup"] is None
    pod = cron_job(operator, "acme-expire")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert not [each for each in pod["volumes"] if "backup" in each.get("secret", {}).get("secretName", "")]


async def test_a_policy_without_backups_means_what_it_meant_before__T6() -> None:
    operator = await operator_with(policy())
    found = await operator.settled()
    assert "backups" not in found["status"]
    assert "BackupsCurrent" not in {each["type"] for each in found["status"]["conditions"]}
    assert not [name for name in operator.stores.buckets if "backups" in name]
    assert plan(operator, "expire")["definition"]["marginSeconds"] == 2 * 86400


async def test_runs_delete_so_much_earlier_that_every_backup_is_gone_by_max__M10() -> None:
    operator = await backed_up()
    await operator.settled()
    assert plan(operator, "expire")["definition"]["marginSeconds"] == (2 + 14 + 2) * 86400


async def test_no_backup_is_made_before_a_run_by_the_rules_of_now_made_room_for_its_life__M10() -> None:
    operator = await backed_up()
    found = await operator.settled()
    assert plan(operator)["backup"]["frequency"] is None
    assert condition(found, "BackupsCurrent")["reason"] == "BackupsWaiting"
    assert "Analytical" in condition(found, "BackupsCurrent")["message"]
    night(operator)
    await operator.settled()
    assert plan(operator)["backup"]["frequency"] == "Daily"


@pytest.mark.parametrize("outcome", ["Failed", "Incomplete", "ApprovalRequired", "RulesChanged", "Interrupted"])
async def test_a_night_that_left_what_must_be_gone_makes_no_room_for_a_backup__M10(outcome: str) -> None:
    operator = await backed_up()
    await operator.settled()
    night(operator, outcome)
    found = await operator.settled()
    assert plan(operator)["backup"]["frequency"] is None
    assert condition(found, "BackupsCurrent")["reason"] == "BackupsWaiting"
    assert "Analytical" in found["status"]["backups"]["message"]
    night(operator)
    await operator.settled()
    assert plan(operator)["backup"]["frequency"] == "Daily"


async def test_what_is_recorded_beside_the_runs_hides_no_night_and_is_none__X6_T6() -> None:
    operator = await with_night()
    before = await operator.settled()
    act = ActEvidence(kind=ActKind.BACKUPS, came=("20260101T000000Z-00000000",))
    for kept in operator.stores.databases.values():
        night_of = kept.runs[-1]
        recorded = {"sequence": night_of.sequence + 1, "run_id": uuid4(), "outcome": "Recorded", "act": act}
        kept.runs.append(night_of.model_copy(update=recorded))
    found = await operator.settled()
    assert plan(operator)["backup"]["frequency"] == "Daily"
    assert found["status"]["jobs"] == before["status"]["jobs"]
    assert condition(found, "Compliant") == condition(before, "Compliant")


async def test_a_night_that_fails_later_stops_no_backup_while_nothing_is_past_its_time__T6() -> None:
    operator = await with_night()
    night(operator, "Failed")
    await operator.settled()
    assert plan(operator)["backup"]["frequency"] == "Daily"


async def test_rules_that_come_back_are_new_rules_for_the_next_backup__M10() -> None:
    operator = await with_night()
    night(operator, digest="sha256:" + "f" * 64)
    night(operator, "Failed")
    await operator.settled()
    assert plan(operator)["backup"]["frequency"] is None


async def test_no_backup_is_made_while_a_row_is_there_that_it_would_hold_beyond_its_max__M10_T6() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    for kept in operator.stores.databases.values():
        kept.overdue = 3
    found = await later(operator, timedelta(minutes=16))
    assert plan(operator)["backup"]["frequency"] is None
    assert "status.categories[].overdue" in found["status"]["backups"]["message"]
    assert cron_job(operator)["spec"]["suspend"] is False, "old backups go on going"
    found = await later(operator, timedelta(days=3))
    assert "beyond their max" in condition(found, "BackupsCurrent")["message"]
    for kept in operator.stores.databases.values():
        kept.overdue = 0
    found = await operator.settled()
    assert plan(operator)["backup"]["frequency"] == "Daily"
    assert "message" not in found["status"]["backups"]


async def test_rows_that_wait_for_a_hold_or_files_of_a_bucket_stop_no_backup__T6() -> None:
    operator = await with_night()
    for kept in operator.stores.databases.values():
        kept.next_deadline = operator.clock.now - timedelta(days=30)
        kept.rows, kept.overdue = 0, 3
    await operator.settled()
    assert plan(operator)["backup"]["frequency"] == "Daily"


async def test_backups_that_outlive_a_bound_are_refused_and_the_last_good_rules_go_on__M10() -> None:
    operator = await with_night()
    await operator.edit(STORE_CLASS, CLASS, None, lambda each: each["spec"]["backup"].update(keep="P9Y"))
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ClassInvalid")
    assert "spec.backup.keep of DataStoreClass embedded-postgresql" in stalled["message"]
    assert plan(operator)["backup"]["keep"] == "P14D"
    assert plan(operator, "expire")["definition"]["marginSeconds"] == (2 + 14 + 2) * 86400


async def test_the_status_says_how_old_the_newest_backup_is_and_how_much_there_is__T6() -> None:
    operator = await with_night()
    for days in (2, 1):
        taken(operator, operator.clock.now - timedelta(days=days), 500 * days)
    found = await later(operator, timedelta(minutes=16))
    told = found["status"]["backups"]
    assert (told["number"], told["bytes"], told["lastBackupBytes"], told["overdue"]) == (2, 1500, 500, 0)
    assert told["lastBackup"] == instant(operator.clock.now - timedelta(days=1, minutes=16))
    assert told["oldestBackup"] == instant(operator.clock.now - timedelta(days=2, minutes=16))
    assert condition(found, "BackupsCurrent")["status"] == "True"


async def test_a_backup_that_does_not_come_is_told_two_nights_later__T6() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    found = await later(operator, timedelta(days=3))
    assert condition(found, "BackupsCurrent")["status"] == "True"
    found = await later(operator, timedelta(seconds=1))
    missing = condition(found, "BackupsCurrent")
    assert (missing["status"], missing["reason"]) == ("False", "BackupsMissing")
    assert operator.told("BackupsMissing")


async def test_a_backup_past_its_keep_that_is_still_there_is_deletion_debt__M10_X4() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    await later(operator, timedelta(minutes=16))
    operator.stores.away.add(next(iter(_urls(operator))))
    # While nobody can look, what was seen last goes on growing old.
    found = await later(operator, timedelta(days=16) - timedelta(minutes=17))
    assert found["status"]["backups"]["overdue"] == 0
    found = await later(operator, timedelta(minutes=1))
    assert found["status"]["backups"]["overdue"] == 1
    debt = condition(found, "Compliant")
    assert (debt["status"], debt["reason"]) == ("False", "DeletionDebt")
    assert "backups are past their keep" in debt["message"]
    operator.restart()
    found = await later(operator, timedelta(minutes=1))
    assert found["status"]["backups"]["overdue"] == 1


def _urls(operator: Operator) -> set[str]:
    data = secret(operator, "acme-backups-app")
    return {data["AWS_ENDPOINT_URL"]}


async def test_a_lost_key_is_an_alarm_and_never_a_new_key__T6() -> None:
    operator = await with_night()
    before = secret(operator, "acme-backup-key")["key"]
    lost = operator.cluster.objects.pop(("Secret", NAMESPACE, "acme-backup-key"))
    found = await operator.settled()
    told = condition(found, "BackupsCurrent")
    assert (told["status"], told["reason"]) == ("False", "BackupKeyLost")
    assert ("Secret", NAMESPACE, "acme-backup-key") not in operator.cluster.objects
    # Old backups go on going: nothing of the pod needs the key.
    assert plan(operator)["backup"]["frequency"] is None
    pod = cron_job(operator)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "acme-backup-key" not in {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    operator.restart()
    assert condition(await operator.settled(), "BackupsCurrent")["reason"] == "BackupKeyLost"
    operator.cluster.put(lost)
    await operator.settled()
    assert plan(operator)["backup"]["frequency"] == "Daily"
    assert secret(operator, "acme-backup-key")["key"] == before


async def test_another_key_than_the_one_that_sealed_the_backups_is_refused__T6() -> None:
    operator = await with_night()
    other = {"key": base64.b64encode(b"ab" * 32).decode()}
    operator.cluster.objects[("Secret", NAMESPACE, "acme-backup-key")]["data"] = other
    found = await operator.settled()
    assert condition(found, "BackupsCurrent")["reason"] == "BackupKeyWrong"
    assert plan(operator)["backup"]["frequency"] is None
    assert secret(operator, "acme-backup-key")["key"] == "ab" * 32


async def test_a_key_is_not_made_where_backups_lie_that_another_one_sealed__T6() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    operator.cluster.objects.pop(("Secret", NAMESPACE, "acme-backup-key"))
    (kept,) = [
        key
        for key in operator.cluster.objects
        if key[0] == "Secret" and "acme-backups-" in key[2] and "keys" not in key[2] and key[1] != NAMESPACE
    ]
    operator.cluster.objects.pop(kept)
    operator.restart()
    assert condition(await operator.settled(), "BackupsCurrent")["reason"] == "BackupKeyLost"


async def test_the_key_survives_its_policy__X5() -> None:
    operator = await with_night()
    found = operator.cluster.objects[("Secret", NAMESPACE, "acme-backup-key")]
    assert "ownerReferences" not in found["metadata"]


async def test_a_longer_keep_waits_until_the_backups_of_the_shorter_one_are_gone__M10() -> None:
    operator = await with_night({"schedule": "Daily", "keep": "P7D"})
    taken(operator, operator.clock.now)
    await later(operator, timedelta(minutes=16))
    await operator.edit(STORE_CLASS, CLASS, None, lambda each: each["spec"]["backup"].update(keep="P14D"))
    found = await later(operator, timedelta(minutes=16))
    assert plan(operator)["backup"] | {"frequency": None} == plan(operator)["backup"], "no run by the new rules yet"
    assert plan(operator, "expire")["definition"]["marginSeconds"] == (2 + 14 + 2) * 86400
    night(operator)
    found = await later(operator, timedelta(minutes=16))
    assert (plan(operator)["backup"]["keep"], plan(operator)["backup"]["frequency"]) == ("P7D", "Daily")
    assert "keep P14D begins when" in found["status"]["backups"]["message"]
    operator.stores.backups.clear()
    taken(operator, operator.clock.now)
    await later(operator, timedelta(minutes=16))
    assert plan(operator)["backup"]["keep"] == "P14D"


async def test_a_shorter_keep_counts_at_once__M10() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    await operator.edit(STORE_CLASS, CLASS, None, lambda each: each["spec"]["backup"].update(keep="P3D"))
    await operator.settled()
    assert plan(operator)["backup"]["keep"] == "P3D"


async def test_backups_that_no_class_asks_for_any_more_go_on_going__M10() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    await operator.edit(STORE_CLASS, CLASS, None, lambda each: each["spec"].pop("backup"))
    found = await operator.settled()
    assert (plan(operator)["backup"]["keep"], plan(operator)["backup"]["frequency"]) == ("P14D", None)
    assert plan(operator, "expire")["definition"]["marginSeconds"] == 2 * 86400
    assert "BackupsCurrent" not in {each["type"] for each in found["status"]["conditions"]}
    assert "none is made" in found["status"]["backups"]["message"]
    assert cron_job(operator)["spec"]["suspend"] is False


async def test_a_suspended_policy_goes_on_making_and_removing_backups__T6() -> None:
    operator = await with_night()
    await operator.edit(POLICY, "acme", NAMESPACE, lambda each: each["spec"].update(suspend=True))
    await operator.settled()
    assert cron_job(operator, "acme-expire")["spec"]["suspend"] is True
    assert cron_job(operator)["spec"]["suspend"] is False
    assert plan(operator)["backup"]["frequency"] == "Daily"


async def test_a_failed_backup_job_is_told_with_its_words_and_is_no_failed_night__T6() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    labels = cron_job(operator)["metadata"]["labels"]
    made = instant(operator.clock.now)
    failed = {"type": "Failed", "status": "True", "message": "BackoffLimitExceeded", "lastTransitionTime": made}
    operator.cluster.put(
        {
            "apiVersion": "batch/v1",
            "kind": JOB.name,
            "metadata": {"name": "acme-backup-1", "namespace": NAMESPACE, "labels": labels, "creationTimestamp": made},
            "status": {"conditions": [failed]},
        }
    )
    found = await operator.settled()
    told = condition(found, "BackupsCurrent")
    assert (told["status"], told["reason"]) == ("False", "BackupFailed")
    assert "BackoffLimitExceeded" in told["message"]
    assert instant(operator.clock.now) in told["message"]
    assert condition(found, "Compliant")["reason"] != "RunFailed"


async def test_a_bucket_of_backups_that_is_away_stops_no_night__M10() -> None:
    operator = await with_night()
    operator.stores.away.add(next(iter(_urls(operator))))
    found = await operator.settled()
    assert condition(found, "BucketsReady")["status"] == "False"
    assert condition(found, "SchedulesReady")["status"] == "True"


async def a_night_comes(operator: Operator) -> None:
    await operator.settled()
    night(operator)
    await operator.settled()


@pytest.mark.parametrize("half", range(2))
async def test_a_kill_before_any_effect_is_continued_and_the_key_stays_the_same__T6(half: int) -> None:
    whole = await with_night()
    effects = whole.effects.effects
    mine = [at for at, effect in enumerate(effects) if "backup" in effect]
    assert mine
    for at in mine[half::2]:
        operator = await backed_up()
        operator.effects.deadly = at
        with pytest.raises(Killed):
            await a_night_comes(operator)
        operator.effects.deadly = None
        operator.restart()
        await operator.settled()
        night(operator)
        found = await operator.settled()
        key = secret(operator, "acme-backup-key")["key"]
        assert plan(operator)["backup"]["keyId"] == key_id(bytes.fromhex(key)), at
        assert condition(found, "Ready")["status"] == "True", at


async def test_backups_that_no_policy_removes_any_more_are_debt_that_is_foreseen_and_told__X4_X5() -> None:
    operator = await with_night()
    taken(operator, operator.clock.now)
    await later(operator, timedelta(minutes=16))
    await operator.cluster.delete(POLICY, "acme", NAMESPACE)
    await later(operator, timedelta(days=1))
    (entry,) = [each for each in operator.objects("DataStore") if each["spec"]["purpose"] == "Backups"]
    name = entry["metadata"]["name"]
    assert (entry["status"]["phase"], entry["status"]["overdue"], entry["status"]["empty"]) == ("Released", 0, False)
    assert operator.shown.released[name] == 0
    assert condition(entry, "DebtForeseen")["status"] == "False"
    await later(operator, timedelta(days=9))
    assert condition(operator.cluster.objects[("DataStore", None, name)], "DebtForeseen")["status"] == "True"
    await later(operator, timedelta(days=6))
    assert operator.cluster.objects[("DataStore", None, name)]["status"]["overdue"] == 1
    assert operator.shown.released[name] == 1
    assert ("Secret", NAMESPACE, "acme-backup-key") in operator.cluster.objects


async def test_the_plan_of_the_backup_is_one_that_its_program_takes__T6(tmp_path: Path) -> None:
    operator = await with_night()
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan(operator)))
    read = load_plan(path)
    assert read.task is Task.BACKUP
    assert read.backup is not None
    assert read.definition.rules_digest() == read.rules_digest


async def test_a_policy_may_name_the_class_of_its_backups_bucket_where_there_are_backups__T6() -> None:
    stores = [{"purpose": "Backups", "className": "embedded-s3"}]
    operator = await backed_up(stores=stores)
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    (entry,) = [each for each in operator.objects("DataStore") if each["spec"]["purpose"] == "Backups"]
    assert entry["spec"]["className"] == "embedded-s3"
    told = condition(await (await operator_with(policy(stores=stores))).settled(), "Stalled")
    assert (told["status"], told["reason"]) == ("True", "ClassInvalid")
    assert "no class of the policy's databases asks for backups" in told["message"]
