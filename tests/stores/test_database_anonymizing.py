"""What becomes of columns, where the catalog is in the way, and which months are read again (P12, X1, X3, M8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.definition import AnonymizeDefinition, ColumnDefinition, RetentionDefinition
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.anonymizing import AnonymizeStep
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.enforcement.few_connections import FewConnections
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    category,
    days_ago,
    definition,
    table,
    work,
)

pytestmark = pytest.mark.oldest_and_newest


def column(name: str, method: str, kind: str = "Text", role: str | None = None, **more: Any) -> ColumnDefinition:
    anonymize = AnonymizeDefinition(method=method, value=more.pop("value", None))
    return ColumnDefinition(name=name, type=kind, role=role, anonymize=anonymize, **more)


def rules(*columns: ColumnDefinition, after: str = "P30D", **more: Any) -> RetentionDefinition:
    """Calls and surveys of one category that lose the person after 30 days. Their months reach further back than they are kept."""
    surveys = table("surveys", column("phone", "Hash", role="PhoneNumber"), back="P15M")
    wanted = category("records", "surveys", "calls", **{"anonymize_after": after, "keep": "P1Y", **more})
    return definition([surveys, table("calls", *columns, back="P15M")], [wanted], guard_percent=100)


def run(
    database: TenantDatabase, wanted: RetentionDefinition, mode: Mode = Mode.ENFORCE, batch: int = 3
) -> RunEvidence:
    enforcement = database.enforcer()
    run_id = uuid4()
    try:
        for each in enforcement.begin_run(run_id, mode, wanted.rules_digest(), datetime.now(UTC)):
            work(enforcement, run_id, each, mode)
            for step in enforcement.anonymize_steps(run_id, each.category):
                after = None
                while mode is Mode.ENFORCE:
                    after = enforcement.anonymize_range(run_id, step, after, batch).resume_after
                    if after is None:
                        break
        return enforcement.finish_run(run_id)
    finally:
        enforcement.close()


EVERY = rules(
    column("nulled", "SetNull"),
    column("fields", "SetNull", "Json"),
    column("constant", "Constant", value="removed", nullable=False),
    column("number", "Constant", "Integer", value="-1"),
    column("masked", "Mask", role="PhoneNumber"),
    column("hashed", "Hash", role="PhoneNumber"),
    column("address", "Hash", role="EmailAddress"),
    column("prefix", "Generalize", role="PhoneNumber"),
    column("host", "Generalize", role="EmailAddress"),
    column("initial", "Generalize", role="PersonName"),
    column("seconds", "Generalize", "Integer"),
    column("price", "Generalize", "Numeric"),
    column("rang_at", "Generalize", "Timestamp"),
    column("day", "Generalize", "Date"),
    ColumnDefinition(name="queue", type="Text"),
)


@pytest.fixture
def every(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """A table with every method on every type that takes it."""
    with tenant_databases.having(EVERY) as made:
        yield made


def insert(database: TenantDatabase, key: int, age: float, /, **values: object) -> None:
    row = {"id": key, "session_id": f"s{key}", "started_at": days_ago(age), "constant": "x", **values}
    with database.connect("app") as connection:
        connection.execute(
            sql.SQL("INSERT INTO calls ({}) VALUES ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Literal, row.values()))
            )
        )


def of(database: TenantDatabase, number: int, *columns: str) -> tuple[Any, ...]:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with database.as_owner() as owner:
        found = owner.execute(sql.SQL("SELECT {} FROM public.calls WHERE id = %s").format(names), [number]).fetchone()
    assert found is not None
    return tuple(found)


def test_each_method_yields_what_the_page_says_of_its_type_and_leaves_the_rest__P12(every: TenantDatabase) -> None:
    insert(
        every,
        1,
        40,
        nulled="Ada",
        fields="{}",
        constant="Ada",
        number=7,
        masked="+47 41 23 45 678",
        hashed="+47 412 34 567",
        address=" Ada@Example.com",
        prefix="+4741234567",
        host="ada@example.com",
        initial="Ada",
        seconds=-47,
        price="12.34",
        rang_at=datetime(2020, 5, 17, 11, 12, tzinfo=UTC),
        day=date(2020, 5, 17),
        queue="sales",
    )
    insert(every, 2, 40)
    assert run(every, EVERY).outcome == "Succeeded"
    nulled, fields, constant, number, masked = of(every, 1, "nulled", "fields", "constant", "number", "masked")
    assert (nulled, fields, constant, number, masked) == (None, None, "removed", -1, "***678")
    assert of(every, 1, "prefix", "host", "initial", "seconds") == ("+47*", "*@example.com", "A*", -40)
    price, rang_at, day, queue = of(every, 1, "price", "rang_at", "day", "queue")
    assert (price, rang_at, day, queue) == (10, datetime(2020, 5, 1, tzinfo=UTC), date(2020, 5, 1), "sales")
    nothing = of(every, 2, "nulled", "masked", "hashed", "prefix", "host", "initial", "seconds", "rang_at")
    assert set(nothing) == {None}, "where nothing stood nothing stands"


def test_values_of_odd_form_are_done_after_one_run_too__P12(every: TenantDatabase) -> None:
    odd = [
        "",
        "*",
        "**",
        "*31#",
        "***",
        "***12a",
        "@",
        "a@b@c",
        "\n",
        "hmac:",
        "hmac:" + "0" * 63,
        "'; DROP",
        "ÆØÅ",
        "*a",
    ]
    columns = ("nulled", "constant", "masked", "hashed", "address", "prefix", "host", "initial")
    for number, value in enumerate(odd):
        insert(every, number, 40, **dict.fromkeys(columns, value))
    insert(every, 99, 40, price="NaN", rang_at="infinity", day="-infinity", seconds=-(2**31))
    first, second = run(every, EVERY), run(every, EVERY)
    assert [(each.outcome, each.categories[0].anonymize_residue) for each in (first, second)] == [("Succeeded", 0)] * 2
    assert second.categories[0].anonymized == 0
    assert of(every, 5, "masked")[0] == "***"


@pytest.mark.parametrize("column_name", ["day", "rang_at"])
@pytest.mark.parametrize("value", ["4714-11-24 00:00:00+00 BC", "0001-12-31 BC", "10000-01-01", "294000-01-01"])
def test_a_time_outside_the_calendars_of_readers_becomes_one_fixed_day_and_stops_nobody__P12_X8(
    every: TenantDatabase, column_name: str, value: str
) -> None:
    insert(every, 1, 40, **{column_name: value})
    insert(every, 2, 370)
    found = run(every, EVERY)
    assert (found.outcome, found.categories[0].acted, found.categories[0].anonymize_residue) == ("Succeeded", 1, 0)
    assert every.observer().observe().categories[0].anonymize_due == 0
    moved = every.rows("SELECT to_char(day, 'YYYY-MM-DD'), to_char(rang_at, 'YYYY-MM-DD') FROM public.calls")
    assert [set(row) for row in moved] == [{"1000-01-01", None}]


def test_the_last_date_that_the_server_holds_stops_nobody__P12_X8(every: TenantDatabase) -> None:
    insert(every, 1, 40, day="5000000-01-01")
    assert run(every, EVERY).outcome == "Succeeded"
    assert of(every, 1, "day") == (date(1000, 1, 1),)


def test_where_it_cannot_be_told_who_is_due_the_rest_of_the_night_goes_on_and_the_failure_is_told__X8_P12(
    every: TenantDatabase,
) -> None:
    insert(every, 1, 40, nulled="Ada")
    insert(every, 2, 370)
    with every.as_owner() as owner:
        owner.execute(
            "CREATE OR REPLACE FUNCTION retention.identifying_condition(wanted text, alias text) RETURNS text"
            " LANGUAGE sql AS $$ SELECT '1 / length(left(r.session_id, 0)) > 0' $$"
        )
    first = run(every, EVERY)
    assert (first.outcome, first.categories[0].acted, first.categories[0].failed) == ("Failed", 1, 1)
    assert every.value("SELECT failure_reasons::text FROM retention.run_category") == "{NotCountable}"
    seen = every.observer().observe().categories[0]
    assert (seen.rows, seen.anonymize_due) == (1, None)
    executed = "SELECT anonymize_after FROM retention.executed_rule"
    assert every.value(executed) is None, "what was never done asks the guard as a new rule does"
    every.apply(EVERY)
    assert run(every, EVERY).categories[0].anonymized == 1
    assert every.value(executed) == "P30D"


def test_one_identity_has_one_hash_in_all_tables_however_it_is_written__P12(every: TenantDatabase) -> None:
    insert(every, 1, 40, hashed="+47 412-34-567")
    insert(every, 2, 40, hashed="+4741234568")
    every.write(
        "INSERT INTO surveys (id, session_id, started_at, phone) VALUES (1, 'x', %s, '+4741234567')", days_ago(40)
    )
    run(every, EVERY)
    one, other = of(every, 1, "hashed")[0], of(every, 2, "hashed")[0]
    assert one == every.value("SELECT phone FROM public.surveys") != other
    assert len(one) == len("hmac:") + 64


def test_nobody_but_the_owner_reads_the_key_and_after_its_end_hashes_are_others__P12(every: TenantDatabase) -> None:
    insert(every, 1, 40, hashed="+4741234567")
    run(every, EVERY)
    for group in ("app", "reader", "enforcer", "observer", "backup", "auditor"):
        for act in ("TABLE retention.anonymization_key", "SELECT retention.destroy_anonymization_key()"):
            with every.connect(group) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(act.encode())
    assert every.value("SELECT retention.destroy_anonymization_key()") is True
    assert every.value("SELECT count(*) FROM retention.anonymization_key") == 0
    assert every.value("SELECT retention.destroy_anonymization_key()") is False
    insert(every, 2, 40, hashed="+4741234567")
    assert run(every, EVERY).categories[0].anonymized == 1
    before, after = of(every, 1, "hashed")[0], of(every, 2, "hashed")[0]
    assert before != after
    assert after.startswith("hmac:")


def test_a_unique_index_gets_values_that_cannot_meet_and_the_run_goes_on__P12(every: TenantDatabase) -> None:
    with every.as_owner() as owner:
        for name in ("constant", "masked", "seconds", "hashed"):
            owner.execute(sql.SQL("CREATE UNIQUE INDEX ON public.calls ({}, started_at)").format(sql.Identifier(name)))
    born = days_ago(40)
    for number in range(1, 4):
        masked, hashed = f"+47412345{number}678", ["+47 1", "+471", "+4 71"][number - 1]
        insert(
            every, number, 40, started_at=born, constant=f"n{number}", masked=masked, seconds=41 + number, hashed=hashed
        )
    assert run(every, EVERY).outcome == "Succeeded"
    hashes = {of(every, number, "constant", "hashed") for number in range(1, 4)}
    assert len({each for pair in hashes for each in pair}) == 6
    assert {of(every, number, "masked", "seconds") for number in range(1, 4)} == {(None, None)}


def test_what_could_only_fail_at_night_is_refused_when_the_rules_are_written__X1(
    tenant_databases: TenantDatabases,
) -> None:
    wanted = rules(column("seconds", "Generalize", "Integer", nullable=False))
    with tenant_databases.having(wanted) as database:
        with database.as_owner() as owner:
            owner.execute("CREATE UNIQUE INDEX ON public.calls (seconds, started_at)")
        with pytest.raises(Invalid) as refusal:
            database.apply(wanted)
        assert refusal.value.reason == "ProfileInvalid"
        assert "calls.seconds" in refusal.value.message
    with pytest.raises(Invalid) as refusal, tenant_databases.having(rules(column("ok", "Rot13"))):
        pass
    assert "Rot13" in refusal.value.message


@pytest.mark.parametrize(("minutes", "told"), [(0, True), (30, False)])
def test_nothing_below_min_loses_the_person_whatever_was_planned__M8_X1(
    tenant_databases: TenantDatabases, minutes: int, told: bool
) -> None:
    wanted = rules(column("caller", "SetNull"), after="P30D", minimum="P60D")
    with tenant_databases.having(wanted) as database:
        clock = datetime.now(UTC)
        database.write(
            "INSERT INTO calls (id, session_id, started_at, caller) VALUES (1, 's', %s, 'Ada')",
            clock - timedelta(days=60) + timedelta(minutes=minutes),
        )
        evidence = run(database, wanted)
        assert evidence.categories[0].anonymized == int(told)
        assert database.value("SELECT caller IS NULL FROM public.calls") is told


def proven(database: TenantDatabase) -> int:
    return int(database.value("SELECT count(*) FROM retention.anonymized_month WHERE proven_at IS NOT NULL"))


def read_months(database: TenantDatabase, wanted: RetentionDefinition) -> int:
    """Months that a dry run would have to look into."""
    return int(
        database.value(
            "SELECT count(*) FROM retention.anonymizable_counts('records', NULL, now() - interval '30 days', NULL)"
        )
    )


def test_a_month_that_is_done_is_not_read_again_until_somebody_writes_to_it__X6(every: TenantDatabase) -> None:
    for number in range(10):
        insert(every, number, 100, nulled="Ada")
    insert(every, 20, 40, nulled="Ada")
    run(every, EVERY)
    assert proven(every) >= 1
    before = read_months(every, EVERY)
    insert(every, 30, 100, nulled="late")
    assert read_months(every, EVERY) == before + 1
    assert run(every, EVERY).categories[0].anonymized == 1
    with every.connect("app") as connection:
        connection.execute("UPDATE calls SET nulled = 'again' WHERE id = 3")
    assert run(every, EVERY).categories[0].anonymized == 1
    assert read_months(every, EVERY) == before


def test_a_late_row_of_a_session_with_an_old_view_of_the_data_is_found__X6(every: TenantDatabase) -> None:
    insert(every, 1, 100, nulled="Ada")
    run(every, EVERY)
    insert(every, 2, 100, nulled="late")
    with every.connect("app") as old:
        old.autocommit = False
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT count(*) FROM calls")
        run(every, EVERY)
        old.execute(
            "INSERT INTO calls (id, session_id, started_at, constant, nulled) VALUES (3, 's', %s, 'x', 'later')",
            [days_ago(100)],
        )
        old.commit()
    assert run(every, EVERY).categories[0].anonymized == 1
    assert every.value("SELECT count(*) FROM public.calls WHERE nulled IS NOT NULL") == 0


def test_a_row_written_while_a_month_is_looked_at_is_found_by_the_next_run__X6(every: TenantDatabase) -> None:
    insert(every, 1, 100, nulled="Ada")
    with every.connect("app") as writer:
        writer.autocommit = False
        writer.execute(
            "INSERT INTO calls (id, session_id, started_at, constant, nulled) VALUES (2, 's', %s, 'x', 'late')",
            [days_ago(100)],
        )
        # The month cannot be watched as long as somebody writes to it: the run says so and proves nothing.
        with pytest.raises(Unavailable):
            run(every, EVERY)
        assert proven(every) == 0
        writer.commit()
    run(every, EVERY)
    assert every.value("SELECT count(*) FROM public.calls WHERE nulled IS NOT NULL") == 0


def test_a_month_whose_watch_was_removed_is_read_again__X6(every: TenantDatabase) -> None:
    insert(every, 1, 100, nulled="Ada")
    run(every, EVERY)
    before = read_months(every, EVERY)
    month = every.value("SELECT partition FROM retention.anonymized_month WHERE proven_at IS NOT NULL LIMIT 1")
    with every.as_owner() as owner:
        owner.execute(sql.SQL("DROP TRIGGER retention_month_write ON public.{}").format(sql.Identifier(month)))
    assert read_months(every, EVERY) == before + 1


def test_a_method_that_comes_later_reaches_the_rows_that_are_done_already__M11(
    tenant_databases: TenantDatabases,
) -> None:
    wanted = rules(column("caller", "SetNull"), ColumnDefinition(name="agent", type="Text"))
    with tenant_databases.having(wanted) as database:
        database.write(
            "INSERT INTO calls (id, session_id, started_at, caller, agent) VALUES (1, 's', %s, 'Ada', 'Bo')",
            days_ago(100),
        )
        run(database, wanted)
        more = rules(column("caller", "SetNull"), column("agent", "Hash"))
        assert more.rules_digest() != wanted.rules_digest()
        database.apply(more)
        assert run(database, more).categories[0].anonymized == 1
        assert database.value("SELECT agent FROM public.calls").startswith("hmac:")


def test_a_database_with_rows_from_before_gets_it_all_at_its_upgrade__M11(tenant_databases: TenantDatabases) -> None:
    wanted = rules(column("caller", "SetNull"))
    with tenant_databases.having(wanted) as database:
        database.write(
            "INSERT INTO calls (id, session_id, started_at, caller) VALUES (1, 's', %s, 'Ada')", days_ago(100)
        )
        with database.as_owner() as owner:
            # As an earlier version left it.
            owner.execute(
                "DROP TABLE retention.anonymized_month, retention.month_write, retention.anonymization_key CASCADE"
            )
            owner.execute("DROP TABLE retention.run_anonymize, retention.rewrite CASCADE")
            owner.execute(
                "ALTER TABLE retention.executed_rule DROP COLUMN anonymize_after, DROP COLUMN anonymize_methods"
            )
            owner.execute("UPDATE retention.component SET source_digest = 'older'")
        database.apply(wanted)
        assert run(database, wanted).categories[0].anonymized == 1


def test_the_observer_sees_what_is_due_and_when_the_next_row_is__X6(every: TenantDatabase) -> None:
    insert(every, 1, 40, nulled="Ada")
    insert(every, 2, 20, nulled="Bo")
    insert(every, 3, 10)
    (seen,) = every.observer().observe().categories
    assert seen.anonymize_due == 1
    run(every, EVERY)
    (seen,) = every.observer().observe().categories
    assert seen.anonymize_due == 0
    assert seen.next_anonymization is not None
    assert abs(seen.next_anonymization - days_ago(20) - timedelta(days=30)) < timedelta(minutes=1)


@pytest.fixture
def rewritten(every: TenantDatabase) -> TenantDatabase:
    """Months are written anew from the first row on; two months, a hundred calls each, and one that is half due."""
    with every.as_owner() as owner:
        owner.execute(
            "CREATE OR REPLACE FUNCTION retention.rewrite_floor() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"
        )
    with every.connect("app") as connection:
        for age in (100, 140):
            connection.execute(
                "INSERT INTO calls (id, session_id, started_at, constant, nulled, hashed, queue)"
                " SELECT n, 's' || n, %s, 'x', 'Ada', '+47' || n, 'q' || n FROM generate_series(%s::int, %s::int) AS n",
                [days_ago(age), age * 1000, age * 1000 + 99],
            )
    return every


PLACE = {"category", "table", "partition"}


def begun(database: TenantDatabase, enforcement: PostgresEnforcementDatabase) -> tuple[UUID, tuple[AnonymizeStep, ...]]:
    run_id = uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, EVERY.rules_digest(), datetime.now(UTC))
    enforcement.partition_steps(run_id, "records")
    steps = enforcement.anonymize_steps(run_id, "records")
    assert [step.rewrite for step in steps] == [True, True], steps
    return run_id, steps


def write_anew(
    enforcement: PostgresEnforcementDatabase, run_id: UUID, steps: Sequence[AnonymizeStep]
) -> tuple[int | None, ...]:
    """The rows of each month, in the order of the steps; each is told once."""
    told: list[tuple[str, int | None]] = []
    enforcement.rewrite_months(run_id, iter(steps), lambda step, rows: told.append((step.partition, rows)))
    assert len(told) == len(steps)
    return tuple(dict(told)[step.partition] for step in steps)


def about(database: TenantDatabase, relation: str) -> tuple[Any, ...]:
    """What a month has: columns, keys and indexes, checks, triggers, settings, grants."""
    return tuple(
        sorted(map(str, database.rows(query, relation)))
        for query in (
            "SELECT attname, atttypid, attnotnull, attstorage FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
            "SELECT regexp_replace(pg_get_indexdef(indexrelid), 'INDEX [^ ]+ ', '') FROM pg_index WHERE indrelid = %s::regclass",
            "SELECT contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass",
            "SELECT tgname, tgenabled, tgtype, tgargs FROM pg_trigger WHERE tgrelid = %s::regclass"
            " AND tgname NOT LIKE 'retention_month%%'",
            "SELECT reloptions, relacl, relowner, pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = %s::regclass",
        )
    )


def left_over(database: TenantDatabase) -> int:
    tables = (
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname ~ '_(rewrite|before)$'"
    )
    return int(database.value(tables)) + int(database.value("SELECT count(*) FROM retention.rewrite"))


def test_a_month_that_is_written_anew_has_all_its_rows_and_everything_that_it_had__P12(
    rewritten: TenantDatabase,
) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    month = f"public.{steps[0].partition}"
    with rewritten.as_owner() as owner:
        owner.execute(sql.SQL("CREATE INDEX own_one ON {} (queue) WHERE queue <> ''").format(sql.SQL(month)))
    rows = "SELECT id, session_id, started_at, queue FROM public.calls ORDER BY id"
    before, shape = rewritten.rows(rows), about(rewritten, month)
    assert write_anew(enforcement, run_id, steps) == (100, 100)
    assert rewritten.rows(rows) == before
    assert about(rewritten, month) == shape
    assert rewritten.value("SELECT count(*) FROM public.calls WHERE nulled IS NOT NULL OR hashed !~ '^hmac:'") == 0
    assert (left_over(rewritten), proven(rewritten)) == (0, 2)
    assert write_anew(enforcement, run_id, steps) == (0, 0), "a reply that was lost is asked for again"
    (found,) = enforcement.finish_run(run_id).categories
    assert (found.anonymized, found.anonymize_residue) == (200, 0)
    enforcement.close()
    assert rewritten.apply(EVERY) == ("function retention.rewrite_floor() put right",)


@pytest.mark.parametrize(
    "event",
    ["INSERT", "UPDATE", "DELETE", "HOLD"],
)
def test_what_happens_to_a_month_while_it_is_copied_is_never_lost__X3_M8(rewritten: TenantDatabase, event: str) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    month = (run_id, steps[0].category, steps[0].table, steps[0].partition)
    assert enforcement._call("rewrite_begin", *month)["blocks"] > 0
    enforcement._call("rewrite_copy", run_id, steps[0].partition, 0, 10_000)
    enforcement._call("rewrite_index", run_id, steps[0].partition)
    if event == "INSERT":
        insert(rewritten, 7, 140, nulled="late")
    elif event == "UPDATE":
        rewritten.write("UPDATE calls SET queue = 'other' WHERE id = 140005")
    else:
        with rewritten.as_owner() as owner:
            owner.execute(
                b"DELETE FROM public.calls WHERE id = 140005"
                if event == "DELETE"
                else b"INSERT INTO retention.hold (session) VALUES ('s140005')"
            )
    assert enforcement._call("rewrite_swap", *month) is None
    assert left_over(rewritten) == 0
    for step in steps:
        after = None
        while (after := enforcement.anonymize_range(run_id, step, after, 1000).resume_after) is not None:
            pass
    told = {str(row[0]) for row in rewritten.rows("SELECT id FROM public.calls WHERE nulled IS NOT NULL")}
    assert told == ({"140005"} if event == "HOLD" else set())
    expected = {"INSERT": 201, "DELETE": 199}.get(event, 200)
    assert rewritten.value("SELECT count(*) FROM public.calls") == expected
    if event == "UPDATE":
        assert rewritten.value("SELECT queue FROM public.calls WHERE id = 140005") == "other"
    enforcement.finish_run(run_id)
    enforcement.close()


ONE_OF_THE_MONTH = 140005


def copied_without(database: TenantDatabase, loss: str, superuser: ServerAccess | None = None) -> tuple[int, bool]:
    """Rows of calls after a rewrite that the loss came into, and whether the copy took the month's place."""
    enforcement = database.enforcer()
    run_id, steps = begun(database, enforcement)
    month = (run_id, steps[0].category, steps[0].table, steps[0].partition)
    blocks = enforcement._call("rewrite_begin", *month)["blocks"]
    with database.as_owner() as owner:
        if loss == "KEY":
            owner.execute("SELECT retention.destroy_anonymization_key()")
    enforcement._call("rewrite_copy", run_id, steps[0].partition, 0, blocks)
    if loss == "UNNOTICED":
        # A writer for whom the watch was taken away, and put back.
        trigger = sql.SQL("ALTER TABLE public.{} {} TRIGGER retention_month_write")
        with database.as_owner() as owner:
            owner.execute(trigger.format(sql.Identifier(steps[0].partition), sql.SQL("DISABLE")))
        database.write("UPDATE calls SET queue = 'late' WHERE id = %s", ONE_OF_THE_MONTH)
        with database.as_owner() as owner:
            owner.execute(trigger.format(sql.Identifier(steps[0].partition), sql.SQL("ENABLE ALWAYS")))
    if superuser is not None:
        # A restore or a subscription, which fires no ordinary trigger: as many rows as before, but not the same.
        with connect_as(replace(superuser, database=database.administrator.database)) as writer:
            writer.execute("SET session_replication_role = replica")
            writer.execute("UPDATE public.calls SET queue = 'late' WHERE id = %s", [ONE_OF_THE_MONTH])
    enforcement._call("rewrite_index", run_id, steps[0].partition)
    swapped = enforcement._call("rewrite_swap", *month) is not None
    enforcement.close()
    return int(database.value("SELECT count(*) FROM public.calls")), swapped


