"""One night's backup (T6): old ones go on time, a new one is made when it is due; neither waits for the other to succeed.

A backup exists once its manifest does, which is written last, after every file was read back. A kill before that leaves files
that are nobody's backup; a later night removes them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TypeVar
from uuid import UUID

from tenant_retention.adapters.sealing import seal, signed
from tenant_retention.domain.backups import (
    ARCHIVE_COLUMNS,
    HOLD_COLUMNS,
    PREFIX,
    UNFINISHED_AFTER,
    BackupFile,
    FileKind,
    Manifest,
    StoredBackup,
    expired,
    is_due,
    key_id,
    key_of,
    manifest_key,
    new_backup_id,
    stored_backups,
    stored_time,
)
from tenant_retention.domain.definition import ARCHIVE, TableDefinition
from tenant_retention.domain.errors import Invalid, RetentionError, Unavailable
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.plan_document import BackupPlan, PlanDocument
from tenant_retention.domain.ports.backups import BackupBucket, BackupSource, Written
from tenant_retention.enforcement.backup_results import BackupResult, Problem, outcome_of
from tenant_retention.enforcement.persistence import Interrupted
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import World

ATTEMPTS = 4
"""A month that is rewritten while it is read makes the backup begin again: the night's rewriting ends some time."""
PAUSE = 600.0
"""Seconds before the second attempt, twice that before each further one: more than an hour in all."""
_BLOCK = 1 << 20
T = TypeVar("T")


@dataclass(frozen=True)
class BackupStores:
    """``sources``: databases by the name of their place. ``key``: 32 bytes that seal every file."""

    sources: Mapping[str, BackupSource]
    bucket: BackupBucket
    key: bytes = field(repr=False)


def back_up(plan: PlanDocument, stores: BackupStores, run_id: UUID, world: World) -> BackupResult:
    """Removes what is old, makes a backup if one is due, and tells what lies in the bucket then.

    Raises Invalid, before anything is touched, if the plan contradicts itself or asks for no backup.
    """
    if plan.backup is None:
        raise Invalid("backup: is missing; this plan makes none", reason="InvalidPlan", field="backup")
    if plan.rules_digest != plan.definition.rules_digest():
        raise Invalid(
            "rulesDigest: is not the digest of definition; write the plan anew",
            reason="InvalidPlan",
            field="rulesDigest",
        )
    return _Night(plan, plan.backup, stores, run_id, world).result()


