"""Content and its record inside the database (P3, P4, X3): claim, object, row; a record waits for its content."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import PartitionStepKind
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, archive, days_ago, run, take, work

RULES = archive()
"""Records 180 days, recordings 14 days, objects in a bucket; the guard is open."""


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive."""
    with tenant_databases.having(RULES) as made:
        yield made


def call(database: TenantDatabase, number: int, age: float, *, recordings: int = 1, unit: str | None = None) -> None:
    """A call with a survey and some recordings, all with the call's birth."""
    born, session = days_ago(age), f"s{number}"
    insert = "(id, session_id, started_at) VALUES (%s, %s, %s)"
    database.write(
        "INSERT INTO calls (id, session_id, started_at, unit) VALUES (%s, %s, %s, %s)", number, session, born, unit
    )
    database.write("INSERT INTO surveys " + insert, number, session, born)
    for part in range(recordings):
        database.write(
            "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, %s, 'v1')",
            number * 10 + part,
            session,
            born,
            f"{session}/{part}",
        )


def left(database: TenantDatabase, name: str) -> set[int]:
    with database.as_owner() as owner:
        rows = owner.execute(sql.SQL("SELECT id FROM public.{}").format(sql.Identifier(name))).fetchall()
    return {row[0] for row in rows}


def everything_left(database: TenantDatabase) -> dict[str, set[int]]:
    return {name: left(database, name) for name in ("calls", "surveys", "recordings")}


def hold(database: TenantDatabase, **selectors: str) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, selectors))
    values = sql.SQL(", ").join(map(sql.Literal, selectors.values()))
    with database.as_owner() as owner:
        owner.execute(sql.SQL("INSERT INTO retention.hold ({}) VALUES ({})").format(names, values))


def begin(database: TenantDatabase, rules: RetentionDefinition = RULES) -> tuple[PostgresEnforcementDatabase, UUID]:
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
    return enforcement, run_id


def test_content_goes_at_its_own_time_and_its_record_stays__P1_P3(database: TenantDatabase) -> None:
    call(database, 1, age=20, recordings=2)
    call(database, 2, age=3)
    run(database, RULES)
    assert everything_left(database) == {"calls": {1, 2}, "surveys": {1, 2}, "recordings": {20}}


def test_an_expired_record_goes_with_its_survey_and_content__P4(database: TenantDatabase) -> None:
    call(database, 1, age=200)
    call(database, 2, age=185)
    call(database, 3, age=100)
    run(database, RULES)
    assert everything_left(database) == {"calls": {3}, "surveys": {3}, "recordings": set()}


def test_a_claim_names_key_and_version_and_its_row_stays_until_the_object_is_proven_gone(
    database: TenantDatabase,
) -> None:
    call(database, 1, age=20)
    enforcement, run_id = begin(database)
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    assert (claim.key, claim.version) == ("s1/0", "v1")
    assert left(database, "recordings") == {10}
    # A reply that was lost is given again, until it is answered for.
    assert enforcement.claim_content(run_id, "recordings", 10) == (claim,)
    assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 1
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 0
    assert left(database, "recordings") == set()
    evidence = enforcement.finish_run(run_id)
    assert (evidence.outcome, evidence.categories[0].acted) == ("Succeeded", 1)
    enforcement.close()


def test_a_hold_that_came_too_late_for_an_object_counts_once_though_the_reply_was_lost__X6(
    database: TenantDatabase,
) -> None:
    call(database, 1, age=20)
    enforcement, run_id = begin(database)
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    hold(database, session="s1")
    for _ in range(2):
        assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 0
    evidence = enforcement.finish_run(run_id)
    enforcement.close()
    assert (evidence.categories[0].held, left(database, "recordings")) == (1, {10})