def test_a_key_destroyed_while_a_month_is_copied_loses_no_row_and_the_new_key_hashes_it__M8_P12(
    rewritten: TenantDatabase,
) -> None:
    assert copied_without(rewritten, "KEY") == (200, True)
    hashed = "SELECT count(*) FROM public.calls WHERE hashed ~ '^hmac:'"
    assert rewritten.value(hashed) == 100


@pytest.mark.parametrize("writer", ["UNNOTICED", "REPLICA"])
def test_a_copy_with_other_than_all_rows_of_its_month_never_takes_its_place__M8(
    rewritten: TenantDatabase, postgres_process: PostgresProcess, writer: str
) -> None:
    superuser = postgres_process.superuser if writer == "REPLICA" else None
    assert copied_without(rewritten, writer, superuser) == (200, False)
    assert rewritten.value("SELECT queue FROM public.calls WHERE id = %s", ONE_OF_THE_MONTH) == "late"
    assert left_over(rewritten) == 0


def test_the_rows_of_a_month_are_counted_before_anybody_has_to_wait_for_the_exchange__X6(
    rewritten: TenantDatabase,
) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    month = (run_id, steps[0].category, steps[0].table, steps[0].partition)
    blocks = enforcement._call("rewrite_begin", *month)["blocks"]
    enforcement._call("rewrite_copy", run_id, steps[0].partition, 0, blocks)
    with rewritten.as_owner() as owner:
        # Too few were copied, whatever the reason: seen without the lock that a reader of another month would delay.
        owner.execute("UPDATE retention.rewrite SET rows = rows - 1")
    enforcement._call("rewrite_index", run_id, steps[0].partition)
    assert enforcement._call("rewrite_swap", *month) is None
    assert left_over(rewritten) == 0
    enforcement.close()


