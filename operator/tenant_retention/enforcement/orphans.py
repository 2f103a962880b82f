"""The nightly look for objects that no row names and rows whose object is missing: a page of each, counted and reported.

Comes last and deletes nothing. A night looks at a fixed number and the next one goes on there, so that a large bucket takes
several nights and no night longer than its window. What fails is told and tried again the next night.
"""

from __future__ import annotations

from tenant_retention.domain.definition import CategoryDefinition, RetentionDefinition
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.orphans import SETTLING, StoredObject
from tenant_retention.domain.ports.orphans import OrphanKind, OrphanPage
from tenant_retention.enforcement.results import OrphanResult
from tenant_retention.enforcement.world import Stores, World

OBJECTS_A_NIGHT = 10_000
"""Entries of a bucket that one night looks at: ten listings, and one reading of the tables that name objects."""
ROWS_A_NIGHT = 5_000
"""Rows of a category whose objects one night looks for: a request each."""


class OrphanLook:
    """One night's look at one bucket and the categories that keep their objects there."""

    def __init__(self, definition: RetentionDefinition, bucket: str, stores: Stores, world: World) -> None:
        self._bucket = bucket
        self._stores = stores
        self._world = world
        self._settled_before = world.now() - SETTLING
        self._categories = [
            each for each in definition.categories if each.objects is not None and each.objects.bucket == bucket
        ]

    def result(self) -> OrphanResult | None:
        """What was found tonight; None where nothing can be said: no category, or a database that the plan does not name."""
        databases = {category.database for category in self._categories}
        if not databases or not databases <= self._stores.databases.keys():
            return None
        try:
            unnamed = self._objects(sorted(databases))
            missing = sum(self._rows(category) for category in self._categories)
        except RetentionError as error:
            self._world.journal.tell("orphans.failed", bucket=self._bucket, reason=error.reason)
            return OrphanResult(failure=error.reason)
        self._world.journal.tell("orphans.counted", bucket=self._bucket, unnamed=unnamed, missing=missing)
        return OrphanResult(unnamed, missing)

    def _objects(self, databases: list[str]) -> int:
        """A page of the bucket. An object is unnamed if no database names it; the first one remembers the place."""
        kind, keeper = OrphanKind.UNNAMED_OBJECTS, self._stores.databases[databases[0]]
        place = keeper.orphan_place(kind, self._bucket)
        # Objects first, rows afterwards: a row that is written in between is seen.
        page = self._stores.buckets[self._bucket].list_objects(place, OBJECTS_A_NIGHT)
        unnamed = [each for each in page.objects if self._is_settled(each)]
        for purpose in databases:
            places = self._stores.databases[purpose].unnamed_objects(unnamed)
            unnamed = [unnamed[place] for place in places]
        keeper.record_orphans(
            OrphanPage(
                kind=kind,
                name=self._bucket,
                begins_at=place,
                goes_on_at=page.goes_on_at,
                looked_at=len(page.objects),
                found=len(unnamed),
            )
        )
        return len(unnamed)

    def _rows(self, category: CategoryDefinition) -> int:
        """A page of a category's rows."""
        if self._world.stopping():
            return 0
        kind, database = OrphanKind.MISSING_OBJECTS, self._stores.databases[category.database]
        place = database.orphan_place(kind, category.name)
        page = database.rows_naming_objects(category.name, place, self._settled_before, ROWS_A_NIGHT)
        missing = self._stores.buckets[self._bucket].missing_objects(page.rows)
        database.record_orphans(
            OrphanPage(
                kind=kind,
                name=category.name,
                begins_at=place,
                goes_on_at=page.goes_on_at,
                looked_at=len(page.rows),
                found=len(missing),
            )
        )
        return len(missing)

    def _is_settled(self, stored: StoredObject) -> bool:
        return stored.modified is not None and stored.modified < self._settled_before
