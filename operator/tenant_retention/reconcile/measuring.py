"""Measuring the stores of a policy at a bounded rate, and what this process knows of them (D6, D7)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import IN_NAMESPACE, DataStoreClass, Embedded
from tenant_retention.api.v1alpha1.serverclasses import CloudNativePG
from tenant_retention.api.v1alpha1.thresholds import Thresholds
from tenant_retention.domain.cache_readiness import CacheReadings, cache_figures
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.cluster import STORE_CLASS
from tenant_retention.domain.readiness import (
    HealthState,
    Limits,
    Measured,
    Measurements,
    StoreReadings,
    figures,
    judge,
    sentence,
)
from tenant_retention.domain.replay import ReplayWatch
from tenant_retention.domain.topology import bytes_of
from tenant_retention.reconcile.caches import CacheResult
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World, parse

MEASURE_AGAIN = timedelta(minutes=5)
CONFIRM_AFTER = timedelta(seconds=20)
"""When a figure contradicts its verdict: so that it is told within a minute."""
STALE = timedelta(minutes=30)
"""How long figures count while nobody can take them anew."""
VOLUME_SHARE = 0.85
"""How full the volume of a server in the tenant's namespace may get where its class says nothing else."""


@dataclass(frozen=True)
class _Look:
    at: datetime
    found: Measurements

    def unsettled(self) -> bool:
        return any(each.against for each in self.found.figures.values())


@dataclass
class Measuring:
    """What this process knows, by ledger entry."""

    _looks: dict[str, _Look] = field(default_factory=dict)
    _failures: dict[str, str] = field(default_factory=dict)
    _replays: dict[str, ReplayWatch] = field(default_factory=dict)

    async def look(self, world: World, results: Sequence[Result]) -> None:
        """Measures every store that is ready and due; its result then has the figures. Never raises RetentionError: that a
        store does not answer is told where it was asked for its work."""
        now, names = world.now(), {_name(result) for result in results}
        self._looks = {name: look for name, look in self._looks.items() if name in names and now - look.at < STALE}
        self._replays = {name: watch for name, watch in self._replays.items() if name in names}
        due = [each for each in results if each.prepared and each.problem is None and self._is_due(_name(each), now)]
        await asyncio.gather(*(self._look(world, result) for result in due))
        for result in results:
            known = self._looks.get(_name(result))
            result.measured = known.found if known is not None else None

    def state(self, results: Sequence[Result]) -> HealthState | None:
        """What is to be told of these stores; None without any."""
        if not results:
            return None
        bad = tuple(
            sentence(result.store.wanted.place.name, judged)
            for result in results
            for judged in (result.measured.figures.values() if result.measured else ())
            if judged.bad
        )
        return HealthState(bad, tuple(self._unmeasured(result) for result in results if result.measured is None))

    def again(self) -> timedelta | None:
        """When to look again although nothing else happens; None: at the next resync."""
        return CONFIRM_AFTER if any(look.unsettled() for look in self._looks.values()) else None

    def _is_due(self, name: str, now: datetime) -> bool:
        known = self._looks.get(name)
        if known is None:
            return True
        return now - known.at >= (CONFIRM_AFTER if known.unsettled() else MEASURE_AGAIN)

    async def _look(self, world: World, result: Result) -> None:
        entry = result.store.entry
        try:
            readings = await _read(world, result)
            limits = await _limits(world, entry)
        except RetentionError as problem:
            self._failures[_name(result)] = problem.message
            return
        self._failures.pop(_name(result), None)
        readings = self._with_stuck_standbys(_name(result), readings, world.now())
        before = self._looks.get(_name(result))
        told = {row.name for row in entry.status.measurements if row.state == "Exceeded"}
        judged = {
            each.measure: judge(
                each, before.found.figures.get(each.measure) if before else None, was_bad=each.measure.value in told
            )
            for each in _figures(readings, limits)
        }
        self._looks[_name(result)] = _Look(world.now(), Measurements(judged, readings.version))

    def _with_stuck_standbys(
        self, name: str, readings: StoreReadings | CacheReadings, now: datetime
    ) -> StoreReadings | CacheReadings:
        if isinstance(readings, CacheReadings) or readings.replication_lag is None:
            return readings
        if readings.written is None or readings.replayed is None:
            return readings
        watch = self._replays.get(name, ReplayWatch()).after(now, readings.written, readings.replayed)
        self._replays[name] = watch
        return replace(readings, replication_lag=max(readings.replication_lag, watch.behind(now)))

    def _unmeasured(self, result: Result) -> str:
        purpose, failure = result.store.wanted.place.name, self._failures.get(_name(result))
        return f"{purpose} ({failure})" if failure else purpose


async def _read(world: World, result: Result) -> StoreReadings | CacheReadings:
    if isinstance(result, DatabaseResult):
        assert result.request is not None
        alone = result.store.entry.spec.provisioner in IN_NAMESPACE
        host = result.request.server.host
        return await world.call(host, world.stores.measure_database, result.request, alone)
    assert result.request is not None
    if isinstance(result, CacheResult):
        return await world.call(result.request.server.host, world.stores.measure_cache, result.request)
    return await world.call(result.request.server.url, world.stores.measure_bucket, result.request)


def _figures(readings: StoreReadings | CacheReadings, limits: Limits) -> tuple[Measured, ...]:
    return cache_figures(readings, limits) if isinstance(readings, CacheReadings) else figures(readings, limits)


async def _limits(world: World, entry: DataStore) -> Limits:
    """What the class says now; what it said nothing of has defaults, also when it is gone."""
    manifest = await world.cluster.get(STORE_CLASS, entry.spec.class_name)
    found = parse(DataStoreClass, manifest, Reason.CLASS_INVALID) if manifest is not None else None
    wanted = found.spec.thresholds if found is not None and found.spec.thresholds is not None else Thresholds()
    size = float(bytes_of(wanted.size)) if wanted.size is not None else None
    if size is None and entry.spec.provisioner in IN_NAMESPACE:
        size = VOLUME_SHARE * float(bytes_of(_volume(entry)))
    return Limits(
        latency=timedelta(milliseconds=wanted.latency_milliseconds),
        clock_skew=timedelta(seconds=wanted.clock_skew_seconds),
        free_sessions=wanted.free_sessions,
        replication_lag=timedelta(seconds=wanted.replication_lag_seconds),
        size=size,
    )


def _volume(entry: DataStore) -> str:
    """The size of the volume that the server of a store has to itself."""
    pinned = entry.spec.class_snapshot
    if entry.spec.provisioner == "CloudNativePG":
        return (pinned.cloud_native_pg or CloudNativePG()).storage
    return (pinned.embedded or Embedded()).storage


def _name(result: Result) -> str:
    return result.store.entry.metadata.name
