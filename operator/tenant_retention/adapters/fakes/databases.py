"""PostgreSQL servers in memory: keeps the contract of ``DatabaseAdministration`` that the real adapter keeps.

A test arranges a ``PretendServer`` and may change it by hand at any time, as a customer's administrator would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

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
    MarkedDatabase,
    Membership,
    ObservedData,
    ObservedDatabase,
    ObservedInterior,
    ObservedRole,
    WantedDatabase,
)
from tenant_retention.domain.errors import Invalid, NotReady, Unavailable
from tenant_retention.domain.ports.databases import IsolationFinding, IsolationReport, TenantLogin
from tenant_retention.domain.servers import MINIMUM_SERVER_VERSION, ServerAccess, ServerFacts
from tenant_retention.domain.store_marker import StoreMarker


@dataclass
class PretendServer:
    """One server's state. ``away``: it does not answer. ``passwords``: by role, the administrator's too."""

    administrator: str
    passwords: dict[str, str]
    version: int = 170_000
    away: bool = False
    roles: dict[str, ObservedRole] = field(default_factory=dict)
    memberships: set[tuple[str, str]] = field(default_factory=set)
    data: dict[str, ObservedData] = field(default_factory=dict)

    def create_role(self, role: ObservedRole) -> None:
        """Raises Unavailable if the name is taken."""
        if role.name in self.roles:
            raise Unavailable(f'role "{role.name}" already exists', reason="Unavailable")
        self.roles[role.name] = role

    def change_role(self, name: str, **changes: object) -> None:
        """Raises Unavailable if there is no such role."""
        if name not in self.roles:
            raise Unavailable(f'role "{name}" does not exist', reason="Unavailable")
        self.roles[name] = replace(self.roles[name], **changes)  # type: ignore[arg-type]

    def change_data(self, name: str, **changes: object) -> None:
        """Raises Unavailable if there is no such database."""
        if name not in self.data:
            raise Unavailable(f'database "{name}" does not exist', reason="Unavailable")
        self.data[name] = replace(self.data[name], **changes)  # type: ignore[arg-type]

    def roles_of(self, member: str) -> set[str]:
        """The member itself and every role it has, however many steps away."""
        found = {member}
        while more := {role for role, each in self.memberships if each in found} - found:
            found |= more
        return found

    def may_connect(self, role: str, database: str) -> bool:
        """Whether this login gets in."""
        data = self.data[database]
        grantees = {grantee for grantee, privilege in data.grants if privilege == "CONNECT"}
        return data.allows_connections and bool(grantees & {PUBLIC, *self.roles_of(role)})

    def drop_role(self, name: str) -> None:
        """The role with its memberships, grants and password; nothing if there is none."""
        self.roles.pop(name, None)
        self.passwords.pop(name, None)
        self.memberships = {each for each in self.memberships if name not in each}
        for database, data in self.data.items():
            self.change_data(database, grants=frozenset(each for each in data.grants if each[0] != name))


class InMemoryDatabases:
    """The twin of ``PostgresAdministration`` over pretended servers, by host and port."""

    def __init__(
        self, servers: Mapping[tuple[str, int], PretendServer], *, minimum_version: int = MINIMUM_SERVER_VERSION
    ) -> None:
        self._servers = servers
        self._minimum_version = minimum_version

    def facts(self, server: ServerAccess) -> ServerFacts:
        """See the port."""
        return ServerFacts(self._reach(server).version, timedelta(milliseconds=1), "TLSv1.3", True, True, False)

    def observe(self, server: ServerAccess, wanted: WantedDatabase, passwords: Mapping[str, str]) -> ObservedDatabase:
        """See the port."""
        there = self._reach(server)
        names = set(wanted.roles().all_names())
        refused = {name for name, password in passwords.items() if there.passwords.get(name) != password}
        return ObservedDatabase(
            administrator=server.user,
            roles={name: role for name, role in there.roles.items() if name in names},
            memberships=frozenset(Membership(*each) for each in there.memberships if names & set(each)),
            data=there.data.get(wanted.name),
            refused_passwords=frozenset(refused & there.roles.keys()),
            open_databases=tuple(
                name
                for name, data in sorted(there.data.items())
                if name != wanted.name and data.allows_connections and (PUBLIC, "CONNECT") in data.grants
            ),
        )

    def apply(self, server: ServerAccess, step: DatabaseStep, passwords: Mapping[str, str]) -> None:
        """See the port."""
        there = self._reach(server)
        match step:
            case CreateDatabase() | SetDatabasePrivileges() | SetDatabaseLimits() | CloseInterior() | DropDatabase():
                _apply_to_data(there, step)
            case DropLogin(role, _, _):
                there.drop_role(role)
            case DropRole(role, owner, marker):
                if role in there.roles:
                    _require_marker(there, owner, marker)
                    there.drop_role(role)
            case _:
                _apply_to_role(there, step, passwords)

    def discover(self, server: ServerAccess, installation: str) -> tuple[MarkedDatabase, ...]:
        """See the port."""
        found = _marked(self._reach(server))
        return tuple(each for each in found if each.marker.installation == installation)

    def verify_password(self, server: ServerAccess, login: TenantLogin) -> bool:
        """See the port."""
        return self._reach(server).passwords.get(login.role) == login.password

    def databases(self, server: ServerAccess) -> tuple[str, ...]:
        """See the port."""
        return tuple(sorted(self._reach(server).data))

    def probe_isolation(
        self, server: ServerAccess, logins: Sequence[TenantLogin], databases: Sequence[str] | None = None
    ) -> IsolationReport:
        """See the port."""
        there = self._reach(server)
        marked = {each.name for each in _marked(there) if each.exists}
        targets = sorted(there.data) if databases is None else databases
        findings: list[IsolationFinding] = []
        for login in logins:
            if not self.verify_password(server, login) or not there.may_connect(login.role, login.database):
                raise NotReady(f"{login.role} does not reach its own database", reason="NotYetVerified")
            elsewhere = [name for name in targets if name != login.database and name in there.data]
            findings += [
                IsolationFinding(login.role, f"connects to database {name}", name in marked)
                for name in elsewhere
                if there.may_connect(login.role, name)
            ]
            own = {login.role, login.role.rpartition("_")[0]}
            for role in sorted(there.roles_of(login.role) - own):
                findings.append(IsolationFinding(login.role, f"become {role}: succeeded", True))
        return IsolationReport(len(logins) * (len(targets) + 1), tuple(findings))

    def _reach(self, server: ServerAccess) -> PretendServer:
        place = f"PostgreSQL at {server.host}:{server.port}, user {server.user}"
        there = self._servers.get((server.host, server.port))
        if there is None or there.away:
            raise Unavailable(f"{place}: Connection refused", reason="ServerUnreachable")
        if there.passwords.get(server.user) != server.password:
            raise Invalid(f"{place}: password authentication failed", reason="AuthenticationFailed")
        if there.version < self._minimum_version:
            raise Invalid(f"{place} is PostgreSQL {there.version // 10_000}: upgrade it", reason="ServerTooOld")
        return there


def _apply_to_data(
    there: PretendServer,
    step: CreateDatabase | SetDatabasePrivileges | SetDatabaseLimits | CloseInterior | DropDatabase,
) -> None:
    match step:
        case CreateDatabase(database, owner, limit):
            if database in there.data:
                raise Unavailable(f'database "{database}" already exists', reason="Unavailable")
            grants = frozenset({(PUBLIC, "CONNECT"), (PUBLIC, "TEMPORARY")})
            interior = ObservedInterior(frozenset({"USAGE"}), functions_closed=False)
            there.data[database] = ObservedData(owner, False, limit, grants, interior)
        case SetDatabasePrivileges(database, _, grant_connect, revoke):
            grants = there.data[database].grants if database in there.data else frozenset()
            given = frozenset((grantee, "CONNECT") for grantee in grant_connect)
            there.change_data(database, grants=(grants - frozenset(revoke)) | given)
        case SetDatabaseLimits(database, limit):
            there.change_data(database, allows_connections=True, connection_limit=limit)
        case CloseInterior(database, _):
            there.change_data(database, interior=ObservedInterior(frozenset(), functions_closed=True))
        case DropDatabase(database, owner, marker):
            _require_marker(there, owner, marker)
            there.data.pop(database, None)


def _apply_to_role(
    there: PretendServer,
    step: CreateOwner
    | CreateGroup
    | WriteMarker
    | CreateLogin
    | SetPassword
    | SetRoleAttributes
    | SetRoleSettings
    | GrantMembership
    | RevokeMembership,
    passwords: Mapping[str, str],
) -> None:
    match step:
        case CreateOwner(role, marker):
            there.create_role(ObservedRole(role, login=False, comment=marker.to_json()))
        case CreateGroup(role):
            there.create_role(ObservedRole(role, login=False))
        case WriteMarker(role, marker):
            there.change_role(role, comment=marker.to_json())
        case CreateLogin(role, group, limits):
            password = passwords[role]
            settings = frozenset(("", name, value) for name, value in limits.settings().items())
            there.create_role(ObservedRole(role, login=True, connection_limit=limits.connections, settings=settings))
            there.memberships.add((group, role))
            there.passwords[role] = password
        case SetPassword(role):
            there.passwords[role] = passwords[role]
        case SetRoleAttributes(role, login, limit):
            powers = there.roles[role].powers - {"CREATEDB", "CREATEROLE"} if role in there.roles else frozenset()
            there.change_role(role, login=login, inherits=True, expires=False, connection_limit=limit, powers=powers)
        case SetRoleSettings(role, settings, _):
            there.change_role(role, settings=frozenset(("", name, value) for name, value in settings))
        case GrantMembership(role, member):
            if member == there.administrator:
                there.change_role(role, at_hand=True)
            else:
                there.memberships.add((role, member))
        case RevokeMembership(role, member):
            there.memberships.discard((role, member))


def _require_marker(there: PretendServer, owner: str, marker: StoreMarker) -> None:
    role = there.roles.get(owner)
    if role is None or StoreMarker.from_json(role.comment) != marker:
        raise Invalid(f"{owner} does not carry the marker of store {marker.store}", reason="StoreConflict")


def _marked(there: PretendServer) -> Iterator[MarkedDatabase]:
    for name, role in sorted(there.roles.items()):
        marker = StoreMarker.from_json(role.comment)
        if marker is not None and name.endswith("_owner"):
            database = name.removesuffix("_owner")
            data = there.data.get(database)
            yield MarkedDatabase(database, marker, data is not None and data.owner == name)
