"""What the reconcile needs of the tenants' servers: make a database or a bucket so, read counts, write an approval, probe.

Every method is synchronous and is called in a bounded pool of threads. Each is idempotent: a kill in the middle is
continued by the next call with the same request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tenant_retention.domain.backups import StoredBackup
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam
from tenant_retention.domain.cache_readiness import CacheEncryption, CacheReadings
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.hash_keys import HashKeyState
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.caches import CacheRequest, CacheServer
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.holds import TenantHolds
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.ports.requests import TenantRequests
from tenant_retention.domain.readiness import StoreReadings

DATABASE_ROLES = ("app", "reader", "auditor", "enforcer", "backup", "observer")
"""Groups with a login each; the observer's is for the operator alone."""


@dataclass(frozen=True)
class DatabaseServer:
    """A PostgreSQL server and the operator's administrator there. ``ca``: PEM, None: the system's own authorities.

    ``notes``: what is worth knowing about the server itself and keeps nobody from using it.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    ca: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class DatabaseRequest:
    """A database as it must be. ``passwords``: of the logins by role (``DATABASE_ROLES``), kept by the operator.

    ``confirmed_uids``: UIDs of the namespace and policy of before that an administrator confirmed (``spec.claimRef`` of the
    ledger).
    ``mode`` DryRun or ``suspended``: the database itself refuses enforcing runs. ``anchor``: the hash of the newest link of its
    evidence that the ledger knows; without that link it lets no files go by age, as it does not know their holds (X3).
    """

    server: DatabaseServer
    identity: StoreIdentity
    namespace_uid: str
    definition: RetentionDefinition
    passwords: Mapping[str, str] = field(repr=False)
    confirmed_uids: frozenset[str] = frozenset()
    mode: Mode = Mode.ENFORCE
    suspended: bool = False
    anchor: str | None = None

    @property
    def policy_uid(self) -> str:
        """The policy that is to have it."""
        return self.definition.policy_uid

    @property
    def name(self) -> str:
        """The database's name."""
        return self.identity.database()


@dataclass(frozen=True)
class DatabaseOutcome:
    """``usernames``: the login of every role; ``changes``: what was put right, described; ``warnings``: for the status."""

    usernames: Mapping[str, str]
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    hash_key: HashKeyState = field(default_factory=HashKeyState)


@dataclass(frozen=True)
class DatabaseLogin:
    """One login at one database."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    ca: str | None = None


@dataclass(frozen=True)
class BucketServer:
    """An S3 endpoint and the operator's administrator there. ``ca``: PEM, None: the system's own authorities."""

    url: str
    region: str
    iam: Iam
    administrator: AccessKey
    ca: str | None = None


@dataclass(frozen=True)
class BucketRequest:
    """A bucket as it must be. ``held``: the keys that the operator keeps by role; ``confirmed_uids``: as for databases."""

    server: BucketServer
    identity: StoreIdentity
    namespace_uid: str
    policy_uid: str
    object_lock: bool
    held: Mapping[BucketRole, AccessKey] = field(repr=False)
    confirmed_uids: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.identity.bucket()


@dataclass(frozen=True)
class BucketOutcome:
    """``keys``: the keys in force by role: those held, or newly issued ones that must be kept before anything else.
    ``unfinished``: what stopped it after keys were issued: the bucket is not as wanted yet."""

    keys: Mapping[BucketRole, AccessKey] = field(repr=False)
    changes: tuple[str, ...] = ()
    unfinished: RetentionError | None = None


@dataclass(frozen=True)
class ApprovalGrant:
    """What an administrator let through: these rules, up to so many newly due rows, until an instant (UTC)."""

    rules_digest: str
    max_rows: int
    until: datetime
    run: str


class TenantStores(TenantHolds, TenantRequests, Protocol):
    """The tenants' servers. Every method may raise Unavailable (no answer), Invalid (wrong certificate, password or
    privileges, a store that is not ours) or NotReady (still coming up)."""

    def check(self, server: DatabaseServer | BucketServer | CacheServer) -> tuple[str, ...]:
        """Connects as the administrator and looks at version, TLS, latency and privileges (D6, D7); what the class's status
        says of it: facts and warnings, no figure that moves by itself."""

    def prepare_database(self, request: DatabaseRequest) -> DatabaseOutcome:
        """Database, roles, grants, passwords, tables, guards and rules as wanted; what differs is put right.

        Raises StoreReleased where its marker names a policy or namespace of before that is not confirmed: then nothing is
        touched. ``prepare_bucket`` does the same.
        """

    def share_hash_key(self, source: DatabaseRequest, targets: Sequence[DatabaseRequest]) -> None:
        """Gives the key of method Hash of one database, which makes one if it has none, to others that have none (P12)."""

    def destroy_hash_key(self, request: DatabaseRequest) -> None:
        """Destroys the database's key of method Hash: its hashes can no longer be tried out; it takes that key from nobody."""

    def observe_database(self, login: DatabaseLogin) -> DatabaseFacts:
        """Counts and evidence, read by the observer's login."""

    def evidence(self, login: DatabaseLogin, limit: int) -> tuple[RunEvidence, ...]:
        """The latest ``limit`` links of the evidence chain, newest first, read by the observer's login."""

    def approve(self, request: DatabaseRequest, grant: ApprovalGrant) -> None:
        """Writes the approval into the database."""

    def release_database(self, server: DatabaseServer, identity: StoreIdentity, namespace_uid: str) -> None:
        """Makes the database itself refuse enforcing runs, until ``prepare_database`` binds it again (X5).

        Raises Invalid (StoreConflict) where its marker does not name this store in the namespace with this UID: then it is
        another installation's by now, and stays as it is.
        """

    def probe_database(self, request: DatabaseRequest, after: str) -> ProbeReport:
        """What the database's logins can reach besides their own database: in some others, those that follow ``after``."""

    def probe_database_encryption(self, request: DatabaseRequest) -> tuple[str, ...]:
        """Where the database's data can travel without TLS, with any of its logins (T8); empty: nowhere."""

    def measure_database(self, request: DatabaseRequest, whole_server: bool) -> StoreReadings:
        """Figures of the database and its server (D6, D7). ``whole_server``: the size of all databases there."""

    def measure_bucket(self, request: BucketRequest) -> StoreReadings:
        """Figures of the bucket's endpoint."""

    def prepare_bucket(self, request: BucketRequest) -> BucketOutcome:
        """Bucket, settings, identities and keys as wanted; what differs is put right."""

    def list_backups(self, request: BucketRequest) -> tuple[StoredBackup, ...]:
        """What lies in a bucket of backups, the oldest first, without the names of their objects."""

    def probe_bucket(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey], after: str) -> ProbeReport:
        """What an identity may do that it must not, and cannot do that it must: in its own bucket, and in some of others,
        those that follow ``after``."""

    def probe_bucket_encryption(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey]) -> tuple[str, ...]:
        """Where the bucket's data lies or can travel in the clear (T8); empty: nowhere. Nothing that it writes stays."""

    def prepare_cache(self, request: CacheRequest) -> tuple[str, ...]:
        """Users, their rights and the marker as wanted; what differed and was put right, described."""

    def probe_cache(self, request: CacheRequest) -> ProbeReport:
        """What the cache's logins can do that reaches beyond the tenant's prefix: each tries a few such commands."""

    def probe_cache_encryption(self, request: CacheRequest) -> CacheEncryption:
        """Where the cache's data can travel in the clear, and whether keys are written to files (T8). Each login connects."""

    def measure_cache(self, request: CacheRequest) -> CacheReadings:
        """Figures of the cache's server (D6, D7)."""
