"""One bench for the contract tests of caches: the same acts on a real Valkey and on its twin in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Protocol

from tenant_retention.adapters.cache.administration import RealCacheAdministration
from tenant_retention.adapters.cache.enforcement import RealEnforcementCache
from tenant_retention.adapters.fakes.cache_server import (
    FakeCacheAdministration,
    FakeCacheServer,
    FakeEnforcementCache,
)
from tenant_retention.domain.caches import CacheRole, CacheUser, WantedCache, want_cache
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.caches import CacheAdministration, EnforcementCache
from tests.stores.servers.valkey import ValkeyProcess

PASSWORDS = {role: f"password-of-{role}" for role in CacheRole}


def cache_of(policy: str, namespace: str = "customer-acme", uid: str = "n1", policy_uid: str = "p1") -> WantedCache:
    """A tenant's cache."""
    identity = StoreIdentity("test", namespace, policy, "Cache")
    return want_cache(identity, uid, PASSWORDS, policy_uid=policy_uid)


class CacheSite(Protocol):
    """A server with its administration, and what others do there."""

    @property
    def administration(self) -> CacheAdministration:
        """What the operator uses."""

    def enforcer(self, cache: WantedCache, password: str = PASSWORDS[CacheRole.ENFORCER]) -> EnforcementCache:
        """The nightly run's login."""

    def write(self, name: bytes, milliseconds: int | None = None) -> None:
        """Somebody writes a key."""

    def living(self) -> dict[bytes, int | None]:
        """Every key of the server, and how long it still lives."""

    def change_user(self, name: str, user: CacheUser) -> None:
        """Somebody changes a user by hand."""

    def open_default(self, opened: bool) -> None:
        """Somebody lets everybody in, or no longer."""

    def empty(self) -> None:
        """No user but the administrator, no key."""


class RealSite:
    """Valkey."""

    def __init__(self, process: ValkeyProcess, closing: ExitStack) -> None:
        self._process = process
        self._closing = closing
        self._client = closing.enter_context(process.client())

    @property
    def administration(self) -> CacheAdministration:
        return RealCacheAdministration(self._client)

    def enforcer(self, cache: WantedCache, password: str = PASSWORDS[CacheRole.ENFORCER]) -> EnforcementCache:
        connection = self._closing.enter_context(self._process.client(cache.username(CacheRole.ENFORCER), password))
        return RealEnforcementCache(connection, cache.prefix)

    def write(self, name: bytes, milliseconds: int | None = None) -> None:
        self._client.command(
            "write", "SET", name, secrets.token_hex(4), *(("PX", milliseconds) if milliseconds else ())
        )

    def living(self) -> dict[bytes, int | None]:
        names: list[bytes] = self._client.command("look", "KEYS", "*")
        lives = {name: int(self._client.command("look", "PTTL", name)) for name in names}
        return {name: None if life == -1 else life for name, life in lives.items()}

    def change_user(self, name: str, user: CacheUser) -> None:
        self._client.command("change", "ACL", "SETUSER", name, *user.rules())

    def open_default(self, opened: bool) -> None:
        rules = ("on", "nopass", "~*", "&*", "+@all") if opened else ("reset",)
        self._client.command("change", "ACL", "SETUSER", "default", *rules)

    def empty(self) -> None:
        self._client.command("empty", "FLUSHALL")
        self.open_default(False)
        for name in self._client.command("look", "ACL", "USERS"):
            if name not in (b"default", b"administrator", "default", "administrator"):
                self._client.command("empty", "ACL", "DELUSER", name)


class FakeSite:
    """The server in memory."""

    def __init__(self) -> None:
        self.server = FakeCacheServer()

    @property
    def administration(self) -> CacheAdministration:
        return FakeCacheAdministration(self.server)

    def enforcer(self, cache: WantedCache, password: str = PASSWORDS[CacheRole.ENFORCER]) -> EnforcementCache:
        return FakeEnforcementCache(self.server, cache.username(CacheRole.ENFORCER), password, cache.prefix)

    def write(self, name: bytes, milliseconds: int | None = None) -> None:
        self.server.lives[name] = self.server.milliseconds() + milliseconds if milliseconds else None

    def living(self) -> dict[bytes, int | None]:
        return self.server.living()

    def change_user(self, name: str, user: CacheUser) -> None:
        self.server.users[name] = user

    def open_default(self, opened: bool) -> None:
        self.server.open_default = opened

    def empty(self) -> None:
        self.server = FakeCacheServer()


@contextmanager
def real_site(process: ValkeyProcess) -> Iterator[RealSite]:
    """The real server, emptied."""
    with ExitStack() as closing:
        site = RealSite(process, closing)
        site.empty()
        yield site


def opened_to_everything(user: CacheUser) -> CacheUser:
    """What somebody in a hurry makes of a user."""
    return replace(user, keys=("~*",), commands=("+@all",))
