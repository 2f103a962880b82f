"""A real standby of a test's PostgreSQL, which replays what it receives later, as one does that cannot keep up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from tests.stores.servers.install import installation
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.support.ports import free_port

SETTINGS = "wal_level = replica\nmax_wal_senders = 4\n"
"""What the primary needs."""


@contextmanager
def standby_of(process: PostgresProcess, apply_delay: str) -> Iterator[None]:
    """One that replays every commit ``apply_delay`` (PostgreSQL's words, ``10s``) after it was made; ended with the block."""
    found, superuser = installation(process.version), process.superuser
    directory = process.log_file.parent / "data"
    with (directory / "cluster" / "pg_hba.conf").open("a") as rules:
        rules.write("hostssl replication postgres 127.0.0.1/32 scram-sha-256\n")
    with connect_as(superuser) as connection:
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(sql.SQL("GRANT pg_read_all_stats TO {}").format(sql.Identifier(process.administrator.user)))
    (directory / "ca.crt").write_bytes(superuser.ca_file.read_bytes())
    (directory / "ca.crt").chmod(0o644)
    target = directory / "standby"
    copied = subprocess.run(
        found.unprivileged(
            directory,
            "pg_basebackup",
            f"--pgdata={target}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--dbname",
            f"host={superuser.host} port={superuser.port} user={superuser.user} "
            f"sslmode=verify-full sslrootcert={directory / 'ca.crt'} sslcert={directory / 'none'}",
        ),
        env={**os.environ, "PGPASSWORD": superuser.password},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert copied.returncode == 0, copied.stderr
    with (target / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"recovery_min_apply_delay = '{apply_delay}'\n")
    with (process.log_file.parent / "standby.log").open("wb") as log:
        standby = subprocess.Popen(
            found.unprivileged(directory, "postgres", "-D", str(target), "-p", str(free_port())),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        standby.terminate()
        standby.wait(120)
