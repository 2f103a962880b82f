"""Builds a new index on months that have rows: one by one, outside any transaction, while applications write (M11)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.databases import DatabaseRoles

UNBUILT = "an index is still to be built on some months: nights take longer until it is there"
BUDGET = 20.0
"""Seconds in which one look begins builds; the next look goes on."""
REST = 3600.0
"""Seconds before a database in which a build failed is tried again: each try reads a whole month."""
_BUILD = ("2min", "1min")
"""Timeouts of a statement and of a lock. A build waits for older transactions to end; nobody else waits for it."""
_ATTACH = ("2min", "500ms")
"""Everybody who reads the month waits behind this one."""


class IndexBuilds:
    """Knows where a build failed lately; shared by threads. ``elapsed``: seconds of a monotonic clock."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._rests_until: dict[str, float] = {}

    def build(self, connection: psycopg.Connection[Any], roles: DatabaseRoles) -> str | None:
        """What to say of indexes that are not there yet, and what stood in the way; None: all are there. Never raises
        psycopg.Error: without an index everything goes on, only slower, and what deletes must go on.

        ``connection``: in autocommit mode, as the operator's administrator, for nothing else afterwards. A kill leaves an index
        that is unfinished, or not attached yet: the next call removes or attaches it.
        """
        begun = self._elapsed()
        try:
            connection.execute(statement("calls", "act_as_owner").format(owner=sql.Identifier(roles.owner)))
            for index, column, month, name, state, busy in connection.execute(
                statement("calls", "indexes_to_build")
            ).fetchall():
                now = self._elapsed()
                # A month that is being built cannot be emptied or dropped: not beside a run.
                if busy or now - begun > BUDGET or now < self._rests_until.get(roles.owner, now):
                    return UNBUILT
                names = {"index": index, "column": column, "month": month, "name": name}
                _build(connection, {key: sql.Identifier(value) for key, value in names.items()}, state)
        except psycopg.Error as error:
            self._rests_until[roles.owner] = self._elapsed() + REST
            return f"{UNBUILT} ({type(error).__name__}); see docs/existing-servers.md"
        return None


def _build(connection: psycopg.Connection[Any], names: dict[str, sql.Identifier], state: str) -> None:
    """Each statement commits by itself; they cannot stand in a transaction."""
    connection.execute(statement("calls", "settle_builder"), _BUILD)
    if state == "Broken":
        connection.execute(statement("calls", "drop_broken_index").format(**names))
    if state != "Apart":
        connection.execute(statement("calls", "build_index").format(**names))
    connection.execute(statement("calls", "settle_builder"), _ATTACH)
    connection.execute(statement("calls", "attach_index").format(**names))
