"""Rules that do not fit files, and what nobody names in the archive bucket: told, and no other category pays for it (M10, T6, X1)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.domain.archive_files import manifest_key
from tenant_retention.domain.copies import RUN_INTERVAL, margin
from tenant_retention.domain.definition import ARCHIVE, ObjectsDefinition
from tenant_retention.enforcement.results import Outcome, RunResult
from tests.stores.archiving import RECORDS, evidence_of, masked
from tests.stores.file_archive import FileCustomer, file_customer, file_rules
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import TenantDatabases

Customers = Any
"""Makes a ``FileCustomer`` with the rules that it is given. Records are archived after 90 days and kept a year."""


@pytest.fixture
def customers(tenant_databases: TenantDatabases, seaweedfs: S3Server) -> Iterator[Customers]:
    with ExitStack() as closing:
        yield lambda given: closing.enter_context(file_customer(tenant_databases, seaweedfs, given))


def failures(done: RunResult) -> list[str | None]:
    return [each.failure for store in done.stores for each in store.categories]


def test_rules_that_do_not_fit_files_stop_the_moves_of_their_category_and_no_deletion__M10_X1(
    customers: Customers,
) -> None:
    customer = customers(file_rules("P90D", anonymize_after="P180D"))
    customer.insert(1, 400, "calls")
    customer.insert(2, 100, "calls")
    customer.insert(3, 30, "calls", "notes")
    done = customer.night()
    assert done.outcome is Outcome.INCOMPLETE
    assert failures(done) == [None, "ArchiveOutOfBounds"]
    assert (customer.live(), customer.archived()) == ({"calls:2", "calls:3"}, set()), "the rest of the night was done"


def test_files_of_a_category_whose_rows_name_objects_now_go_on_expiring__D3_M10(customers: Customers) -> None:
    customer = customers(file_rules())
    for row, age in ((1, 100), (2, 300)):
        customer.insert(row, age, "calls")
    customer.night()
    assert customer.archived() == {"calls:1", "calls:2"}
    since = file_rules(None, "P200D")
    link = ObjectsDefinition(bucket=ARCHIVE, table="calls", key_column="caller", version_column="caller")
    categories = tuple(
        each.model_copy(update={"objects": link}) if each.name == RECORDS else each for each in since.categories
    )
    customer.redefine(since.model_copy(update={"categories": categories}))
    customer.night()
    assert customer.archived() == {"calls:1"}
    customer.seen.tidy()


def test_no_row_moves_where_the_oldest_of_a_file_would_outlive_max_waiting_for_the_newest__M10(
    customers: Customers,
) -> None:
    assert margin(in_files=True) - margin() == timedelta(days=1)
    tight = file_rules(keep="P364D", maximum="P366D")
    customer = customers(tight.model_copy(update={"margin_seconds": int(RUN_INTERVAL.total_seconds())}))
    customer.insert(1, 100, "calls")
    assert failures(customer.night()) == [None, "ArchiveOutOfBounds"]
    assert customer.live() == {"calls:1"}
    enough = int(margin(in_files=True).total_seconds())
    customer.redefine(tight.model_copy(update={"margin_seconds": enough}))
    assert failures(customer.night()) == [None, None]
    assert customer.archived() == {"calls:1"}


def test_files_that_still_tell_of_a_person_are_told_when_anonymization_comes_later__X1_X4(
    customers: Customers,
) -> None:
    customer = customers(file_rules("P90D"))
    customer.insert(1, 200, "calls", "surveys", caller="+31612345678")
    customer.insert(2, 100, "calls")
    assert customer.night().outcome is Outcome.SUCCEEDED
    customer.redefine(file_rules("P150D", anonymize_after="P120D"))
    done = customer.night()
    assert done.outcome is Outcome.INCOMPLETE
    assert evidence_of(done).anonymize_residue == 1, "one call; a survey tells of nobody, and the other call is young"
    with customer.database.connect("observer"):
        found = {each.category: each for each in customer.database.observer().observe().categories}[RECORDS]
    assert found.anonymize_due == 1
    customer.redefine(file_rules(None, "P190D", anonymize_after="P120D"))
    assert customer.night().outcome is Outcome.SUCCEEDED, "gone by its keep"
    assert customer.archived() == {"calls:2"}


def test_digits_behind_a_mask_are_blanked_before_their_row_goes_into_a_file__P11(customers: Customers) -> None:
    customer = customers(file_rules())
    customer.insert(1, 100, "calls", caller="4711")
    customer.insert(2, 100, "calls", caller="****")
    customer.redefine(masked(file_rules()))
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert (customer.live(), customer.archived()) == ({"calls:1"}, {"calls:2"}), "nothing can be blanked in a file"
    assert customer.night().outcome is Outcome.SUCCEEDED
    assert customer.live() == set()
    assert {row["id"]: row["caller"] for _, row in customer.seen.filed()} == {1: None, 2: "****"}


def late(customer: FileCustomer) -> str:
    """A file that another run gave up comes to the bucket after all: its key."""
    [kept] = customer.seen.manifests()
    key = kept.key.replace(".parquet", "-late.parquet")
    told = kept.model_copy(update={"key": key}).text().encode()
    for name, content in ((key, customer.seen.files()[kept.key]), (manifest_key(key), told)):
        customer.seen.client.put_object(customer.seen.bucket, name, io.BytesIO(content), len(content))
    return key


def a_day_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the bucket by now is old enough; the database refuses a clock that is a day ahead."""
    for module in ("unnamed_files", "orphans"):
        monkeypatch.setattr(f"tenant_retention.enforcement.{module}.SETTLING", timedelta(minutes=-5))


