"""Passwords: the SCRAM verifier is computed here, so that no password is ever part of an SQL statement or a server's log."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

from tenant_retention.adapters.postgres.connections import DEFAULT_TIMEOUTS, Timeouts, connect
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.ports.databases import TenantLogin
from tenant_retention.domain.servers import ServerAccess

ITERATIONS = 4096
"""PostgreSQL's own default; our passwords are random, so that more would only cost every connection time."""
SALT_BYTES = 16


def scram_sha_256(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """The verifier that PostgreSQL stores (RFC 5802, RFC 7677): ``SCRAM-SHA-256$<iterations>:<salt>$<stored>:<server>``.

    Raises Invalid for a password that is empty or not printable ASCII: then SASLprep changes nothing, and no client
    computes another key than this one.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise Invalid("a password is printable ASCII and not empty", reason="SecretInvalid", field="password")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def is_verifier_of(verifier: str, password: str) -> bool:
    """Whether ``verifier`` is one that ``scram_sha_256`` made for ``password``."""
    head, _, rest = verifier.partition("$")
    cost, _, salt = rest.partition("$")[0].partition(":")
    if head != "SCRAM-SHA-256" or cost != str(ITERATIONS):
        return False
    try:
        return hmac.compare_digest(scram_sha_256(password, base64.b64decode(salt, validate=True)), verifier)
    except ValueError:
        return False


# All of these a server says only after it accepted the password.
_SAID_AFTER_AUTHENTICATION = (
    "permission denied for database",
    "not currently accepting connections",
    "is not permitted to log in",
    "too many connections for",
    "does not exist",
)


def password_works(server: ServerAccess, login: TenantLogin, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> bool:
    """True if the server accepts the password for the role, False if it refuses it.

    Raises Unavailable or Invalid if the server gives no answer to that question.
    """
    access = replace(server, user=login.role, password=login.password, database=login.database)
    try:
        connect(access, application_name="tenant-retention password check", timeouts=timeouts, search_path=None).close()
    except RetentionError as error:
        if "password authentication failed" in error.message:
            return False
        if any(words in error.message for words in _SAID_AFTER_AUTHENTICATION):
            return True
        raise
    return True
