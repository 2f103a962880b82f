"""A new index comes to months with rows while applications write, and a build that was cut off is made good (M11)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.adapters.postgres.indexes import REST, UNBUILT, IndexBuilds
from tenant_retention.domain.plan_document import Mode
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago, records
from tests.support.waiting import eventually

pytestmark = pytest.mark.oldest_and_newest

RULES = records()
OF_MONTHS = (
    "SELECT count(*) FROM pg_inherits AS h JOIN pg_index AS i ON i.indrelid = h.inhrelid AND i.indisvalid AND i.indisready"
    " JOIN pg_inherits AS a ON a.inhrelid = i.indexrelid AND a.inhparent = to_regclass('public.' || %s)"
    " WHERE h.inhparent = 'public.calls'::regclass"
)
MONTHS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.calls'::regclass"
INSERT = "INSERT INTO calls (id, session_id, started_at) VALUES (%s, 's', %s)"


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Months with rows, of a version that did not have the index on the birth."""
    with tenant_databases.having(RULES) as made:
        for number in range(12):
            made.write(INSERT, number, days_ago(30 * number + 1))
        own(made, f"DROP INDEX public.{name(made)}")
        yield made


def own(database: TenantDatabase, statement: str) -> None:
    """One statement as the owner."""
    with database.as_owner() as owner:
        owner.execute(statement.encode())


def name(database: TenantDatabase, relation: str = "calls") -> str:
    """The index on the birth of a table or month."""
    return str(database.value("SELECT retention.index_name(%s, 'started_at')", relation))


def build(database: TenantDatabase) -> bool:
    with database.as_administrator() as connection:
        return IndexBuilds().build(connection, database.roles) is None


def has_it(database: TenantDatabase) -> bool:
    """Whether every month has it and the table's own counts."""
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('public.' || %s)"
    index = name(database)
    return bool(database.value(valid, index)) and database.value(OF_MONTHS, index) == database.value(MONTHS)


def month(database: TenantDatabase) -> str:
    """One that has rows."""
    return str(database.value("SELECT tableoid::regclass::text FROM calls WHERE id = 3")).removeprefix("public.")


def test_an_upgrade_declares_it_and_the_look_afterwards_builds_it_on_every_month__M11(database: TenantDatabase) -> None:
    assert database.apply(RULES) == ("index on calls.started_at created",)
    assert not has_it(database), "no month is read under the locks of the upgrade"
    assert build(database)
    assert has_it(database)
    assert build(database), "nothing is left to do"
    assert database.apply(RULES) == ()


@pytest.mark.parametrize("state", ["unfinished", "not attached"])
def test_a_build_that_was_killed_is_made_good_by_the_next_look__M11(database: TenantDatabase, state: str) -> None:
    database.apply(RULES)
    index, partition = name(database, month(database)), month(database)
    if state == "unfinished":
        # As a build leaves it that fails half-way: the index is there, and never used.
        for number in (100, 101):
            database.write(INSERT, number, database.value("SELECT started_at FROM calls WHERE id = 3"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            own(database, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON public.{partition} (session_id)")
        assert (
            database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", f"public.{index}")
            is False
        )
    else:
        own(database, f"CREATE INDEX {index} ON public.{partition} (started_at)")
    assert build(database)
    assert has_it(database)


def test_applications_write_while_a_month_is_built_and_what_they_wrote_is_in_it__M11(database: TenantDatabase) -> None:
    database.apply(RULES)
    with database.connect("app") as app, ThreadPoolExecutor(1) as pool:
        app.execute("BEGIN")
        app.execute(INSERT, [50, days_ago(1)])
        building = pool.submit(build, database)
        waiting = (
            "SELECT FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase ^@ 'waiting for '"
        )
        with database.as_administrator() as onlooker:
            eventually(lambda: onlooker.execute(waiting).fetchall(), "the build waits for the application")
        with database.connect("app") as other:
            other.execute("SET lock_timeout = '1s'")
            other.execute(INSERT, [51, days_ago(1)])
        app.execute("COMMIT")
        assert building.result(180)
    assert has_it(database)
    with database.connect("reader") as reader:
        reader.execute("SET enable_seqscan = off")
        found = reader.execute("SELECT count(*) FROM calls WHERE started_at > %s", [days_ago(2)]).fetchone()
    assert found == (3,)


def test_a_month_that_is_in_use_for_long_is_told_and_tried_again_after_a_rest__M11(
    database: TenantDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.apply(RULES)
    clock = [0.0]
    builds = IndexBuilds(lambda: clock[0])

    def look() -> str | None:
        with database.as_administrator() as connection:
            return builds.build(connection, database.roles)

    with database.connect("app") as app:
        app.execute("BEGIN")
        app.execute(INSERT, [50, days_ago(1)])
        monkeypatch.setattr("tenant_retention.adapters.postgres.indexes._BUILD", ("2min", "300ms"))
        assert "LockNotAvailable" in str(look())
        app.execute("COMMIT")
    assert look() == UNBUILT, "it rests"
    clock[0] += REST
    assert look() is None
    assert has_it(database)


def test_nothing_is_built_beside_a_run__M11(database: TenantDatabase) -> None:
    database.apply(RULES)
    with closing(database.enforcer()) as enforcer:
        run_id = uuid4()
        enforcer.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
        assert not build(database)
        enforcer.finish_run(run_id)
    assert build(database)
