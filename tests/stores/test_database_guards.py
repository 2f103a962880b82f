"""The database itself refuses, whoever asks (RETENTION.md section 4): the app, the enforcer, even the owner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from tenant_retention.domain.durations import Period, cutoff
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    category,
    days_ago,
    definition,
    table,
    text,
)

pytestmark = pytest.mark.oldest_and_newest

STATUTORY = definition(
    [table("calls", text("caller", "PhoneNumber"), text("unit", "Unit"), unit_column="unit", back="P2Y")],
    [category("records", "calls", minimum="P1Y", keep="P1Y", maximum="P5Y")],
)

ODD_TIMES = Path(__file__).parents[2] / "docs" / "odd-times.md"
WAIT = "Nothing was deleted. Rows may go when their minimum has passed."


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """A database whose records must live a year."""
    with tenant_databases.having(STATUTORY) as made:
        yield made


def insert_call(database: TenantDatabase, number: int, born: datetime, session: str | None = None) -> None:
    database.write(
        "INSERT INTO calls (id, session_id, started_at) VALUES (%s, %s, %s)", number, session or f"s{number}", born
    )


def refusal(database: TenantDatabase, statement: LiteralString) -> psycopg.Error:
    """The error with which the owner's statement is refused."""
    with database.as_owner() as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(statement)
    return refused.value


def month_of(born: datetime, name: str = "calls") -> str:
    return f"{name}_p{born:%Y%m}"


def test_not_even_the_owner_deletes_a_row_that_is_younger_than_its_minimum__M8(database: TenantDatabase) -> None:
    insert_call(database, 1, days_ago(300))
    error = refusal(database, "DELETE FROM public.calls")
    assert (error.sqlstate, error.diag.message_detail) == ("RTG00", "YoungerThanMinimum")
    assert "minimum P1Y of category records" in str(error)
    assert database.value("SELECT count(*) FROM public.calls") == 1


def test_the_minimum_ends_to_the_microsecond__M8_X9(database: TenantDatabase) -> None:
    with database.as_owner() as connection, connection.transaction(force_rollback=True):
        row = connection.execute("SELECT now()").fetchone()
        assert row is not None
        reached = cutoff(row[0], Period.parse("P1Y"))
        insert = "INSERT INTO public.calls (id, session_id, started_at) VALUES (%s, 's', %s)"
        connection.execute(insert, (1, reached))
        connection.execute(insert, (2, reached + timedelta(microseconds=1)))
        connection.execute("DELETE FROM public.calls WHERE id = 1")
        with pytest.raises(psycopg.Error, match="younger than the minimum"), connection.transaction():
            connection.execute("DELETE FROM public.calls WHERE id = 2")
        left = connection.execute("SELECT id FROM public.calls").fetchall()
    assert left == [(2,)]


def test_one_young_row_among_many_old_ones_stops_the_whole_statement__M8(database: TenantDatabase) -> None:
    for number in range(20):
        insert_call(database, number, days_ago(400))
    insert_call(database, 99, days_ago(364))
    refusal(database, "DELETE FROM public.calls")
    assert database.value("SELECT count(*) FROM public.calls") == 21


def test_a_delete_aimed_at_the_partition_instead_of_its_table_is_refused_alike__M8(database: TenantDatabase) -> None:
    born = days_ago(100)
    insert_call(database, 1, born)
    with (
        database.as_owner() as connection,
        pytest.raises(psycopg.Error, match="rows of calls are younger than the minimum P1Y") as refused,
    ):
        connection.execute(sql.SQL("DELETE FROM public.{}").format(sql.Identifier(month_of(born))))
    assert refused.value.diag.message_hint == WAIT
    assert database.value("SELECT count(*) FROM public.calls") == 1


@pytest.mark.parametrize("aim", ["table", "partition"])
def test_truncate_of_a_month_with_a_young_row_is_refused__M8(database: TenantDatabase, aim: str) -> None:
    born = days_ago(100)
    insert_call(database, 1, born)
    name = "calls" if aim == "table" else month_of(born)
    with (
        database.as_owner() as connection,
        pytest.raises(psycopg.Error, match="rows of calls are younger than the minimum P1Y") as refused,
    ):
        connection.execute(sql.SQL("TRUNCATE public.{}").format(sql.Identifier(name)))
    assert refused.value.diag.message_hint == WAIT
    assert database.value("SELECT count(*) FROM public.calls") == 1


@pytest.mark.parametrize("aim", ["table", "partition"])
def test_an_old_row_may_be_deleted_and_truncated_by_the_owner(database: TenantDatabase, aim: str) -> None:
    born = days_ago(500)
    name = "calls" if aim == "table" else month_of(born)
    for verb in (sql.SQL("DELETE FROM"), sql.SQL("TRUNCATE")):
        insert_call(database, 1, born)
        with database.as_owner() as connection:
            connection.execute(sql.SQL("{} public.{}").format(verb, sql.Identifier(name)))
        assert database.value("SELECT count(*) FROM public.calls") == 0


