"""What is measured at a store, beside the limit of its class, and when it counts as exceeded (D6, D7); pure.

Nothing here is ever acted on: the store is its owner's, who is told what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.conditions import Finding
from tenant_retention.domain.servers import MINIMUM_SERVER_VERSION
from tenant_retention.domain.versions import version_number, version_text

CONFIRM = 3
"""So many measurements in a row must say otherwise before a figure changes its verdict."""


class Measure(StrEnum):
    """What is measured."""

    LATENCY = "Latency"
    VERSION = "Version"
    CLOCK_SKEW = "ClockSkew"
    SESSIONS = "Sessions"
    SIZE = "Size"
    REPLICATION_LAG = "ReplicationLag"
    READ_ONLY = "ReadOnly"
    EVICTED_KEYS = "EvictedKeys"
    COPY_ON_DISK = "CopyOnDisk"


@dataclass(frozen=True)
class StoreReadings:
    """One look at a store. ``latency``: median round trip; ``sessions`` of ``usable_sessions``: all clients of the server;
    ``size``: bytes; ``standbys``: how many are connected, with their largest ``replication_lag`` (None: may not be seen);
    ``written`` and ``replayed``: positions in the log, of the server and of its slowest standby (``replay``);
    ``version``: what the server says of itself. None: this kind of store tells no such figure."""

    latency: timedelta
    clock_skew: timedelta
    version: str | None = None
    sessions: int | None = None
    usable_sessions: int | None = None
    size: int | None = None
    standbys: int = 0
    replication_lag: timedelta | None = None
    written: int | None = None
    replayed: int | None = None
    read_only: bool | None = None


@dataclass(frozen=True)
class Limits:
    """What a class calls good. ``free_sessions``: so many must be left; ``size`` None: not judged."""

    latency: timedelta
    clock_skew: timedelta
    free_sessions: int
    replication_lag: timedelta
    size: float | None = None


@dataclass(frozen=True)
class Measured:
    """One figure in base units, beside its limit. ``value`` None: cannot be seen, ``note`` says why; ``limit`` None: it is
    not judged. ``step``: what the store's owner has to do. ``least``: the limit is the least that is good, not the most."""

    measure: Measure
    value: float | None
    limit: float | None
    step: str
    note: str = ""
    least: bool = False

    @property
    def exceeded(self) -> bool:
        """Whether this one measurement is over its limit, or below the least."""
        if self.value is None or self.limit is None:
            return False
        return self.value < self.limit if self.least else self.value > self.limit


@dataclass(frozen=True)
class Judged:
    """A figure with its verdict. ``shown``: the value that is told, which small movements do not change; ``against``: how
    many measurements in a row contradict ``bad``."""

    measured: Measured
    bad: bool
    shown: float | None
    against: int = 0


@dataclass(frozen=True)
class Measurements:
    """What is known of one store: its figures, and the version that it said."""

    figures: Mapping[Measure, Judged]
    version: str | None = None


@dataclass(frozen=True)
class HealthState:
    """The stores of a policy: what is ``bad``, with value, limit and step; stores that were not measured yet."""

    bad: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()


