"""A released store on real PostgreSQL: the database itself refuses runs, until the operator binds it again (X5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.errors import Invalid, NotReady, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.stores import DATABASE_ROLES, DatabaseLogin, DatabaseRequest, DatabaseServer
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.servers.whole_server import everything
from tests.stores.tenant_databases import records

RULES = records(keep="P30D", maximum="P60D")


class Customer:
    """A database as the reconcile makes it, and the enforcer's login there."""

    def __init__(self, process: PostgresProcess, directory: Path) -> None:
        self.administrator = access = process.administrator
        self.stores = RealTenantStores(directory)
        self.server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
        self.identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Analytical")
        passwords = {role: f"password of {role}" for role in DATABASE_ROLES}
        self.request = DatabaseRequest(self.server, self.identity, "uid-1", RULES, passwords)
        users = self.stores.prepare_database(self.request).usernames
        self.enforcer = replace(
            access, database=self.request.name, user=users["enforcer"], password=passwords["enforcer"]
        )
        where = (access.host, access.port, self.request.name)
        self.observer = DatabaseLogin(*where, users["observer"], passwords["observer"], self.server.ca)

    def as_owner(self, statement: str) -> None:
        """Does what an owner may do by hand."""
        with connect_as(replace(self.administrator, database=self.request.name)) as connection:
            owner = sql.Identifier(f"{self.request.name}_owner")
            connection.execute(sql.SQL("SET ROLE {}").format(owner))
            connection.execute(statement.encode())

    def begin(self) -> str:
        """The reason for which a run is refused; ``begun`` if it is not."""
        database = PostgresEnforcementDatabase(lambda: connect_as(self.enforcer))
        try:
            database.begin_run(uuid4(), Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
        except NotReady as refused:
            return refused.reason
        finally:
            database.close()
        return "begun"


@pytest.fixture
def customer(postgres_process: PostgresProcess, tmp_path: Path) -> Customer:
    """One customer on a real server."""
    return Customer(postgres_process, tmp_path)


def test_a_released_database_refuses_runs_until_it_is_bound_again__X5(customer: Customer) -> None:
    customer.stores.release_database(customer.server, customer.identity, "uid-1")
    customer.stores.release_database(customer.server, customer.identity, "uid-1")
    assert customer.begin() == "Suspended"

    customer.stores.prepare_database(customer.request)

    assert customer.begin() == "begun"


def test_what_is_past_its_max_in_a_released_database_is_counted_as_debt_and_stays__X4_X5(customer: Customer) -> None:
    customer.as_owner(
        "INSERT INTO public.calls (id, started_at) SELECT age, now() - make_interval(days => age)"
        " FROM unnest(ARRAY[61, 55, 31, 1]) AS age"
    )
    customer.stores.release_database(customer.server, customer.identity, "uid-1")
    assert customer.begin() == "Suspended"

    facts = customer.stores.observe_database(customer.observer)

    assert (facts.overdue(), facts.rows()) == (1, 4), "what is past its keep alone is no debt"
    assert facts.next_deadline() == pytest.approx(datetime.now(UTC) - timedelta(days=1), abs=timedelta(minutes=5))


def test_a_customers_server_differs_by_what_is_ours_alone_from_the_first_look_to_the_release__D6(
    postgres_process: PostgresProcess, tmp_path: Path
) -> None:
    before = everything(postgres_process)
    customer = Customer(postgres_process, tmp_path)
    customer.stores.check(customer.server)
    customer.stores.measure_database(customer.request, True)
    customer.stores.probe_database(customer.request, "")
    customer.stores.probe_database_encryption(customer.request)
    customer.stores.release_database(customer.server, customer.identity, "uid-1")
    assert everything(postgres_process) != before
    assert everything(postgres_process, but=customer.request.name) == before


def test_a_database_that_another_cluster_has_by_now_is_not_released_by_this_one__X2(customer: Customer) -> None:
    with pytest.raises(Invalid) as refused:
        customer.stores.release_database(customer.server, customer.identity, "uid of another life")

    assert refused.value.reason == "StoreConflict"
    assert customer.begin() == "begun"


def test_an_operator_whose_clock_differs_says_so_and_no_run_deletes_until_it_agrees__M8(
    customer: Customer, tmp_path: Path
) -> None:
    ahead = RealTenantStores(tmp_path, lambda: datetime.now(UTC) + timedelta(hours=1))
    assert any("differ by over a minute" in said for said in ahead.prepare_database(customer.request).warnings)
    assert customer.begin() == "ClockSkew"
    assert "differ" not in "".join(customer.stores.prepare_database(customer.request).warnings)
    assert customer.begin() == "begun"


def test_a_difference_of_clocks_is_forgotten_although_months_are_missing__M10(
    customer: Customer, tmp_path: Path
) -> None:
    RealTenantStores(tmp_path, lambda: datetime.now(UTC) + timedelta(hours=1)).prepare_database(customer.request)
    assert customer.begin() == "ClockSkew"
    customer.as_owner("CREATE TABLE public.calls_rest PARTITION OF public.calls DEFAULT")

    with pytest.raises(Unavailable) as missing:
        customer.stores.prepare_database(customer.request)

    assert missing.value.reason == "PartitionsMissing"
    assert customer.begin() == "begun"
