"""What the operator needs of a PostgreSQL server: administration, and probes with the tenants' own logins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tenant_retention.domain.database_steps import DatabaseStep
from tenant_retention.domain.databases import MarkedDatabase, ObservedDatabase, WantedDatabase
from tenant_retention.domain.servers import ServerAccess, ServerFacts


@dataclass(frozen=True)
class TenantLogin:
    """One of a tenant's logins, as its binding Secret has it."""

    database: str
    role: str
    password: str


@dataclass(frozen=True)
class IsolationFinding:
    """A try that should have been refused and was not, in words. ``serious`` False: what it reached holds no store."""

    login: str
    what: str
    serious: bool


@dataclass(frozen=True)
class IsolationReport:
    """What a probe tried and what was not refused: ``tried`` counts the tries."""

    tried: int
    findings: tuple[IsolationFinding, ...] = ()

    def verified(self) -> bool:
        """True if something was tried and nothing serious succeeded."""
        return self.tried > 0 and not any(finding.serious for finding in self.findings)


class DatabaseAdministration(Protocol):
    """A PostgreSQL server as its administrator login (CREATEDB, CREATEROLE, no superuser) sees it.

    Every method may raise Unavailable (ServerUnreachable, ServerTooSlow, Unavailable) and Invalid (CertificateInvalid,
    AuthenticationFailed, ServerTooOld, PrivilegesMissing). No message ever contains a password.
    """

    def facts(self, server: ServerAccess) -> ServerFacts:
        """One look: version, latency, TLS, privileges (D6, D7)."""

    def observe(self, server: ServerAccess, wanted: WantedDatabase, passwords: Mapping[str, str]) -> ObservedDatabase:
        """Everything ``plan_database`` looks at. ``passwords``: by role; each existing login's is tried (empty: none is)."""

    def apply(self, server: ServerAccess, step: DatabaseStep, passwords: Mapping[str, str]) -> None:
        """Carries one step out, in one transaction where PostgreSQL can; repeating it is harmless.

        ``passwords``: by role; KeyError if the step needs one that is not there. Raises Invalid (StoreConflict) if a
        destructive step finds another marker than the one it was planned for.
        """

    def discover(self, server: ServerAccess, installation: str) -> tuple[MarkedDatabase, ...]:
        """Every database that carries a marker of this installation: the ledger can be written anew from it."""

    def verify_password(self, server: ServerAccess, login: TenantLogin) -> bool:
        """True if the server accepts the password for the role; False if it refuses it."""

    def databases(self, server: ServerAccess) -> tuple[str, ...]:
        """The names of all databases of the server that can be connected to, whoever made them."""

    def probe_isolation(
        self, server: ServerAccess, logins: Sequence[TenantLogin], databases: Sequence[str] | None = None
    ) -> IsolationReport:
        """Connects as each login and expects refusal: in every other database of the server (``databases``: only these),
        of every escalating function, and of every role that is not its own.

        Raises NotReady (NotYetVerified) if a login cannot even reach its own database: then refusals prove nothing.
        """
