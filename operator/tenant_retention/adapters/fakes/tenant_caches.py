"""The caches of ``FakeTenantStores``: one server a host, each with its users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta

from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.adapters.fakes.cache_server import FakeCacheAdministration, FakeCacheServer
from tenant_retention.domain.cache_readiness import CacheEncryption, CacheReadings
from tenant_retention.domain.caches import CacheStep
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.ports.caches import CacheRequest


class _Told(FakeCacheAdministration):
    """Tells of every step before it is taken."""

    def __init__(self, server: FakeCacheServer, on_effect: Callable[[str], None]) -> None:
        super().__init__(server)
        self._on_effect = on_effect

    def apply(self, step: CacheStep) -> None:
        self._on_effect(step.describe())
        super().apply(step)


HEALTHY_CACHE = CacheReadings(
    latency=timedelta(milliseconds=1),
    clock_skew=timedelta(),
    version="8.1.4",
    clients=4,
    maxclients=10_000,
    memory=2**20,
    maxmemory=2**28,
    evicted=0,
    replicas=0,
    replication_lag=None,
    replica=False,
    persists=False,
    copy_on_disk=None,
)


class FakeTenantCaches(ABC):
    """``caches``: by host; ``cache_readings``: what is measured at each. ``on_effect`` is called before every change."""

    on_effect: Callable[[str], None]
    breaches: tuple[str, ...]
    in_the_clear: dict[str, tuple[str, ...]]
    cache_readings: CacheReadings = HEALTHY_CACHE

    def __init__(self) -> None:
        self.caches: dict[str, FakeCacheServer] = {}

    def prepare_cache(self, request: CacheRequest) -> tuple[str, ...]:
        """See the port."""
        self._answer(request.server.host)
        server = self.caches.setdefault(request.server.host, FakeCacheServer())
        return provision_cache(_Told(server, self.on_effect), request.wanted())

    def probe_cache(self, request: CacheRequest) -> ProbeReport:
        """See the port."""
        self._answer(request.server.host)
        return ProbeReport(self.breaches, 0, 0, "")

    def probe_cache_encryption(self, request: CacheRequest) -> CacheEncryption:
        """See the port."""
        self._answer(request.server.host)
        return CacheEncryption(self.in_the_clear.get("Cache", ()), self.cache_readings.persists)

    def measure_cache(self, request: CacheRequest) -> CacheReadings:
        """See the port."""
        self._answer(request.server.host)
        return self.cache_readings

    @abstractmethod
    def _answer(self, address: str) -> None: ...
