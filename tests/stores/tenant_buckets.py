"""A tenant's bucket with working keys, for tests that start where provisioning ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from tenant_retention.adapters.s3.provisioning import provision_bucket
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole
from tenant_retention.domain.buckets import want_bucket
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.enforcement import ContentBucket
from tests.stores.object_stores import ObjectStore


@dataclass(frozen=True)
class TenantBucket:
    """The bucket ``name`` at ``store``, with a key for every role."""

    store: ObjectStore
    name: str
    keys: Mapping[BucketRole, AccessKey]

    def content(self) -> ContentBucket:
        """As the enforcer sees it."""
        return self.store.content(self.name, self.keys[BucketRole.ENFORCER])

    def put(self, key: str, body: bytes) -> str:
        """The application writes; the new version's id."""
        version = self.store.put(self.keys[BucketRole.APP], self.name, key, body)
        assert not version.startswith("!"), version
        return version

    def mark_deleted(self, key: str) -> None:
        """Puts a delete marker on a key, as the enforcer may."""
        assert self.store.delete(self.keys[BucketRole.ENFORCER], self.name, key, None) == "allowed"

    def versions(self) -> set[tuple[str, str, bool]]:
        """Key, version and whether it is a delete marker, of everything there."""
        return self.store.versions(self.name)


def a_tenant_bucket(store: ObjectStore, *, object_lock: bool = False) -> TenantBucket:
    """A new bucket whose keys are known to the store."""
    identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Content")
    wanted = want_bucket(identity, str(uuid4()), store.iam, object_lock=object_lock)
    done = provision_bucket(store.administration, wanted, {}, in_ledger=True)
    assert done.error is None, done.error
    assert store.probe.verify_access(wanted.name, done.issued).breaches == ()
    return TenantBucket(store, wanted.name, done.issued)
