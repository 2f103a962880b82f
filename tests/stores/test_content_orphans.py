"""Looking through a bucket for orphans: one contract on the fake, SeaweedFS and MinIO."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tenant_retention.domain.orphans import ObjectRow, StoredObject, find_orphans
from tests.stores.object_stores import ObjectStore
from tests.stores.tenant_buckets import TenantBucket, a_tenant_bucket
from tests.stores.test_content_hostile_keys import BAD_KEYS

KEYS = (
    "a/b",
    "a/c",
    "recordings/2024/01/+49 30 1234.wav",
    "umlaut/größe-日本語-🎧.mp3",
    "xml/<a&b>\"c\"'d'",
    "percent/%2F%00?versionId=x#y",
    "trailing space ",
    "control/line\rbreak\ttab",
)


@pytest.fixture
def bucket(object_store: ObjectStore) -> TenantBucket:
    return a_tenant_bucket(object_store)


def pages(bucket: TenantBucket, limit: int) -> list[tuple[str, str, bool]]:
    """Everything that a pass of so small pages sees, as ``TenantBucket.versions`` says it."""
    content, seen, place = bucket.content(), [], None
    for _ in range(100):
        page = content.list_objects(place, limit)
        assert len(page.objects) <= limit
        seen += [(each.key, each.version or "null", False) for each in page.objects]
        place = page.goes_on_at
        if place is None:
            return seen
    raise AssertionError("a pass comes to its end")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_page_by_page_every_version_is_seen_once_and_no_delete_marker(bucket: TenantBucket, limit: int) -> None:
    for key in KEYS:
        bucket.put(key, b"1")
    bucket.put(KEYS[0], b"2")
    bucket.mark_deleted(KEYS[1])
    assert sorted(pages(bucket, limit)) == sorted(each for each in bucket.versions() if not each[2])


def test_a_version_is_told_when_a_newer_one_or_a_marker_took_its_place__T6(bucket: TenantBucket) -> None:
    first, second = bucket.put("k", b"1"), bucket.put("k", b"2")
    bucket.put("k-1", b"x")
    page = bucket.content().list_objects(None, 10).objects
    told = {(each.key, each.version): each for each in page}
    assert told[("k", first)].replaced == told[("k", second)].modified
    assert [each.replaced for each in page if each.version != first] == [None, None]
    bucket.mark_deleted("k")
    replaced = {each.version: each.replaced for each in bucket.content().list_objects(None, 10).objects}
    assert replaced[first] == told[("k", second)].modified
    assert replaced[second] is not None


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_what_a_store_leaves_out_between_names_that_begin_alike_is_unseen_and_nothing_is_counted_twice(
    bucket: TenantBucket, limit: int
) -> None:
    """SeaweedFS 4.48 loses ``a-b`` beside ``a/``, and ``a/b`` beside ``a/b-c``, where a page ends between them."""
    for key in ("a-b", "a/b", "a/b-c", "a.b/1", "a"):
        bucket.put(key, b"1")
    seen = pages(bucket, limit)
    assert len(set(seen)) == len(seen)
    assert set(seen) <= bucket.versions()
    assert limit < 100 or set(seen) == bucket.versions()


def test_a_row_whose_object_version_is_not_there_is_told_and_no_other(bucket: TenantBucket) -> None:
    first, second = bucket.put("k", b"1"), bucket.put("k", b"2")
    other = bucket.put("k-1", b"x")
    bucket.put("kk/1", b"x")
    bucket.put("hidden", b"x")
    bucket.mark_deleted("hidden")
    odd = {key: bucket.put(key, b"x") for key in KEYS}
    there = [ObjectRow("k", first), ObjectRow("k", second), ObjectRow("k", None), ObjectRow("k-1", other)]
    there += [ObjectRow("hidden", None), *(ObjectRow(key, version) for key, version in odd.items())]
    gone = [ObjectRow("k", other), ObjectRow("kk", None), ObjectRow("k-2", None), ObjectRow("", None)]
    assert set(bucket.content().missing_objects([*there, *gone[:3]])) == set(gone[:3])
    assert bucket.content().missing_objects([]) == ()


def test_no_row_s_object_is_called_missing_because_a_listing_lost_its_name(
    bucket: TenantBucket, request: pytest.FixtureRequest
) -> None:
    """SeaweedFS 4.48 does where a page of a thousand ends among ``a/b-0000``, ``a/b-0001`` and so on."""
    with ThreadPoolExecutor(8) as threads:
        crowd = dict(threads.map(lambda name: (name, bucket.put(name, b"x")), (f"a/b-{n:04}" for n in range(1_001))))
    kind = request.node.callspec.params["object_store"]
    # MinIO keeps no object below another one's name.
    lost = {name: bucket.put(name, b"x") for name in ("a/b", "a/b/1") if kind != "minio_server" or name == "a/b"}
    rows = [ObjectRow(name, version) for name in lost for version in (lost[name], None)]
    rows += [ObjectRow("a/b-0007", crowd["a/b-0007"]), ObjectRow("a/b-0008", None)]
    gone = [ObjectRow(name, crowd["a/b-0007"]) for name in (*lost, "a/b-00")] + [ObjectRow("a/c", None)]
    listed = [StoredObject(key, version, None, marker) for key, version, marker in bucket.versions()]
    hole = lost.keys() if kind == "seaweedfs" else set()
    assert lost.keys() - {each.key for each in listed} == hole, "the listing loses what it did"
    missing = bucket.content().missing_objects
    report = find_orphans(listed, [*rows, *gone], datetime.now(UTC), unnamed=tuple, missing=missing)
    assert set(report.row_sample) == set(missing([*rows, *gone])) == set(gone)


def test_looking_changes_nothing(bucket: TenantBucket) -> None:
    bucket.put("k", b"1")
    before = bucket.versions()
    bucket.content().list_objects(None, 10)
    bucket.content().missing_objects([ObjectRow("k", None), ObjectRow("gone", None)])
    assert bucket.versions() == before


def test_no_key_that_a_row_may_hold_ends_the_look_for_the_others(bucket: TenantBucket) -> None:
    bucket.put("there", b"x")
    bucket.put("audio/1", b"x")
    hostile = [ObjectRow(key, "v") for key in (*BAD_KEYS, "nul\\u0000", "\x01", "\x7f", "../other/k") if key]
    answer = bucket.content().missing_objects([*hostile, ObjectRow("there", None), ObjectRow("gone", None)])
    assert ObjectRow("gone", None) in answer
    assert ObjectRow("there", None) not in answer
