"""What lies in the archive bucket and in no index: a file that was stored after its run had given it up, or before a restore.

Nothing is guessed: a file goes only where its manifest shows that every row in it is past its keep, and the database agrees.
What stays is counted by the night's look for orphans (T6, M10).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from tenant_retention.domain.archive_files import MANIFEST_SUFFIX, FileManifest, manifest_key, read_manifest
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.orphans import SETTLING
from tenant_retention.domain.ports.archive_files import FileArchive, FileArchivingDatabase
from tenant_retention.domain.ports.files import StoredFile
from tenant_retention.domain.ports.orphans import Place
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World

_LISTED_AT_ONCE = 1_000


def archive_names(archive: FileArchive) -> frozenset[str]:
    """Every key that an index names, with those of the manifests. Ask for it after the bucket was listed."""
    named = {key for database in archive.databases.values() for key in database.archive_file_states()}
    return frozenset(named | {manifest_key(key) for key in named})


class UnnamedFiles:
    """Those of one category."""

    def __init__(
        self,
        archive: FileArchive,
        database: FileArchivingDatabase,
        run_id: UUID,
        persistence: Persistence,
        world: World,
    ) -> None:
        self._archive = archive
        self._database = database
        self._run_id = run_id
        self._persistence = persistence
        self._world = world

    def remove(self, category: str) -> None:
        """Deletes those that are past their keep. Raises Interrupted; NotReady (FilesLeft) where some could not go."""
        listed = self._settled(category)
        unnamed = listed.keys() - self._persistence.patiently(archive_names, self._archive)
        if not unnamed:
            return
        files = sorted({key.removesuffix(MANIFEST_SUFFIX) for key in unnamed})
        told = tuple(
            (manifest, listed[key])
            for key in files
            if key in listed and (manifest := self._manifest(key, category)) is not None
        )
        due = (
            self._persistence.patiently(self._database.unnamed_files_due, self._run_id, category, told) if told else ()
        )
        left: tuple[str, ...] = ()
        if due:
            keys = [each for key in due for each in (key, manifest_key(key))]
            left = self._persistence.patiently(self._archive.bucket.remove_files, keys)
        self._world.journal.tell(
            "archive.files.unnamed", category=category, files=len(files), removed=len(due) if not left else 0
        )
        if left:
            raise NotReady(f"{len(left)} unnamed files of the archive could not be deleted", reason="FilesLeft")

    def _settled(self, category: str) -> dict[str, datetime]:
        """Keys of which no version is younger than a day, with the time of the oldest: a younger one may be a run's that is under
        way."""
        before = self._world.now() - SETTLING
        found: dict[str, tuple[datetime, datetime]] = {}
        for file in self._listed(category):
            oldest, newest = found.get(file.key, (file.modified, file.modified))
            found[file.key] = (min(oldest, file.modified), max(newest, file.modified))
        return {key: oldest for key, (oldest, newest) in found.items() if newest < before}

    def _listed(self, category: str) -> Iterator[StoredFile]:
        place: Place = None
        while True:
            self._persistence.go_on()
            page = self._persistence.patiently(self._archive.bucket.list_files, f"{category}/", place, _LISTED_AT_ONCE)
            yield from page.files
            place = page.goes_on_at
            if place is None:
                return

    def _manifest(self, key: str, category: str) -> FileManifest | None:
        content = self._persistence.patiently(self._archive.bucket.read_file, manifest_key(key))
        if content is None:
            return None
        try:
            manifest = read_manifest(content.decode(errors="replace"))
        except Invalid:
            # Nobody can say what it holds: it stays, and is counted.
            return None
        return manifest if (manifest.key, manifest.category) == (key, category) else None