def test_an_object_that_cannot_be_deleted_keeps_its_row_and_its_record_until_it_is_gone__P4(
    database: TenantDatabase,
) -> None:
    call(database, 1, age=230)
    call(database, 2, age=230)
    enforcement, run_id = begin(database)
    claims = enforcement.claim_content(run_id, "recordings", 10)
    stuck = next(claim for claim in claims if claim.key == "s1/0")
    enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims if claim is not stuck])
    enforcement.release_claims(run_id, [(stuck.claim_id, "AccessDenied")])
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    for step in enforcement.partition_steps(run_id, "records"):
        assert step.kind is PartitionStepKind.TRUNCATE
        assert enforcement.expire_months(run_id, [step], 0).deleted == 1
    evidence = enforcement.finish_run(run_id)
    enforcement.close()
    assert everything_left(database) == {"calls": {1}, "surveys": {1}, "recordings": {10}}
    content, record = evidence.categories
    assert (evidence.outcome, content.acted, content.failed, content.residue) == ("Failed", 1, 1, 1)
    assert (record.acted, record.skipped, record.residue) == (2, 2, 2)
    run(database, RULES)
    assert everything_left(database) == {"calls": set(), "surveys": set(), "recordings": set()}
    assert database.value("SELECT count(*) FROM retention.claim") == 0


def test_content_that_was_born_over_the_month_s_end_is_waited_for_too__P4(database: TenantDatabase) -> None:
    month = days_ago(200).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    database.write(
        "INSERT INTO calls (id, session_id, started_at) VALUES (1, 's1', %s), (2, 's2', %s)",
        month - timedelta(seconds=5),
        month - timedelta(seconds=5),
    )
    database.write(
        "INSERT INTO recordings (id, session_id, started_at, object_key) VALUES (1, 's1', %s, 'late')",
        month + timedelta(seconds=5),
    )
    enforcement, run_id = begin(database)
    for step in enforcement.partition_steps(run_id, "records"):
        enforcement.expire_months(run_id, [step], 0)
    assert left(database, "calls") == {1}
    enforcement.close()


@pytest.mark.parametrize("later", [2, 40, 90])
def test_content_that_was_born_weeks_after_its_record_is_waited_for__P4(database: TenantDatabase, later: int) -> None:
    call(database, 1, age=200, recordings=0)
    call(database, 2, age=200, recordings=0)
    database.write(
        "INSERT INTO recordings (id, session_id, started_at, object_key) VALUES (1, 's1', %s, 'late')",
        days_ago(200 - later),
    )
    enforcement, run_id = begin(database)
    for step in enforcement.partition_steps(run_id, "records"):
        take(enforcement, run_id, step)
    assert left(database, "calls") == {1}
    assert left(database, "surveys") == {1}
    enforcement.close()
    run(database, RULES)
    assert everything_left(database) == {"calls": set(), "surveys": set(), "recordings": set()}


@pytest.mark.parametrize("kind", ["Text", "Uuid"])
def test_whether_a_record_waits_for_content_is_looked_up_in_an_index_whatever_its_session_is(
    tenant_databases: TenantDatabases, kind: str
) -> None:
    tables = tuple(
        table.model_copy(
            update={
                "columns": tuple(
                    column.model_copy(update={"type": kind}) if column.role == "SessionId" else column
                    for column in table.columns
                )
            }
        )
        for table in RULES.tables
    )
    with tenant_databases.having(RULES.model_copy(update={"tables": tables})) as made, made.as_owner() as owner:
        owner.execute(
            "INSERT INTO public.recordings (id, session_id, started_at) VALUES (1, %s, now())", [str(uuid4())]
        )
        (waits,) = owner.execute("SELECT retention.waiting_condition('calls', 'r', now(), now())").fetchone() or ("",)
        owner.execute("SET enable_seqscan = off")
        plan = owner.execute(f"EXPLAIN SELECT FROM public.calls AS r WHERE id = 1 AND {waits}".encode()).fetchall()
    assert any("Index Cond: (session_id = r" in line for (line,) in plan), plan


@pytest.mark.parametrize("category", [None, "records", "recordings"])
@pytest.mark.parametrize(("record", "content"), [(250, 185), (350, 20)])
def test_a_hold_on_a_session_holds_its_record_and_its_content_however_far_apart_they_were_born__X3(
    database: TenantDatabase, category: str | None, record: int, content: int
) -> None:
    call(database, 1, age=record, recordings=0)
    database.write(
        "INSERT INTO recordings (id, session_id, started_at, object_key) VALUES (1, 's1', %s, 'late')",
        days_ago(content),
    )
    hold(database, session="s1", **({"category": category} if category else {}))
    run(database, RULES)
    assert everything_left(database) == {"calls": {1}, "surveys": {1}, "recordings": {1}}


