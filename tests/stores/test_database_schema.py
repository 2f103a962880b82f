"""``apply_definition``: a tenant database is what the definition says, put right where somebody changed it, data untouched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from tenant_retention.api.v1alpha1.profile_table_rules import LONGEST_BACK
from tenant_retention.domain.definition import CategoryState, ClockEvent, ColumnDefinition, RetentionDefinition
from tenant_retention.domain.errors import Invalid, Unavailable
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    archive,
    category,
    days_ago,
    definition,
    month_ahead,
    run,
    table,
    text,
)

pytestmark = pytest.mark.oldest_and_newest

RULES = definition(
    [table("calls", text("caller", "PhoneNumber"))],
    [category("records", "calls", minimum="P1D")],
    guard_percent=100,
)


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """One table of records with a minimum of a day."""
    with tenant_databases.having(RULES) as made:
        yield made


def put_right(database: TenantDatabase, damage: str, rules: RetentionDefinition = RULES) -> tuple[str, ...]:
    """What the operator tells after the owner did that; telling it twice would be an error."""
    with database.as_owner() as owner:
        owner.execute(damage.encode())
    told = database.apply(rules)
    assert database.apply(rules) == ()
    return told


def first_month(database: TenantDatabase) -> str:
    return str(database.value("SELECT partition FROM retention.partition ORDER BY born_from LIMIT 1"))


def test_applying_twice_changes_nothing_the_second_time(database: TenantDatabase) -> None:
    assert database.apply(RULES) == ()


def vacuum_settings(database: TenantDatabase) -> set[str]:
    """The settings of all months, each as the catalog has it."""
    rows = database.rows(
        "SELECT DISTINCT array_to_string(c.reloptions, ' ') FROM retention.partition AS p JOIN pg_class AS c ON c.oid = p.partition_oid"
    )
    return {str(settings) for (settings,) in rows}


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE public.{} RESET (autovacuum_vacuum_scale_factor)",
        "ALTER TABLE public.{} SET (autovacuum_enabled = false)",
        "ALTER TABLE public.{} SET (autovacuum_vacuum_scale_factor = 0.9)",
    ],
)
def test_what_was_deleted_leaves_the_files_soon_whatever_somebody_set(database: TenantDatabase, damage: str) -> None:
    wanted = {"autovacuum_enabled=true autovacuum_vacuum_scale_factor=0.02 autovacuum_analyze_scale_factor=0.05"}
    assert vacuum_settings(database) == wanted
    month = first_month(database)
    told = put_right(database, damage.format(month))
    assert told == (f"autovacuum of {month} set",)
    assert {" ".join(sorted(each.split())) for each in vacuum_settings(database)} == {
        " ".join(sorted(each.split())) for each in wanted
    }


def months_ahead() -> int:
    """How many begin after this one: two where the next month does not have today's day."""
    now, ahead = datetime.now(UTC), month_ahead()
    return (ahead.year - now.year) * 12 + ahead.month - now.month


def test_months_cover_back_and_ahead_in_utc_without_a_gap(database: TenantDatabase) -> None:
    months = database.rows("SELECT born_from, born_to FROM retention.partition ORDER BY born_from")
    now = datetime.now(UTC)
    assert len(months) == 12 + 1 + months_ahead()
    assert months[0][0] == datetime(now.year - 1, now.month, 1, tzinfo=UTC)
    assert [end for _, end in months[:-1]] == [start for start, _ in months[1:]]
    assert all((start.astimezone(UTC).day, start.astimezone(UTC).hour) == (1, 0) for start, _ in months)


def test_the_longest_back_that_a_profile_may_ask_for_leaves_locks_for_others(tenant_databases: TenantDatabases) -> None:
    """All months of a table are made in one transaction; ten times as many use up the locks of a server's default settings."""
    rules = definition([table("calls", back=LONGEST_BACK)], [category("records", "calls")])
    with tenant_databases.having(rules) as made:
        assert made.value("SELECT count(*) FROM retention.partition") == 600 + 1 + months_ahead()
        assert run(made, rules).outcome == "Succeeded"


