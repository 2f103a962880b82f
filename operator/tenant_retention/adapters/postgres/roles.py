"""Carries out the steps that make, change and drop roles. Runs as a non-superuser on PostgreSQL 15 and later.

Up to 15 CREATEROLE rules over every ordinary role; from 16 on only over roles it made or was given, and a grant belongs
to its grantor. Both ways end in the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from psycopg import sql

from tenant_retention.adapters.postgres.connections import Connection
from tenant_retention.adapters.postgres.passwords import SALT_BYTES, scram_sha_256
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.adapters.postgres.survey import FOLDER, GRANTS_HAVE_OPTIONS, marker_of, observe_roles, rows
from tenant_retention.domain.database_steps import (
    CreateGroup,
    CreateLogin,
    CreateOwner,
    DropLogin,
    DropRole,
    GrantMembership,
    RevokeMembership,
    SetPassword,
    SetRoleAttributes,
    SetRoleSettings,
    WriteMarker,
)
from tenant_retention.domain.databases import RoleLimits
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.domain.store_marker import StoreMarker

RoleStep = (
    CreateOwner
    | WriteMarker
    | CreateGroup
    | CreateLogin
    | SetPassword
    | SetRoleAttributes
    | SetRoleSettings
    | GrantMembership
    | RevokeMembership
    | DropLogin
    | DropRole
)


@dataclass(frozen=True)
class Workbench:
    """What a step works with. ``open_database``: a connection to another database of the same server."""

    server: ServerAccess
    connection: Connection
    open_database: Callable[[ServerAccess], Connection]
    random_bytes: Callable[[int], bytes]

    def run(self, name: str, **identifiers: sql.Composable | str) -> None:
        """Executes a named statement; strings are identifiers."""
        run(self.connection, name, **identifiers)

    def elsewhere(self, database: str) -> Connection:
        """A connection to this database; the caller closes it."""
        return self.open_database(replace(self.server, database=database))


def run(connection: Connection, name: str, **identifiers: sql.Composable | str) -> None:
    """Executes a named statement of ``sql/administration`` whose braces are filled: strings as identifiers."""
    filled = {key: sql.Identifier(each) if isinstance(each, str) else each for key, each in identifiers.items()}
    connection.execute(statement(FOLDER, name).format(**filled))


def apply_role_step(bench: Workbench, step: RoleStep, passwords: Mapping[str, str]) -> None:
    """Carries one step out, in one transaction; dropping a login with possessions takes several, in a safe order."""
    match step:
        case CreateOwner(role, marker):
            _create_role(bench, role, marker)
        case CreateGroup(role):
            _create_role(bench, role, None)
        case WriteMarker(role, marker):
            bench.run("comment_on_role", role=role, comment=sql.Literal(marker.to_json()))
        case CreateLogin(role, group, limits):
            _create_login(bench, role, group, limits, passwords[role])
        case SetPassword(role):
            bench.run("set_password", role=role, verifier=_verifier(bench, passwords[role]))
        case SetRoleAttributes(role, login, limit):
            name = "set_login_attributes" if login else "set_group_attributes"
            bench.run(name, role=role, connection_limit=sql.Literal(limit))
        case SetRoleSettings(role, settings, reset_in):
            with bench.connection.transaction():
                for database in reset_in:
                    bench.run("reset_settings_in_database", role=role, database=database)
                bench.run("reset_settings", role=role)
                _set_settings(bench, role, dict(settings))
        case GrantMembership(role, member):
            _grant(bench, role, member)
        case RevokeMembership(role, member):
            _revoke(bench, role, member)
        case DropLogin(role, database, owner):
            if _exists(bench, role):
                bench.run("lock_login", role=role)
                _end_sessions(bench, role)
                _settle(bench, role, heir=owner, also_in=database)
                bench.run("drop_role", role=role)
        case DropRole(role, owner, marker):
            _drop_marked_role(bench, role, owner, marker)


def _create_role(bench: Workbench, role: str, marker: StoreMarker | None) -> None:
    with bench.connection.transaction():
        _before_creating(bench)
        bench.run("create_role", role=role)
        _after_creating(bench, role)
        if marker is not None:
            # In this very transaction: an owner role without its marker can never be seen, whenever we die.
            bench.run("comment_on_role", role=role, comment=sql.Literal(marker.to_json()))


def _create_login(bench: Workbench, role: str, group: str, limits: RoleLimits, password: str) -> None:
    verifier = _verifier(bench, password)
    with bench.connection.transaction():
        _before_creating(bench)
        bench.run(
            "create_login",
            role=role,
            group=group,
            verifier=verifier,
            connection_limit=sql.Literal(limits.connections),
        )
        _after_creating(bench, role)
        _set_settings(bench, role, limits.settings())


def _before_creating(bench: Workbench) -> None:
    if bench.connection.info.server_version >= GRANTS_HAVE_OPTIONS:
        bench.run("take_hold_of_new_roles")


def _after_creating(bench: Workbench, role: str) -> None:
    if bench.connection.info.server_version < GRANTS_HAVE_OPTIONS:
        bench.run("grant_membership", role=role, member=bench.server.user)


def _set_settings(bench: Workbench, role: str, settings: Mapping[str, str]) -> None:
    for setting, value in settings.items():
        bench.run("set_setting", role=role, setting=setting, value=sql.Literal(value))


def _grant(bench: Workbench, role: str, member: str) -> None:
    in_full = bench.connection.info.server_version >= GRANTS_HAVE_OPTIONS
    bench.run("grant_membership_in_full" if in_full else "grant_membership", role=role, member=member)
    if member == bench.server.user and not observe_roles(bench.connection, (role,))[role].at_hand:
        raise Invalid(
            f'administrator {member} does not inherit from {role}; as a superuser: ALTER ROLE "{member}" INHERIT',
            reason="PrivilegesMissing",
        )


def _revoke(bench: Workbench, role: str, member: str) -> None:
    if bench.connection.info.server_version < GRANTS_HAVE_OPTIONS:
        bench.run("revoke_membership", role=role, member=member)
        return
    grantors = rows(bench.connection, "grantors_of_membership", role=role, member=member)
    with bench.connection.transaction():
        for (grantor,) in grantors:
            bench.run("revoke_membership_of_grantor", role=role, member=member, grantor=grantor)


def _exists(bench: Workbench, role: str) -> bool:
    ((found,),) = rows(bench.connection, "role_exists", role=role)
    return bool(found)


def _end_sessions(bench: Workbench, role: str) -> None:
    rows(bench.connection, "end_sessions", role=role)


def _settle(bench: Workbench, role: str, *, heir: str, also_in: str) -> None:
    """Gives what the role owns to ``heir`` (a login can own large objects, and those are data), then drops its grants."""
    found = {name for (name,) in rows(bench.connection, "databases_with_possessions", role=role)}
    present = rows(bench.connection, "observe_data", database=also_in)
    databases = found | ({also_in} if present and present[0][1] else set())
    for database in sorted(databases):
        with bench.elsewhere(database) as inside, inside.transaction():
            run(inside, "hand_possessions_over", role=role, heir=heir)
            run(inside, "drop_possessions", role=role)


def _drop_marked_role(bench: Workbench, role: str, owner: str, marker: StoreMarker) -> None:
    if not _exists(bench, role):
        return
    require_marker(bench.connection, owner, marker)
    _end_sessions(bench, role)
    # The database is gone; what is left is what the role owns in databases that are not ours, which nobody else misses.
    for (database,) in rows(bench.connection, "databases_with_possessions", role=role):
        with bench.elsewhere(database) as inside:
            run(inside, "drop_possessions", role=role)
    bench.run("drop_role", role=role)


def require_marker(connection: Connection, owner: str, marker: StoreMarker) -> None:
    """Reads the marker anew before an act that cannot be taken back. Raises Invalid (StoreConflict) if it is not exactly this one."""
    if marker_of(connection, owner) != marker:
        raise Invalid(
            f"{owner} does not carry the marker of store {marker.store}, so it is left as it is",
            reason="StoreConflict",
        )


def _verifier(bench: Workbench, password: str) -> sql.Literal:
    return sql.Literal(scram_sha_256(password, bench.random_bytes(SALT_BYTES)))
