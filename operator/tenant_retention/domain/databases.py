"""Tenant databases: names, markers, what is wanted and what is there (PROVISIONING.md section 2). Pure values.

``database_plan`` decides from them, ``database_steps`` are what it decides, ``ports.databases`` is who carries it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import DATABASE_NAME_LIMIT, StoreIdentity
from tenant_retention.domain.store_marker import StoreMarker

PUBLIC = ""
"""How observations write the grantee PUBLIC: everybody."""
_NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{DATABASE_NAME_LIMIT - 1}}}")


class Group(StrEnum):
    """The groups of a tenant database; a login is a member of exactly one. The value is the role's suffix."""

    APP = "app"
    READER = "reader"
    AUDITOR = "auditor"
    ENFORCER = "enforcer"
    BACKUP = "backup"
    OBSERVER = "observer"


@dataclass(frozen=True)
class Login:
    """One of a group's two login roles; they take turns, so that a password changes with an overlap."""

    group: Group
    number: Literal[1, 2] = 1

    def other(self) -> Login:
        """The login to rotate to."""
        return Login(self.group, 2 if self.number == 1 else 1)


@dataclass(frozen=True)
class DatabaseRoles:
    """The names of a database's NOLOGIN roles; every name fits PostgreSQL's 63 bytes."""

    owner: str
    app: str
    reader: str
    auditor: str
    enforcer: str
    backup: str
    observer: str

    @classmethod
    def of(cls, database: str) -> DatabaseRoles:
        """The roles of the database of this name. Raises Invalid if it is no name that this product makes."""
        if _NAME.fullmatch(database) is None:
            raise Invalid(
                f"{database[:80]!r} is no database name of ours: lower-case letters, digits and underscores, "
                f"at most {DATABASE_NAME_LIMIT}",
                reason="StoreConflict",
                field="database",
            )
        return cls(**{each.name: f"{database}_{each.name}" for each in fields(cls)})

    def group(self, group: Group) -> str:
        """The role name of a group."""
        return str(getattr(self, group.value))

    def groups(self) -> tuple[str, ...]:
        """The role names of all groups."""
        return tuple(self.group(group) for group in Group)

    def login(self, login: Login) -> str:
        """The role name of a login: ``<group>_1`` or ``<group>_2``."""
        return f"{self.group(login.group)}_{login.number}"

    def logins(self) -> dict[str, Login]:
        """Every login that could exist, by role name."""
        numbers: tuple[Literal[1, 2], ...] = (1, 2)
        return {self.login(login): login for group in Group for login in (Login(group, number) for number in numbers)}

    def all_names(self) -> tuple[str, ...]:
        """Owner, groups and every login that could exist."""
        return (self.owner, *self.groups(), *self.logins())


