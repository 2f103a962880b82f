"""Tries a database's transport (T8): TLS for every login, and no way in without it. Sends no password in the clear."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from tenant_retention.adapters.postgres.connections import connect, errors_of
from tenant_retention.adapters.postgres.survey import rows
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.databases import TenantLogin
from tenant_retention.domain.servers import ServerAccess

APPLICATION_NAME = "tenant-retention encryption probe"
_PROTOCOL_3 = 196_608
_REFUSED = {"28000"}
"""invalid_authorization_specification: pg_hba.conf has no line for a connection without TLS, or one that rejects it."""
_WAIT = timedelta(seconds=10)


def clear_database_traffic(server: ServerAccess, logins: Sequence[TenantLogin]) -> tuple[str, ...]:
    """Where the data of the logins' database may travel, or travels, without TLS; each with its next step. Empty: nowhere.

    ``server``: the administrator's access. Raises Unavailable where the server gives no clear answer, Invalid where a login
    is refused.
    """
    found = []
    for login in logins:
        access = replace(server, user=login.role, password=login.password, database=login.database)
        with errors_of(access), connect(access, application_name=APPLICATION_NAME) as connection:
            ((encrypted,),) = rows(connection, "own_encryption")
        if not encrypted:
            found.append(
                f"the session of {login.role} arrives at the server without TLS: let the pooler or proxy between them use "
                "TLS on both sides"
            )
        if admits_plain(access):
            found.append(
                f"{server.host}:{server.port} lets {login.role} in without TLS: in its pg_hba.conf write hostssl in place of "
                "host (a managed server: require TLS in its settings, rds.force_ssl=1 say)"
            )
    inside = replace(server, database=logins[0].database) if logins else server
    with errors_of(inside), connect(inside, application_name=APPLICATION_NAME) as connection:
        plain = [role for (role,) in rows(connection, "plain_sessions", database=inside.database)]
    found += [f"{role} is connected without TLS right now: set its sslmode to verify-full" for role in plain]
    return tuple(found)


def admits_plain(login: ServerAccess, wait: timedelta = _WAIT) -> bool:
    """Whether the server would ask this login for its password over a connection without TLS.

    Only the first message of the protocol is sent, user and database, so nothing secret travels; its answer is a code, not
    a text in the server's language. Raises Unavailable where the answer is neither a yes nor a refusal.
    """
    place = f"{login.host}:{login.port}"
    try:
        with socket.create_connection((login.host, login.port), wait.total_seconds()) as plain:
            plain.sendall(_startup(login.user, login.database))
            kind, body = _message(plain)
    except (OSError, struct.error) as silence:
        # A proxy that hangs up on whoever does not speak TLS refuses, too; a server that is away has been noticed before.
        if isinstance(silence, TimeoutError):
            raise Unavailable(f"{place} does not answer in time; it is tried again", reason="ServerTooSlow") from None
        return False
    if kind == b"R":
        return True
    code = next((field[1:].decode() for field in body.split(b"\0") if field.startswith(b"C")), "")
    if kind == b"E" and code in _REFUSED:
        return False
    raise Unavailable(
        f"{place} gave no clear answer (SQLSTATE {code or 'none'}); it is tried again", reason="Unavailable"
    )


def _startup(user: str, database: str) -> bytes:
    parts = b"\0".join([b"user", user.encode(), b"database", database.encode(), b"", b""])
    return struct.pack("!ii", len(parts) + 8, _PROTOCOL_3) + parts


def _message(plain: socket.socket) -> tuple[bytes, bytes]:
    """One message: its type and its body. A server that hangs up before it raises ``struct.error``."""
    with plain.makefile("rb") as stream:
        kind, length = struct.unpack("!ci", stream.read(5))
        return kind, stream.read(max(0, min(length, 10_000) - 4))
