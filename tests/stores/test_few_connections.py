"""A run opens few connections at once; a database whose connection gave way goes on in its next session (D4, D6)."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.few_connections import FewConnections
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago
from tests.support.enforcement import RecordedWorld, plan_of
from tests.support.shared_bucket import two_databases

RULES = two_databases()
INSERT = "(id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, %s, 'v1')"


def test_two_databases_take_turns_on_one_connection_and_the_night_is_whole__D4_D6(
    tenant_databases: TenantDatabases,
) -> None:
    bucket = InMemoryContentBucket()
    few, living, most = FewConnections(1), set[psycopg.Connection[object]](), 0

    def connected(database: TenantDatabase) -> psycopg.Connection[object]:
        nonlocal living, most
        living = {each for each in living if not each.closed} | {database.connect("enforcer")}
        most = max(most, len(living))
        return next(each for each in living if each.info.dbname == database.administrator.database)

    with tenant_databases.having(RULES) as analytical, tenant_databases.having(RULES, "Dialogue") as dialogue:
        databases = {"Analytical": analytical, "Dialogue": dialogue}
        for name, where, into in (("call", analytical, "recordings"), ("chat", dialogue, "attachments")):
            for key in (name, "in-both"):
                where.write(f"INSERT INTO {into} " + INSERT, key, key, days_ago(1000), key)
                bucket.objects.add((key, "v1"))
        with ExitStack() as ending:
            sessions = {}
            for name, database in databases.items():
                opened = partial(few.opening, name, partial(connected, database))
                sessions[name] = PostgresEnforcementDatabase(opened)
                ending.callback(sessions[name].close)
            around = RecordedWorld(at=days_ago(0))
            done = expire(plan_of(RULES), Stores(sessions, {"Content": bucket}), uuid4(), around.world())
        assert done.outcome is Outcome.SUCCEEDED
        assert bucket.objects == set()
        assert (
            analytical.value("SELECT count(*) FROM recordings"),
            dialogue.value("SELECT count(*) FROM attachments"),
        ) == (0, 0)
    assert most == 1


def test_a_session_that_was_cut_off_and_is_still_at_work_on_the_server_lets_the_next_one_go_on_with_the_run__X6(
    tenant_databases: TenantDatabases,
) -> None:
    few, opened = FewConnections(), list[psycopg.Connection[object]]()

    def connect(database: TenantDatabase) -> psycopg.Connection[object]:
        opened.append(database.connect("enforcer"))
        return opened[-1]

    with tenant_databases.having(RULES) as database:
        session = PostgresEnforcementDatabase(partial(few.opening, "Analytical", partial(connect, database)))
        with closing(session):
            run_id = uuid4()
            session.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), days_ago(0))
            opened[0].pgconn.send_query(b"SELECT pg_sleep(1)")
            opened[0].close()
            session.partition_steps(run_id, "recordings")
            assert session.finish_run(run_id).outcome == "Succeeded"
    assert len(opened) == 2


def test_a_session_that_the_network_lost_without_a_word_is_ended_and_the_next_one_goes_on_with_the_run__X6(
    tenant_databases: TenantDatabases,
) -> None:
    few, opened = FewConnections(pause=lambda _: None), list[psycopg.Connection[object]]()

    def connect(database: TenantDatabase) -> psycopg.Connection[object]:
        opened.append(database.connect("enforcer"))
        return opened[-1]

    with tenant_databases.having(RULES) as database:
        opening = partial(few.opening, "Analytical", partial(connect, database))
        with (
            closing(PostgresEnforcementDatabase(opening)) as before,
            closing(PostgresEnforcementDatabase(opening)) as session,
        ):
            run_id = uuid4()
            before.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), days_ago(0))
            # Nobody hangs up: the server hears nothing of the end.
            session.partition_steps(run_id, "recordings")
            assert session.finish_run(run_id).outcome == "Succeeded"
            assert len(opened) == 2
            with pytest.raises(psycopg.OperationalError):
                opened[0].execute("SELECT")
