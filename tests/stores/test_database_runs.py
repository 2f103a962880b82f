"""A run inside a tenant database: exactly what is due goes, whole months and single rows, resumable, with evidence."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import PartitionStep, PartitionStepKind
from tenant_retention.domain.ports.evidence import CategoryEvidence
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    cases,
    category,
    days_ago,
    definition,
    month_ahead,
    records,
    run,
    table,
    take,
)

pytestmark = pytest.mark.oldest_and_newest

OPEN_GUARD = definition([table("calls")], [category("records", "calls")], guard_percent=100)
"""Keep P90D, max P5Y; a guard of 100 percent never trips."""
SHORT_BACK = OPEN_GUARD.model_copy(update={"tables": (table("calls", back="P1M"),)})
"""The same rules, but months older than a month are dropped when they have expired."""


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """A database with calls that are kept 90 days."""
    with tenant_databases.having(OPEN_GUARD) as made:
        yield made


def insert(database: TenantDatabase, births: dict[int, datetime], name: str = "calls") -> None:
    """Rows by number, as the application writes them."""
    with database.connect("app") as app, app.cursor() as cursor:
        cursor.executemany(
            sql.SQL("INSERT INTO {} (id, session_id, started_at) VALUES (%s, %s, %s)").format(sql.Identifier(name)),
            [(number, f"s{number}", born) for number, born in births.items()],
        )


def left(database: TenantDatabase, name: str = "calls") -> set[int]:
    with database.as_owner() as owner:
        rows = owner.execute(sql.SQL("SELECT id FROM public.{}").format(sql.Identifier(name))).fetchall()
    return {row[0] for row in rows}


def evidence_of(categories: tuple[CategoryEvidence, ...], name: str = "records") -> CategoryEvidence:
    return next(each for each in categories if each.category == name)


def begin(
    database: TenantDatabase, rules: RetentionDefinition = OPEN_GUARD
) -> tuple[PostgresEnforcementDatabase, UUID]:
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
    return enforcement, run_id


def steps_of(
    enforcement: PostgresEnforcementDatabase, run_id: UUID, name: str = "records"
) -> tuple[PartitionStep, ...]:
    return enforcement.partition_steps(run_id, name)


def reason_of(failing: Any, *arguments: Any) -> str:
    with pytest.raises(RetentionError) as refused:
        failing(*arguments)
    return refused.value.reason


def detach_and_die(database: TenantDatabase, run_id: UUID, partition: str) -> None:
    """What a run leaves that is killed between DETACH and DROP."""
    with database.connect("enforcer") as killed:
        pid = killed.info.backend_pid
        killed.execute(
            "SELECT retention.expire_months(%s, 'records', 'calls', ARRAY[%s], 'Detach', 0)", (run_id, partition)
        )
    database.wait_for_end(pid)


def test_exactly_what_reached_its_keep_goes_and_what_did_not_stays__P2_X9(database: TenantDatabase) -> None:
    now = datetime.now(UTC)
    reached = cutoff(now, Period.parse("P90D"))
    insert(database, {1: reached, 2: reached - timedelta(seconds=1), 3: reached + timedelta(minutes=10), 4: now})
    insert(database, {5: days_ago(200), 6: days_ago(300)})
    evidence = run(database, OPEN_GUARD)
    assert left(database) == {3, 4}
    done = evidence_of(evidence.categories)
    assert (done.candidates, done.acted, done.residue, done.failed, evidence.outcome) == (4, 4, 0, 0, "Succeeded")
    assert done.oldest_left == reached + timedelta(minutes=10)


def test_a_second_run_finds_nothing_to_do(database: TenantDatabase) -> None:
    insert(database, {number: days_ago(10 + 15 * number) for number in range(20)})
    run(database, OPEN_GUARD)
    before = left(database)
    again = run(database, OPEN_GUARD)
    assert (evidence_of(again.categories).candidates, evidence_of(again.categories).acted) == (0, 0)
    assert left(database) == before


def test_the_last_window_before_max_takes_what_must_be_gone_before_the_next__M10(
    tenant_databases: TenantDatabases,
) -> None:
    rules = definition([table("calls")], [category("records", "calls", keep="P90D", maximum="P90D")], guard_percent=100)
    with tenant_databases.having(rules) as database:
        insert(database, {1: days_ago(89.2), 2: days_ago(88.8)})
        run(database, rules)
        assert left(database) == {2}


def test_expired_months_are_emptied_whole_and_stay_for_late_writers(database: TenantDatabase) -> None:
    born = days_ago(200)
    insert(database, {1: born})
    enforcement, run_id = begin(database)
    (step,) = steps_of(enforcement, run_id)
    assert (step.kind, step.partition, step.rows) == (PartitionStepKind.TRUNCATE, f"calls_p{born:%Y%m}", 1)
    assert enforcement.expire_months(run_id, [step], 0).deleted == 1
    insert(database, {2: born})
    assert enforcement.finish_run(run_id).categories[0].residue == 1
    enforcement.close()
    run(database, OPEN_GUARD)
    assert left(database) == set()


def test_the_boundary_month_goes_by_ranges_and_many_rows_of_one_instant_go_together(database: TenantDatabase) -> None:
    reached = cutoff(datetime.now(UTC), Period.parse("P90D"))
    first_of_month = reached.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    due = {number: first_of_month + (reached - first_of_month) * (number // 4) / 20 for number in range(80)}
    insert(database, due)
    insert(database, {100: reached + timedelta(minutes=10)})
    enforcement, run_id = begin(database)
    (step,) = steps_of(enforcement, run_id)
    assert step.kind is PartitionStepKind.RANGE
    sizes, resume = [], None
    while True:
        batch = enforcement.expire_range(run_id, step, resume, 10)
        sizes.append(batch.deleted)
        resume = batch.resume_after
        if resume is None:
            break
    assert sum(sizes) == 80
    assert max(sizes) <= 13
    assert left(database) == {100}
    enforcement.close()


def test_months_beyond_back_are_detached_and_dropped_and_the_newest_stays(database: TenantDatabase) -> None:
    insert(database, {1: days_ago(250), 2: days_ago(200), 3: days_ago(100), 4: days_ago(1)})
    database.apply(SHORT_BACK)
    before = database.value("SELECT count(*) FROM retention.partition")
    evidence = run(database, SHORT_BACK)
    assert evidence_of(evidence.categories).acted == 3
    assert left(database) == {4}
    months = database.rows("SELECT partition FROM retention.partition ORDER BY born_from")
    assert len(months) < before
    assert database.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'calls_p%%' AND relkind = 'r'") == len(
        months
    )
    assert f"calls_p{month_ahead():%Y%m}" in {name for (name,) in months}


def test_a_month_that_was_detached_and_not_dropped_is_counted_and_dropped_by_the_next_run(
    database: TenantDatabase,
) -> None:
    born = days_ago(250)
    insert(database, {1: born, 2: born, 3: days_ago(1)})
    database.apply(SHORT_BACK)
    enforcement, run_id = begin(database, SHORT_BACK)
    enforcement.close()
    detach_and_die(database, run_id, f"calls_p{born:%Y%m}")
    facts = database.observer().observe()
    assert (facts.categories[0].rows, facts.categories[0].due) == (3, 2)
    run(database, SHORT_BACK)
    assert database.value("SELECT to_regclass(%s) IS NULL", f"public.calls_p{born:%Y%m}")
    links = database.observer().evidence(10)
    assert [link.outcome for link in links] == ["Succeeded", "Interrupted"]
    assert evidence_of(links[0].categories).acted == 2
    assert database.observer().observe().categories[0].rows == 1


@pytest.mark.parametrize("order", ["after", "before"])
def test_a_detached_month_that_somebody_reads_keeps_no_other_one_from_going__M10(
    database: TenantDatabase, order: str
) -> None:
    born = (days_ago(280), days_ago(240))
    insert(database, dict(enumerate(born)))
    database.apply(SHORT_BACK)
    enforcement, run_id = begin(database, SHORT_BACK)
    enforcement.close()
    free, read = (f"calls_p{each:%Y%m}" for each in born)
    for partition in (free, read) if order == "after" else (read, free):
        detach_and_die(database, run_id, partition)
    enforcement, run_id = begin(database, SHORT_BACK)
    with database.as_owner() as reader, reader.transaction():
        reader.execute(sql.SQL("SELECT FROM public.{}").format(sql.Identifier(read)))
        with pytest.raises(Unavailable, match=read) as busy:
            enforcement.finish_detached(run_id)
        assert busy.value.reason == "LockTimeout"
        assert database.rows("SELECT partition FROM retention.detached_partition") == [(read,)]
    assert enforcement.finish_detached(run_id) == 1
    enforcement.close()


def test_a_detached_month_of_before_that_somebody_reads_stops_no_category_and_the_run_says_what_is_left__M10(
    database: TenantDatabase,
) -> None:
    born = (days_ago(280), days_ago(240))
    insert(database, dict(enumerate(born)))
    database.apply(SHORT_BACK)
    enforcement, run_id = begin(database, SHORT_BACK)
    enforcement.close()
    read, other = (f"calls_p{each:%Y%m}" for each in born)
    detach_and_die(database, run_id, read)
    enforcement, run_id = begin(database, SHORT_BACK)
    with database.as_owner() as reader, reader.transaction():
        reader.execute(sql.SQL("SELECT FROM public.{}").format(sql.Identifier(read)))
        (step,) = (step for step in enforcement.partition_steps(run_id, "records") if step.partition == other)
        assert take(enforcement, run_id, step) == 1
        assert database.rows("SELECT partition FROM retention.detached_partition") == [(read,)]
        evidence = enforcement.finish_run(run_id)
    assert evidence.outcome == "Incomplete"
    assert (evidence_of(evidence.categories).acted, evidence_of(evidence.categories).residue) == (1, 1)
    enforcement.close()
    run(database, SHORT_BACK)
    assert database.value("SELECT count(*) FROM retention.detached_partition") == 0


@pytest.mark.parametrize("change", ["hold", "longer keep", "upgrade"])
def test_a_detached_month_that_may_no_longer_go_is_attached_back_with_its_guards__X3(
    database: TenantDatabase, change: str
) -> None:
    born = days_ago(250)
    partition = f"calls_p{born:%Y%m}"
    insert(database, {1: born})
    database.apply(SHORT_BACK)
    enforcement, run_id = begin(database, SHORT_BACK)
    enforcement.close()
    detach_and_die(database, run_id, partition)
    rules = SHORT_BACK
    if change != "longer keep":
        with database.as_owner() as owner:
            owner.execute("INSERT INTO retention.hold (session) VALUES ('s1')")
            if change == "upgrade":
                # The month is of before a check that its table has got since.
                owner.execute(
                    sql.SQL("ALTER TABLE {} DROP CONSTRAINT retention_readable_started_at").format(
                        sql.Identifier("public", partition)
                    )
                )
    else:
        rules = definition([table("calls", back="P1M")], [category("records", "calls", keep="P2Y")])
        database.apply(rules)
    evidence = run(database, rules)
    assert left(database) == {1}
    assert evidence_of(evidence.categories).acted == 0
    assert database.value("SELECT count(*) FROM retention.detached_partition") == 0
    database.write("INSERT INTO calls (id, session_id, started_at) VALUES (9, 's9', %s)", born)
    assert database.apply(rules) == ()


def test_held_rows_are_passed_over_and_reported_and_go_when_released__X3(database: TenantDatabase) -> None:
    born = days_ago(200)
    insert(database, {1: born, 2: born, 3: born + timedelta(seconds=1), 4: days_ago(100)})
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('s2'), ('s4')")
    evidence = run(database, OPEN_GUARD, batch=1)
    assert left(database) == {2, 4}
    done = evidence_of(evidence.categories)
    assert (done.candidates, done.acted, done.held, done.residue) == (2, 2, 2, 0)
    assert database.observer().observe().categories[0].held == 2
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    run(database, OPEN_GUARD)
    assert left(database) == set()


def test_a_hold_placed_between_plan_and_act_saves_its_row_and_the_rest_of_the_month_goes__X3(
    database: TenantDatabase,
) -> None:
    born = days_ago(200)
    insert(database, {1: born, 2: born})
    enforcement, run_id = begin(database)
    (step,) = steps_of(enforcement, run_id)
    assert step.kind is PartitionStepKind.TRUNCATE
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('s2')")
    assert enforcement.expire_months(run_id, [step], 0).deleted == 1
    assert left(database) == {2}
    enforcement.close()


def test_the_dry_run_names_the_steps_that_the_real_run_takes_and_touches_nothing__X7(database: TenantDatabase) -> None:
    insert(database, {number: days_ago(15 * number) for number in range(20)})
    enforcement, run_id = database.enforcer(), uuid4()
    promised = enforcement.begin_run(run_id, Mode.DRY_RUN, OPEN_GUARD.rules_digest(), datetime.now(UTC))
    dry = steps_of(enforcement, run_id)
    assert dry
    for refused in (
        reason_of(enforcement.expire_months, run_id, [dry[0]], 0),
        reason_of(enforcement.expire_range, run_id, dry[-1], None, 10),
        reason_of(enforcement.claim_content, run_id, "records", 10),
    ):
        assert refused == "DryRun"
    assert enforcement.ensure_partitions(run_id) == 0
    evidence = enforcement.finish_run(run_id)
    assert (evidence.mode, evidence.categories[0].acted, evidence.categories[0].residue) == (Mode.DRY_RUN, 0, 14)
    enforcement.close()
    assert len(left(database)) == 20
    enforcement, run_id = begin(database)
    assert steps_of(enforcement, run_id) == dry
    assert sum(take(enforcement, run_id, step) for step in dry) == promised[0].candidates == 14
    enforcement.close()


def test_a_run_for_other_rules_is_refused__X7(database: TenantDatabase) -> None:
    enforcement = database.enforcer()
    other = records(keep="P1D").rules_digest()
    with pytest.raises(Invalid) as refused:
        enforcement.begin_run(uuid4(), Mode.ENFORCE, other, datetime.now(UTC))
    assert refused.value.reason == "RulesChanged"
    enforcement.close()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("rules", "RulesChanged"),
        ("DryRun", "RulesChanged"),
        ("suspend", "Suspended"),
    ],
)
def test_a_change_of_the_policy_stops_the_run_at_its_next_step(
    database: TenantDatabase, change: str, reason: str
) -> None:
    insert(database, {1: days_ago(200), 2: days_ago(91)})
    enforcement, run_id = begin(database)
    truncate, by_range = steps_of(enforcement, run_id)
    if change == "rules":
        longer = definition([table("calls")], [category("records", "calls", keep="P1Y")], guard_percent=100)
        database.apply(longer)
    else:
        database.apply(
            OPEN_GUARD, mode=Mode.DRY_RUN if change == "DryRun" else Mode.ENFORCE, suspended=change == "suspend"
        )
    assert reason_of(enforcement.expire_months, run_id, [truncate], 0) == reason
    assert reason_of(enforcement.expire_range, run_id, by_range, None, 10) == reason
    assert left(database) == {1, 2}
    evidence = enforcement.finish_run(run_id)
    assert evidence.outcome == ("Incomplete" if change == "suspend" else "RulesChanged")
    enforcement.close()


def test_a_suspended_policy_and_one_in_dry_run_begin_no_enforcing_run(database: TenantDatabase) -> None:
    enforcement = database.enforcer()
    arguments = (OPEN_GUARD.rules_digest(), datetime.now(UTC))
    database.apply(OPEN_GUARD, suspended=True)
    assert reason_of(enforcement.begin_run, uuid4(), Mode.ENFORCE, *arguments) == "Suspended"
    database.apply(OPEN_GUARD, mode=Mode.DRY_RUN)
    assert reason_of(enforcement.begin_run, uuid4(), Mode.ENFORCE, *arguments) == "RulesChanged"
    enforcement.begin_run(uuid4(), Mode.DRY_RUN, *arguments)
    enforcement.close()


@pytest.mark.parametrize("skew", [timedelta(seconds=-70), timedelta(seconds=70)])
def test_clocks_that_differ_by_over_a_minute_stop_the_run(database: TenantDatabase, skew: timedelta) -> None:
    enforcement = database.enforcer()
    with pytest.raises(NotReady) as refused:
        enforcement.begin_run(uuid4(), Mode.ENFORCE, OPEN_GUARD.rules_digest(), datetime.now(UTC) + skew)
    assert refused.value.reason == "ClockSkew"
    enforcement.close()


def test_the_smaller_of_both_clocks_decides(database: TenantDatabase) -> None:
    enforcement, run_id = database.enforcer(), uuid4()
    behind = datetime.now(UTC) - timedelta(seconds=5)
    (began,) = enforcement.begin_run(run_id, Mode.ENFORCE, OPEN_GUARD.rules_digest(), behind)
    assert began.remove_through == behind - timedelta(days=90)
    enforcement.close()


def test_a_run_decides_the_same_whatever_its_session_was_set_to__X9(database: TenantDatabase) -> None:
    reached = cutoff(datetime.now(UTC), Period.parse("P90D"))
    insert(
        database, {1: reached, 2: reached + timedelta(minutes=10), 3: days_ago(200), 4: days_ago(201), 5: days_ago(300)}
    )
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session, born_from) VALUES ('s4', now() - interval '1 year')")
    settings = {
        "TimeZone": "Pacific/Kiritimati",
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "standard_conforming_strings": "off",
        "quote_all_identifiers": "on",
        "search_path": "public",
        "lock_timeout": "0",
    }
    with database.connect("enforcer") as enforcer:
        for name, value in settings.items():
            enforcer.execute(
                sql.SQL("ALTER ROLE CURRENT_USER SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
    database.apply(SHORT_BACK)
    try:
        evidence = run(database, SHORT_BACK, batch=2)
    finally:
        with database.connect("enforcer") as enforcer:
            enforcer.execute("ALTER ROLE CURRENT_USER RESET ALL")
    assert left(database) == {2, 4}
    assert (evidence.categories[0].acted, evidence.categories[0].held) == (3, 1)


def test_two_runs_at_once_are_one_too_many(database: TenantDatabase) -> None:
    first, run_id = begin(database)
    second = database.enforcer()
    assert reason_of(second.begin_run, uuid4(), Mode.ENFORCE, OPEN_GUARD.rules_digest(), datetime.now(UTC)) == (
        "RunInProgress"
    )
    assert reason_of(second.partition_steps, run_id, "records") == "RunInProgress"
    first.finish_run(run_id)
    second.begin_run(uuid4(), Mode.ENFORCE, OPEN_GUARD.rules_digest(), datetime.now(UTC))
    first.close()
    second.close()


def test_a_run_whose_session_was_killed_is_marked_interrupted_and_the_next_one_finishes_the_work__X6(
    database: TenantDatabase,
) -> None:
    insert(database, {number: days_ago(95 + number * 3) for number in range(60)})
    enforcement, run_id = begin(database)
    steps = steps_of(enforcement, run_id)
    done = enforcement.expire_months(run_id, [steps[0]], 0).deleted
    with database.as_administrator() as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s AND datname = %s",
            (f"{database.roles.enforcer}_1", database.administrator.database),
        )
    with pytest.raises(Unavailable):
        enforcement.expire_months(run_id, [steps[1]], 0)
    next_run = run(database, OPEN_GUARD)
    assert left(database) == set()
    links = database.observer().evidence(2)
    assert [link.outcome for link in links] == ["Succeeded", "Interrupted"]
    assert (links[1].run_id, links[1].categories[0].acted, links[1].categories[0].residue) == (run_id, done, None)
    assert next_run.categories[0].acted == 60 - done
    assert reason_of(enforcement.expire_months, run_id, [steps[1]], 0) == "RunNotOpen"
    enforcement.close()


def test_a_run_goes_on_in_a_new_session_after_its_connection_was_lost(database: TenantDatabase) -> None:
    insert(database, {1: days_ago(200), 2: days_ago(150)})
    enforcement, run_id = begin(database)
    first, second = steps_of(enforcement, run_id)
    enforcement.expire_months(run_id, [first], 0)
    enforcement.close()
    assert enforcement.expire_months(run_id, [second], 0).deleted == 1
    assert enforcement.finish_run(run_id).outcome == "Succeeded"
    enforcement.close()


def test_a_transaction_that_is_killed_in_the_middle_of_a_step_leaves_everything_there(database: TenantDatabase) -> None:
    born = days_ago(200)
    insert(database, {1: born})
    enforcement, run_id = begin(database)
    (step,) = steps_of(enforcement, run_id)
    enforcement.close()
    dying = database.connect("enforcer")
    dying.execute("BEGIN")
    removed = dying.execute(
        "SELECT retention.expire_months(%s, %s, %s, ARRAY[%s], 'Truncate', 0)",
        (run_id, step.category, step.table, step.partition),
    ).fetchone()
    pid = dying.info.backend_pid
    dying.close()
    database.wait_for_end(pid)
    assert removed == ([1],)
    assert left(database) == {1}
    run(database, OPEN_GUARD)
    assert left(database) == set()


def test_beginning_again_with_the_same_id_gives_the_same_answer(database: TenantDatabase) -> None:
    insert(database, {1: days_ago(200)})
    enforcement, run_id = database.enforcer(), uuid4()
    arguments = (run_id, Mode.ENFORCE, OPEN_GUARD.rules_digest(), datetime.now(UTC))
    first = enforcement.begin_run(*arguments)
    assert enforcement.begin_run(*arguments) == first
    link = enforcement.finish_run(run_id)
    assert enforcement.finish_run(run_id) == link
    assert len(database.observer().evidence(10)) == 1
    enforcement.close()


def test_a_busy_month_makes_its_step_unavailable_and_nothing_else(database: TenantDatabase) -> None:
    born = days_ago(200)
    insert(database, {1: born, 2: days_ago(150)})
    enforcement, run_id = begin(database)
    first, second = steps_of(enforcement, run_id)
    with database.connect("app") as reader, reader.transaction():
        reader.execute("SELECT * FROM calls WHERE started_at = %s", (born,))
        with pytest.raises(Unavailable) as refused:
            enforcement.expire_months(run_id, [first], 0)
        assert refused.value.reason == "LockTimeout"
        assert enforcement.expire_months(run_id, [second], 0).deleted == 1
    assert enforcement.expire_months(run_id, [first], 0).deleted == 1
    enforcement.close()


def test_a_long_reader_delays_a_detach_and_the_detach_delays_nobody_for_long(database: TenantDatabase) -> None:
    born = days_ago(250)
    insert(database, {1: born})
    database.apply(SHORT_BACK)
    enforcement, run_id = begin(database, SHORT_BACK)
    step = next(each for each in steps_of(enforcement, run_id) if each.rows)
    assert step.kind is PartitionStepKind.DETACH
    with database.connect("app") as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM calls")
        with pytest.raises(Unavailable) as refused:
            enforcement.expire_months(run_id, [step], 0)
        assert refused.value.reason == "LockTimeout"
        insert(database, {2: days_ago(1)})
    assert enforcement.expire_months(run_id, [step], 0).deleted == 1
    assert left(database) == {2}
    enforcement.close()


def test_months_that_cannot_be_created_stop_no_deletion_and_are_told(database: TenantDatabase) -> None:
    insert(database, {1: days_ago(200), 2: days_ago(1)})
    ahead = f"calls_p{month_ahead():%Y%m}"
    with database.as_owner() as owner:
        owner.execute("ALTER TABLE public.calls DETACH PARTITION public." + ahead)
    enforcement, run_id = begin(database)
    with pytest.raises(Unavailable) as refused:
        enforcement.ensure_partitions(run_id)
    assert refused.value.reason == "PartitionsMissing"
    assert "calls" in refused.value.message
    for step in steps_of(enforcement, run_id):
        take(enforcement, run_id, step)
    assert enforcement.finish_run(run_id).outcome == "Succeeded"
    assert left(database) == {2}
    enforcement.close()


def test_a_deletion_that_fails_takes_no_month_back_that_was_made_for_the_inserts(database: TenantDatabase) -> None:
    """Elsewhere a failed retention run rolled the new months back, and the inserts of the next month failed."""
    insert(database, {1: days_ago(200)})
    ahead = f"calls_p{month_ahead():%Y%m}"
    with database.as_owner() as owner:
        owner.execute("DROP TABLE public." + ahead)
        owner.execute(
            "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION ''the disk is full'' USING ERRCODE = ''disk_full''; END'"
        )
        owner.execute(
            "CREATE TRIGGER fail BEFORE TRUNCATE ON public."
            f"calls_p{days_ago(200):%Y%m} FOR EACH STATEMENT EXECUTE FUNCTION public.fail()"
        )
    enforcement, run_id = begin(database)
    assert enforcement.ensure_partitions(run_id) == 1
    (step,) = steps_of(enforcement, run_id)
    with pytest.raises(RetentionError):
        enforcement.expire_months(run_id, [step], 0)
    enforcement.close()
    insert(database, {2: month_ahead()})
    assert left(database) == {1, 2}


def test_what_cannot_be_counted_at_the_end_has_no_residue_and_its_run_is_no_success__X6(
    database: TenantDatabase,
) -> None:
    insert(database, {1: days_ago(200)})
    enforcement, run_id = begin(database)
    steps_of(enforcement, run_id)
    with database.as_owner() as busy, busy.transaction():
        busy.execute(f"LOCK TABLE public.calls_p{days_ago(200):%Y%m} IN ACCESS EXCLUSIVE MODE")
        evidence = enforcement.finish_run(run_id)
    assert (evidence.categories[0].candidates, evidence.categories[0].acted) == (1, 0)
    assert (evidence.outcome, evidence.categories[0].residue) == ("Incomplete", None)
    assert database.observer().observe().chain_intact
    enforcement.close()


def test_months_ahead_are_made_by_the_run(database: TenantDatabase) -> None:
    ahead = f"calls_p{month_ahead():%Y%m}"
    with database.as_owner() as owner:
        owner.execute("DROP TABLE public." + ahead)
    enforcement, run_id = begin(database)
    assert enforcement.ensure_partitions(run_id) == 1
    assert enforcement.ensure_partitions(run_id) == 0
    enforcement.close()
    insert(database, {1: month_ahead()})
    assert database.apply(OPEN_GUARD) == ()


def test_steps_that_nobody_planned_are_refused(database: TenantDatabase) -> None:
    insert(database, {1: days_ago(200), 2: days_ago(5)})
    enforcement, run_id = begin(database)
    (planned,) = steps_of(enforcement, run_id)
    young = f"calls_p{days_ago(5):%Y%m}"
    assert reason_of(enforcement.expire_months, run_id, [planned.model_copy(update={"partition": young})], 0) == (
        "StepNotAllowed"
    )
    for update in ({"partition": "pg_class"}, {"partition": "calls_p209901"}):
        assert (
            reason_of(enforcement.expire_months, run_id, [planned.model_copy(update=update)], 0) == "UnknownPartition"
        )
    for update in ({"table": "settings"}, {"table": "calls; DROP TABLE calls"}):
        assert reason_of(enforcement.expire_months, run_id, [planned.model_copy(update=update)], 0) == "UnknownTable"
    assert reason_of(enforcement.partition_steps, run_id, "another") == "CategoryUnknown"
    detach = planned.model_copy(update={"kind": PartitionStepKind.DETACH})
    assert reason_of(enforcement.expire_months, run_id, [detach], 0) == "StepNotAllowed"
    by_range = PartitionStep(kind="Range", category="records", table="calls", partition=young, rows=1)
    assert enforcement.expire_range(run_id, by_range, None, 100).deleted == 0
    assert left(database) == {1, 2}
    enforcement.close()


def test_one_bad_category_is_recorded_and_its_run_has_failed(database: TenantDatabase) -> None:
    enforcement, run_id = begin(database)
    enforcement.record_failure(run_id, "records", "LockTimeout")
    evidence = enforcement.finish_run(run_id)
    assert (evidence.outcome, evidence.categories[0].failed) == ("Failed", 1)
    assert database.observer().observe().latest_success is None
    enforcement.close()


def test_of_many_failures_each_is_counted_and_their_reasons_stay_few(database: TenantDatabase) -> None:
    enforcement, run_id = begin(database)
    for number in range(40):
        enforcement.record_failure(run_id, "records", "LockTimeout" if number % 2 else f"Reason{number}")
    evidence = enforcement.finish_run(run_id)
    assert evidence.categories[0].failed == 40
    ((reasons,),) = database.rows("SELECT failure_reasons FROM retention.run_category")
    assert reasons[:3] == ["Reason0", "LockTimeout", "Reason2"]
    assert (len(reasons), reasons.count("LockTimeout")) == (16, 1)
    enforcement.close()


def test_work_that_is_left_without_a_reason_is_no_success(database: TenantDatabase) -> None:
    insert(database, {1: days_ago(200)})
    enforcement, run_id = begin(database)
    steps_of(enforcement, run_id)
    evidence = enforcement.finish_run(run_id)
    assert (evidence.outcome, evidence.categories[0].residue) == ("Incomplete", 1)
    enforcement.close()


def test_a_case_counts_from_the_day_it_was_closed_and_an_open_one_is_kept__M6_X8(
    tenant_databases: TenantDatabases,
) -> None:
    rules = cases(minimum="P30D", keep="P90D")
    with tenant_databases.having(rules) as database:
        old = days_ago(900)
        insert(database, {1: old, 2: old, 3: old, 4: old}, "cases")
        for number, closed in ((1, days_ago(91)), (2, days_ago(89)), (3, days_ago(400))):
            database.write("UPDATE cases SET closed_at = %s WHERE id = %s", closed, number)
        with pytest.raises(Exception, match="is written once"):
            database.write("UPDATE cases SET closed_at = %s WHERE id = 2", days_ago(500))
        evidence = run(database, rules, batch=1)
        assert left(database, "cases") == {2, 4}
        assert evidence.categories[0].acted == 2
        facts = database.observer().observe().categories[0]
        assert (facts.rows, facts.due, facts.anomalies) == (2, 0, 0)
        with database.as_owner() as owner, pytest.raises(Exception, match="younger than the minimum"):
            owner.execute("DELETE FROM public.cases WHERE id = 4")


def test_a_birth_in_the_future_is_counted_with_the_day_it_was_first_seen_and_never_deleted_by_age__X8(
    database: TenantDatabase,
) -> None:
    insert(database, {1: days_ago(-5), 2: days_ago(-0.5)})
    seen = database.observer().observe().categories[0]
    assert seen.anomalies == 1
    assert seen.anomalies_since is not None
    run(database, OPEN_GUARD)
    again = database.observer().observe().categories[0]
    assert (again.rows, again.anomalies, again.anomalies_since) == (2, 1, seen.anomalies_since)
    # The next step that the status names: not the application deletes it by hand, but the owner.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.write("DELETE FROM calls WHERE id = 1")
    with database.as_owner() as owner:
        owner.execute("DELETE FROM public.calls WHERE id = 1")
    gone = database.observer().observe().categories[0]
    assert (gone.rows, gone.anomalies, gone.anomalies_since) == (1, 0, None)


@pytest.mark.parametrize("chosen", [{"suspended": True}, {"mode": Mode.DRY_RUN}], ids=["suspended", "dry run"])
def test_debt_is_counted_also_while_the_policy_deletes_nothing__X4(
    database: TenantDatabase, chosen: dict[str, Any]
) -> None:
    rules = definition([table("calls")], [category("records", "calls", maximum="P120D")], guard_percent=100)
    insert(database, {1: days_ago(130), 2: days_ago(100), 3: days_ago(2)})
    database.apply(rules, **chosen)
    if chosen.get("mode") is Mode.DRY_RUN:
        run(database, rules, mode=Mode.DRY_RUN)
    facts = database.observer().observe().categories[0]
    assert (facts.rows, facts.due, facts.overdue) == (3, 2, 1)
    assert facts.next_deadline is not None
    assert facts.next_deadline < datetime.now(UTC)


def test_the_chain_of_evidence_shows_a_changed_and_a_missing_link__X6(database: TenantDatabase) -> None:
    for _ in range(3):
        run(database, OPEN_GUARD)
    observer = database.observer()
    assert observer.observe().chain_intact
    links = observer.evidence(10)
    assert [link.sequence for link in links] == [3, 2, 1]
    assert [link.previous_digest for link in links[:2]] == [link.digest for link in links[1:]]
    with database.as_owner() as owner:
        owner.execute("ALTER TABLE retention.evidence DISABLE TRIGGER retention_append_only")
        owner.execute("UPDATE retention.evidence SET body = replace(body, 'Succeeded', 'Failed') WHERE sequence = 2")
        assert not observer.observe().chain_intact
        owner.execute("UPDATE retention.evidence SET body = replace(body, 'Failed', 'Succeeded') WHERE sequence = 2")
        assert observer.observe().chain_intact
        owner.execute("DELETE FROM retention.evidence WHERE sequence = 2")
        assert not observer.observe().chain_intact


def test_evidence_holds_counts_and_no_data_of_anybody__X6(database: TenantDatabase) -> None:
    insert(database, {4711: days_ago(200)})
    run(database, OPEN_GUARD)
    body = database.value("SELECT body FROM retention.evidence")
    assert "s4711" not in body
    told = evidence_of(database.observer().evidence(1)[0].categories).model_dump(exclude_none=True)
    assert set(told) == {
        "category", "candidates", "acted", "objects", "held", "skipped", "failed", "locked", "surplus", "residue", "cleared",
        "request_deleted", "request_cleared", "request_waiting",
    }  # fmt: skip


@pytest.fixture(params=["Truncate", "Detach"])
def five_months(request: pytest.FixtureRequest, tenant_databases: TenantDatabases) -> Iterator[Months]:
    """Five whole months that are due, one row in each, and the run that is to take them."""
    rules = OPEN_GUARD if request.param == "Truncate" else SHORT_BACK
    with tenant_databases.having(OPEN_GUARD) as made:
        insert(made, {number: days_ago(130 + 31 * number) for number in range(5)})
        made.apply(rules)
        enforcement, run_id = begin(made, rules)
        steps = tuple(step for step in steps_of(enforcement, run_id) if step.kind.value == request.param and step.rows)
        yield Months(made, enforcement, run_id, steps)
        enforcement.close()


@dataclass(frozen=True)
class Months:
    """Steps of one kind, and what they are taken with."""

    database: TenantDatabase
    enforcement: PostgresEnforcementDatabase
    run_id: UUID
    steps: tuple[PartitionStep, ...]

    def take(self, steps: Sequence[PartitionStep]) -> tuple[int, int]:
        """Rows and months gone after as many calls as it takes: a busy machine keeps the parent's lock longer, and needs more."""
        rows = done = 0
        while done < len(steps):
            batch = self.enforcement.expire_months(self.run_id, steps[done:], 60_000)
            assert batch.months > 0
            rows, done = rows + batch.deleted, done + batch.months
        return rows, done


