"""The start script of the embedded PostgreSQL, run for real as an unprivileged user: first start, crashes, rotation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tenant_retention.adapters.certificates import issue_server_certificate, make_authority
from tenant_retention.domain.manifests.metadata import packaged_file
from tenant_retention.domain.manifests.postgresql import ADMINISTRATOR, CONFIG_FILES
from tests.stores.servers.install import EMBEDDED, UNPRIVILEGED, Installation, installation
from tests.support.ports import free_port
from tests.support.waiting import eventually

DEADLINE_SECONDS = 180
INITIALIZING = "initializing the data directory"


def verifier(password: str) -> str:
    """A SCRAM-SHA-256 verifier as clients compute it (RFC 5802)."""
    salt = hashlib.sha256(password.encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256$4096:{texts[0]}${texts[1]}:{texts[2]}"


@dataclass
class Machine:
    """The pod's directories on this machine, and the process that the script becomes."""

    home: Path
    installed: Installation
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        """Runs the script as PID of its own process group, its output in ``log``."""
        environment = {
            "PATH": f"{self.installed.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "TRO_DATA": str(self.home / "data"),
            "TRO_CONFIG": str(self.home / "config"),
            "TRO_TLS": str(self.home / "tls"),
            "TRO_RUN": str(self.home / "run"),
            "TRO_VERIFIER": str(self.home / "verifier"),
        }
        script = str(self.home / "config" / "start-postgresql.sh")
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                self.installed.unprivileged(self.home, "/bin/sh", script),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        """Everything that was said so far."""
        return (self.home / "log").read_text()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """A power cut for everything the script started."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_SECONDS)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """What the pod's preStop hook does: a fast shutdown."""
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE_SECONDS)

    def single(self, database: str, statement: str) -> None:
        """One statement by the single user of a server that is stopped."""
        single = (
            str(self.installed.programs / "postgres"),
            "--single",
            "-D",
            str(self.home / "data" / "pgdata"),
            database,
        )
        subprocess.run(
            self.installed.unprivileged(self.home, *single), input=statement.encode(), check=True, capture_output=True
        )

    def connect(self, password: str, **options: str) -> psycopg.Connection[tuple[object, ...]]:
        """A login as administrator over verified TLS."""
        given = {
            "host": "localhost",
            "port": str(self.port),
            "dbname": "postgres",
            "user": ADMINISTRATOR,
            "password": password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.home / "ca.crt"),
            "connect_timeout": "10",
        } | options
        return psycopg.connect(make_conninfo(**given), autocommit=True)

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Waits for the server's own word, counted since the start of this process."""
        asks = self.installed.unprivileged(
            self.home, "pg_isready", "-q", "-h", str(self.home / "run"), "-p", str(self.port), "-U", "x"
        )

        def ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the server ended with {process.returncode}:\n{self.log()}")
            return subprocess.run(asks, check=False).returncode == 0

        eventually(ready, "the server is ready", DEADLINE_SECONDS)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A fresh volume, a certificate and a verifier; not under pytest's own directory, which only its user may enter."""
    home = Path(tempfile.mkdtemp(prefix="tro-start-"))
    home.chmod(0o755)
    port = free_port()
    for name in ("data", "run", "config", "tls"):
        (home / name).mkdir()
    for name in CONFIG_FILES:
        (home / "config" / name).write_text(packaged_file(name).replace("port = 5432", f"port = {port}"))
    now = datetime.now(UTC)
    authority = make_authority(now)
    certificate = issue_server_certificate(authority, ("localhost",), now)
    (home / "ca.crt").write_text(authority.certificate)
    (home / "tls" / "tls.crt").write_text(certificate.certificate)
    (home / "tls" / "tls.key").write_text(certificate.key)
    (home / "verifier").write_text(verifier("first"))
    if os.geteuid() == 0:
        for name in ("data", "run"):
            shutil.chown(home / name, UNPRIVILEGED, UNPRIVILEGED)
        # As Kubernetes mounts a Secret: root's, readable by the pod's group.
        shutil.chown(home / "tls" / "tls.key", "root", UNPRIVILEGED)
        shutil.chown(home / "verifier", "root", UNPRIVILEGED)
    (home / "tls" / "tls.key").chmod(0o440 if os.geteuid() == 0 else 0o400)
    (home / "verifier").chmod(0o440)
    found = Machine(home, installation(EMBEDDED), port)
    yield found
    for process in found.processes:
        if process.poll() is None:
            found.kill(process)
    shutil.rmtree(home)