@pytest.mark.parametrize("aim", ["table", "partition"])
@pytest.mark.parametrize("verb", ["DELETE FROM", "TRUNCATE"])
def test_a_held_row_is_refused_to_everybody_until_the_hold_is_released__X3(
    database: TenantDatabase, aim: str, verb: LiteralString
) -> None:
    born = days_ago(500)
    insert_call(database, 1, born, session="case-17")
    statement = sql.SQL("{} public.{}").format(
        sql.SQL(verb), sql.Identifier("calls" if aim == "table" else month_of(born))
    )
    with database.as_owner() as connection:
        connection.execute("INSERT INTO retention.hold (session) VALUES ('case-17')")
        with pytest.raises(psycopg.Error, match="under a legal hold"):
            connection.execute(statement)
        connection.execute("UPDATE retention.hold SET released_at = now()")
        connection.execute(statement)
    assert database.value("SELECT count(*) FROM public.calls") == 0


@pytest.mark.parametrize(
    ("hold", "held"),
    [
        ("INSERT INTO retention.hold (category) VALUES ('records')", True),
        ("INSERT INTO retention.hold (category) VALUES ('another')", False),
        ("INSERT INTO retention.hold (session) VALUES ('s1')", True),
        ("INSERT INTO retention.hold (session) VALUES ('s2')", False),
        ("INSERT INTO retention.hold (unit) VALUES ('clinic')", True),
        ("INSERT INTO retention.hold (unit) VALUES ('office')", False),
        ("INSERT INTO retention.hold (born_from) VALUES (now() - interval '501 days')", True),
        ("INSERT INTO retention.hold (born_to) VALUES (now() - interval '501 days')", False),
        ("INSERT INTO retention.hold (unit, session) VALUES ('clinic', 's2')", False),
        ("INSERT INTO retention.hold (category, released_at) VALUES ('records', now())", False),
    ],
)
def test_a_hold_selects_by_category_session_unit_and_birth_together__X3(
    database: TenantDatabase, hold: LiteralString, held: bool
) -> None:
    insert_call(database, 1, days_ago(500))
    with database.as_owner() as connection:
        connection.execute("UPDATE public.calls SET unit = 'clinic'")
        connection.execute(hold)
        if held:
            with pytest.raises(psycopg.Error, match="under a legal hold"):
                connection.execute("DELETE FROM public.calls")
        else:
            connection.execute("DELETE FROM public.calls")
    assert database.value("SELECT count(*) FROM public.calls") == int(held)


def test_a_hold_that_is_being_placed_is_waited_for_by_the_deletion__X3(database: TenantDatabase) -> None:
    insert_call(database, 1, days_ago(500), session="case-17")
    with database.as_owner() as lawyer, database.as_owner() as deleter:
        deleter.execute("SET lock_timeout = '200ms'")
        with lawyer.transaction():
            lawyer.execute("INSERT INTO retention.hold (session) VALUES ('case-17')")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                deleter.execute("DELETE FROM public.calls")
        with pytest.raises(psycopg.Error, match="under a legal hold"):
            deleter.execute("DELETE FROM public.calls")


