"""In-memory twins of the bucket ports over one ``FakeObjectStore``; the same contract tests run on them and on real servers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from tenant_retention.adapters.fakes.listed_objects import ListedObjects
from tenant_retention.adapters.fakes.object_store import Denied, FakeBucket, FakeObjectStore, FakeUser
from tenant_retention.domain.bucket_identities import (
    POLICY_NAME,
    AccessKey,
    BucketRole,
    ObservedIdentity,
    ObservedKey,
    canonical_policy,
    user_name,
)
from tenant_retention.domain.bucket_steps import (
    BucketSettingStep,
    BucketStep,
    CreateBucket,
    CreateUser,
    IssueKey,
    LeaveGroup,
    PutPolicy,
    RemoveBucketPolicy,
    RemoveKey,
    RemovePolicy,
    RemoveUser,
    SetEncryption,
    SetLifecycle,
    SetObjectLock,
    SetVersioning,
    WriteMarker,
)
from tenant_retention.domain.buckets import PROBE_PREFIX, BucketUsage, ObservedBucket, WantedBucket
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.object_keys import is_plain
from tenant_retention.domain.orphans import StoredObject
from tenant_retention.domain.ports.buckets import EndpointFacts
from tenant_retention.domain.ports.enforcement import Claim, LockOutcome, ObjectDeletion, ObjectLock

_UPLOAD_GRACE = timedelta(hours=24)
_PAGE = 1000


class FakeBucketAdministration:
    """Implements ``BucketAdministration``."""

    def __init__(self, store: FakeObjectStore) -> None:
        self._store = store

    def check(self) -> EndpointFacts:
        """Raises Unavailable if the store is away."""
        self._store.answer()
        return EndpointFacts(timedelta(milliseconds=1))

    def observe(self, wanted: WantedBucket) -> ObservedBucket:
        """Everything ``plan_bucket`` looks at."""
        self._store.answer()
        users = (
            {role: self._identity(user_name(wanted.name, role)) for role in BucketRole} if wanted.identities() else {}
        )
        bucket = self._store.buckets.get(wanted.name)
        if bucket is None:
            return ObservedBucket(exists=False, tags={}, identities=users)
        return ObservedBucket(
            exists=True,
            tags=dict(bucket.tags),
            empty=not bucket.objects,
            versioning=bucket.versioning,
            object_lock=bucket.object_lock,
            default_retention=bucket.default_retention,
            encryption=bucket.encryption,
            lifecycle_days=bucket.lifecycle_days,
            foreign_rules=bucket.foreign_rules,
            policy=bucket.policy is not None,
            identities=users,
        )

    def apply(self, step: BucketStep) -> AccessKey | None:
        """Carries one step out."""
        self._store.answer()
        if isinstance(step, BucketSettingStep):
            self._apply_setting(step)
            return None
        return self._apply_identity(step)

    def usage(self, bucket: str, page_limit: int = 20) -> BucketUsage:
        """Counts at most ``page_limit`` pages of 1,000 versions."""
        content = [(key, version) for key, version in self._store.bucket(bucket).versions()]
        counted = [
            (key, version)
            for key, version in content[: page_limit * _PAGE]
            if not version.delete_marker and not key.startswith(PROBE_PREFIX)
        ]
        current = [version for key, version in counted if self._store.bucket(bucket).objects[key][-1] is version]
        total = sum(len(version.body) for _, version in counted)
        return BucketUsage(len(current), len(counted), total, complete=len(content) <= page_limit * _PAGE)

    def _apply_setting(self, step: BucketSettingStep) -> None:
        if isinstance(step, CreateBucket):
            if step.bucket in self._store.buckets:
                raise NotReady(f"bucket {step.bucket} appeared meanwhile; looking again", reason="Provisioning")
            versioning = "Enabled" if step.object_lock else "Off"
            self._store.buckets[step.bucket] = FakeBucket(versioning=versioning, object_lock=step.object_lock)
            return
        bucket = self._store.bucket(step.bucket)
        match step:
            case WriteMarker(_, tags):
                bucket.tags = dict(tags)
            case SetVersioning(_, enabled):
                bucket.versioning = "Enabled" if enabled else "Suspended"
            case SetObjectLock():
                if not bucket.object_lock and bucket.versioning != "Enabled":
                    raise Invalid("the store refuses (InvalidBucketState)", reason="SettingNotKept")
                bucket.object_lock, bucket.default_retention = True, False
            case SetEncryption():
                bucket.encryption = "AES256"
            case SetLifecycle(_, days):
                bucket.lifecycle_days, bucket.foreign_rules = days, 0
            case RemoveBucketPolicy():
                bucket.policy = None

    def _apply_identity(self, step: BucketStep) -> AccessKey | None:
        users = self._store.users
        match step:
            case CreateUser(user):
                users.setdefault(user, FakeUser())
            case PutPolicy(user, policy):
                users[user].policies[POLICY_NAME] = policy
            case RemovePolicy(user, name, attached=True):
                users[user].attached.remove(name)
            case RemovePolicy(user, name):
                users[user].policies.pop(name, None)
            case LeaveGroup(user, group):
                users[user].groups.remove(group)
            case RemoveKey(user, key_id):
                users[user].keys.pop(key_id, None)
            case IssueKey(_, user):
                return self._store.issue(user)
            case RemoveUser(user):
                users.pop(user, None)
        return None

    def _identity(self, user: str) -> ObservedIdentity:
        known = self._store.users.get(user)
        if known is None:
            return ObservedIdentity(user)
        return ObservedIdentity(
            user=user,
            exists=True,
            policies=tuple((name, canonical_policy(document)) for name, document in known.policies.items()),
            attached=tuple(known.attached),
            groups=tuple(known.groups),
            keys=tuple(ObservedKey(key_id) for key_id in known.keys),
        )


class FakeContentBucket(ListedObjects):
    """Implements ``ContentBucket`` with one identity's key."""

    def __init__(self, store: FakeObjectStore, bucket: str, key: AccessKey) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        """Raises Unavailable if the store is away, Invalid if it refuses the key: then nothing was deleted."""
        if not claims:
            return ()
        self._store.authenticate(self._key)
        try:
            bucket = self._store.require(self._key, "s3:ListBucketMultipartUploads", self._bucket)
        except Denied as denied:
            raise Invalid(f"the identity lacks a privilege ({denied.code})", reason="PrivilegesMissing") from None
        keys = {claim.key for claim in claims}
        before = datetime.now(UTC) - _UPLOAD_GRACE
        outcomes = tuple(ObjectDeletion(claim_id=claim.claim_id, error=self._delete(claim)) for claim in claims)
        bucket.uploads = [(key, begun) for key, begun in bucket.uploads if key not in keys or begun > before]
        return outcomes

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        """Raises as ``delete_objects``."""
        self._store.authenticate(self._key)
        bucket = self._store.bucket(self._bucket)
        left = [(key, begun) for key, begun in bucket.uploads if begun > datetime.now(UTC) - older_than]
        aborted = len(bucket.uploads) - len(left)
        bucket.uploads = left
        return aborted

    def retain_objects(self, locks: Sequence[ObjectLock]) -> tuple[LockOutcome, ...]:
        """Raises as ``delete_objects``."""
        self._store.authenticate(self._key)
        return tuple(LockOutcome(lock_id=lock.lock_id, error=self._retain(lock)) for lock in locks)

    def _listed(self) -> Iterable[StoredObject]:
        self._store.authenticate(self._key)
        listed: list[StoredObject] = []
        for key, each in self._store.bucket(self._bucket).versions():
            newer = listed[-1].modified if listed and listed[-1].key == key else None
            listed.append(StoredObject(key, each.version, each.modified, each.delete_marker, newer))
        return listed

    def _retain(self, lock: ObjectLock) -> str | None:
        try:
            bucket = self._store.require(self._key, "s3:PutObjectRetention", self._bucket, lock.key)
        except Denied as denied:
            return denied.code
        named = [found for found in bucket.objects.get(lock.key, []) if lock.version in (None, found.version)]
        if named and not bucket.object_lock:
            return "InvalidRequest"
        for found in named:
            found.retain_until = max(lock.until, found.retain_until or lock.until)
        return None

    def _delete(self, claim: Claim) -> str | None:
        if not is_plain(claim.key):
            return "UnsupportedKey"
        versions = [claim.version]
        if claim.version is None:
            versions = [found.version for found in self._store.bucket(self._bucket).objects.get(claim.key, [])]
        errors = [self._delete_version(claim.key, version) for version in versions]
        return next((error for error in errors if error is not None), None)

    def _delete_version(self, key: str, version: str | None) -> str | None:
        try:
            self._store.delete(self._key, self._bucket, key, version)
        except Denied as denied:
            return denied.code
        return None
