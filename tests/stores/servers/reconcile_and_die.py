"""A reconcile of one database in a process of its own that kills itself (SIGKILL) before its n-th SQL statement.

Reads JSON from standard input: the server, its password, the installation and ``statements``, how many it may execute.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psycopg

from tenant_retention.adapters.postgres.administration import PostgresAdministration
from tenant_retention.domain.database_plan import plan_database
from tenant_retention.domain.databases import Group, Login, WantedDatabase, want_database
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.servers import ServerAccess

NAMESPACE = "killed"


def wanted_of(installation: str, number: int) -> WantedDatabase:
    """The database that is made; ``number``: 1, then 2 for the logins to rotate to."""
    identity = StoreIdentity(installation, NAMESPACE, "acme", "Analytical")
    logins = tuple(Login(group, 1 if number == 1 else 2) for group in Group)
    return want_database(identity, "uid-1", logins=logins)


def main() -> None:
    """Reconciles once, or dies on the way."""
    told: dict[str, Any] = json.load(sys.stdin)
    server = ServerAccess(told["host"], told["port"], told["user"], told["password"], Path(told["ca_file"]))
    wanted = wanted_of(told["installation"], told["number"])
    passwords = {role: f"secret-of-{role}" for role in wanted.roles().logins()}
    left = int(told["statements"])
    execute = psycopg.Connection.execute

    def execute_or_die(self: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return execute(self, *arguments, **more)

    psycopg.Connection.execute = execute_or_die  # type: ignore[method-assign]
    databases = PostgresAdministration()
    for step in plan_database(wanted, databases.observe(server, wanted, {})):
        databases.apply(server, step, passwords)


if __name__ == "__main__":
    main()