def test_what_a_killed_run_claimed_is_finished_first_by_the_next_one__P4(database: TenantDatabase) -> None:
    for number in range(1, 6):
        call(database, number, age=30 + number)
    enforcement, run_id = begin(database)
    before = {claim.key for claim in enforcement.claim_content(run_id, "recordings", 2)}
    enforcement.close()
    enforcement, run_id = begin(database)
    again = enforcement.claim_content(run_id, "recordings", 2)
    assert {claim.key for claim in again} == before
    assert enforcement.confirm_claims(run_id, [claim.claim_id for claim in again]) == 2
    rest = enforcement.claim_content(run_id, "recordings", 10)
    assert enforcement.confirm_claims(run_id, [claim.claim_id for claim in rest]) == 3
    assert enforcement.finish_run(run_id).outcome == "Succeeded"
    enforcement.close()


def test_a_claim_whose_row_is_gone_already_is_still_worked_off(database: TenantDatabase) -> None:
    call(database, 1, age=30)
    enforcement, run_id = begin(database)
    enforcement.claim_content(run_id, "recordings", 10)
    enforcement.close()
    with database.as_owner() as owner:
        owner.execute("DELETE FROM public.recordings")
    enforcement, run_id = begin(database)
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    assert claim.key == "s1/0"
    assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 0
    assert database.value("SELECT count(*) FROM retention.claim") == 0
    enforcement.close()


def test_rows_that_name_no_object_go_like_any_other_row_and_the_others_by_claims(database: TenantDatabase) -> None:
    insert = "INSERT INTO recordings (id, session_id, started_at, object_key) VALUES (%s, 's', %s, %s)"
    for number, age, key in (
        (1, 60, None),
        (2, 60, "k2"),
        (3, 100, None),
        (4, 14.5, None),
        (5, 14.5, "k5"),
        (6, 1, None),
    ):
        database.write(insert, number, days_ago(age), key)
    enforcement, run_id = begin(database)
    claims = enforcement.claim_content(run_id, "recordings", 10)
    assert {(claim.key, claim.version) for claim in claims} == {("k2", None), ("k5", None)}
    for step in enforcement.partition_steps(run_id, "recordings"):
        take(enforcement, run_id, step)
    assert left(database, "recordings") == {2, 5, 6}
    enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims])
    evidence = enforcement.finish_run(run_id)
    assert (evidence.categories[0].candidates, evidence.categories[0].acted, evidence.outcome) == (5, 5, "Succeeded")
    enforcement.close()


@pytest.mark.parametrize(
    "selectors",
    [
        {"session": "s1"},
        {"category": "records", "session": "s1"},
        {"category": "recordings", "session": "s1"},
        {"unit": "clinic"},
    ],
    ids=["session", "record", "content", "unit of the record"],
)
def test_holding_a_record_holds_its_content_and_holding_content_holds_its_record__X3(
    database: TenantDatabase, selectors: dict[str, str]
) -> None:
    call(database, 1, age=200, recordings=2, unit="clinic")
    call(database, 2, age=200, unit="office")
    hold(database, **selectors)
    evidence = run(database, RULES)
    assert everything_left(database) == {"calls": {1}, "surveys": {1}, "recordings": {10, 11}}
    content, record = evidence.categories
    assert (content.held, content.acted, record.held, record.acted) == (2, 1, 2, 2)
    with database.as_owner() as owner, pytest.raises(psycopg.Error, match="under a legal hold"):
        owner.execute("DELETE FROM public.recordings")


def test_holding_all_content_holds_exactly_the_records_that_have_some__X3(database: TenantDatabase) -> None:
    call(database, 1, age=200)
    call(database, 2, age=200, recordings=0)
    hold(database, category="recordings")
    run(database, RULES)
    assert everything_left(database) == {"calls": {1}, "surveys": {1}, "recordings": {10}}


