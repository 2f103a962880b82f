"""Backups: their names, what their manifest says, when the next one is due and which ones must go (T6, M10); pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal

from tenant_retention.domain.copies import RUN_INTERVAL
from tenant_retention.domain.definition import Identifier, RetentionDefinition, Value
from tenant_retention.domain.durations import Period, end_of_period

BACKUPS = "Backups"
"""The purpose of the bucket that backups lie in."""
PREFIX = "backups/"
MANIFEST = "manifest.json"
UNFINISHED_AFTER = timedelta(hours=12)
"""What a run that was killed left behind is removed by the next one; one that still works writes more often than that."""
HOLD_COLUMNS: tuple[str, ...] = (
    "category",
    "session",
    "unit",
    "born_from",
    "born_to",
    "reference",
    "placed_at",
    "released_at",
    "name",
    "salt",
    "person",
)
"""What a backup keeps of a legal hold."""
ARCHIVE_COLUMNS: tuple[str, ...] = (
    "key",
    "category",
    "table_name",
    "partition",
    "run_id",
    "state",
    "born_from",
    "born_to",
    "columns",
    "rows",
    "sha256",
    "digest",
    "identified",
    "sessions",
    "units",
)
"""What a backup keeps of a file in the archive bucket: all that the index knows, nothing of what is in the file."""
KEY_BYTES = 32
"""Of the key that seals a tenant's backups."""
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_EARLY = timedelta(hours=12)
"""The night's minute moves with the clocks and with a catch-up; a backup of this night must not wait for the next one."""


class Frequency(StrEnum):
    """How often a backup is made. The job runs every night all the same: what is old goes each night."""

    DAILY = "Daily"
    WEEKLY = "Weekly"

    @property
    def days(self) -> int:
        """From one backup to the next."""
        return 1 if self is Frequency.DAILY else 7


class FileKind(StrEnum):
    """What a file of a backup holds: a table's rows of one partition, or of a database its legal holds, or its index of the files
    in the archive bucket."""

    ROWS = "Rows"
    HOLDS = "Holds"
    ARCHIVE_FILES = "ArchiveFiles"


class RestoreProgress(StrEnum):
    """How far a database is with the restore of one backup: not begun, closed and loading, or opened again."""

    NONE = "None"
    LOADING = "Loading"
    OPENED = "Opened"


class BackupFile(Value):
    """One file. Its key follows from ``number``: a manifest names no path. ``born_from`` and ``born_to``: bounds of the
    partition as PostgreSQL prints them in UTC. ``size`` and ``sha256``: of what is stored, in bytes and hex."""

    number: int
    kind: FileKind
    place: str
    table: Identifier
    columns: tuple[Identifier, ...]
    born_from: str = ""
    born_to: str = ""
    size: int = 0
    sha256: str = ""

    def numbered(self, number: int) -> BackupFile:
        """The same under this number."""
        return self.model_copy(update={"number": number})

    def context(self, backup_id: str) -> bytes:
        """What the file's key is bound to: no file can stand in for another one, of this backup or of any other."""
        parts = (backup_id, str(self.number), self.kind.value, self.place, self.table, *self.columns)
        return "".join(f"{len(part.encode())}:{part}" for part in (*parts, self.born_from, self.born_to)).encode()


class Manifest(Value):
    """What makes files a backup: written last, when each of them was read back. ``places``: databases that are in it,
    those without any row too. ``taken_at``: when it began, before its first view was fixed, UTC. ``key_id``: of its key."""

    version: Literal[1] = 1
    backup_id: str
    taken_at: datetime
    installation: str
    namespace: str
    policy: str
    rules_digest: str
    key_id: str
    places: tuple[str, ...]
    files: tuple[BackupFile, ...] = ()

    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)

    def size_of(self, place: str) -> int:
        """Bytes of the rows of this database."""
        return sum(file.size for file in self.files if file.place == place and file.kind is FileKind.ROWS)

    def is_of(self, definition: RetentionDefinition) -> bool:
        """Whether it is a backup of this tenant's policy."""
        return (self.installation, self.namespace, self.policy) == (
            definition.installation,
            definition.namespace,
            definition.policy,
        )


