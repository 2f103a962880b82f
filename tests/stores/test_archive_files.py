"""Rows move into files of the archive bucket at an age, and the files go when their rows must (D3, T5, T6)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from minio.commonconfig import GOVERNANCE
from minio.retention import Retention

from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.durations import RESOLUTION, Period, cutoff
from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.results import Outcome
from tests.stores.archiving import evidence_of
from tests.stores.file_archive import FileCustomer, file_customer, file_rules
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import TenantDatabases, days_ago, text

pytestmark = pytest.mark.oldest_and_newest

Customers = Any
"""Makes a ``FileCustomer`` with the rules that it is given. Records are archived after 90 days and kept a year."""


@pytest.fixture
def customers(tenant_databases: TenantDatabases, seaweedfs: S3Server) -> Iterator[Customers]:
    with ExitStack() as closing:

        def make(given: RetentionDefinition, **more: Any) -> FileCustomer:
            return closing.enter_context(file_customer(tenant_databases, seaweedfs, given, **more))

        yield make


def test_a_row_moves_into_a_file_at_the_age_to_the_microsecond__D3_T5_X9(customers: Customers) -> None:
    customer = customers(file_rules())
    clock = datetime.now(UTC) - timedelta(seconds=5)
    bound = cutoff(clock, Period.parse("P90D"))
    for row, birth in ((1, bound - RESOLUTION), (2, bound), (3, bound + RESOLUTION)):
        customer.insert(row, birth, "calls", "surveys")
    done = customer.night(at=clock)
    assert done.outcome is Outcome.SUCCEEDED
    assert customer.archived() == {"calls:1", "surveys:1", "calls:2", "surveys:2"}
    assert customer.live() == {"calls:3", "surveys:3"}
    found = evidence_of(done)
    assert (found.archive_due, found.archived, found.acted) == (4, 4, 0), "moving is no deletion"
    assert len(customer.seen.versions()) == 4, "a file and its manifest of each table"


def test_a_file_has_the_rows_of_one_day_and_its_manifest_tells_nothing_of_a_person__D3_X6(customers: Customers) -> None:
    customer = customers(file_rules(), rows_at_once=2)
    midnight = days_ago(100).replace(hour=0, minute=0, second=0, microsecond=0)
    for row, birth in enumerate((midnight - RESOLUTION, midnight, midnight, midnight + timedelta(hours=3))):
        customer.insert(row, birth, "calls", caller="+31612345678")
    assert customer.night().outcome is Outcome.SUCCEEDED
    spans = [(each.day, each.rows, each.born_from) for each in customer.seen.manifests()]
    yesterday = (midnight - RESOLUTION).date()
    assert spans == [
        (yesterday, 1, midnight - RESOLUTION),
        (midnight.date(), 2, midnight),
        (midnight.date(), 1, midnight + timedelta(hours=3)),
    ]
    told = [content for key, content in customer.seen.files().items() if key.endswith(".json")]
    assert not any(b"31612345678" in content for content in told)


def test_a_file_goes_with_every_version_when_its_newest_row_is_past_its_keep__M10_T6_X9(customers: Customers) -> None:
    customer = customers(file_rules())
    clock = datetime.now(UTC) - timedelta(seconds=5)
    bound = cutoff(clock, Period.parse("P200D"))
    for row, table, birth in (
        (1, "calls", bound - RESOLUTION),
        (2, "calls", bound + RESOLUTION),
        (3, "surveys", bound - RESOLUTION),
        (4, "surveys", bound),
    ):
        customer.insert(row, birth, table)
    customer.night(at=clock)
    assert customer.archived() == {"calls:1", "calls:2", "surveys:3", "surveys:4"}
    customer.redefine(file_rules(keep="P200D"))
    done = customer.night(at=clock)
    assert done.outcome is Outcome.SUCCEEDED
    assert customer.archived() == {"calls:1", "calls:2"}, "the newest call has a microsecond left"
    assert (evidence_of(done).candidates, evidence_of(done).acted, evidence_of(done).residue) == (2, 2, 0)
    assert len(customer.seen.versions()) == 2, "neither a version nor a marker is left of the file that went"


def test_a_shorter_keep_asks_the_guard_for_rows_in_files_as_for_others__X3(customers: Customers) -> None:
    customer = customers(file_rules())
    for row in range(15):
        customer.insert(row, 200, "calls")
    assert customer.night().outcome is Outcome.SUCCEEDED
    customer.redefine(file_rules(keep="P180D").model_copy(update={"guard_percent": 25}))
    done = customer.night()
    assert done.outcome is Outcome.APPROVAL_REQUIRED
    assert (len(customer.archived()), evidence_of(done).surplus) == (15, 15)


def test_rows_in_files_are_counted_and_told_as_debt__X4(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 200, "calls", "surveys")
    customer.night()
    customer.redefine(file_rules(keep="P100D", maximum="P150D"))
    with customer.database.connect("observer"):
        found = {each.category: each for each in customer.database.observer().observe().categories}["records"]
    assert (found.rows, found.archived, found.due, found.overdue) == (2, 2, 2, 2)
    assert found.oldest is not None
    assert abs(found.oldest - days_ago(200)) < timedelta(minutes=5)


def test_a_held_row_is_not_archived_and_a_hold_on_one_row_keeps_its_file__X3(customers: Customers) -> None:
    customer = customers(file_rules())
    for row in (1, 2):
        customer.insert(row, 200, "calls")
    customer.insert(3, 210, "calls")
    customer.hold(1)
    customer.night()
    assert (customer.live(), customer.archived()) == ({"calls:1"}, {"calls:2", "calls:3"})
    customer.hold(2)
    customer.redefine(file_rules(keep="P100D"))
    done = customer.night()
    assert (customer.live(), customer.archived()) == ({"calls:1"}, {"calls:2"})
    assert evidence_of(done).held == 2, "the row here and the file's"
    with customer.database.as_owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    customer.night()
    assert (customer.live(), customer.archived(), customer.seen.versions()) == (set(), set(), [])


def test_a_hold_on_a_time_or_a_unit_keeps_what_it_may_mean__X3(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 200, "calls")
    customer.insert(2, 340, "calls")
    customer.night()
    with customer.database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (category, born_from) VALUES ('records', %s)", (days_ago(205),))
    customer.redefine(file_rules(keep="P100D"))
    customer.night()
    assert customer.archived() == {"calls:1"}
    with customer.database.as_owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
        owner.execute("INSERT INTO retention.hold (unit) VALUES ('clinic')")
    customer.night()
    assert customer.archived() == {"calls:1"}, "of a table without units nobody can say that it is none of theirs"


def with_units(given: RetentionDefinition) -> RetentionDefinition:
    """Calls and surveys that may tell their unit."""
    tables = (
        each.model_copy(update={"columns": (*each.columns, text("unit", "Unit")), "unit_column": "unit"})
        if each.name != "notes"
        else each
        for each in given.tables
    )
    return given.model_copy(update={"tables": tuple(tables)})


def test_a_units_hold_keeps_a_file_whose_row_is_theirs_only_by_another_row_of_its_session__X3(
    customers: Customers,
) -> None:
    customer = customers(with_units(file_rules()))
    customer.insert(1, 200, "calls", "surveys")
    customer.database.write("UPDATE surveys SET unit = 'clinic'")
    customer.night()
    with customer.database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (unit) VALUES ('clinic')")
    customer.redefine(with_units(file_rules(keep="P100D")))
    done = customer.night()
    assert customer.archived() == {"calls:1", "surveys:1"}, "of the call alone nobody could say whose it is"
    assert evidence_of(done).held == 2


def test_a_hold_on_content_that_came_late_keeps_the_file_of_its_record__X3(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 200, "calls")
    customer.insert(2, 350, "calls")
    customer.night()
    customer.insert(1, 200, "notes")
    with customer.database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (category) VALUES ('notes')")
    customer.redefine(file_rules(keep="P100D"))
    customer.night()
    assert (customer.live(), customer.archived()) == ({"notes:1"}, {"calls:1"}), "near the other call there is no note"


def test_a_row_below_min_stays_in_its_live_table__M8(customers: Customers) -> None:
    customer = customers(file_rules("P90D", minimum="P6M"))
    customer.insert(1, 100, "calls")
    customer.insert(2, 190, "calls")
    customer.night()
    assert (customer.live(), customer.archived()) == ({"calls:1"}, {"calls:2"})


def test_a_record_stays_where_its_content_is_and_follows_when_that_is_gone__P4(customers: Customers) -> None:
    customer = customers(file_rules(content_keep="P200D"))
    customer.insert(1, 100, "calls", "notes")
    customer.insert(2, 100, "calls")
    customer.insert(3, 210, "calls", "notes")
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert (customer.live(), customer.archived()) == ({"calls:1", "notes:1"}, {"calls:2", "calls:3"})


def test_what_lies_in_a_file_has_lost_the_person_before__X1(customers: Customers) -> None:
    customer = customers(file_rules("P90D", anonymize_after="P60D"))
    customer.insert(1, 100, "calls", caller="+31612345678")
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert customer.archived() == {"calls:1"}
    assert not any(b"31612345678" in content for content in customer.seen.files().values())


def test_a_dry_run_counts_what_the_real_run_moves_and_moves_nothing__X7(customers: Customers) -> None:
    customer = customers(file_rules())
    for row, age in ((1, 91), (2, 120), (3, 150)):
        customer.insert(row, age, "calls")
    dry = customer.night(mode=Mode.DRY_RUN)
    assert (customer.seen.versions(), evidence_of(dry).archive_due, evidence_of(dry).archived) == ([], 3, 0)
    assert evidence_of(customer.night()).archived == 3


def test_a_late_row_gets_a_file_of_its_own_and_a_second_night_finds_nothing__D3(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls")
    counts = [evidence_of(customer.night()).archived for _ in range(2)]
    customer.insert(2, 100, "calls")
    assert [*counts, evidence_of(customer.night()).archived] == [1, 0, 1]
    assert (customer.live(), customer.archived(), len(customer.seen.manifests())) == (set(), {"calls:1", "calls:2"}, 2)


def test_when_the_rule_is_taken_away_the_files_go_on_expiring__D3_M10(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls")
    customer.insert(2, 300, "calls")
    customer.night()
    customer.redefine(file_rules(None, "P200D"))
    customer.insert(3, 100, "calls")
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert (customer.live(), customer.archived()) == ({"calls:3"}, {"calls:1"})


class Meddling:
    """Lets something happen right before a call of that name."""

    def __init__(self, inner: object, name: str, happens: Any) -> None:
        self._inner, self._name, self._happens = inner, name, happens

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            self._happens()
        return getattr(self._inner, name)


def test_a_row_that_is_written_while_its_file_is_made_is_archived_as_it_is_then__D3(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls", caller="+311")
    customer.insert(2, 100, "calls", caller="+312")
    changes = iter(("+313",))

    def change() -> None:
        for caller in changes:
            customer.rename(2, caller)

    done = customer.night(database=lambda inner: Meddling(inner, "keep_archive_file", change))
    assert done.outcome is Outcome.SUCCEEDED
    assert (customer.live(), customer.archived()) == (set(), {"calls:1", "calls:2"})
    callers = {b"+311", b"+312", b"+313"}
    seen = [{each for each in callers if each in content} for content in customer.seen.files().values()]
    assert {b"+311", b"+313"} in seen
    customer.night()
    assert not any(b"+312" in content for content in customer.seen.files().values()), (
        "the one that was given up is gone"
    )


def test_a_hold_that_comes_while_a_file_is_made_keeps_its_row_here__X3(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls")
    customer.insert(2, 100, "calls")
    holds = iter((1,))

    def place() -> None:
        for row in holds:
            customer.hold(row)

    customer.night(database=lambda inner: Meddling(inner, "keep_archive_file", place))
    assert (customer.live(), customer.archived()) == ({"calls:1"}, {"calls:2"})


def test_a_hold_that_comes_while_a_file_is_being_deleted_is_told_with_what_it_came_too_late_for__X3_X6(
    customers: Customers,
) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls")
    customer.insert(2, 110, "calls")
    customer.night()
    customer.redefine(file_rules(keep="P95D"))
    holds = iter((1,))

    def place() -> None:
        for row in holds:
            customer.hold(row)

    done = customer.night(database=lambda inner: Meddling(inner, "archive_files_gone", place))
    assert done.outcome is Outcome.INCOMPLETE
    told = evidence_of(done)
    assert (told.acted, told.held, told.failed) == (2, 1, 1)
    assert customer.archived() == set()
    assert customer.night().outcome is Outcome.SUCCEEDED, "it is told once; the evidence keeps it"


def test_nothing_is_deleted_for_a_file_that_does_not_come_back_as_it_was_stored__T6(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls")

    class Bad:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def read_file(self, key: str) -> bytes | None:
            content: bytes = self._inner.read_file(key)
            return bytes([content[0] ^ 1]) + content[1:] if key.endswith(".parquet") else content

    done = customer.night(bucket=Bad)
    assert done.outcome is Outcome.INCOMPLETE
    assert [each.failure for store in done.stores for each in store.categories] == [None, "ArchiveFileBroken"]
    assert (customer.live(), customer.archived()) == ({"calls:1"}, set())
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert (customer.live(), customer.archived(), len(customer.seen.versions())) == (set(), {"calls:1"}, 2)


def test_a_file_that_somebody_locked_is_told_and_goes_when_the_lock_ends__M10(customers: Customers) -> None:
    customer = customers(file_rules(), object_lock=True)
    customer.insert(1, 200, "calls")
    customer.insert(2, 210, "calls")
    customer.night()
    [key] = {each.key for each in customer.seen.manifests() if each.born_to < days_ago(205)}
    [version] = [each for found, each in customer.seen.versions() if found == key]
    until = datetime.now(UTC) + timedelta(days=1)
    customer.seen.client.set_object_retention(
        customer.seen.bucket, key, Retention(GOVERNANCE, until), version_id=version
    )
    customer.redefine(file_rules(keep="P100D"))
    done = customer.night()
    assert done.outcome is Outcome.INCOMPLETE
    assert [each.failure for store in done.stores for each in store.categories] == [None, "FilesLeft"]
    assert evidence_of(done).residue == 1, "what is still there is still due"
    assert customer.seen.index() == [("Leaving", 1)]
    assert [found for found, _ in customer.seen.versions()] == [key], "the other file is gone, and this one's manifest"


def test_a_file_that_could_not_go_stays_when_the_keep_is_raised_before_the_next_night__M8(customers: Customers) -> None:
    class Stubborn:
        """Deletes nothing."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def remove_files(self, keys: Sequence[str]) -> tuple[str, ...]:
            return tuple(keys)

    customer = customers(file_rules())
    customer.insert(1, 200, "calls")
    customer.night()
    customer.redefine(file_rules(keep="P100D"))
    assert customer.night(bucket=Stubborn).outcome is Outcome.INCOMPLETE
    assert customer.seen.index() == [("Leaving", 1)]
    customer.redefine(file_rules())
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert (customer.seen.index(), len(customer.seen.versions())) == ([("Leaving", 1)], 2)
    customer.redefine(file_rules(keep="P100D"))
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert (customer.seen.index(), customer.seen.versions()) == ([], [])


def test_the_digest_of_a_files_rows_is_one_that_any_later_server_computes_again__T5(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls")
    customer.insert(2, 100.001, "calls")
    with customer.database.as_owner() as owner:
        owner.execute("SET TimeZone = 'UTC'")
        told = [str(row[0]).encode() for row in owner.execute("SELECT r::text FROM calls AS r").fetchall()]
    assert customer.night().outcome is Outcome.SUCCEEDED
    digests = [hashlib.sha256(each).digest() for each in told]
    halves = [sum(int.from_bytes(each[part : part + 4], "big") for each in digests) for part in (4, 0)]
    assert customer.seen.rows("SELECT digest FROM retention.archive_file") == [(halves,)]
