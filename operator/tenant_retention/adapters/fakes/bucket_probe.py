"""In-memory twin of the bucket probe: what each role may do, asked of the store's own policies."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from tenant_retention.adapters.fakes.object_store import Denied, FakeObjectStore
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole
from tenant_retention.domain.buckets import PROBE_PREFIX
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.buckets import AccessReport, Breach


class FakeBucketProbe:
    """Implements ``BucketProbe``: asks the store's own policies instead of sending requests."""

    def __init__(self, store: FakeObjectStore) -> None:
        self._store = store

    def verify_access(self, bucket: str, keys: Mapping[BucketRole, AccessKey]) -> AccessReport:
        """Raises NotReady (NotYetVerified) for a key that is not known, Invalid (PrivilegesMissing) for one that cannot work."""
        tried, breaches = 0, []
        for role, key in keys.items():
            if not self._store.knows(key):
                raise NotReady(f"the {role} key of bucket {bucket} is refused", reason="NotYetVerified")
            for action in _NEEDED[role]:
                tried += 1
                if not self._may(key, action, bucket):
                    raise Invalid(f"the {role} key lacks a privilege in bucket {bucket}", reason="PrivilegesMissing")
            for action, what in _FORBIDDEN[role]:
                tried += 1
                if self._may(key, action, bucket):
                    breaches.append(Breach(f"the {role} key was allowed to {what} in bucket {bucket}"))
        return AccessReport(tried, tuple(breaches))

    def verify_isolation(self, keys: Mapping[BucketRole, AccessKey], foreign_buckets: tuple[str, ...]) -> AccessReport:
        """Every key in every foreign bucket."""
        tried, breaches = 0, []
        for role, key in keys.items():
            for bucket in foreign_buckets:
                for action, what in _EVERYTHING:
                    tried += 1
                    if self._may(key, action, bucket):
                        breaches.append(Breach(f"the {role} key was allowed to {what} in bucket {bucket}"))
        public = [bucket for bucket in foreign_buckets if self._store.bucket(bucket).policy is not None]
        breaches += [Breach(f"an unsigned request was allowed to read in bucket {bucket}") for bucket in public]
        return AccessReport(tried + len(foreign_buckets), tuple(breaches))

    def is_dead(self, key: AccessKey, bucket: str) -> bool:
        """True if the store no longer knows the key."""
        self._store.answer()
        return not self._store.knows(key)

    def _may(self, key: AccessKey, action: str, bucket: str) -> bool:
        object_key = "" if "Bucket" in action or "Configuration" in action else PROBE_PREFIX + secrets.token_hex(4)
        try:
            self._store.require(key, action, bucket, object_key)
        except Denied:
            return False
        return True


_NEEDED: Mapping[BucketRole, tuple[str, ...]] = {
    BucketRole.APP: ("s3:ListBucket", "s3:PutObject", "s3:GetObject"),
    BucketRole.READER: ("s3:ListBucket", "s3:GetObject"),
    BucketRole.ENFORCER: ("s3:ListBucket", "s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion"),
}
_DELETE = (("s3:DeleteObject", "delete"), ("s3:DeleteObjectVersion", "delete versions"))
_WRITE = (("s3:PutObject", "write"),)
_CONFIGURE = (
    ("s3:PutBucketVersioning", "change the versioning setting"),
    ("s3:PutLifecycleConfiguration", "change the lifecycle setting"),
    ("s3:PutBucketPolicy", "change the policy setting"),
)
_FORBIDDEN: Mapping[BucketRole, tuple[tuple[str, str], ...]] = {
    BucketRole.APP: (*_DELETE, *_CONFIGURE),
    BucketRole.READER: (*_WRITE, *_DELETE, *_CONFIGURE),
    BucketRole.ENFORCER: (*_WRITE, *_CONFIGURE),
}
_EVERYTHING = (
    ("s3:ListBucket", "list"),
    ("s3:ListBucketVersions", "list versions"),
    ("s3:GetObject", "read"),
    *_WRITE,
    *_DELETE,
    *_CONFIGURE,
)
