"""Statistics after a large deletion, and standbys that a run can see although its login has no privilege (RETENTION 2, 4)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.domain.plan_document import Mode
from tests.stores.servers.install import OLDEST, installation
from tests.stores.servers.postgres import connect_as, running_postgres
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, category, definition, table
from tests.support.waiting import eventually

RULES = definition([table("calls")], [category("records", "calls")], guard_percent=100)
_FILL = """
INSERT INTO public.calls (id, session_id, started_at)
SELECT n, 's' || n, now() - n % 200 * interval '1 day' FROM generate_series(1, 20200) AS n
"""
_SECONDS = 180


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Rows of 200 days, kept 90."""
    with tenant_databases.having(RULES) as made:
        with made.as_owner() as owner:
            owner.execute(_FILL)
        yield made


def test_a_large_deletion_is_followed_by_statistics_of_table_and_months_by_a_login_that_owns_nothing(
    database: TenantDatabase,
) -> None:
    def analyzed() -> object:
        return database.value("SELECT reltuples FROM pg_class WHERE oid = 'public.calls'::regclass")

    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    assert enforcement.refresh_statistics(run_id, "records", ["calls"]) == 0
    assert analyzed() == -1
    for step in enforcement.partition_steps(run_id, "records"):
        if step.kind.value == "Range":
            enforcement.expire_range(run_id, step, None, 50_000)
        else:
            enforcement.expire_months(run_id, [step], 0)
    left = database.value("SELECT count(*) FROM public.calls")
    assert enforcement.refresh_statistics(run_id, "records", ["calls"]) == 1
    assert analyzed() == left
    enforcement.close()


def test_a_run_tells_an_applications_transactions_from_its_own_batches(database: TenantDatabase) -> None:
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))

    def begun() -> int:
        pressure = enforcement.pressure()
        assert pressure is not None
        return pressure.transactions

    step = next(step for step in enforcement.partition_steps(run_id, "records") if step.kind.value == "Range")
    own, resume_after = [], None
    for _ in range(5):
        before = begun()
        batch = enforcement.expire_range(run_id, step, resume_after, 100)
        assert batch.deleted
        resume_after = batch.resume_after
        own.append(begun() - before)
    # Autovacuum may begin one meanwhile, never in every batch.
    assert min(own) == 1
    before = begun()
    with database.as_owner() as owner:
        for number in range(3):
            owner.execute(
                "INSERT INTO public.calls (id, session_id, started_at) VALUES (%s, 's', now())", [-number - 1]
            )
    assert begun() - before >= 3
    enforcement.close()


def test_a_standby_with_a_slot_is_seen_to_fall_behind_by_a_login_without_privileges(tmp_path: Path) -> None:
    # The views are the same in 17; only this version's packages bring a standby small enough for a test.
    version = OLDEST
    settings = "wal_level = replica\nmax_wal_senders = 4\n"
    with running_postgres(version, settings) as server:
        databases = TenantDatabases(server)
        with databases.having(RULES) as made:
            enforcement = made.enforcer()

            def lag() -> int | None:
                pressure = enforcement.pressure()
                assert pressure is not None
                return pressure.lag_bytes

            with connect_as(server.superuser) as superuser:
                superuser.execute("SELECT pg_create_physical_replication_slot('standby', true)")
            with (server.log_file.parent / "data" / "cluster" / "pg_hba.conf").open("a") as rules:
                rules.write("hostssl replication postgres 127.0.0.1/32 scram-sha-256\n")
            with connect_as(server.superuser) as superuser:
                superuser.execute("SELECT pg_reload_conf()")
            assert lag() is None, "nobody is connected"
            standby = subprocess.Popen(
                [
                    str(installation(version).programs / "pg_receivewal"),
                    "--slot=standby",
                    "--synchronous",
                    f"--directory={tmp_path}",
                    "--dbname",
                    f"host={server.superuser.host} port={server.superuser.port} user={server.superuser.user} "
                    f"sslmode=verify-full sslrootcert={server.superuser.ca_file}",
                ],
                env={**os.environ, "PGPASSWORD": server.superuser.password},
            )
            try:
                eventually(lambda: lag() is not None, "the standby connects", _SECONDS)
                standby.send_signal(signal.SIGSTOP)
                with made.as_owner() as owner:
                    owner.execute(_FILL)
                eventually(lambda: (lag() or 0) > 1_000_000, "the lag is seen", _SECONDS)
                standby.send_signal(signal.SIGCONT)
                eventually(lambda: (lag() or 0) < 1_000_000, "the standby catches up", _SECONDS)
            finally:
                standby.kill()
                standby.wait(_SECONDS)
                enforcement.close()
        databases.close()
