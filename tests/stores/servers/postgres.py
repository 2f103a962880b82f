"""Real PostgreSQL servers for the store tests: TLS only, and an administrator login that is never superuser.

Fixtures (session scope): ``postgres_server`` and ``postgres17`` give the administrator's ``ServerAccess``; ``postgres_process``
gives the whole server (superuser, log) for the few tests that need to look from outside. A test runs on the version of the
embedded image; one that is marked ``oldest_and_newest`` on the oldest supported and the newest instead, and the contract of what
a night relies on, marked ``every_postgres``, on all three. What depends on a version (privileges, definitions of tables, whether
each function of the schema runs at all: names in it are looked up only then) is in such tests.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tenant_retention.adapters.postgres import roles
from tenant_retention.adapters.postgres.passwords import SALT_BYTES, scram_sha_256
from tenant_retention.domain.servers import ServerAccess
from tests.stores.servers.certificates import ThrowawayAuthority
from tests.stores.servers.clock import ServerClock
from tests.stores.servers.directories import throwaway_directory
from tests.stores.servers.install import EMBEDDED, NEWEST, OLDEST, UNPRIVILEGED, Installation, installation
from tests.support.ports import free_port
from tests.support.waiting import eventually

HOST = "localhost"
"""The certificate names this host and nothing else, so that 127.0.0.1 is the same server under a wrong name."""
ADMINISTRATOR = "retention_operator"
_START_SECONDS = 180
_STOP_SECONDS = 60
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
password_encryption = 'scram-sha-256'
log_statement = 'all'
log_min_messages = 'info'
log_line_prefix = '%t [%p] %q%u@%d '
max_connections = 100
shared_buffers = '32MB'
fsync = off
full_page_writes = off
autovacuum_naptime = '10min'
wal_level = minimal
max_wal_senders = 0
max_wal_size = '96MB'
jit = off
"""
_OWN_CLOCK = "authentication_timeout = '10min'\n"
"""The alarm that a session sets while somebody logs in is left to ring. With a clock that jumped, it ends whoever may be idle for so
long only; and it reads the clock from inside a signal's handler, which libfaketime does not bear: then the server falls."""
SUMMER_TIME = "timezone = 'Europe/Berlin'\n"
"""For a server whose sessions are in a zone with summer time, unless they name another one: no period may count in it."""
_HOST_BASED_AUTHENTICATION = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class PostgresProcess:
    """A running server. ``superuser`` is for arranging and checking in tests; the product gets ``administrator`` only.

    ``clock``: what its ``now()`` says, where it was started with one of its own.
    """

    version: int
    administrator: ServerAccess
    superuser: ServerAccess
    log_file: Path
    authority: ThrowawayAuthority
    pid: int
    clock: ServerClock | None = None

    def log(self) -> str:
        """Everything the server logged so far, every statement included."""
        return self.log_file.read_text(errors="replace")