def test_several_months_go_in_one_call_and_each_is_counted(five_months: Months) -> None:
    months = five_months
    assert len(months.steps) == 5
    assert months.take(months.steps) == (5, 5)
    again = months.enforcement.expire_months(months.run_id, months.steps, 60_000)
    assert again.deleted == 0, "a lost reply makes it come twice"
    evidence = evidence_of(months.enforcement.finish_run(months.run_id).categories)
    assert (evidence.candidates, evidence.acted, evidence.residue) == (5, 5, 0)
    assert left(months.database) == set()


def test_a_month_in_use_keeps_the_others_of_its_call_from_nothing_and_is_waited_for_by_itself(
    five_months: Months,
) -> None:
    months = five_months
    busy = sql.Identifier(months.steps[2].partition)
    with months.database.as_owner() as owner, owner.transaction():
        owner.execute(sql.SQL("LOCK TABLE public.{} IN ACCESS SHARE MODE").format(busy))
        if months.steps[0].kind is PartitionStepKind.TRUNCATE:
            batch = months.enforcement.expire_months(months.run_id, months.steps, 60_000)
            assert (batch.deleted, batch.months) == (2, 2)
        with pytest.raises(Unavailable) as waited:
            months.enforcement.expire_months(months.run_id, months.steps[2:], 60_000)
        assert waited.value.reason == "LockTimeout"
    months.take(months.steps[2:])
    months.take(months.steps[:2])
    assert left(months.database) == set()
    evidence = evidence_of(months.enforcement.finish_run(months.run_id).categories)
    assert (evidence.acted, evidence.residue) == (5, 0)


