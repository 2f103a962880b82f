"""Looks at a cache server without changing anything: figures (D6, D7), and whether data travels in the clear (T8)."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from tenant_retention.adapters.cache.administration import RealCacheAdministration
from tenant_retention.adapters.cache.connection import CacheConnection
from tenant_retention.domain.cache_readiness import CacheEncryption, CacheReadings
from tenant_retention.domain.ports.caches import CacheServer

_ROUND_TRIPS = 5
_USUAL_PORT = 6379
_CLEAR_SECONDS = 2.0


def measure(connection: CacheConnection, now: Callable[[], datetime]) -> CacheReadings:
    """One look as the administrator. Raises Unavailable or Invalid."""
    trips = []
    for _ in range(_ROUND_TRIPS):
        began = time.perf_counter()
        connection.command("measure the way", "PING")
        trips.append(time.perf_counter() - began)
    before = now()
    seconds, microseconds = connection.command("read the clock", "TIME")
    there = datetime.fromtimestamp(int(seconds) + int(microseconds) / 1_000_000, UTC)
    skew = max(before - there, there - now(), timedelta())
    facts = RealCacheAdministration(connection).facts()
    replicas = [value for name, value in facts.items() if name.startswith("slave") and name[5:].isdigit()]
    persists = facts.get("aof_enabled") == "1" or _snapshots(facts)
    return CacheReadings(
        latency=timedelta(seconds=statistics.median(trips)),
        clock_skew=skew,
        version=facts.get("valkey_version") or facts.get("redis_version", ""),
        clients=int(facts.get("connected_clients", 0)),
        maxclients=int(facts["maxclients"]) if "maxclients" in facts else None,
        memory=int(facts.get("used_memory", 0)),
        maxmemory=int(facts.get("maxmemory", 0)) or None,
        evicted=int(facts.get("evicted_keys", 0)),
        replicas=len(replicas),
        replication_lag=max((_lag(each) for each in replicas), default=None),
        replica=facts.get("role", "master") != "master",
        persists=persists,
        copy_on_disk=_oldest_copy(facts, there) if persists else None,
    )


def encryption(connection: CacheConnection, server: CacheServer) -> CacheEncryption:
    """Where the server lets data travel in the clear: no password is sent. The connections' own TLS is verified always."""
    settings = RealCacheAdministration(connection).settings("port", "tls-replication")
    facts = RealCacheAdministration(connection).facts()
    told = int(settings.get("port", _USUAL_PORT))
    breaches = [
        f"{server.host}:{port} answers without TLS: set port 0 in the server's settings, or close it"
        for port in sorted({server.port, _USUAL_PORT, *([told] if told else [])})
        if _answers_in_the_clear(server.host, port)
    ]
    linked = facts.get("role") == "slave" or int(facts.get("connected_slaves", 0)) > 0
    if linked and settings.get("tls-replication") == "no":
        breaches.append(f"{server.host} and its replicas talk without TLS: set tls-replication yes on each of them")
    return CacheEncryption(tuple(breaches), facts.get("aof_enabled") == "1" or _snapshots(facts))


def _snapshots(facts: Mapping[str, str]) -> bool:
    """Whether it takes snapshots; where that is not told (no CONFIG), it may."""
    return facts.get("save", "unknown") != ""


def _oldest_copy(facts: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long ago the files on disk were last written as a whole, at least."""
    ages = []
    if facts.get("aof_enabled") == "1":
        if facts.get("aof_last_rewrite_time_sec") != "-1":
            return None
        # Never since its start; the file is as old as that, or older.
        ages.append(timedelta(seconds=int(facts.get("uptime_in_seconds", 0))))
    if _snapshots(facts) and int(facts.get("rdb_changes_since_last_save", 0)):
        ages.append(now - datetime.fromtimestamp(int(facts.get("rdb_last_save_time", 0)), UTC))
    return max(ages, default=timedelta())


def _lag(replica: str) -> timedelta:
    """Of a line such as ``ip=10.0.0.2,port=6379,state=online,offset=14,lag=1``."""
    pairs = dict(pair.split("=", 1) for pair in replica.split(",") if "=" in pair)
    return timedelta(seconds=int(pairs.get("lag", 0)))


def _answers_in_the_clear(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_CLEAR_SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            # "+PONG", or "-NOAUTH ...": both are words in the clear. A server with TLS answers with an alert, or hangs up.
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False