def test_there_is_no_default_partition_and_no_foreign_key_between_managed_tables(database: TenantDatabase) -> None:
    database.apply(archive())
    assert database.value("SELECT count(*) FROM pg_class WHERE pg_get_expr(relpartbound, oid) = 'DEFAULT'") == 0
    assert (
        database.value(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
        )
        == 0
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        database.write("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's', '1999-01-01')")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DROP TRIGGER retention_guard_delete ON public.calls", "guards on calls put in place"),
        ("DROP TRIGGER retention_guard_truncate ON public.calls", "guards on calls put in place"),
        ("ALTER TABLE public.calls DISABLE TRIGGER retention_guard_delete", "guards on calls put in place"),
        ("ALTER TABLE public.calls DISABLE TRIGGER USER", "guards on calls put in place"),
        ("GRANT DELETE ON public.calls TO {app}", "DELETE on public.calls revoked from {app}"),
        ("GRANT SELECT ON public.calls TO PUBLIC", "SELECT on public.calls revoked from PUBLIC"),
        ("GRANT UPDATE (started_at) ON public.calls TO {app}", "UPDATE on public.calls.started_at revoked from {app}"),
        ("GRANT SELECT ON retention.settings TO {reader}", "SELECT on retention.settings revoked from {reader}"),
        ("GRANT CREATE ON SCHEMA public TO {app}", "CREATE on public revoked from {app}"),
        ("GRANT USAGE ON SCHEMA retention TO PUBLIC", "USAGE on retention revoked from PUBLIC"),
        (
            "GRANT EXECUTE ON FUNCTION retention.begin_run TO PUBLIC",
            "EXECUTE on retention.begin_run(uuid,text,text,timestamp with time zone) revoked from PUBLIC",
        ),
        ("REVOKE INSERT ON public.calls FROM {app}", "INSERT on public.calls granted to {app}"),
        (
            "REVOKE EXECUTE ON FUNCTION retention.observe FROM {observer}",
            "EXECUTE on retention.observe() granted to {observer}",
        ),
        ("DROP FUNCTION retention.finish_run", "function retention.finish_run(uuid) put right"),
        (
            "CREATE OR REPLACE FUNCTION retention.cutoff(at timestamptz, duration text) RETURNS timestamptz"
            " LANGUAGE sql IMMUTABLE STRICT AS 'SELECT at'",
            "function retention.cutoff(timestamp with time zone,text) put right",
        ),
        ("UPDATE retention.category SET minimum = NULL, keep = 'P1D'", "rules put right"),
        ("UPDATE retention.settings SET guard_percent = 99", "rules put right"),
        ("DELETE FROM retention.managed_table", "rules put right"),
        ("DROP INDEX public.calls_by_5fad0c2e", "index on calls.started_at created"),
        (
            "ALTER TABLE public.calls DROP CONSTRAINT retention_readable_started_at",
            "check on calls.started_at added",
        ),
    ],
)
def test_what_somebody_changed_by_hand_is_put_right_and_told_once(
    database: TenantDatabase, damage: str, told: str
) -> None:
    index = database.rows(
        "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = 'public.calls'::regclass"
        " AND pg_get_indexdef(oid) LIKE '%%(started_at)'"
    )[0][0]
    roles = vars(database.roles)
    changes = put_right(database, damage.replace("calls_by_5fad0c2e", index).format(**roles))
    assert told.format(**roles) in changes


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TRIGGER retention_guard_delete ON public.{partition}",
        "ALTER TABLE public.{partition} DISABLE TRIGGER retention_guard_truncate",
        "ALTER TABLE public.{partition} DISABLE TRIGGER USER",
    ],
)
def test_the_guards_of_a_single_month_are_put_right_too(database: TenantDatabase, damage: str) -> None:
    partition = first_month(database)
    told = put_right(database, damage.format(partition=partition))
    assert f"guards on {partition} put in place" in told
    states = database.rows(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled <> 'O'", f"public.{partition}"
    )
    assert states == []