def test_a_month_that_fails_takes_back_none_of_those_before_it__M10(five_months: Months) -> None:
    months = five_months
    failing = months.steps[2]
    with months.database.as_owner() as owner:
        if failing.kind is PartitionStepKind.TRUNCATE:
            owner.execute(
                "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN RAISE EXCEPTION ''the disk is full'' USING ERRCODE = ''disk_full''; END'"
            )
            owner.execute(
                sql.SQL(
                    "CREATE TRIGGER fail BEFORE TRUNCATE ON public.{} FOR EACH STATEMENT EXECUTE FUNCTION public.fail()"
                ).format(sql.Identifier(failing.partition))
            )
        else:
            # A key that somebody made to the table: the months whose rows it names cannot be detached.
            owner.execute(
                "CREATE TABLE public.notes (id bigint, started_at timestamptz,"
                " FOREIGN KEY (id, started_at) REFERENCES public.calls)"
            )
            owner.execute(
                sql.SQL("INSERT INTO public.notes SELECT id, started_at FROM public.{}").format(
                    sql.Identifier(failing.partition)
                )
            )
    assert months.take(months.steps[:2]) == (2, 2)
    with pytest.raises(RetentionError):
        months.enforcement.expire_months(months.run_id, months.steps[2:], 60_000)
    assert len(left(months.database)) == 3
    assert evidence_of(months.enforcement.finish_run(months.run_id).categories).acted == 2


