"""Buckets: what is wanted, what is there, and the steps between (PROVISIONING.md section 3). Pure; acting is an adapter's work.

A bucket is ours by its marker. One that exists without it is never touched (``StoreConflict``), with one exception: it
is empty, untagged and named in a ledger entry that was written before, which is what a crash between creating and
marking leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.bucket_identities import (
    NO_KEYS,
    POLICY_NAME,
    BucketRole,
    HeldKeys,
    Iam,
    ObservedIdentity,
    WantedIdentity,
    wanted_identity,
)
from tenant_retention.domain.bucket_marker import (
    bearer_of,
    is_on,
    marker_tags,
    names_the_store_of,
    tags_of,
)
from tenant_retention.domain.bucket_steps import (
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
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import Invalid, StoreReleased
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.store_marker import StoreMarker

ABORT_UPLOADS_AFTER_DAYS = 7
"""Long-stop for unfinished multipart uploads; every run aborts those of the keys it deletes."""
ROLES_OF_BACKUPS = (BucketRole.APP, BucketRole.ENFORCER)
"""The identities of a bucket of backups; an archive's has these and a reader."""
WRITTEN_BY_JOBS = frozenset({BACKUPS, ARCHIVE})
"""Purposes of the buckets that no application writes into: the key of its role is the Job's."""
PROBE_PREFIX = ".tenant-retention-probe-"
"""How the keys begin that a probe writes and removes; never a tenant's data. No slash: SeaweedFS keeps an empty folder."""


@dataclass(frozen=True)
class S3Endpoint:
    """Where an S3 API answers. ``url``: https, no path. ``ca``: PEM certificates to believe, None: the system's list."""

    url: str
    region: str
    ca: str | None = None


@dataclass(frozen=True)
class WantedBucket:
    """One bucket as it must be. ``iam`` STATIC: identities and the bucket policy are the platform's business.

    ``abort_uploads_after_days`` None: no lifecycle rule (MinIO refuses the rule and does this by itself).
    ``confirmed_uids``: UIDs of the namespace and policy of before that an administrator confirmed (``spec.claimRef``).
    """

    name: str
    marker: StoreMarker
    iam: Iam
    object_lock: bool = False
    versioning: bool = True
    abort_uploads_after_days: int | None = ABORT_UPLOADS_AFTER_DAYS
    roles: tuple[BucketRole, ...] = tuple(BucketRole)
    confirmed_uids: frozenset[str] = frozenset()

    def identities(self) -> tuple[WantedIdentity, ...]:
        """The users to be there; none where the platform hands identities out."""
        if self.iam is Iam.STATIC:
            return ()
        return tuple(wanted_identity(self.name, role) for role in self.roles)


@dataclass(frozen=True)
class ObservedBucket:
    """What is there. ``empty`` is None where nobody needed to know; ``encryption``: algorithm of the default, None if none.

    ``lifecycle_days``: days of our own long-stop rule, None if it is not there; ``foreign_rules``: every other rule.
    """

    exists: bool
    tags: Mapping[str, str]
    empty: bool | None = None
    versioning: str = "Off"
    object_lock: bool = False
    default_retention: bool = False
    encryption: str | None = None
    lifecycle_days: int | None = None
    foreign_rules: int = 0
    policy: bool = False
    identities: Mapping[BucketRole, ObservedIdentity] | None = None


@dataclass(frozen=True)
class BucketUsage:
    """Counted by listing. ``complete`` False: there are more; counting stopped at its page limit."""

    objects: int
    versions: int
    total_bytes: int
    complete: bool


def want_bucket(
    identity: StoreIdentity,
    namespace_uid: str,
    iam: Iam,
    *,
    object_lock: bool,
    policy_uid: str = "",
    versioning: bool = True,
    confirmed_uids: frozenset[str] = frozenset(),
) -> WantedBucket:
    """The bucket of a store. ``object_lock``: whether a category in it has a min (RETENTION.md section 3).

    Backups and files of an archive are written once, under names of their own: a version that outlives its deletion would
    only be one more copy. Who makes them writes and reads, who removes them lists and deletes; nobody else may do either.
    """
    return WantedBucket(
        name=identity.bucket(),
        marker=StoreMarker.of(identity, namespace_uid, policy_uid),
        iam=iam,
        object_lock=object_lock,
        versioning=(versioning and identity.purpose not in WRITTEN_BY_JOBS) or object_lock,
        roles=ROLES_OF_BACKUPS if identity.purpose == BACKUPS else tuple(BucketRole),
        abort_uploads_after_days=None if iam is Iam.MINIO else ABORT_UPLOADS_AFTER_DAYS,
        confirmed_uids=confirmed_uids,
    )


