"""What an application, or whoever holds the enforcer's login, may try to make rows and objects go early, or stay."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.definition import CategoryState, ClockEvent, RetentionDefinition
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import PartitionStep, PartitionStepKind
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    archive,
    cases,
    category,
    days_ago,
    definition,
    month_ahead,
    run,
    table,
    take,
    text,
)

pytestmark = pytest.mark.oldest_and_newest

CASES = cases(minimum="P30D", keep="P90D", maximum="P5Y")


@pytest.fixture
def cases_database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Cases that live at least 30 days after they were closed."""
    with tenant_databases.having(CASES) as made:
        yield made


def test_a_case_that_says_it_was_closed_before_its_birth_counts_from_its_birth__M8(
    cases_database: TenantDatabase,
) -> None:
    insert = "INSERT INTO cases (id, session_id, started_at, closed_at) VALUES (%s, 's', %s, %s)"
    cases_database.write(insert, 1, days_ago(5), days_ago(4000))
    cases_database.write(insert, 2, days_ago(100), days_ago(4000))
    cases_database.write(insert, 3, days_ago(100), days_ago(95))
    cases_database.write(insert, 4, days_ago(100), days_ago(85))
    seen = cases_database.observer().observe().categories[0]
    assert (seen.rows, seen.due, seen.overdue) == (4, 2, 0)
    evidence = run(cases_database, CASES, batch=1)
    assert cases_database.rows("SELECT id FROM public.cases ORDER BY id") == [(1,), (4,)]
    assert (evidence.categories[0].candidates, evidence.categories[0].acted, evidence.outcome) == (2, 2, "Succeeded")
    for aim in ("cases", f"cases_p{days_ago(5):%Y%m}"):
        with cases_database.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
            owner.execute(sql.SQL("DELETE FROM public.{} WHERE id = 1").format(sql.Identifier(aim)))


