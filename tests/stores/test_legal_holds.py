"""LegalHolds in the databases: placed once, released for good, seen by every night; in the fake as on real servers (X3)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import sql

from tenant_retention.adapters.fakes.stores import FakeTenantStores
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import Invalid, NotReady, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.holds import WantedHold
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.ports.stores import (
    DATABASE_ROLES,
    DatabaseLogin,
    DatabaseRequest,
    DatabaseServer,
    TenantStores,
)
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.archiving import LIVE, rules
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.tenant_databases import days_ago
from tests.support.enforcement import RecordedWorld, plan_of

RULES = rules()
CASE = WantedHold("case-17", "case 17/2026", sessions=("1", "3"))
EVERYTHING = WantedHold("case-18", "case 18/2026", born_to=days_ago(0))


@dataclass(frozen=True)
class Bench:
    """A policy's live database and its archive, both as the reconcile makes them."""

    stores: TenantStores
    requests: dict[str, DatabaseRequest]

    def place(self, name: str = LIVE) -> DatabasePlace:
        """One of the two."""
        request = self.requests[name]
        return DatabasePlace(request.server, request.identity, request.namespace_uid)


def bench(stores: TenantStores, server: DatabaseServer) -> Bench:
    """Both databases made."""
    installation, passwords = str(uuid4()), {role: f"password of {role}" for role in DATABASE_ROLES}
    requests = {
        name: DatabaseRequest(
            server, StoreIdentity(installation, "customer-acme", "acme", name), "uid-1", RULES, passwords
        )
        for name in (LIVE, ARCHIVE)
    }
    for request in requests.values():
        stores.prepare_database(request)
    return Bench(stores, requests)


