"""Measures a database as its administrator, who is no superuser: latency, clock, sessions, size, standbys (D6, D7)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from tenant_retention.adapters.postgres.connections import connect, errors_of
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.adapters.postgres.survey import FOLDER, rows
from tenant_retention.domain.readiness import StoreReadings
from tenant_retention.domain.servers import ServerAccess

APPLICATION_NAME = "tenant-retention measurement"
_ROUND_TRIPS = 5
_TAKES_NO_WRITES = (
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.DiskFull,
    psycopg.errors.IoError,
    psycopg.errors.InsufficientPrivilege,
)
"""What a server answers that stores nothing; whatever else goes wrong is no word on that."""


def measure_database(
    server: ServerAccess, owner: str, now: Callable[[], datetime], *, whole_server: bool
) -> StoreReadings:
    """One look, by one connection. ``whole_server``: the size of all its databases that may be seen, for a server that
    has a volume to itself. ``owner``: the role that owns the database; as it a row is stored and released. Raises
    Unavailable or Invalid."""
    with errors_of(server), connect(server, application_name=APPLICATION_NAME) as connection:
        trips = []
        for _ in range(_ROUND_TRIPS):
            began = time.perf_counter()
            rows(connection, "round_trip")
            trips.append(time.perf_counter() - began)
        before = now()
        ((there,),) = rows(connection, "server_time")
        skew = _apart(before, there, now())
        ((version, read_only, sessions, usable, size),) = rows(connection, "measure", whole=whole_server)
        ((standbys, visible, lag, written, replayed),) = rows(connection, "standbys")
        read_only = read_only or not _stores_and_releases(connection, owner)
    return StoreReadings(
        latency=timedelta(seconds=statistics.median(trips)),
        clock_skew=skew,
        version=version,
        sessions=sessions,
        usable_sessions=usable,
        size=int(size),
        standbys=standbys,
        replication_lag=timedelta(seconds=float(lag)) if visible == standbys else None,
        written=written,
        replayed=replayed if visible == standbys else None,
        read_only=read_only,
    )


def _apart(before: datetime, there: datetime, after: datetime) -> timedelta:
    """How far the clocks are apart at least: the time of the question itself proves nothing."""
    return max(before - there, there - after, timedelta())


def _stores_and_releases(connection: psycopg.Connection[Any], owner: str) -> bool:
    """Whether a committed row can be stored and taken away again: a full disk is seen by day, not first at night (D7)."""
    try:
        with connection.transaction():
            connection.execute(statement("calls", "become_owner").format(owner=sql.Identifier(owner)))
            rows(connection, "write_locally")
            connection.execute(statement(FOLDER, "store_one_row"))
        with connection.transaction():
            connection.execute(statement("calls", "become_owner").format(owner=sql.Identifier(owner)))
            rows(connection, "write_locally")
            connection.execute(statement(FOLDER, "release_one_row"))
    except _TAKES_NO_WRITES:
        return False
    return True
