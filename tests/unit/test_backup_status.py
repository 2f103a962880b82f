"""What a status says of copies: two dates a category, and how backups grow old to the second (M10, T6, X4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_retention.domain.backup_rules import BackupRules
from tenant_retention.domain.backup_status import BackupReport, backup_findings, backup_row, late_backups
from tenant_retention.domain.backups import Frequency, StoredBackup
from tenant_retention.domain.category_status import Counts, category_rows
from tenant_retention.domain.copies import margin
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.rules import Subject, define
from tenant_retention.telemetry import Telemetry
from tests.unit.test_status import DEFINITION, NOW, POLICY, PROFILE, seen

RULES = BackupRules("pg", "P7D", Frequency.DAILY)
SECOND = timedelta(seconds=1)


def backup(at: datetime, *, complete: bool = True) -> StoredBackup:
    return StoredBackup(f"{at:%Y%m%dT%H%M%SZ}-00000000", at, at, True, complete, 100, ())


def report(*found: StoredBackup, **changes: Any) -> BackupReport:
    return replace(BackupReport(RULES, "P7D", "acme-backup-key", found=found), **changes)


def finding(shown: BackupReport, now: datetime = NOW) -> tuple[bool | None, str]:
    (found,) = backup_findings(shown, now)
    return found.holds, found.reason.value


def rows(life: timedelta, age: timedelta) -> dict[str, dict[str, Any]]:
    subject = Subject("i", "customer-acme", "acme", "uid", 3, 1, margin(life))
    counts = Counts({name: seen(name, oldest=NOW - age) for name in ("calls", "recordings")})
    found = category_rows(PROFILE, define(PROFILE, POLICY, subject), counts, counted_only=False, now=NOW)
    return {row["name"]: row for row in found}


@pytest.mark.parametrize("life", [timedelta(0), RULES.life])
def test_each_category_says_when_it_leaves_the_live_store_and_when_its_last_copy_is_gone__M10(life: timedelta) -> None:
    oldest = NOW - timedelta(days=3)
    row = rows(life, timedelta(days=3))["recordings"]
    leaves = datetime.fromisoformat(row["leavesLiveStore"])
    assert datetime.fromisoformat(row["lastCopyGone"]) == leaves + margin(life)
    # Its keep is its max, P14D: the whole life of the copies comes off it.
    assert datetime.fromisoformat(row["lastCopyGone"]) == end_of_period(oldest, Period.parse("P14D"))


def test_backups_that_nobody_makes_any_more_hold_a_category_until_the_last_of_them_is_gone__M10_T6() -> None:
    ended = report(backup(NOW - timedelta(days=2)), backup(NOW), rules=RULES.ended())
    until = NOW + timedelta(days=7 + 2)
    assert ended.copies_until() == until
    assert report(backup(NOW)).copies_until() is None
    assert report(rules=RULES.ended()).copies_until() is None
    counts = Counts(
        {"calls": seen("calls", oldest=NOW), "recordings": seen("recordings", oldest=NOW - timedelta(days=8))}
    )
    subject = Subject("i", "customer-acme", "acme", "uid", 3, 1)
    definition = define(PROFILE, POLICY, subject)
    found = category_rows(PROFILE, definition, counts, counted_only=False, now=NOW, copies_until=until)
    gone = {row["name"]: datetime.fromisoformat(row["lastCopyGone"]) for row in found}
    assert gone["recordings"] == until
    assert gone["calls"] > until


def test_a_category_without_rows_has_no_dates__M10() -> None:
    counts = Counts({"calls": seen("calls", rows=0, oldest=None)})
    subject = Subject("i", "customer-acme", "acme", "uid", 3, 1)
    found = category_rows(PROFILE, define(PROFILE, POLICY, subject), counts, counted_only=False, now=NOW)
    assert not [row for row in found if "leavesLiveStore" in row or "lastCopyGone" in row]


@pytest.mark.parametrize(("beyond", "late"), [(-SECOND, 0), (timedelta(0), 1), (SECOND, 1)])
def test_a_backup_is_late_a_run_after_its_keep_to_the_second__M10(beyond: timedelta, late: int) -> None:
    shown, now = report(backup(NOW), backup(NOW + timedelta(days=5))), NOW + timedelta(days=9) + beyond
    assert backup_row(shown, {}, now)["overdue"] == late
    found = late_backups(shown, {}, now)
    assert (found is not None) == bool(late)
    # What was seen last counts on while nobody can look.
    before = backup_row(shown, {}, NOW)
    assert backup_row(replace(shown, found=None), before, now)["overdue"] == late
    assert (late_backups(replace(shown, found=None), before, now) is not None) == bool(late)


def test_what_is_no_whole_backup_can_not_be_restored_and_is_late_all_the_same__X4() -> None:
    row = backup_row(report(backup(NOW, complete=False)), {}, NOW + timedelta(days=10))
    assert (row["number"], row["overdue"], row["bytes"]) == (0, 1, 100)
    assert "lastBackup" not in row


@pytest.mark.parametrize(("schedule", "days"), [(Frequency.DAILY, 3), (Frequency.WEEKLY, 9)])
def test_a_backup_is_missed_two_days_after_it_was_due_to_the_second__T6(schedule: Frequency, days: int) -> None:
    shown = report(backup(NOW), rules=replace(RULES, schedule=schedule, keep="P90D"), keep="P90D")
    assert finding(shown, NOW + timedelta(days=days)) == (True, "BackedUp")
    assert finding(shown, NOW + timedelta(days=days) + SECOND) == (False, "BackupsMissing")


def test_why_no_backup_is_made_is_told_before_how_old_the_last_one_is__T6() -> None:
    lost = Invalid("Secret acme-backup-key is gone", reason="BackupKeyLost")
    assert finding(report(backup(NOW), problem=lost)) == (False, "BackupKeyLost")
    assert finding(report(backup(NOW), failure="Job acme-backup-1: it failed")) == (False, "BackupFailed")
    assert finding(report(waiting="the next backup waits for a run")) == (False, "BackupsWaiting")
    assert finding(report(backup(NOW), waiting="the next backup waits for a run")) == (True, "BackedUp")
    assert finding(replace(report(), found=None)) == (None, "NoRunYet")
    assert backup_findings(report(rules=RULES.ended()), NOW) == []
    assert backup_findings(None, NOW) == []


def test_the_next_job_is_said_in_utc_and_the_message_names_what_is_in_no_backup__T6() -> None:
    row = backup_row(report(left_out=("Analytical/APAC",), keep="P3D"), {}, datetime(2026, 11, 22, tzinfo=UTC))
    assert "Analytical/APAC" in row["message"]
    assert "keep P7D begins when" in row["message"]


def test_metrics_follow_the_status_of_the_backups_and_end_with_it__T6_X4() -> None:
    shown = Telemetry()
    row = backup_row(report(backup(NOW)), {}, NOW + timedelta(days=20))
    told = {"conditions": [{"type": "BackupsCurrent", "status": "False"}], "backups": row}
    shown.policy("customer-acme", "acme", told, None)
    text = shown.render(0).decode()
    series = '{namespace="customer-acme",policy="acme"}'
    for name, value in (
        ("last_backup_timestamp_seconds", NOW.timestamp()),
        ("overdue_backups", 1),
        ("backups", 1),
        ("backup_bytes", 100),
        ("backups_current", 0),
    ):
        (line,) = [each for each in text.splitlines() if each.startswith(f"tenant_retention_{name}{{")]
        found, number = line.rsplit(" ", 1)
        assert (found, float(number)) == (f"tenant_retention_{name}{series}", value)
    shown.policy("customer-acme", "acme", {"conditions": []}, None)
    assert not [each for each in shown.render(0).decode().splitlines() if "backup" in each and "acme" in each]


def test_databases_that_no_backup_and_no_archive_has_are_named_in_the_status_and_not_ignored_in_silence__D3_T6() -> (
    None
):
    def rows(*databases: str) -> dict[str, str]:
        categories = tuple(
            each.model_copy(update={"archive_after": "P3M"}) if each.name == "calls" else each
            for each in DEFINITION.categories
        )
        definition = DEFINITION.model_copy(update={"categories": categories, "databases": databases})
        told = category_rows(PROFILE, definition, Counts(), counted_only=False, now=NOW)
        return {row["name"]: row.get("message", "") for row in told}

    units = tuple(f"Analytical:unit-{number}" for number in range(5))
    told = rows("Analytical", "Analytical/APAC", *units)
    assert told["calls"].endswith(
        "archiveAfter moves rows of Analytical alone: those of Analytical/APAC, Analytical:unit-0, Analytical:unit-1 and 3 "
        "more stay there until they are deleted"
    )
    assert "archiveAfter" not in told["recordings"]
    assert "archiveAfter" not in rows("Analytical", "Dialogue/APAC")["calls"]
    (finding,) = backup_findings(report(backup(NOW), left_out=("Analytical/APAC",)), NOW)
    assert (finding.holds, finding.reason) == (True, "BackedUp")
    assert finding.message.endswith("in no backup, as their rows stay in their region: Analytical/APAC")