def test_a_month_that_somebody_dropped_or_made_by_hand_is_there_again_with_its_guards(database: TenantDatabase) -> None:
    partition = first_month(database)
    told = put_right(database, f"DROP TABLE public.{partition}")
    assert told == ("1 months of calls created",)
    with database.as_owner() as owner:
        owner.execute(f"DROP TABLE public.{partition}".encode())
        owner.execute(
            b"CREATE TABLE public.by_hand PARTITION OF public.calls FOR VALUES FROM ('2001-01-01') TO ('2001-03-01')"
        )
    told = database.apply(RULES)
    assert "guards on by_hand put in place" in told
    database.write("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's', '2001-01-15')")
    run(database, RULES)
    assert database.value("SELECT count(*) FROM public.calls") == 0


def test_a_clock_s_trigger_that_was_dropped_is_there_again(database: TenantDatabase) -> None:
    trigger = database.value("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'retention\\_clock%%' LIMIT 1")
    told = put_right(database, f"DROP TRIGGER {trigger} ON public.calls")
    assert told == ("clocks of calls are written once",)
    born = days_ago(3)
    database.write("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's', %s)", born)
    with database.as_owner() as owner, pytest.raises(psycopg.Error, match="is written once"):
        owner.execute("UPDATE public.calls SET started_at = '2020-01-01'")


def test_a_column_and_a_category_that_the_profile_adds_harm_no_data__M11(database: TenantDatabase) -> None:
    database.write("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's', %s)", days_ago(3))
    score = ColumnDefinition(name="score", type="Integer", nullable=False)
    grown = definition(
        [table("calls", text("caller", "PhoneNumber"), score), table("logs", text("line"))],
        [category("records", "calls", minimum="P1D"), category("logs", "logs", keep="P30D")],
        guard_percent=100,
    )
    told = database.apply(grown)
    assert "column calls.score added" in told
    assert "table logs created" in told
    assert database.apply(grown) == ()
    database.write("UPDATE calls SET score = 7")
    database.write("INSERT INTO logs (id, session_id, started_at, line) VALUES (1, 's', %s, 'x')", days_ago(40))
    assert database.rows("SELECT id, score FROM public.calls") == [(1, 7)]
    run(database, grown)
    assert database.value("SELECT count(*) FROM public.logs") == 0


def test_what_leaves_the_profile_is_told_and_stays_with_its_data_and_guards__M11(database: TenantDatabase) -> None:
    required = ColumnDefinition(name="must", type="Text", nullable=False)
    grown = definition(
        [table("calls", text("caller", "PhoneNumber")), table("logs", required)],
        [category("records", "calls", minimum="P1D"), category("logs", "logs", minimum="P10D", keep="P30D")],
        guard_percent=100,
    )
    database.apply(grown)
    database.write("INSERT INTO logs (id, session_id, started_at, must) VALUES (1, 's', %s, 'x')", days_ago(5))
    smaller = RULES.model_copy(update={"tables": (table("calls"),)})
    told = database.apply(smaller)
    assert "category logs left the profile: its data stays, no longer expired" in told
    assert "table logs left the profile: it stays with its data" in told
    assert database.apply(smaller) == ()
    run(database, smaller)
    assert database.value("SELECT count(*) FROM public.logs") == 1
    with database.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum P10D"):
        owner.execute("DELETE FROM public.logs")
    assert (
        database.value(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.calls'::regclass AND attname = 'caller'"
        )
        == 1
    )
    told = database.apply(grown)
    assert database.value("SELECT active FROM retention.category WHERE name = 'logs'")


def test_a_required_column_that_leaves_the_profile_stops_no_application(tenant_databases: TenantDatabases) -> None:
    required = ColumnDefinition(name="must", type="Text", nullable=False)
    rules = definition([table("calls", required)], [category("records", "calls")])
    with tenant_databases.having(rules) as database:
        told = database.apply(rules.model_copy(update={"tables": (table("calls"),)}))
        assert told == ("column calls.must left the profile: it stays, and may be empty now",)
        database.write("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's', %s)", days_ago(1))


