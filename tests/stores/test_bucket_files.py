"""Listing files by their last modification (M5): one contract on the fake, SeaweedFS and MinIO."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tenant_retention.domain.ports.enforcement import Claim
from tenant_retention.domain.ports.files import StoredFile
from tests.stores.object_stores import ObjectStore
from tests.stores.tenant_buckets import TenantBucket, a_tenant_bucket


@pytest.fixture
def bucket(object_store: ObjectStore) -> TenantBucket:
    return a_tenant_bucket(object_store)


def listed(bucket: TenantBucket, prefix: str, limit: int = 1000) -> list[StoredFile]:
    """All pages."""
    content, found, place = bucket.content(), list[StoredFile](), None
    while True:
        page = content.list_files(prefix, place, limit)
        assert page.store_clock is not None
        assert abs(page.store_clock - datetime.now(UTC)) < timedelta(minutes=1)
        found += page.files
        if page.goes_on_at is None:
            return found
        place = page.goes_on_at


def test_every_version_and_marker_below_the_prefix_is_listed_with_its_own_time__M5(bucket: TenantBucket) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    first, second = bucket.put("logs/api/1", b"old"), bucket.put("logs/api/1", b"new")
    bucket.put("logs/2", b"deleted")
    bucket.mark_deleted("logs/2")
    bucket.put("logs-more/3", b"beside")
    bucket.put("other/logs/4", b"elsewhere")
    found = listed(bucket, "logs/")
    assert sorted((each.key, each.delete_marker) for each in found) == [
        ("logs/2", False),
        ("logs/2", True),
        ("logs/api/1", False),
        ("logs/api/1", False),
    ]
    assert {each.version for each in found if each.key == "logs/api/1"} == {first, second}
    assert all(before <= each.modified <= datetime.now(UTC) + timedelta(seconds=2) for each in found)


def test_what_was_listed_can_be_deleted_by_its_version_and_nothing_else_goes__M5_T6(bucket: TenantBucket) -> None:
    for name in ("logs/1", "logs/1", "logs/2"):
        bucket.put(name, b"x")
    bucket.mark_deleted("logs/2")
    kept = bucket.put("logs-more/3", b"beside")
    claims = [
        Claim(claim_id=place, key=each.key, version=each.version) for place, each in enumerate(listed(bucket, "logs/"))
    ]
    assert [each.error for each in bucket.content().delete_objects(claims)] == [None] * 4
    assert listed(bucket, "logs/") == []
    assert bucket.versions() == {("logs-more/3", kept, False)}


def test_pages_of_any_size_show_everything_once__M5(bucket: TenantBucket) -> None:
    for number in range(23):
        bucket.put(f"logs/{number % 4}/{number}", b"x")
    whole = sorted((each.key, each.version or "") for each in listed(bucket, "logs/"))
    assert len(whole) == 23
    for limit in (1, 5, 22, 23):
        assert sorted((each.key, each.version or "") for each in listed(bucket, "logs/", limit)) == whole
