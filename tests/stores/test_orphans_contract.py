"""The nightly look for orphans: one contract on the stores in memory and on PostgreSQL 15, 17, 18 and SeaweedFS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.orphans import ObjectRow, StoredObject
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.orphans import OrphanKind, OrphanPage, Place
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.orphans import OrphanLook
from tenant_retention.enforcement.results import OrphanResult, Outcome
from tenant_retention.enforcement.world import Stores
from tests.stores.enforcement_archive import LiveArchive, days_ago, real_world
from tests.stores.enforcement_in_memory import InMemoryArchive
from tests.support.enforcement import RecordedWorld, plan_of

Tenant = Any
"""A ``LiveArchive`` or an ``InMemoryArchive``."""
NOT_YET = datetime.max.replace(tzinfo=UTC)
RECORDINGS = OrphanKind.MISSING_OBJECTS, "recordings"
OBJECTS = OrphanKind.UNNAMED_OBJECTS, "Content"


def night(tenant: Tenant, mode: Mode = Mode.ENFORCE) -> tuple[Outcome, OrphanResult | None]:
    """One run of the engine; what it found in the bucket."""
    definition: RetentionDefinition = tenant.definition
    database = tenant.enforcer()
    try:
        stores = Stores({"Analytical": database}, {"Content": tenant.content_bucket()})
        result = expire(plan_of(definition, mode=mode), stores, uuid4(), real_world())
    finally:
        database.close()
    return result.outcome, next((bucket.orphans for bucket in result.buckets), None)


def look(tenant: Tenant, at: datetime) -> OrphanResult | None:
    """The look of a night at that time, as the engine's clock has it."""
    database = tenant.enforcer()
    try:
        stores = Stores({"Analytical": database}, {"Content": tenant.content_bucket()})
        return OrphanLook(tenant.definition, "Content", None, stores, RecordedWorld(at).world()).result()
    finally:
        database.close()


def modified(tenant: Tenant, version: str) -> datetime:
    """When the store says that a version was written."""
    page = tenant.content_bucket().list_objects(None, 10)
    (found,) = (each for each in page.objects if each.version == version)
    assert found.modified is not None
    moment: datetime = found.modified
    return moment


def place(tenant: Tenant, kind: OrphanKind, name: str) -> Place:
    database = tenant.enforcer()
    try:
        found: Place = database.orphan_place(kind, name)
        return found
    finally:
        database.close()


