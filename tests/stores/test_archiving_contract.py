"""Rows move to the archive at an age (D3, T5): the same in memory and on PostgreSQL 15, 17 and 18."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.durations import RESOLUTION, Period, cutoff
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.archiving import ArchiveRow
from tenant_retention.enforcement.results import Outcome
from tests.stores.archiving import (
    LIVE,
    RECORDS,
    Customer,
    InMemoryCustomer,
    RealCustomer,
    evidence_of,
    masked,
    night,
    rules,
)
from tests.stores.tenant_databases import TenantDatabases, days_ago, text

Customers = Any
"""Makes a ``RealCustomer`` or an ``InMemoryCustomer`` with the rules that it is given."""


@contextmanager
def begun(customer: Customer) -> Iterator[tuple[dict[str, Any], UUID]]:
    """A run of the night that has begun in both databases, and its sessions."""
    with ExitStack() as closing:
        sessions = customer.sessions()
        for session in sessions.values():
            closing.callback(session.close)
        run_id = uuid4()
        for session in sessions.values():
            session.begin_run(run_id, Mode.ENFORCE, customer.rules.rules_digest(), datetime.now(UTC))
        yield sessions, run_id


class BegunBefore:
    """A database whose run begins two seconds before the others'."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin_run(self, run_id: UUID, mode: Mode, digest: str, own_clock: datetime) -> Any:
        """By an earlier clock."""
        return self._inner.begin_run(run_id, mode, digest, own_clock - timedelta(seconds=2))


