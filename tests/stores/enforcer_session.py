"""A session of the enforcer login that is over for the server too once it is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tests.support.waiting import eventually


class EnforcerSession(PostgresEnforcementDatabase):
    """The product's adapter; ``close`` returns when the server knows of it too: until then its run is one in progress.

    ``login`` opens a session of the enforcer's, ``onlooker`` one that sees all sessions.
    """

    def __init__(
        self, login: Callable[[], psycopg.Connection[Any]], onlooker: Callable[[], psycopg.Connection[Any]]
    ) -> None:
        self._pid: int | None = None
        self._login, self._onlooker = login, onlooker
        super().__init__(self._open)

    def _open(self) -> psycopg.Connection[Any]:
        connection = self._login()
        self._pid = connection.info.backend_pid
        return connection

    def close(self) -> None:
        """Hangs up and waits until the session is gone."""
        super().close()
        if self._pid is not None:
            wait_for_end(self._onlooker, self._pid)
            self._pid = None


def wait_for_end(onlooker: Callable[[], psycopg.Connection[Any]], pid: int) -> None:
    """Until the server has noticed that a client hung up."""
    living = "SELECT FROM pg_stat_activity WHERE pid = %s"
    with onlooker() as connection:
        eventually(lambda: not connection.execute(living, (pid,)).fetchall(), f"session {pid} ends")