def keys(customer: FileCustomer) -> set[str]:
    return {key for key, _ in customer.seen.versions()}


def test_a_file_that_no_index_names_is_told_and_goes_when_all_its_rows_are_past_their_keep__M10_T6(
    customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = customers(file_rules())
    customer.insert(1, 200, "calls")
    customer.night()
    kept = keys(customer)
    key = late(customer)
    both = {key, manifest_key(key)}
    assert [each.orphans.unnamed_objects for each in customer.night().buckets] == [0], "it may be on its way"
    a_day_later(monkeypatch)
    assert [each.orphans.unnamed_objects for each in customer.night().buckets] == [2]
    assert keys(customer) == kept | both, "its rows are not past their keep"
    with customer.database.connect("observer"):
        assert [(each.name, each.found) for each in customer.database.observer().observe().orphans if each.found] == [
            ("Archive", 2)
        ]
    customer.redefine(file_rules(keep="P150D"))
    customer.hold(77)
    customer.night()
    assert keys(customer) == both, "nobody knows whether the hold means it"
    with customer.database.as_owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    done = customer.night()
    assert (done.outcome, keys(customer)) == (Outcome.SUCCEEDED, set())


def test_a_database_that_was_made_anew_lets_no_file_of_the_lost_one_go_before_it_is_restored__X3_T6(
    customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = customers(file_rules())
    customer.insert(1, 200, "calls")
    customer.night()
    stored = keys(customer)
    assert stored
    customer.redefine(file_rules(keep="P150D"))
    with customer.database.as_owner() as owner:
        # What is there is a new database, whose runs begin later; the index and the holds were in the lost one.
        owner.execute("DELETE FROM retention.archive_file")
        owner.execute("UPDATE retention.run SET started_at = now() + interval '1 hour'")
    a_day_later(monkeypatch)
    customer.night()
    assert keys(customer) == stored
    with customer.database.as_owner() as owner:
        owner.execute("UPDATE retention.run SET started_at = started_at - interval '2 hours'")
    customer.night()
    assert keys(customer) == set(), "a file that its own runs have stored goes"


def test_a_file_of_which_nothing_tells_what_it_holds_is_told_every_night_and_stays__M8_T6(
    customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = customers(file_rules())
    customer.insert(1, 200, "calls")
    customer.night()
    key = late(customer)
    customer.seen.client.put_object(customer.seen.bucket, manifest_key(key), io.BytesIO(b"{}"), 2)
    customer.redefine(file_rules(keep="P150D"))
    a_day_later(monkeypatch)
    done = customer.night()
    assert {key, manifest_key(key)} == keys(customer)
    assert [each.orphans.unnamed_objects for each in done.buckets] == [3], "with both versions of its manifest"
