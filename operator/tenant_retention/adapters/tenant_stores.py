"""``TenantStores`` over real PostgreSQL servers and S3 endpoints: observe, plan, apply, then the inside of the database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tenant_retention.adapters.cache.tenant_caches import (
    check_cache,
    measure_cache,
    prepare_cache,
    probe_cache,
    probe_cache_encryption,
)
from tenant_retention.adapters.postgres.administration import PostgresAdministration
from tenant_retention.adapters.postgres.connections import Connection, connect, errors_of
from tenant_retention.adapters.postgres.encryption import clear_database_traffic
from tenant_retention.adapters.postgres.hash_keys import (
    destroy_hash_key,
    hash_key_state,
    made_hash_key,
    take_hash_key,
)
from tenant_retention.adapters.postgres.holds import PostgresTenantHolds
from tenant_retention.adapters.postgres.indexes import IndexBuilds
from tenant_retention.adapters.postgres.measuring import measure_database
from tenant_retention.adapters.postgres.observation import PostgresObserverDatabase
from tenant_retention.adapters.postgres.roles import require_marker
from tenant_retention.adapters.postgres.schema import (
    apply_definition,
    knows_link,
    note_clock,
    refuse_runs,
    write_approval,
)
from tenant_retention.adapters.postgres.subject_requests import PostgresTenantRequests
from tenant_retention.adapters.postgres.survey import marker_of
from tenant_retention.adapters.s3.tenant_buckets import S3TenantBuckets
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.backups import StoredBackup
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole
from tenant_retention.domain.cache_readiness import CacheEncryption, CacheReadings
from tenant_retention.domain.database_plan import plan_database, warnings_of
from tenant_retention.domain.databases import DatabaseRoles, Group, Login, WantedDatabase, want_database
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.isolation import ProbeReport, next_sample
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.caches import CacheRequest, CacheServer
from tenant_retention.domain.ports.databases import TenantLogin
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import DatabaseFacts
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
from tenant_retention.domain.servers import SLOW, SLOW_WORDS, SYSTEM_AUTHORITIES, ServerAccess
from tenant_retention.domain.store_marker import StoreMarker

APPLICATION_NAME = "tenant-retention-operator"
_SKEW = (
    "the server's clock and the operator's differ by over a minute: nothing is deleted until they agree; put the clocks of "
    "the nodes and of the server right"
)
_FORGOT = (
    "the chain of evidence lacks the link that the ledger knows: was this database made anew? files that go by age stay "
    "until a backup is restored and evidenceHead is taken away, since their holds may be lost"
)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class RealTenantStores(PostgresTenantHolds, PostgresTenantRequests):
    """Holds settings, no connection: safe to share between threads. ``directory``: where authorities' files are written
    (libpq reads them from files). ``now``: the operator's clock (UTC), told to every database as a witness."""

    def __init__(self, directory: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._directory = directory
        self._now = now
        self._databases = PostgresAdministration()
        self._buckets = S3TenantBuckets()
        self._indexes = IndexBuilds()

    def check(self, server: DatabaseServer | BucketServer | CacheServer) -> tuple[str, ...]:
        """See the port."""
        if isinstance(server, CacheServer):
            return check_cache(server)
        if isinstance(server, BucketServer):
            return (SLOW_WORDS,) if self._buckets.check(server).latency > SLOW else ()
        facts = self._databases.facts(self._access(server))
        wanted = (("CREATEDB", facts.can_create_database), ("CREATEROLE", facts.can_create_role))
        missing = [name for name, there in wanted if not there]
        if missing:
            raise Invalid(
                f"{server.host}:{server.port}: {server.user} lacks {' and '.join(missing)}; grant it",
                reason="PrivilegesMissing",
            )
        return facts.words()

    def prepare_database(self, request: DatabaseRequest) -> DatabaseOutcome:
        """See the port."""
        server, wanted = self._access(request.server), _wanted(request)
        roles = wanted.roles()
        passwords = _by_role(request, roles)
        changes: list[str] = []
        observed = self._databases.observe(server, wanted, passwords)
        for step in plan_database(wanted, observed):
            self._databases.apply(server, step, passwords)
            changes.append(step.describe())
        inside = replace(server, database=wanted.name)
        with connect(inside, application_name=APPLICATION_NAME) as connection:
            # Files lie in a bucket that outlived their database: holds on them were in the one that is lost (X3).
            remembers = request.anchor is None or knows_link(connection, roles, request.anchor)
            try:
                made = apply_definition(
                    connection,
                    request.definition,
                    request.identity.purpose,
                    roles,
                    mode=request.mode,
                    suspended=request.suspended,
                    files=remembers and not (request.identity.region or request.identity.unit),
                )
            except Unavailable as problem:
                if problem.reason == Reason.PARTITIONS_MISSING:
                    # Months say nothing of clocks: a difference that was noted before must not outlive itself.
                    note_clock(connection, roles, self._now)
                raise
            clocks_agree = note_clock(connection, roles, self._now)
            hash_key = hash_key_state(connection, roles)
            # Last: whatever becomes of it, the rules are in force.
            unbuilt = self._indexes.build(connection, roles)
        # Months ahead come with time; nobody took them away.
        changes += [change for change in made if " months of " not in change]
        return DatabaseOutcome(
            usernames={group.value: roles.login(Login(group)) for group in Group},
            changes=tuple(changes),
            warnings=(
                *(warning.message for warning in warnings_of(wanted, observed)),
                *([] if clocks_agree else [_SKEW]),
                *([] if remembers else [_FORGOT]),
                *([unbuilt] if unbuilt else []),
            ),
            hash_key=hash_key,
        )

    def share_hash_key(self, source: DatabaseRequest, targets: Sequence[DatabaseRequest]) -> None:
        """See the port."""
        with self._inside(source) as connection:
            pads = made_hash_key(connection, DatabaseRoles.of(source.name))
        for target in targets:
            with self._inside(target) as connection:
                take_hash_key(connection, DatabaseRoles.of(target.name), pads)

    def destroy_hash_key(self, request: DatabaseRequest) -> None:
        """See the port."""
        with self._inside(request) as connection:
            destroy_hash_key(connection, DatabaseRoles.of(request.name))

    def observe_database(self, login: DatabaseLogin) -> DatabaseFacts:
        """See the port."""
        return self._observer(login).observe()

    def evidence(self, login: DatabaseLogin, limit: int) -> tuple[RunEvidence, ...]:
        """See the port."""
        return self._observer(login).evidence(limit)

    def approve(self, request: DatabaseRequest, grant: ApprovalGrant) -> None:
        """See the port."""
        with self._inside(request) as connection:
            write_approval(
                connection,
                DatabaseRoles.of(request.name),
                rules_digest=grant.rules_digest,
                max_rows=grant.max_rows,
                until=grant.until,
                run_name=grant.run,
            )

    def release_database(self, server: DatabaseServer, identity: StoreIdentity, namespace_uid: str) -> None:
        """See the port."""
        roles = DatabaseRoles.of(identity.database())
        inside = replace(self._access(server), database=identity.database())
        with errors_of(inside), connect(inside, application_name=APPLICATION_NAME) as connection:
            marker = StoreMarker.of(identity, namespace_uid)
            found = marker_of(connection, roles.owner)
            # Whichever policy had it last: the ledger knows that none has it now.
            require_marker(connection, roles.owner, replace(marker, policy_uid=found.policy_uid if found else ""))
            refuse_runs(connection, roles)

    def probe_database(self, request: DatabaseRequest, after: str) -> ProbeReport:
        """See the port; what reaches no store of ours is not a breach."""
        server, roles = self._access(request.server), DatabaseRoles.of(request.name)
        logins = [TenantLogin(request.name, role, password) for role, password in _by_role(request, roles).items()]
        everything = self._databases.databases(server)
        sample = next_sample(everything, request.name, after)
        report = self._databases.probe_isolation(server, logins, sample)
        breaches = tuple(f"{finding.login}: {finding.what}" for finding in report.findings if finding.serious)
        others = len(set(everything) - {request.name})
        return ProbeReport(breaches, len(sample), others, sample[-1] if sample else after)

    def probe_database_encryption(self, request: DatabaseRequest) -> tuple[str, ...]:
        """See the port."""
        passwords = _by_role(request, DatabaseRoles.of(request.name))
        logins = [TenantLogin(request.name, role, password) for role, password in passwords.items()]
        return clear_database_traffic(self._access(request.server), logins)

    def measure_database(self, request: DatabaseRequest, whole_server: bool) -> StoreReadings:
        """See the port."""
        inside = replace(self._access(request.server), database=request.name)
        owner = DatabaseRoles.of(request.name).owner
        return measure_database(inside, owner, self._now, whole_server=whole_server)

    def measure_bucket(self, request: BucketRequest) -> StoreReadings:
        """See the port."""
        return self._buckets.measure(request, self._now)

    def prepare_bucket(self, request: BucketRequest) -> BucketOutcome:
        """See the port."""
        return self._buckets.prepare_bucket(request)

    def probe_bucket(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey], after: str) -> ProbeReport:
        """See the port."""
        return self._buckets.probe_bucket(request, keys, after)

    def list_backups(self, request: BucketRequest) -> tuple[StoredBackup, ...]:
        """See the port."""
        return self._buckets.backups(request, self._now())

    def probe_bucket_encryption(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey]) -> tuple[str, ...]:
        """See the port."""
        return self._buckets.probe_encryption(request, keys)

    def _observer(self, login: DatabaseLogin) -> PostgresObserverDatabase:
        access = ServerAccess(
            login.host, login.port, login.user, login.password, self._authority(login.ca), login.database
        )
        return PostgresObserverDatabase(lambda: connect(access, application_name=APPLICATION_NAME))

    def prepare_cache(self, request: CacheRequest) -> tuple[str, ...]:
        """See the port."""
        return prepare_cache(request)

    def probe_cache(self, request: CacheRequest) -> ProbeReport:
        """See the port."""
        return probe_cache(request)

    def probe_cache_encryption(self, request: CacheRequest) -> CacheEncryption:
        """See the port."""
        return probe_cache_encryption(request)

    def measure_cache(self, request: CacheRequest) -> CacheReadings:
        """See the port."""
        return measure_cache(request, self._now)

    def _inside(self, request: DatabaseRequest) -> Connection:
        inside = replace(self._access(request.server), database=request.name)
        return connect(inside, application_name=APPLICATION_NAME)

    def _access(self, server: DatabaseServer) -> ServerAccess:
        return ServerAccess(server.host, server.port, server.user, server.password, self._authority(server.ca))

    def _authority(self, bundle: str | None) -> Path:
        """A file with the bundle; one per bundle, written whole, so that two threads never see half of it."""
        if bundle is None:
            return SYSTEM_AUTHORITIES
        file = self._directory / f"{hashlib.sha256(bundle.encode()).hexdigest()}.crt"
        if not file.exists():
            draft = file.with_suffix(f".{id(bundle)}")
            draft.write_text(bundle, encoding="ascii")
            draft.rename(file)
        return file


def observer_user(database: str) -> str:
    """The observer's login of a database."""
    return DatabaseRoles.of(database).login(Login(Group.OBSERVER))


def _wanted(request: DatabaseRequest) -> WantedDatabase:
    return want_database(
        request.identity, request.namespace_uid, request.policy_uid, confirmed_uids=request.confirmed_uids
    )


def _by_role(request: DatabaseRequest, roles: DatabaseRoles) -> dict[str, str]:
    return {roles.login(Login(Group(role))): password for role, password in request.passwords.items()}