def test_a_month_that_somebody_reads_for_long_is_updated_instead_and_nobody_waits__X6(
    rewritten: TenantDatabase,
) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    with rewritten.connect("reader") as reader:
        reader.autocommit = False
        reader.execute("SELECT count(*) FROM calls")
        assert write_anew(enforcement, run_id, steps[:1]) == (None,)
        assert left_over(rewritten) == 0
        assert enforcement.anonymize_range(run_id, steps[0], None, 1000).anonymized == 100
    enforcement.close()


def test_a_month_that_somebody_is_making_an_index_on_is_updated_later_and_the_others_are_written_anew__X6(
    rewritten: TenantDatabase,
) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    with rewritten.as_owner() as busy:
        busy.autocommit = False
        busy.execute(sql.SQL("CREATE INDEX ON public.{} (queue)").format(sql.Identifier(steps[0].partition)))
        assert write_anew(enforcement, run_id, steps) == (None, 100)
        busy.rollback()
    assert left_over(rewritten) == 0
    enforcement.close()


def test_a_run_that_is_to_stop_begins_no_further_month_and_leaves_no_copy__X6_T6(rewritten: TenantDatabase) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    told: list[AnonymizeStep] = []
    enforcement.rewrite_months(
        run_id, takewhile(lambda step: step != steps[1], steps), lambda step, _: told.append(step)
    )
    assert (told, left_over(rewritten)) == ([steps[0]], 0)
    assert rewritten.value("SELECT count(*) FROM public.calls WHERE nulled IS NOT NULL") == 100
    enforcement.close()