@pytest.mark.parametrize(
    ("rules", "reason", "words"),
    [
        (
            definition(
                [table("calls", ColumnDefinition(name="caller", type="Integer"))], [category("records", "calls")]
            ),
            "StoreConflict",
            "column calls.caller is text, the profile says integer",
        ),
        (
            definition([table("calls", ColumnDefinition(name="x", type="Geometry"))], [category("records", "calls")]),
            "ProfileInvalid",
            "Geometry",
        ),
        (
            definition([table("calls")], [category("records", "calls"), category("others", "calls")]),
            "ProfileInvalid",
            "table calls belongs to more than one category",
        ),
    ],
    ids=["type changed", "type unknown", "two categories"],
)
def test_a_profile_that_contradicts_the_database_is_refused_and_changes_nothing(
    database: TenantDatabase, rules: RetentionDefinition, reason: str, words: str
) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        database.apply(rules)
    assert refused.value.reason == reason
    assert database.apply(RULES) == ()


def test_a_table_that_exists_already_and_is_not_ours_is_a_conflict__X2(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute("CREATE TABLE public.logs (id bigint, started_at timestamptz)")
        owner.execute("INSERT INTO public.logs VALUES (1, now())")
    with pytest.raises(Invalid, match="table logs exists and is not partitioned") as refused:
        database.apply(definition([table("logs")], [category("logs", "logs")]))
    assert refused.value.reason == "StoreConflict"
    assert database.value("SELECT count(*) FROM public.logs") == 1


def test_a_database_of_another_purpose_or_a_newer_operator_is_refused(database: TenantDatabase) -> None:
    with pytest.raises(Invalid, match="made for purpose Analytical"):
        database.apply(RULES, purpose="Dialogue")
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.settings SET format = 99")
    with pytest.raises(Invalid) as refused:
        database.apply(RULES)
    assert refused.value.reason == "OperatorTooOld"


def test_a_database_holds_the_tables_of_its_own_purpose_only__D2(tenant_databases: TenantDatabases) -> None:
    rules = definition(
        [table("calls"), table("messages")],
        [category("records", "calls"), category("dialogues", "messages", database="Dialogue")],
    )
    with tenant_databases.having(rules) as database:
        assert database.rows("SELECT name FROM retention.managed_table") == [("calls",)]
        assert database.value("SELECT to_regclass('public.messages') IS NULL")


def test_a_category_that_this_version_cannot_enforce_is_counted_and_never_expired(
    tenant_databases: TenantDatabases,
) -> None:
    accounts = category("accounts", "accounts", keep=None, maximum=None, clock_column=None)
    unknown = {"state": CategoryState.NOT_ENFORCED, "clock_event": ClockEvent.TERMINATED}
    rules = definition([table("accounts")], [accounts.model_copy(update=unknown)])
    with tenant_databases.having(rules) as database:
        database.write("INSERT INTO accounts (id, session_id, started_at) VALUES (1, 's', %s)", days_ago(300))
        run(database, rules)
        facts = database.observer().observe().categories[0]
        assert (facts.rows, facts.due, facts.overdue, facts.next_deadline) == (1, 0, 0, None)


def test_odd_and_very_long_names_are_only_names(tenant_databases: TenantDatabases) -> None:
    odd = 'weird"name; DROP TABLE calls'
    long = "a_very_long_table_name_" + "x" * 39
    rules = definition(
        [table(odd, text('col"umn')), table(long), table("z", back="P1M")],
        [category("odd'category", odd), category("long", long)],
        guard_percent=100,
    )
    with tenant_databases.having(rules) as database:
        assert database.apply(rules) == ()
        lengths = database.rows("SELECT partition FROM retention.partition WHERE octet_length(partition) > 63")
        assert lengths == []
        with database.connect("app") as app:
            for name in (odd, long):
                app.execute(
                    sql.SQL("INSERT INTO {} (id, session_id, started_at) VALUES (1, 's', %s)").format(
                        sql.Identifier(name)
                    ),
                    (days_ago(200),),
                )
        evidence = run(database, rules)
        assert [each.acted for each in evidence.categories] == [1, 1]


def test_a_table_that_is_in_use_makes_the_change_wait_and_nothing_half_done(database: TenantDatabase) -> None:
    grown = RULES.model_copy(update={"tables": (table("calls", text("caller", "PhoneNumber"), text("extra")),)})
    with database.connect("app") as app, app.transaction():
        app.execute("SELECT count(*) FROM calls")
        with pytest.raises(Unavailable) as refused:
            database.apply(grown)
    assert refused.value.reason == "LockTimeout"
    assert "column calls.extra added" in database.apply(grown)
