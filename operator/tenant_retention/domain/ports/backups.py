"""What making and restoring a backup needs of a bucket and of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.archive_files import FileManifest
from tenant_retention.domain.backups import BackupFile, RestoreProgress, StoredCopy
from tenant_retention.domain.definition import TableDefinition


@dataclass(frozen=True)
class Written:
    """An object as it was stored: bytes and the SHA-256 of them in hex."""

    size: int
    sha256: str


class BackupBucket(Protocol):
    """The bucket that backups lie in. Everything raises Unavailable or Invalid."""

    def write(self, key: str, blocks: Iterable[bytes]) -> Written:
        """Stores the blocks under a new key; what fails half-way leaves no upload behind."""

    def read(self, key: str) -> AbstractContextManager[Iterator[bytes]]:
        """The object's bytes, block by block. Raises Invalid (BackupBroken) where there is none."""

    def objects(self) -> Iterator[StoredCopy]:
        """Every version and delete marker below ``backups/``."""

    def remove(self, objects: Sequence[StoredCopy]) -> None:
        """Removes exactly these versions; raises Unavailable (BackupsLeft) where one stays."""

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        """Ends uploads that nobody will complete; returns how many."""

    def clock(self) -> datetime | None:
        """The store's own time, UTC; None where it does not say."""


@dataclass(frozen=True)
class Part:
    """One partition of a table: bounds as PostgreSQL prints them in UTC; ``relation``: which table it is in the view.

    ``rest``: it takes what no other partition takes.
    """

    table: TableDefinition
    born_from: str
    born_to: str
    relation: int
    rest: bool = False


class BackupSource(Protocol):
    """One database as its backup login sees it: one view of the data, fixed by ``begin``, however long the reading takes."""

    def begin(self) -> None:
        """Fixes the view; again: a new one."""

    def parts(self, tables: Sequence[TableDefinition]) -> tuple[Part, ...]:
        """Every partition of these tables in the view. Raises NotReady where one of the tables is not there."""

    def rows(self, part: Part, columns: Sequence[str]) -> Iterator[bytes]:
        """The part's rows in COPY's text form. No lock outlasts the reading of one part. Raises Unavailable (MonthChanged) where
        the partition was replaced or left since the view was fixed: the view does not see what is in the new one."""

    def holds(self, columns: Sequence[str]) -> Iterator[bytes]:
        """The legal holds, in the same form."""

    def record(self, complete: Sequence[str], present: Sequence[str]) -> None:
        """Which backups came or went since it was told last, into the chain of evidence (X6). ``complete``: the bucket's whole
        backups; ``present``: those of which anything is left; by id. The same again adds nothing."""

    def archive_files(self, columns: Sequence[str]) -> Iterator[bytes]:
        """The index of the files in the archive bucket, in the same form."""

    def close(self) -> None:
        """Ends all sessions."""


class RestoreTarget(Protocol):
    """One database that a backup is loaded into, as its administrator. Everything raises Unavailable or Invalid."""

    def progress(self, backup_id: str) -> RestoreProgress:
        """How far it is with this backup."""

    def check(self, rules_digest: str, backup_id: str) -> None:
        """Raises Invalid (RestoreRefused) where it has other rules, does not let runs delete, has rows that it is not to be loaded
        beside, or another restore is under way."""

    def close_to_applications(self, rules_digest: str, backup_id: str) -> None:
        """From here on nobody but the operator's own roles sees a row, and no run deletes one, until ``open_to_applications``.
        Checks again first, in the same transaction."""

    def loaded(self) -> frozenset[int]:
        """The numbers of the files that are in already."""

    def load(self, file: BackupFile, blocks: Iterator[bytes]) -> int:
        """Loads one file, whole or not at all; how many rows came in. A row whose key is there already stays as it is."""

    def archive_keys(self) -> frozenset[str]:
        """The files of the archive bucket that its index names."""

    def take_file_back(self, file: FileManifest, rows: Sequence[str]) -> int:
        """Takes the rows of a file back that its index does not name, each a JSON object of cells as the file spells them, and
        tells the file as one to be deleted. A row whose key is there already stays as it is; rows that came in."""

    def forget_archive_files(self, keys: Sequence[str]) -> int:
        """Forgets files that are not in the bucket any more; rows that were in them."""

    def approve(self, rules_digest: str, run_id: UUID, until: datetime) -> None:
        """Lets the replay, and no other run, begin and pass the guard until then: whoever restores wants today's rules applied to
        what comes back."""

    def open_to_applications(self) -> None:
        """Ends the restore and its approval."""
