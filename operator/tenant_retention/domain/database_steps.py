"""The steps of a database plan: each is one transaction, safe to repeat, and says in one line what it does.

Steps with ``needs_password`` read the password of that role from what is given to ``apply``; no step holds one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenant_retention.domain.databases import RoleLimits
from tenant_retention.domain.store_marker import StoreMarker


@dataclass(frozen=True)
class CreateOwner:
    """The owner role, with the marker in the same transaction: from here on the database's name is ours."""

    role: str
    marker: StoreMarker

    def describe(self) -> str:
        """One line for people."""
        return f"create owner role {self.role} with our marker"


@dataclass(frozen=True)
class WriteMarker:
    """The marker of a claim that an administrator confirmed, over the one of the earlier policy or namespace."""

    role: str
    marker: StoreMarker

    def describe(self) -> str:
        """One line for people."""
        return f"mark {self.role} as belonging to namespace UID {self.marker.namespace_uid}, policy UID {self.marker.policy_uid}"


@dataclass(frozen=True)
class CreateGroup:
    """A group role (NOLOGIN)."""

    role: str

    def describe(self) -> str:
        """One line for people."""
        return f"create group role {self.role}"


@dataclass(frozen=True)
class CreateDatabase:
    """The database, closed to everybody until its privileges are set."""

    database: str
    owner: str
    connection_limit: int

    def describe(self) -> str:
        """One line for people."""
        return f"create database {self.database}, closed to connections"


@dataclass(frozen=True)
class SetDatabasePrivileges:
    """Who may connect: grants and revocations together. ``revoke``: (grantee, privilege), everybody is ``PUBLIC``."""

    database: str
    owner: str
    grant_connect: tuple[str, ...]
    revoke: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        """One line for people."""
        given = [f"grant CONNECT to {' '.join(self.grant_connect)}"] if self.grant_connect else []
        taken = [f"revoke {privilege} from {grantee or 'PUBLIC'}" for grantee, privilege in self.revoke]
        return f"database {self.database}: " + ", ".join(given + taken)


@dataclass(frozen=True)
class SetDatabaseLimits:
    """Whether connections are allowed at all, and how many."""

    database: str
    connection_limit: int

    def describe(self) -> str:
        """One line for people."""
        limit = "any number of" if self.connection_limit < 0 else f"at most {self.connection_limit}"
        return f"database {self.database}: allow {limit} connections"


@dataclass(frozen=True)
class CloseInterior:
    """Takes from PUBLIC what PostgreSQL gives it inside a new database: schema public, and EXECUTE of new functions."""

    database: str
    owner: str

    def describe(self) -> str:
        """One line for people."""
        return f"database {self.database}: revoke schema public and default privileges from PUBLIC"


@dataclass(frozen=True)
class CreateLogin:
    """A login role with its group, limits and password (needs the password)."""

    role: str
    group: str
    limits: RoleLimits

    @property
    def needs_password(self) -> str:
        """The role whose password is needed."""
        return self.role

    def describe(self) -> str:
        """One line for people."""
        return f"create login {self.role} in {self.group}"


@dataclass(frozen=True)
class SetPassword:
    """Makes the stored password the login's password again (needs the password)."""

    role: str

    @property
    def needs_password(self) -> str:
        """The role whose password is needed."""
        return self.role

    def describe(self) -> str:
        """One line for people."""
        return f"set the password of {self.role}"


@dataclass(frozen=True)
class SetRoleAttributes:
    """LOGIN or NOLOGIN, INHERIT, no CREATEDB, no CREATEROLE, no expiry, and the connection limit."""

    role: str
    login: bool
    connection_limit: int

    def describe(self) -> str:
        """One line for people."""
        return f"put the attributes of {self.role} right"


@dataclass(frozen=True)
class SetRoleSettings:
    """Exactly these settings for a login. ``reset_in``: databases in which the role has further ones, which go."""

    role: str
    settings: tuple[tuple[str, str], ...]
    reset_in: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for people."""
        return f"put the settings of {self.role} right"


@dataclass(frozen=True)
class GrantMembership:
    """``member`` becomes a member of ``role``."""

    role: str
    member: str

    def describe(self) -> str:
        """One line for people."""
        return f"grant {self.role} to {self.member}"


@dataclass(frozen=True)
class RevokeMembership:
    """``member`` is no longer a member of ``role``."""

    role: str
    member: str

    def describe(self) -> str:
        """One line for people."""
        return f"revoke {self.role} from {self.member}"


@dataclass(frozen=True)
class DropLogin:
    """A login that is not wanted any more: locked, its sessions ended, what it owns given to the owner, dropped."""

    role: str
    database: str
    owner: str

    def describe(self) -> str:
        """One line for people."""
        return f"drop login {self.role}"


@dataclass(frozen=True)
class DropDatabase:
    """The database with all that is in it. Whoever applies it reads the marker anew first."""

    database: str
    owner: str
    marker: StoreMarker

    def describe(self) -> str:
        """One line for people."""
        return f"drop database {self.database} with all its data"


@dataclass(frozen=True)
class DropRole:
    """A role of a database that is gone; the owner, which carries the marker, goes last."""

    role: str
    owner: str
    marker: StoreMarker

    def describe(self) -> str:
        """One line for people."""
        return f"drop role {self.role}"


DatabaseStep = (
    CreateOwner
    | WriteMarker
    | CreateGroup
    | CreateDatabase
    | SetDatabasePrivileges
    | SetDatabaseLimits
    | CloseInterior
    | CreateLogin
    | SetPassword
    | SetRoleAttributes
    | SetRoleSettings
    | GrantMembership
    | RevokeMembership
    | DropLogin
    | DropDatabase
    | DropRole
)
