"""Binding directories (servicebinding.io): one file per key, as a Secret is mounted, read into frozen values.

Passwords and secret keys appear in no ``repr`` and in no message. Paths inside a binding are for applications; the CA is
always read from ``ca.crt`` beside the other files, so that a directory works wherever it is mounted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tenant_retention.domain.backups import KEY_BYTES
from tenant_retention.domain.errors import Invalid

_LONGEST_FILE = 1_000_000
_VERIFY_FULL = "verify-full"


@dataclass(frozen=True)
class PostgresBinding:
    """One login in one database; TLS is always verified in full. ``ca_file`` None: the system's authorities."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    ca_file: Path | None


@dataclass(frozen=True)
class S3Binding:
    """One identity at one bucket. ``ca``: PEM text, None: the system's authorities."""

    bucket: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    ca: str | None


@dataclass(frozen=True)
class RedisBinding:
    """One login at one cache server. ``prefix``: what every key of the tenant begins with. ``ca``: as of ``S3Binding``."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    prefix: str
    ca: str | None


def read_postgres_binding(directory: Path) -> PostgresBinding:
    """Reads a PostgreSQL binding. Raises Invalid (BindingInvalid) naming the file that is missing or wrong."""
    _check_type(directory, "postgresql")
    mode = _optional(directory, "sslmode")
    if mode not in (None, _VERIFY_FULL):
        raise _invalid(directory / "sslmode", f"must be {_VERIFY_FULL}: data goes over verified TLS only")
    ca_file = directory / "ca.crt"
    return PostgresBinding(
        host=_text(directory, "host"),
        port=_port(directory),
        database=_text(directory, "database"),
        username=_text(directory, "username"),
        password=_text(directory, "password"),
        ca_file=ca_file if _optional(directory, "ca.crt") is not None else None,
    )


def read_s3_binding(directory: Path) -> S3Binding:
    """Reads a bucket's binding. Raises Invalid (BindingInvalid) naming the file that is missing or wrong."""
    _check_type(directory, "s3")
    return S3Binding(
        bucket=_text(directory, "BUCKET_NAME"),
        endpoint=_text(directory, "AWS_ENDPOINT_URL"),
        region=_text(directory, "AWS_DEFAULT_REGION"),
        access_key=_text(directory, "AWS_ACCESS_KEY_ID"),
        secret_key=_text(directory, "AWS_SECRET_ACCESS_KEY"),
        ca=_optional(directory, "ca.crt"),
    )


def read_redis_binding(directory: Path) -> RedisBinding:
    """Reads a cache's binding. Raises Invalid (BindingInvalid) naming the file that is missing or wrong."""
    _check_type(directory, "redis")
    return RedisBinding(
        host=_text(directory, "host"),
        port=_port(directory),
        username=_text(directory, "username"),
        password=_text(directory, "password"),
        prefix=_text(directory, "prefix"),
        ca=_optional(directory, "ca.crt"),
    )


def read_backup_key(directory: Path) -> bytes:
    """The key that seals a tenant's backups. Raises Invalid (BindingInvalid) naming the file that is missing or wrong."""
    path = directory / "key"
    text = _text(directory, path.name)
    if re.fullmatch(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", text) is None:
        raise _invalid(path, f"must be {2 * KEY_BYTES} hex digits: openssl rand -hex {KEY_BYTES}")
    return bytes.fromhex(text)


def _check_type(directory: Path, wanted: str) -> None:
    if not directory.is_dir():
        raise _invalid(directory, "is no directory; mount or write the binding there")
    found = _text(directory, "type")
    if found != wanted:
        raise _invalid(directory / "type", f"says {found!r}; a binding of type {wanted!r} is needed here")


def _port(directory: Path) -> int:
    text = _text(directory, "port")
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise _invalid(directory / "port", "is no port number from 1 to 65535")
    return int(text)


def _text(directory: Path, key: str) -> str:
    value = _optional(directory, key)
    if value is None:
        raise _invalid(directory / key, "is missing; the binding needs this file")
    if not value:
        raise _invalid(directory / key, "is empty")
    if not value.isprintable():
        # The value itself is not shown: it may be a password.
        raise _invalid(directory / key, "holds a line break or another control character")
    return value


def _optional(directory: Path, key: str) -> str | None:
    path = directory / key
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _invalid(path, f"cannot be read ({error.strerror})") from error
    try:
        # Files written by hand end with a line break; Secrets do not.
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _invalid(path, "is not UTF-8 text") from None


def _invalid(path: Path, text: str) -> Invalid:
    return Invalid(f"{path}: {text}", reason="BindingInvalid", field=str(path))
