"""What archiving into files needs of a tenant's database and of the archive bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol
from uuid import UUID

from tenant_retention.domain.archive_files import ArchivedColumn, FileManifest
from tenant_retention.domain.definition import Value
from tenant_retention.domain.ports.archiving import ArchiveStep
from tenant_retention.domain.ports.files import FileBucket


@dataclass(frozen=True)
class WrittenFile:
    """A file that is not stored yet. ``sums``: of the digests of its rows, as the database computes them."""

    content: bytes = field(repr=False)
    sha256: str
    rows: int
    sums: tuple[int, int]


class ArchiveBucket(FileBucket, Protocol):
    """The archive bucket as the enforcer's identity sees it. Every method raises Unavailable or Invalid where the store fails."""

    def put_file(self, key: str, content: bytes) -> None:
        """Stores a file as a whole."""

    def read_file(self, key: str) -> bytes | None:
        """The newest version of a file as a whole; None where there is none."""

    def remove_files(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Deletes all versions and markers of these keys; a missing one counts as gone. Those that may still be there: somebody
        locked them, or the store failed on them."""


class ArchivedFile(Value):
    """An entry of the index. ``born_from``, ``born_to``: both included, of one UTC day; until the file is kept what it may hold at
    most. ``rows``, ``sha256``: 0 and None until then."""

    file_id: int
    key: str
    category: str
    table: str
    born_from: datetime
    born_to: datetime
    columns: tuple[ArchivedColumn, ...]
    rows: int = 0
    sha256: str | None = None


class FileArchivingDatabase(Protocol):
    """The live side and the index of the files: every call is one transaction, and the database decides by its own rules."""

    def name_archive_file(
        self, run_id: UUID, step: ArchiveStep, after: datetime | None, limit: int
    ) -> ArchivedFile | None:
        """Names a file for the first rows of a month that are due to move and were born after ``after``: of one UTC day, about
        ``limit`` of them. From now on the name is known, whatever becomes of this process. None: there are no more rows."""

    def archive_file_rows(self, run_id: UUID, file: ArchivedFile) -> AbstractContextManager[BinaryIO]:
        """These rows as CSV, cells as ``domain.archive_files`` spells them, then two halves of a digest. Changes nothing."""

    def keep_archive_file(self, run_id: UUID, file: ArchivedFile, written: WrittenFile) -> int:
        """Deletes the rows of a file that is stored and was read back, and makes it their place; rows that moved. Raises NotReady
        (RowsChanged), and deletes none, where they are not exactly those that were written."""

    def give_up_archive_file(self, run_id: UUID, file: ArchivedFile) -> None:
        """A named file that will not be kept: it is to be deleted."""

    def leaving_archive_files(
        self, run_id: UUID, category: str, after: int | None, limit: int
    ) -> tuple[ArchivedFile, ...]:
        """Lets files go that are due, not held, or were never kept, and tells those that are to be deleted, in the order of their
        ids after ``after``."""

    def archive_files_gone(self, run_id: UUID, category: str, files: Sequence[ArchivedFile]) -> int:
        """Forgets files that are proven gone, with their manifests; rows that went with them by age."""

    def archive_file_states(self) -> Mapping[str, str]:
        """Every key of the index, with the state of its file: Named, Kept or Leaving."""

    def unnamed_files_due(
        self, run_id: UUID, category: str, told: Sequence[tuple[FileManifest, datetime]]
    ) -> tuple[str, ...]:
        """The keys of those that no index names, of which every row is past its keep, and that no hold can mean. Each is told with the
        time when it was stored: one of before this database's first run is another database's, which was lost with its holds."""


@dataclass(frozen=True)
class FileArchive:
    """Where a policy's archived rows lie in files: its bucket, and the live databases by name, each with an index of its own."""

    bucket: ArchiveBucket
    databases: Mapping[str, FileArchivingDatabase]
    rows_at_once: int = 20_000
    """How many rows a file should have: a second of work, some megabytes, and one transaction that deletes them."""
