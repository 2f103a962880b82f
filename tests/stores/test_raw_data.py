"""Raw data of records beside them is a copy: it goes, is held and loses the person with its record (P17, T6)."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tenant_retention.domain.definition import AnonymizeDefinition, ColumnDefinition, RetentionDefinition
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, category, days_ago, definition, table, text
from tests.support.enforcement import RecordedWorld, plan_of

RAW = ColumnDefinition(name="event", type="Json", anonymize=AnonymizeDefinition(method="SetNull"))
CALLER = ColumnDefinition(
    name="caller", type="Text", role="PhoneNumber", anonymize=AnonymizeDefinition(method="SetNull")
)


def rules() -> RetentionDefinition:
    """Records for 180 days, their person for 90; raw events beside them, and raw dumps for two weeks as their content."""
    return definition(
        [table("raw_events", RAW), table("calls", CALLER), table("raw_dumps", text("body"))],
        [
            category("raw-dumps", "raw_dumps", content_of="records", keep="P14D"),
            category("records", "raw_events", "calls", keep="P180D", anonymize_after="P90D"),
        ],
        guard_percent=100,
    )


RULES = rules()


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive."""
    with tenant_databases.having(RULES) as made:
        yield made


def write(database: TenantDatabase, number: int, age: float) -> None:
    """A record, what the telephone system sent about it, and a dump of that."""
    born = days_ago(age)
    database.write(
        "INSERT INTO calls (id, started_at, session_id, caller) VALUES (%s, %s, %s, '+31612345678')",
        number,
        born,
        f"s{number}",
    )
    database.write(
        'INSERT INTO raw_events (id, started_at, session_id, event) VALUES (%s, %s, %s, \'{"from": "+31612345678"}\')',
        number,
        born,
        f"s{number}",
    )
    database.write(
        "INSERT INTO raw_dumps (id, started_at, session_id, body) VALUES (%s, %s, %s, '+31612345678')",
        number,
        born,
        f"s{number}",
    )


def night(database: TenantDatabase) -> None:
    session = database.enforcer()
    try:
        world = RecordedWorld(at=days_ago(0)).world()
        result = expire(plan_of(RULES), Stores({"Analytical": session}, {}), uuid4(), world)
        assert result.outcome is Outcome.SUCCEEDED
    finally:
        session.close()


def left(database: TenantDatabase, name: str) -> list[int]:
    question = {
        "calls": "SELECT id FROM public.calls ORDER BY id",
        "raw_events": "SELECT id FROM public.raw_events ORDER BY id",
        "raw_dumps": "SELECT id FROM public.raw_dumps ORDER BY id",
    }[name]
    return [number for (number,) in database.rows(question)]


def test_raw_data_goes_in_the_night_of_its_record_or_earlier_and_never_later__P17_T6(database: TenantDatabase) -> None:
    for number, age in ((1, 200), (2, 100), (3, 20), (4, 1)):
        write(database, number, age)
    night(database)
    assert left(database, "calls") == [2, 3, 4]
    assert left(database, "raw_events") == [2, 3, 4]
    assert left(database, "raw_dumps") == [4]


def test_raw_data_loses_the_person_when_its_record_does__P17_X1(database: TenantDatabase) -> None:
    for number, age in ((2, 100), (4, 1)):
        write(database, number, age)
    night(database)
    assert database.rows("SELECT id, caller FROM public.calls ORDER BY id") == [(2, None), (4, "+31612345678")]
    assert database.rows("SELECT id, event IS NULL FROM public.raw_events ORDER BY id") == [(2, True), (4, False)]


def test_a_hold_on_a_session_keeps_its_record_and_all_raw_data_of_it__P17_X3(database: TenantDatabase) -> None:
    for number in (1, 2):
        write(database, number, 200)
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('s1')")
    night(database)
    for name in ("calls", "raw_events", "raw_dumps"):
        assert left(database, name) == [1], name
    assert database.value("SELECT event ->> 'from' FROM public.raw_events") == "+31612345678"


def test_raw_data_in_a_table_that_nobody_declared_is_told__P17_M11(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute("CREATE TABLE public.raw_copies (event jsonb)")
    assert database.observer().observe().uncovered.names == ("public.raw_copies",)