def test_whoever_reads_one_old_month_makes_nobody_wait_for_the_whole_table(tenant_databases: TenantDatabases) -> None:
    with tenant_databases.having(OPEN_GUARD) as database:
        insert(database, {1: days_ago(250)})
        database.apply(SHORT_BACK)
        enforcement, run_id = begin(database, SHORT_BACK)
        step = next(each for each in steps_of(enforcement, run_id) if each.rows)
        with database.as_owner() as backup, backup.transaction():
            backup.execute(sql.SQL("SELECT FROM public.{}").format(sql.Identifier(step.partition)))
            lasted = []
            # More than once: the machine may be busy with something else.
            for _ in range(3):
                began = time.monotonic()
                assert reason_of(enforcement.expire_months, run_id, [step], 0) == "LockTimeout"
                lasted.append(time.monotonic() - began)
            assert min(lasted) < 2, "the table's lock was kept while the month's was waited for"
        assert enforcement.expire_months(run_id, [step], 0).deleted == 1
        enforcement.close()


def test_a_held_row_in_one_of_several_months_stays_and_the_rest_goes__X3(five_months: Months) -> None:
    months = five_months
    with months.database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('s2')")
    assert months.take(months.steps) == (4, 5)
    assert left(months.database) == {2}


def test_a_call_whose_time_is_over_ends_between_two_months(tenant_databases: TenantDatabases) -> None:
    with tenant_databases.having(OPEN_GUARD) as made:
        insert(made, {number: days_ago(130 + 31 * number) for number in range(5)})
        enforcement, run_id = begin(made)
        batch = enforcement.expire_months(run_id, steps_of(enforcement, run_id), 0)
        assert (batch.deleted, batch.months, len(left(made))) == (1, 1, 4)
        enforcement.close()