def figures(readings: StoreReadings, limits: Limits) -> tuple[Measured, ...]:
    """Every figure of one look with its limit, in a fixed order."""
    found = [
        Measured(
            Measure.LATENCY,
            readings.latency.total_seconds(),
            limits.latency.total_seconds(),
            "runs will be slow: put the server nearer or relieve it",
        ),
        Measured(
            Measure.CLOCK_SKEW,
            readings.clock_skew.total_seconds(),
            limits.clock_skew.total_seconds(),
            "from a minute on nothing is deleted: set the clocks of the server and of the operator's node by NTP",
        ),
    ]
    if readings.version is not None:
        found.append(version_figure(readings.version, MINIMUM_SERVER_VERSION // 10_000))
    if readings.sessions is not None and readings.usable_sessions is not None:
        room = float(max(0, readings.usable_sessions - limits.free_sessions))
        step = "runs and applications may be refused: raise max_connections, or let applications pool their connections"
        found.append(Measured(Measure.SESSIONS, float(readings.sessions), room, step))
    step = "give its volume more room, or let less data in; free space itself cannot be seen by SQL"
    unseen = (
        ""
        if readings.size is not None
        else "S3 tells neither the size of a bucket nor its quota: watch it at the store"
    )
    size = None if readings.size is None else float(readings.size)
    found.append(Measured(Measure.SIZE, size, limits.size, step, unseen))
    if readings.standbys:
        lag = None if readings.replication_lag is None else readings.replication_lag.total_seconds()
        hidden = (
            ""
            if lag is not None
            else "standbys are connected, their lag is hidden: GRANT pg_read_all_stats to the administrator"
        )
        step = "deleted data lives on there so long, and runs are slowed: see the standby's load and its network"
        found.append(Measured(Measure.REPLICATION_LAG, lag, limits.replication_lag.total_seconds(), step, hidden))
    if readings.read_only is not None:
        step = "nothing can be deleted there: point the class at the primary, or end read-only mode (a full disk often causes it)"
        found.append(Measured(Measure.READ_ONLY, float(readings.read_only), 0.0, step))
    return tuple(found)


def version_figure(said: str, oldest: int) -> Measured:
    """What a server says of its version, beside the oldest one that this operator supports."""
    number = version_number(said)
    unseen = "" if number is not None else "the server does not tell its version"
    step = f"nothing is made or run on a server older than {oldest}: upgrade it"
    return Measured(Measure.VERSION, number, float(oldest), step, unseen, least=True)


def judge(measured: Measured, before: Judged | None, *, was_bad: bool) -> Judged:
    """The verdict on a figure. It changes when ``CONFIRM`` measurements in a row say so: one slow answer is no news.

    ``was_bad``: what was told before this process knew the figure.
    """
    bad, against = (before.bad, before.against) if before is not None else (was_bad, 0)
    against = against + 1 if measured.exceeded != bad else 0
    turned = against >= CONFIRM
    if turned:
        bad, against = not bad, 0
    old = before.shown if before is not None else None
    keeps = not turned and old is not None and measured.value is not None and _is_near(measured, old)
    return Judged(measured, bad, old if keeps else measured.value, against)


def rows(judged: Mapping[Measure, Judged]) -> list[dict[str, Any]]:
    """``status.measurements`` of a store's ledger entry."""
    return [_row(each) for each in judged.values()]


def sentence(store: str, judged: Judged) -> str:
    """What is bad, for the condition: value, limit, step."""
    measured = judged.measured
    if measured.measure is Measure.READ_ONLY:
        return f"{store}: takes no writes; {measured.step}"
    told = f"{store}: {measured.measure} {_text(measured.measure, judged.shown)}, limit {_text(measured.measure, measured.limit)}"
    return f"{told}; {measured.step}"


def health_finding(state: HealthState | None) -> Finding:
    """The condition ``StoresHealthy``."""
    type_ = ConditionType.STORES_HEALTHY
    if state is not None and state.bad:
        return Finding(type_, False, Reason.LIMIT_EXCEEDED, "; ".join(state.bad)[:1024])
    if state is None or state.unmeasured:
        names = f": {', '.join(state.unmeasured)}" if state is not None else ""
        return Finding(type_, None, Reason.NOT_YET_MEASURED, f"each store is measured while it is ready{names}"[:1024])
    return Finding(
        type_, True, Reason.WITHIN_LIMITS, "what was measured is within the limits; see DataStore status.measurements"
    )


def _row(judged: Judged) -> dict[str, Any]:
    measured = judged.measured
    if measured.value is None:
        state = "Unknown"
    elif measured.limit is None:
        state = "NotJudged"
    else:
        state = "Exceeded" if judged.bad else "Met"
    row: dict[str, Any] = {"name": measured.measure.value, "state": state}
    if judged.shown is not None:
        row["value"] = _text(measured.measure, judged.shown)
    if measured.limit is not None:
        row["limit"] = _text(measured.measure, measured.limit)
    note = measured.step if state == "Exceeded" else measured.note
    return {**row, "message": note} if note else row


_GRAINS = {
    Measure.LATENCY: 0.02,
    Measure.VERSION: 0.0,
    Measure.CLOCK_SKEW: 2.0,
    Measure.SESSIONS: 5.0,
    Measure.SIZE: 64.0 * 2**20,
    Measure.REPLICATION_LAG: 5.0,
    Measure.READ_ONLY: 0.0,
    Measure.EVICTED_KEYS: 100.0,
    Measure.COPY_ON_DISK: 6 * 3600.0,
}
"""Movements up to these are never told: a status is no chart, the metrics are."""


def _is_near(measured: Measured, old: float) -> bool:
    assert measured.value is not None
    if measured.measure is Measure.VERSION:
        return measured.value == old
    return abs(measured.value - old) <= max(_GRAINS[measured.measure], old / 4)


def _text(measure: Measure, value: float | None) -> str:
    return "" if value is None else _TEXTS[measure](value)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


_TEXTS: Mapping[Measure, Callable[[float], str]] = {
    Measure.LATENCY: _seconds,
    Measure.VERSION: version_text,
    Measure.CLOCK_SKEW: _seconds,
    Measure.SESSIONS: lambda value: f"{value:.0f}",
    Measure.SIZE: _bytes,
    Measure.REPLICATION_LAG: _seconds,
    Measure.READ_ONLY: lambda value: "yes" if value else "no",
    Measure.EVICTED_KEYS: lambda value: f"{value:.0f}",
    Measure.COPY_ON_DISK: lambda value: f"{value / 3600:.0f} h",
}
