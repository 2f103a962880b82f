"""Measuring stores that somebody else owns, on real PostgreSQL, SeaweedFS and MinIO, as a login that is no superuser (D6, D7)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.tenant_buckets import S3TenantBuckets, identities
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.bucket_identities import BucketRole, wanted_identity
from tenant_retention.domain.bucket_steps import RemoveUser
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import DATABASE_ROLES, BucketRequest, DatabaseRequest, DatabaseServer
from tenant_retention.domain.readiness import StoreReadings
from tenant_retention.domain.replay import ReplayWatch
from tests.stores.proxy import proxy_to
from tests.stores.servers.install import EMBEDDED, OLDEST, installation
from tests.stores.servers.postgres import PostgresProcess, connect_as, running_postgres
from tests.stores.servers.s3 import S3Server
from tests.stores.standby import SETTINGS, standby_of
from tests.stores.tenant_databases import records
from tests.support.waiting import eventually

AHEAD = timedelta(seconds=90)
MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Database:
    """A tenant's database as the reconcile makes it."""

    def __init__(self, process: PostgresProcess, directory: Path) -> None:
        self.process = process
        self.stores = RealTenantStores(directory)
        self.ahead = RealTenantStores(directory, lambda: datetime.now(UTC) + AHEAD)
        access = process.administrator
        server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
        identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Analytical")
        passwords = {role: f"password of {role}" for role in DATABASE_ROLES}
        self.request = DatabaseRequest(server, identity, "uid-1", records(), passwords)
        self.stores.prepare_database(self.request)

    def measured(self, *, whole_server: bool = False) -> StoreReadings:
        """One look."""
        return self.stores.measure_database(self.request, whole_server)


@pytest.fixture
def database(postgres_process: PostgresProcess, tmp_path: Path) -> Database:
    """One customer's database on each server."""
    return Database(postgres_process, tmp_path)


def test_a_healthy_server_is_measured_without_any_privilege__D6_D7(database: Database) -> None:
    found = database.measured()
    assert timedelta() < found.latency < timedelta(seconds=30)
    assert found.clock_skew < timedelta(seconds=1)
    assert found.version is not None
    assert found.version.startswith(str(database.process.version))
    assert found.usable_sessions == 97
    assert found.size is not None
    assert found.size > 1_000_000
    assert (found.standbys, found.read_only) == (0, False)
    whole = database.measured(whole_server=True).size
    assert whole is not None
    assert whole > found.size


def test_sessions_of_others_count_although_nothing_else_of_them_can_be_seen__D7(database: Database) -> None:
    before = database.measured().sessions
    assert before is not None
    with ExitStack() as others:
        for _ in range(30):
            others.enter_context(connect_as(database.process.superuser))
        during = database.measured().sessions
    assert during is not None
    assert during >= before + 15, "other sessions may end meanwhile, not that many"


def test_a_clock_that_differs_is_measured_to_the_second__D7(database: Database) -> None:
    skew = database.ahead.measure_database(database.request, False).clock_skew
    assert AHEAD - timedelta(seconds=1) < skew <= AHEAD


def test_a_slow_network_is_measured_as_the_round_trip_that_runs_will_have__D7(database: Database) -> None:
    server = database.request.server
    with proxy_to("127.0.0.1", server.port) as slow:
        slow.delay = 0.15
        behind = replace(database.request, server=replace(server, port=slow.port))
        found = database.stores.measure_database(behind, False)
    assert found.latency >= timedelta(milliseconds=150)
    assert found.clock_skew < timedelta(seconds=1), "a slow answer is no wrong clock"


def test_a_database_that_takes_no_writes_is_seen__D7(database: Database) -> None:
    setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
    with connect_as(database.process.superuser) as superuser:
        superuser.execute(setting.format(sql.Identifier(database.request.name)))
    assert database.measured().read_only is True


@pytest.mark.parametrize("code", ["53100", "58030"], ids=["the disk is full", "the disk fails"])
def test_a_server_that_answers_and_stores_nothing_takes_no_writes__D7(database: Database, code: str) -> None:
    assert database.measured().read_only is False
    owner = sql.Identifier(DatabaseRoles.of(database.request.name).owner)
    inside = replace(database.process.administrator, database=database.request.name)
    fail = sql.SQL(
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'no space left on device' USING ERRCODE = {}; END $$"
    )
    with connect_as(inside) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(owner))
        assert connection.execute("SELECT FROM retention.component WHERE name = 'measurement'").fetchall() == []
        connection.execute(fail.format(sql.Literal(code)))
        connection.execute(
            "CREATE TRIGGER fail BEFORE INSERT ON retention.component FOR EACH ROW EXECUTE FUNCTION public.fail()"
        )
    assert database.measured().read_only is True


def test_a_commit_that_waits_for_a_standby_holds_up_no_measurement__D7(tmp_path: Path) -> None:
    with running_postgres(EMBEDDED, "max_connections = 20\n") as process:
        database = Database(process, tmp_path)
        with connect_as(process.superuser) as superuser:
            superuser.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            superuser.execute("SELECT pg_reload_conf()")
        assert database.measured().read_only is False


