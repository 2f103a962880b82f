"""What left the profile and still has rows: nobody deletes it any more, so it is counted against its last max (M10, X4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from psycopg import sql

from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    archive,
    category,
    days_ago,
    definition,
    run,
    table,
)

BEFORE = definition(
    [table("calls"), table("old_calls"), table("logs")],
    [category("records", "old_calls", "calls"), category("logs", "logs", keep="P30D", maximum="P60D")],
    guard_percent=100,
)
AFTER = definition([table("calls")], [category("records", "calls")], guard_percent=100)
"""Category ``logs`` left, and table ``old_calls`` left a category that is still there."""


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Three tables in two categories."""
    with tenant_databases.having(BEFORE) as made:
        yield made


def insert(database: TenantDatabase, name: str, *ages: float) -> None:
    """Rows of these ages in days, numbered from 0, as the application writes them."""
    statement = sql.SQL("INSERT INTO {} (id, session_id, started_at) VALUES (%s, %s, %s)").format(sql.Identifier(name))
    with database.connect("app") as app:
        for number, age in enumerate(ages):
            app.execute(statement, (number, f"s{number}", days_ago(age)))


def test_nothing_is_left_where_the_profile_is_whole_or_what_left_is_empty__M10(database: TenantDatabase) -> None:
    insert(database, "calls", 1)
    assert database.observer().observe().left == ()
    database.apply(AFTER)
    assert database.observer().observe().left == ()


def test_rows_of_a_category_and_of_a_table_that_left_are_counted_against_the_last_max__M10_X4(
    database: TenantDatabase,
) -> None:
    insert(database, "logs", 100, 59.9, 60.1, 1)
    insert(database, "old_calls", 3, 200)
    insert(database, "calls", 2)
    database.apply(AFTER)
    facts = database.observer().observe()
    found = {each.table: each for each in facts.left}
    assert set(found) == {"logs", "old_calls"}
    assert (found["logs"].category, found["logs"].rows, found["logs"].overdue) == ("logs", 4, 2)
    assert found["logs"].oldest is not None
    assert abs(found["logs"].oldest - days_ago(100)) < timedelta(minutes=1)
    assert found["logs"].next_deadline == found["logs"].oldest + timedelta(days=60)
    assert (found["old_calls"].category, found["old_calls"].rows, found["old_calls"].overdue) == ("records", 2, 0)
    assert [(each.category, each.rows) for each in facts.categories] == [("records", 1)]
    assert (facts.rows(), facts.overdue()) == (7, 2)
    run(database, AFTER)
    assert database.observer().observe().left == facts.left, "no run deletes from it"
    database.apply(BEFORE.model_copy(update={"policy_generation": 2}))
    assert database.observer().observe().left == ()


def test_a_held_row_that_left_the_profile_is_no_debt__X3(database: TenantDatabase) -> None:
    insert(database, "logs", 100, 99)
    database.apply(AFTER)
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (category, session) VALUES ('logs', 's0')")
    (left,) = database.observer().observe().left
    assert (left.rows, left.overdue) == (2, 1)


def test_records_that_wait_for_content_that_left_are_named_with_it_and_stay__P4_M10(
    tenant_databases: TenantDatabases,
) -> None:
    whole = archive()
    without = whole.model_copy(
        update={
            "tables": tuple(each for each in whole.tables if each.name != "recordings"),
            "categories": tuple(each for each in whole.categories if each.name != "recordings"),
        }
    )
    with tenant_databases.having(whole) as database:
        insert(database, "calls", 200, 199)
        database.write(
            "INSERT INTO recordings (id, session_id, started_at, object_key) VALUES (1, 's0', %s, 'k')", days_ago(200)
        )
        database.apply(without)
        evidence = run(database, without)
        assert [each.acted for each in evidence.categories] == [1]
        assert database.value("SELECT session_id FROM public.calls") == "s0", "content never outlives its record"
        (left,) = database.observer().observe().left
        assert (left.table, left.content_of, left.rows) == ("recordings", "records", 1)


def test_a_table_that_left_and_was_dropped_by_its_owner_is_counted_no_more(database: TenantDatabase) -> None:
    insert(database, "logs", 100)
    database.apply(AFTER)
    with database.as_owner() as owner:
        owner.execute("DROP TABLE public.logs")
    assert database.observer().observe().left == ()
