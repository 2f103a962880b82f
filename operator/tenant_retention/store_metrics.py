"""The metrics of single stores: what lies in a bucket without a row, and what was measured beside its limit (D6, D7, T6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import Gauge

from tenant_retention.domain.readiness import Measure, Measurements

_MEASURES = {
    Measure.LATENCY: ("latency", "_seconds", "Median round trip to a store."),
    Measure.VERSION: ("version", "", "Version of a store's server: major and a hundredth of minor, 17.06 for 17.6."),
    Measure.CLOCK_SKEW: ("clock_skew", "_seconds", "Difference of a store's clock to the operator's."),
    Measure.SESSIONS: ("sessions", "", "Sessions of all clients of a store's server."),
    Measure.SIZE: (
        "size",
        "_bytes",
        "Size of a store's database; in the tenant's namespace, of all on its server; memory of a cache.",
    ),
    Measure.REPLICATION_LAG: ("replication_lag", "_seconds", "Lag of the slowest standby of a store's server."),
    Measure.READ_ONLY: ("read_only", "", "1 if a store takes no writes, else 0."),
    Measure.EVICTED_KEYS: ("evicted_keys", "", "Keys that a cache server evicted since its start."),
    Measure.COPY_ON_DISK: ("copy_on_disk", "_seconds", "Age of the oldest copy of the keys in a cache server's files."),
}
_LABELS = ("namespace", "policy", "store")


class StoreGauges:
    """``gauge`` makes one of a name, a text and labels."""

    def __init__(self, gauge: Callable[[str, str, Iterable[str]], Gauge]) -> None:
        self._of_rows = {
            "unnamedObjects": gauge("unnamed_objects", "Objects of a bucket that no row names.", _LABELS),
            "overdueObjects": gauge(
                "overdue_objects",
                "Versions in a bucket that no row names and that no category could still keep (debt).",
                _LABELS,
            ),
        }
        self._ready = gauge("store_ready", "1 if a store of a policy answers and is as wanted, else 0.", _LABELS)
        self._measures = {
            measure: (
                gauge(f"store_{word}{unit}", text, _LABELS),
                gauge(f"store_{word}_limit{unit}", f"The limit of the store's class for it: {text}", _LABELS),
            )
            for measure, (word, unit, text) in _MEASURES.items()
        }
        self._shown: dict[Gauge, set[tuple[str, str, str]]] = {}
        self._measured: dict[str, tuple[str, str, str]] = {}

    def show(self, namespace: str, policy: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """As ``status.stores`` says; what is not said has no series, no rows end all of the policy."""
        told = list(rows)
        for name, gauge in self._of_rows.items():
            values = {(namespace, policy, row["purpose"]): row[name] for row in told if row.get(name) is not None}
            self._keep(gauge, namespace, policy, values)

    def show_ready(self, namespace: str, policy: str, store: str, ready: bool | None) -> None:
        """Whether a store is ready; None ends its series. It is named by its ledger entry."""
        for labels in [labels for labels in self._shown.get(self._ready, ()) if labels[2] == store]:
            self._end(self._ready, labels)
        if ready is not None:
            self._set(self._ready, (namespace, policy, store), ready)

    def show_measured(self, namespace: str, policy: str, store: str, measured: Measurements | None) -> None:
        """Each figure beside its limit; None ends the series of the store, which is named by its ledger entry."""
        labels = (namespace, policy, store)
        before = self._measured.pop(store, None)
        figures = measured.figures if measured is not None else {}
        for measure, gauges in self._measures.items():
            found = figures.get(measure)
            values = (found.measured.value, found.measured.limit) if found is not None else (None, None)
            for gauge, value in zip(gauges, values, strict=True):
                if before is not None and (value is None or before != labels):
                    self._end(gauge, before)
                if value is not None:
                    self._set(gauge, labels, value)
        if figures:
            self._measured[store] = labels

    def _keep(self, gauge: Gauge, namespace: str, policy: str, values: Mapping[tuple[str, str, str], float]) -> None:
        """Shows these and ends every other series of the policy."""
        of_policy = {labels for labels in self._shown.get(gauge, ()) if labels[:2] == (namespace, policy)}
        for labels in of_policy - values.keys():
            self._end(gauge, labels)
        for labels, value in values.items():
            self._set(gauge, labels, value)

    def _set(self, gauge: Gauge, labels: tuple[str, str, str], value: float) -> None:
        gauge.labels(*labels).set(value)
        self._shown.setdefault(gauge, set()).add(labels)

    def _end(self, gauge: Gauge, labels: tuple[str, str, str]) -> None:
        if labels in self._shown.get(gauge, ()):
            gauge.remove(*labels)
            self._shown[gauge].discard(labels)
