"""Few connections at once: a policy may have hundreds of databases, and a server's connections are for its applications (D4)."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import psycopg

from tenant_retention.adapters.postgres.statements import statement

MOST_CONNECTIONS = 16
"""Open at once by one run. Whoever needs another one takes the place of the one that was opened longest ago."""
_LOOKS = 50
_BETWEEN_LOOKS = 0.1


class FewConnections:
    """Counts the connections of one run. One that gave way or was lost is opened anew by its next call: a run is in tables, not
    in a session, and goes on in the next session of the same login. ``pause``: waits that many seconds. Two threads may open:
    a month is copied by two sessions side by side."""

    def __init__(self, most: int = MOST_CONNECTIONS, pause: Callable[[float], None] = time.sleep) -> None:
        self._most = most
        self._pause = pause
        self._open: dict[str, psycopg.Connection[Any]] = {}
        self._before: dict[str, int] = {}
        self._one_opens = Lock()

    def opening(
        self, name: str, connect: Callable[[], psycopg.Connection[Any]], beside: str | None = None
    ) -> psycopg.Connection[Any]:
        """Opens the connection of this name; the oldest one closes where there are too many. ``beside``: the name of the
        one that works at the same time, and so never gives way to this one."""
        with self._one_opens:
            self._open = {each: found for each, found in self._open.items() if each != name and not found.closed}
            others = [each for each in self._open if each != beside]
            for oldest in others[: max(len(self._open) + 1 - self._most, 0)]:
                self._open.pop(oldest).close()
            connection = connect()
            self._open[name] = connection
            self._wait_for_end(connection, self._before.get(name))
            self._before[name] = connection.info.backend_pid
            return connection

    def _wait_for_end(self, connection: psycopg.Connection[Any], pid: int | None) -> None:
        """Until the server has noticed that the session before gave way, or was cut off: until then the run looks like another
        session's. One that the server goes on believing in, since the network lost it without a word, is ended: what it was in is
        one transaction, which the next call repeats."""
        if pid is None or self._ended(connection, pid):
            return
        connection.execute(statement("calls", "end_session"), (pid,))
        self._ended(connection, pid)

    def _ended(self, connection: psycopg.Connection[Any], pid: int) -> bool:
        for _ in range(_LOOKS):
            if connection.execute(statement("calls", "lives"), (pid,)).fetchone() is None:
                return True
            self._pause(_BETWEEN_LOOKS)
        return False