def refused(machine: Machine, message: str, password: str = "first", **options: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=message):
        machine.connect(password, **options)


def test_the_first_start_makes_an_administrator_who_is_no_superuser_and_reaches_it_by_tls_only(
    machine: Machine,
) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    with machine.connect("first") as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s",
            (ADMINISTRATOR,),
        ).fetchone()
        assert row == (False, True, True, False, False)
        settings = {
            name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            for name in ("TimeZone", "data_checksums", "server_encoding", "password_encryption")
        }
        assert list(settings.values()) == [("UTC",), ("on",), ("UTF8",), ("scram-sha-256",)]
        connection.execute("CREATE ROLE other LOGIN")
    refused(machine, "no encryption", sslmode="disable")
    refused(machine, "pg_hba.conf rejects", user="postgres")
    refused(machine, "password authentication failed", password="wrong")
    refused(machine, "pg_hba.conf rejects", host=str(machine.home / "run"))
    refused(machine, 'certificate for "localhost"|does not match host name', host="127.0.0.1")
    machine.stop(process)
    assert process.returncode == 0


def test_a_rotated_password_works_after_a_restart_and_the_old_one_does_not(machine: Machine) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    with machine.connect("first") as connection:
        connection.execute("CREATE DATABASE kept")
    machine.stop(process)
    (machine.home / "verifier").chmod(0o640)
    (machine.home / "verifier").write_text(verifier("second"))
    process = machine.start()
    machine.wait_until_ready(process)
    refused(machine, "password authentication failed", password="first")
    with machine.connect("second", dbname="kept") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert verifier("second") not in machine.log()
    assert "SCRAM" not in machine.log()


LARGE_OBJECTS = (
    "lo_from_bytea(0, 'x')",
    "lo_create(0)",
    "lo_creat(-1)",
    "lo_put(1, 0, 'x')",
    "lo_open(1, 131072)",
    "lo_unlink(1)",
)


def refused_large_objects(machine: Machine, database: str) -> None:
    with machine.connect("first", dbname=database) as connection:
        for call in LARGE_OBJECTS:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {call}".encode())


def test_nobody_can_write_large_objects_which_no_retention_reaches__M10(machine: Machine) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    with machine.connect("first") as connection:
        connection.execute("CREATE DATABASE tenant TEMPLATE template0")
        connection.execute("CREATE DATABASE another TEMPLATE template1")
    for name in ("postgres", "tenant", "another"):
        refused_large_objects(machine, name)
    machine.stop(process)


def test_a_database_of_before_is_closed_to_large_objects_by_the_next_start__M10(machine: Machine) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    with machine.connect("first") as connection:
        connection.execute("CREATE DATABASE tenant TEMPLATE template0")
    machine.stop(process)
    machine.single("tenant", "GRANT EXECUTE ON FUNCTION lo_from_bytea(oid, bytea), lo_create(oid) TO PUBLIC")
    process = machine.start()
    machine.wait_until_ready(process)
    refused_large_objects(machine, "tenant")
    machine.stop(process)


def kill_during_initialization(machine: Machine, attempt: int, landmark: str) -> None:
    """Starts for the ``attempt``-th time and kills everything as soon as initdb has written ``landmark``."""
    unfinished = machine.home / "data" / "pgdata.unfinished"
    process = machine.start()
    eventually(lambda: machine.log().count(INITIALIZING) == attempt, "initdb begins", DEADLINE_SECONDS)
    eventually((unfinished / landmark).exists, f"initdb writes {landmark}", DEADLINE_SECONDS)
    machine.kill(process)
    assert unfinished.exists()
    assert not (machine.home / "data" / "pgdata").exists()


