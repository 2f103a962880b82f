"""Backups that a Cluster's owner has CloudNativePG make: how long what was deleted stays in them, and what is refused (T6, M10)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.domain.backup_rules import BackupRules
from tenant_retention.domain.cluster_backups import (
    BARMAN_PLUGIN,
    ClusterBackups,
    check_cluster_backups,
    cluster_backups,
    days_apart,
    late_backups,
    longest_life,
)
from tenant_retention.domain.copies import margin
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.profile_check import check_profile
from tests.unit.test_backup_rules import profile

STORE = {"destinationPath": "s3://theirs/acme"}
TO_STORE: dict[str, Any] = {"backup": {"barmanObjectStore": STORE, "retentionPolicy": "14d"}}
BY_PLUGIN: dict[str, Any] = {
    "plugins": [{"name": BARMAN_PLUGIN, "isWALArchiver": True, "parameters": {"barmanObjectName": "theirs"}}]
}
NIGHTLY = "0 0 2 * * *"


def cluster(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "acme-cnpg", "uid": "uid-1"}, "spec": spec}


def scheduled(schedule: str = NIGHTLY, method: str | None = None, of: str = "acme-cnpg", **spec: Any) -> dict[str, Any]:
    asked = {"cluster": {"name": of}, "schedule": schedule, **spec}
    return {"metadata": {"name": "nightly"}, "spec": asked | ({"method": method} if method else {})}


def by_plugin(name: str = BARMAN_PLUGIN, **spec: Any) -> dict[str, Any]:
    return scheduled(method="plugin", pluginConfiguration={"name": name}, **spec)


def made(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    asked = {"cluster": {"name": "acme-cnpg"}, **spec}
    return {"metadata": {"name": "monday"}, "spec": asked, "status": {"phase": "completed", **(status or {})}}


def object_store(window: str | None) -> dict[str, Any]:
    return {"theirs": {"spec": {"retentionPolicy": window} if window else {}}}


def refused(*found: Any) -> str:
    with pytest.raises(Invalid) as told:
        cluster_backups(*found)
    assert told.value.reason == "CopiesOutliveBounds"
    assert told.value.field
    return told.value.message


def test_a_cluster_without_backups_has_no_copies_and_anothers_backups_are_not_its__T6() -> None:
    assert cluster_backups(cluster(), [], [], {}) is None
    theirs = made()
    theirs["spec"]["cluster"]["name"] = "another"
    assert cluster_backups(cluster(), [scheduled(method="volumeSnapshot", of="another")], [theirs], {}) is None
    # A class for snapshots that nobody takes is no copy.
    assert cluster_backups(cluster(backup={"volumeSnapshot": {"className": "csi"}}), [], [], {}) is None


@pytest.mark.parametrize(
    ("window", "schedule", "days"),
    [("14d", NIGHTLY, 14 + 2 + 1), ("2w", NIGHTLY, 17), ("1m", NIGHTLY, 34), ("7d", "0 0 2 * * 0", 7 + 14 + 1)],
)
def test_what_is_deleted_stays_for_the_window_and_twice_the_time_between_two_backups__T6(
    window: str, schedule: str, days: int
) -> None:
    backed_up = cluster(backup={"barmanObjectStore": STORE, "retentionPolicy": window})
    found = cluster_backups(backed_up, [scheduled(schedule)], [made({"destinationPath": STORE["destinationPath"]})], {})
    assert found is not None
    assert found.life == timedelta(days=days)
    assert found.field == "spec.backup.retentionPolicy of Cluster acme-cnpg"


def test_the_plugins_window_is_in_its_object_store__T6() -> None:
    found = cluster_backups(cluster(**BY_PLUGIN), [by_plugin()], [], object_store("7d"))
    assert found == ClusterBackups("spec.retentionPolicy of ObjectStore theirs", 7, 1)


@pytest.mark.parametrize(
    ("spec", "schedules", "stores", "told"),
    [
        (
            {"backup": {"barmanObjectStore": STORE}},
            [scheduled()],
            {},
            "spec.backup.retentionPolicy of Cluster acme-cnpg",
        ),
        (TO_STORE, [], {}, "no ScheduledBackup of method barmanObjectStore"),
        (TO_STORE, [scheduled(suspend=True)], {}, "no ScheduledBackup of method barmanObjectStore"),
        (TO_STORE, [by_plugin()], {}, "no ScheduledBackup of method barmanObjectStore"),
        (TO_STORE, [scheduled("every night")], {}, "'every night' is not understood"),
        (TO_STORE, [scheduled(), scheduled(method="volumeSnapshot")], {}, "volume snapshots"),
        (BY_PLUGIN, [by_plugin()], {}, "spec.retentionPolicy of ObjectStore theirs: there is none"),
        (BY_PLUGIN, [by_plugin()], object_store(None), "spec.retentionPolicy of ObjectStore theirs: there is none"),
        (BY_PLUGIN, [], object_store("7d"), "no ScheduledBackup of method plugin"),
        ({"plugins": [{"name": "klio", "isWALArchiver": True}]}, [], {}, "plugin klio"),
        ({"plugins": [{"name": "klio"}]}, [by_plugin("klio")], {}, "plugin klio"),
    ],
)
def test_a_backup_that_nobody_removes_is_refused_with_what_its_owner_has_to_do__M10_T6(
    spec: dict[str, Any], schedules: list[Any], stores: dict[str, Any], told: str
) -> None:
    message = refused(cluster(**spec), schedules, [], stores)
    assert told in message
    assert "its owner" in message


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ({}, made()),
        ({}, made(method="plugin", pluginConfiguration={"name": BARMAN_PLUGIN})),
        (TO_STORE, made(method="volumeSnapshot")),
        (TO_STORE, made({"destinationPath": "s3://before"})),
        (TO_STORE, made({"destinationPath": STORE["destinationPath"], "serverName": "before"})),
        (TO_STORE, made({"pluginMetadata": {"clusterUID": "uid-0"}})),
    ],
)
def test_a_backup_that_was_left_behind_is_refused_until_its_owner_removes_it__M10_T6(
    spec: dict[str, Any], left: dict[str, Any]
) -> None:
    assert "Backup monday" in refused(cluster(**spec), [scheduled()] if spec else [], [left], {})
    left["status"]["phase"] = "failed"
    found = cluster_backups(cluster(**spec), [scheduled()] if spec else [], [left], {})
    assert (found is None) is (not spec)


def test_a_plugin_that_backs_up_nothing_is_no_copy__T6() -> None:
    off = {"plugins": [{"name": "klio", "isWALArchiver": True, "enabled": False}, {"name": "hello-world"}]}
    assert cluster_backups(cluster(**off), [], [], {}) is None


def test_of_several_kinds_the_longest_life_counts__T6() -> None:
    both = cluster(**TO_STORE, plugins=[{"name": BARMAN_PLUGIN, "parameters": {"barmanObjectName": "theirs"}}])
    found = cluster_backups(both, [scheduled(), by_plugin()], [], object_store("20d"))
    assert found is not None
    assert found.window == 20
    ours = BackupRules("pg", "P30D", "Daily")  # type: ignore[arg-type]  # as a class writes it
    assert longest_life(ours, found) == timedelta(days=32)
    assert longest_life(None, found) == timedelta(days=23)
    assert longest_life(None, None) == timedelta(0)


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        (NIGHTLY, 1),
        ("0 0 */6 * * *", 1),
        ("0 0 2 * * ?", 1),
        ("0 0 2 * *", 1),
        ("0 0 2 * * MON,THU", 4),
        ("0 0 2 1 * *", 31),
        ("0 0 2 29 2 *", 1461),
        ("@daily", 1),
        ("@weekly", 7),
        ("@yearly", 366),
        ("@every 36h", 2),
        ("@every 12h30m", 1),
    ],
)
def test_the_time_between_two_backups_is_the_longest_that_its_schedule_lets_pass__T6(schedule: str, days: int) -> None:
    assert days_apart(schedule) == days


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "@every",
        "@every x",
        "* * *",
        "0 0 2 * * * *",
        "0 0 2 x * *",
        "@fortnightly",
        "0 0 2 30 2 *",
        f"0 0 2 {'1,' * 99}1 * *",
    ],
)
def test_a_schedule_that_is_none_is_not_guessed_at__T6(wrong: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        days_apart(wrong)


@pytest.mark.parametrize(
    ("bounds", "every", "longest", "what"),
    [
        ({}, 1, 25, "deadlines.request P30D"),
        ({}, 7, 13, "deadlines.request P30D"),
        ({"max": "P30D", "default": "P20D", "min": "P20D"}, 1, 5, "min P20D and max P30D of category calls"),
    ],
)
def test_the_owner_reads_the_longest_window_that_fits_and_no_day_more_is_taken__M10(
    bounds: dict[str, str], every: int, longest: int, what: str
) -> None:
    fits = ClusterBackups("spec.backup.retentionPolicy of Cluster acme-cnpg", longest, every)
    check_cluster_backups(profile(**bounds), fits)
    check_profile(profile(**bounds), margin(fits.life))
    check_cluster_backups(profile(**bounds), None)
    with pytest.raises(Invalid) as told:
        check_cluster_backups(profile(**bounds), ClusterBackups(fits.field, longest + 1, every))
    assert (told.value.reason, told.value.field) == ("CopiesOutliveBounds", fits.field)
    assert what in told.value.message
    assert told.value.message.endswith(f"the Cluster's owner writes {longest}d or shorter there")


def test_a_profile_without_room_for_them_says_so_and_not_a_window_of_zero_days__M10() -> None:
    short: RetentionProfileSpec = profile(max="P6D", default="P1D")
    with pytest.raises(Invalid, match="backs it up more often, or takes its backups away"):
        check_cluster_backups(short, ClusterBackups("x", 1, 1))


def test_what_an_owner_writes_without_measure_is_refused_and_stops_nobody__X2() -> None:
    written: dict[str, Any] = {"backup": {"barmanObjectStore": STORE, "retentionPolicy": "99999m"}}
    many = [scheduled(f"0 0 2 {1 + number % 28} * *") for number in range(5_000)]
    began = time.monotonic()
    found = cluster_backups(cluster(**written), many, [], {})
    assert time.monotonic() - began < 5
    assert found is not None
    assert (
        late_backups(cluster(), [made({"stoppedAt": "2026-01-01T00:00:00Z"})], found, datetime(2026, 2, 1, tzinfo=UTC))
        == ()
    )
    with pytest.raises(Invalid):
        check_cluster_backups(profile(), found)


def test_a_finished_backup_that_does_not_say_when_it_ended_is_as_old_as_its_object__T6() -> None:
    found = ClusterBackups("x", 7, 1)
    silent = made()
    silent["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    end = datetime(2026, 1, 1, tzinfo=UTC) + found.life
    assert late_backups(cluster(), [silent], found, end) == ()
    assert late_backups(cluster(), [silent], found, end + timedelta(seconds=1)) == ("monday",)
