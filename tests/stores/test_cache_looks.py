"""What the operator finds out about a cache server, on real Valkey 8.1, also through a network that is slow or breaks off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.adapters.cache.connection import CacheConnection
from tenant_retention.adapters.cache.enforcement import RealEnforcementCache
from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Row, TenantServer
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.cache_readiness import CacheReadings
from tenant_retention.domain.caches import CacheRole
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.caches import CacheRequest, EnforcementCache
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.stores.cache_servers import PASSWORDS, cache_of, real_site
from tests.stores.proxy import Proxy, Side, proxy_to
from tests.stores.servers.valkey import HOST, ValkeyProcess, running_valkey
from tests.stores.tenant_databases import days_ago
from tests.stores.test_cache_sweep import RULES
from tests.support.enforcement import RecordedWorld, plan_of
from tests.support.ports import free_port
from tests.support.waiting import eventually

ACME = cache_of("acme")
IDENTITY = StoreIdentity("test", "customer-acme", "acme", "Cache")


class Looker:
    """The operator, at a server with Acme's cache."""

    def __init__(self, process: ValkeyProcess, directory: Path) -> None:
        self.stores = RealTenantStores(directory)
        self.request = CacheRequest(process.server, IDENTITY, "n1", "p1", PASSWORDS)
        self.stores.prepare_cache(self.request)

    def measured(self) -> CacheReadings:
        return self.stores.measure_cache(self.request)

    def through(self, proxy: Proxy) -> CacheRequest:
        """The same over a proxy."""
        return replace(self.request, server=replace(self.request.server, port=proxy.port))


@contextmanager
def looking(directory: Path, *settings: str) -> Iterator[tuple[Looker, CacheConnection, ValkeyProcess]]:
    with running_valkey(settings) as process, process.client() as administrator:
        yield Looker(process, directory), administrator, process


def test_a_healthy_cache_is_measured__D6_D7(tmp_path: Path) -> None:
    with looking(tmp_path, "--maxmemory", "64mb", "--maxclients", "50") as (looker, _, _):
        found = looker.measured()
        assert timedelta() < found.latency < timedelta(seconds=30)
        assert found.clock_skew < timedelta(seconds=2)
        assert found.version.startswith("8.")
        assert (found.maxmemory, found.maxclients) == (64 * 2**20, 50)
        assert 0 < found.memory < 64 * 2**20
        assert found.clients >= 1
        assert (found.evicted, found.replicas, found.replica, found.persists) == (0, 0, False, False)
        ahead = RealTenantStores(tmp_path, lambda: datetime.now(UTC) + timedelta(seconds=90))
        assert ahead.measure_cache(looker.request).clock_skew == pytest.approx(
            timedelta(seconds=90), abs=timedelta(seconds=2)
        )