def test_a_kill_in_the_middle_of_the_initialization_is_repaired_by_the_next_start(machine: Machine) -> None:
    # At several places: the directory was just made; the bootstrap has begun; catalogs are being filled.
    for attempt, landmark in enumerate(("PG_VERSION", "base/1/PG_VERSION", "base/1/pg_filenode.map"), 1):
        kill_during_initialization(machine, attempt, landmark)
    unfinished = machine.home / "data" / "pgdata.unfinished"
    process = machine.start()
    machine.wait_until_ready(process)
    assert not unfinished.exists()
    assert machine.log().count("an earlier initialization did not end") == 3
    with machine.connect("first") as connection:
        assert connection.execute("SELECT count(*) FROM pg_database").fetchone() == (3,)


def test_a_kill_of_the_running_server_loses_nothing(machine: Machine) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    with machine.connect("first") as connection:
        connection.execute("CREATE DATABASE kept")
    with machine.connect("first", dbname="kept") as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    machine.kill(process)
    process = machine.start()
    machine.wait_until_ready(process)
    with machine.connect("first", dbname="kept") as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)


def test_a_directory_in_which_a_server_ran_is_never_removed(machine: Machine) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    machine.stop(process)
    data = machine.home / "data"
    # As if a power cut had undone the rename.
    (data / "pgdata").rename(data / "pgdata.unfinished")
    process = machine.start()
    assert process.wait(DEADLINE_SECONDS) == 1
    assert (data / "pgdata.unfinished" / "PG_VERSION").exists()
    assert "so it is not removed" in machine.log()


def test_a_data_directory_that_is_none_is_left_alone(machine: Machine) -> None:
    stranger = machine.home / "data" / "pgdata"
    stranger.mkdir()
    (stranger / "precious").write_text("data")
    assert machine.start().wait(DEADLINE_SECONDS) == 1
    assert (stranger / "precious").read_text() == "data"
    assert "nothing is removed" in machine.log()


def test_an_image_of_another_major_version_says_which_image_is_needed(machine: Machine) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    machine.stop(process)
    version = machine.home / "data" / "pgdata" / "PG_VERSION"
    real = version.read_text().strip()
    version.write_text("1\n")
    assert machine.start().wait(DEADLINE_SECONDS) == 1
    assert re.search(r"of PostgreSQL 1 and the image has 'postgres \(PostgreSQL\) " + real, machine.log())
    version.write_text(real + "\n")
    process = machine.start()
    machine.wait_until_ready(process)


@pytest.mark.parametrize(
    "text",
    [
        "secret-password",
        "",
        "SCRAM-SHA-256$4096:a$b:c'; DROP ROLE postgres; --",
        "SCRAM-SHA-256$4096:a$b:c\nx",
        "md5abc",
        "SCRAM-SHA-256$",
    ],
)
def test_what_is_no_scram_verifier_is_refused_without_being_shown(machine: Machine, text: str) -> None:
    (machine.home / "verifier").chmod(0o640)
    (machine.home / "verifier").write_text(text)
    assert machine.start().wait(DEADLINE_SECONDS) == 1
    assert "verifier" in machine.log()
    assert not text or text not in machine.log()
    assert list((machine.home / "data").iterdir()) == []


def test_an_error_message_with_personal_data_reaches_the_client_and_not_the_log__X6(machine: Machine) -> None:
    process = machine.start()
    machine.wait_until_ready(process)
    with machine.connect("first") as connection:
        connection.execute("CREATE DATABASE calls")
    with machine.connect("first", dbname="calls") as connection:
        connection.execute("CREATE TABLE t (caller text PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES ('+31612345678')")
        with pytest.raises(psycopg.errors.UniqueViolation, match=r"\+31612345678"):
            connection.execute("INSERT INTO t VALUES (%s)", ("+31612345678",))
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match=r"\+31612345678 "):
            connection.execute("SELECT '+31612345678 '::text::xid8::text, '+31612345678 x'::uuid")
    machine.stop(process)
    assert "31612345678" not in machine.log()