@dataclass(frozen=True)
class StoredCopy:
    """One version of one object of the backup bucket. ``modified``: UTC, None where the store does not say."""

    key: str
    version: str | None
    modified: datetime | None
    size: int = 0
    delete_marker: bool = False


@dataclass(frozen=True)
class StoredBackup:
    """What lies below one id, or under names that are nobody's id (``backup_id`` as found). ``complete``: it has its
    manifest. ``named``: it has an id of ours. ``taken_at``: from the id, else the time of its oldest object; ``touched_at``: of
    its newest."""

    backup_id: str
    taken_at: datetime
    touched_at: datetime
    named: bool
    complete: bool
    size: int
    objects: tuple[StoredCopy, ...]


def key_id(key: bytes) -> str:
    """The fingerprint of a key, 16 hex digits; it tells nothing of the key."""
    return hmac.new(key, b"tenant-retention backup key", hashlib.sha256).hexdigest()[:16]


def new_backup_id(now: datetime, entropy: bytes) -> str:
    """The name of a backup that begins ``now``; ``entropy``: four bytes that tell two of the same second apart."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{entropy.hex()}"


def key_of(backup_id: str, number: int) -> str:
    """The key of a file."""
    return f"{PREFIX}{backup_id}/{number:06d}"


def manifest_key(backup_id: str) -> str:
    """The key of the manifest."""
    return f"{PREFIX}{backup_id}/{MANIFEST}"


def is_backup_id(text: str) -> bool:
    """Whether it is a name that ``new_backup_id`` makes: nothing else is ever part of a key."""
    if _ID.fullmatch(text) is None:
        return False
    try:
        stored_time(text)
    except ValueError:
        return False
    return True


def stored_backups(objects: Iterable[StoredCopy], now: datetime) -> tuple[StoredBackup, ...]:
    """Everything below the prefix by backup, the oldest first. An object without a time counts as written ``now``."""
    by_id: dict[str, list[StoredCopy]] = {}
    for each in objects:
        by_id.setdefault(each.key.removeprefix(PREFIX).partition("/")[0], []).append(each)
    return tuple(sorted((_stored(name, found, now) for name, found in by_id.items()), key=lambda each: each.taken_at))


def _stored(name: str, found: list[StoredCopy], now: datetime) -> StoredBackup:
    times = [each.modified or now for each in found]
    written = min(times)
    named = stored_time(name) if is_backup_id(name) else None
    living = {each.key for each in found if not each.delete_marker}
    return StoredBackup(
        backup_id=name,
        # A name that claims to be younger than its own objects makes nothing live longer.
        taken_at=min(named, written) if named is not None else written,
        touched_at=max(times),
        named=named is not None,
        complete=named is not None and manifest_key(name) in living,
        size=sum(each.size for each in found),
        objects=tuple(found),
    )


def stored_time(backup_id: str) -> datetime:
    """When the backup of this id began, UTC. ValueError for an id that is none of ours."""
    return datetime.strptime(backup_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def expired(backup: StoredBackup, keep: str, now: datetime) -> bool:
    """Whether the backup's time is over; what has no manifest is none, and goes as soon as nobody can be writing it."""
    if not backup.complete and now - backup.touched_at >= UNFINISHED_AFTER:
        return True
    return end_of_period(backup.taken_at, Period.parse(keep, field="backups.keep")) <= now


def overdue(backup: StoredBackup, keep: str, now: datetime) -> bool:
    """Whether it should have gone by now with the runs that there were: deletion debt (X4)."""
    return end_of_period(backup.taken_at, Period.parse(keep, field="backups.keep")) + RUN_INTERVAL <= now


def newest(backups: Iterable[StoredBackup]) -> StoredBackup | None:
    """The newest complete backup."""
    return max((each for each in backups if each.complete), key=lambda each: each.taken_at, default=None)


def is_due(backups: Iterable[StoredBackup], frequency: Frequency, now: datetime) -> bool:
    """Whether tonight a backup is to be made."""
    last = newest(backups)
    return last is None or now - last.taken_at >= timedelta(days=frequency.days) - _EARLY