def test_rows_without_a_session_are_neither_held_by_others_nor_forgotten__X3(database: TenantDatabase) -> None:
    old = days_ago(230)
    database.write("INSERT INTO calls (id, started_at, unit) VALUES (1, %s, 'clinic'), (2, %s, 'office')", old, old)
    database.write("INSERT INTO recordings (id, started_at) VALUES (1, %s)", old)
    call(database, 3, age=230, unit="clinic")
    hold(database, unit="clinic")
    assert {each.category: each.due for each in database.observer().observe().categories} == {
        "recordings": 1,
        "records": 1,
    }
    run(database, RULES)
    assert everything_left(database) == {"calls": {1, 3}, "surveys": {3}, "recordings": {30}}


def test_a_hold_on_what_is_claimed_keeps_its_row_and_is_reported__X3(database: TenantDatabase) -> None:
    call(database, 1, age=30)
    call(database, 2, age=30)
    enforcement, run_id = begin(database)
    claims = enforcement.claim_content(run_id, "recordings", 10)
    hold(database, session="s1")
    assert enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims]) == 1
    assert enforcement.finish_run(run_id).categories[0].held == 1
    enforcement.close()
    assert left(database, "recordings") == {10}
    run(database, RULES)
    assert left(database, "recordings") == {10}
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    run(database, RULES)
    assert left(database, "recordings") == set()
    assert database.value("SELECT count(*) FROM retention.claim") == 0


def test_a_claim_of_a_killed_run_that_came_under_a_hold_is_left_alone__X3(database: TenantDatabase) -> None:
    call(database, 1, age=30)
    enforcement, run_id = begin(database)
    enforcement.claim_content(run_id, "recordings", 10)
    enforcement.close()
    hold(database, session="s1")
    enforcement, run_id = begin(database)
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    enforcement.close()


def test_claims_of_another_run_are_neither_confirmed_nor_released(database: TenantDatabase) -> None:
    call(database, 1, age=30)
    enforcement, run_id = begin(database)
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    enforcement.close()
    enforcement, run_id = begin(database)
    assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 0
    enforcement.release_claims(run_id, [(claim.claim_id, "AccessDenied")])
    assert left(database, "recordings") == {10}
    assert enforcement.finish_run(run_id).categories[0].failed == 0
    enforcement.close()


def test_content_under_its_own_minimum_makes_its_record_wait__X1_M8(tenant_databases: TenantDatabases) -> None:
    rules = archive(keep="P90D", content_keep="P200D", minimum="P200D")
    with tenant_databases.having(rules) as database:
        call(database, 1, age=100)
        call(database, 2, age=100, recordings=0)
        evidence = run(database, rules)
        assert everything_left(database) == {"calls": {1}, "surveys": {1}, "recordings": {10}}
        assert evidence.categories[1].skipped == 2
        assert evidence.outcome == "Succeeded"


def test_months_of_content_beyond_back_are_dropped_when_their_objects_are_gone(database: TenantDatabase) -> None:
    call(database, 1, age=250)
    call(database, 2, age=1)
    born = f"{days_ago(250):%Y%m}"
    short_back = archive(back="P1M")
    database.apply(short_back)
    enforcement, run_id = begin(database, short_back)
    step = next(step for step in enforcement.partition_steps(run_id, "recordings") if step.partition.endswith(born))
    assert step.kind is PartitionStepKind.DETACH
    assert enforcement.expire_months(run_id, [step], 0).deleted == 0
    assert left(database, "recordings") == {10, 20}
    for each in ("recordings", "records"):
        category_run = next(
            c
            for c in enforcement.begin_run(run_id, Mode.ENFORCE, short_back.rules_digest(), datetime.now(UTC))
            if c.category == each
        )
        work(enforcement, run_id, category_run, Mode.ENFORCE)
    enforcement.finish_run(run_id)
    enforcement.close()
    assert everything_left(database) == {"calls": {2}, "surveys": {2}, "recordings": {20}}
    assert database.value("SELECT count(*) FROM pg_class WHERE relname LIKE %s", f"%_p{born}") == 0


def test_the_claims_of_content_cannot_be_taken_row_by_row(database: TenantDatabase) -> None:
    call(database, 1, age=30)
    enforcement, run_id = begin(database)
    assert enforcement.partition_steps(run_id, "recordings") == ()
    assert enforcement.claim_content(run_id, "records", 10) == ()
    with pytest.raises(Invalid):
        enforcement.claim_content(run_id, "unknown", 10)
    enforcement.close()