@contextmanager
def running_postgres(
    version: int, settings: str = "", *, own_clock: bool = False, on_disk: bool = False
) -> Iterator[PostgresProcess]:
    """Starts a server of this major version on a free port of this machine; ends it by its pid and removes its files.

    ``settings``: lines of postgresql.conf that come after, and so overrule, those that make tests quick. ``own_clock``: with a
    clock that the test sets. ``on_disk``: its files are on a disk, as customers' are, also where memory has room.
    """
    found = installation(version)
    # The library of an own clock lies beside the data.
    with throwaway_directory(f"postgresql-{version}", on_disk=on_disk, programs=own_clock) as directory:
        authority = ThrowawayAuthority.create()
        password = secrets.token_urlsafe(24)
        data = _initialize(
            found, directory, authority, password, _SETTINGS + (_OWN_CLOCK if own_clock else "") + settings
        )
        clock = ServerClock(data) if own_clock else None
        program = [*clock.prefix(), str(found.programs / "postgres")] if clock else ["postgres"]
        port = free_port()
        log_file = directory / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                found.unprivileged(data, *program, "-D", str(data / "cluster"), "-p", str(port)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            superuser = ServerAccess(HOST, port, "postgres", password, directory / "ca.crt")
            _wait_until_ready(process, superuser, log_file)
            administrator = _make_administrator(superuser)
            yield PostgresProcess(version, administrator, superuser, log_file, authority, process.pid, clock)
        finally:
            _stop(process)


@pytest.fixture(scope="session")
def postgres15_process() -> Iterator[PostgresProcess]:
    """The oldest one supported."""
    with running_postgres(OLDEST) as process:
        yield process


@pytest.fixture(scope="session")
def postgres17_process() -> Iterator[PostgresProcess]:
    """The one of the embedded image."""
    with running_postgres(EMBEDDED) as process:
        yield process


@pytest.fixture(scope="session")
def postgres18_process() -> Iterator[PostgresProcess]:
    """The newest one."""
    with running_postgres(NEWEST) as process:
        yield process


@pytest.fixture(scope="session")
def postgres_process(request: pytest.FixtureRequest) -> PostgresProcess:
    """The server that the test is for, or those of a marked test, one after the other."""
    process: PostgresProcess = request.getfixturevalue(f"postgres{request.param}_process")
    return process


def choose_versions(metafunc: pytest.Metafunc) -> None:
    """Parametrizes ``postgres_process`` for one test."""
    if "postgres_process" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        versions: tuple[int, ...] = (EMBEDDED,)
        if "every_postgres" in marks:
            versions = (OLDEST, EMBEDDED, NEWEST)
        elif "oldest_and_newest" in marks:
            versions = (OLDEST, NEWEST)
        names = [f"postgres{version}" for version in versions]
        metafunc.parametrize("postgres_process", versions, indirect=True, ids=names, scope="session")


@pytest.fixture(scope="session")
def postgres17(postgres17_process: PostgresProcess) -> ServerAccess:
    """The administrator (CREATEDB CREATEROLE, no superuser) of PostgreSQL 17."""
    return postgres17_process.administrator


@pytest.fixture(scope="session")
def postgres_server(postgres_process: PostgresProcess) -> ServerAccess:
    """The administrator (CREATEDB CREATEROLE, no superuser) of ``postgres_process``."""
    return postgres_process.administrator


def _initialize(
    found: Installation, directory: Path, authority: ThrowawayAuthority, password: str, settings: str
) -> Path:
    data = directory / "data"
    data.mkdir(mode=0o700)
    password_file = data / "password"
    password_file.write_text(password)
    _hand_over(data, password_file)
    # initdb wants an empty directory, so the cluster lies one level below what is mounted.
    arguments = ["-A", "scram-sha-256", "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    done = subprocess.run(
        found.unprivileged(data, "initdb", *arguments, f"--pwfile={password_file}", str(data / "cluster")),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        raise RuntimeError(f"initdb of PostgreSQL {found.version} failed:\n{done.stdout}\n{done.stderr}")
    password_file.unlink()
    cluster = data / "cluster"
    certificate, key = authority.issue([HOST])
    (directory / "ca.crt").write_bytes(authority.pem())
    (cluster / "server.crt").write_bytes(certificate)
    (cluster / "server.key").write_bytes(key)
    (cluster / "server.key").chmod(0o600)
    (cluster / "pg_hba.conf").write_text(_HOST_BASED_AUTHENTICATION)
    with (cluster / "postgresql.conf").open("a") as configuration:
        configuration.write(settings)
    _hand_over(cluster / "server.crt", cluster / "server.key")
    return data


def _hand_over(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED)


def _wait_until_ready(process: subprocess.Popen[bytes], superuser: ServerAccess, log_file: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None, f"PostgreSQL ended with {process.returncode}:\n{log_file.read_text()}"
        try:
            connect_as(superuser).close()
        except psycopg.OperationalError:
            return False
        return True

    eventually(ready, "PostgreSQL answers", _START_SECONDS, log=log_file.read_text)


def _make_administrator(superuser: ServerAccess) -> ServerAccess:
    password = secrets.token_urlsafe(24)
    with connect_as(superuser) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE NOSUPERUSER PASSWORD {}").format(
                sql.Identifier(ADMINISTRATOR), sql.Literal(quick_verifier(password))
            )
        )
    return ServerAccess(superuser.host, superuser.port, ADMINISTRATOR, password, superuser.ca_file)


def quick_verifier(password: str) -> str:
    """What a server stores for a password that a test made: of one round, since each of a test's many sessions pays for all."""
    return scram_sha_256(password, secrets.token_bytes(SALT_BYTES), 1)


@pytest.fixture(scope="session", autouse=True)
def quick_logins() -> Iterator[None]:
    """The logins that the product makes in this process are as quick."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(roles, "scram_sha_256", partial(scram_sha_256, iterations=1))
        yield


def connect_as(access: ServerAccess, **more: str) -> psycopg.Connection[tuple[object, ...]]:
    """A plain connection in autocommit mode for tests; the product has its own way (``adapters.postgres.connections``)."""
    return psycopg.connect(
        host=access.host,
        port=access.port,
        user=access.user,
        password=access.password,
        dbname=access.database,
        sslmode="verify-full",
        sslrootcert=str(access.ca_file),
        connect_timeout=10,
        autocommit=True,
        **more,  # type: ignore[arg-type]
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(2)  # SIGINT: fast shutdown
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
