"""An object store in memory: buckets with versions and locks, users with policies and keys. The state behind the bucket fakes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from tenant_retention.domain.bucket_identities import AccessKey
from tenant_retention.domain.errors import Invalid, Unavailable


class Denied(Exception):
    """The store refuses a request; ``code`` as S3 says it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class FakeVersion:
    """One version or delete marker of a key; the newest is the last of its list."""

    version: str
    body: bytes
    modified: datetime
    delete_marker: bool = False
    retain_until: datetime | None = None


@dataclass
class FakeBucket:
    """One bucket's settings and content; ``uploads``: (key, initiated) of unfinished uploads."""

    tags: dict[str, str] = field(default_factory=dict)
    versioning: str = "Off"
    object_lock: bool = False
    default_retention: bool = False
    encryption: str | None = None
    lifecycle_days: int | None = None
    foreign_rules: int = 0
    policy: str | None = None
    objects: dict[str, list[FakeVersion]] = field(default_factory=dict)
    uploads: list[tuple[str, datetime]] = field(default_factory=list)

    def versions(self) -> Iterator[tuple[str, FakeVersion]]:
        """Everything, by key, newest first."""
        for key in sorted(self.objects):
            for version in reversed(self.objects[key]):
                yield key, version


@dataclass
class FakeUser:
    """One user: policies by name (JSON), managed policies, groups, secrets by key id."""

    policies: dict[str, str] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)


class FakeObjectStore:
    """The store. ``reachable`` False: every request fails as if the server were away."""

    def __init__(self) -> None:
        self.buckets: dict[str, FakeBucket] = {}
        self.users: dict[str, FakeUser] = {}
        self.reachable = True

    def answer(self) -> None:
        """Raises Unavailable if the store is away."""
        if not self.reachable:
            raise Unavailable("the store cannot be reached", reason="ServerUnreachable")

    def bucket(self, name: str) -> FakeBucket:
        """The bucket. Raises Unavailable if there is none."""
        self.answer()
        if name not in self.buckets:
            raise Unavailable(f"the bucket {name} does not exist", reason="Unavailable")
        return self.buckets[name]

    def issue(self, user: str) -> AccessKey:
        """A new key of a user that exists."""
        key = AccessKey("FAKE" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
        self.users[user].keys[key.key_id] = key.secret
        return key

    def knows(self, key: AccessKey) -> bool:
        """True if the key lives and its secret is right."""
        return any(user.keys.get(key.key_id) == key.secret for user in self.users.values())

    def authenticate(self, key: AccessKey) -> None:
        """Raises Invalid (AuthenticationFailed) for a key that is unknown or wrong."""
        self.answer()
        if not self.knows(key):
            raise Invalid("the store refuses the credentials (InvalidAccessKeyId)", reason="AuthenticationFailed")

    def require(self, key: AccessKey | None, action: str, bucket: str, object_key: str = "") -> FakeBucket:
        """The bucket, if the key's user may do this there. Raises Denied."""
        self.answer()
        if key is not None and not self.knows(key):
            raise Denied("InvalidAccessKeyId")
        if key is None or not self._allowed(key, action, bucket, object_key):
            raise Denied("AccessDenied")
        return self.bucket(bucket)

    def put(self, key: AccessKey, bucket: str, object_key: str, body: bytes) -> str:
        """Writes as a tenant; the new version's id."""
        target = self.require(key, "s3:PutObject", bucket, object_key)
        return self.write(target, object_key, body)

    def write(self, bucket: FakeBucket, object_key: str, body: bytes, *, delete_marker: bool = False) -> str:
        """Adds a version, or replaces the object where the bucket does not version."""
        versioned = bucket.versioning == "Enabled"
        version = FakeVersion(secrets.token_hex(16) if versioned else "null", body, datetime.now(UTC), delete_marker)
        kept = bucket.objects.get(object_key, []) if versioned else []
        bucket.objects[object_key] = [*kept, version]
        return version.version

    def get(self, key: AccessKey, bucket: str, object_key: str) -> bytes:
        """Reads the newest version as a tenant. Raises Denied (NoSuchKey) if there is none."""
        versions = self.require(key, "s3:GetObject", bucket, object_key).objects.get(object_key, [])
        if not versions or versions[-1].delete_marker:
            raise Denied("NoSuchKey")
        return versions[-1].body

    def delete(self, key: AccessKey, bucket: str, object_key: str, version: str | None) -> None:
        """Deletes one version, or puts a delete marker. A version that is not there is gone. Raises Denied."""
        action = "s3:DeleteObject" if version is None else "s3:DeleteObjectVersion"
        target = self.require(key, action, bucket, object_key)
        if version is None:
            self.write(target, object_key, b"", delete_marker=True)
            return
        for found in target.objects.get(object_key, []):
            if found.version == version and found.retain_until and found.retain_until > datetime.now(UTC):
                raise Denied("AccessDenied")
        left = [found for found in target.objects.get(object_key, []) if found.version != version]
        target.objects[object_key] = left
        if not left:
            del target.objects[object_key]

    def _allowed(self, key: AccessKey, action: str, bucket: str, object_key: str) -> bool:
        resource = f"arn:aws:s3:::{bucket}/{object_key}" if object_key else f"arn:aws:s3:::{bucket}"
        user = next(user for user in self.users.values() if key.key_id in user.keys)
        return any(
            statement["Effect"] == "Allow"
            and any(fnmatchcase(action, pattern) for pattern in statement["Action"])
            and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
            for document in user.policies.values()
            for statement in json.loads(document)["Statement"]
        )
