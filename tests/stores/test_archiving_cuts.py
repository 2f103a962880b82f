"""The connection to either database dies at any commit while rows move to the archive or back: none is lost, none moves twice.

On one PostgreSQL: what a cut leaves is a matter of the protocol, and each function runs on all of them in the contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.enforcement.few_connections import FewConnections
from tenant_retention.enforcement.results import Outcome
from tests.stores.archiving import LIVE, RealCustomer, evidence_of, night, rules
from tests.stores.enforcement_archive import Hooked, days_ago
from tests.stores.proxy import Proxy, Side, cut_along, proxied, proxy_to
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.tenant_databases import TenantDatabases
from tests.stores.test_archive_cli import Customer, customer
from tests.stores.test_archiving_contract import on_server
from tests.stores.test_archiving_kills import DUE, STAY, arrange

__all__ = ["customer"]


@dataclass
class ReachedBy(RealCustomer):
    """A customer one of whose databases nights reach by a proxy alone, as the program opens them."""

    place: str
    proxy: Proxy

    def sessions(self) -> dict[str, Any]:
        """See ``Customer``."""
        few = FewConnections()
        opened = {}
        for name, database in self.databases.items():
            port = self.proxy.port if name == self.place else database.administrator.port
            way = replace(database, administrator=replace(database.administrator, port=port))
            opened[name] = PostgresEnforcementDatabase(partial(few.opening, name, partial(way.connect, "enforcer")))
        return opened


@contextmanager
def reached_by_proxy(databases: TenantDatabases, place: str) -> Iterator[ReachedBy]:
    with ExitStack() as closing:
        made = on_server(closing, databases, rules(content_keep="P200D"))
        port = made.databases[place].administrator.port
        proxy = closing.enter_context(proxy_to("127.0.0.1", port))
        yield ReachedBy(made.rules, made.databases, place, proxy)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("place", [LIVE, ARCHIVE])
def test_a_connection_that_dies_before_or_after_any_commit_is_made_good_in_the_same_night__D3_X6(
    tenant_databases: TenantDatabases, place: str, side: Side
) -> None:
    with reached_by_proxy(tenant_databases, place) as moving:
        arrange(moving)
        assert night(moving).outcome is Outcome.SUCCEEDED
        for _, where in cut_along(moving.proxy, side, moving.proxy.counts[side], 13):
            moving.empty()
            arrange(moving)
            done = night(moving)
            assert done.outcome is Outcome.SUCCEEDED, f"{where}: {done}"
            assert (moving.live(), moving.archived()) == (STAY, DUE), where
            assert evidence_of(done).archived == len(DUE), f"each row is told once: {where}"
            assert evidence_of(done, ARCHIVE).residue == 0, where


def test_an_archive_that_goes_away_before_it_is_read_back_costs_the_live_database_no_row__D3_X6(
    tenant_databases: TenantDatabases,
) -> None:
    with reached_by_proxy(tenant_databases, ARCHIVE) as moving:
        arrange(moving)

        def away(name: str, _: int) -> None:
            if name == "archived_here":
                moving.proxy.go_away()

        done = night(moving, wrapped=lambda name, database: Hooked(database, away))
        assert done.outcome is not Outcome.SUCCEEDED
        assert evidence_of(done).archived == 0
        assert moving.live() == STAY | DUE, "what was written there was never shown to be there"
        moving.proxy.away = False
        assert night(moving).outcome is Outcome.SUCCEEDED
        assert (moving.live(), moving.archived()) == (STAY, DUE)


# psycopg leaves a cursor open whose CLOSE is cut off; it goes with its connection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_restore_that_is_cut_anywhere_is_given_again_and_ends_with_every_row_there_once__D3_T5(
    customer: Customer, postgres_process: PostgresProcess
) -> None:
    assert customer.run("install", "--plan", "plan.yaml", "--administrator-binding", "administrator").returncode == 0
    insert = "INSERT INTO public.calls (id, session_id, started_at, caller) VALUES (%s, %s, %s, '+47')"
    for row, age in ((1, 300), (2, 120), (3, 100), (4, 10)):
        customer.write(LIVE, insert, row, str(row), days_ago(age))
    assert customer.run("enforce", "--plan", "plan.yaml", "-q").returncode == 0
    span = ("--from", days_ago(400).isoformat(), "--to", days_ago(50).isoformat())
    restore = ("archive", "restore", "--plan", "plan.yaml", "--category", "records", *span)
    places = [(file, side) for file in ("acme-analytical-enforcer/port", "acme-archive-app/port") for side in Side]
    for file, side in places:
        with proxied(customer.directory / file) as proxy:
            assert customer.run(*restore).stdout == "restored 3 rows, refused 0\n"
            for _, where in cut_along(proxy, side, proxy.counts[side], 7):
                take_back(postgres_process, customer)
                done = customer.run(*restore)
                assert done.returncode in (0, 3), f"{where}: {done}"
                assert (4 in customer.ids(LIVE), customer.ids(ARCHIVE)) == (True, [1, 2, 3]), where
                again = customer.run(*restore)
                assert again.stdout == "restored 3 rows, refused 0\n", f"{where}: {again}"
                assert customer.ids(LIVE) == [1, 2, 3, 4], where


def take_back(server: PostgresProcess, customer: Customer) -> None:
    """Out of the live database, as a night does once the time of the restore is over."""
    found = customer.definition
    database = StoreIdentity(found.installation, found.namespace, found.policy, LIVE).database()
    with connect_as(replace(server.superuser, database=database)) as connection:
        connection.execute("DELETE FROM public.calls WHERE id < 4")
