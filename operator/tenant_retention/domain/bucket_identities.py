"""Who may do what in one bucket: a user per role, one policy for that bucket alone, and keys that rotate with overlap.

App: put, get, list; no deletion of any kind. Reader: get and list. Enforcer: list, get, delete objects and versions, set
retain-until and see whether the bucket locks; never the bypass of a retention lock (RETENTION.md section 3). The action
names are those that AWS, SeaweedFS, Ceph and MinIO all accept (CLUSTER.md section 6): ``s3:List*`` stands for the
multipart listing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import bounded

USER_NAME_LIMIT = 64
"""Characters of an IAM user's name at AWS."""
POLICY_NAME = "tenant-retention"
"""Name of the one inline policy of every user that we make."""


class Iam(StrEnum):
    """How identities are made. AWS: the dialect of AWS, SeaweedFS and Ceph; STATIC: the platform hands them out."""

    AWS = "AWS"
    MINIO = "MinIO"
    STATIC = "Static"


class BucketRole(StrEnum):
    """The identities of a bucket."""

    APP = "app"
    READER = "reader"
    ENFORCER = "enforcer"


@dataclass(frozen=True)
class AccessKey:
    """An S3 credential. The secret appears in no ``repr``."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class HeldKeys:
    """The key ids that are in use for one role: the one of the binding Secret, and older ones still in their overlap.

    Every other key of the user is surplus (a lost reply, a hand-made key) and is removed. ``current`` None: issue one;
    ``rotate``: issue a new one although ``current`` works, and keep ``current`` until it is no longer held.
    """

    current: str | None = None
    overlapping: tuple[str, ...] = ()
    rotate: bool = False

    def ids(self) -> frozenset[str]:
        """All key ids that must live on."""
        return frozenset(self.overlapping) | ({self.current} if self.current else frozenset())


NO_KEYS = HeldKeys()


@dataclass(frozen=True)
class WantedIdentity:
    """One user and its policy (canonical JSON)."""

    role: BucketRole
    user: str
    policy: str


@dataclass(frozen=True)
class ObservedKey:
    """A key that exists at the store; an inactive one is as good as none."""

    key_id: str
    active: bool = True


@dataclass(frozen=True)
class ObservedIdentity:
    """What exists of a user. ``policies``: (name, canonical JSON); ``attached``: managed policies; ``groups``: memberships."""

    user: str
    exists: bool = False
    policies: tuple[tuple[str, str], ...] = ()
    attached: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    keys: tuple[ObservedKey, ...] = ()


_BUCKET_ACTIONS = {
    BucketRole.APP: ("s3:ListBucket", "s3:GetBucketLocation"),
    BucketRole.READER: ("s3:ListBucket", "s3:GetBucketLocation"),
    BucketRole.ENFORCER: ("s3:List*", "s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration"),
}
_OBJECT_ACTIONS = {
    BucketRole.APP: ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:AbortMultipartUpload"),
    BucketRole.READER: ("s3:GetObject", "s3:GetObjectVersion"),
    BucketRole.ENFORCER: (
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
        "s3:GetObjectRetention",
        "s3:PutObjectRetention",
    ),
}


def user_name(bucket: str, role: BucketRole) -> str:
    """The user of one role: unique because the bucket's name is, at most 64 characters."""
    return bounded(f"{bucket}-{role}", USER_NAME_LIMIT)


def wanted_identity(bucket: str, role: BucketRole) -> WantedIdentity:
    """The user of ``role`` with its policy for ``bucket`` alone."""
    return WantedIdentity(role, user_name(bucket, role), policy_document(bucket, role))


def policy_document(bucket: str, role: BucketRole) -> str:
    """The inline policy of ``role`` as canonical JSON."""
    return canonical_policy(
        {
            "Version": "2012-10-17",
            "Statement": [
                _allow(_BUCKET_ACTIONS[role], f"arn:aws:s3:::{bucket}"),
                _allow(_OBJECT_ACTIONS[role], f"arn:aws:s3:::{bucket}/*"),
            ],
        }
    )


def canonical_policy(document: str | Mapping[str, Any]) -> str:
    """One spelling for policies that mean the same: stores reorder, unwrap one-element lists and add ids.

    Raises Invalid for text that is no policy document.
    """
    parsed = _parse(document) if isinstance(document, str) else document
    statements = parsed.get("Statement", ())
    spelled = [_canonical_statement(statement) for statement in _listed(statements)]
    ordered = sorted(spelled, key=lambda statement: json.dumps(statement, sort_keys=True))
    return json.dumps({"Version": parsed.get("Version"), "Statement": ordered}, sort_keys=True, separators=(",", ":"))


def _parse(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise Invalid("the store returned a policy that is not JSON", reason="SettingNotKept") from error
    if not isinstance(parsed, dict):
        raise Invalid("the store returned a policy that is no JSON object", reason="SettingNotKept")
    return parsed


def _canonical_statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in statement.items() if name != "Sid" and value not in (None, {}, [])}
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        if name in kept:
            kept[name] = sorted(set(_listed(kept[name])))
    return kept


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _allow(actions: tuple[str, ...], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": [resource]}
