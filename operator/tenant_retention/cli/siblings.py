"""The binding directories of one database: the enforcer's that the plan names, and beside it the app's and the observer's.

``acme-analytical-enforcer`` stands beside ``acme-analytical-app`` and ``acme-analytical-observer``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tenant_retention.adapters.bindings import PostgresBinding, read_postgres_binding
from tenant_retention.domain.databases import DatabaseRoles, Group, Login
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.bindings import postgres_keys
from tenant_retention.domain.manifests.inputs import PostgresCredentials
from tenant_retention.domain.servers import ServerAccess

LOGINS = (Group.ENFORCER, Group.APP, Group.OBSERVER)
"""Of every database; one that backups are made of has a backup login too."""
_SUFFIX = f"-{Group.ENFORCER.value}"


@dataclass(frozen=True)
class LoginBinding:
    """One login of a database, as its binding directory has it."""

    group: Group
    directory: Path
    binding: PostgresBinding


def sibling(enforcer: Path, group: Group) -> Path:
    """The directory of another login of the same database."""
    return (
        enforcer.with_name(f"{enforcer.name.removesuffix(_SUFFIX)}-{group.value}")
        if group is not Group.ENFORCER
        else enforcer
    )


def logins_of(
    enforcer: Path, database: str, server: ServerAccess, ca: str | None, groups: Sequence[Group] = LOGINS
) -> tuple[LoginBinding, ...]:
    """Reads the database's binding directories; those that are missing are written, with passwords of their own.

    Raises Invalid if one is there for another database or another login than its name says.
    """
    return tuple(_login(sibling(enforcer, group), group, database, server, ca) for group in groups)


def _login(directory: Path, group: Group, database: str, server: ServerAccess, ca: str | None) -> LoginBinding:
    roles = DatabaseRoles.of(database)
    if not directory.exists():
        _write(directory, roles.login(Login(group)), database, server, ca)
    binding = read_postgres_binding(directory)
    expected = {name for name, login in roles.logins().items() if login.group is group}
    if binding.database != database:
        raise _wrong(directory / "database", f"names {binding.database!r}; this plan's database is {database!r}")
    if binding.username not in expected:
        raise _wrong(
            directory / "username", f"names {binding.username!r}; the login is {' or '.join(sorted(expected))}"
        )
    return LoginBinding(group, directory, binding)


def _write(directory: Path, username: str, database: str, server: ServerAccess, ca: str | None) -> None:
    credentials = PostgresCredentials(
        provider="tenant-retention",
        host=server.host,
        port=server.port,
        database=database,
        username=username,
        password=secrets.token_urlsafe(32),
        ca=ca,
    )
    directory.mkdir(parents=True, mode=0o700)
    for key, text in postgres_keys(credentials, str(directory.resolve())).items():
        # Nobody else may read a password, not even for the moment between writing and changing the mode.
        descriptor = os.open(directory / key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def _wrong(path: Path, text: str) -> Invalid:
    return Invalid(f"{path}: {text}", reason="BindingInvalid", field=str(path))
