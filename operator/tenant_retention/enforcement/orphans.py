"""The nightly look for objects that no row names and rows whose object is missing: a page of each, counted and reported.

Comes last and deletes nothing. A night looks at a fixed number and the next one goes on there, so that a large bucket takes
several nights and no night longer than its window. What fails is told and tried again the next night.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from tenant_retention.domain.definition import ARCHIVE, CategoryDefinition, RetentionDefinition
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.orphans import SETTLING, StoredObject, longest_stay
from tenant_retention.domain.ports.orphans import OrphanDatabase, OrphanKind, OrphanPage, Place
from tenant_retention.enforcement.results import OrphanResult
from tenant_retention.enforcement.unnamed_files import archive_names
from tenant_retention.enforcement.world import Stores, World

OBJECTS_A_NIGHT = 10_000
"""Entries of a bucket that one night looks at: ten listings, and one reading of the tables that name objects."""
ROWS_A_NIGHT = 5_000
"""Rows of a category whose objects one night looks for: a request each."""


@dataclass(frozen=True)
class _Seen:
    looked_at: int
    found: int
    goes_on_at: Place
    overdue: Sequence[StoredObject] = ()


def named_nowhere(
    databases: Iterable[OrphanDatabase], objects: Sequence[StoredObject], *, exactly: bool = False
) -> Sequence[StoredObject]:
    """Those that no row of any of the databases names: each database is asked for exactly these keys and versions."""
    for database in databases:
        objects = [objects[place] for place in database.unnamed_objects(objects, exactly=exactly)] if objects else []
    return objects


class OrphanLook:
    """One night's look at one bucket and the categories that keep their objects there. ``uploads``: how many unfinished
    ones the night ended, remembered beside; None: it could not end them."""

    def __init__(
        self, definition: RetentionDefinition, bucket: str, uploads: int | None, stores: Stores, world: World
    ) -> None:
        self._definition = definition
        self._bucket = bucket
        self._uploads = uploads
        self._stores = stores
        self._world = world
        self._now = world.now()
        self._settled_before = self._now - SETTLING
        self._categories = [
            each for each in definition.categories if each.objects is not None and each.objects.bucket == bucket
        ]
        self._prefixes = tuple(each.files.prefix for each in definition.categories if each.files is not None)

    def result(self) -> OrphanResult | None:
        """What was found tonight; None where nothing can be said: no category, or a database that the plan does not name."""
        purposes = {category.database for category in self._categories}
        # A file of the archive may be in the index of any of them.
        in_files = self._stores.archive is not None and self._bucket == ARCHIVE
        names = [name for name in self._definition.database_names() if in_files or purpose_of(name) in purposes]
        if not names or not self._stores.databases.keys() >= set(names):
            return None
        try:
            # Of several databases the first one remembers what is the bucket's.
            keeper = self._stores.databases[names[0]]
            if (ended := self._uploads) is not None:
                _count(keeper, OrphanKind.UNFINISHED_UPLOADS, self._bucket, lambda _: _Seen(ended, ended, None))
            look = partial(self._objects, names)
            unnamed = _count(keeper, OrphanKind.UNNAMED_OBJECTS, self._bucket, look)
            missing = sum(
                self._rows(category, name)
                for category in self._categories
                for name in names
                if purpose_of(name) == category.database
            )
        except RetentionError as error:
            self._world.journal.tell("orphans.failed", bucket=self._bucket, reason=error.reason)
            return OrphanResult(failure=error.reason)
        self._world.journal.tell("orphans.counted", bucket=self._bucket, unnamed=unnamed, missing=missing)
        return OrphanResult(unnamed, missing)

    def _objects(self, databases: list[str], place: Place) -> _Seen:
        """A page of the bucket. An object is unnamed if no database names it, in a row or in the index of its files."""
        # Objects first, rows afterwards: a row that is written in between is seen.
        page = self._stores.buckets[self._bucket].list_objects(place, OBJECTS_A_NIGHT)
        settled = [each for each in page.objects if self._is_settled(each)]
        stay = longest_stay(self._definition, self._bucket)
        late = [each for each in settled if stay is not None and stay.is_over(each, self._now)]
        # A row that names no version is about the latest: it keeps no version that was replaced so long ago.
        replaced: Sequence[StoredObject] = [each for each in late if each.replaced is not None]
        if self._stores.archive is not None and self._bucket == ARCHIVE:
            named = archive_names(self._stores.archive) if settled else frozenset()
            unnamed: Sequence[StoredObject] = [each for each in settled if each.key not in named]
        else:
            rows_of = [self._stores.databases[purpose] for purpose in databases]
            unnamed = named_nowhere(rows_of, settled)
            replaced = named_nowhere(rows_of, replaced, exactly=True)
        overdue = {*replaced, *unnamed}.intersection(late)
        return _Seen(len(page.objects), len(unnamed), page.goes_on_at, tuple(overdue))

    def _rows(self, category: CategoryDefinition, name: str) -> int:
        """A page of a category's rows in one database."""
        if self._world.stopping():
            return 0
        database = self._stores.databases[name]

        def look(place: Place) -> _Seen:
            page = database.rows_naming_objects(category.name, place, self._settled_before, ROWS_A_NIGHT)
            missing = self._stores.buckets[self._bucket].missing_objects(page.rows)
            return _Seen(len(page.rows), len(missing), page.goes_on_at)

        return _count(database, OrphanKind.MISSING_OBJECTS, category.name, look)

    def _is_settled(self, stored: StoredObject) -> bool:
        # Files that go by their last modification need no row.
        return (
            not stored.key.startswith(self._prefixes)
            and stored.modified is not None
            and stored.modified < self._settled_before
        )


def _count(keeper: OrphanDatabase, kind: OrphanKind, name: str, look: Callable[[Place], _Seen]) -> int:
    """One page from where the pass stands; ``keeper`` remembers it and where the next night goes on. What was found."""
    place = keeper.orphan_place(kind, name)
    seen = look(place)
    keeper.record_orphans(
        OrphanPage(
            kind=kind,
            name=name,
            begins_at=place,
            goes_on_at=seen.goes_on_at,
            looked_at=seen.looked_at,
            found=seen.found,
            overdue=len(seen.overdue),
            oldest_overdue=min((each.modified for each in seen.overdue if each.modified is not None), default=None),
        )
    )
    return seen.found
