"""``FileArchivingDatabase`` on a real tenant database: one call of a function each, which decides by itself."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO, cast
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.failures import answer, translated
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.archive_files import FileManifest
from tenant_retention.domain.ports.archive_files import ArchivedFile, WrittenFile
from tenant_retention.domain.ports.archiving import ArchiveStep

_SPELLED = {"Integer": "int4", "BigInteger": "int8", "Boolean": "bool", "Timestamp": "int8", "Date": "int4"}
"""How PostgreSQL calls the types of cells on their way; text for all others."""
_DIGEST = ("digest low", "digest high")


class PostgresArchiveFiles(ABC):
    """See ``FileArchivingDatabase``; ``_call`` is one function in one transaction."""

    def name_archive_file(
        self, run_id: UUID, step: ArchiveStep, after: datetime | None, limit: int
    ) -> ArchivedFile | None:
        """See ``FileArchivingDatabase.name_archive_file``."""
        month = (run_id, step.category, step.table, step.partition)
        found = self._call("name_archive_file", *month, after, limit)
        return answer(ArchivedFile, found) if found is not None else None

    @contextmanager
    def archive_file_rows(self, run_id: UUID, file: ArchivedFile) -> Iterator[BinaryIO]:
        """See ``FileArchivingDatabase.archive_file_rows``."""
        named = [(column.name, _SPELLED.get(column.type, "text")) for column in file.columns]
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(name), sql.Identifier(kind))
            for name, kind in (*named, *((half, "int8") for half in _DIGEST))
        ]
        query = statement("calls", "copy_archive_file").format(
            run=sql.Literal(run_id), file=sql.Literal(file.file_id), columns=sql.SQL(", ").join(columns)
        )
        with translated():
            connection = self._connected()
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(query) as copy:
                yield cast(BinaryIO, io.BufferedReader(_Blocks(iter(copy)), 1 << 20))

    def keep_archive_file(self, run_id: UUID, file: ArchivedFile, written: WrittenFile) -> int:
        """See ``FileArchivingDatabase.keep_archive_file``."""
        told = (written.rows, written.sha256, *written.sums)
        moved: int = self._call("keep_archive_file", run_id, file.file_id, *told)
        return moved

    def give_up_archive_file(self, run_id: UUID, file: ArchivedFile) -> None:
        """See ``FileArchivingDatabase.give_up_archive_file``."""
        self._call("give_up_archive_file", run_id, file.file_id)

    def leaving_archive_files(
        self, run_id: UUID, category: str, after: int | None, limit: int
    ) -> tuple[ArchivedFile, ...]:
        """See ``FileArchivingDatabase.leaving_archive_files``."""
        found = self._call("leaving_archive_files", run_id, category, after, limit)
        return tuple(answer(ArchivedFile, each) for each in found)

    def archive_files_gone(self, run_id: UUID, category: str, files: Sequence[ArchivedFile]) -> int:
        """See ``FileArchivingDatabase.archive_files_gone``."""
        went: int = self._call("archive_files_gone", run_id, category, [each.file_id for each in files])
        return went

    def archive_files_of(
        self, category: str, born_from: datetime | None, born_to: datetime | None
    ) -> tuple[ArchivedFile, ...]:
        """The kept files of a category that may have rows born from ``born_from`` on and before ``born_to``, oldest first."""
        return tuple(
            answer(ArchivedFile, each) for each in self._call("archive_files_of", category, born_from, born_to)
        )

    def archive_file_states(self) -> dict[str, str]:
        """Every key of the index, with the state of its file: Named, Kept or Leaving."""
        return dict(self._call("archive_file_states"))

    def unnamed_files_due(
        self, run_id: UUID, category: str, told: Sequence[tuple[FileManifest, datetime]]
    ) -> tuple[str, ...]:
        """See ``FileArchivingDatabase.unnamed_files_due``."""
        files = [
            {"key": each.key, "table": each.table, "bornTo": each.born_to.isoformat(), "storedAt": at.isoformat()}
            for each, at in told
        ]
        return tuple(self._call("unnamed_files_due", run_id, category, Jsonb(files)))

    def restore_archive_file(self, file: ArchivedFile, rows: Sequence[str]) -> int | None:
        """Takes all rows of a file back, each a JSON object of cells as the file spells them; the next run deletes the file. Rows
        that came back; None where it is past its keep. Raises Invalid (ArchiveConflict, ArchiveFileBroken) and takes none."""
        came: int | None = self._call("restore_archive_file", file.file_id, list(rows))
        return came

    @abstractmethod
    def _call(self, name: str, *arguments: object) -> Any: ...

    @abstractmethod
    def _connected(self) -> psycopg.Connection[Any]: ...


class _Blocks(io.RawIOBase):
    """What a COPY sends, as a stream."""

    def __init__(self, blocks: Iterator[bytes | bytearray | memoryview]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, target: Any) -> int:
        """Fills ``target`` as far as one block goes; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
