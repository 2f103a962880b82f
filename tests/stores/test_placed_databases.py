"""A night over the home databases and a unit's private one, on real PostgreSQL, with the rules of the dialogue cloud (D2-D4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.category_status import counts_of
from tenant_retention.domain.names import purpose_of
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.few_connections import MOST_CONNECTIONS, FewConnections
from tenant_retention.enforcement.results import Outcome, RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.tenant_databases import Connection, TenantDatabase, TenantDatabases, days_ago
from tests.support.enforcement import RecordedWorld, column, plan_of, table
from tests.support.shared_bucket import two_databases

BEDS = "Analytical:beds"
_RULES = two_databases()
AGENTS = table("unit_agents", column("unit", role="Unit"), column("staff_id", role="StaffId"))
"""Which agents belong to which units: shared by all of them, kept as long as the records (D4)."""
RULES = _RULES.model_copy(
    update={
        "tables": (*_RULES.tables, AGENTS),
        "categories": tuple(
            each.model_copy(update={"tables": (*each.tables, "unit_agents")}) if each.name == "chat-logs" else each
            for each in _RULES.categories
        ),
    }
).placed_in(["Analytical", BEDS, "Dialogue"])
INSERT = "(id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, %s, 'v1')"
AGENT = "INSERT INTO unit_agents (id, session_id, started_at, unit, staff_id) VALUES (%s, 's', %s, %s, %s)"


class Customer:
    """The three databases of a policy, all of one digest, and its bucket."""

    def __init__(self, databases: dict[str, TenantDatabase]) -> None:
        self.databases = databases
        self.bucket = InMemoryContentBucket()

    def recording(self, database: str, key: str, age: float) -> None:
        self.bucket.objects.add((key, "v1"))
        self.databases[database].write("INSERT INTO recordings " + INSERT, key, key, days_ago(age), key)

    def keys(self) -> set[str]:
        return {key for key, _ in self.bucket.objects}

    def run(self, *without: str, categories: tuple[str, ...] = ()) -> RunResult:
        with ExitStack() as closing:
            sessions = {name: each.enforcer() for name, each in self.databases.items() if name not in without}
            for session in sessions.values():
                closing.callback(session.close)
            plan = plan_of(RULES, categories=categories)
            around = RecordedWorld(at=days_ago(0))
            return expire(plan, Stores(sessions, {"Content": self.bucket}), uuid4(), around.world())


@pytest.fixture
def customer(tenant_databases: TenantDatabases) -> Iterator[Customer]:
    with (
        tenant_databases.having(RULES) as home,
        tenant_databases.having(RULES) as beds,
        tenant_databases.having(RULES, "Dialogue") as dialogue,
    ):
        yield Customer({"Analytical": home, BEDS: beds, "Dialogue": dialogue})


def test_every_database_expires_its_own_rows_and_no_object_that_another_one_keeps__D3_M8(customer: Customer) -> None:
    customer.recording("Analytical", "home", 1000)
    customer.recording(BEDS, "beds", 1000)
    customer.recording("Analytical", "young-at-beds", 1000)
    customer.recording(BEDS, "young-at-beds", 1)
    assert customer.run().outcome is Outcome.SUCCEEDED
    assert customer.keys() == {"young-at-beds"}
    assert customer.databases["Analytical"].rows("SELECT object_key FROM recordings") == []
    assert customer.databases[BEDS].rows("SELECT object_key FROM recordings") == [("young-at-beds",)]


@pytest.mark.parametrize("categories", [(), ("recordings",)], ids=["a night", "by hand"])
def test_while_a_private_database_is_not_in_the_run_no_shared_object_goes__D3_M8(
    customer: Customer, categories: tuple[str, ...]
) -> None:
    customer.recording("Analytical", "old", 1000)
    customer.recording(BEDS, "old", 1)
    assert customer.run(BEDS, categories=categories).outcome is Outcome.INCOMPLETE
    assert customer.keys() == {"old"}


def test_after_a_unit_is_removed_the_agents_of_others_stay_and_its_own_rows_expire_in_their_time__D4(
    customer: Customer,
) -> None:
    home, beds = customer.databases["Analytical"], customer.databases[BEDS]
    for number, (unit, age) in enumerate([("helpdesk", 2), ("beds", 2), ("beds", 1000)]):
        home.write(AGENT, str(number), days_ago(age), unit, "agent-7")
    customer.recording(BEDS, "due", 1000)
    customer.recording(BEDS, "young", 1)
    customer.run()
    assert home.rows("SELECT unit, staff_id FROM unit_agents ORDER BY unit") == [
        ("beds", "agent-7"),
        ("helpdesk", "agent-7"),
    ]
    assert beds.value("SELECT count(*) FROM recordings") == 1, (
        "a private database with rows is not empty, so not released"
    )
    facts = {name: each.observer().observe() for name, each in customer.databases.items()}
    assert facts[BEDS].rows() == 1
    assert facts["Dialogue"].rows() == 0
    assert counts_of(facts, RULES).categories["recordings"].rows == 1


def test_every_database_of_a_purpose_has_the_same_tables_and_guards_and_one_digest__D3_M8(customer: Customer) -> None:
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
    triggers = "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
    home, beds = customer.databases["Analytical"], customer.databases[BEDS]
    for question in (tables, triggers):
        found = beds.rows(question)
        assert found == home.rows(question)
        assert found
    digests = {each.observer().observe().rules_digest for each in customer.databases.values()}
    assert digests == {RULES.rules_digest()}
    assert RULES.rules_digest() != two_databases().rules_digest(), "a run that does not know of a database is refused"


UNITS = tuple(f"Analytical:unit-{number:02}" for number in range(MOST_CONNECTIONS))


def test_more_databases_than_connections_of_one_policy_are_one_run_of_one_plan__D3_D4_D6(
    tenant_databases: TenantDatabases,
) -> None:
    rules = _RULES.placed_in(["Analytical", "Dialogue", *UNITS])
    with ExitStack() as closing:
        places = [*rules.database_names()]
        databases = {each: closing.enter_context(tenant_databases.having(rules, purpose_of(each))) for each in places}
        customer = Customer(databases)
        for place in ("Analytical", *UNITS):
            customer.recording(place, f"due at {place}", 1000)
            customer.recording(place, f"young at {place}", 1)
        few, counted = FewConnections(), Counted()
        sessions = {}
        for name, database in databases.items():
            opened = partial(few.opening, name, partial(counted.connect, database))
            sessions[name] = PostgresEnforcementDatabase(opened)
            closing.callback(sessions[name].close)
        around = RecordedWorld(at=days_ago(0))
        done = expire(plan_of(rules), Stores(sessions, {"Content": customer.bucket}), uuid4(), around.world())
        assert done.outcome is Outcome.SUCCEEDED
        assert customer.keys() == {f"young at {place}" for place in ("Analytical", *UNITS)}
        evidence = {store.purpose: store.evidence for store in done.stores}
        assert evidence.keys() == set(places)
        assert {each.run_id for each in evidence.values() if each} == {done.run_id}
        acted = {name: sum(each.acted for each in found.categories) for name, found in evidence.items() if found}
        assert acted == {name: int(name != "Dialogue") for name in places}
    assert counted.most <= MOST_CONNECTIONS


class Counted:
    """Sessions of the enforcer, and how many there were at most at once."""

    def __init__(self) -> None:
        self.most = 0
        self._living: list[Connection] = []

    def connect(self, database: TenantDatabase) -> Connection:
        """Another one."""
        self._living = [each for each in self._living if not each.closed]
        self._living.append(database.connect("enforcer"))
        self.most = max(self.most, len(self._living))
        return self._living[-1]
