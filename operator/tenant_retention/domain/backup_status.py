"""What a policy's status says of its backups: how old the newest is, whether one is late, and why none is made (T6, X4); pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.backup_rules import BackupRules
from tenant_retention.domain.backups import StoredBackup, newest, overdue
from tenant_retention.domain.conditions import Finding, instant, moment, reason_of
from tenant_retention.domain.copies import RUN_INTERVAL
from tenant_retention.domain.durations import LAST_INSTANT, Period, end_of_period
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.left_where_they_are import not_backed_up
from tenant_retention.domain.schedule import Schedule

_NUMBERS = ("number", "bytes", "lastBackup", "lastBackupBytes", "oldestBackup")


@dataclass(frozen=True)
class BackupReport:
    """``keep``: how long a backup is kept now, which may still be the shorter one of before. ``found``: what lies in the bucket;
    None where nobody could look. ``problem``: why no backup can be made; ``waiting``: why none is made yet; ``failure``: what
    the last Job said that failed. ``left_out``: databases that no backup has. ``key``: the Secret with the key."""

    rules: BackupRules
    keep: str
    key: str
    found: tuple[StoredBackup, ...] | None = None
    problem: RetentionError | None = None
    waiting: str | None = None
    failure: str | None = None
    left_out: tuple[str, ...] = ()
    schedule: Schedule | None = None

    def copies_until(self) -> datetime | None:
        """Until when the backups of a class that asks for none any more may hold what is in the live store; None: the margin of
        the rules covers every copy, or there is none."""
        if self.rules.schedule is not None or not self.found:
            return None
        last = max(each.taken_at for each in self.found)
        end = end_of_period(last, Period.parse(self.keep, field="spec.backup.keep"))
        return min(end, LAST_INSTANT - RUN_INTERVAL) + RUN_INTERVAL


def backup_row(report: BackupReport, before: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """``status.backups``. While nobody can look into the bucket, what was seen last stands."""
    row: dict[str, Any] = {
        "schedule": report.rules.schedule.value if report.rules.schedule is not None else None,
        "keep": report.keep,
        "keySecret": report.key,
        "overdue": overdue_backups(report, before, now),
        "nextJob": report.schedule.next_run(now).strftime("%Y-%m-%dT%H:%MZ") if report.schedule is not None else None,
        "message": _message(report),
    }
    row |= _numbers(report.found) if report.found is not None else {name: before.get(name) for name in _NUMBERS}
    return {name: value for name, value in row.items() if value is not None}


def overdue_backups(report: BackupReport, before: Mapping[str, Any], now: datetime) -> int | None:
    """Backups that should have gone by now: copies that may outlive a deadline (X4). By what was seen last where nobody can look."""
    if report.found is not None:
        return sum(overdue(each, report.keep, now) for each in report.found)
    oldest = before.get("oldestBackup")
    if oldest is None:
        return None
    late = end_of_period(moment(oldest), Period.parse(report.keep, field="spec.backup.keep")) + RUN_INTERVAL <= now
    return max(int(late), int(before.get("overdue", 0)))


def late_backups(report: BackupReport, before: Mapping[str, Any], now: datetime) -> Finding | None:
    """That Compliant is False: backups past their time are still there."""
    late = overdue_backups(report, before, now)
    if not late:
        return None
    why = report.failure or (report.problem.message if report.problem is not None else None)
    text = (
        f"{late} backups are past their keep of {report.keep} and still there: copies may outlive a deadline; "
        f"{why or 'see the Jobs of task backup'}; kubectl logs -l tenantretention.io/task=backup --tail=-1"
    )
    return Finding(ConditionType.COMPLIANT, False, Reason.DELETION_DEBT, text[:1024])


def backup_debt(found: Sequence[StoredBackup], keep: str, now: datetime) -> dict[str, Any]:
    """The counts of a ledger entry whose backups nobody removes any more, as ``store_status`` writes them (X4)."""
    ends = [end_of_period(each.taken_at, Period.parse(keep, field="spec.backup.keep")) for each in found]
    late = sum(overdue(each, keep, now) for each in found)
    debt: dict[str, Any] = {"category": "backups", "rows": 0, "objects": late}
    if ends:
        debt["nextDeadline"] = instant(min(min(ends), LAST_INSTANT - RUN_INTERVAL) + RUN_INTERVAL)
    return {"empty": not found, "overdue": late, "debt": [debt]}


def backup_findings(report: BackupReport | None, now: datetime) -> list[Finding]:
    """The condition ``BackupsCurrent``; none where no class asks for backups."""
    if report is None or report.rules.schedule is None:
        return []
    return [_finding(report, now)]


def _finding(report: BackupReport, now: datetime) -> Finding:
    type_ = ConditionType.BACKUPS_CURRENT
    if report.problem is not None:
        return Finding(type_, False, reason_of(report.problem.reason), report.problem.message[:1024])
    if report.found is None:
        return Finding(type_, None, Reason.NO_RUN_YET, "nobody could look into the bucket of the backups yet")
    last = newest(report.found)
    assert report.rules.schedule is not None
    if report.failure is not None:
        since = f"the last good one is of {instant(last.taken_at)}" if last is not None else "there is none"
        text = f"{report.failure[:700]}; {since}; see kubectl logs -l tenantretention.io/task=backup --tail=-1"
        return Finding(type_, False, Reason.BACKUP_FAILED, text)
    if last is None:
        return Finding(type_, False, Reason.BACKUPS_WAITING, report.waiting or "the first backup is made tonight")
    if now - last.taken_at > timedelta(days=report.rules.schedule.days) + RUN_INTERVAL:
        why = f": {report.waiting}" if report.waiting else ""
        text = (
            f"the last backup is of {instant(last.taken_at)}, {report.rules.schedule.value} ones are asked for{why}; see "
            "kubectl describe cronjob -l tenantretention.io/task=backup"
        )
        return Finding(type_, False, Reason.BACKUPS_MISSING, text[:1024])
    text = "; ".join(filter(None, ("the last backup that was asked for is there", not_backed_up(report.left_out))))
    return Finding(type_, True, Reason.BACKED_UP, text)


def _numbers(found: tuple[StoredBackup, ...]) -> dict[str, Any]:
    last = newest(found)
    row: dict[str, Any] = {
        "number": sum(each.complete for each in found),
        "bytes": sum(each.size for each in found),
    }
    if found:
        row["oldestBackup"] = instant(min(each.taken_at for each in found))
    if last is not None:
        row |= {"lastBackup": instant(last.taken_at), "lastBackupBytes": last.size}
    return row


def _message(report: BackupReport) -> str | None:
    told = []
    if report.rules.schedule is None:
        told.append("no class asks for backups any more: none is made, and the old ones go in time")
    elif report.keep != report.rules.keep:
        told.append(
            f"keep {report.rules.keep} begins when every backup that was made under {report.keep} has gone: its rows left "
            "room for that alone"
        )
    if report.waiting is not None:
        told.append(report.waiting)
    if report.left_out:
        told.append(not_backed_up(report.left_out))
    return "; ".join(told)[:1024] or None
