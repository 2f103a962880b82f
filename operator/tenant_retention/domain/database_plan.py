"""From what is there to what is wanted: which steps, in which order, and when to keep the hands off (PROVISIONING.md section 2).

A database is ours by the marker on its owner role. What exists without our marker is never touched (StoreConflict); what
is marked for an earlier namespace of the same name waits for an administrator (StoreReleased).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tenant_retention.domain.database_steps import (
    CloseInterior,
    CreateDatabase,
    CreateGroup,
    CreateLogin,
    CreateOwner,
    DatabaseStep,
    DropDatabase,
    DropLogin,
    DropRole,
    GrantMembership,
    RevokeMembership,
    SetDatabaseLimits,
    SetDatabasePrivileges,
    SetPassword,
    SetRoleAttributes,
    SetRoleSettings,
    WriteMarker,
)
from tenant_retention.domain.databases import (
    PUBLIC,
    DatabaseRoles,
    Group,
    Login,
    Membership,
    ObservedDatabase,
    ObservedRole,
    WantedDatabase,
)
from tenant_retention.domain.errors import Invalid, StoreReleased
from tenant_retention.domain.store_marker import StoreMarker

_REPAIRABLE_POWERS = frozenset({"CREATEDB", "CREATEROLE"})
"""Only a superuser may take the other powers away."""
_DATABASE_PRIVILEGES_OF_EVERYBODY = ((PUBLIC, "CONNECT"), (PUBLIC, "TEMPORARY"))
"""What PostgreSQL gives PUBLIC in every new database."""


class Claim(StrEnum):
    """Whose the database's name is, as the plan sees it."""

    CREATE = "Create"
    ADOPT = "Adopt"
    RELEASED = "Released"
    CONFLICT = "Conflict"


@dataclass(frozen=True)
class DatabaseWarning:
    """Something that only the server's own administrator can change; ``message`` says what to type."""

    reason: str
    message: str


def claim_of(wanted: WantedDatabase, observed: ObservedDatabase) -> Claim:
    """CREATE: nothing of that name is there. ADOPT: ours. RELEASED: ours of before, not confirmed. CONFLICT: another's."""
    roles = wanted.roles()
    marker = observed.marker(roles.owner)
    if roles.owner not in observed.roles:
        return Claim.CONFLICT if observed.roles or observed.data else Claim.CREATE
    if marker is None or (observed.data is not None and observed.data.owner != roles.owner):
        return Claim.CONFLICT
    if marker == wanted.marker:
        return Claim.ADOPT
    if not marker.names_the_store_of(wanted.marker):
        return Claim.CONFLICT
    of_before = marker.bearer().is_of_before(wanted.marker.bearer(), wanted.confirmed_uids)
    return Claim.RELEASED if of_before else Claim.ADOPT


def plan_database(wanted: WantedDatabase, observed: ObservedDatabase) -> tuple[DatabaseStep, ...]:
    """The steps from what is there to what is wanted; empty when nothing is to be done.

    Raises Invalid (StoreConflict, StoreReleased) if the database's name is not ours: then nothing is touched.
    """
    claim = claim_of(wanted, observed)
    if claim is Claim.CONFLICT:
        raise Invalid(
            f"database {wanted.name} or a role of its name exists without this store's marker, so it is not touched; "
            "remove or rename it, or choose another class or policy name",
            reason="StoreConflict",
        )
    if claim is Claim.RELEASED:
        marker = observed.marker(wanted.roles().owner)
        assert marker is not None
        raise StoreReleased(
            f"database {wanted.name} belongs to an earlier policy or namespace of this name; "
            "an administrator binds it again by spec.claimRef",
            marker.namespace_uid,
            marker.policy_uid,
        )
    return (
        *_owner(wanted, observed),
        *_groups(wanted, observed),
        *_data(wanted, observed),
        *_logins(wanted, observed),
        *_surplus_memberships(wanted, observed),
    )