ARCHIVE = archive(keep="P180D", content_keep="P14D", minimum="P14D")


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive whose recordings live at least 14 days."""
    with tenant_databases.having(ARCHIVE) as made:
        yield made


def recording(database: TenantDatabase, number: int, age: float, key: str | None, version: str | None = None) -> None:
    database.write(
        "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, %s, %s)",
        number,
        f"s{number}",
        days_ago(age),
        key,
        version,
    )


def begin(database: TenantDatabase, rules: RetentionDefinition = ARCHIVE) -> tuple[PostgresEnforcementDatabase, UUID]:
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
    return enforcement, run_id


def recordings_left(database: TenantDatabase) -> set[int]:
    return {number for (number,) in database.rows("SELECT id FROM public.recordings")}


@pytest.mark.parametrize(("old", "young"), [("v1", "v1"), ("v1", None), (None, None)])
def test_an_object_that_a_younger_row_names_too_stays_and_only_the_old_row_goes__M8(
    database: TenantDatabase, old: str | None, young: str | None
) -> None:
    recording(database, 1, 20, "shared", old)
    recording(database, 2, 3, "shared", young)
    recording(database, 3, 20, "alone", "v1")
    recording(database, 4, 20, "twice", "v1")
    recording(database, 5, 30, "twice", "v1")
    enforcement, run_id = begin(database)
    claims = enforcement.claim_content(run_id, "recordings", 10)
    assert sorted(claim.key for claim in claims) == ["alone", "twice", "twice"]
    enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims])
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    evidence = enforcement.finish_run(run_id)
    enforcement.close()
    assert recordings_left(database) == {2}
    assert (evidence.outcome, evidence.categories[0].acted, evidence.categories[0].residue) == ("Succeeded", 4, 0)


def test_other_versions_of_a_key_are_other_objects(database: TenantDatabase) -> None:
    recording(database, 1, 20, "key", "v1")
    recording(database, 2, 3, "key", "v2")
    enforcement, run_id = begin(database)
    assert [claim.version for claim in enforcement.claim_content(run_id, "recordings", 10)] == ["v1"]
    enforcement.close()


def test_a_row_that_means_every_version_waits_for_the_younger_row_of_one_of_them__M8(database: TenantDatabase) -> None:
    recording(database, 1, 20, "key", None)
    recording(database, 2, 3, "key", "v2")
    evidence = run(database, ARCHIVE)
    assert recordings_left(database) == {1, 2}
    assert (evidence.outcome, evidence.categories[0].residue) == ("Incomplete", 1)


def test_an_object_that_a_held_row_names_too_stays__X3(database: TenantDatabase) -> None:
    recording(database, 1, 20, "shared", "v1")
    recording(database, 2, 25, "shared", "v1")
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('s2')")
    enforcement, run_id = begin(database)
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    enforcement.close()
    assert recordings_left(database) == {2}


def test_a_claim_that_a_killed_run_left_is_dropped_where_a_younger_row_names_its_object_by_now__M8(
    database: TenantDatabase,
) -> None:
    recording(database, 1, 20, "shared", "v1")
    recording(database, 2, 20, "gone", "v1")
    enforcement, run_id = begin(database)
    assert len(enforcement.claim_content(run_id, "recordings", 10)) == 2
    enforcement.close()
    with database.as_owner() as owner:
        owner.execute("DELETE FROM public.recordings WHERE id = 2")
    recording(database, 3, 1, "shared", "v1")
    recording(database, 4, 1, "gone", "v1")
    enforcement, run_id = begin(database)
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    enforcement.close()
    assert recordings_left(database) == {3, 4}
    assert database.value("SELECT count(*) FROM retention.claim") == 0


def test_a_row_that_names_its_version_only_since_it_was_claimed_is_claimed_anew(database: TenantDatabase) -> None:
    recording(database, 1, 20, "key")
    enforcement, run_id = begin(database)
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    assert claim.version is None
    database.write("UPDATE recordings SET object_version = 'uploaded since'")
    assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 0
    assert recordings_left(database) == {1}
    (again,) = enforcement.claim_content(run_id, "recordings", 10)
    assert (again.key, again.version) == ("key", "uploaded since")
    assert enforcement.confirm_claims(run_id, [again.claim_id]) == 1
    enforcement.close()
    assert recordings_left(database) == set()


CHANGED_OBJECTS: tuple[LiteralString, ...] = (
    "object_key = NULL",
    "object_key = ''",
    "object_key = 'another'",
    "object_version = NULL",
    "object_version = 'v2'",
)


def test_a_young_row_cannot_let_go_of_its_object_for_an_old_one_to_name_it__M8(database: TenantDatabase) -> None:
    recording(database, 1, 3, "young", "v1")
    recording(database, 2, 20, "old", "v1")
    for change in CHANGED_OBJECTS:
        for who in (database.connect("app"), database.as_owner()):
            with who as session, pytest.raises(psycopg.Error, match="is written once"):
                session.execute(sql.SQL("UPDATE public.recordings SET {}").format(sql.SQL(change)))
    named = database.rows("SELECT object_key, object_version FROM public.recordings ORDER BY id")
    assert named == [("young", "v1"), ("old", "v1")]


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_row_gets_its_key_and_version_when_the_object_is_there_and_keeps_them(
    database: TenantDatabase, nothing: str | None
) -> None:
    recording(database, 1, 3, nothing, nothing)
    database.write("UPDATE recordings SET object_key = 'k', session_id = 's1'")
    database.write("UPDATE recordings SET object_version = 'v', object_key = 'k'")
    assert database.rows("SELECT object_key, object_version FROM public.recordings") == [("k", "v")]


def test_a_row_cannot_leave_its_unit_and_with_it_a_hold_on_that_unit__X3(database: TenantDatabase) -> None:
    database.write("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's1', %s)", days_ago(3))
    database.write("UPDATE calls SET unit = 'clinic'")
    for unit in ("office", None):
        with pytest.raises(psycopg.Error, match="is written once"):
            database.write("UPDATE calls SET unit = %s", unit)
    database.write("UPDATE calls SET caller = '4711', unit = 'clinic'")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_session_that_looks_at_the_past_cannot_delete_what_is_held_by_now__X3(
    database: TenantDatabase, level: LiteralString
) -> None:
    recording(database, 1, 100, None)
    month = f"recordings_p{days_ago(100):%Y%m}"
    enforcement, run_id = begin(database)
    step = next(step for step in enforcement.partition_steps(run_id, "recordings") if step.partition == month)
    enforcement.close()
    attempts: list[tuple[str, LiteralString, tuple[object, ...]]] = [
        (
            "enforcer",
            "SELECT retention.expire_range(%s, %s, %s, %s, NULL, 10)",
            (run_id, step.category, step.table, month),
        ),
        (
            "enforcer",
            "SELECT retention.expire_months(%s, %s, %s, ARRAY[%s], 'Truncate', 0)",
            (run_id, step.category, step.table, month),
        ),
        ("owner", "DELETE FROM public.recordings", ()),
        ("owner", "TRUNCATE public.recordings", ()),
    ]
    for who, statement, arguments in attempts:
        session = database.as_owner() if who == "owner" else database.connect(who)
        with session as past, database.as_owner() as owner:
            past.execute(sql.SQL("BEGIN ISOLATION LEVEL {}").format(sql.SQL(level)))
            past.execute("SELECT 1")
            owner.execute("INSERT INTO retention.hold (session) VALUES ('s1')")
            with pytest.raises(psycopg.Error, match="READ COMMITTED"):
                past.execute(statement, arguments)
            past.execute("ROLLBACK")
            owner.execute("UPDATE retention.hold SET released_at = now()")
    assert recordings_left(database) == {1}


SHORT_BACK = archive(keep="P90D", content_keep="P14D", back="P1M")


@pytest.fixture
def short(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An archive whose months are dropped a month after their end; one old month of recordings is there still."""
    with tenant_databases.having(archive(keep="P90D", content_keep="P14D")) as made:
        recording(made, 1, 250, None)
        made.apply(SHORT_BACK)
        yield made


