"""The engine dies at every call of a night that archives: each row is in one of the two at any time, and in exactly one at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.enforcement.results import Outcome
from tests.stores.archiving import evidence_of, night, rules
from tests.stores.tenant_databases import TenantDatabases
from tests.stores.test_archiving_contract import Customers, in_memory, on_server

DUE = {"calls:1", "surveys:1", "calls:2", "surveys:2", "calls:3"}
STAY = {"calls:4", "calls:5", "notes:5", "calls:6"}
EFFECTS = frozenset({"archive_steps", "archive_rows", "take_archived", "archived_here", "archive_moved", "finish_run"})


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


class Mortal:
    """Stands before both databases and dies at the ``at``-th of those calls, ``before`` it or after its transaction is over."""

    def __init__(self, at: int | None = None, *, before: bool = False) -> None:
        self.calls = 0
        self._at, self._before = at, before

    def wrapped(self, _: str, database: Any) -> Any:
        """That database, mortal."""
        return _Wrapped(database, self.call)

    def call(self, name: str, act: Callable[[], Any]) -> Any:
        """Makes the call, or dies."""
        if name not in EFFECTS:
            return act()
        self.calls += 1
        if self.calls == self._at and self._before:
            raise Killed
        answer = act()
        if self.calls == self._at:
            raise Killed
        return answer


class _Wrapped:
    def __init__(self, database: Any, call: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._database, self._call = database, call

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._call(name, lambda: getattr(self._database, name)(*arguments))


def arrange(customer: Any) -> None:
    """Rows of two months that move; young, held, with content, and past their keep."""
    customer.insert(1, 95, "calls", "surveys")
    customer.insert(2, 130, "calls", "surveys")
    customer.insert(3, 131, "calls")
    customer.insert(4, 89, "calls")
    customer.insert(5, 120, "calls", "notes")
    customer.insert(6, 140, "calls")
    customer.hold(6)


class KillContract:
    """The contract; subclasses say what a customer is."""

    def test_killed_at_any_call_no_row_is_lost_and_the_next_night_ends_it_with_exactly_one__D3_X6(
        self, customers: Customers
    ) -> None:
        customer = customers(rules(content_keep="P200D"))
        arrange(customer)
        counted = Mortal()
        assert night(customer, wrapped=counted.wrapped).outcome is Outcome.SUCCEEDED
        assert (customer.live(), customer.archived()) == (STAY, DUE)
        assert counted.calls >= 15, "every kind of call is among them"
        points = [(1, True), *((number, False) for number in range(1, counted.calls + 1))]
        for at, before in points:
            customer.empty()
            arrange(customer)
            mortal = Mortal(at, before=before)
            with pytest.raises(Killed):
                night(customer, wrapped=mortal.wrapped)
            live, archived = customer.live(), customer.archived()
            assert live | archived == STAY | DUE, f"lost at call {at}"
            assert live >= STAY, f"early at call {at}"
            assert archived <= DUE, f"early at call {at}"
            done = night(customer)
            assert done.outcome is Outcome.SUCCEEDED, f"after call {at}"
            assert (customer.live(), customer.archived()) == (STAY, DUE), f"after call {at}"
            assert evidence_of(done, ARCHIVE).residue == 0


class TestInMemory(KillContract):
    """The twin."""

    @pytest.fixture
    def customers(self) -> Customers:
        return in_memory


class TestRealStores(KillContract):
    """PostgreSQL."""

    @pytest.fixture
    def customers(self, tenant_databases: TenantDatabases) -> Iterator[Customers]:
        with ExitStack() as closing:

            def make(given: RetentionDefinition) -> Any:
                return on_server(closing, tenant_databases, given)

            yield make