def test_without_its_second_session_a_rewrite_fails_as_a_whole_and_is_done_when_told_again__X1_X6(
    rewritten: TenantDatabase,
) -> None:
    refused = [True]

    def beside() -> psycopg.Connection[Any]:
        if refused.pop():
            raise psycopg.OperationalError("too many connections for role")
        return rewritten.connect("enforcer")

    enforcement = PostgresEnforcementDatabase(partial(rewritten.connect, "enforcer"), beside)
    run_id, steps = begun(rewritten, enforcement)
    told: list[int | None] = []
    with pytest.raises(Unavailable):
        enforcement.rewrite_months(run_id, steps, lambda _, rows: told.append(rows))
    refused.append(False)
    enforcement.rewrite_months(run_id, steps, lambda _, rows: told.append(rows))
    assert sum(rows or 0 for rows in told) == 200
    assert (left_over(rewritten), proven(rewritten)) == (0, 2)
    enforcement.close()


def test_a_copy_that_a_killed_run_left_is_gone_before_the_next_one_does_anything__T6(rewritten: TenantDatabase) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    enforcement._call("rewrite_begin", run_id, steps[0].category, steps[0].table, steps[0].partition)
    enforcement.close()
    assert left_over(rewritten) == 2
    again = rewritten.enforcer()
    run_id, steps = begun(rewritten, again)
    assert again.discard_rewrites(run_id) == 1
    assert left_over(rewritten) == 0
    assert write_anew(again, run_id, steps) == (100, 100)
    again.close()