class _Night:
    def __init__(
        self, plan: PlanDocument, backup: BackupPlan, stores: BackupStores, run_id: UUID, world: World
    ) -> None:
        self._plan, self._backup, self._run_id, self._world = plan, backup, run_id, world
        self._stores, self._bucket = stores, stores.bucket
        self._problems: list[Problem] = []
        self._removed = 0

    def result(self) -> BackupResult:
        started = self._world.now()
        self._world.journal.tell("backup.started", databases=len(self._stores.sources))
        self._attempt("backups.removal", self._remove_old)
        made = self._attempt("backup", self._make_if_due)
        left = self._attempt("backups.listing", self._stored)
        if left is not None:
            self._record(left)
        result = BackupResult(
            run_id=self._run_id,
            started_at=started,
            finished_at=self._world.now(),
            keep=self._backup.keep,
            made=made,
            removed=self._removed,
            left=left,
            problems=tuple(self._problems),
        )
        self._world.journal.tell("backup.finished", outcome=result.outcome.value)
        return result

    def _record(self, left: tuple[StoredBackup, ...]) -> None:
        """Into every database's evidence: what an earlier night could not tell any more is told with it."""
        complete = [each.backup_id for each in left if each.complete]
        present = [each.backup_id for each in left if each.named]
        for source in self._stores.sources.values():
            self._attempt("backups.evidence", partial(source.record, complete, present))

    def _attempt(self, name: str, work: Callable[[], T]) -> T | None:
        """Its answer, None where it failed: then the other work goes on."""
        try:
            self._go_on()
            return work()
        except Interrupted:
            self._told(name, Outcome.INTERRUPTED, "Interrupted", "asked to stop; the next run begins anew")
        except RetentionError as error:
            self._told(name, outcome_of(error), error.reason, error.message)
        return None

    def _told(self, name: str, outcome: Outcome, reason: str, message: str) -> None:
        self._problems.append(Problem(outcome, reason, message))
        self._world.journal.tell(f"{name}.failed", outcome=outcome.value, reason=reason, message=message)

    def _go_on(self) -> None:
        if self._world.stopping():
            raise Interrupted

    def _now(self) -> datetime:
        """The smaller of own clock and the store's: a clock that runs ahead would take a backup before its time."""
        told = self._bucket.clock()
        return min(self._world.now(), told) if told is not None else self._world.now()

    def _stored(self) -> tuple[StoredBackup, ...]:
        return stored_backups(self._bucket.objects(), self._now())

    def _remove_old(self) -> None:
        """Each for itself: one that cannot go keeps no other one."""
        now, failures = self._now(), []
        for each in stored_backups(self._bucket.objects(), now):
            if not expired(each, self._backup.keep, now):
                continue
            self._go_on()
            try:
                self._remove(each)
            except RetentionError as error:
                failures.append(error)
            else:
                self._removed += each.complete
                self._world.journal.tell(
                    "backup.removed", backup=_shown(each), files=len(each.objects), bytes=each.size
                )
        self._bucket.abort_unfinished_uploads(UNFINISHED_AFTER)
        if failures:
            raise failures[0]

    def _remove(self, backup: StoredBackup) -> None:
        """All of it; the manifest first: what is half gone is no backup any more. Where the manifest cannot go, the data does."""
        manifest = [each for each in backup.objects if each.key == manifest_key(backup.backup_id)]
        rest = [each for each in backup.objects if each not in manifest]
        try:
            self._bucket.remove(manifest)
        except RetentionError:
            self._bucket.remove(rest)
            raise
        self._bucket.remove(rest)

    def _make_if_due(self) -> StoredBackup | None:
        now = self._now()
        frequency = self._backup.frequency
        if frequency is None or not is_due(stored_backups(self._bucket.objects(), now), frequency, now):
            return None
        for attempt in range(1, ATTEMPTS + 1):
            backup_id = new_backup_id(self._now(), os.urandom(4))
            try:
                return self._make(backup_id)
            except Unavailable as error:
                self._drop(backup_id)
                if error.reason != "MonthChanged" or attempt == ATTEMPTS:
                    raise
                self._world.journal.tell("backup.again", reason=error.reason)
                self._world.pause(PAUSE * 2 ** (attempt - 1))
                self._go_on()
            except (RetentionError, Interrupted):
                self._drop(backup_id)
                raise
        raise AssertionError("the last attempt returned or raised")

    def _drop(self, backup_id: str) -> None:
        """What a failed attempt wrote; where it cannot be removed now, a later night does it."""
        try:
            self._bucket.remove([each for each in self._bucket.objects() if _is_of(each.key, backup_id)])
        except RetentionError as error:
            self._world.journal.tell("backup.dropping.failed", reason=error.reason)

    def _make(self, backup_id: str) -> StoredBackup:
        files: list[BackupFile] = []
        # An archive last: a row that moves there meanwhile is in one of the two views at least.
        for place, source in sorted(self._stores.sources.items(), key=lambda each: purpose_of(each[0]) == ARCHIVE):
            with closing(source):
                source.begin()
                for file in self._database(backup_id, place, source, len(files)):
                    files.append(file)
            self._world.journal.tell("backup.database", database=place, files=len(files))
        definition = self._plan.definition
        manifest = Manifest(
            backup_id=backup_id,
            taken_at=stored_time(backup_id),
            installation=definition.installation,
            namespace=definition.namespace,
            policy=definition.policy,
            rules_digest=self._plan.rules_digest,
            key_id=key_id(self._stores.key),
            places=tuple(self._stores.sources),
            files=tuple(files),
        )
        for file in files:
            self._go_on()
            self._read_back(key_of(backup_id, file.number), Written(file.size, file.sha256))
        self._go_on()
        content = signed(manifest.model_dump_json(by_alias=True), self._stores.key)
        self._read_back(manifest_key(backup_id), self._bucket.write(manifest_key(backup_id), iter([content])))
        self._world.journal.tell("backup.made", backup=backup_id, files=len(files), bytes=manifest.size())
        found = [each for each in self._bucket.objects() if _is_of(each.key, backup_id)]
        (made,) = stored_backups(found, self._now())
        return made

    def _database(self, backup_id: str, place: str, source: BackupSource, number: int) -> Iterator[BackupFile]:
        """The files of one database, each written when this returns it; a partition without rows has none."""
        for kind, name, columns, read in (
            (FileKind.HOLDS, "hold", HOLD_COLUMNS, source.holds),
            (FileKind.ARCHIVE_FILES, "archive_file", ARCHIVE_COLUMNS, source.archive_files),
        ):
            blank = BackupFile(number=number, kind=kind, place=place, table=name, columns=columns)
            if (written := self._write(backup_id, blank, read(columns))) is not None:
                yield written
                number += 1
        for part in source.parts(self._plan.definition.tables_of(purpose_of(place))):
            columns = _columns(part.table)
            blank = BackupFile(
                number=number,
                kind=FileKind.ROWS,
                place=place,
                table=part.table.name,
                columns=columns,
                born_from=part.born_from,
                born_to=part.born_to,
            )
            written = self._write(backup_id, blank, source.rows(part, columns))
            if written is not None:
                yield written
                number += 1

    def _write(self, backup_id: str, file: BackupFile, rows: Iterator[bytes]) -> BackupFile | None:
        self._go_on()
        with closing(_generator(rows)) as blocks:
            first = next(blocks, None)
            if first is None:
                return None
            sealed = seal(chain([first], blocks), self._stores.key, file.context(backup_id))
            written = self._bucket.write(key_of(backup_id, file.number), sealed)
        return file.model_copy(update={"size": written.size, "sha256": written.sha256})

    def _read_back(self, key: str, written: Written) -> None:
        size, digest = 0, hashlib.sha256()
        with self._bucket.read(key) as blocks:
            for block in blocks:
                size += len(block)
                digest.update(block)
        if Written(size, digest.hexdigest()) != written:
            raise Unavailable(
                "the bucket did not give back what was written to it; the backup is made anew", reason="BackupBroken"
            )


def _generator(rows: Iterator[bytes]) -> Generator[bytes, None, None]:
    """A generator whatever the source gives, so that closing it ends the reading at once."""
    yield from rows


def _columns(table: TableDefinition) -> tuple[str, ...]:
    return (table.born_at, *(column.name for column in table.columns))


def _is_of(key: str, backup_id: str) -> bool:
    return key.startswith(f"{PREFIX}{backup_id}/")


def _shown(backup: StoredBackup) -> str:
    """Its id; a name that is nobody's id is somebody's key and is not told (X6)."""
    return backup.backup_id if backup.named else "unnamed"