@pytest.fixture(params=["fake", "postgres15", "postgres18"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """In memory and on real servers."""
    if request.param == "fake":
        return bench(FakeTenantStores(), DatabaseServer("pg", 5432, "administrator", "secret"))
    return bench(RealTenantStores(tmp_path), server_of(request.getfixturevalue(f"{request.param}_process")))


def server_of(process: PostgresProcess) -> DatabaseServer:
    access = process.administrator
    return DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())


def test_placed_twice_it_is_there_once_and_released_twice_it_ended_once__X3(kept: Bench) -> None:
    stores, place = kept.stores, kept.place()
    first = stores.place_hold(place, CASE)
    assert (first.added, first.unknown) == (2, ())
    again = stores.place_hold(place, CASE)
    assert (again.added, again.since) == (0, first.since)
    assert stores.release_hold(place, "another") == 0
    assert [stores.release_hold(place, CASE.name) for _ in range(2)] == [2, 0]
    assert stores.count_hold(place, CASE.name) == {}


def test_a_new_object_of_the_same_name_adds_and_its_release_ends_both__X3(kept: Bench) -> None:
    stores, place = kept.stores, kept.place()
    first = stores.place_hold(place, CASE)
    other = replace(CASE, sessions=("1",), units=("clinic",), reference="case 17b/2026")
    second = stores.place_hold(place, other)
    assert (second.added, second.since) == (1, first.since), "what the first one selected stays held"
    assert stores.release_hold(place, CASE.name) == 3
    assert stores.place_hold(place, CASE).added == 2, "a new one after a release holds anew"


def test_every_combination_of_its_lists_is_held__X3(kept: Bench) -> None:
    hold = WantedHold("wide", "case 19/2026", ("1", "2"), ("records", "notes"), ("clinic",), days_ago(9), days_ago(1))
    assert kept.stores.place_hold(kept.place(), hold).added == 4
    assert kept.stores.place_hold(kept.place(), hold).added == 0


def test_a_category_that_the_database_never_had_is_told__X3(kept: Bench) -> None:
    hold = WantedHold("typo", "case 20/2026", categories=("records", "recrods"))
    assert kept.stores.place_hold(kept.place(), hold).unknown == ("recrods",)


def test_the_store_of_another_namespace_is_left_alone__X2(kept: Bench) -> None:
    foreign = replace(kept.place(), namespace_uid="uid of another life")
    acts: tuple[Callable[[], object], ...] = (
        lambda: kept.stores.place_hold(foreign, CASE),
        lambda: kept.stores.release_hold(foreign, CASE.name),
        lambda: kept.stores.count_hold(foreign, CASE.name),
    )
    for act in acts:
        with pytest.raises(Invalid) as refused:
            act()
        assert refused.value.reason == "StoreConflict"


class Customer:
    """Both databases on a real server, with rows in them."""

    def __init__(self, process: PostgresProcess, directory: Path) -> None:
        self._access = process.administrator
        made = bench(RealTenantStores(directory), server_of(process))
        self.stores, self.requests, self.place = made.stores, made.requests, made.place

    def owner(self, name: str = LIVE) -> Any:
        """A session of the administrator that became the owner."""
        request = self.requests[name]
        connection = connect_as(replace(self._access, database=request.name))
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{request.name}_owner")))
        return connection

    def write(self, name: str, row: int, age: float, *tables: str, caller: str | None = None) -> None:
        """One call in each of these tables, its session named like it."""
        with self.owner(name) as owner:
            for table in tables:
                statement = sql.SQL("INSERT INTO public.{} (id, session_id, started_at) VALUES (%s, %s, %s)")
                owner.execute(statement.format(sql.Identifier(table)), (row, str(row), days_ago(age)))
            if caller is not None:
                owner.execute("UPDATE public.calls SET caller = %s WHERE id = %s", (caller, row))

    def rows(self, name: str) -> set[str]:
        """All rows as ``table:id``."""
        with self.owner(name) as owner:
            tables = ("calls", "surveys", "notes") if name == LIVE else ("calls", "surveys")
            statement = sql.SQL("SELECT id FROM public.{}")
            return {
                f"{table}:{row[0]}"
                for table in tables
                for row in owner.execute(statement.format(sql.Identifier(table))).fetchall()
            }

    def night(self) -> RunResult:
        """A whole run over both."""
        with ExitStack() as closing:
            sessions = {}
            for name, request in self.requests.items():
                login = replace(
                    self._access,
                    database=request.name,
                    user=f"{request.name}_enforcer_1",
                    password=request.passwords["enforcer"],
                )
                sessions[name] = PostgresEnforcementDatabase(lambda login=login: connect_as(login))  # type: ignore[misc]
                closing.callback(sessions[name].close)
            around = RecordedWorld(at=days_ago(0))
            return expire(plan_of(RULES), Stores(sessions, {}), uuid4(), around.world())

    def observer(self, name: str = LIVE) -> DatabaseLogin:
        """The operator's login that reads facts and evidence."""
        request = self.requests[name]
        server, user = request.server, f"{request.name}_observer_1"
        return DatabaseLogin(server.host, server.port, request.name, user, request.passwords["observer"], server.ca)

    def hold(self, hold: WantedHold) -> dict[str, Any]:
        """Placed in both; what it keeps in each."""
        for name in self.requests:
            self.stores.place_hold(self.place(name), hold)
        return {name: self.stores.count_hold(self.place(name), hold.name) for name in self.requests}

    def release(self, hold: WantedHold) -> None:
        """Released in both."""
        for name in self.requests:
            self.stores.release_hold(self.place(name), hold.name)


@pytest.fixture
def customer(postgres_process: PostgresProcess, tmp_path: Path) -> Customer:
    """One customer with rows past every keep time in both, and young ones that a night moves to the archive."""
    made = Customer(postgres_process, tmp_path)
    for row in (1, 2):
        made.write(LIVE, row, 400, "calls", "surveys", "notes")
    for row in (3, 4):
        made.write(ARCHIVE, row, 400, "calls", "surveys")
    return made


def test_a_night_takes_no_held_row_from_the_live_database_or_the_archive_until_it_is_released__X3(
    customer: Customer,
) -> None:
    customer.write(LIVE, 5, 100, "calls")
    wanted = replace(CASE, sessions=("1", "3", "5"))
    assert customer.hold(wanted) == {LIVE: {"records": 3, "notes": 1}, ARCHIVE: {"records": 2}}
    customer.night()
    held = {"calls:1", "surveys:1", "notes:1", "calls:5"}
    assert (customer.rows(LIVE), customer.rows(ARCHIVE)) == (held, {"calls:3", "surveys:3"})
    customer.release(wanted)
    customer.night()
    assert (customer.rows(LIVE), customer.rows(ARCHIVE)) == (set(), {"calls:5"})


def test_a_hold_is_counted_by_itself_through_the_session_of_what_it_selects__X3(customer: Customer) -> None:
    customer.hold(EVERYTHING)
    only_notes = replace(CASE, sessions=("1",), categories=("notes",))
    assert customer.hold(only_notes)[LIVE] == {"records": 2, "notes": 1}
    assert customer.hold(EVERYTHING)[LIVE] == {"records": 4, "notes": 2}


def test_the_observer_tells_what_is_in_force_by_name_and_what_was_placed_by_hand__X3(customer: Customer) -> None:
    login = customer.observer()
    customer.stores.place_hold(customer.place(), CASE)
    customer.stores.place_hold(customer.place(), EVERYTHING)
    with customer.owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('2')")
    told = customer.stores.observe_database(login).holds
    assert [(hold.name, hold.reference) for hold in told] == [
        (None, None),
        (CASE.name, CASE.reference),
        (EVERYTHING.name, EVERYTHING.reference),
    ]
    customer.stores.release_hold(customer.place(), CASE.name)
    assert CASE.name not in [hold.name for hold in customer.stores.observe_database(login).holds]


def test_a_hold_waits_for_a_deletion_under_way_and_the_next_one_sees_it__X3(customer: Customer) -> None:
    with customer.owner() as deleting:
        with deleting.transaction():
            deleting.execute("SELECT retention.lock_holds()")
            with pytest.raises(Unavailable) as waited:
                customer.stores.place_hold(customer.place(), CASE)
            assert waited.value.reason == "LockTimeout"
        assert customer.stores.place_hold(customer.place(), CASE).added == 2
        with deleting.transaction():
            deleting.execute("SELECT retention.lock_holds()")
            assert customer.stores.place_hold(customer.place(), CASE).added == 0, "all is in force: nobody waits"
    customer.night()
    assert "calls:1" in customer.rows(LIVE)


def test_counting_that_takes_too_long_says_so_and_places_the_hold_all_the_same__X3(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenant_retention.adapters.postgres.holds._COUNT_TIME", "200ms")
    customer.stores.place_hold(customer.place(), EVERYTHING)
    with customer.owner() as busy, busy.transaction():
        busy.execute("LOCK TABLE public.calls IN ACCESS EXCLUSIVE MODE")
        assert customer.stores.count_hold(customer.place(), EVERYTHING.name) is None
    assert customer.stores.count_hold(customer.place(), EVERYTHING.name) == {"records": 4, "notes": 2}


def test_a_database_from_before_keeps_its_holds_at_the_upgrade_and_takes_new_ones__M11_X3(customer: Customer) -> None:
    with customer.owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('2')")
        owner.execute("DROP FUNCTION retention.place_hold, retention.salt_of_hold")
        owner.execute("ALTER TABLE retention.hold DROP COLUMN name, DROP COLUMN person, DROP COLUMN salt")
        owner.execute("UPDATE retention.component SET source_digest = 'older'")
    with pytest.raises(NotReady):
        customer.stores.place_hold(customer.place(), CASE)
    customer.stores.prepare_database(customer.requests[LIVE])
    customer.hold(CASE)
    customer.release(CASE)
    customer.night()
    assert customer.rows(LIVE) == {"calls:2", "surveys:2", "notes:2"}, "placed by hand, and nobody released it"


def test_no_login_of_the_tenant_places_or_releases_a_hold__X2(customer: Customer) -> None:
    with customer.owner() as owner:
        granted = owner.execute(
            "SELECT p.proname, r.rolname FROM pg_proc AS p, pg_roles AS r WHERE p.pronamespace = 'retention'::regnamespace"
            " AND p.proname IN ('place_hold', 'release_hold', 'count_hold', 'missing_holds', 'salt_of_hold')"
            " AND r.rolname LIKE %s AND r.rolname NOT LIKE %s AND has_function_privilege(r.oid, p.oid, 'EXECUTE')",
            (f"{customer.requests[LIVE].name}%", "%\\_owner"),
        ).fetchall()
    assert granted == []
