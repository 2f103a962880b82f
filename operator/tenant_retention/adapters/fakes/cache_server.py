"""In-memory twin of a cache server: users with their marker, and keys with a time to live; no commands, no values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tenant_retention.domain.caches import (
    CacheStep,
    CacheUser,
    ObservedCache,
    RemoveUser,
    SetUser,
    WantedCache,
    marker_in,
)
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.ports.caches import CachedKey, KeyPage


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class FakeCacheServer:
    """The server's side. ``lives``: when each key ends in milliseconds of ``now``, None: never. ``saved``: users on disk;
    ``places``: where looks through the keys go on, by cursor."""

    now: Callable[[], datetime] = _utc_now
    users: dict[str, CacheUser] = field(default_factory=dict)
    saved: dict[str, CacheUser] = field(default_factory=dict)
    lives: dict[bytes, int | None] = field(default_factory=dict)
    places: list[bytes] = field(default_factory=list)
    open_default: bool = False
    away: bool = False

    def milliseconds(self) -> int:
        """The server's clock; raises Unavailable while it is away."""
        if self.away:
            raise Unavailable("the server cannot be reached", reason="ServerUnreachable")
        return int(self.now().timestamp() * 1000)

    def living(self) -> dict[bytes, int | None]:
        """Every key that has not ended, with how long it still lives."""
        now = self.milliseconds()
        self.lives = {name: end for name, end in self.lives.items() if end is None or end > now}
        return {name: None if end is None else end - now for name, end in self.lives.items()}


class FakeCacheAdministration:
    """Implements ``CacheAdministration``."""

    def __init__(self, server: FakeCacheServer) -> None:
        self._server = server

    def check(self) -> tuple[str, ...]:
        self._server.milliseconds()
        return ()

    def observe(self, wanted: WantedCache) -> ObservedCache:
        self._server.milliseconds()
        users = self._server.users
        found = {name: marker for name, user in users.items() if (marker := marker_in(user)) is not None}
        return ObservedCache(
            {name: users[name] for name in wanted.users() if name in users}, found, self._server.open_default
        )

    def apply(self, step: CacheStep) -> None:
        self._server.milliseconds()
        match step:
            case SetUser(username, user):
                self._server.users[username] = user
            case RemoveUser(username):
                self._server.users.pop(username, None)

    def save(self) -> None:
        self._server.milliseconds()
        self._server.saved = dict(self._server.users)


class FakeEnforcementCache:
    """Implements ``EnforcementCache`` for a login of the server."""

    def __init__(self, server: FakeCacheServer, user: str, password: str, prefix: str) -> None:
        self._server = server
        self._login = user, hashlib.sha256(password.encode()).hexdigest()
        self._prefix = prefix.encode()

    @property
    def prefix(self) -> bytes:
        return self._prefix

    def keys(self, cursor: int, count: int) -> KeyPage:
        self._allowed(())
        lives, places = self._server.living(), self._server.places
        # By name, so that a key that goes meanwhile hides no other one.
        rest = sorted(name for name in lives if not cursor or name > places[cursor - 1])
        page = rest[:count]
        keys = tuple(CachedKey(name, lives[name]) for name in page if name.startswith(self._prefix))
        if len(page) == len(rest):
            return KeyPage(keys, 0)
        places.append(page[-1])
        return KeyPage(keys, len(places))

    def limit_life(self, lives: Mapping[bytes, int]) -> int:
        self._allowed(tuple(lives))
        living, changed = self._server.living(), 0
        for name, milliseconds in lives.items():
            if name in living and ((life := living[name]) is None or life > milliseconds):
                self._server.lives[name] = self._server.milliseconds() + milliseconds
                changed += 1
        return changed

    def keep(self, keys: Sequence[bytes]) -> int:
        self._allowed(keys)
        lives = self._server.living()
        ending = [name for name in keys if lives.get(name) is not None]
        self._server.lives.update(dict.fromkeys(ending))
        return len(ending)

    def remove(self, keys: Sequence[bytes]) -> int:
        self._allowed(keys)
        there = [name for name in keys if name in self._server.living()]
        for name in there:
            del self._server.lives[name]
        return len(there)

    def _allowed(self, keys: Sequence[bytes]) -> None:
        self._server.milliseconds()
        name, digest = self._login
        user = self._server.users.get(name)
        if user is None or digest not in user.passwords or "on" not in user.flags:
            raise Invalid("the server refuses user or password", reason="AuthenticationFailed")
        prefixes = [pattern.removeprefix("~").removesuffix("*").encode() for pattern in user.keys if pattern[:1] == "~"]
        if "+unlink" not in user.commands or not all(key.startswith(tuple(prefixes)) for key in keys):
            raise Invalid("the user lacks the privilege", reason="PrivilegesMissing")
