"""A tenant's logins on a real Valkey: what they reach, what they are refused, and over which connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tenant_retention.adapters.cache.administration import RealCacheAdministration
from tenant_retention.adapters.cache.connection import CacheConnection
from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.caches import CacheRole, WantedCache
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.caches import CacheRequest, CacheServer
from tests.stores.cache_servers import PASSWORDS, RealSite, cache_of, opened_to_everything, real_site
from tests.stores.servers.certificates import ThrowawayAuthority
from tests.stores.servers.valkey import ValkeyProcess, running_valkey
from tests.support.ports import free_port

ACME = cache_of("acme")
NEIGHBOUR = cache_of("acme-2")
MINE, THEIRS = f"{ACME.prefix}agents:1", f"{NEIGHBOUR.prefix}agents:1"

APPLICATION_MAY = (
    ("SET", MINE, "on duty", "EX", 60),
    ("GET", MINE),
    ("EXPIRE", MINE, 60),
    ("HSET", f"{ACME.prefix}h", "field", "value"),
    ("MULTI",),
    ("PUBLISH", f"{ACME.prefix}news", "x"),
    ("CLIENT", "SETNAME", "app"),
    ("UNLINK", MINE),
)
OTHERS_KEYS = (
    ("GET", THEIRS),
    ("SET", THEIRS, "x"),
    ("DEL", THEIRS),
    ("EXISTS", THEIRS),
    ("TTL", THEIRS),
    ("MGET", MINE, THEIRS),
    ("RENAME", MINE, THEIRS),
    ("SUNIONSTORE", MINE, THEIRS),
    ("SORT", MINE, "BY", f"{NEIGHBOUR.prefix}*"),
    ("MEMORY", "USAGE", THEIRS),
    ("XREAD", "STREAMS", THEIRS, "0"),
    ("PUBLISH", f"{NEIGHBOUR.prefix}news", "x"),
    ("SUBSCRIBE", "__keyspace@0__:*"),
    ("PSUBSCRIBE", "*"),
)
WHOLE_SERVER = (
    ("SCAN", 0),
    ("KEYS", "*"),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("SELECT", 1),
    ("MOVE", MINE, 1),
    ("COPY", MINE, f"{ACME.prefix}2", "DB", 1),
    ("SWAPDB", 0, 1),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "default", "on", "nopass", "~*", "+@all"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "USER", "administrator"),
    ("CLIENT", "TRACKING", "ON", "BCAST"),
    ("MONITOR",),
    ("PUBSUB", "CHANNELS"),
    ("INFO",),
    ("EVAL", "return redis.call('KEYS', '*')", 0),
    ("FUNCTION", "LIST"),
    ("REPLICAOF", "localhost", 1),
    ("SHUTDOWN", "NOSAVE"),
    ("MIGRATE", "localhost", 1, MINE, 0, 1),
    ("SAVE",),
)
READER_MAY_NOT = (("SET", MINE, "x"), ("DEL", MINE), ("EXPIRE", MINE, 1), ("PUBLISH", f"{ACME.prefix}news", "x"))
ENFORCER_MAY_NOT = (
    ("GET", MINE),
    ("SET", MINE, "x"),
    ("DUMP", MINE),
    ("UNLINK", THEIRS),
    ("PTTL", THEIRS),
    ("SELECT", 1),
)


@pytest.fixture
def site(valkey: ValkeyProcess) -> Iterator[RealSite]:
    """Two policies of one namespace on one server, with a key each."""
    with real_site(valkey) as site:
        for cache in (ACME, NEIGHBOUR):
            provision_cache(site.administration, cache)
            site.write(f"{cache.prefix}agents:1".encode())
        yield site


def refusal(valkey: ValkeyProcess, cache: WantedCache, role: CacheRole, words: tuple[str | int, ...]) -> str:
    """Why the server refuses this command to this role; empty if it does not."""
    with valkey.client(cache.username(role), PASSWORDS[role]) as connection:
        try:
            connection.command("try", *words)
        except Invalid as refused:
            return refused.reason
        return ""


def test_an_application_works_with_its_own_keys(site: RealSite, valkey: ValkeyProcess) -> None:
    for words in APPLICATION_MAY:
        assert refusal(valkey, ACME, CacheRole.APP, words) == "", words


@pytest.mark.parametrize("words", [*OTHERS_KEYS, *WHOLE_SERVER], ids=lambda words: " ".join(map(str, words[:2])))
def test_an_application_neither_reaches_nor_learns_of_anybody_else_s_keys__X2(
    site: RealSite, valkey: ValkeyProcess, words: tuple[str | int, ...]
) -> None:
    for role in (CacheRole.APP, CacheRole.READER):
        assert refusal(valkey, ACME, role, words) == "PrivilegesMissing", role
    assert site.living().keys() == {MINE.encode(), THEIRS.encode()}


def test_a_reader_reads_and_changes_nothing__X2(site: RealSite, valkey: ValkeyProcess) -> None:
    assert refusal(valkey, ACME, CacheRole.READER, ("GET", MINE)) == ""
    for words in READER_MAY_NOT:
        assert refusal(valkey, ACME, CacheRole.READER, words) == "PrivilegesMissing", words


def test_the_nightly_run_reads_no_value_and_touches_nobody_else_s_keys__X2(
    site: RealSite, valkey: ValkeyProcess
) -> None:
    for words in ENFORCER_MAY_NOT:
        assert refusal(valkey, ACME, CacheRole.ENFORCER, words) == "PrivilegesMissing", words


def test_nobody_logs_in_as_the_owner_or_without_a_password__X2(site: RealSite, valkey: ValkeyProcess) -> None:
    for user in (ACME.owner, "default"):
        for password in ("x", PASSWORDS[CacheRole.APP]):
            with valkey.client(user, password) as connection, pytest.raises(Invalid) as refused:
                connection.command("ping", "PING")
            assert refused.value.reason == "AuthenticationFailed"


def test_no_password_is_kept_on_the_server_in_clear_or_told_by_anything_we_print__T8(
    site: RealSite, valkey: ValkeyProcess
) -> None:
    shown = repr(ACME) + repr(ACME.users()) + repr(valkey.server) + valkey.users_file()
    assert ACME.owner in shown
    for password in (*PASSWORDS.values(), valkey.server.password):
        assert password not in shown


def test_users_and_marker_outlive_a_restart() -> None:
    with running_valkey() as process, process.client() as client:
        provision_cache(RealCacheAdministration(client), ACME)
        saved = process.users_file()
    for name in ACME.users():
        assert f"user {name} " in saved


def test_a_server_that_would_forget_its_users_is_refused_and_told_how_to_change_that() -> None:
    with running_valkey(users_file=False) as process, process.client() as client:
        with pytest.raises(Invalid, match="give it an aclfile") as refused:
            provision_cache(RealCacheAdministration(client), ACME)
        assert refused.value.reason == "SettingNotKept"


def test_a_cluster_is_refused_and_what_may_lose_keys_is_told__D6() -> None:
    with running_valkey(["--maxmemory-policy", "allkeys-lru"]) as process, process.client() as client:
        eviction, restart = RealCacheAdministration(client).check()
        assert eviction.startswith("maxmemory-policy is allkeys-lru")
        assert restart.startswith("neither appendonly nor save is set")
    with (
        running_valkey(["--cluster-enabled", "yes", "--cluster-port", str(free_port())]) as process,
        process.client() as client,
    ):
        with pytest.raises(Invalid, match="cluster mode is not supported"):
            RealCacheAdministration(client).check()


def test_the_operator_makes_probes_and_checks_a_cache_and_finds_what_somebody_opened__X2(
    valkey: ValkeyProcess, tmp_path: Path
) -> None:
    stores = RealTenantStores(tmp_path)
    identity = StoreIdentity("test", "customer-acme", "acme", "Cache")
    request = CacheRequest(valkey.server, identity, "n1", "p1", PASSWORDS)
    with real_site(valkey) as site:
        assert stores.check(valkey.server) == (
            "neither appendonly nor save is set: every key is lost when the server restarts",
        )
        assert len(stores.prepare_cache(request)) == 4
        assert stores.prepare_cache(request) == ()
        assert stores.probe_cache(request).breaches == ()
        name = ACME.username(CacheRole.READER)
        site.change_user(name, opened_to_everything(ACME.users()[name]))
        assert f"user {name} of the cache was allowed SCAN 0" in stores.probe_cache(request).breaches
        assert len(stores.prepare_cache(request)) == 1
        assert stores.probe_cache(request).breaches == ()


def test_only_verified_encrypted_connections_are_made__T8(valkey: ValkeyProcess) -> None:
    stranger = ThrowawayAuthority.create("somebody else's").pem().decode()
    for wrong in (
        replace(valkey.server, ca=stranger),
        replace(valkey.server, host="127.0.0.1"),
        _system(valkey.server),
    ):
        with pytest.raises(Invalid) as refused:
            CacheConnection(wrong).command("ping", "PING")
        assert refused.value.reason == "CertificateInvalid"


def test_a_server_that_is_away_is_tried_again_and_a_certificate_that_is_none_is_not(valkey: ValkeyProcess) -> None:
    with pytest.raises(Unavailable) as away:
        CacheConnection(replace(valkey.server, port=1)).command("ping", "PING")
    assert away.value.reason == "ServerUnreachable"
    with pytest.raises(Invalid) as refused:
        CacheConnection(replace(valkey.server, ca="no certificate")).command("ping", "PING")
    assert refused.value.reason == "CertificateInvalid"


def _system(server: CacheServer) -> CacheServer:
    return replace(server, ca=None)
