"""What came of a night's backup: a value for people, for the termination message (at most 2 KiB) and for the exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_retention.domain.backups import StoredBackup, newest, overdue
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.plan_document import Task
from tenant_retention.enforcement.results import Outcome, outcome_of_error

_MESSAGE = 600


@dataclass(frozen=True)
class Problem:
    """What failed; ``message`` holds no personal data."""

    outcome: Outcome
    reason: str
    message: str


@dataclass(frozen=True)
class BackupResult:
    """A whole run. ``made`` None: none was due, or it failed. ``removed``: complete backups that went. ``left``: what lies in
    the bucket afterwards, None where it could not be listed; ``keep``: how long a backup is kept."""

    run_id: UUID
    started_at: datetime
    finished_at: datetime
    keep: str
    made: StoredBackup | None
    removed: int
    left: tuple[StoredBackup, ...] | None
    problems: tuple[Problem, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The gravest of what failed."""
        order = list(Outcome)
        return max((each.outcome for each in self.problems), key=order.index, default=Outcome.SUCCEEDED)

    def complete(self) -> tuple[StoredBackup, ...]:
        """The backups that can be restored, oldest first."""
        return tuple(each for each in self.left or () if each.complete)


def outcome_of(error: RetentionError) -> Outcome:
    """How grave an error is for the run."""
    if error.reason in ("MonthChanged", "BackupsLeft", "BackupBroken"):
        return Outcome.INCOMPLETE
    return outcome_of_error(error)


def backup_document(result: BackupResult) -> dict[str, Any]:
    """Everything of a run."""
    first = result.problems[0] if result.problems else None
    document: dict[str, Any] = {
        "version": 1,
        "task": Task.BACKUP.value,
        "runId": str(result.run_id),
        "outcome": result.outcome.value,
        "startedAt": _instant(result.started_at),
        "finishedAt": _instant(result.finished_at),
    }
    if first is not None:
        document |= {"reason": first.reason, "message": first.message}
    document |= {"made": _made(result.made), "removed": result.removed}
    if result.left is not None:
        last = newest(result.left)
        oldest = min((each.taken_at for each in result.left), default=None)
        document |= {
            "kept": len(result.complete()),
            "bytes": sum(each.size for each in result.left),
            "oldest": _instant(oldest) if oldest else None,
            "newest": _instant(last.taken_at) if last else None,
            "overdue": sum(overdue(each, result.keep, result.finished_at) for each in result.left),
        }
    return document


def summarize_backup(result: BackupResult) -> str:
    """The termination message: one line of JSON, at most 2 KiB."""
    document = backup_document(result)
    if "message" in document:
        document["message"] = document["message"].encode("ascii", "replace").decode()[:_MESSAGE]
    return json.dumps(document, separators=(",", ":"))


def _made(backup: StoredBackup | None) -> dict[str, Any] | None:
    if backup is None:
        return None
    return {
        "id": backup.backup_id,
        "takenAt": _instant(backup.taken_at),
        "files": len(backup.objects) - 1,
        "bytes": backup.size,
    }


def _instant(value: datetime) -> str:
    return value.isoformat(timespec="seconds")
