"""What the operator and the nightly run need of a Redis-compatible cache; both sides pass the same contract tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tenant_retention.domain.caches import CacheRole, CacheStep, ObservedCache, WantedCache, want_cache
from tenant_retention.domain.names import StoreIdentity


@dataclass(frozen=True)
class CacheServer:
    """A cache server and the operator's administrator there, or one login. ``ca``: PEM, None: the system's own authorities."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    ca: str | None = None


@dataclass(frozen=True)
class CacheRequest:
    """A cache as it must be. ``passwords``: of the logins by role, kept by the operator; ``confirmed_uids``: as for databases."""

    server: CacheServer
    identity: StoreIdentity
    namespace_uid: str
    policy_uid: str
    passwords: Mapping[CacheRole, str] = field(repr=False)
    confirmed_uids: frozenset[str] = frozenset()

    def wanted(self) -> WantedCache:
        """What the server is to have."""
        return want_cache(
            self.identity,
            self.namespace_uid,
            self.passwords,
            policy_uid=self.policy_uid,
            confirmed_uids=self.confirmed_uids,
        )


@dataclass(frozen=True)
class CachedKey:
    """One key of the tenant: its whole name, any bytes; how long it still lives, None: it has no time to live."""

    name: bytes = field(repr=False)
    milliseconds: int | None


@dataclass(frozen=True)
class KeyPage:
    """Some keys, and where to go on; ``cursor`` 0: that was all."""

    keys: tuple[CachedKey, ...]
    cursor: int


class CacheAdministration(Protocol):
    """A server as its administrator sees it. Every method may raise Unavailable (ServerUnreachable, Unavailable) and Invalid
    (CertificateInvalid, AuthenticationFailed, PrivilegesMissing, ServerTooOld, SettingNotKept)."""

    def check(self) -> tuple[str, ...]:
        """One look: version, mode, privileges (D6, D7); warnings. Raises Invalid (ClassInvalid) for a cluster."""

    def observe(self, wanted: WantedCache) -> ObservedCache:
        """Everything ``plan_cache`` looks at."""

    def apply(self, step: CacheStep) -> None:
        """Carries one step out; repeating it is harmless."""

    def save(self) -> None:
        """Makes the users outlive a restart. Raises Invalid (SettingNotKept) where the server keeps them in memory only."""


class EnforcementCache(Protocol):
    """A tenant's cache as the enforcer's login sees it: names and times to live, never a value; only keys of its prefix.

    Raises Unavailable, or Invalid as ``CacheAdministration``. Every call may be repeated.
    """

    @property
    def prefix(self) -> bytes:
        """What every key of the tenant begins with."""

    def keys(self, cursor: int, count: int) -> KeyPage:
        """About ``count`` keys of the server, those of the prefix returned. Begin with cursor 0: a key that is there all
        the time comes at least once, a new one may, and some twice."""

    def limit_life(self, lives: Mapping[bytes, int]) -> int:
        """Gives each key at most so many milliseconds to live; one that ends sooner stays so. How many were changed."""

    def keep(self, keys: Sequence[bytes]) -> int:
        """Takes the time to live away: what is held ends by nobody. How many had one."""

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes keys; how many were there."""