def test_a_server_without_connections_says_what_its_owner_must_raise__D6_D7(tmp_path: Path) -> None:
    with running_postgres(EMBEDDED, "max_connections = 12\n") as process:
        database = Database(process, tmp_path)
        found = database.measured()
        assert found.usable_sessions == 9
        assert found.sessions is not None
        with connect_as(process.superuser) as superuser, ExitStack() as others:
            # The server learns a moment later that a client has hung up.
            lingering = "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            eventually(lambda: not superuser.execute(lingering).fetchall(), "all are seen to have hung up")
            for _ in range(8):
                others.enter_context(connect_as(process.administrator))
            with pytest.raises(Unavailable) as full:
                database.measured()
        assert full.value.reason == "ConnectionsExhausted"
        assert "raise max_connections" in full.value.message


def test_the_lag_of_a_standby_is_unknown_until_the_administrator_may_see_it__D7(tmp_path: Path) -> None:
    version = OLDEST
    with running_postgres(version, "wal_level = replica\nmax_wal_senders = 4\n") as process:
        database = Database(process, tmp_path)
        with (process.log_file.parent / "data" / "cluster" / "pg_hba.conf").open("a") as rules:
            rules.write("hostssl replication postgres 127.0.0.1/32 scram-sha-256\n")
        superuser = process.superuser
        with connect_as(superuser) as connection:
            connection.execute("SELECT pg_reload_conf()")
        directory = tmp_path / "standby"
        directory.mkdir()
        standby = subprocess.Popen(
            [
                str(installation(version).programs / "pg_receivewal"),
                f"--directory={directory}",
                "--dbname",
                f"host={superuser.host} port={superuser.port} user={superuser.user} "
                f"sslmode=verify-full sslrootcert={superuser.ca_file}",
            ],
            env={**os.environ, "PGPASSWORD": superuser.password},
        )
        try:
            eventually(lambda: database.measured().standbys == 1, "the standby connects")
            assert database.measured().replication_lag is None
            with connect_as(superuser) as connection:
                grant = sql.SQL("GRANT pg_read_all_stats TO {}")
                connection.execute(grant.format(sql.Identifier(process.administrator.user)))
            assert database.measured().replication_lag is not None
        finally:
            standby.send_signal(signal.SIGTERM)
            standby.wait(120)


def test_a_standby_that_replays_nothing_is_behind_by_the_time_since_although_the_server_says_milliseconds__D7_T6(
    tmp_path: Path,
) -> None:
    with running_postgres(EMBEDDED, SETTINGS) as process, standby_of(process, "1h"):
        database = Database(process, tmp_path)
        eventually(lambda: database.measured().standbys == 1, "the standby connects")
        first = database.measured()
        assert first.written is not None
        assert first.replayed is not None
        assert first.replayed < first.written, "what the database was made with waits for an hour"
        watch = ReplayWatch().after(NOW, first.written, first.replayed)
        later = database.measured()
        assert later.written is not None
        assert later.replayed is not None
        watch = watch.after(NOW + 5 * MINUTE, later.written, later.replayed)
        assert watch.behind(NOW + 5 * MINUTE) == 5 * MINUTE


def test_a_standby_that_keeps_up_is_behind_by_nothing__D7(tmp_path: Path) -> None:
    with running_postgres(EMBEDDED, SETTINGS) as process, standby_of(process, "0"):
        database = Database(process, tmp_path)

        def caught_up() -> bool:
            found = database.measured()
            return found.replayed is not None and found.written is not None and found.replayed >= found.written - 2**16

        eventually(caught_up, "the standby replays")
        lag = database.measured().replication_lag
        assert lag is not None
        assert lag < MINUTE


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[BucketRequest]:
    """A tenant's bucket."""
    identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Content")
    wanted = BucketRequest(s3_server.bucket_server(), identity, str(uuid4()), "uid of acme", False, {})
    yield replace(wanted, held=S3TenantBuckets().prepare_bucket(wanted).keys)
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        for role in BucketRole:
            identities(connection, s3_server.iam).apply(RemoveUser(wanted_identity(wanted.name, role).user))


def test_an_endpoint_is_measured_and_of_what_it_does_not_tell_nothing_is_pretended__D7(bucket: BucketRequest) -> None:
    found = S3TenantBuckets().measure(bucket, lambda: datetime.now(UTC))
    assert timedelta() < found.latency < timedelta(seconds=30)
    assert found.clock_skew < timedelta(seconds=1)
    assert (found.size, found.sessions, found.version) == (None, None, None)


def test_a_clock_of_an_endpoint_that_differs_is_measured__D7(bucket: BucketRequest) -> None:
    skew = S3TenantBuckets().measure(bucket, lambda: datetime.now(UTC) + AHEAD).clock_skew
    assert AHEAD - timedelta(seconds=2) <= skew <= AHEAD
