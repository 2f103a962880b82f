"""JSON log lines, Prometheus metrics with bounded labels, and the health that the kubelet asks for.

Labels are the names of Kubernetes objects and of categories; never a value of tenant data. A series goes with its object.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pythonjsonlogger.json import JsonFormatter

from tenant_retention.backup_metrics import BackupGauges
from tenant_retention.domain.readiness import Measurements
from tenant_retention.request_metrics import RequestGauges
from tenant_retention.store_metrics import StoreGauges

PREFIX = "tenant_retention_"
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def configure_logging(level: str) -> None:
    """One JSON object a line on standard error; noisy libraries speak up from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "name_": "name"},
            json_ensure_ascii=False,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("kopf", "aiohttp", "asyncio", "kubernetes"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("kopf._core.reactor.observation").addFilter(_is_about_more_than_optional_kinds)
    # Its warnings about retries contain the paths of requests, and so the keys of objects.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _is_about_more_than_optional_kinds(record: logging.LogRecord) -> bool:
    """Kopf warns at every look at the cluster's kinds that CloudNativePG's is missing. It need not be there: policies and
    classes that need it say so themselves."""
    text = record.getMessage()
    unresolved = text.count("Selector(") if text.startswith("Unresolved resources") else 0
    return unresolved != 1 or "postgresql.cnpg.io" not in text


@dataclass(frozen=True)
class MetricText:
    """One metric, for the reference; ``name`` as it is scraped."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str


class Telemetry:
    """The metrics of one operator process, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._described: list[MetricText] = []
        category, policy = ("namespace", "policy", "category"), ("namespace", "policy")
        self._items = self._gauge("items", "Rows or objects of a category.", category)
        self._due = self._gauge("due_items", "Items that the next run deletes.", category)
        self._overdue = self._gauge("overdue_items", "Items past their deadline and still there (debt).", category)
        self._deadline = self._gauge(
            "next_deadline_timestamp_seconds",
            "When the oldest item must be gone: alarm before it, not after.",
            category,
        )
        self._extended = self._gauge(
            "extended_storage_end_timestamp_seconds", "When storage that was bought for a category ends.", category
        )
        self._expected = self._gauge(
            "debt_expected_timestamp_seconds",
            "When deletion debt begins, or began, because something keeps runs from deleting; no series: none foreseen.",
            policy,
        )
        self._held = self._gauge("held_items", "Items that a hold keeps.", category)
        self._anomalies = self._gauge("anomaly_items", "Items without a usable time.", category)
        self._missing = self._gauge("missing_objects", "Rows of a category whose object is missing.", category)
        self._archived = self._gauge("archived_items", "Items that lie in the archive, among all.", category)
        self._cached = self._gauge("cached_keys", "Keys of a category that the last run left in the cache.", category)
        self._ready = self._gauge("policy_ready", "1 if the policy is Ready, else 0.", policy)
        self._compliant = self._gauge("policy_compliant", "1 if the policy is Compliant, else 0.", policy)
        self._not_compliant = self._gauge(
            "policy_not_compliant",
            "1 while Compliant is False, by its reason; no series: it is True, or Unknown.",
            (*policy, "reason"),
        )
        self._encrypted = self._gauge(
            "policy_encryption_verified",
            "1 if EncryptionVerified is True, 0 if something was found in the clear; no series: Unknown.",
            policy,
        )
        self._approval = self._gauge("approval_required", "1 if the guard waits for an approval, else 0.", policy)
        self._success = self._gauge("last_success_timestamp_seconds", "End of the last successful run.", policy)
        self._failed = self._gauge("last_run_failed", "1 if the last run that ended failed, else 0.", policy)
        self._released = self._gauge("released_store_overdue_items", "Debt of a store without a policy.", ("store",))
        self._released_deadline = self._gauge(
            "released_store_next_deadline_timestamp_seconds",
            "When the oldest item of a store without a policy must be gone; nothing deletes it.",
            ("store",),
        )
        self._backups = BackupGauges(self._gauge)
        self._stores = StoreGauges(self._gauge)
        self._requests = RequestGauges(self._gauge)
        self._depth = self._gauge("queue_depth", "Objects that wait for or are in a reconcile.", ())
        name, text, labels = self._note("reconciles", "counter", "Reconciles by kind and outcome.", ("kind", "outcome"))
        self._reconciles = Counter(name, text, labels, registry=self._registry)
        name, text, labels = self._note("reconcile_duration_seconds", "histogram", "Time of one reconcile.", ("kind",))
        self._seconds = Histogram(name, text, labels, registry=self._registry, buckets=_BUCKETS)
        self._known: dict[tuple[str, str], set[str]] = {}
        self._reasons: dict[tuple[str, str], str] = {}

    def policy(self, namespace: str, name: str, status: Mapping[str, Any], latest_success: datetime | None) -> None:
        """Shows one policy as its status says; categories that are gone lose their series."""
        conditions = {found["type"]: found["status"] == "True" for found in status.get("conditions", ())}
        self._ready.labels(namespace, name).set(conditions.get("Ready", False))
        self._compliant.labels(namespace, name).set(conditions.get("Compliant", False))
        self._show_reason(namespace, name, status.get("conditions", ()))
        self._show_encryption(namespace, name, status.get("conditions", ()))
        self._approval.labels(namespace, name).set(conditions.get("ApprovalRequired", False))
        if latest_success is not None:
            self._success.labels(namespace, name).set(latest_success.timestamp())
        if status.get("debtExpected") is not None:
            expected = datetime.fromisoformat(status["debtExpected"])
            self._expected.labels(namespace, name).set(expected.timestamp())
        else:
            _drop(self._expected, namespace, name)
        self._backups.show(namespace, name, status.get("backups"), conditions.get("BackupsCurrent"))
        ended = {run["outcome"] for run in status.get("jobs", ())} - {"Running"}
        if ended:
            # While one is at work, the word of the one before it stands.
            self._failed.labels(namespace, name).set("Failed" in ended)
        current = {row["name"]: row for row in status.get("categories", ())}
        for category, row in current.items():
            numbers = [row[name] for name in ("rows", "objects") if name in row]
            counted = sum(numbers) if numbers else None
            shown = [(self._items, counted), (self._due, row.get("due")), (self._overdue, row.get("overdue"))]
            shown += [(self._held, row.get("held")), (self._anomalies, row.get("anomalies"))]
            shown += [(self._missing, row.get("missingObjects")), (self._cached, row.get("cachedKeys"))]
            shown += [(self._archived, row.get("archived"))]
            if counted is not None and "archived" not in row:
                _drop(self._archived, namespace, name, category)
            for gauge, value in shown:
                if value is not None:
                    gauge.labels(namespace, name, category).set(value)
            if row.get("extendedUntil") is not None:
                end = datetime.fromisoformat(row["extendedUntil"])
                self._extended.labels(namespace, name, category).set(end.timestamp())
            else:
                _drop(self._extended, namespace, name, category)
            if row.get("nextDeadline") is not None:
                at = datetime.fromisoformat(row["nextDeadline"])
                self._deadline.labels(namespace, name, category).set(at.timestamp())
            elif counted is not None:
                # Counted, and nothing there has a deadline; where nothing was counted the last one still stands.
                _drop(self._deadline, namespace, name, category)
        self._drop_categories(namespace, name, self._known.get((namespace, name), set()) - set(current))
        self._known[(namespace, name)] = set(current)
        self._stores.show(namespace, name, status.get("stores", ()))

    def forget_policy(self, namespace: str, name: str) -> None:
        """Ends the series of a policy that is gone."""
        self._drop_categories(namespace, name, self._known.pop((namespace, name), set()))
        self._stores.show(namespace, name, ())
        self._show_reason(namespace, name, ())
        self._show_encryption(namespace, name, ())
        self._backups.show(namespace, name, None)
        for gauge in (self._ready, self._compliant, self._approval, self._success, self._failed, self._expected):
            _drop(gauge, namespace, name)

    def released_store(self, store: str, overdue: int | None) -> None:
        """Shows the debt of a store that no policy has; None ends its series."""
        if overdue is None:
            _drop(self._released, store)
            _drop(self._released_deadline, store)
        else:
            self._released.labels(store).set(overdue)

    def released_deadline(self, store: str, deadline: datetime | None) -> None:
        """Shows when the oldest item of a store that no policy has must be gone; None ends the series (X4)."""
        if deadline is None:
            _drop(self._released_deadline, store)
        else:
            self._released_deadline.labels(store).set(deadline.timestamp())

    def store_measured(self, namespace: str, policy: str, store: str, measured: Measurements | None) -> None:
        """Shows what was measured at a store, each figure beside its limit; None ends its series (D6, D7)."""
        self._stores.show_measured(namespace, policy, store, measured)

    def store_ready(self, namespace: str, policy: str, store: str, ready: bool | None) -> None:
        """Shows whether a store of a policy answers and is as wanted; None ends its series (D7)."""
        self._stores.show_ready(namespace, policy, store, ready)

    def request(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Shows one request of a data subject, as its status says; {}: it is gone (T7)."""
        self._requests.show(namespace, name, status)

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        """Counts one reconcile; ``outcome`` is ``success`` or ``error``."""
        self._reconciles.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)

    def render(self, queue_depth: int) -> bytes:
        """The text of ``/metrics``."""
        self._depth.set(queue_depth)
        return generate_latest(self._registry)

    def described(self) -> tuple[MetricText, ...]:
        """Every metric, for the reference."""
        return tuple(self._described)

    def _show_reason(self, namespace: str, name: str, conditions: Iterable[Mapping[str, Any]]) -> None:
        """Why the policy is not compliant: one reason at a time."""
        told = [found for found in conditions if (found["type"], found["status"]) == ("Compliant", "False")]
        before = self._reasons.pop((namespace, name), None)
        if before is not None:
            _drop(self._not_compliant, namespace, name, before)
        for found in told:
            self._not_compliant.labels(namespace, name, found["reason"]).set(1)
            self._reasons[(namespace, name)] = found["reason"]

    def _show_encryption(self, namespace: str, name: str, conditions: Iterable[Mapping[str, Any]]) -> None:
        told = {found["status"] for found in conditions if found["type"] == "EncryptionVerified"} - {"Unknown"}
        if not told:
            _drop(self._encrypted, namespace, name)
        else:
            self._encrypted.labels(namespace, name).set("True" in told)

    def _gauge(self, name: str, text: str, labels: Iterable[str]) -> Gauge:
        full, text, labels = self._note(name, "gauge", text, labels)
        return Gauge(full, text, labels, registry=self._registry)

    def _note(self, name: str, kind: str, text: str, labels: Iterable[str]) -> tuple[str, str, tuple[str, ...]]:
        scraped = f"{PREFIX}{name}_total" if kind == "counter" else f"{PREFIX}{name}"
        self._described.append(MetricText(scraped, kind, tuple(labels), text))
        return PREFIX + name, text, tuple(labels)

    def _drop_categories(self, namespace: str, name: str, gone: Iterable[str]) -> None:
        for category in gone:
            shown = (self._items, self._due, self._overdue, self._deadline, self._held, self._anomalies)
            for gauge in (*shown, self._missing, self._extended, self._cached, self._archived):
                _drop(gauge, namespace, name, category)


def _drop(gauge: Gauge, *labels: str) -> None:
    """Removes a series; one that was never shown is no mistake."""
    if any(
        sample.labels and tuple(sample.labels.values()) == labels
        for metric in gauge.collect()
        for sample in metric.samples
    ):
        gauge.remove(*labels)


class Health:
    """Whether the process still turns: loops report, and a report that is too old is a failure (a dead watch, a hang)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._reports: dict[str, tuple[float, float]] = {}
        self._problems: dict[str, str] = {}
        self.ready = False

    def beat(self, loop: str, again_within: float) -> None:
        """``loop`` turned; its next report comes within ``again_within`` seconds."""
        self._reports[loop] = (self._clock(), again_within)

    def complain(self, loop: str, problem: str | None) -> None:
        """States a problem of ``loop`` that only a restart solves; None takes it back."""
        if problem is None:
            self._problems.pop(loop, None)
        else:
            self._problems[loop] = problem

    def problems(self) -> tuple[str, ...]:
        """What is wrong now; empty: alive."""
        now = self._clock()
        late = [f"{loop}: no sign of life" for loop, (at, within) in sorted(self._reports.items()) if now - at > within]
        return (*late, *(f"{loop}: {problem}" for loop, problem in sorted(self._problems.items())))
