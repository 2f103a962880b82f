"""Bought storage (T5) of rows that lie in the archive, in its database and in its files: the bought bounds count there as in the live
database, the end is announced, and what was kept by it goes in the first night after it. The servers' clock is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_retention.domain.category_status import category_rows, counts_of
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.copies import RUN_INTERVAL, margin
from tenant_retention.domain.definition import ARCHIVE, ExtendedDefinition, RetentionDefinition
from tenant_retention.domain.extended_storage import ANNOUNCED_BEFORE, extension_findings
from tenant_retention.domain.ports.observation import CategoryObservation
from tenant_retention.domain.several_databases import observed_as_one
from tenant_retention.enforcement.results import Outcome, RunResult
from tests.stores.archiving import LIVE, RECORDS, RealCustomer, night, rules
from tests.stores.file_archive import FileCustomer, file_customer
from tests.stores.servers.postgres import PostgresProcess
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import TenantDatabases
from tests.stores.test_category_boundaries import BIRTHS, SECOND, clocked, databases
from tests.support.calendar_model import model_end

__all__ = ["clocked", "databases"]

UNTIL = datetime(2024, 9, 30, 12, tzinfo=UTC)
MARGIN = margin(in_files=True)
ARCHIVED_AT = datetime(2024, 8, 14, tzinfo=UTC)
"""A night at which every row is past its archiveAfter, and the bought keep of none is over."""
BORN = (*BIRTHS[:4], datetime(2024, 5, 15, 10, tzinfo=UTC))
"""The first is past its bought keep before the end, the last within its own keep after it; the others go at the end."""


def half_a_year(until: datetime | None = None, guard_percent: int = 1, *, bought: bool = True) -> RetentionDefinition:
    """Calls and surveys that are kept for half a year, a year where that was ``bought``, and archived after 90 days."""
    extended = ExtendedDefinition(keep="P1Y", maximum="P3Y", until=until) if bought else None
    found = rules("P90D", "P6M", content_keep="P14D", back="P15M", maximum="P6M", extended=extended)
    return found.model_copy(update={"margin_seconds": int(MARGIN.total_seconds()), "guard_percent": guard_percent})


@dataclass
class Archived:
    """A customer with rows in its archive, in whichever place; every clock is the server's."""

    customer: RealCustomer
    clocked: PostgresProcess

    def set(self, at: datetime) -> None:
        """It is this instant."""
        assert self.clocked.clock is not None
        self.clocked.clock.set(at)

    def night(self, at: datetime) -> RunResult:
        """One at this instant."""
        self.set(at)
        return self.customer.night(at=at) if isinstance(self.customer, FileCustomer) else night(self.customer, at=at)

    def redefine(self, given: RetentionDefinition) -> None:
        """The policy changed."""
        self.customer.redefine(placed(given, in_files=isinstance(self.customer, FileCustomer)))

    def facts(self) -> dict[str, Any]:
        """What the operator reads in every database."""
        return {name: each.observer().observe() for name, each in self.customer.databases.items()}

    def seen(self) -> CategoryObservation:
        """The same of the records."""
        return observed_as_one(each for facts in self.facts().values() for each in facts.categories)[RECORDS]

    def fill(self) -> dict[str, datetime]:
        """Two rows of each birth in both tables, archived; when each goes, by the words of T5: files go with their newest row."""
        goes, newest = {}, {}
        for day, born in enumerate(BORN):
            for number, at in enumerate((born - timedelta(minutes=5), born)):
                row = 10 * day + number
                self.customer.insert(row, at, "calls", "surveys")
                for table in ("calls", "surveys"):
                    goes[f"{table}:{row}"] = end_of(at)
                    newest[f"{table}:{row}"] = end_of(born)
        assert self.night(ARCHIVED_AT).outcome is Outcome.SUCCEEDED
        assert (self.customer.live(), self.customer.archived()) == (set(), set(goes))
        return newest if isinstance(self.customer, FileCustomer) else goes


def end_of(born: datetime) -> datetime:
    """Its bought keep, or the end of the bought time where its own keep was over before; its own keep after it."""
    own = min(model_end(born, "P6M"), model_end(born, "P6M") - MARGIN)
    bought = model_end(born, "P1Y")
    return bought if bought < UNTIL else max(own, UNTIL)


def placed(given: RetentionDefinition, *, in_files: bool) -> RetentionDefinition:
    """Where the policy's archive is a bucket it has no database for it."""
    return given.placed_in([LIVE] if in_files else [LIVE, ARCHIVE])


