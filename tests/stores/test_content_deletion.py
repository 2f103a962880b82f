"""Deleting content as the enforcer does it at night: one contract on the fake, SeaweedFS and MinIO."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tenant_retention.adapters.s3.connection import Patience, S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.adapters.s3.listing import stored_objects
from tenant_retention.adapters.s3.uploads import unfinished_uploads
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole
from tenant_retention.domain.buckets import S3Endpoint
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.orphans import ObjectRow, OrphanReport, find_orphans
from tenant_retention.domain.ports.enforcement import Claim, ObjectLock
from tests.stores.object_stores import FakeStoreBench, ObjectStore, RealObjectStore
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_buckets import TenantBucket, a_tenant_bucket

AWKWARD_KEYS = (
    "recordings/2024/01/+49 30 1234.wav",
    "umlaut/größe-日本語-🎧.mp3",
    "xml/<a&b>\"c\"'d'",
    "percent/%2F%00?versionId=x#y",
    "trailing space ",
    "control/line\rbreak\ttab",
    "k",
    "k-1",
)


@pytest.fixture
def bucket(object_store: ObjectStore) -> TenantBucket:
    return a_tenant_bucket(object_store)


def outcomes(bucket: TenantBucket, *claims: tuple[str, str | None]) -> list[str | None]:
    """Errors in the order of the claims, None for what is gone."""
    numbered = [Claim(claim_id=number, key=key, version=version) for number, (key, version) in enumerate(claims)]
    done = bucket.content().delete_objects(numbered)
    assert [deletion.claim_id for deletion in done] == list(range(len(claims)))
    return [deletion.error for deletion in done]


def test_the_named_version_goes_and_everything_else_stays(bucket: TenantBucket) -> None:
    first, second = bucket.put("recordings/1", b"old"), bucket.put("recordings/1", b"new")
    other = bucket.put("recordings/2", b"other")
    assert outcomes(bucket, ("recordings/1", first)) == [None]
    assert bucket.versions() == {("recordings/1", second, False), ("recordings/2", other, False)}


def test_where_no_version_is_named_every_version_and_delete_marker_of_exactly_that_key_goes(
    bucket: TenantBucket,
) -> None:
    for body in (b"1", b"2", b"3"):
        bucket.put("k", body)
    bucket.mark_deleted("k")
    neighbours = {(key, bucket.put(key, b"x"), False) for key in ("k-1", "k1", "kk")}
    assert outcomes(bucket, ("k", None)) == [None]
    assert bucket.versions() == neighbours


def test_an_object_that_is_gone_already_counts_as_gone_so_that_a_lost_reply_can_be_repeated(
    bucket: TenantBucket,
) -> None:
    version = bucket.put("recordings/1", b"x")
    for _ in range(2):
        assert outcomes(bucket, ("recordings/1", version), ("recordings/never", None)) == [None, None]
    assert bucket.versions() == set()


def test_a_locked_object_is_said_to_be_refused_and_the_others_of_its_batch_go__M8(object_store: ObjectStore) -> None:
    bucket = a_tenant_bucket(object_store, object_lock=True)
    locked, free = bucket.put("recordings/locked", b"x"), bucket.put("recordings/free", b"x")
    object_store.lock(bucket.name, "recordings/locked", locked)
    refused, gone, whole = outcomes(
        bucket, ("recordings/locked", locked), ("recordings/free", free), ("recordings/locked", None)
    )
    assert (refused, gone, whole) == (refused, None, refused)
    assert refused in {"AccessDenied", "ObjectLocked", "InvalidRequest"}
    assert bucket.versions() == {("recordings/locked", locked, False)}


def retain(bucket: TenantBucket, *names: tuple[str, str | None], days: int = 30) -> list[str | None]:
    """Locks objects for so many days; errors in that order, None for what is locked or gone."""
    until = datetime.now(UTC) + timedelta(days=days)
    locks = [
        ObjectLock(lock_id=number, key=key, version=version, until=until) for number, (key, version) in enumerate(names)
    ]
    done = bucket.content().retain_objects(locks)
    assert [outcome.lock_id for outcome in done] == list(range(len(names)))
    return [outcome.error for outcome in done]


def test_an_object_below_its_min_is_deleted_neither_by_the_application_nor_by_the_enforcer__M8(
    object_store: ObjectStore,
) -> None:
    bucket = a_tenant_bucket(object_store, object_lock=True)
    young, free = bucket.put("recordings/young", b"x"), bucket.put("recordings/free", b"x")
    assert retain(bucket, ("recordings/young", young), ("recordings/gone", "0" * 32)) == [None, None]
    assert retain(bucket, ("recordings/young", young)) == [None], "a lost reply makes it come twice"
    for role in (BucketRole.APP, BucketRole.ENFORCER):
        refused = object_store.delete(bucket.keys[role], bucket.name, "recordings/young", young)
        assert refused in {"AccessDenied", "ObjectLocked", "InvalidRequest"}, role
    held_back, gone = outcomes(bucket, ("recordings/young", young), ("recordings/free", free))
    assert held_back is not None
    assert gone is None
    assert bucket.versions() == {("recordings/young", young, False)}


def test_where_no_version_is_named_every_version_is_locked__M8(object_store: ObjectStore) -> None:
    bucket = a_tenant_bucket(object_store, object_lock=True)
    versions = {(key, bucket.put(key, body), False) for key in ("k", "k-1") for body in (b"1", b"2")}
    assert retain(bucket, ("k", None)) == [None]
    bucket.mark_deleted("k")
    assert retain(bucket, ("k", None)) == [None], "a delete marker cannot be locked, and hides nothing"
    outcomes(bucket, *[(key, version) for key, version, _ in versions])
    assert {(key, version) for key, version, marker in bucket.versions() if not marker} == {
        (key, version) for key, version, _ in versions if key == "k"
    }


def test_a_bucket_without_object_lock_says_so_for_every_object(bucket: TenantBucket) -> None:
    version = bucket.put("recordings/1", b"x")
    (error,) = retain(bucket, ("recordings/1", version))
    assert error is not None


def test_keys_with_any_character_are_deleted_and_nothing_else_is(bucket: TenantBucket) -> None:
    named = [(key, bucket.put(key, b"x")) for key in AWKWARD_KEYS]
    untouched = {(key + "-stays", bucket.put(key + "-stays", b"x"), False) for key in AWKWARD_KEYS}
    assert outcomes(bucket, *named) == [None] * len(AWKWARD_KEYS)
    assert bucket.versions() == untouched


def test_several_batches_at_once_delete_exactly_what_is_claimed(bucket: TenantBucket) -> None:
    named = [(f"recordings/{number}", bucket.put(f"recordings/{number}", b"x")) for number in range(260)]
    assert outcomes(bucket, *named[:250]) == [None] * 250
    assert {key for key, _, _ in bucket.versions()} == {key for key, _ in named[250:]}


def test_two_claims_on_the_same_version_are_both_answered(bucket: TenantBucket) -> None:
    version = bucket.put("recordings/1", b"x")
    assert outcomes(bucket, ("recordings/1", version), ("recordings/1", version)) == [None, None]


def test_no_claims_ask_nothing_of_the_store(bucket: TenantBucket) -> None:
    assert bucket.content().delete_objects(()) == ()


def test_an_ended_enforcer_key_deletes_nothing_and_says_why(bucket: TenantBucket) -> None:
    version = bucket.put("recordings/1", b"x")
    wrong = bucket.store.content(bucket.name, AccessKey(bucket.keys[BucketRole.ENFORCER].key_id, "x" * 40))
    with pytest.raises(Invalid) as refused:
        wrong.delete_objects([Claim(claim_id=1, key="recordings/1", version=version)])
    assert refused.value.reason == "AuthenticationFailed"
    assert bucket.versions() == {("recordings/1", version, False)}


def test_the_app_key_in_place_of_the_enforcers_deletes_nothing(bucket: TenantBucket) -> None:
    version = bucket.put("recordings/1", b"x")
    app = bucket.store.content(bucket.name, bucket.keys[BucketRole.APP])
    with pytest.raises(Invalid) as refused:
        app.delete_objects([Claim(claim_id=1, key="recordings/1", version=version)])
    assert refused.value.reason == "PrivilegesMissing"
    assert bucket.versions() == {("recordings/1", version, False)}


def test_a_store_that_is_away_is_unavailable_and_nothing_counts_as_gone() -> None:
    bench = FakeStoreBench()
    bucket = a_tenant_bucket(bench)
    version = bucket.put("recordings/1", b"x")
    bench.store.reachable = False
    with pytest.raises(Unavailable):
        outcomes(bucket, ("recordings/1", version))
    nowhere = S3Endpoint("https://localhost:1", "eu-test-1")
    with S3Connection(nowhere, AccessKey("a", "b" * 40), patience=Patience(1, 1, retries=1, backoff=0.01)) as away:
        with pytest.raises(Unavailable) as refused:
            S3ContentBucket(away, "some-bucket").delete_objects([Claim(claim_id=1, key="k", version="v")])
    assert refused.value.reason == "ServerUnreachable"


def test_a_bucket_that_is_not_there_is_unavailable_and_nothing_counts_as_gone(bucket: TenantBucket) -> None:
    gone = bucket.store.content(bucket.name + "-gone", bucket.keys[BucketRole.ENFORCER])
    with pytest.raises((Unavailable, Invalid)):
        gone.delete_objects([Claim(claim_id=1, key="k", version="v")])


# What the fake does not have: uploads in parts, a bypass, listings.


@pytest.fixture
def seaweed_bucket(seaweedfs: S3Server) -> Iterator[TenantBucket]:
    with S3Connection(seaweedfs.endpoint, seaweedfs.administrator) as connection:
        bench = RealObjectStore(seaweedfs, connection)
        yield a_tenant_bucket(bench, object_lock=True)
        bench.close()


@pytest.fixture
def enforcer(seaweed_bucket: TenantBucket, seaweedfs: S3Server) -> Iterator[S3Connection]:
    with S3Connection(seaweedfs.endpoint, seaweed_bucket.keys[BucketRole.ENFORCER]) as connection:
        yield connection


def begin_upload(bucket: TenantBucket, server: S3Server, key: str) -> None:
    """An upload in parts whose application died."""
    with S3Connection(server.endpoint, bucket.keys[BucketRole.APP]) as app:
        answer = app.request("POST", bucket.name, key, query="uploads=", task="begin an upload")
        assert answer.status == 200


def test_unfinished_uploads_of_a_deleted_key_go_with_it_and_those_of_other_keys_stay(
    seaweed_bucket: TenantBucket, seaweedfs: S3Server, enforcer: S3Connection
) -> None:
    version = seaweed_bucket.put("recordings/1", b"x")
    begin_upload(seaweed_bucket, seaweedfs, "recordings/1")
    begin_upload(seaweed_bucket, seaweedfs, "recordings/2")
    content = S3ContentBucket(enforcer, seaweed_bucket.name, upload_grace=timedelta(0))
    content.delete_objects([Claim(claim_id=1, key="recordings/1", version=version)])
    assert [upload.key for upload in unfinished_uploads(enforcer, seaweed_bucket.name)] == ["recordings/2"]


def test_an_upload_that_began_a_moment_ago_is_somebodys_new_object_and_is_left_alone(
    seaweed_bucket: TenantBucket, seaweedfs: S3Server, enforcer: S3Connection
) -> None:
    version = seaweed_bucket.put("recordings/1", b"x")
    begin_upload(seaweed_bucket, seaweedfs, "recordings/1")
    S3ContentBucket(enforcer, seaweed_bucket.name).delete_objects(
        [Claim(claim_id=1, key="recordings/1", version=version)]
    )
    assert [upload.key for upload in unfinished_uploads(enforcer, seaweed_bucket.name)] == ["recordings/1"]


def test_old_unfinished_uploads_are_swept_whatever_their_key(
    seaweed_bucket: TenantBucket, seaweedfs: S3Server, enforcer: S3Connection
) -> None:
    for key in ("a", "b/c", "größe & co"):
        begin_upload(seaweed_bucket, seaweedfs, key)
    content = S3ContentBucket(enforcer, seaweed_bucket.name)
    assert content.abort_unfinished_uploads(timedelta(days=1)) == 0
    assert content.abort_unfinished_uploads(timedelta(0)) == 3
    assert list(unfinished_uploads(enforcer, seaweed_bucket.name)) == []


def test_not_even_a_bypass_lets_the_enforcer_delete_a_locked_object_and_a_lock_is_never_shortened__M8(
    seaweed_bucket: TenantBucket, enforcer: S3Connection
) -> None:
    version = seaweed_bucket.put("recordings/young", b"x")
    content = S3ContentBucket(enforcer, seaweed_bucket.name)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)

    def locked_until(wanted: datetime) -> datetime:
        (done,) = content.retain_objects([ObjectLock(lock_id=1, key="recordings/young", version=version, until=wanted)])
        assert done.error is None
        found = enforcer.client.get_object_retention(seaweed_bucket.name, "recordings/young", version_id=version)
        assert found is not None
        return found.retain_until_date

    assert locked_until(until) == until
    assert locked_until(until - timedelta(days=20)) == until
    bypass = {"x-amz-bypass-governance-retention": "true"}
    answer = enforcer.request(
        "DELETE", seaweed_bucket.name, "recordings/young", query=f"versionId={version}", headers=bypass, task="bypass"
    )
    assert answer.status == 403
    assert locked_until(until + timedelta(days=20)) == until + timedelta(days=20)


def test_objects_without_a_row_and_rows_without_their_object_are_found_and_nothing_is_deleted(
    seaweed_bucket: TenantBucket, enforcer: S3Connection
) -> None:
    kept = seaweed_bucket.put("kept", b"x")
    overwritten, newest = seaweed_bucket.put("twice", b"1"), seaweed_bucket.put("twice", b"2")
    seaweed_bucket.put("lost", b"x")
    rows = [ObjectRow("kept", kept), ObjectRow("twice", newest), ObjectRow("vanished", None)]
    before = seaweed_bucket.versions()
    later = datetime.now(UTC) + timedelta(hours=1)

    def report_of(settled_before: datetime) -> OrphanReport:
        missing = S3ContentBucket(enforcer, seaweed_bucket.name).missing_objects
        listed = stored_objects(enforcer, seaweed_bucket.name)
        return find_orphans(listed, rows, settled_before, unnamed=tuple, missing=missing)

    report = report_of(later)
    assert {(each.key, each.version) for each in report.object_sample} >= {("twice", overwritten)}
    assert {each.key for each in report.object_sample} == {"twice", "lost"}
    assert [row.key for row in report.row_sample] == ["vanished"]
    assert (report.objects, report.objects_without_row, report.rows_without_object) == (4, 2, 1)
    fresh = report_of(later - timedelta(days=1))
    assert (fresh.objects_without_row, fresh.unsettled) == (0, 2)
    assert seaweed_bucket.versions() == before