def old_month(enforcement: PostgresEnforcementDatabase, run_id: UUID) -> PartitionStep:
    return next(step for step in enforcement.partition_steps(run_id, "recordings") if step.rows)


def test_a_month_is_counted_before_its_table_is_locked_so_that_nobody_waits_for_the_count(
    short: TenantDatabase,
) -> None:
    enforcement, run_id = begin(short, SHORT_BACK)
    step = old_month(enforcement, run_id)
    assert step.kind is PartitionStepKind.DETACH
    with ThreadPoolExecutor(1) as thread, short.as_owner() as busy, short.connect("app") as application:
        busy.execute("BEGIN")
        busy.execute(sql.SQL("LOCK TABLE public.{} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(step.partition)))
        detached = thread.submit(enforcement.expire_months, run_id, [step], 0)
        short.wait_until_someone_waits_for(f"public.{step.partition}")
        application.execute("SET lock_timeout = '200ms'")
        application.execute("INSERT INTO recordings (id, started_at) VALUES (9, now())")
        busy.execute("COMMIT")
        assert detached.result(timeout=180).deleted == 1
    enforcement.close()
    assert recordings_left(short) == {9}


def test_what_was_written_into_a_month_just_before_it_was_detached_is_counted_and_its_objects_are_not_forgotten(
    short: TenantDatabase,
) -> None:
    enforcement, run_id = begin(short, SHORT_BACK)
    step = old_month(enforcement, run_id)
    enforcement.close()
    with short.connect("enforcer") as session:
        pid = session.info.backend_pid
        arguments = (run_id, "recordings", "recordings", step.partition)
        session.execute("SELECT retention.expire_months(%s, %s, %s, ARRAY[%s], 'Detach', 0)", arguments)
    short.wait_for_end(pid)
    late = sql.SQL("INSERT INTO public.{} (id, started_at, object_key) VALUES (%s, %s, %s)").format(
        sql.Identifier(step.partition)
    )
    with short.as_owner() as owner:
        owner.execute(late, (2, days_ago(250), "late"))
    enforcement, run_id = begin(short, SHORT_BACK)
    assert enforcement.finish_detached(run_id) == 0
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    assert claim.key == "late"
    enforcement.close()


@pytest.mark.parametrize("hold", [False, True])
def test_a_record_goes_neither_before_nor_against_its_content_in_a_month_that_is_detached_and_not_yet_dropped__P4_X3(
    tenant_databases: TenantDatabases, hold: bool
) -> None:
    """A reader, a backup for instance, keeps the month from being dropped."""
    rules = archive(keep="P90D", content_keep="P14D")
    drops_content = tuple(
        each.model_copy(update={"back": "P1M"}) if each.name == "recordings" else each for each in rules.tables
    )
    rules = rules.model_copy(update={"tables": drops_content})
    with tenant_databases.having(archive(keep="P90D", content_keep="P14D")) as database:
        recording(database, 1, 250, None)
        recording(database, 2, 250, None)
        database.apply(rules)
        write_call = "INSERT INTO calls (id, session_id, started_at) VALUES (%s, %s, %s)"
        database.write(write_call, 1, "s1", days_ago(250))
        database.write(write_call, 3, "s3", days_ago(250))
        enforcement, run_id = begin(database, rules)
        step = old_month(enforcement, run_id)
        enforcement.close()
        with database.connect("enforcer") as killed:
            pid = killed.info.backend_pid
            killed.execute(
                "SELECT retention.expire_months(%s, 'recordings', 'recordings', ARRAY[%s], 'Detach', 0)",
                (run_id, step.partition),
            )
        database.wait_for_end(pid)
        if hold:
            with database.as_owner() as owner:
                owner.execute("INSERT INTO retention.hold (category) VALUES ('recordings')")
        enforcement, run_id = begin(database, rules)
        for each in enforcement.partition_steps(run_id, "records"):
            take(enforcement, run_id, each)
        assert database.rows("SELECT id FROM public.calls ORDER BY id") == [(1,)]
        enforcement.close()
        evidence = run(database, rules)
        assert (
            database.value("SELECT count(*) FROM public.calls")
            == database.value("SELECT count(DISTINCT id) FROM public.recordings WHERE id = 1")
            == int(hold)
        )
        assert evidence.outcome == "Succeeded"


def test_rows_in_a_default_partition_hide_neither_the_oldest_row_nor_objects_to_lock_of_other_months__M8_X4(
    database: TenantDatabase,
) -> None:
    with database.as_owner() as owner:
        owner.execute("CREATE TABLE public.recordings_rest PARTITION OF public.recordings DEFAULT")
    recording(database, 1, 3, "in its month")
    recording(database, 2, -90, "in the rest")
    enforcement, run_id = begin(database)
    found, resume_from = set(), None
    while True:
        batch = enforcement.objects_to_lock(run_id, "recordings", resume_from, 10)
        found |= {lock.key for lock in batch.locks}
        resume_from = batch.resume_from
        if resume_from is None:
            break
    enforcement.close()
    assert found == {"in its month", "in the rest"}
    seen = next(each for each in database.observer().observe().categories if each.category == "recordings")
    assert seen.oldest is not None
    assert seen.oldest < datetime.now(UTC)


def test_an_empty_key_names_no_object_and_its_row_goes_like_any_other__M10(database: TenantDatabase) -> None:
    recording(database, 1, 20, "", "v1")
    recording(database, 2, 100, "")
    recording(database, 3, 3, "")
    enforcement, run_id = begin(database)
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    enforcement.close()
    evidence = run(database, ARCHIVE)
    assert recordings_left(database) == {3}
    assert (evidence.outcome, evidence.categories[0].acted) == ("Succeeded", 2)


@pytest.mark.parametrize("event", [ClockEvent.CREATED, ClockEvent.TERMINATED])
def test_a_large_table_that_nothing_can_be_due_in_is_not_scanned_at_every_look__M10(
    tenant_databases: TenantDatabases, event: ClockEvent
) -> None:
    clock = "started_at" if event is ClockEvent.CREATED else None
    accounts = category("accounts", "accounts", keep=None, maximum=None, clock_column=clock)
    unknown = {"state": CategoryState.NOT_ENFORCED, "clock_event": event}
    rules = definition([table("accounts", text("note"))], [accounts.model_copy(update=unknown)])
    with tenant_databases.having(rules) as database:
        insert = "INSERT INTO accounts (id, session_id, started_at, note) SELECT n, 's', %s, %s FROM generate_series(%s::int, %s::int) AS n"
        born = days_ago(100)
        database.write(insert, born, "n" * 1000, 1, 10_000)
        assert database.observer().observe().categories[0].rows == 10_000
        with database.as_owner() as owner:
            owner.execute(sql.SQL("ANALYZE public.{}").format(sql.Identifier(f"accounts_p{born:%Y%m}")))
        # One row more fits the last page: only a scan would see it.
        database.write(insert, born, "", 10_001, 10_001)
        assert database.observer().observe().categories[0].rows == 10_000


@pytest.mark.parametrize("name", ["ü" * 31, "日本語" * 7, "a" * 30 + "ß" * 16])
def test_a_long_name_of_long_letters_has_a_month_each_and_loses_what_is_due__P2(
    tenant_databases: TenantDatabases, name: str
) -> None:
    rules = definition([table(name)], [category("records", name)], guard_percent=100)
    with tenant_databases.having(rules) as database:
        insert = sql.SQL("INSERT INTO public.{} (id, started_at) VALUES (%s, %s)").format(sql.Identifier(name))
        with database.connect("app") as application:
            for number, age in enumerate((1, 40, 100, 200)):
                application.execute(insert, (number, days_ago(age)))
        assert run(database, rules).categories[0].acted == 2


def test_the_operator_makes_every_other_table_s_months_where_one_table_s_cannot_be_made(
    tenant_databases: TenantDatabases,
) -> None:
    rules = definition([table("calls"), table("logs")], [category("records", "calls"), category("logs", "logs")])
    with tenant_databases.having(rules) as database:
        ahead = f"{month_ahead():%Y%m}"
        with database.as_owner() as owner:
            for statement in ("DROP TABLE public.{}", "CREATE TABLE public.{} (x int)"):
                owner.execute(sql.SQL(statement).format(sql.Identifier(f"calls_p{ahead}")))
            owner.execute(sql.SQL("DROP TABLE public.{}").format(sql.Identifier(f"logs_p{ahead}")))
        with pytest.raises(Unavailable, match="calls") as refused:
            database.apply(rules)
        assert refused.value.reason == "PartitionsMissing"
        assert database.value("SELECT to_regclass(%s) IS NOT NULL", f"public.logs_p{ahead}")


def test_a_default_partition_that_somebody_made_is_told_with_its_name_since_no_month_is_made_beside_it(
    tenant_databases: TenantDatabases,
) -> None:
    rules = definition([table("calls"), table("logs")], [category("records", "calls"), category("logs", "logs")])
    with tenant_databases.having(rules) as database:
        ahead = f"{month_ahead():%Y%m}"
        with database.as_owner() as owner:
            owner.execute("CREATE TABLE public.calls_rest PARTITION OF public.calls DEFAULT")
            for name in ("calls", "logs"):
                owner.execute(sql.SQL("DROP TABLE public.{}").format(sql.Identifier(f"{name}_p{ahead}")))
        with pytest.raises(Unavailable, match="calls has a DEFAULT partition, calls_rest") as refused:
            database.apply(rules)
        assert refused.value.reason == "PartitionsMissing"
        assert database.value("SELECT to_regclass(%s) IS NOT NULL", f"public.logs_p{ahead}")
        with database.as_owner() as owner:
            owner.execute("DROP TABLE public.calls_rest")
        assert any("months of calls created" in change for change in database.apply(rules))