def test_a_copy_that_a_killed_run_left_is_seen_and_counted_until_the_operator_discards_it__M11_M10_X5(
    rewritten: TenantDatabase,
) -> None:
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    blocks = enforcement._call("rewrite_begin", run_id, *steps[0].model_dump(include=PLACE).values())["blocks"]
    enforcement._call("rewrite_copy", run_id, steps[0].partition, 0, blocks)
    copy = f"{steps[0].partition}_rewrite"
    living = rewritten.observer().observe()
    assert (living.categories[0].rows, living.uncovered.names) == (200, ())
    rewritten.apply(EVERY, suspended=True)
    assert left_over(rewritten) == 2, "nobody discards what a living run copies"
    enforcement.close()
    with rewritten.as_owner() as owner:
        owner.execute("DELETE FROM public.calls")
    after = rewritten.observer().observe()
    assert (after.categories[0].rows, after.uncovered.names) == (100, (f"public.{copy}",))
    assert after.categories[0].oldest is not None
    (told,) = rewritten.apply(EVERY, suspended=True)
    assert told == f"{copy}, which a run that was killed left, is discarded"
    assert (left_over(rewritten), rewritten.observer().observe().categories[0].rows) == (0, 0)


def test_two_sessions_that_copy_side_by_side_are_both_counted_and_neither_closes_the_other__D4(
    rewritten: TenantDatabase,
) -> None:
    few, opened = FewConnections(2), list[psycopg.Connection[Any]]()

    def connect() -> psycopg.Connection[Any]:
        opened.append(rewritten.connect("enforcer"))
        return opened[-1]

    main = PostgresEnforcementDatabase(
        partial(few.opening, "one", connect), partial(few.opening, "one, beside", connect, beside="one")
    )
    try:
        run_id, steps = begun(rewritten, main)
        few.opening("another", connect)
        assert write_anew(main, run_id, steps) == (100, 100)
        assert [each.closed for each in opened] == [False, True, True], "another one gave way, the run's own never does"
        few.opening("second", connect)
        few.opening("third", connect)
        assert [each.closed for each in opened] == [True, True, True, False, False]
    finally:
        for each in opened:
            each.close()


