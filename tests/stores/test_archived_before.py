"""Rows in the archive of a category that may not be archived any more: the same rules go on there (D3, M8, M10)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tenant_retention.domain.definition import (
    ARCHIVE,
    CategoryState,
    ClockEvent,
    ObjectsDefinition,
    RetentionDefinition,
)
from tenant_retention.enforcement.results import Outcome
from tests.stores.archiving import RECORDS, evidence_of, night, rules
from tests.stores.tenant_databases import TenantDatabases
from tests.stores.test_archiving_contract import Customers, in_memory, on_server
from tests.support.enforcement import column


def closable(given: RetentionDefinition) -> RetentionDefinition:
    """With a column that says when a call or survey was closed."""
    closed = column("closed_at", "Timestamp")
    tables = tuple(
        each.model_copy(
            update={"columns": (*each.columns, closed), "clock_columns": (*each.clock_columns, "closed_at")}
        )
        for each in given.tables
    )
    return given.model_copy(update={"tables": tables})


def by_closing(keep: str) -> RetentionDefinition:
    """The same category, counted from its closing: nothing of it is archived."""
    return having(closable(rules(None, keep)), clock_event=ClockEvent.CLOSED, clock_column="closed_at")


def having(given: RetentionDefinition, **more: Any) -> RetentionDefinition:
    """With records of which this is said, too."""
    categories = (each.model_copy(update=more) if each.name == RECORDS else each for each in given.categories)
    return given.model_copy(update={"categories": tuple(categories)}).placed_in(["Analytical", ARCHIVE])


class ArchivedBefore:
    """The contract; subclasses say what a customer is."""

    def test_rows_of_a_category_that_counts_from_its_closing_now_go_on_expiring_in_the_archive__D3_M10(
        self, customers: Customers
    ) -> None:
        customer = customers(closable(rules()))
        for row, age in ((1, 100), (2, 300), (3, 300)):
            customer.insert(row, age, "calls")
        customer.close(3, 150)
        night(customer)
        assert customer.archived() == {"calls:1", "calls:2", "calls:3"}
        customer.redefine(by_closing("P200D"))
        done = night(customer)
        assert done.outcome is Outcome.SUCCEEDED
        assert customer.archived() == {"calls:1", "calls:3"}, "nobody can close 2 there; 3 was closed 150 days ago (M8)"
        assert evidence_of(done, ARCHIVE).acted == 1
        customer.redefine(by_closing("P149D"))
        night(customer)
        assert customer.archived() == {"calls:1"}

    def test_rows_of_a_category_whose_rows_name_objects_now_go_on_expiring_in_the_archive__D3_M10(
        self, customers: Customers
    ) -> None:
        customer = customers(rules())
        customer.insert(1, 100, "calls")
        customer.insert(2, 300, "calls")
        night(customer)
        link = ObjectsDefinition(bucket="Recordings", table="calls", key_column="caller", version_column="caller")
        customer.redefine(having(rules(None, "P200D"), objects=link))
        done = night(customer, without=("Analytical",))
        assert customer.archived() == {"calls:1"}
        assert evidence_of(done, ARCHIVE).acted == 1

    def test_rows_of_a_category_that_is_not_enforced_any_more_stay_and_go_when_it_is_again__D3_M10(
        self, customers: Customers
    ) -> None:
        customer = customers(rules())
        customer.insert(1, 300, "calls")
        night(customer)
        customer.redefine(having(rules(None, "P200D"), state=CategoryState.NOT_ENFORCED))
        night(customer)
        assert customer.archived() == {"calls:1"}
        customer.redefine(having(rules(None, "P200D")))
        night(customer)
        assert customer.archived() == set()


class TestInMemory(ArchivedBefore):
    """The twin that the engine's unit tests run on."""

    @pytest.fixture
    def customers(self) -> Customers:
        return in_memory


@pytest.mark.every_postgres
class TestRealStores(ArchivedBefore):
    """PostgreSQL 15, 17 and 18."""

    def test_large_rows_go_in_small_batches__D3_T5(self, customers: Customers) -> None:
        customer = customers(rules())
        for row in range(5):
            customer.insert(row, 100, "calls", caller="+" * 3_000_000)
        batches: list[int] = []

        class Watched:
            def __init__(self, inner: Any) -> None:
                self._inner = inner

            def __getattr__(self, name: str) -> Any:
                return getattr(self._inner, name)

            def take_archived(self, run_id: Any, step: Any, rows: Any) -> None:
                batches.append(len(rows))
                self._inner.take_archived(run_id, step, rows)

        assert night(customer, wrapped=lambda _, database: Watched(database)).outcome is Outcome.SUCCEEDED
        assert batches == [2, 2, 1]
        assert len(customer.archived()) == 5

    @pytest.fixture
    def customers(self, tenant_databases: TenantDatabases) -> Iterator[Customers]:
        with ExitStack() as closing:

            def make(given: RetentionDefinition) -> Any:
                return on_server(closing, tenant_databases, given)

            yield make
