"""Deleting and locking what a listing loses: one contract on the fake, SeaweedFS and MinIO."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tenant_retention.domain.ports.enforcement import Claim, LockOutcome, ObjectDeletion, ObjectLock
from tests.stores.object_stores import ObjectStore
from tests.stores.tenant_buckets import TenantBucket, a_tenant_bucket

LOST = "a/b"
"""SeaweedFS 4.48 leaves it out where a page of a thousand ends among these."""
CROWD = [f"a/b-{number:04}" for number in range(1_001)]


@pytest.fixture
def bucket(object_store: ObjectStore) -> TenantBucket:
    """Locks objects; holds the crowd, and twice the name that gets lost in it."""
    made = a_tenant_bucket(object_store, object_lock=True)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: made.put(key, b"x"), CROWD))
    for body in (b"1", b"2"):
        made.put(LOST, body)
    return made


def test_a_row_without_a_version_deletes_or_locks_an_object_although_the_listing_loses_its_name__M8_M10(
    bucket: TenantBucket,
) -> None:
    content = bucket.content()
    until = datetime.now(UTC) + timedelta(days=1)
    claims = [Claim(claim_id=number, key=key, version=None) for number, key in enumerate((LOST, *CROWD[:2]))]
    assert content.delete_objects(claims) == tuple(
        ObjectDeletion(claim_id=claim.claim_id, error=None) for claim in claims
    )
    assert {key for key, _, _ in bucket.versions()} == set(CROWD[2:])
    bucket.put(LOST, b"young")
    lock = ObjectLock(lock_id=1, key=LOST, version=None, until=until)
    assert content.retain_objects([lock]) == (LockOutcome(lock_id=1, error=None),)
    assert content.delete_objects(claims[:1])[0].error is not None
    assert content.delete_objects(claims[:1])[0].error is not None, "nor does it hide behind a delete marker"