@dataclass(frozen=True)
class RoleLimits:
    """Limits of one login: sessions at once, and how long a statement and an idle transaction may last (zero: no limit)."""

    connections: int
    statement: timedelta
    idle_in_transaction: timedelta

    def settings(self) -> dict[str, str]:
        """The role settings, in milliseconds."""
        return {
            "idle_in_transaction_session_timeout": str(self.idle_in_transaction // timedelta(milliseconds=1)),
            "statement_timeout": str(self.statement // timedelta(milliseconds=1)),
        }


DEFAULT_LIMITS: Mapping[Group, RoleLimits] = MappingProxyType(
    {
        # An idle transaction holds locks that would keep the night's TRUNCATE and DETACH waiting.
        Group.APP: RoleLimits(50, timedelta(0), timedelta(minutes=10)),
        Group.READER: RoleLimits(20, timedelta(minutes=30), timedelta(minutes=10)),
        Group.AUDITOR: RoleLimits(5, timedelta(minutes=30), timedelta(minutes=10)),
        # As long as the longest usual window.
        Group.ENFORCER: RoleLimits(4, timedelta(hours=4), timedelta(minutes=5)),
        # Two at once; a server takes a moment to notice the end of those before.
        Group.BACKUP: RoleLimits(4, timedelta(hours=4), timedelta(minutes=10)),
        Group.OBSERVER: RoleLimits(3, timedelta(minutes=5), timedelta(minutes=1)),
    }
)
FIRST_LOGINS: tuple[Login, ...] = tuple(Login(group) for group in Group)


@dataclass(frozen=True)
class WantedDatabase:
    """One database as it must be. ``logins``: exactly these exist afterwards; to rotate, want both for a while, then the
    new one alone. ``confirmed_uids``: UIDs of the namespace and policy of before that an administrator confirmed
    (``spec.claimRef``). ``connection_limit``: sessions at once, -1 for no limit.
    """

    name: str
    marker: StoreMarker
    logins: tuple[Login, ...] = FIRST_LOGINS
    limits: Mapping[Group, RoleLimits] = field(default_factory=lambda: DEFAULT_LIMITS)
    connection_limit: int = -1
    confirmed_uids: frozenset[str] = frozenset()

    def roles(self) -> DatabaseRoles:
        """The names of its roles. Raises Invalid if the database's name is not one of ours."""
        return DatabaseRoles.of(self.name)


def want_database(
    identity: StoreIdentity,
    namespace_uid: str,
    policy_uid: str = "",
    *,
    logins: tuple[Login, ...] = FIRST_LOGINS,
    confirmed_uids: frozenset[str] = frozenset(),
) -> WantedDatabase:
    """The database of a store."""
    marker = StoreMarker.of(identity, namespace_uid, policy_uid)
    return WantedDatabase(identity.database(), marker, logins=logins, confirmed_uids=confirmed_uids)


@dataclass(frozen=True)
class ObservedRole:
    """A role that has one of our names. ``powers``: SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS it has.

    ``settings``: (database or "", setting, value). ``at_hand``: the administrator has its privileges and can become it.
    """

    name: str
    login: bool
    inherits: bool = True
    powers: frozenset[str] = frozenset()
    connection_limit: int = -1
    expires: bool = False
    comment: str | None = None
    settings: frozenset[tuple[str, str, str]] = frozenset()
    at_hand: bool = True


@dataclass(frozen=True, order=True)
class Membership:
    """``member`` has the role ``role``. ``revocable``: the administrator may take it away."""

    role: str
    member: str
    revocable: bool = True


@dataclass(frozen=True)
class ObservedInterior:
    """What PUBLIC may do inside. ``public_schema``: its privileges on schema public; ``functions_closed``: new functions of
    the owner cannot be executed by PUBLIC, and no default privilege of the owner's is PUBLIC's."""

    public_schema: frozenset[str]
    functions_closed: bool


@dataclass(frozen=True)
class ObservedData:
    """The database itself. ``grants``: (grantee, privilege), the owner's own left out; ``interior`` None: nobody could look."""

    owner: str
    allows_connections: bool
    connection_limit: int = -1
    grants: frozenset[tuple[str, str]] = frozenset()
    interior: ObservedInterior | None = None


@dataclass(frozen=True)
class ObservedDatabase:
    """Everything ``plan_database`` looks at. ``administrator``: the login we act with.

    ``refused_passwords``: logins whose password was tried and refused. ``open_databases``: other databases of the server
    that everybody may connect to.
    """

    administrator: str
    roles: Mapping[str, ObservedRole]
    memberships: frozenset[Membership]
    data: ObservedData | None
    refused_passwords: frozenset[str] = frozenset()
    open_databases: tuple[str, ...] = ()

    def marker(self, owner: str) -> StoreMarker | None:
        """The marker on the owner role, None if there is no such role or no marker on it."""
        role = self.roles.get(owner)
        return StoreMarker.from_json(role.comment) if role else None


@dataclass(frozen=True)
class MarkedDatabase:
    """One entry of what a server's markers say: enough to write the ledger anew. ``exists`` False: only roles are there."""

    name: str
    marker: StoreMarker
    exists: bool
