"""One category's rows move into files of the archive bucket, and files that are due leave it (D3, T6).

A file is named in the live database before it is stored, read back with its manifest, and is its rows' place from the transaction
on that deletes them there. So a kill leaves a row where it was or in a file that is known, and a name whose file may be there:
the next run deletes that one and makes another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tenant_retention.domain.archive_files import FileManifest, manifest_key
from tenant_retention.domain.archive_rules import check_filing
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.durations import RESOLUTION
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError
from tenant_retention.domain.ports.archive_files import ArchivedFile, FileArchive, FileArchivingDatabase, WrittenFile
from tenant_retention.domain.ports.archiving import ArchiveStep
from tenant_retention.enforcement.pacing import Pacer
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.unnamed_files import UnnamedFiles
from tenant_retention.enforcement.world import World

FILES_AT_ONCE = 100
"""Files that one transaction lets go."""
_TRIES = 4
"""How often a file is made anew whose rows changed meanwhile, or are too many for one; then they stay until the next run."""


class FileArchiving:
    """Does the work and remembers how far it came, also when it fails on the way. ``removed``: rows that went with files that were
    due. ``archived``: rows that moved."""

    def __init__(
        self,
        archive: FileArchive,
        database: FileArchivingDatabase,
        run_id: UUID,
        persistence: Persistence,
        pacer: Pacer,
        world: World,
    ) -> None:
        self.removed = 0
        self.archived = 0
        self._archive = archive
        self._bucket = archive.bucket
        self._rows_at_once = archive.rows_at_once
        self._database = database
        self._run_id = run_id
        self._persistence = persistence
        self._pacer = pacer
        self._world = world

    def remove(self, category: str, *, sweep: bool) -> None:
        """Deletes files that are due, and those of runs that died; ``sweep``: and due ones that no index names, as its database
        is the category's own. Raises Interrupted; RetentionError where some could not go."""
        after, files, left = None, 0, 0
        while True:
            self._persistence.go_on()
            leaving = self._persistence.patiently(
                self._database.leaving_archive_files, self._run_id, category, after, FILES_AT_ONCE
            )
            if not leaving:
                break
            after = leaving[-1].file_id
            gone = self._delete(leaving)
            left += len(leaving) - len(gone)
            files += len(gone)
            self.removed += self._persistence.patiently(self._database.archive_files_gone, self._run_id, category, gone)
        if files:
            self._world.journal.tell("archive.files.removed", category=category, files=files, rows=self.removed)
        if sweep:
            UnnamedFiles(self._archive, self._database, self._run_id, self._persistence, self._world).remove(category)
        if left:
            raise NotReady(f"{left} files of the archive could not be deleted: is one locked?", reason="FilesLeft")

    def move(self, definition: RetentionDefinition, category: str, months: Sequence[ArchiveStep]) -> None:
        """Moves what is old enough. Raises Interrupted between two files; RetentionError where some rows could not move, after
        all others did, or before the first one moved where the rules are none for files."""
        check_filing(definition, category)
        failed: RetentionError | None = None
        for step in months:
            after: datetime | None = None
            while True:
                self._persistence.go_on()
                self._pacer.pause()
                file = self._named(step, after, self._rows_at_once)
                if file is None:
                    break
                after = file.born_to
                try:
                    self.archived += self._fill(step, file)
                except (Invalid, NotReady) as error:
                    # These rows stay where they are; they keep no others.
                    failed = failed or error
        self._world.journal.tell("category.archived", category=category, rows=self.archived)
        if failed is not None:
            raise failed

    def _named(self, step: ArchiveStep, after: datetime | None, rows: int) -> ArchivedFile | None:
        return self._persistence.patiently(self._database.name_archive_file, self._run_id, step, after, rows)

    def _fill(self, step: ArchiveStep, file: ArchivedFile) -> int:
        """The rows that moved into this file, or into smaller ones of the same births."""
        try:
            return self._store(file)
        except NotReady as error:
            self._give_up(file)
            if error.reason not in ("RowsChanged", "FileTooLarge"):
                raise
            return self._again(step, file, error)
        except Invalid:
            self._give_up(file)
            raise

    def _again(self, step: ArchiveStep, whole: ArchivedFile, error: NotReady) -> int:
        moved, after, rows = 0, _before(whole.born_from), self._rows_at_once
        for _ in range(_TRIES):
            rows = max(rows // 4, 1)
            while (file := self._named(step, after, rows)) is not None and file.born_from <= whole.born_to:
                try:
                    moved += self._store(file)
                except NotReady as next_error:
                    self._give_up(file)
                    error = next_error
                    break
                except Invalid:
                    self._give_up(file)
                    raise
                after = file.born_to
            else:
                if file is not None:
                    self._give_up(file)
                return moved
        raise error

    def _store(self, file: ArchivedFile) -> int:
        """One file: written, stored, read back, then in the place of its rows. Nothing is deleted before."""
        written = self._persistence.patiently(self._write, file)
        manifest = _manifest(file, written).text().encode()
        self._persistence.patiently(self._bucket.put_file, file.key, written.content)
        self._persistence.patiently(self._bucket.put_file, manifest_key(file.key), manifest)
        self._check(file, written, manifest)
        return self._persistence.patiently(self._database.keep_archive_file, self._run_id, file, written)

    def _write(self, file: ArchivedFile) -> WrittenFile:
        # Imported here: a tenth of a second and 60 MiB that a tenant without files never needs.
        from tenant_retention.adapters.parquet.writing import write_file

        with self._database.archive_file_rows(self._run_id, file) as rows:
            return write_file(file.columns, rows)

    def _check(self, file: ArchivedFile, written: WrittenFile, manifest: bytes) -> None:
        from tenant_retention.adapters.parquet.reading import check_file

        content = self._persistence.patiently(self._bucket.read_file, file.key)
        told = self._persistence.patiently(self._bucket.read_file, manifest_key(file.key))
        if content is None or told != manifest:
            raise Invalid("a file of the archive is not there after it was stored", reason="ArchiveFileBroken")
        check_file(content, written.sha256, written.rows, file.columns)

    def _give_up(self, file: ArchivedFile) -> None:
        self._persistence.patiently(self._database.give_up_archive_file, self._run_id, file)

    def _delete(self, files: Sequence[ArchivedFile]) -> tuple[ArchivedFile, ...]:
        """Those that are gone with their manifests."""
        keys = [key for file in files for key in (file.key, manifest_key(file.key))]
        left = set(self._persistence.patiently(self._bucket.remove_files, keys))
        return tuple(file for file in files if file.key not in left and manifest_key(file.key) not in left)


def _manifest(file: ArchivedFile, written: WrittenFile) -> FileManifest:
    return FileManifest(
        key=file.key,
        category=file.category,
        table=file.table,
        day=file.born_from.date(),
        rows=written.rows,
        bytes=len(written.content),
        sha256=written.sha256,
        born_from=file.born_from,
        born_to=file.born_to,
        columns=file.columns,
    )


def _before(instant: datetime) -> datetime:
    return instant - RESOLUTION
