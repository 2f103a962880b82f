"""A tenant's part of a Redis-compatible cache: a prefix of its own, a user a role, and how another tenant is kept out (D1, X2).

A server serves one namespace: SCAN knows no key patterns, so whoever may look through a prefix sees the name of every key of
the server. Several policies of the namespace share it by prefix.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tenant_retention.domain.errors import Invalid, StoreReleased
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.store_marker import StoreMarker

_MARKER = "tenant-retention:"
"""Begins the one channel pattern of a store's owner, a user that is off: the marker outlives every key and is saved with the users."""


class CacheRole(StrEnum):
    """Who has a login: the application, readers, and the nightly run."""

    APP = "app"
    READER = "reader"
    ENFORCER = "enforcer"


_NOT_BOUND_BY_KEYS = ("-scan", "-keys", "-randomkey", "-dbsize", "-select", "-move", "-copy", "-swapdb", "-pubsub")
"""Commands that tell of, or reach, keys outside the prefix, and other databases of the server, which no run looks through."""
# CLIENT TRACKING in broadcasting mode tells the names of everybody's keys.
_OWN_CLIENT = ("-client", "+client|setname", "+client|getname", "+client|setinfo", "+client|id", "+client|info")
_NEVER = ("-@dangerous", "-@admin", "-@scripting", *_NOT_BOUND_BY_KEYS, *_OWN_CLIENT)
_CHANNELS = ("+publish", "+subscribe", "+psubscribe", "+unsubscribe", "+punsubscribe")
_COMMANDS: Mapping[CacheRole, tuple[str, ...]] = {
    CacheRole.APP: ("-@all", "+@read", "+@write", "+@transaction", "+@connection", *_CHANNELS, *_NEVER),
    CacheRole.READER: ("-@all", "+@read", "+@connection", *_NEVER),
    # It reads no value.
    CacheRole.ENFORCER: ("-@all", "+scan", "+pttl", "+pexpire", "+persist", "+unlink", "+ping"),
}


@dataclass(frozen=True)
class CacheUser:
    """A user as the server tells of it. ``passwords``: SHA-256 in hexadecimal; ``flags``: ``on`` or ``off`` and others."""

    flags: frozenset[str]
    passwords: frozenset[str] = field(repr=False)
    commands: tuple[str, ...]
    keys: tuple[str, ...]
    channels: tuple[str, ...]
    selectors: bool = False

    def rules(self) -> tuple[str, ...]:
        """What ACL SETUSER is given after the name: everything from before is forgotten."""
        state = "on" if "on" in self.flags else "off"
        passwords = ["nopass"] if "nopass" in self.flags else sorted(f"#{digest}" for digest in self.passwords)
        return ("reset", state, *passwords, *self.keys, "resetchannels", *self.channels, *self.commands)

    def is_like(self, other: CacheUser) -> bool:
        """True if both may log in and do the same; a flag that opens a user is never overlooked."""
        open_ = {"on", "off", "nopass", "allkeys", "allchannels", "allcommands"}
        mine = (self.flags & open_, self.passwords, self.commands, self.keys, self.channels, self.selectors)
        theirs = (other.flags & open_, other.passwords, other.commands, other.keys, other.channels, other.selectors)
        return mine == theirs


@dataclass(frozen=True)
class WantedCache:
    """A cache as it must be. ``name``: of the store; ``passwords``: by role, kept by the operator."""

    name: str
    marker: StoreMarker
    passwords: Mapping[CacheRole, str] = field(repr=False)
    confirmed_uids: frozenset[str] = frozenset()

    @property
    def prefix(self) -> str:
        """What every key of the tenant begins with. A name has no colon and ends in a digest: no prefix begins another one."""
        return f"{self.name}:"

    @property
    def owner(self) -> str:
        """The user that carries the marker; nobody can log in as it."""
        return f"{self.name}-owner"

    def username(self, role: CacheRole) -> str:
        """The login of a role."""
        return f"{self.name}-{role}"

    def users(self) -> dict[str, CacheUser]:
        """Every user by name, the owner first."""
        marked = f"&{_MARKER}{urlsafe_b64encode(self.marker.to_json().encode()).decode()}"
        users = {self.owner: CacheUser(frozenset({"off"}), frozenset(), ("-@all",), (), (marked,))}
        for role in CacheRole:
            digest = hashlib.sha256(self.passwords[role].encode()).hexdigest()
            keys = f"%R~{self.prefix}*" if role is CacheRole.READER else f"~{self.prefix}*"
            channels = (f"&{self.prefix}*",) if role is CacheRole.APP else ()
            user = CacheUser(frozenset({"on"}), frozenset({digest}), _COMMANDS[role], (keys,), channels)
            users[self.username(role)] = user
        return users


