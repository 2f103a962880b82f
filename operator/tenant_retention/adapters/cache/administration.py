"""The administrator's side of a cache server: looks at users, and carries single steps out. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tenant_retention.adapters.cache.connection import CacheConnection
from tenant_retention.domain.cache_readiness import OLDEST_CACHE_SERVER
from tenant_retention.domain.caches import (
    CacheStep,
    CacheUser,
    ObservedCache,
    RemoveUser,
    SetUser,
    WantedCache,
    facts_of,
    marker_in,
)
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.store_marker import StoreMarker

_SETTINGS = ("maxmemory-policy", "appendonly", "save", "port")


class RealCacheAdministration:
    """See ``CacheAdministration``. Needs ACL, INFO and CLIENT KILL, and CONFIG GET where it may."""

    def __init__(self, connection: CacheConnection) -> None:
        self._connection = connection

    def check(self) -> tuple[str, ...]:
        """See ``CacheAdministration.check``."""
        facts = _fields(self._text("look at the server", "INFO", "server"))
        version = facts.get("redis_version", "0")
        if int(version.split(".")[0]) < OLDEST_CACHE_SERVER:
            raise Invalid(
                f"the server speaks the protocol of Redis {version}; {OLDEST_CACHE_SERVER} or later is needed",
                reason="ServerTooOld",
            )
        if facts.get("redis_mode", facts.get("server_mode")) not in ("standalone", "sentinel"):
            raise Invalid("cluster mode is not supported: name a server that is none", reason="ClassInvalid")
        self._connection.command("list users", "ACL", "USERS")
        return facts_of(self.settings(*_SETTINGS))

    def observe(self, wanted: WantedCache) -> ObservedCache:
        """See ``CacheAdministration.observe``."""
        names = [_decoded(name) for name in self._connection.command("list users", "ACL", "USERS")]
        users = {name: user for name in names if (user := self._user(name)) is not None}
        markers: dict[str, StoreMarker] = {}
        for name, user in users.items():
            if (marker := marker_in(user)) is not None:
                markers[name] = marker
        default = users.get("default")
        open_default = default is not None and {"on", "nopass"} <= default.flags
        return ObservedCache({name: users[name] for name in wanted.users() if name in users}, markers, open_default)

    def apply(self, step: CacheStep) -> None:
        """See ``CacheAdministration.apply``. Connections of before end: they would keep what they were allowed."""
        match step:
            case SetUser(username, user):
                self._connection.command(f"set user {username}", "ACL", "SETUSER", username, *user.rules())
                self._hang_up(username)
            case RemoveUser(username):
                self._connection.command(f"remove user {username}", "ACL", "DELUSER", username)

    def save(self) -> None:
        """See ``CacheAdministration.save``: the users' own file, else the server's settings file."""
        try:
            self._connection.command("save the users", "ACL", "SAVE")
        except Invalid as error:
            if error.reason != "SettingNotKept":
                raise
            self._rewrite()

    def _rewrite(self) -> None:
        try:
            self._connection.command("save the users", "CONFIG", "REWRITE")
        except Invalid:
            raise Invalid(
                "the server would forget its users when it restarts: give it an aclfile (setting aclfile), or a settings "
                "file that it may write",
                reason="SettingNotKept",
            ) from None

    def facts(self) -> dict[str, str]:
        """What INFO tells, and the settings that decide whether there are snapshots, where they may be read."""
        return {**_fields(self._text("look at the server", "INFO")), **self.settings("save")}

    def settings(self, *names: str) -> dict[str, str]:
        """Those that may be read."""
        found: dict[str, str] = {}
        try:
            for name in names:
                answer = self._connection.command("read a setting", "CONFIG", "GET", name)
                found |= _pairs(answer)
        except RetentionError as error:
            if error.reason not in ("PrivilegesMissing", "SettingNotKept"):
                raise
        return found

    def _hang_up(self, username: str) -> None:
        # SETUSER binds connections that are there too, except to what a new password or "off" would refuse at their start.
        self._connection.command(f"end the connections of {username}", "CLIENT", "KILL", "USER", username)

    def _user(self, name: str) -> CacheUser | None:
        answer = self._connection.command(f"look at user {name}", "ACL", "GETUSER", name)
        return _user(answer) if answer else None

    def _text(self, task: str, *words: str) -> Any:
        return self._connection.command(task, *words)


def _user(answer: Any) -> CacheUser:
    told = {_decoded(key): value for key, value in (answer.items() if isinstance(answer, dict) else _paired(answer))}
    return CacheUser(
        flags=frozenset(_words(told.get("flags"))),
        passwords=frozenset(_words(told.get("passwords"))),
        commands=(*_words(told.get("categories")), *_words(told.get("commands"))),
        keys=tuple(_words(told.get("keys"))),
        channels=tuple(_words(told.get("channels"))),
        selectors=bool(told.get("selectors")),
    )


def _paired(answer: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    items = list(answer)
    return zip(items[::2], items[1::2], strict=True)


def _words(value: Any) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [_decoded(each) for each in value]
    return _decoded(value).split() if value else []


def _pairs(answer: Any) -> dict[str, str]:
    pairs = answer.items() if isinstance(answer, dict) else _paired(answer)
    return {_decoded(key): _decoded(value) for key, value in pairs}


def _fields(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):
        return {str(key): _field(value) for key, value in answer.items()}
    lines = _decoded(answer).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _field(value: Any) -> str:
    """As the server wrote it: ``ip=10.0.0.2,state=online`` was taken apart by the library."""
    return ",".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def _decoded(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
