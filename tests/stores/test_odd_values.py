"""What an application may write and no reader can hold: one odd row is refused, and one of before stops nobody's work (X8)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.domain.definition import ClockEvent, ColumnDefinition, ObjectsDefinition
from tenant_retention.domain.plan_document import Mode
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    archive,
    cases,
    category,
    days_ago,
    definition,
    run,
    table,
    text,
)

ODD = ("0026-11-22 BC", "4713-01-01 BC", "12026-11-22", "294276-12-31 23:59:59.999999")
"""Typed wrongly, and the ends of what PostgreSQL can hold."""
CASES = cases()
INSERT = "INSERT INTO cases (id, session_id, started_at, closed_at) VALUES (%s, 's', %s, %s)"


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Cases, which count from the day they were closed."""
    with tenant_databases.having(CASES) as made:
        yield made


def as_before(database: TenantDatabase) -> None:
    """Makes the table as an earlier version made it: every finite time is let in."""
    with database.as_owner() as owner:
        owner.execute("ALTER TABLE public.cases DROP CONSTRAINT retention_readable_closed_at")
        owner.execute("ALTER TABLE public.cases ADD CONSTRAINT retention_finite_closed_at CHECK (isfinite(closed_at))")


@pytest.mark.parametrize("closed", ODD)
def test_a_time_that_no_reader_can_hold_is_refused_when_it_is_written__X8(
    database: TenantDatabase, closed: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="retention_readable_closed_at"):
        database.write(INSERT, 1, days_ago(400), closed)
    database.write(INSERT, 1, days_ago(400), None)
    with pytest.raises(psycopg.errors.CheckViolation, match="retention_readable_closed_at"):
        database.write("UPDATE cases SET closed_at = %s", closed)


@pytest.mark.parametrize("closed", ["0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"])
def test_the_first_and_the_last_readable_instant_are_let_in__X8(database: TenantDatabase, closed: str) -> None:
    database.write(INSERT, 1, days_ago(10), closed)
    assert run(database, CASES).outcome == "Succeeded"
    assert database.observer().observe().rows() == 1


def test_an_upgrade_over_rows_with_odd_times_keeps_them_and_refuses_new_ones__X8(database: TenantDatabase) -> None:
    as_before(database)
    for number, closed in enumerate(ODD):
        database.write(INSERT, number, days_ago(10), closed)
    assert "check on cases.closed_at added" in database.apply(CASES)
    assert database.apply(CASES) == ()
    assert database.value("SELECT count(*) FROM public.cases") == len(ODD)
    checks = database.rows(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'public.cases'::regclass AND contype = 'c'"
    )
    assert {name for (name,) in checks} == {"retention_readable_started_at", "retention_readable_closed_at"}
    with pytest.raises(psycopg.errors.CheckViolation, match="retention_readable_closed_at"):
        database.write(INSERT, 99, days_ago(10), ODD[0])


@pytest.mark.parametrize("closed", ODD)
def test_one_odd_row_of_before_stops_neither_the_run_nor_the_status__X8(database: TenantDatabase, closed: str) -> None:
    as_before(database)
    database.write(INSERT, 1, days_ago(10), closed)
    database.write(INSERT, 2, days_ago(400), days_ago(200))
    database.write(INSERT, 3, days_ago(400), days_ago(5))
    database.apply(CASES)
    seen = database.observer().observe().categories[0]
    assert (seen.rows, seen.due) == (3, 1)
    assert seen.anomalies == (0 if "BC" in closed else 1)
    evidence = run(database, CASES, batch=1)
    assert (evidence.outcome, evidence.categories[0].acted) == ("Succeeded", 1)
    assert {row for (row,) in database.rows("SELECT id FROM public.cases")} == {1, 3}
    after = database.observer().observe().categories[0]
    assert after.oldest is not None
    assert after.oldest > days_ago(50), "one odd row is not the oldest of all"
    assert database.observer().evidence(1)[0].categories[0].oldest_left is not None


def test_a_case_that_says_it_was_closed_before_christ_goes_by_its_birth__M8_M10(database: TenantDatabase) -> None:
    as_before(database)
    for number in range(5):
        database.write(INSERT, number, days_ago(100 + number), ODD[0])
        database.write(INSERT, 10 + number, days_ago(number), ODD[0])
    database.apply(CASES)
    assert run(database, CASES, batch=2).categories[0].acted == 5
    assert database.value("SELECT min(id) FROM public.cases") == 10


MEDIA = definition(
    [
        table(
            "media",
            text("object_key", "ObjectKey"),
            text("object_version"),
            ColumnDefinition(name="ended_at", type="Timestamp"),
            clock_columns=("ended_at",),
        )
    ],
    [
        category(
            "media",
            "media",
            minimum="P30D",
            clock_event=ClockEvent.CLOSED,
            clock_column="ended_at",
            objects=ObjectsDefinition(
                bucket="Content", table="media", key_column="object_key", version_column="object_version"
            ),
        )
    ],
    guard_percent=100,
)


def test_objects_of_rows_with_odd_times_of_before_are_locked_and_claimed_like_all_others__M8_X8(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(MEDIA) as database:
        with database.as_owner() as owner:
            owner.execute("ALTER TABLE public.media DROP CONSTRAINT retention_readable_ended_at")
        for number, ended in enumerate(ODD):
            for age in (10, 100):
                database.write(
                    "INSERT INTO media (id, started_at, ended_at, object_key) VALUES (%s, %s, %s, %s)",
                    number * 1000 + age,
                    days_ago(age),
                    ended,
                    f"{age}/{number}",
                )
        database.apply(MEDIA)
        enforcer, run_id = database.enforcer(), uuid4()
        enforcer.begin_run(run_id, Mode.ENFORCE, MEDIA.rules_digest(), datetime.now(UTC))
        locked: dict[str, datetime] = {}
        resume = None
        while True:
            batch = enforcer.objects_to_lock(run_id, "media", resume, 1)
            locked |= {lock.key: lock.until for lock in batch.locks}
            if batch.resume_from is None:
                break
            resume = batch.resume_from
            enforcer.record_locks(run_id, "media", [(lock.lock_id, None) for lock in batch.locks])
        # Who says that it ended before it was born, ended at birth; what ends in the year 12026 has not ended yet.
        assert set(locked) == {"10/0", "10/1", "10/2", "10/3", "100/2", "100/3"}
        assert all(until < datetime.now(UTC) + timedelta(days=31) for until in locked.values())
        assert {claim.key for claim in enforcer.claim_content(run_id, "media", 10)} == {"100/0", "100/1"}
        enforcer.close()


def test_a_row_with_the_longest_name_that_its_table_takes_is_claimed_like_all_others(
    tenant_databases: TenantDatabases,
) -> None:
    rules = archive()
    named = [
        each.model_copy(
            update={"columns": (ColumnDefinition(name="id", type="Text", nullable=False), *each.columns[1:])}
        )
        for each in rules.tables
    ]
    rules = rules.model_copy(update={"tables": tuple(named)})
    with tenant_databases.having(rules) as database:
        longest = "".join(sha256(str(number).encode()).hexdigest() for number in range(42))[:2672]
        statement = "INSERT INTO recordings (id, started_at, object_key) VALUES (%s, %s, %s)"
        database.write(statement, longest, days_ago(40), "a/1")
        database.write(statement, "short", days_ago(40), "a/2")
        run(database, rules)
        assert database.value("SELECT count(*) FROM public.recordings") == 0
