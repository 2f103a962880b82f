"""``TenantStores`` in memory: databases and buckets with markers, passwords and keys, and a place to die at every effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tenant_retention.adapters.fakes.cluster import ignore_effect
from tenant_retention.adapters.fakes.kept_requests import FakeTenantRequests
from tenant_retention.adapters.fakes.tenant_backups import FakeTenantBackups
from tenant_retention.adapters.fakes.tenant_caches import FakeTenantCaches
from tenant_retention.adapters.fakes.tenant_hash_keys import FakeTenantHashKeys
from tenant_retention.adapters.fakes.tenant_holds import FakeTenantHolds
from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam
from tenant_retention.domain.buckets import ROLES_OF_BACKUPS
from tenant_retention.domain.databases import DatabaseRoles, Group, Login
from tenant_retention.domain.definition import CategoryDefinition, RetentionDefinition
from tenant_retention.domain.errors import Invalid, RetentionError, StoreReleased, Unavailable
from tenant_retention.domain.isolation import BUCKET_SAMPLE, ProbeReport, next_sample
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cached_rows import CacheLooks
from tenant_retention.domain.ports.caches import CacheServer
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import CategoryObservation, DatabaseFacts, GuardRequest, LeftTable
from tenant_retention.domain.ports.stores import (
    ApprovalGrant,
    BucketOutcome,
    BucketRequest,
    BucketServer,
    DatabaseLogin,
    DatabaseOutcome,
    DatabaseRequest,
    DatabaseServer,
)
from tenant_retention.domain.readiness import StoreReadings
from tenant_retention.domain.store_marker import Bearer


@dataclass
class KeptDatabase:
    """One database as the server keeps it. ``runs``: the chain of evidence, newest last; ``left``: tables that left the
    profile, with the category that each was of, each with ten rows; ``rows``: of every category; ``cache_looks``: of the nights."""

    namespace_uid: str
    passwords: dict[str, str] = field(default_factory=dict)
    definition: RetentionDefinition | None = None
    mode: Mode = Mode.ENFORCE
    suspended: bool = False
    overdue: int = 0
    next_deadline: datetime | None = None
    left: dict[str, CategoryDefinition] = field(default_factory=dict)
    chain_intact: bool = True
    guard: tuple[GuardRequest, ...] = ()
    runs: list[RunEvidence] = field(default_factory=list)
    approvals: list[ApprovalGrant] = field(default_factory=list)
    policy_uid: str = ""
    purpose: str = ""
    rows: int = 10
    cache_looks: tuple[CacheLooks, ...] = ()


@dataclass
class KeptBucket:
    """One bucket as the store keeps it."""

    namespace_uid: str
    keys: dict[BucketRole, AccessKey] = field(default_factory=dict)
    policy_uid: str = ""


HEALTHY_BUCKET = StoreReadings(latency=timedelta(milliseconds=3), clock_skew=timedelta())
HEALTHY_DATABASE = replace(HEALTHY_BUCKET, version="17.6", sessions=4, usable_sessions=97, size=2**23, read_only=False)


class FakeTenantStores(FakeTenantBackups, FakeTenantHashKeys, FakeTenantHolds, FakeTenantRequests, FakeTenantCaches):
    """``away``: hosts or URLs that do not answer, ``refusals``: what they answer instead of working; ``breaches``, ``open`` and
    ``in_the_clear``: what probes find, ``probed``: what they tried; ``readings``: what is measured; ``on_effect``: before changes."""

    def __init__(self, on_effect: Callable[[str], None] = ignore_effect) -> None:
        super().__init__()
        self.on_effect = on_effect
        self.databases: dict[str, KeptDatabase] = {}
        self.buckets: dict[str, KeptBucket] = {}
        self.breaches: tuple[str, ...] = ()
        self.neighbours: set[str] = set()
        self.foreign_buckets: set[str] = set()
        self.open: set[str] = set()
        self.probed: list[tuple[str, ...]] = []
        self.probed_buckets: list[tuple[str, ...]] = []
        self.in_the_clear: dict[str, tuple[str, ...]] = {}
        self.encryption_probes: list[str] = []
        self.readings: dict[str, StoreReadings] = {}
        self.measured: list[str] = []
        self.refusals: dict[str, RetentionError] = {}
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self._keys = 0

    def check(self, server: DatabaseServer | BucketServer | CacheServer) -> tuple[str, ...]:
        """See the port."""
        self._answer(server.url if isinstance(server, BucketServer) else server.host)
        return ()

    def prepare_database(self, request: DatabaseRequest) -> DatabaseOutcome:
        """See the port."""
        self._answer(request.server.host)
        changes: list[str] = []
        kept = self.databases.get(request.name)
        if kept is None:
            self.on_effect(f"create database {request.name}")
            kept = KeptDatabase(request.namespace_uid, policy_uid=request.policy_uid, purpose=request.identity.purpose)
            self.databases[request.name] = kept
            changes.append("database created")
        self._mark(kept, request)
        for role, password in request.passwords.items():
            if kept.passwords.get(role) != password:
                self.on_effect(f"password {role}")
                kept.passwords[role] = password
                changes.append(f"password of {role} set")
        wanted = (request.definition, request.mode, request.suspended)
        if (kept.definition, kept.mode, kept.suspended) != wanted:
            self.on_effect(f"definition {request.name}")
            before = kept.definition.categories if kept.definition else ()
            wanted_names = {category.name for category in request.definition.categories}
            changes += [f"category {c.name} left the profile" for c in before if c.name not in wanted_names]
            kept.left |= {
                table: category for category in before if category.lies_in(kept.purpose) for table in category.tables
            }
            for table in request.definition.tables_of(request.identity.purpose):
                kept.left.pop(table.name, None)
            kept.definition, kept.mode, kept.suspended = wanted
            changes.append("rules written")
        return DatabaseOutcome(self._users(request.name), tuple(changes), hash_key=self.hash_key_state(request))

    def observe_database(self, login: DatabaseLogin) -> DatabaseFacts:
        """See the port."""
        kept = self._login(login)
        assert kept.definition is not None
        rows = [
            CategoryObservation(
                category=category.name,
                rows=kept.rows,
                oldest=None,
                due=0,
                overdue=kept.overdue,
                held=0,
                anomalies=0,
                anomalies_since=None,
                next_deadline=kept.next_deadline,
            )
            for category in kept.definition.categories
            if (category.tables or category.files) and category.lies_in(kept.purpose)
        ]
        latest = kept.runs[-1] if kept.runs else None
        return DatabaseFacts(
            rules_digest=kept.definition.rules_digest(),
            now=self.now,
            categories=tuple(rows),
            guard_requests=kept.guard,
            latest_run=latest,
            latest_success=max(
                (
                    run.finished_at
                    for run in kept.runs
                    if run.mode is Mode.ENFORCE
                    and run.outcome == "Succeeded"
                    and run.finished_at
                    and not run.limited_to
                ),
                default=None,
            ),
            chain_intact=kept.chain_intact,
            cache_looks=kept.cache_looks,
            holds=self.live_holds(login.database),
            pending_requests=self.pending_requests(login.database),
            left=tuple(
                LeftTable(
                    table=table,
                    category=category.name,
                    content_of=category.content_of,
                    rows=10,
                    oldest=None,
                    overdue=kept.overdue,
                )
                for table, category in kept.left.items()
            ),
        )

    def evidence(self, login: DatabaseLogin, limit: int) -> tuple[RunEvidence, ...]:
        """See the port."""
        return tuple(reversed(self._login(login).runs))[:limit]

    def approve(self, request: DatabaseRequest, grant: ApprovalGrant) -> None:
        """See the port."""
        self._answer(request.server.host)
        kept = self.databases[request.name]
        if grant not in kept.approvals:
            self.on_effect(f"approval {request.name}")
            kept.approvals.append(grant)

    def release_database(self, server: DatabaseServer, identity: StoreIdentity, namespace_uid: str) -> None:
        """See the port."""
        self._answer(server.host)
        kept = self.databases.get(identity.database())
        if kept is None or kept.namespace_uid != namespace_uid:
            raise Invalid(f"database {identity.database()} does not carry this marker", reason="StoreConflict")
        if not kept.suspended:
            self.on_effect(f"refuse runs {identity.database()}")
            kept.suspended = True

    def probe_database(self, request: DatabaseRequest, after: str) -> ProbeReport:
        """See the port; ``neighbours``: databases of others on every server."""
        self._answer(request.server.host)
        names = {*self.databases, *self.neighbours}
        sample = next_sample(names, request.name, after)
        self.probed.append(sample)
        breaches = (*self.breaches, *(f"app: connects to database {name}" for name in sample if name in self.open))
        return ProbeReport(breaches, len(sample), len(names - {request.name}), sample[-1] if sample else after)

    def probe_database_encryption(self, request: DatabaseRequest) -> tuple[str, ...]:
        """See the port."""
        self._answer(request.server.host)
        self.encryption_probes.append(request.name)
        return self.in_the_clear.get(request.name, ())

    def probe_bucket_encryption(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey]) -> tuple[str, ...]:
        """See the port."""
        self._answer(request.server.url)
        self.encryption_probes.append(request.name)
        return self.in_the_clear.get(request.name, ())

    def measure_database(self, request: DatabaseRequest, whole_server: bool) -> StoreReadings:
        """See the port."""
        self._answer(request.server.host)
        self.measured.append(request.name)
        return self.readings.get(request.name, HEALTHY_DATABASE)

    def measure_bucket(self, request: BucketRequest) -> StoreReadings:
        """See the port."""
        self._answer(request.server.url)
        self.measured.append(request.name)
        return self.readings.get(request.name, HEALTHY_BUCKET)

    def prepare_bucket(self, request: BucketRequest) -> BucketOutcome:
        """See the port. A key that nobody holds is removed and issued anew, as the real one does."""
        self._answer(request.server.url)
        changes: list[str] = []
        kept = self.buckets.get(request.name)
        if kept is None:
            self.on_effect(f"create bucket {request.name}")
            kept = KeptBucket(request.namespace_uid, policy_uid=request.policy_uid)
            self.buckets[request.name] = kept
            changes.append("bucket created")
        self._mark(kept, request)
        if request.server.iam is Iam.STATIC:
            return BucketOutcome(request.held, tuple(changes))
        for role in ROLES_OF_BACKUPS if request.identity.purpose == BACKUPS else tuple(BucketRole):
            held = request.held.get(role)
            if held is None or kept.keys.get(role) != held:
                self.on_effect(f"key {role}")
                self._keys += 1
                kept.keys[role] = AccessKey(f"KEY{self._keys}", f"secret-{self._keys}")
                changes.append(f"key of {role} issued")
        return BucketOutcome(dict(kept.keys), tuple(changes))

    def probe_bucket(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey], after: str) -> ProbeReport:
        """See the port; ``foreign_buckets``: buckets of others on every endpoint."""
        self._answer(request.server.url)
        names = {*self.buckets, *self.foreign_buckets}
        sample = next_sample(names, request.name, after, BUCKET_SAMPLE)
        self.probed_buckets.append(sample)
        breaches = (*self.breaches, *(f"app: was allowed to list {name}" for name in sample if name in self.open))
        return ProbeReport(breaches, len(sample), len(names - {request.name}), sample[-1] if sample else after)

    def _mark(self, kept: KeptDatabase | KeptBucket, request: DatabaseRequest | BucketRequest) -> None:
        now, marker = Bearer(request.namespace_uid, request.policy_uid), Bearer(kept.namespace_uid, kept.policy_uid)
        if marker.is_of_before(now, request.confirmed_uids):
            text = f"{request.name} belongs to an earlier policy or namespace"
            raise StoreReleased(text, marker.namespace_uid, marker.policy_uid)
        if marker != now:
            self.on_effect(f"mark {request.name}")
            kept.namespace_uid, kept.policy_uid = request.namespace_uid, request.policy_uid

    def _answer(self, address: str) -> None:
        if address in self.away:
            raise Unavailable(f"{address} does not answer", reason="ServerUnreachable")
        if address in self.refusals:
            raise self.refusals[address]

    def _login(self, login: DatabaseLogin) -> KeptDatabase:
        self._answer(login.host)
        kept = self.databases.get(login.database)
        if kept is None or kept.passwords.get("observer") != login.password:
            raise Invalid(f"{login.user} is refused", reason="AuthenticationFailed")
        return kept

    def _users(self, database: str) -> dict[str, str]:
        return {group.value: DatabaseRoles.of(database).login(Login(group)) for group in Group}
