"""Reading a database for a backup: one view of all tables, and no lock that outlasts the reading of one partition.

Not pg_dump: its locks stay until its end and would keep the night's DETACH waiting. Here one session only keeps the view, and
another one reads each partition in a transaction of its own that takes this view over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql

from tenant_retention.adapters.postgres.failures import translated
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.definition import TableDefinition
from tenant_retention.domain.errors import NotReady, Unavailable
from tenant_retention.domain.ports.backups import Part

_BLOCK = 1 << 18


class PostgresBackupSource:
    """Implements ``BackupSource``. ``connect`` opens a session of a backup login; two are open at once."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._keeper: psycopg.Connection[Any] | None = None
        self._reader: psycopg.Connection[Any] | None = None
        self._view = ""

    def begin(self) -> None:
        """See ``BackupSource.begin``."""
        self.close()
        with translated():
            self._keeper, self._reader = self._open(), self._open()
            self._keeper.execute(_named("begin"))
            row = self._keeper.execute(_named("fix_view")).fetchone()
        assert row is not None
        self._view = str(row[0])

    def parts(self, tables: Sequence[TableDefinition]) -> tuple[Part, ...]:
        """See ``BackupSource.parts``."""
        by_name = {table.name: table for table in tables}
        with translated():
            # In the view itself: a month that is replaced right after it is noticed when it is read.
            rows = self._kept().execute(_named("parts"), ([*by_name],)).fetchall()
        missing = sorted(set(by_name) - {row[0] for row in rows})
        if missing:
            raise NotReady(
                f"table {missing[0]} is not in the database yet; wait for the operator, or run tenant-retention install",
                reason="Provisioning",
            )
        return tuple(
            Part(by_name[name], born_from, born_to, relation, rest)
            for name, relation, rest, born_from, born_to in rows
            if relation is not None
        )

    def rows(self, part: Part, columns: Sequence[str]) -> Iterator[bytes]:
        """See ``BackupSource.rows``."""
        query = _named("copy_rest" if part.rest else "copy_part").format(
            columns=_listed(columns),
            table=sql.Identifier(part.table.name),
            born_at=sql.Identifier(part.table.born_at),
            born_from=sql.Literal(part.born_from),
            born_to=sql.Literal(part.born_to),
            relation=sql.Literal(part.relation),
        )
        return self._copy(query, part)

    def holds(self, columns: Sequence[str]) -> Iterator[bytes]:
        """See ``BackupSource.holds``."""
        return self._copy(_named("copy_holds").format(columns=_listed(columns)), None)

    def record(self, complete: Sequence[str], present: Sequence[str]) -> None:
        """See ``BackupSource.record``."""
        with translated(), closing(self._open()) as session:
            session.execute(_named("record_backups"), (list(complete), list(present)))

    def archive_files(self, columns: Sequence[str]) -> Iterator[bytes]:
        """See ``BackupSource.archive_files``."""
        return self._copy(_named("copy_archive_files").format(columns=_listed(columns)), None)

    def close(self) -> None:
        """See ``BackupSource.close``."""
        for session in (self._reader, self._keeper):
            if session is not None:
                session.close()
        self._reader = self._keeper = None

    def _copy(self, query: sql.Composed, part: Part | None) -> Iterator[bytes]:
        reader = self._session()
        with translated():
            reader.execute(_named("begin"))
            try:
                reader.execute(_named("take_view").format(snapshot=sql.Literal(self._view)))
                with reader.cursor() as cursor, cursor.copy(query) as copy:
                    yield from _blocks(copy)
                if part is not None and not self._is_there(reader, part):
                    raise Unavailable(
                        f"a month of {part.table.name} was replaced or dropped while the backup was read; it begins again",
                        reason="MonthChanged",
                    )
                reader.execute(_named("commit"))
            except BaseException:
                # A kill or the end of the generator, too: a session in the middle of a COPY answers nothing else any more.
                if not reader.closed:
                    reader.close()
                    self._reader = None
                raise

    def _is_there(self, reader: psycopg.Connection[Any], part: Part) -> bool:
        """Whether the partition that the view knows is the one that was read. Asked while the locks are still held, and of the
        catalogue as it is now: an ordinary query would see it as the view does."""
        found = reader.execute(_named("is_there"), (part.table.name, part.relation)).fetchone()
        return found is not None

    def _kept(self) -> psycopg.Connection[Any]:
        if self._keeper is None or self._keeper.closed:
            raise Unavailable("the view of the backup is gone; it begins again", reason="ServerUnreachable")
        return self._keeper

    def _session(self) -> psycopg.Connection[Any]:
        if self._reader is None or self._reader.closed:
            self._reader = self._open()
        return self._reader

    def _open(self) -> psycopg.Connection[Any]:
        connection = self._connect()
        connection.execute(_named("settle"))
        return connection


def _blocks(copy: psycopg.Copy) -> Iterator[bytes]:
    """Rows come one by one; a block of many costs the compressor one call."""
    buffer = bytearray()
    for row in copy:
        buffer += row
        if len(buffer) >= _BLOCK:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _named(name: str) -> sql.SQL:
    return statement("backup", name)


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)