def plan_removal(database: str, marker: StoreMarker, observed: ObservedDatabase) -> tuple[DatabaseStep, ...]:
    """The steps that remove database and roles, the owner role with its marker last; empty when nothing is there.

    Raises Invalid (StoreConflict) if the marker that is there is not exactly ``marker``.
    """
    roles = DatabaseRoles.of(database)
    if roles.owner not in observed.roles and observed.data is None and not observed.roles:
        return ()
    owned = observed.data is None or observed.data.owner == roles.owner
    if observed.marker(roles.owner) != marker or not owned:
        raise Invalid(
            f"database {database} does not carry the marker of store {marker.store}, so it is not touched",
            reason="StoreConflict",
        )
    # Locked before the database goes, so that no client reconnects meanwhile; the owner last, for it has the marker.
    present = [role for role in (*roles.logins(), *roles.groups(), roles.owner) if role in observed.roles]
    locked = [
        SetRoleAttributes(role, login=False, connection_limit=0)
        for role in roles.logins()
        if role in observed.roles and observed.roles[role].login
    ]
    data = [DropDatabase(database, roles.owner, marker)] if observed.data else []
    return (*locked, *data, *(DropRole(role, roles.owner, marker) for role in present))


def _quoted(name: str) -> str:
    """An identifier as a person may paste it: a stranger chose the member's name, and a superuser types the command."""
    return '"' + name.replace('"', '""') + '"'


def warnings_of(wanted: WantedDatabase, observed: ObservedDatabase) -> tuple[DatabaseWarning, ...]:
    """What is not as it must be and what a non-superuser cannot change: to be reported, never to be assumed away."""
    dangerous = [
        DatabaseWarning(
            "IsolationBroken",
            f"role {role.name} has {power}; as a superuser: ALTER ROLE {_quoted(role.name)} NO{power}",
        )
        for role in observed.roles.values()
        for power in sorted(role.powers - _REPAIRABLE_POWERS)
    ]
    foreign = [
        DatabaseWarning(
            "IsolationBroken",
            # Words for a person to type: this product never runs them.
            f"role {each.member} is a member of {each.role} by a superuser's grant; as that superuser: "
            f"REVOKE {_quoted(each.role)} FROM {_quoted(each.member)}",
        )
        for each in sorted(_surplus(wanted, observed))
        if not each.revocable
    ]
    names = ", ".join(observed.open_databases)
    closing = (
        DatabaseWarning(
            "PrivilegesMissing",
            f"everybody may connect to {names}, this tenant's logins too; for each, as its owner: GRANT CONNECT ON "
            f"DATABASE ... TO {_quoted(observed.administrator)}; REVOKE CONNECT ON DATABASE ... FROM PUBLIC",
        ),
    )
    return (*dangerous, *foreign, *(closing if names else ()))


def _owner(wanted: WantedDatabase, observed: ObservedDatabase) -> list[DatabaseStep]:
    owner = wanted.roles().owner
    role = observed.roles.get(owner)
    if role is None:
        return [CreateOwner(owner, wanted.marker)]
    steps: list[DatabaseStep] = []
    if StoreMarker.from_json(role.comment) != wanted.marker:
        steps.append(WriteMarker(owner, wanted.marker))
    return steps + _role(role, observed, login=False, connection_limit=-1)


def _groups(wanted: WantedDatabase, observed: ObservedDatabase) -> list[DatabaseStep]:
    steps: list[DatabaseStep] = []
    for name in wanted.roles().groups():
        role = observed.roles.get(name)
        steps += [CreateGroup(name)] if role is None else _role(role, observed, login=False, connection_limit=-1)
    return steps


def _role(role: ObservedRole, observed: ObservedDatabase, *, login: bool, connection_limit: int) -> list[DatabaseStep]:
    steps: list[DatabaseStep] = []
    # First get hold of the role: everything else needs it.
    if not role.at_hand:
        steps.append(GrantMembership(role.name, observed.administrator))
    as_wanted = (role.login, role.inherits, role.connection_limit, role.expires) == (
        login,
        True,
        connection_limit,
        False,
    )
    if not as_wanted or role.powers & _REPAIRABLE_POWERS:
        steps.append(SetRoleAttributes(role.name, login, connection_limit))
    return steps


