"""The metrics of a policy's backups: how old the newest is, how many lie there, and which are late (T6, X4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import Gauge

_LABELS = ("namespace", "policy")


class BackupGauges:
    """``gauge`` makes one of a name, a text and labels."""

    def __init__(self, gauge: Callable[[str, str, Iterable[str]], Gauge]) -> None:
        self._last = gauge(
            "last_backup_timestamp_seconds",
            "When the newest whole backup of a policy was taken: alarm on its age.",
            _LABELS,
        )
        self._current = gauge(
            "backups_current", "1 if a policy's newest backup is as young as its class asks, else 0.", _LABELS
        )
        self._overdue = gauge("overdue_backups", "Backups past their time and still there (debt).", _LABELS)
        self._number = gauge("backups", "Whole backups of a policy.", _LABELS)
        self._bytes = gauge("backup_bytes", "Bytes of all backups of a policy.", _LABELS)
        self._shown: set[tuple[Gauge, str, str]] = set()

    def show(self, namespace: str, policy: str, row: Mapping[str, Any] | None, current: bool | None = None) -> None:
        """As ``status.backups`` and the condition BackupsCurrent say; what is not said has no series, None ends all of them."""
        found = row or {}
        last = found.get("lastBackup")
        values = {
            self._current: current,
            self._last: datetime.fromisoformat(last).timestamp() if last is not None else None,
            self._overdue: found.get("overdue"),
            self._number: found.get("number"),
            self._bytes: found.get("bytes"),
        }
        for gauge, value in values.items():
            series = (gauge, namespace, policy)
            if value is not None:
                gauge.labels(namespace, policy).set(value)
                self._shown.add(series)
            elif series in self._shown:
                gauge.remove(namespace, policy)
                self._shown.discard(series)
