"""The administrator's side of one S3 endpoint: looks at a bucket, and carries single steps out. Decides nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice

from minio.commonconfig import ENABLED, Filter, Tags
from minio.error import S3Error
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig
from minio.lifecycleconfig import Rule as LifecycleRule
from minio.objectlockconfig import ObjectLockConfig
from minio.sseconfig import Rule as EncryptionRule
from minio.sseconfig import SSEConfig
from minio.versioningconfig import SUSPENDED, VersioningConfig

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import store_errors
from tenant_retention.adapters.s3.listing import usage_of
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, ObservedIdentity, user_name
from tenant_retention.domain.bucket_marker import is_on
from tenant_retention.domain.bucket_steps import (
    BucketSettingStep,
    BucketStep,
    CreateBucket,
    RemoveBucketPolicy,
    SetEncryption,
    SetLifecycle,
    SetObjectLock,
    SetVersioning,
    WriteMarker,
)
from tenant_retention.domain.buckets import BucketUsage, ObservedBucket, WantedBucket
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.buckets import EndpointFacts, IdentityDriver

LIFECYCLE_RULE = "tenant-retention-abort-uploads"
_TAKEN = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


class S3BucketAdministration:
    """Buckets of one endpoint by the administrator's key, identities by ``driver``. Implements ``BucketAdministration``."""

    def __init__(self, connection: S3Connection, driver: IdentityDriver) -> None:
        self._connection = connection
        self._client = connection.client
        self._driver = driver

    def check(self) -> EndpointFacts:
        """One signed round trip. Raises Unavailable (ServerUnreachable) or Invalid (CertificateInvalid, AuthenticationFailed)."""
        began = time.monotonic()
        with store_errors("list buckets"):
            self._client.list_buckets()
        return EndpointFacts(timedelta(seconds=time.monotonic() - began))

    def observe(self, wanted: WantedBucket) -> ObservedBucket:
        """About seven requests for the bucket and five for each identity. Raises Unavailable or Invalid."""
        bucket = wanted.name
        with store_errors(f"observe bucket {bucket}"):
            if not self._exists(bucket):
                return ObservedBucket(exists=False, tags={}, identities=self._identities(wanted))
            tags = dict(self._client.get_bucket_tags(bucket) or {})
            if not is_on(wanted.marker, tags):
                # Not ours, or not yet: only what decides that is read, nothing of a foreign bucket's settings.
                empty = not list(islice(self._client.list_objects(bucket, recursive=True, include_version=True), 1))
                if tags or not empty:
                    return ObservedBucket(exists=True, tags=tags, empty=empty)
            else:
                empty = None
            lock, default = self._object_lock(bucket)
            days, foreign = self._lifecycle(bucket)
            return ObservedBucket(
                exists=True,
                tags=tags,
                empty=empty,
                versioning=self._client.get_bucket_versioning(bucket).status or "Off",
                object_lock=lock,
                default_retention=default,
                encryption=self._encryption(bucket),
                lifecycle_days=days,
                foreign_rules=foreign,
                policy=self._has_policy(bucket),
                identities=self._identities(wanted),
            )

    def apply(self, step: BucketStep) -> AccessKey | None:
        """Carries one step out. Raises Invalid (SettingNotKept), NotReady (Provisioning) or Unavailable."""
        if not isinstance(step, BucketSettingStep):
            return self._driver.apply(step)
        with store_errors(step.describe()):
            self._apply_setting(step)
        return None

    def usage(self, bucket: str, page_limit: int = 20) -> BucketUsage:
        """Counts by listing at most ``page_limit`` pages of 1,000 versions. Raises Unavailable or Invalid."""
        with store_errors(f"count bucket {bucket}"):
            return usage_of(self._client, bucket, page_limit)

    def buckets(self) -> tuple[str, ...]:
        """The names of all buckets that the administrator sees. Raises Unavailable or Invalid."""
        with store_errors("list buckets"):
            return tuple(bucket.name for bucket in self._client.list_buckets())

    def _apply_setting(self, step: BucketSettingStep) -> None:
        match step:
            case CreateBucket(bucket, object_lock):
                self._create(bucket, object_lock)
            case WriteMarker(bucket, named):
                tags = Tags.new_bucket_tags()
                tags.update(dict(named))
                self._client.set_bucket_tags(bucket, tags)
            case SetVersioning(bucket, enabled):
                self._client.set_bucket_versioning(bucket, VersioningConfig(ENABLED if enabled else SUSPENDED))
            case SetObjectLock(bucket):
                # Without mode and duration: lock is on, and there is no default retention.
                self._client.set_object_lock_config(bucket, ObjectLockConfig(None, None, None))
            case SetEncryption(bucket):
                self._client.set_bucket_encryption(bucket, SSEConfig(EncryptionRule.new_sse_s3_rule()))
            case SetLifecycle(bucket, days):
                self._set_lifecycle(bucket, days)
            case RemoveBucketPolicy(bucket):
                with _absent("NoSuchBucketPolicy"):
                    self._client.delete_bucket_policy(bucket)

    def _create(self, bucket: str, object_lock: bool) -> None:
        try:
            self._client.make_bucket(bucket, object_lock=object_lock)
        except S3Error as error:
            if error.code not in _TAKEN:
                raise
            # Ours after a lost reply, or somebody else's a moment ago: a fresh look tells, we never mark it unseen.
            raise NotReady(f"bucket {bucket} appeared meanwhile; looking again", reason="Provisioning") from None

    def _exists(self, bucket: str) -> bool:
        try:
            return bool(self._client.bucket_exists(bucket))
        except S3Error as error:
            if error.code in {"AccessDenied", "Forbidden"}:
                # A HEAD's answer has no body: a request that has one tells a wrong key from a foreign bucket.
                self._client.list_buckets()
                raise Invalid(
                    f"bucket {bucket} exists and belongs to somebody else, or the administrator may not look at it",
                    reason="StoreConflict",
                ) from None
            raise

    def _object_lock(self, bucket: str) -> tuple[bool, bool]:
        """Whether lock is on, and whether it has a default retention."""
        with _absent("ObjectLockConfigurationNotFoundError", "NotImplemented"):
            return True, self._client.get_object_lock_config(bucket).mode is not None
        return False, False

    def _encryption(self, bucket: str) -> str | None:
        with _absent("NotImplemented"):
            config = self._client.get_bucket_encryption(bucket)
            return config.rule.sse_algorithm if config else None
        return None

    def _lifecycle(self, bucket: str) -> tuple[int | None, int]:
        try:
            config = self._client.get_bucket_lifecycle(bucket)
        except ValueError:
            return None, 1  # Rules that the client cannot read are not ours.
        rules = list(config.rules) if config else []
        ours = [days for days in map(_long_stop_days, rules) if days is not None]
        return (ours[0] if len(ours) == 1 else None), len(rules) - len(ours)

    def _set_lifecycle(self, bucket: str, days: int | None) -> None:
        if days is None:
            self._client.delete_bucket_lifecycle(bucket)
            return
        abort = AbortIncompleteMultipartUpload(days_after_initiation=days)
        rule = LifecycleRule(
            ENABLED, rule_filter=Filter(prefix=""), rule_id=LIFECYCLE_RULE, abort_incomplete_multipart_upload=abort
        )
        self._client.set_bucket_lifecycle(bucket, LifecycleConfig([rule]))

    def _has_policy(self, bucket: str) -> bool:
        with _absent("NoSuchBucketPolicy", "NotImplemented"):
            return bool(self._client.get_bucket_policy(bucket))
        return False

    def _identities(self, wanted: WantedBucket) -> dict[BucketRole, ObservedIdentity]:
        if not wanted.identities():
            return {}
        names = [user_name(wanted.name, role) for role in BucketRole]
        return dict(zip(BucketRole, self._driver.observe(names), strict=True))


def _long_stop_days(rule: LifecycleRule) -> int | None:
    """The days of our own rule; None if this is any other rule, or ours with something added."""
    abort = rule.abort_incomplete_multipart_upload
    others = (
        rule.expiration,
        rule.noncurrent_version_expiration,
        rule.noncurrent_version_transition,
        rule.transition,
        rule.rule_filter.prefix if rule.rule_filter else None,
    )
    if rule.rule_id != LIFECYCLE_RULE or rule.status != ENABLED or abort is None or any(others):
        return None
    return abort.days_after_initiation


@contextmanager
def _absent(*codes: str) -> Iterator[None]:
    """Ends the block quietly on one of these codes, which say that a setting is not there."""
    try:
        yield
    except S3Error as error:
        if error.code not in codes:
            raise
