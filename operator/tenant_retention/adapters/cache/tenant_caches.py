"""Caches for the reconcile: check, prepare and probe, each on connections of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.domain.cache_readiness import CacheEncryption, CacheReadings
from tenant_retention.domain.caches import CacheRole, WantedCache
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.ports.caches import CacheRequest, CacheServer

if TYPE_CHECKING:
    from tenant_retention.adapters.cache.connection import CacheConnection

_PROBE_KEY = "tenant-retention-probe"
"""A key of nobody: no tenant's prefix begins it."""


def check_cache(server: CacheServer) -> tuple[str, ...]:
    """One look at a server; warnings. Raises Unavailable or Invalid as ``CacheAdministration.check``."""
    from tenant_retention.adapters.cache.administration import RealCacheAdministration

    with _connected(server) as connection:
        return RealCacheAdministration(connection).check()


def prepare_cache(request: CacheRequest) -> tuple[str, ...]:
    """Makes a tenant's cache as wanted. Raises as ``provision_cache``."""
    from tenant_retention.adapters.cache.administration import RealCacheAdministration

    with _connected(request.server) as connection:
        return provision_cache(RealCacheAdministration(connection), request.wanted())


def probe_cache(request: CacheRequest) -> ProbeReport:
    """Every login tries what reaches beyond its prefix; what was not refused is a breach. Nothing it does changes anything."""
    wanted, breaches = request.wanted(), list[str]()
    for role in CacheRole:
        login = replace(request.server, user=wanted.username(role), password=request.passwords[role])
        with _connected(login) as connection:
            for words in _beyond(wanted, role):
                if not _is_refused(connection, words):
                    breaches.append(f"user {login.user} of the cache was allowed {words[0]} {words[1]}")
    # Nobody else's cache is on the server (``require_own_server``): none is to be tried in turns.
    return ProbeReport(tuple(breaches), 0, 0, "")


def measure_cache(request: CacheRequest, now: Callable[[], datetime]) -> CacheReadings:
    """One look as the administrator. Raises Unavailable or Invalid."""
    from tenant_retention.adapters.cache.looking import measure

    with _connected(request.server) as connection:
        return measure(connection, now)


def probe_cache_encryption(request: CacheRequest) -> CacheEncryption:
    """Every login connects by verified TLS, as every connection; then what answers without it. Raises Unavailable, Invalid."""
    from tenant_retention.adapters.cache.looking import encryption

    for role in CacheRole:
        login = replace(request.server, user=request.wanted().username(role), password=request.passwords[role])
        with _connected(login) as connection:
            connection.command("try the login", "PING")
    with _connected(request.server) as connection:
        return encryption(connection, request.server)


def _beyond(wanted: WantedCache, role: CacheRole) -> tuple[tuple[str, ...], ...]:
    """Commands that must be refused: keys of nobody and of a neighbour whose name begins alike, names of all keys, other
    databases of the server, its users."""
    everywhere = (("SELECT", "1"), ("ACL", "LIST"), ("KEYS", _PROBE_KEY), ("UNLINK", f"{wanted.name}-{_PROBE_KEY}"))
    if role is CacheRole.ENFORCER:
        # It looks through the names: that is its work, and why a server serves one namespace.
        return (*everywhere, ("GET", f"{wanted.prefix}{_PROBE_KEY}"), ("PTTL", _PROBE_KEY))
    return (*everywhere, ("SCAN", "0"), ("GET", _PROBE_KEY), ("EXISTS", f"{wanted.name}-{_PROBE_KEY}"))


def _is_refused(connection: CacheConnection, words: tuple[str, ...]) -> bool:
    try:
        connection.command("probe", *words)
    except Invalid as error:
        if error.reason != "PrivilegesMissing":
            raise
        return True
    return False


@contextmanager
def _connected(server: CacheServer) -> Iterator[CacheConnection]:
    # Imported here: half a second of processor and some megabytes, which an operator without caches never needs.
    from tenant_retention.adapters.cache.connection import CacheConnection

    connection = CacheConnection(server)
    try:
        yield connection
    finally:
        connection.close()
