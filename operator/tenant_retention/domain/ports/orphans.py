"""What the nightly look for orphans needs of a database and a bucket: a page of each a night, counted, never deleted.

Nothing here belongs to a run: it works after the run's evidence is written, and a kill at any line loses one page at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tenant_retention.domain.definition import Value
from tenant_retention.domain.orphans import ObjectRow, StoredObject

Place = list[str] | None
"""Where a pass goes on: what the store gave with the page before; None: at the beginning. It may hold an object's key."""


class OrphanKind(StrEnum):
    """UNNAMED_OBJECTS: objects that no row names, by bucket. MISSING_OBJECTS: rows whose object is missing, by category.
    UNFINISHED_UPLOADS: parts of objects that were never completed, by bucket; a run ends them, all in one page."""

    UNNAMED_OBJECTS = "UnnamedObjects"
    MISSING_OBJECTS = "MissingObjects"
    UNFINISHED_UPLOADS = "UnfinishedUploads"


class OrphanPage(Value):
    """One page of a pass, as it is recorded: from ``begins_at`` up to ``goes_on_at`` (None: the pass is at its end).
    ``overdue``: objects that no category could still keep, the oldest of them written at ``oldest_overdue`` (M10)."""

    kind: OrphanKind
    name: str
    begins_at: Place
    goes_on_at: Place
    looked_at: int
    found: int
    overdue: int = 0
    oldest_overdue: datetime | None = None


class RowPage(Value):
    """Rows that name objects, in the order of birth."""

    rows: tuple[ObjectRow, ...]
    goes_on_at: Place


class OrphanDatabase(Protocol):
    """The database's part. One transaction each; needs no run."""

    def orphan_place(self, kind: OrphanKind, name: str) -> Place:
        """Where the pass over this bucket (purpose) or category goes on."""

    def unnamed_objects(self, objects: Sequence[StoredObject], *, exactly: bool = False) -> tuple[int, ...]:
        """Which of these, by position, no row of this database names; rows of tables that left the profile count too.

        A row without a version names every version of its key; ``exactly``: none of those that have one.
        """

    def rows_naming_objects(self, category: str, begins_at: Place, born_before: datetime, limit: int) -> RowPage:
        """The next rows of the category that name an object, born before that (UTC)."""

    def record_orphans(self, page: OrphanPage) -> None:
        """Adds a page to its pass and moves on. A page that does not begin where the pass stands changes nothing: it was
        recorded before (a lost reply), or somebody else was faster. Raises Invalid for a name the database does not have."""


class ObjectPage(Value):
    """Versions in the store's own order, no delete markers; ``goes_on_at`` None: the listing is at its end."""

    objects: tuple[StoredObject, ...]
    goes_on_at: Place


class OrphanBucket(Protocol):
    """The bucket's part, as the enforcer identity sees it. Raises Unavailable or Invalid as ``delete_objects``."""

    def list_objects(self, begins_at: Place, limit: int) -> ObjectPage:
        """The next versions, at most ``limit`` of them; ``begins_at``: what the page before gave."""

    def missing_objects(self, rows: Sequence[ObjectRow]) -> tuple[ObjectRow, ...]:
        """Those whose object is not there; without a version: no version of the key is. In doubt an object is there."""
