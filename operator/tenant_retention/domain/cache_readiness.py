"""What is measured at a cache server, beside the limits of its class (D6, D7, T6); pure. Judged and told as every store's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tenant_retention.domain.copies import RUN_INTERVAL
from tenant_retention.domain.readiness import Limits, Measure, Measured, version_figure

OLDEST_CACHE_SERVER = 7
"""The first major version whose users can be held to a prefix of keys as this operator does."""
MEMORY_SHARE = 0.85
"""How full the memory may get where the class says nothing else."""


@dataclass(frozen=True)
class CacheReadings:
    """One look at a cache server. ``memory`` of ``maxmemory`` bytes (None: no limit is set); ``evicted``: keys since its
    start; ``replicas``: how many are connected, with their largest ``replication_lag``.

    ``persists``: it writes its keys to files; ``copy_on_disk``: so old is the oldest copy there at least, None: cannot be seen.
    """

    latency: timedelta
    clock_skew: timedelta
    version: str
    clients: int
    maxclients: int | None
    memory: int
    maxmemory: int | None
    evicted: int
    replicas: int
    replication_lag: timedelta | None
    replica: bool
    persists: bool
    copy_on_disk: timedelta | None


@dataclass(frozen=True)
class CacheEncryption:
    """What a look at a cache says of its encryption (T8). ``breaches``: where data can travel in the clear, each with the
    next step; ``persists``: keys are written to files, of which the server does not tell whether they are encrypted."""

    breaches: tuple[str, ...]
    persists: bool


def cache_figures(readings: CacheReadings, limits: Limits) -> tuple[Measured, ...]:
    """Every figure of one look with its limit, in a fixed order."""
    share = None if readings.maxmemory is None else MEMORY_SHARE * readings.maxmemory
    seen = "" if readings.maxmemory else "maxmemory is not set: set it, or thresholds.size in the class, for a limit"
    found = [
        Measured(
            Measure.LATENCY,
            readings.latency.total_seconds(),
            limits.latency.total_seconds(),
            "looks through the keys will be slow: put the server nearer or relieve it",
        ),
        Measured(
            Measure.CLOCK_SKEW,
            readings.clock_skew.total_seconds(),
            limits.clock_skew.total_seconds(),
            "times to live are counted by it: set the clocks of the server and of the operator's node by NTP",
        ),
        version_figure(readings.version, OLDEST_CACHE_SERVER),
        Measured(
            Measure.SESSIONS,
            float(readings.clients),
            None if readings.maxclients is None else float(max(0, readings.maxclients - limits.free_sessions)),
            "runs and applications may be refused: raise maxclients, or let applications pool their connections",
        ),
        Measured(
            Measure.SIZE,
            float(readings.memory),
            limits.size if limits.size is not None else share,
            "keys will be lost or writes refused: raise maxmemory, or keep less in the cache",
            seen,
        ),
        Measured(
            Measure.EVICTED_KEYS,
            float(readings.evicted),
            0.0,
            "what was nowhere else is lost: raise maxmemory and set maxmemory-policy noeviction; CONFIG RESETSTAT counts anew",
        ),
        Measured(
            Measure.READ_ONLY,
            float(readings.replica),
            0.0,
            "nothing can be removed there: it is a replica, point the class at the primary",
        ),
    ]
    if readings.replicas:
        lag = None if readings.replication_lag is None else readings.replication_lag.total_seconds()
        step = "removed keys live on there so long: see the replica's load and its network"
        found.append(Measured(Measure.REPLICATION_LAG, lag, limits.replication_lag.total_seconds(), step))
    if readings.persists:
        age = None if readings.copy_on_disk is None else readings.copy_on_disk.total_seconds()
        step = "its files still hold keys that were removed: run BGREWRITEAOF (append-only file) or BGSAVE (snapshot) daily"
        unseen = "" if age is not None else f"when the append-only file was last rewritten cannot be seen; {step}"
        found.append(Measured(Measure.COPY_ON_DISK, age, RUN_INTERVAL.total_seconds(), step, unseen))
    return tuple(found)
