"""The metrics of data subjects' requests, by namespace: how many are open, how many late, and when the next must be done (T7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import Gauge

from tenant_retention.api.v1alpha1.conditions import Reason

_LABELS = ("namespace",)


class RequestGauges:
    """``gauge`` makes one of a name, a text and labels. No label tells a request by name."""

    def __init__(self, gauge: Callable[[str, str, Iterable[str]], Gauge]) -> None:
        self._open = gauge("open_requests", "DataSubjectRequests that are not done.", _LABELS)
        self._overdue = gauge(
            "overdue_requests", "DataSubjectRequests with something left that should be gone by now.", _LABELS
        )
        self._deadline = gauge(
            "next_request_deadline_timestamp_seconds",
            "By when the next open DataSubjectRequest must be gone in every database: alarm before it.",
            _LABELS,
        )
        self._open_ones: dict[str, dict[str, tuple[bool, float | None]]] = {}
        self._shown: set[tuple[Gauge, str]] = set()

    def show(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """One request as its status says; {}: it is gone. A namespace without open ones has no series."""
        found = self._open_ones.setdefault(namespace, {})
        if not status or status.get("doneAt"):
            found.pop(name, None)
        else:
            late = any(each["reason"] == Reason.REQUEST_OVERDUE for each in status.get("conditions") or ())
            live = status.get("liveDeadline")
            found[name] = (late, datetime.fromisoformat(live).timestamp() if live else None)
        deadlines = [at for _, at in found.values() if at is not None]
        values = {
            self._open: len(found) if found else None,
            self._overdue: sum(late for late, _ in found.values()) if found else None,
            self._deadline: min(deadlines, default=None),
        }
        for gauge, value in values.items():
            if value is not None:
                gauge.labels(namespace).set(value)
                self._shown.add((gauge, namespace))
            elif (gauge, namespace) in self._shown:
                gauge.remove(namespace)
                self._shown.discard((gauge, namespace))