class OrphansContract(ABC):
    """The contract; subclasses say which tenant."""

    @pytest.fixture(autouse=True)
    def settled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was written a moment ago counts as settled."""
        monkeypatch.setattr("tenant_retention.enforcement.orphans.SETTLING", timedelta(days=-1))

    def test_an_object_without_a_row_and_a_row_without_its_object_are_counted_and_nothing_is_deleted(
        self, tenant: Tenant
    ) -> None:
        tenant.call("whole", days_ago(3), "recordings")
        tenant.put("audio/nobody-s")
        tenant.call_with_object_of("vanished", "row", days_ago(2), "v-gone")
        tenant.call_without_object("silent", days_ago(2))
        objects, rows = tenant.objects(), tenant.left()
        assert night(tenant) == (Outcome.SUCCEEDED, OrphanResult(1, 1))
        assert (tenant.objects(), tenant.left()) == (objects, rows)

    def test_what_the_night_itself_deletes_is_no_orphan_before_or_after(self, tenant: Tenant) -> None:
        for name in ("one", "two", "three"):
            tenant.call(name, days_ago(30), "recordings")
        assert night(tenant) == (Outcome.SUCCEEDED, OrphanResult())
        assert tenant.objects() == set()

    def test_a_dry_run_looks_for_none__X7(self, tenant: Tenant) -> None:
        tenant.put("audio/nobody-s")
        assert night(tenant, Mode.DRY_RUN)[1] is None

    def test_a_night_looks_at_so_much_and_the_next_one_goes_on_there_until_everything_was_seen(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tenant_retention.enforcement.orphans.OBJECTS_A_NIGHT", 2)
        monkeypatch.setattr("tenant_retention.enforcement.orphans.ROWS_A_NIGHT", 2)
        for number in range(5):
            tenant.put(f"lost/{number}")
            tenant.call_with_object_of(f"vanished-{number}", f"row-{number}", days_ago(2), "v-gone")
        nights: list[OrphanResult | None] = []
        while not nights or place(tenant, *RECORDINGS) is not None:
            nights.append(night(tenant)[1])
            assert len(nights) < 5, "a pass comes to its end"
        assert nights == [OrphanResult(2, 2), OrphanResult(2, 2), OrphanResult(1, 1)]
        assert place(tenant, OrphanKind.UNNAMED_OBJECTS, "Content") is None

    def test_equal_births_are_told_apart_by_key_and_version(self, tenant: Tenant) -> None:
        born, seen, begins_at = days_ago(2), [], None
        for number in range(5):
            tenant.call_with_object_of(f"same/{number % 3}", f"row-{number}", born, f"v{number}")
        database = tenant.enforcer()
        while True:
            page = database.rows_naming_objects("recordings", begins_at, days_ago(0), 2)
            seen += page.rows
            begins_at = page.goes_on_at
            if begins_at is None:
                break
        database.close()
        assert sorted(seen, key=lambda row: row.version) == [
            ObjectRow(f"audio/same/{number % 3}", f"v{number}") for number in range(5)
        ]

    def test_a_row_that_is_too_young_to_have_its_object_is_not_asked_about(self, tenant: Tenant) -> None:
        tenant.call_with_object_of("upload-still-to-come", "young", days_ago(0.5), None)
        database = tenant.enforcer()
        assert database.rows_naming_objects("recordings", None, days_ago(1), 10).rows == ()
        assert len(database.rows_naming_objects("recordings", None, days_ago(0), 10).rows) == 1
        database.close()

    def test_a_row_without_a_version_names_every_version_of_its_key_and_another_version_none(
        self, tenant: Tenant
    ) -> None:
        tenant.call_with_object_of("any", "any", days_ago(2), None)
        tenant.call_with_object_of("one", "one", days_ago(2), "v1")
        asked = [("audio/any", "v7"), ("audio/one", "v1"), ("audio/one", "v2"), ("audio/one", None), ("else", "v1")]
        objects = [StoredObject(key, version, None) for key, version in asked]
        database = tenant.enforcer()
        assert database.unnamed_objects(objects) == (2, 4)
        assert database.unnamed_objects([]) == ()
        database.close()

    def test_a_page_that_is_told_twice_counts_once_and_one_of_another_place_not_at_all(self, tenant: Tenant) -> None:
        kind, name = RECORDINGS
        first = OrphanPage(kind=kind, name=name, begins_at=None, goes_on_at=["k"], looked_at=10, found=3)
        last = OrphanPage(kind=kind, name=name, begins_at=["k"], goes_on_at=None, looked_at=5, found=1)
        database = tenant.enforcer()
        for page in (first, first, last, last):
            database.record_orphans(page)
        database.close()
        assert self.counted(tenant) == (15, 4)

    def test_a_name_that_the_database_does_not_have_is_refused(self, tenant: Tenant) -> None:
        database = tenant.enforcer()
        for kind in OrphanKind:
            page = OrphanPage(kind=kind, name="made-up", begins_at=None, goes_on_at=None, looked_at=1, found=1)
            with pytest.raises(Invalid) as refused:
                database.record_orphans(page)
            assert refused.value.reason == "CategoryUnknown"
        database.close()

    def test_what_an_overwrite_left_is_debt_from_the_longest_max_of_its_bucket_on_and_stays__T6_M10(
        self, tenant: Tenant
    ) -> None:
        left = tenant.put("audio/again")
        tenant.call("again", days_ago(3), "recordings")
        objects = tenant.objects()
        born = modified(tenant, left)
        at_max = end_of_period(born, Period.parse("P5Y"))
        for seconds, debt in ((-1, (0, None)), (0, (1, born)), (1, (1, born))):
            assert look(tenant, at_max + timedelta(seconds=seconds)) == OrphanResult(1, 0)
            assert self.overdue(tenant) == debt
        assert tenant.objects() == objects

    @abstractmethod
    def overdue(self, tenant: Tenant) -> tuple[int, datetime | None]:
        """How many objects of the bucket no category could still keep, and when the oldest was written."""

    @abstractmethod
    def counted(self, tenant: Tenant) -> tuple[int, int]:
        """Looked at and found, of the last whole pass over the recordings."""


class TestInMemory(OrphansContract):
    """The twins that the engine's unit tests run on."""

    @pytest.fixture
    def tenant(self) -> InMemoryArchive:
        return InMemoryArchive()

    def overdue(self, tenant: Tenant) -> tuple[int, datetime | None]:
        found = tenant.server.orphans[OBJECTS]
        return found.last_overdue, found.last_oldest_overdue

    def counted(self, tenant: Tenant) -> tuple[int, int]:
        found = tenant.server.orphans[RECORDINGS]
        return found.last_looked_at, found.last_found


@pytest.mark.every_postgres
class TestRealStores(OrphansContract):
    """PostgreSQL 15, 17 and 18, and SeaweedFS."""

    @pytest.fixture
    def tenant(self, acme: LiveArchive) -> LiveArchive:
        return acme

    def overdue(self, tenant: Tenant) -> tuple[int, datetime | None]:
        (found,) = (each for each in tenant.observer().observe().orphans if (each.kind, each.name) == OBJECTS)
        return found.overdue, found.oldest_overdue

    def test_a_row_that_names_no_version_keeps_none_that_was_replaced_longer_than_max_ago__T6_M10(
        self, tenant: Tenant
    ) -> None:
        first = tenant.put("audio/any")
        tenant.call_with_object_of("any", "any", days_ago(3), None)
        latest = tenant.put("audio/any")
        at = end_of_period(modified(tenant, latest), Period.parse("P5Y"))
        assert look(tenant, at) == OrphanResult(0, 0)
        assert self.overdue(tenant) == (1, modified(tenant, first))
        tenant.name_version("any", first)
        assert look(tenant, at) == OrphanResult(1, 0)
        assert self.overdue(tenant) == (1, modified(tenant, latest))

    def counted(self, tenant: Tenant) -> tuple[int, int]:
        (found,) = (each for each in tenant.observer().observe().orphans if (each.kind, each.name) == RECORDINGS)
        assert found.finished_at is not None
        return found.looked_at, found.found
