"""``EnforcementCache`` on a real server, by the enforcer's login."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenant_retention.adapters.cache.connection import CacheConnection
from tenant_retention.domain.ports.caches import CachedKey, KeyPage

_FOR_EVER = -1
_GONE = -2
_SPECIAL = b"\\*?[]^-"


class RealEnforcementCache:
    """See ``EnforcementCache``. ``prefix``: of the binding; nothing outside it is returned, whatever the server answers."""

    def __init__(self, connection: CacheConnection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix.encode()

    @property
    def prefix(self) -> bytes:
        """See ``EnforcementCache.prefix``."""
        return self._prefix

    def keys(self, cursor: int, count: int) -> KeyPage:
        """See ``EnforcementCache.keys``: two round trips."""
        pattern = _literal(self._prefix) + b"*"
        next_cursor, found = self._connection.command(
            "look through the keys", "SCAN", cursor, "MATCH", pattern, "COUNT", count
        )
        names = [name for name in dict.fromkeys(found) if name.startswith(self._prefix)]
        lives = self._each("read times to live", "PTTL", names)
        keys = tuple(
            CachedKey(name, None if life == _FOR_EVER else life)
            for name, life in zip(names, lives, strict=True)
            if life != _GONE
        )
        return KeyPage(keys, int(next_cursor))

    def limit_life(self, lives: Mapping[bytes, int]) -> int:
        """See ``EnforcementCache.limit_life``: LT, to which a key without a time to live lives for ever."""
        told = lives.items()
        return sum(self._all("give keys a time to live", [("PEXPIRE", key, max(life, 1), "LT") for key, life in told]))

    def keep(self, keys: Sequence[bytes]) -> int:
        """See ``EnforcementCache.keep``."""
        return sum(self._each("take times to live away", "PERSIST", keys))

    def remove(self, keys: Sequence[bytes]) -> int:
        """See ``EnforcementCache.remove``."""
        return sum(self._each("remove keys", "UNLINK", keys))

    def _each(self, task: str, command: str, keys: Sequence[bytes]) -> list[int]:
        return self._all(task, [(command, key) for key in keys])

    def _all(self, task: str, commands: list[tuple[str | bytes | int, ...]]) -> list[int]:
        return [int(answer) for answer in self._connection.commands(task, commands)] if commands else []


def _literal(text: bytes) -> bytes:
    """``text`` as a pattern that matches nothing else."""
    return b"".join(b"\\" + bytes([byte]) if byte in _SPECIAL else bytes([byte]) for byte in text)
