"""Buckets for the reconcile: ``prepare_bucket`` and ``probe_bucket`` of ``TenantStores``, over real S3 endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from tenant_retention.adapters.iam.aws import AwsIdentities
from tenant_retention.adapters.iam.minio import MinioIdentities
from tenant_retention.adapters.iam.static import StaticIdentities
from tenant_retention.adapters.s3.administration import S3BucketAdministration
from tenant_retention.adapters.s3.backups import S3BackupBucket
from tenant_retention.adapters.s3.connection import Patience, S3Connection
from tenant_retention.adapters.s3.encryption import clear_bucket_data
from tenant_retention.adapters.s3.measuring import measure_bucket
from tenant_retention.adapters.s3.probe import S3Probe
from tenant_retention.adapters.s3.provisioning import provision_bucket
from tenant_retention.domain.backups import StoredBackup, stored_backups
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, HeldKeys, Iam
from tenant_retention.domain.buckets import BucketUsage, S3Endpoint, want_bucket
from tenant_retention.domain.isolation import BUCKET_SAMPLE, ProbeReport, next_sample
from tenant_retention.domain.ports.buckets import EndpointFacts, IdentityDriver
from tenant_retention.domain.ports.stores import BucketOutcome, BucketRequest, BucketServer
from tenant_retention.domain.readiness import StoreReadings


def connect(server: BucketServer, *, patience: Patience | None = None) -> S3Connection:
    """A connection as the administrator. Raises Invalid (ClassInvalid, CertificateInvalid) for an address or CA that cannot be."""
    return S3Connection(
        S3Endpoint(server.url, server.region, server.ca), server.administrator, threads=2, patience=patience
    )


def identities(connection: S3Connection, iam: Iam) -> IdentityDriver:
    """The driver for how this endpoint makes identities."""
    match iam:
        case Iam.AWS:
            return AwsIdentities(connection)
        case Iam.MINIO:
            return MinioIdentities(connection)
        case Iam.STATIC:
            return StaticIdentities()


class S3TenantBuckets:
    """Every call opens a connection of its own and ends it: calls come from several threads, minutes apart."""

    def __init__(self, *, patience: Patience | None = None, probe_wait: float = 30.0) -> None:
        self._patience = patience
        self._probe_wait = probe_wait

    def check(self, server: BucketServer) -> EndpointFacts:
        """Whether the endpoint answers, with which latency (D6, D7). Raises Unavailable or Invalid."""
        with connect(server, patience=self._patience) as connection:
            return S3BucketAdministration(connection, identities(connection, server.iam)).check()

    def prepare_bucket(self, request: BucketRequest) -> BucketOutcome:
        """Bucket, settings, identities and keys as wanted. Raises Invalid, NotReady, Unavailable.

        When keys were issued before something failed, the outcome with the keys is returned instead: keep them first, then
        tell what left it unfinished.
        """
        wanted = want_bucket(
            request.identity,
            request.namespace_uid,
            request.server.iam,
            object_lock=request.object_lock,
            policy_uid=request.policy_uid,
            confirmed_uids=request.confirmed_uids,
        )
        with connect(request.server, patience=self._patience) as connection:
            administration = S3BucketAdministration(connection, identities(connection, request.server.iam))
            held = request.held if request.server.iam is Iam.STATIC else self._usable(connection, request)
            by_id = {role: HeldKeys(key.key_id) for role, key in held.items()}
            done = provision_bucket(administration, wanted, by_id, in_ledger=True)
        if done.error is not None and not done.issued:
            raise done.error
        return BucketOutcome({**held, **done.issued}, done.changes, done.error)

    def _usable(self, connection: S3Connection, request: BucketRequest) -> dict[BucketRole, AccessKey]:
        """The held keys without those whose secret is wrong: the store never tells a secret again, so they are issued anew."""
        probe = S3Probe(connection, patience=self._patience)
        return {role: key for role, key in request.held.items() if not probe.has_wrong_secret(key, request.name)}

    def probe_bucket(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey], after: str) -> ProbeReport:
        """What a key may do that it must not, here or in those buckets of others that follow ``after``.

        Raises NotReady (NotYetVerified) while a new key is not known, Invalid (PrivilegesMissing) if one cannot do its work.
        """
        with connect(request.server, patience=self._patience) as connection:
            administration = S3BucketAdministration(connection, identities(connection, request.server.iam))
            everything = administration.buckets()
            sample = next_sample(everything, request.name, after, BUCKET_SAMPLE)
            probe = S3Probe(connection, wait=self._probe_wait, patience=self._patience)
            here = probe.verify_access(request.name, keys)
            elsewhere = probe.verify_isolation(keys, sample)
        breaches = tuple(breach.what for breach in (*here.breaches, *elsewhere.breaches))
        others = len(set(everything) - {request.name})
        return ProbeReport(breaches, len(sample), others, sample[-1] if sample else after)

    def probe_encryption(self, request: BucketRequest, keys: Mapping[BucketRole, AccessKey]) -> tuple[str, ...]:
        """Where the bucket's data lies or can travel in the clear (T8). Raises NotReady, Unavailable or Invalid."""
        with connect(request.server, patience=self._patience) as connection:
            return clear_bucket_data(connection, request.name, keys)

    def measure(self, request: BucketRequest, now: Callable[[], datetime]) -> StoreReadings:
        """Figures of the bucket's endpoint. Raises Unavailable or Invalid."""
        with connect(request.server, patience=self._patience) as connection:
            return measure_bucket(connection, request.name, now)

    def backups(self, request: BucketRequest, now: datetime) -> tuple[StoredBackup, ...]:
        """What lies in a bucket of backups, the oldest first, without the names of their objects. Raises Unavailable or Invalid."""
        with connect(request.server, patience=self._patience) as connection:
            found = stored_backups(S3BackupBucket(connection, connection, request.name).objects(), now)
        return tuple(replace(each, objects=()) for each in found)

    def usage(self, server: BucketServer, bucket: str, page_limit: int = 20) -> BucketUsage:
        """Objects and bytes, counted by listing at most ``page_limit`` pages of 1,000."""
        with connect(server, patience=self._patience) as connection:
            administration = S3BucketAdministration(connection, identities(connection, server.iam))
            return administration.usage(bucket, page_limit)
