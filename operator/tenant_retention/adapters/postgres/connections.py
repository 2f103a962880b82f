"""Connections: always TLS with verify-full, always SCRAM, always with timeouts; errors in the domain's words, without secrets."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from tenant_retention.domain.errors import Invalid, RetentionError, Unavailable
from tenant_retention.domain.servers import MINIMUM_SERVER_VERSION, SYSTEM_AUTHORITIES, ServerAccess

Connection = psycopg.Connection[TupleRow]

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}")
"""One host name or address: no list of hosts, no socket directory, as libpq would understand them."""

_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a connection, for one statement and for a lock."""

    connect: timedelta = timedelta(seconds=10)
    statement: timedelta = timedelta(seconds=60)
    lock: timedelta = timedelta(seconds=10)


DEFAULT_TIMEOUTS = Timeouts()


def connect(
    server: ServerAccess,
    *,
    application_name: str,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    search_path: str | None = "pg_catalog",
    minimum_version: int = MINIMUM_SERVER_VERSION,
    to_this_server: bool = False,
) -> Connection:
    """A session in autocommit mode. ``search_path`` None: the role's own (applications). ``to_this_server``: host and authority
    are somebody else's word; a server that hands the login on to another one gets nowhere (channel binding).

    Raises Unavailable (ServerUnreachable, ServerTooSlow, Unavailable) or Invalid (CertificateInvalid,
    AuthenticationFailed, PrivilegesMissing, ServerTooOld, ClassInvalid).
    """
    _check_arguments(server)
    with errors_of(server):
        connection = psycopg.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=server.database,
            sslmode="verify-full",
            sslrootcert=str(_authorities(server.ca_file)),
            gssencmode="disable",
            # With SCRAM the server proves that it knows the password too, and never sees it.
            require_auth="scram-sha-256",
            channel_binding="require" if to_this_server else "prefer",
            connect_timeout=max(2, round(timeouts.connect.total_seconds())),
            # A server that vanishes in mid-statement is noticed within half a minute.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
            application_name=application_name,
            client_encoding="utf8",
            options=_session_options(timeouts, search_path),
            autocommit=True,
        )
    if connection.info.server_version < minimum_version:
        found = _major(connection.info.server_version)
        connection.close()
        raise Invalid(
            f"{_place(server)} is PostgreSQL {found}; "
            f"at least {_major(minimum_version)} is needed: upgrade it or choose another class",
            reason="ServerTooOld",
        )
    return connection


def _session_options(timeouts: Timeouts, search_path: str | None) -> str:
    """Settings that hold from the first statement on, so that what somebody set for the role cannot stop us from repairing it."""
    settings = {
        "statement_timeout": str(timeouts.statement // timedelta(milliseconds=1)),
        "lock_timeout": str(timeouts.lock // timedelta(milliseconds=1)),
        # Beside an application we take one processor, not all that the server would lend.
        "max_parallel_workers_per_gather": "0",
    }
    if search_path is not None:
        settings["search_path"] = search_path
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


@contextmanager
def errors_of(server: ServerAccess) -> Iterator[None]:
    """Turns psycopg's errors into the domain's. The original is not chained: its text may quote a statement."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None and not isinstance(error, psycopg.OperationalError):
            # Not the server's doing: a mistake of ours, which must not look like an outage.
            raise
        raise translated(error, server) from None


_AWAY = "check that the server runs and can be reached from here; it is tried again"
_SLOW = "the server took too long: look at its load and its locks; it is tried again"


def translated(error: psycopg.Error, server: ServerAccess) -> RetentionError:
    """The domain error for one of psycopg's: what went wrong, where, and what to do next; never a password."""
    place = _place(server)
    if error.sqlstate is None:
        return _connection_error(error, place)
    said = f"{place}: {error.diag.message_primary} (SQLSTATE {error.sqlstate})"
    if error.sqlstate == "42501":
        return Invalid(
            f"{said}; the administrator login needs CREATEDB, CREATEROLE and to have made this store itself",
            reason="PrivilegesMissing",
        )
    # query_canceled (statement_timeout) and lock_not_available
    if error.sqlstate in {"57014", "55P03"}:
        return Unavailable(f"{said}; {_SLOW}", reason="ServerTooSlow")
    if error.sqlstate.startswith(("08", "57P")):
        return Unavailable(f"{said}; {_AWAY}", reason="ServerUnreachable")
    # Everything else is tried again with backoff: "already exists" and "concurrently updated" are decided anew then.
    return Unavailable(said, reason="Unavailable")


# What libpq itself says is never translated here; what a server says is in the server's language, so the fallback is careful.
_CAUSES: tuple[tuple[str, type[RetentionError], str, tuple[str, ...]], ...] = (
    (
        "check the CA of the class and that the server's certificate names this host",
        Invalid,
        "CertificateInvalid",
        (
            "certificate verify failed",
            "does not match host name",
            "root certificate file",
            "server does not support SSL",
        ),
    ),
    (
        "check user and password in the Secret, and that the server allows this login with SCRAM",
        Invalid,
        "AuthenticationFailed",
        (
            "password authentication failed",
            "authentication method requirement",
            "no pg_hba.conf entry",
            "is not permitted to log in",
        ),
    ),
    ("grant CONNECT on it", Invalid, "PrivilegesMissing", ("permission denied for database",)),
    (_SLOW, Unavailable, "ServerTooSlow", ("timeout expired",)),
    (
        "raise max_connections, or let applications pool their connections; it is tried again",
        Unavailable,
        "ConnectionsExhausted",
        ("too many", "remaining connection slots"),
    ),
    (
        "the server refused for now",
        Unavailable,
        "Unavailable",
        ("not currently accepting", "does not exist", "starting up"),
    ),
)


def _connection_error(error: psycopg.Error, place: str) -> RetentionError:
    said = str(error)
    # "connection to server at ..., port ... failed: " stands before every cause; the place is named already.
    cause = said.splitlines()[0].rsplit(" failed: ", 1)[-1] if said else type(error).__name__
    if "timeout" in type(error).__name__.lower():
        said = "timeout expired"
    for advice, kind, reason, words in _CAUSES:
        if any(word in said for word in words):
            return kind(f"{place}: {cause}; {advice}", reason=reason)
    return Unavailable(f"{place}: {cause}; {_AWAY}", reason="ServerUnreachable")


def _authorities(ca_file: Path) -> Path:
    """The bundle to believe. What libpq calls ``system`` is a directory of the wheel's own build, which nobody has."""
    if ca_file != SYSTEM_AUTHORITIES:
        return ca_file
    known = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_SYSTEM_BUNDLES)
    return next((Path(bundle) for bundle in known if bundle and Path(bundle).is_file()), ca_file)


def _check_arguments(server: ServerAccess) -> None:
    if _HOST.fullmatch(server.host) is None:
        raise Invalid(
            f"host: {server.host[:80]!r} is not the name or address of one host; write one, without spaces or commas",
            reason="ClassInvalid",
            field="host",
        )
    if not server.password:
        # Without one libpq would look for a password file.
        raise Invalid(f"{_place(server)}: the password is empty", reason="AuthenticationFailed", field="password")
    if "\0" in server.password + server.user + server.database:
        raise Invalid(f"{_place(server)}: a NUL in user, password or database", reason="AuthenticationFailed")


def _place(server: ServerAccess) -> str:
    database = server.database.replace("\0", "\\0")
    user = server.user.replace("\0", "\\0")
    return f"PostgreSQL at {server.host}:{server.port}, database {database}, user {user}"


def _major(version: int) -> int:
    return version // 10_000