def test_the_application_reads_and_writes_and_can_neither_delete_nor_truncate(database: TenantDatabase) -> None:
    insert_call(database, 1, days_ago(500))
    with database.connect("app") as app:
        app.execute("UPDATE calls SET caller = '+31 20 000' WHERE id = 1")
        assert app.execute("SELECT caller FROM calls").fetchall() == [("+31 20 000",)]
        refused: tuple[LiteralString, ...] = (
            "DELETE FROM calls",
            "TRUNCATE calls",
            "UPDATE calls SET started_at = now()",
            "UPDATE calls SET id = 2",
            "DROP TABLE calls",
            "CREATE TABLE mine (id int)",
            "ALTER TABLE calls DISABLE TRIGGER ALL",
            "SELECT * FROM retention.settings",
            "SELECT retention.observe()",
        )
        for statement in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)
        partition = sql.Identifier(month_of(days_ago(500)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(sql.SQL("DELETE FROM {}").format(partition))


def test_a_clock_once_set_is_changed_by_nobody_not_even_through_the_partition__X8(database: TenantDatabase) -> None:
    born = days_ago(100)
    insert_call(database, 1, born)
    partition = sql.Identifier(month_of(born))
    with database.as_owner() as owner:
        for statement in (
            sql.SQL("UPDATE public.calls SET started_at = '2020-01-01'"),
            sql.SQL("UPDATE public.{} SET started_at = started_at + interval '1 second'").format(partition),
            sql.SQL("UPDATE public.calls SET session_id = 'another'"),
            sql.SQL(
                "INSERT INTO public.calls (id, session_id, started_at) SELECT id, 'other', started_at FROM public.calls"
                " ON CONFLICT (id, started_at) DO UPDATE SET session_id = excluded.session_id"
            ),
        ):
            with pytest.raises(psycopg.Error, match=r"\bstarted_at\b.* of calls\w* is written once") as refused:
                owner.execute(statement)
            assert refused.value.diag.message_hint == "Set it when it starts; it cannot be changed afterwards."
        owner.execute("UPDATE public.calls SET started_at = started_at, session_id = session_id, caller = 'x'")
    assert database.rows("SELECT started_at, session_id FROM public.calls") == [(born, "s1")]


@pytest.mark.parametrize("born", ["infinity", "-infinity", None])
def test_a_birth_that_is_no_time_is_refused_at_once__X8(database: TenantDatabase, born: str | None) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused, database.connect("app") as app:
        app.execute("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's', %s)", (born,))
    # PostgreSQL's own words name table, column and value; the next step to them is on the page.
    assert refused.value.diag.message_primary == 'no partition of relation "calls" found for row'
    assert f"(started_at) = ({born or 'null'})" in str(refused.value.diag.message_detail)
    assert f"| `{refused.value.diag.message_primary}`" in ODD_TIMES.read_text(encoding="utf-8")
    assert database.value("SELECT count(*) FROM public.calls") == 0


def test_a_row_of_the_future_is_younger_than_its_minimum_also_by_hand__M8_X8(database: TenantDatabase) -> None:
    insert_call(database, 1, days_ago(-5))
    assert refusal(database, "DELETE FROM public.calls").diag.message_detail == "YoungerThanMinimum"
    assert database.observer().observe().categories[0].anomalies == 1


def test_the_enforcer_can_only_call_its_functions(database: TenantDatabase) -> None:
    insert_call(database, 1, days_ago(500))
    with database.connect("enforcer") as enforcer:
        refused: tuple[LiteralString, ...] = (
            "SELECT * FROM public.calls",
            "DELETE FROM public.calls",
            "TRUNCATE public.calls",
            "SELECT * FROM retention.settings",
            "UPDATE retention.settings SET guard_percent = 100",
            "INSERT INTO retention.approval VALUES ('x', 1, now(), 'me')",
            "UPDATE retention.run_category SET remove_through = now()",
            "DELETE FROM retention.hold",
            "DELETE FROM retention.evidence",
            "SELECT retention.converge_grants('{}')",
            "SELECT retention.observe()",
            "SELECT retention.append_evidence(gen_random_uuid(), 'Succeeded', '[]')",
        )
        for statement in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                enforcer.execute(statement)


def test_the_observer_sees_counts_and_no_row(database: TenantDatabase) -> None:
    insert_call(database, 1, days_ago(500))
    assert database.observer().observe().categories[0].rows == 1
    with database.connect("observer") as observer:
        for statement in ("SELECT * FROM public.calls", "SELECT * FROM retention.hold", "DELETE FROM public.calls"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                observer.execute(statement.encode())


def test_reader_backup_and_auditor_have_just_what_their_names_say(database: TenantDatabase) -> None:
    insert_call(database, 1, days_ago(500))
    for group in ("reader", "backup"):
        with database.connect(group) as session:
            assert session.execute("SELECT count(*) FROM calls").fetchone() == (1,)
            for statement in (
                "DELETE FROM calls",
                "UPDATE calls SET caller = 'x'",
                "SELECT retention.read_evidence(1)",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(statement.encode())
    with database.connect("auditor") as auditor:
        assert auditor.execute("SELECT retention.read_evidence(1)").fetchone() == ([],)
        for statement in (
            "SELECT * FROM public.calls",
            "SELECT * FROM retention.evidence",
            "SELECT retention.observe()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                auditor.execute(statement.encode())


def test_every_function_of_the_schema_has_a_fixed_search_path_and_none_is_open_to_everybody(
    database: TenantDatabase,
) -> None:
    open_functions = database.rows(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE pronamespace = 'retention'::regnamespace"
        " AND (NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']"
        " OR has_function_privilege('public', p.oid, 'EXECUTE'))"
    )
    assert open_functions == []


def test_evidence_is_changed_by_nobody__X6(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.evidence VALUES (1, gen_random_uuid(), '{}', '', '')")
        changes: tuple[LiteralString, ...] = (
            "UPDATE retention.evidence SET body = '{}'",
            "DELETE FROM retention.evidence",
            "TRUNCATE retention.evidence",
        )
        for statement in changes:
            with pytest.raises(psycopg.Error, match="only ever added to"):
                owner.execute(statement)


def test_a_late_born_row_of_a_leap_day_reaches_its_minimum_on_the_first_of_march__X9(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        row = owner.execute(
            "SELECT retention.period_end('2024-02-29 12:00+00', 12, 0), retention.cutoff('2025-02-28 23:59:59+00', 'P1Y'),"
            " retention.cutoff('2025-03-01 00:00+00', 'P1Y')"
        ).fetchone()
    assert row == (
        datetime(2025, 3, 1, tzinfo=UTC),
        datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC),
        datetime(2024, 3, 1, tzinfo=UTC),
    )
