"""A cached copy tells of a person no longer than the row that it is about (T6, X1): in memory, and with PostgreSQL and Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tenant_retention.adapters.fakes.tenant_server import TenantServer
from tenant_retention.domain.definition import ClockEvent
from tenant_retention.enforcement.results import Outcome
from tests.stores.cache_servers import CacheSite, FakeSite, real_site
from tests.stores.servers.valkey import ValkeyProcess
from tests.stores.tenant_databases import TenantDatabases, category, days_ago, definition, table
from tests.stores.test_cache_sweep import DAY, MemoryRows, RealRows, Rows, Tenant, TenantContract, cached, days
from tests.support.enforcement import column

CALLER = column("caller", role="PhoneNumber", method="SetNull")
CLOSED = {"clock_event": ClockEvent.CLOSED, "clock_column": "closed_at"}
RULES = definition(
    [table("calls", CALLER), table("cases", CALLER, column("closed_at", "Timestamp"), clock_columns=("closed_at",))],
    [
        category("records", "calls", cache=cached("calls", "calls"), anonymize_after="P30D"),
        category("cases", "cases", cache=cached("cases", "cases"), anonymize_after="P30D", **CLOSED),
    ],
    guard_percent=100,
)
"""Calls lose their caller 30 days after they began, cases after they were closed; both stay for 90."""


class PersonsContract(TenantContract):
    """The contract; subclasses say which stores."""

    rules = RULES

    def test_a_key_tells_of_a_person_no_longer_than_its_row_whenever_it_is_written__T6_X1(self, tenant: Tenant) -> None:
        for session, age in (("young", 1), ("middle", 20), ("old", 31)):
            tenant.rows.add("calls", session, days_ago(age), caller="+4711")
            tenant.cache(f"calls:{session}")
        tenant.cache("calls:middle:notes", DAY)
        assert tenant.night().outcome is Outcome.SUCCEEDED
        left = tenant.left()
        assert left.keys() == {"calls:young", "calls:middle", "calls:middle:notes"}, "the row of the old one is there"
        assert days(left["calls:young"]) == pytest.approx(29, abs=0.01)
        assert days(left["calls:middle"]) == pytest.approx(10, abs=0.01)
        assert days(left["calls:middle:notes"]) == pytest.approx(1, abs=0.01)
        assert tenant.told("records").limited == 3
        tenant.cache("calls:young")
        tenant.night()
        assert days(tenant.left()["calls:young"]) == pytest.approx(29, abs=0.01), "written anew it counts as its row"
        assert tenant.told("records").limited == 1, "the others have what they may"

    def test_a_key_about_a_case_ends_at_an_age_that_counts_from_its_closing__T6_X1(self, tenant: Tenant) -> None:
        tenant.rows.add("cases", "open", days_ago(80), caller="+4711")
        for session, age in (("closed", 20), ("long-closed", 31)):
            tenant.rows.add("cases", session, days_ago(80), caller="+4711", closed_at=days_ago(age))
        for session in ("open", "closed", "long-closed"):
            tenant.cache(f"cases:{session}")
        assert tenant.night().outcome is Outcome.SUCCEEDED
        left = tenant.left()
        assert left.keys() == {"cases:open", "cases:closed"}
        assert left["cases:open"] is None
        assert days(left["cases:closed"]) == pytest.approx(10, abs=0.01)

    def test_of_several_rows_the_first_one_that_loses_the_person_ends_the_key__T6(self, tenant: Tenant) -> None:
        for age in (5, 25):
            tenant.rows.add("calls", "both", days_ago(age), caller="+4711")
        tenant.cache("calls:both")
        tenant.night()
        assert days(tenant.left()["calls:both"]) == pytest.approx(5, abs=0.01)


class TestInMemory(PersonsContract):
    """Both in memory."""

    @pytest.fixture
    def rows(self) -> Rows:
        return MemoryRows(TenantServer(RULES, "Analytical", lambda: datetime.now(UTC)))

    @pytest.fixture
    def site(self) -> CacheSite:
        return FakeSite()


@pytest.mark.oldest_and_newest
class TestRealStores(PersonsContract):
    """PostgreSQL and Valkey."""

    @pytest.fixture
    def rows(self, tenant_databases: TenantDatabases) -> Iterator[Rows]:
        with tenant_databases.having(RULES) as database:
            yield RealRows(database)

    @pytest.fixture
    def site(self, valkey: ValkeyProcess) -> Iterator[CacheSite]:
        with real_site(valkey) as site:
            yield site

    def test_the_row_that_ended_its_key_has_lost_the_person_in_the_same_night__T6_X1(self, tenant: Tenant) -> None:
        assert isinstance(tenant.rows, RealRows)
        tenant.rows.add("calls", "old", days_ago(31), caller="+4711")
        tenant.cache("calls:old")
        tenant.night()
        assert tenant.rows.database.rows("SELECT session_id, caller FROM calls") == [("old", None)]
        assert tenant.left() == {}