def test_a_month_with_something_on_it_that_a_copy_would_lose_is_updated__P12(rewritten: TenantDatabase) -> None:
    with rewritten.as_owner() as owner:
        months = owner.execute("SELECT DISTINCT tableoid::regclass::text FROM public.calls ORDER BY 1").fetchall()
        owner.execute(
            sql.SQL("CREATE VIEW public.view_on_month AS SELECT id FROM public.{}").format(sql.Identifier(months[0][0]))
        )
    run_id = uuid4()
    enforcement = rewritten.enforcer()
    enforcement.begin_run(run_id, Mode.ENFORCE, EVERY.rules_digest(), datetime.now(UTC))
    assert [step.rewrite for step in enforcement.anonymize_steps(run_id, "records")] == [False, True]
    enforcement.close()


def test_a_row_of_before_that_breaks_a_newer_check_keeps_nobody_else_identified_and_is_told__X8_P12(
    every: TenantDatabase,
) -> None:
    for number, age in ((1, 90), (2, 90), (3, 90), (4, 40)):
        insert(every, number, age, nulled="Ada", queue="odd" if number == 2 else "sales")
    with every.as_owner() as owner:
        owner.execute("ALTER TABLE public.calls ADD CONSTRAINT newer CHECK (queue <> 'odd') NOT VALID")
    first = run(every, EVERY, batch=100)
    assert every.rows("SELECT id FROM public.calls WHERE nulled IS NOT NULL") == [(2,)]
    found = first.categories[0]
    assert (first.outcome, found.anonymized, found.anonymize_residue, found.failed) == ("Failed", 3, 1, 1)
    assert every.value("SELECT failure_reasons::text FROM retention.run_category") == "{NotAnonymizable}"
    with every.as_owner() as owner:
        owner.execute("ALTER TABLE public.calls DROP CONSTRAINT newer")
    assert run(every, EVERY).outcome == "Succeeded"
    assert every.value("SELECT count(*) FROM public.calls WHERE nulled IS NOT NULL") == 0


@pytest.mark.parametrize(
    "check", ["CHECK (queue <> 'q140005') NOT VALID", "CHECK (nulled IS NOT NULL OR id <> 140005)"]
)
def test_a_month_that_cannot_be_copied_for_one_row_is_updated_but_for_that_row__X8_P12(
    rewritten: TenantDatabase, check: str
) -> None:
    with rewritten.as_owner() as owner:
        owner.execute(sql.SQL("ALTER TABLE public.calls ADD CONSTRAINT newer {}").format(sql.SQL(check)))
    enforcement = rewritten.enforcer()
    run_id, steps = begun(rewritten, enforcement)
    assert sorted(map(str, write_anew(enforcement, run_id, steps))) == ["100", "None"]
    for step in steps:
        enforcement.anonymize_range(run_id, step, None, 1000)
    assert rewritten.rows("SELECT id FROM public.calls WHERE nulled IS NOT NULL") == [(140005,)]
    assert (left_over(rewritten), enforcement.finish_run(run_id).categories[0].anonymized) == (0, 199)
    enforcement.close()