@pytest.fixture(params=["in a database", "in files"])
def archived(
    request: pytest.FixtureRequest, clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server
) -> Iterator[Archived]:
    """A customer that bought a year until ``UNTIL``."""
    given = placed(half_a_year(UNTIL), in_files=request.param == "in files")
    with ExitStack() as closing:
        if request.param == "in files":
            customer: RealCustomer = closing.enter_context(file_customer(databases, seaweedfs, given))
        else:
            made = {name: closing.enter_context(databases.having(given, name)) for name in (LIVE, ARCHIVE)}
            customer = RealCustomer(given, made)
        yield Archived(customer, clocked)


def test_archived_rows_keep_to_what_was_bought_and_go_at_its_end_to_the_second_without_asking__T5_D3_X9(
    archived: Archived,
) -> None:
    goes = archived.fill()
    ends = set(goes.values())
    assert {end < UNTIL for end in ends} == {True, False}
    assert max(ends) > UNTIL
    assert sum(end == UNTIL for end in goes.values()) > 10, "so many ask the guard where they are a surprise"
    for at in sorted({*ends, *(end - SECOND for end in ends)}):
        done = archived.night(at)
        assert done.outcome is Outcome.SUCCEEDED, (at, done)
        assert archived.customer.archived() == {row for row, end in goes.items() if at < end}, at
        assert archived.customer.live() == set()


def test_what_only_bought_time_kept_in_the_archive_is_due_at_its_end_and_debt_a_run_interval_later__T5_X4(
    archived: Archived,
) -> None:
    goes = archived.fill()
    until_then = sum(end < UNTIL for end in goes.values())
    at_the_end = sum(end <= UNTIL for end in goes.values())
    archived.night(UNTIL - SECOND)
    for at, due, overdue in (
        (UNTIL - SECOND, 0, 0),
        (UNTIL, at_the_end - until_then, 0),
        (UNTIL + RUN_INTERVAL - SECOND, at_the_end - until_then, 0),
        (UNTIL + RUN_INTERVAL, at_the_end - until_then, at_the_end - until_then),
    ):
        archived.set(at)
        found = archived.seen()
        assert (found.rows, found.due, found.overdue) == (len(goes) - until_then, due, overdue), at
        assert found.next_deadline == UNTIL + RUN_INTERVAL
    assert archived.night(UNTIL + RUN_INTERVAL).outcome is Outcome.SUCCEEDED
    assert (archived.seen().due, archived.seen().overdue) == (0, 0)


def test_the_end_of_bought_time_is_announced_for_rows_that_are_all_in_the_archive__T5(archived: Archived) -> None:
    goes = archived.fill()
    given = archived.customer.rules
    for at, soon in ((UNTIL - ANNOUNCED_BEFORE - SECOND, False), (UNTIL - ANNOUNCED_BEFORE, True), (UNTIL, False)):
        archived.set(at)
        (finding,) = extension_findings(given, at)
        assert (finding.holds, f"{RECORDS} on {instant(UNTIL)}" in finding.message) == (soon, soon), at
        told = category_rows(None, given, counts_of(archived.facts(), given), counted_only=False, now=at)
        (row,) = (each for each in told if each["name"] == RECORDS)
        assert (row["rows"], row["archived"]) == (len(goes), len(goes))
        assert (row["extendedKeep"], row["extendedUntil"]) == ("P1Y", instant(UNTIL))
        assert row["effectiveKeep"] == ("P1Y" if at < UNTIL else "P178D"), "a margin before max"


def test_what_was_bought_for_rows_in_the_archive_and_is_taken_back_before_its_end_asks__T5_X3(
    archived: Archived,
) -> None:
    goes = archived.fill()
    before = UNTIL - timedelta(days=1)
    kept = {row for row, end in goes.items() if before < end}
    assert archived.night(before).outcome is Outcome.SUCCEEDED
    archived.redefine(half_a_year(bought=False))
    assert archived.night(before + SECOND).outcome is Outcome.APPROVAL_REQUIRED
    assert archived.customer.archived() == kept
    archived.redefine(half_a_year(UNTIL))
    assert archived.night(before + 2 * SECOND).outcome is Outcome.SUCCEEDED
    assert archived.customer.archived() == kept


def test_rows_that_are_in_the_archive_already_stay_when_longer_storage_is_bought_for_them__T5_D3(
    archived: Archived,
) -> None:
    born = BORN[-1]
    archived.redefine(half_a_year(bought=False))
    archived.customer.insert(1, born, "calls", "surveys")
    archived.night(ARCHIVED_AT)
    assert archived.customer.archived() == {"calls:1", "surveys:1"}
    own = model_end(born, "P6M") - MARGIN
    archived.redefine(half_a_year(until := own + timedelta(days=3)))
    for at in (own, until - SECOND):
        assert archived.night(at).outcome is Outcome.SUCCEEDED
        assert archived.customer.archived() == {"calls:1", "surveys:1"}, at
    assert archived.night(until).outcome is Outcome.SUCCEEDED
    assert archived.customer.archived() == set()
