"""What became of the files in the archive bucket between a backup and its restore (T6).

The index came back as old as the backup. A file that was made since is in no index: its rows come back into their table, unless
they are there already, and the replay archives them again. A file that has gone since is forgotten. So a row is in one place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from tenant_retention.domain.archive_files import MANIFEST_SUFFIX, FileManifest, manifest_key, read_manifest
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.archive_files import ArchiveBucket
from tenant_retention.domain.ports.backups import RestoreTarget
from tenant_retention.domain.ports.files import StoredFile
from tenant_retention.domain.ports.orphans import Place
from tenant_retention.enforcement.world import Journal

_LISTED_AT_ONCE = 1_000


@dataclass(frozen=True)
class FilesSince:
    """``taken_back``: rows that came back from files of after the backup; ``left``: such files that cannot be read, and stay;
    ``lost``: rows in files that the backup knew and that are not in the bucket any more."""

    taken_back: int
    left: int
    lost: int

    def and_of(self, other: FilesSince) -> FilesSince:
        """Both together."""
        return FilesSince(self.taken_back + other.taken_back, self.left + other.left, self.lost + other.lost)


NO_FILES = FilesSince(0, 0, 0)


class FilesAfterRestore:
    """Settles the index of one database. ``go_on`` raises where the process is to stop: killed between two files, the same again
    does what is left."""

    def __init__(
        self, bucket: ArchiveBucket, target: RestoreTarget, go_on: Callable[[], None], journal: Journal
    ) -> None:
        self._bucket = bucket
        self._target = target
        self._go_on = go_on
        self._journal = journal

    def settle(self, categories: Sequence[str]) -> FilesSince:
        """For the files of these categories. Raises Unavailable or Invalid where bucket or database fails."""
        named = self._target.archive_keys()
        # Also those of categories that are archived no more: what lies there is not gone.
        stored = self._stored({*categories, *(key.partition("/")[0] for key in named)})
        taken_back = left = 0
        # The newest first: of a file that was given up and made anew it is the one that counts.
        for key in sorted(stored.keys() - named, key=lambda each: stored[each], reverse=True):
            self._go_on()
            came = self._take_back(key, categories)
            taken_back, left = taken_back + (came or 0), left + (came is None)
        # Asked one by one: no file is forgotten because a listing did not have it.
        gone = [key for key in sorted(named - stored.keys()) if self._bucket.read_file(key) is None]
        lost = self._target.forget_archive_files(gone) if gone else 0
        self._journal.tell("restore.archive", rows=taken_back, left=left, gone=len(gone), lost=lost)
        return FilesSince(taken_back, left, lost)

    def _stored(self, categories: AbstractSet[str]) -> dict[str, datetime]:
        """Every file, and when it was stored; not the manifests beside them."""
        found: dict[str, datetime] = {}
        for category in sorted(categories):
            for file in self._listed(f"{category}/"):
                if not file.key.endswith(MANIFEST_SUFFIX):
                    found[file.key] = max(file.modified, found.get(file.key, file.modified))
        return found

    def _listed(self, prefix: str) -> Iterator[StoredFile]:
        place: Place = None
        while True:
            self._go_on()
            page = self._bucket.list_files(prefix, place, _LISTED_AT_ONCE)
            yield from page.files
            place = page.goes_on_at
            if place is None:
                return

    def _take_back(self, key: str, categories: Sequence[str]) -> int | None:
        """Rows that came back; None for a file that nobody can say what it holds: it stays, and is counted by the nights."""
        # Imported here: a tenth of a second and 60 MiB that a tenant without files never needs.
        from tenant_retention.adapters.parquet.reading import check_file, read_rows

        try:
            manifest = self._manifest(key)
            if manifest is None or manifest.key != key or manifest.category not in categories:
                return None
            content = self._bucket.read_file(key)
            if content is None:
                return 0
            check_file(content, manifest.sha256, manifest.rows, manifest.columns)
            rows = [json.dumps(row) for batch in read_rows(content, manifest.columns) for row in batch]
            return self._target.take_file_back(manifest, rows)
        except Invalid as error:
            if error.reason not in ("ArchiveFileBroken", "UnknownTable"):
                raise
            self._journal.tell("restore.archive.unreadable", reason=error.reason)
            return None

    def _manifest(self, key: str) -> FileManifest | None:
        content = self._bucket.read_file(manifest_key(key))
        return read_manifest(content.decode(errors="replace")) if content is not None else None