@dataclass(frozen=True)
class ObservedCache:
    """``users``: those of the wanted names that exist; ``markers``: of all stores of the server, by the owner's name;
    ``open_default``: whether somebody without a password is let in."""

    users: Mapping[str, CacheUser]
    markers: Mapping[str, StoreMarker]
    open_default: bool


@dataclass(frozen=True)
class SetUser:
    """Makes a user so, whatever it was."""

    username: str
    user: CacheUser

    def describe(self) -> str:
        """One line for people, without a password's digest."""
        return f"user {self.username} put right"


@dataclass(frozen=True)
class RemoveUser:
    """Ends a user and its connections."""

    username: str

    def describe(self) -> str:
        """One line for people."""
        return f"user {self.username} removed"


CacheStep = SetUser | RemoveUser


def want_cache(
    identity: StoreIdentity,
    namespace_uid: str,
    passwords: Mapping[CacheRole, str],
    *,
    policy_uid: str = "",
    confirmed_uids: frozenset[str] = frozenset(),
) -> WantedCache:
    """The cache of a store."""
    marker = StoreMarker.of(identity, namespace_uid, policy_uid)
    return WantedCache(identity.cache(), marker, passwords, confirmed_uids)


def marker_in(user: CacheUser) -> StoreMarker | None:
    """The marker that a user carries; None for everybody else's users."""
    for channel in user.channels:
        if channel.startswith(f"&{_MARKER}"):
            try:
                text = urlsafe_b64decode(channel.removeprefix(f"&{_MARKER}")).decode()
            except ValueError:
                return None
            return StoreMarker.from_json(text)
    return None


def plan_cache(wanted: WantedCache, observed: ObservedCache) -> tuple[CacheStep, ...]:
    """The steps from what is there to what is wanted, the marker first; empty when nothing is to be done.

    Raises Invalid (StoreConflict, StoreReleased, PrivilegesMissing) if the server is not ours: then nothing is touched.
    """
    if observed.open_default:
        raise Invalid(
            "the server lets everybody in without a password (user default): nothing separates tenants; "
            "turn it off: ACL SETUSER default off",
            reason="IsolationBroken",
        )
    require_own_server(wanted, observed)
    here = observed.markers.get(wanted.owner)
    if here is not None and here != wanted.marker:
        _require_bearer(wanted, here)
    there = observed.users
    return tuple(
        SetUser(name, user)
        for name, user in wanted.users().items()
        if name not in there or not there[name].is_like(user)
    )


def require_own_server(wanted: WantedCache, observed: ObservedCache) -> None:
    """Raises Invalid (StoreConflict) where the server has a cache of another namespace or installation."""
    for marker in observed.markers.values():
        if (marker.installation, marker.namespace) != (wanted.marker.installation, wanted.marker.namespace):
            raise Invalid(
                f"the server already serves namespace {marker.namespace}, and a cache server serves one namespace: its runs "
                "see the name of every key; give each namespace a server, and its class allowedNamespaces for it",
                reason="StoreConflict",
            )


def _require_bearer(wanted: WantedCache, here: StoreMarker) -> None:
    if not wanted.marker.names_the_store_of(here):
        raise Invalid(
            f"user {wanted.owner} carries another store's marker, so nothing is touched; remove it, or choose another class",
            reason="StoreConflict",
        )
    before = here.bearer()
    if before.is_of_before(wanted.marker.bearer(), wanted.confirmed_uids):
        raise StoreReleased(
            f"cache {wanted.name} belongs to an earlier policy or namespace of this name; an administrator binds it again "
            "by spec.claimRef",
            before.namespace_uid,
            before.policy_uid,
        )


def facts_of(settings: Mapping[str, str]) -> tuple[str, ...]:
    """What the customer should know of a server's settings (D6): warnings, no figure that moves by itself."""
    warnings = []
    eviction = settings.get("maxmemory-policy", "noeviction")
    if eviction != "noeviction":
        warnings.append(
            f"maxmemory-policy is {eviction}: keys may be lost when memory is full; where the cache has the only copy set "
            "noeviction"
        )
    if settings.get("appendonly", "yes") == "no" and not settings.get("save", ""):
        warnings.append("neither appendonly nor save is set: every key is lost when the server restarts")
    if settings.get("port", "0") != "0":
        warnings.append(f"the server listens without TLS at port {settings['port']} as well: set port to 0")
    return tuple(warnings)