class ArchivingContract:
    """The contract; subclasses say what a customer is. Records are archived after 90 days and kept a year."""

    def test_a_row_moves_at_the_age_to_the_microsecond__D3_X9(self, customers: Customers) -> None:
        customer = customers(rules())
        clock = datetime.now(UTC) - timedelta(seconds=5)
        bound = cutoff(clock, Period.parse("P90D"))
        for row, birth in ((1, bound - RESOLUTION), (2, bound), (3, bound + RESOLUTION)):
            customer.insert(row, birth, "calls", "surveys")
        done = night(customer, at=clock)
        assert done.outcome is Outcome.SUCCEEDED
        assert customer.archived() == {"calls:1", "surveys:1", "calls:2", "surveys:2"}
        assert customer.live() == {"calls:3", "surveys:3"}
        found = evidence_of(done)
        assert (found.archive_due, found.archived, found.acted) == (4, 4, 0), "moving is no deletion"

    def test_what_is_past_its_keep_is_deleted_where_it_is_and_in_the_archive_too__D3_M10(
        self, customers: Customers
    ) -> None:
        customer = customers(rules())
        for row, age in ((1, 100), (2, 300), (3, 366)):
            customer.insert(row, age, "calls")
        night(customer)
        assert (customer.live(), customer.archived()) == (set(), {"calls:1", "calls:2"})
        customer.redefine(rules(keep="P200D"))
        done = night(customer)
        assert customer.archived() == {"calls:1"}
        assert (evidence_of(done, ARCHIVE).acted, evidence_of(done).acted) == (1, 0)

    def test_a_row_older_than_what_the_archive_began_with_finds_its_month_there__D3(self, customers: Customers) -> None:
        customer = customers(rules(keep="P2Y", back="P3M"))
        customer.begin_month("calls", 500)
        customer.insert(1, 500, "calls")
        assert night(customer).outcome is Outcome.SUCCEEDED
        assert (customer.live(), customer.archived()) == (set(), {"calls:1"})

    def test_a_row_below_min_stays_in_its_live_table__M8(self, customers: Customers) -> None:
        customer = customers(rules("P90D", minimum="P6M"))
        customer.insert(1, 100, "calls")
        customer.insert(2, 190, "calls")
        night(customer)
        assert (customer.live(), customer.archived()) == ({"calls:1"}, {"calls:2"})

    def test_a_held_row_is_not_archived_away_until_the_hold_is_gone__X3(self, customers: Customers) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls", "surveys")
        customer.insert(2, 100, "calls")
        customer.hold(1)
        done = night(customer)
        assert done.outcome is Outcome.SUCCEEDED
        assert (customer.live(), customer.archived()) == ({"calls:1", "surveys:1"}, {"calls:2"})

    def test_a_record_stays_where_its_content_is_and_follows_when_that_is_gone__P4(self, customers: Customers) -> None:
        customer = customers(rules(content_keep="P200D"))
        customer.insert(1, 100, "calls", "notes")
        customer.insert(2, 100, "calls")
        customer.insert(3, 210, "calls", "notes")
        done = night(customer)
        assert done.outcome is Outcome.SUCCEEDED
        assert (customer.live(), customer.archived()) == ({"calls:1", "notes:1"}, {"calls:2", "calls:3"})

    def test_a_row_loses_the_person_first_and_in_the_archive_as_anywhere__D3_X1(self, customers: Customers) -> None:
        customer = customers(rules("P90D", anonymize_after="P200D"))
        customer.insert(1, 100, "calls")
        customer.insert(2, 210, "calls")
        night(customer)
        assert customer.archived() == {"calls:1", "calls:2"}
        assert customer.callers(ARCHIVE) == {"+471", None}, "the older one came in without its caller"
        customer.redefine(rules("P90D", anonymize_after="P95D"))
        done = night(customer)
        assert customer.callers(ARCHIVE) == {None}
        assert evidence_of(done, ARCHIVE).anonymized == 1

    def test_digits_behind_a_mask_are_blanked_before_their_row_moves_and_where_it_moved_before__P11_D3(
        self, customers: Customers
    ) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls")
        night(customer)
        customer.insert(2, 100, "calls")
        customer.insert(3, 100, "calls", caller="****")
        customer.redefine(masked(rules()))
        first = night(customer)
        assert (customer.live(), customer.archived()) == ({"calls:2"}, {"calls:1", "calls:3"})
        assert (evidence_of(first).unmasked, evidence_of(first).archive_due, first.outcome) == (1, 1, Outcome.SUCCEEDED)
        assert evidence_of(first, ARCHIVE).unmasked == 1
        second = night(customer)
        assert (customer.live(), customer.archived()) == (set(), {"calls:1", "calls:2", "calls:3"})
        for database in (LIVE, ARCHIVE):
            found = evidence_of(second, database)
            assert (found.unmasked, found.cleared, second.outcome) == (0, 1, Outcome.SUCCEEDED)

    def test_a_dry_run_counts_what_the_real_run_moves_and_moves_nothing__X7(self, customers: Customers) -> None:
        customer = customers(rules())
        for row, age in ((1, 91), (2, 120), (3, 150)):
            customer.insert(row, age, "calls")
        dry = night(customer, mode=Mode.DRY_RUN)
        planned = [each.to_archive for store in dry.stores for each in store.categories]
        assert customer.archived() == set()
        assert (evidence_of(dry).archive_due, evidence_of(dry).archived) == (3, 0)
        real = night(customer)
        assert [each.to_archive for store in real.stores for each in store.categories] == planned
        assert (customer.live(), len(customer.archived())) == (set(), 3)

    def test_a_late_row_follows_and_a_second_night_finds_nothing__D3(self, customers: Customers) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls")
        counts = [evidence_of(night(customer)).archived for _ in range(2)]
        customer.insert(2, 100, "calls")
        assert [*counts, evidence_of(night(customer)).archived] == [1, 0, 1]
        assert (customer.live(), customer.archived()) == (set(), {"calls:1", "calls:2"})

    def test_a_key_that_the_application_writes_again_stays_in_both_and_the_night_fails__D3(
        self, customers: Customers
    ) -> None:
        customer = customers(rules())
        birth = datetime.now(UTC) - timedelta(days=100)
        customer.insert(1, birth, "calls")
        night(customer)
        customer.insert(1, birth, "calls", caller="+31")
        customer.insert(2, 100, "calls")
        done = night(customer)
        assert done.outcome is Outcome.INCOMPLETE
        assert {each.failure for store in done.stores for each in store.categories} == {None, "ArchiveConflict"}
        assert (customer.live(), customer.archived()) == ({"calls:1"}, {"calls:1", "calls:2"})
        assert (customer.callers(LIVE), customer.callers(ARCHIVE)) == ({"+31"}, {"+471", "+472"})

    def test_a_key_that_was_written_again_with_the_same_values_is_one_row_again__D3(self, customers: Customers) -> None:
        customer = customers(rules())
        birth = datetime.now(UTC) - timedelta(days=100)
        for _ in range(2):
            customer.insert(1, birth, "calls")
            assert night(customer).outcome is Outcome.SUCCEEDED
        assert (customer.live(), customer.archived()) == (set(), {"calls:1"})

    def test_without_the_archive_in_the_run_nothing_moves_and_all_else_goes_on__M10(self, customers: Customers) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls")
        customer.insert(2, 400, "calls")
        done = night(customer, without=(ARCHIVE,))
        assert done.outcome is Outcome.INCOMPLETE
        assert [each.failure for store in done.stores for each in store.categories] == [None, "ArchiveNotReady"]
        assert (customer.live(), customer.archived()) == ({"calls:1"}, set())

    def test_when_the_rule_is_taken_away_the_archive_goes_on_expiring__D3_M10(self, customers: Customers) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls")
        customer.insert(2, 300, "calls")
        night(customer)
        customer.redefine(rules(None, "P200D").placed_in([LIVE, ARCHIVE]))
        customer.insert(3, 100, "calls")
        assert night(customer).outcome is Outcome.SUCCEEDED
        assert (customer.live(), customer.archived()) == ({"calls:3"}, {"calls:1"})

    def test_the_archive_takes_nothing_young_and_a_live_database_takes_nothing_at_all__M8(
        self, customers: Customers
    ) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls")
        with begun(customer) as (sessions, run_id):
            (step,) = sessions[LIVE].archive_steps(run_id, RECORDS)
            (row,) = sessions[LIVE].archive_rows(run_id, step, None, 10).rows
            with pytest.raises(Invalid) as refusal:
                sessions[LIVE].take_archived(run_id, step, [row])
            assert refusal.value.reason == "NotAnArchive"
            born = (datetime.now(UTC) - timedelta(days=100)).strftime("%Y-%m-%d")
            young = ArchiveRow(digest="0", row=row.row.replace(born, (datetime.now(UTC)).strftime("%Y-%m-%d")))
            assert young.row != row.row
            with pytest.raises(Invalid) as refusal:
                sessions[ARCHIVE].take_archived(run_id, step, [young])
            assert refusal.value.reason == "YoungerThanArchiveAfter"

    def test_an_archive_that_began_a_moment_before_the_live_database_takes_every_row__D3(
        self, customers: Customers
    ) -> None:
        customer = customers(rules())
        clock = datetime.now(UTC) - timedelta(seconds=5)
        bound = cutoff(clock, Period.parse("P90D"))
        for row, birth in ((1, bound - timedelta(seconds=3)), (2, bound)):
            customer.insert(row, birth, "calls")

        def begun_before(name: str, database: Any) -> Any:
            return BegunBefore(database) if name == ARCHIVE else database

        assert night(customer, at=clock, wrapped=begun_before).outcome is Outcome.SUCCEEDED
        assert (customer.live(), customer.archived()) == (set(), {"calls:1", "calls:2"})

    def test_rows_of_one_birth_go_in_batches_too__D3_T5(self, customers: Customers) -> None:
        customer = customers(rules())
        birth = days_ago(100)
        for row in range(5):
            customer.insert(row, birth, "calls")
        with begun(customer) as (sessions, run_id):
            (step,) = sessions[LIVE].archive_steps(run_id, RECORDS)
            after, sizes = None, []
            while True:
                batch = sessions[LIVE].archive_rows(run_id, step, after, 2)
                sizes.append(len(batch.rows))
                sessions[ARCHIVE].take_archived(run_id, step, batch.rows)
                kept = sessions[ARCHIVE].archived_here(run_id, step, batch.rows)
                assert sessions[LIVE].archive_moved(run_id, step, batch, kept) == len(batch.rows)
                if (after := batch.through) is None:
                    break
        assert sizes == [2, 2, 1]
        assert (customer.live(), len(customer.archived())) == (set(), 5)

    def test_a_batch_that_is_told_twice_hides_no_row_that_stayed__D3(self, customers: Customers) -> None:
        customer = customers(rules(content_keep="P200D"))
        customer.insert(1, 100, "calls", "notes")
        customer.insert(2, 100, "calls")
        with begun(customer) as (sessions, run_id):
            (step,) = sessions[LIVE].archive_steps(run_id, RECORDS)
            batch = sessions[LIVE].archive_rows(run_id, step, None, 10)
            assert (len(batch.rows), batch.waiting) == (1, 1)
            for _ in range(2):
                # The first answer was lost on its way.
                assert sessions[LIVE].archive_moved(run_id, step, batch, ()) == 0
            assert sessions[LIVE].finish_run(run_id).outcome == "Incomplete", (
                "one waits for its content, one just stayed"
            )

    def test_a_row_that_changed_after_it_was_read_stays_live__D3(self, customers: Customers) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls")
        customer.insert(2, 100, "calls")
        with begun(customer) as (sessions, run_id):
            (step,) = sessions[LIVE].archive_steps(run_id, RECORDS)
            batch = sessions[LIVE].archive_rows(run_id, step, None, 10)
            sessions[ARCHIVE].take_archived(run_id, step, batch.rows)
            kept = sessions[ARCHIVE].archived_here(run_id, step, batch.rows)
            assert set(kept) == {row.digest for row in batch.rows}
            customer.rename(2, "+31")
            assert sessions[LIVE].archive_moved(run_id, step, batch, kept) == 1
        assert customer.live() == {"calls:2"}