def plan_bucket(
    wanted: WantedBucket,
    observed: ObservedBucket,
    held: Mapping[BucketRole, HeldKeys],
    *,
    in_ledger: bool,
) -> tuple[BucketStep, ...]:
    """The steps from what is there to what is wanted; empty when nothing is to be done.

    ``held``: the keys that binding Secrets hold, by role; ``in_ledger``: the store's ledger entry was written before.
    Raises Invalid (StoreConflict, StoreReleased) if the bucket is not ours: then nothing is touched.
    """
    return (
        *_ownership(wanted, observed, in_ledger),
        *_settings(wanted, observed),
        *_identities(wanted, observed, held),
    )


def _ownership(wanted: WantedBucket, observed: ObservedBucket, in_ledger: bool) -> tuple[BucketStep, ...]:
    mark = WriteMarker(wanted.name, tuple(sorted({**observed.tags, **tags_of(wanted.marker)}.items())))
    if not observed.exists:
        return CreateBucket(wanted.name, wanted.object_lock), replace(
            mark, tags=tuple(sorted(tags_of(wanted.marker).items()))
        )
    if is_on(wanted.marker, observed.tags):
        return ()
    if names_the_store_of(wanted.marker, observed.tags):
        before = bearer_of(observed.tags)
        if not before.is_of_before(wanted.marker.bearer(), wanted.confirmed_uids):
            return (mark,)
        raise StoreReleased(
            f"bucket {wanted.name} belongs to an earlier policy or namespace of this name; an administrator binds it again "
            "by spec.claimRef",
            before.namespace_uid,
            before.policy_uid,
        )
    if in_ledger and observed.empty and not observed.tags:
        return (mark,)
    why = "another store's marker" if marker_tags(observed.tags) else "no marker of this installation"
    raise Invalid(
        f"bucket {wanted.name} exists with {why}, so it is not touched; remove it, or choose another class or policy name",
        reason="StoreConflict",
    )


def _settings(wanted: WantedBucket, observed: ObservedBucket) -> tuple[BucketStep, ...]:
    steps: list[BucketStep] = []
    has_lock = observed.object_lock or (not observed.exists and wanted.object_lock)
    versioning = "Enabled" if has_lock and not observed.exists else observed.versioning
    # Lock needs versioning, so versioning comes first, and is never suspended under a lock.
    if wanted.versioning and versioning != "Enabled":
        steps.append(SetVersioning(wanted.name, enabled=True))
    if not wanted.versioning and not has_lock and versioning == "Enabled":
        steps.append(SetVersioning(wanted.name, enabled=False))
    if wanted.object_lock and not has_lock:
        steps.append(SetObjectLock(wanted.name))
    if observed.default_retention:
        steps.append(SetObjectLock(wanted.name, drop_default=True))
    if observed.encryption is None:
        steps.append(SetEncryption(wanted.name))
    if observed.lifecycle_days != wanted.abort_uploads_after_days or observed.foreign_rules:
        steps.append(SetLifecycle(wanted.name, wanted.abort_uploads_after_days, observed.foreign_rules))
    if observed.policy and wanted.iam is not Iam.STATIC:
        steps.append(RemoveBucketPolicy(wanted.name))
    return tuple(steps)


def _identities(
    wanted: WantedBucket, observed: ObservedBucket, held: Mapping[BucketRole, HeldKeys]
) -> tuple[BucketStep, ...]:
    if wanted.iam is Iam.STATIC:
        return ()
    there = observed.identities or {}
    steps: list[BucketStep] = []
    for identity in wanted.identities():
        known = there.get(identity.role, ObservedIdentity(identity.user))
        steps += _identity(identity, known, held.get(identity.role, NO_KEYS))
    surplus = [there[role] for role in BucketRole if role not in wanted.roles and role in there]
    steps += [RemoveUser(identity.user) for identity in surplus if identity.exists]
    return tuple(steps)


def _identity(wanted: WantedIdentity, observed: ObservedIdentity, held: HeldKeys) -> list[BucketStep]:
    steps: list[BucketStep] = [] if observed.exists else [CreateUser(wanted.user)]
    # Rights are put right before a key is issued, and surplus keys go first: AWS allows two keys a user.
    steps += [RemovePolicy(wanted.user, name, attached=True) for name in observed.attached]
    steps += [LeaveGroup(wanted.user, group) for group in observed.groups]
    steps += [RemovePolicy(wanted.user, name) for name, _ in observed.policies if name != POLICY_NAME]
    if dict(observed.policies).get(POLICY_NAME) != wanted.policy:
        steps.append(PutPolicy(wanted.user, wanted.policy))
    living = {key.key_id for key in observed.keys if key.active}
    keep = held.ids() & living
    steps += [RemoveKey(wanted.user, key.key_id) for key in observed.keys if key.key_id not in keep]
    if held.rotate or held.current not in living:
        steps.append(IssueKey(wanted.role, wanted.user))
    return steps