def test_keys_that_a_full_cache_threw_away_are_counted__D7_T1(tmp_path: Path) -> None:
    with looking(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru") as (looker, administrator, _):
        for number in range(400):
            administrator.command("write", "SET", f"{ACME.prefix}agents:{number}", "x" * 20_000)
        assert looker.measured().evicted > 0
        administrator.command("count anew", "CONFIG", "RESETSTAT")
        assert looker.measured().evicted == 0


def test_a_cache_that_writes_files_tells_how_old_its_copies_are_at_least__T6(tmp_path: Path) -> None:
    with looking(tmp_path, "--appendonly", "yes") as (looker, administrator, _):

        def old() -> bool:
            age = looker.measured().copy_on_disk
            return age is not None and age >= timedelta(seconds=1)

        eventually(old, "the append-only file grows older")
        assert looker.measured().persists
        administrator.command("rewrite", "BGREWRITEAOF")
        eventually(lambda: looker.measured().copy_on_disk is None, "rewritten at a time that nobody tells")
    with looking(tmp_path, "--save", "3600 1000") as (looker, administrator, _):
        assert looker.measured().copy_on_disk == timedelta(), "nothing changed since the snapshot"
        administrator.command("write", "SET", f"{ACME.prefix}agents:1", "x")
        age = looker.measured().copy_on_disk
        assert age is not None
        assert timedelta() <= age < timedelta(minutes=1)


def test_a_replica_is_told_with_its_lag_and_takes_no_writes__D7(tmp_path: Path) -> None:
    with looking(tmp_path) as (looker, _, primary), looking(tmp_path) as (other, its, process):
        (process.directory / "primary.crt").write_text((primary.directory / "ca.crt").read_text())
        its.command("trust", "CONFIG", "SET", "tls-ca-cert-file", str(process.directory / "primary.crt"))
        its.command("link", "CONFIG", "SET", "tls-replication", "yes")
        its.command("link", "CONFIG", "SET", "masteruser", primary.server.user, "masterauth", primary.server.password)
        its.command("link", "REPLICAOF", "127.0.0.1", primary.server.port)
        eventually(lambda: looker.measured().replicas == 1, "the replica is connected")
        lag = looker.measured().replication_lag
        assert lag is not None
        assert lag < timedelta(seconds=30)
        # A replica that hangs answers nobody: what it still has of removed keys grows older.
        process.pause()
        try:
            eventually(lambda: (looker.measured().replication_lag or timedelta()) >= timedelta(seconds=3), "it lags")
        finally:
            process.resume()
        assert other.measured().replica


def test_only_words_in_the_clear_are_a_breach__T8(tmp_path: Path) -> None:
    with looking(tmp_path) as (looker, _, _):
        found = looker.stores.probe_cache_encryption(looker.request)
        assert (found.breaches, found.persists) == ((), False)
    with looking(tmp_path, "--port", "0", "--appendonly", "yes") as (looker, administrator, _):
        open_port = free_port()
        administrator.command("open", "CONFIG", "SET", "port", open_port)
        found = looker.stores.probe_cache_encryption(looker.request)
        assert found.persists
        (breach,) = found.breaches
        assert f"{HOST}:{open_port} answers without TLS" in breach
        assert "port 0" in breach


def test_replicas_without_tls_are_a_breach__T8(tmp_path: Path) -> None:
    with looking(tmp_path) as (looker, _, primary), looking(tmp_path) as (other, its, _):
        its.command("link", "REPLICAOF", "127.0.0.1", primary.server.port)
        eventually(lambda: other.measured().replica, "it is a replica")
        (breach,) = other.stores.probe_cache_encryption(other.request).breaches
        assert "talk without TLS: set tls-replication yes" in breach
        assert looker.stores.probe_cache_encryption(looker.request).breaches == ()


def test_a_login_that_does_not_work_is_no_proof_of_encryption__T8(tmp_path: Path) -> None:
    with looking(tmp_path) as (looker, administrator, _):
        administrator.command("lock out", "ACL", "SETUSER", ACME.username(CacheRole.READER), "off")
        with pytest.raises(Exception, match="refuses user or password"):
            looker.stores.probe_cache_encryption(looker.request)


def test_a_slow_network_is_measured_as_the_round_trip_that_runs_will_have__D7(tmp_path: Path) -> None:
    with looking(tmp_path) as (looker, _, process), proxy_to(HOST, process.server.port) as proxy:
        proxy.delay = 0.2
        found = looker.stores.measure_cache(looker.through(proxy))
        assert found.latency >= timedelta(seconds=0.2)
        assert found.clock_skew < timedelta(seconds=1), "the question's own time proves no difference"


def test_a_cache_that_is_away_is_unavailable_and_nothing_is_pretended__D7(tmp_path: Path) -> None:
    with looking(tmp_path) as (looker, _, process), proxy_to(HOST, process.server.port) as proxy:
        proxy.go_away()
        with pytest.raises(Unavailable, match="cannot be reached"):
            looker.stores.measure_cache(looker.through(proxy))
        with pytest.raises(Unavailable, match="cannot be reached"):
            looker.stores.probe_cache_encryption(looker.through(proxy))


def night(server: TenantServer, cache: EnforcementCache) -> Outcome:
    world = replace(RecordedWorld().world(), now=lambda: datetime.now(UTC))
    stores = Stores({"Analytical": InMemoryEnforcementDatabase(server)}, {}, {"Cache": cache})
    return expire(plan_of(RULES), stores, uuid4(), world).outcome


@pytest.mark.parametrize("side", list(Side))
def test_a_connection_that_breaks_at_any_word_loses_no_key_that_has_its_row_and_ends_in_the_same__T6_X4(
    valkey: ValkeyProcess, side: Side
) -> None:
    with real_site(valkey) as site, proxy_to(HOST, valkey.server.port) as proxy:
        provision_cache(site.administration, ACME)
        login = replace(valkey.login(ACME.username(CacheRole.ENFORCER), PASSWORDS[CacheRole.ENFORCER]), port=proxy.port)
        at, cuts = 1, 0
        while True:
            server = TenantServer(RULES, "Analytical", lambda: datetime.now(UTC))
            for number in range(20):
                site.write(f"{ACME.prefix}agents:{number}".encode())
                if number % 2:
                    server.rows.append(Row(f"agents:{number}", "agents", days_ago(3), session=str(number)))
            connection = CacheConnection(login)
            proxy.counts = dict.fromkeys(Side, 0)
            proxy.cut, before = (side, at), proxy.cuts
            outcome = night(server, RealEnforcementCache(connection, ACME.prefix))
            connection.close()
            left = {int(name.rpartition(b":")[2]) for name in site.living()}
            assert {number for number in range(20) if number % 2} <= left, f"cut at {side} {at}"
            assert outcome is Outcome.SUCCEEDED, "a cut is tried again within the run"
            assert left == {number for number in range(20) if number % 2}
            if proxy.cuts == before:
                break
            at, cuts = at + 1, cuts + 1
        assert cuts >= 4, "the connection was cut at every word"