def in_memory(given: RetentionDefinition) -> InMemoryCustomer:
    """A customer in memory, at the real time."""
    return InMemoryCustomer(given, lambda: datetime.now(UTC))


def on_server(closing: ExitStack, databases: TenantDatabases, given: RetentionDefinition) -> RealCustomer:
    """A customer on a real server; its databases are gone when ``closing`` is closed."""
    return RealCustomer(given, {name: closing.enter_context(databases.having(given, name)) for name in (LIVE, ARCHIVE)})


class TestInMemory(ArchivingContract):
    """The twin that the engine's unit tests run on."""

    @pytest.fixture
    def customers(self) -> Customers:
        return in_memory


@pytest.mark.every_postgres
class TestRealStores(ArchivingContract):
    """PostgreSQL 15, 17 and 18."""

    @pytest.fixture
    def customers(self, tenant_databases: TenantDatabases) -> Iterator[Customers]:
        with ExitStack() as closing:

            def make(given: RetentionDefinition) -> RealCustomer:
                return on_server(closing, tenant_databases, given)

            yield make

    def test_a_row_without_a_value_in_a_column_that_is_required_since_then_moves_too__D3_M11(
        self, tenant_databases: TenantDatabases
    ) -> None:
        before = rules()
        required = text("carrier").model_copy(update={"nullable": False})
        tables = tuple(
            each.model_copy(update={"columns": (*each.columns, required)}) if each.name == "calls" else each
            for each in before.tables
        )
        since = before.model_copy(update={"tables": tables})
        with ExitStack() as closing:
            live = closing.enter_context(tenant_databases.having(before, LIVE))
            customer = RealCustomer(before, {LIVE: live})
            customer.insert(1, 100, "calls")
            live.apply(since, LIVE)
            customer.databases[ARCHIVE] = closing.enter_context(tenant_databases.having(since, ARCHIVE))
            customer.rules = since
            assert night(customer).outcome is Outcome.SUCCEEDED
            assert (customer.live(), customer.archived()) == (set(), {"calls:1"})