def _data(wanted: WantedDatabase, observed: ObservedDatabase) -> list[DatabaseStep]:
    roles = wanted.roles()
    may_connect = (observed.administrator, *roles.groups())
    limits = SetDatabaseLimits(wanted.name, wanted.connection_limit)
    close = CloseInterior(wanted.name, roles.owner)
    data = observed.data
    if data is None:
        return [
            CreateDatabase(wanted.name, roles.owner, wanted.connection_limit),
            SetDatabasePrivileges(wanted.name, roles.owner, may_connect, _DATABASE_PRIVILEGES_OF_EVERYBODY),
            limits,
            close,
        ]
    steps: list[DatabaseStep] = []
    missing = tuple(grantee for grantee in may_connect if (grantee, "CONNECT") not in data.grants)
    surplus = tuple(sorted(data.grants - {(grantee, "CONNECT") for grantee in may_connect}))
    if missing or surplus:
        steps.append(SetDatabasePrivileges(wanted.name, roles.owner, missing, surplus))
    if not data.allows_connections or data.connection_limit != wanted.connection_limit:
        steps.append(limits)
    if data.interior is None or data.interior.public_schema or not data.interior.functions_closed:
        steps.append(close)
    return steps


def _logins(wanted: WantedDatabase, observed: ObservedDatabase) -> list[DatabaseStep]:
    roles = wanted.roles()
    steps: list[DatabaseStep] = []
    for login in wanted.logins:
        role = observed.roles.get(roles.login(login))
        if role is None:
            steps.append(CreateLogin(roles.login(login), roles.group(login.group), wanted.limits[login.group]))
        else:
            steps += _login(wanted, observed, login, role)
    unwanted = roles.logins().keys() - {roles.login(login) for login in wanted.logins}
    return steps + [DropLogin(name, wanted.name, roles.owner) for name in sorted(unwanted & observed.roles.keys())]


def _login(wanted: WantedDatabase, observed: ObservedDatabase, login: Login, role: ObservedRole) -> list[DatabaseStep]:
    limits, group = wanted.limits[login.group], wanted.roles().group(login.group)
    steps = _role(role, observed, login=True, connection_limit=limits.connections)
    if not any((each.role, each.member) == (group, role.name) for each in observed.memberships):
        steps.append(GrantMembership(group, role.name))
    settings = frozenset(("", name, value) for name, value in limits.settings().items())
    if role.settings != settings:
        elsewhere = tuple(sorted({database for database, _, _ in role.settings if database}))
        steps.append(SetRoleSettings(role.name, tuple(sorted(limits.settings().items())), elsewhere))
    if role.name in observed.refused_passwords:
        steps.append(SetPassword(role.name))
    return steps


def _surplus_memberships(wanted: WantedDatabase, observed: ObservedDatabase) -> list[DatabaseStep]:
    dropped = wanted.roles().logins().keys() - {wanted.roles().login(login) for login in wanted.logins}
    return [
        RevokeMembership(each.role, each.member)
        for each in sorted(_surplus(wanted, observed))
        if each.revocable and not {each.role, each.member} & dropped
    ]


def _surplus(wanted: WantedDatabase, observed: ObservedDatabase) -> set[Membership]:
    """Memberships in or of our roles other than: each login in its group, and the administrator in each."""
    roles = wanted.roles()
    proper = {(roles.group(login.group), name) for name, login in roles.logins().items()}
    return {
        each
        for each in observed.memberships
        if (each.role, each.member) not in proper and each.member != observed.administrator
    }


def rotation(active: Login) -> tuple[tuple[Login, ...], tuple[Login, ...]]:
    """How a group's password changes: the logins to want during the overlap, and those to want after it."""
    return (active, active.other()), (active.other(),)


def logins_with(group_logins: tuple[Login, ...]) -> tuple[Login, ...]:
    """All groups' first logins, those of the named groups replaced by ``group_logins``."""
    named: set[Group] = {login.group for login in group_logins}
    return tuple(Login(group) for group in Group if group not in named) + group_logins
