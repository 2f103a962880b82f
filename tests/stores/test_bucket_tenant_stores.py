"""Buckets as the reconcile asks for them: one request in, keys and what was put right out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tenant_retention.adapters.s3.administration import S3BucketAdministration
from tenant_retention.adapters.s3.backups import S3BackupBucket
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.tenant_buckets import S3TenantBuckets, identities
from tenant_retention.domain.backups import BACKUPS, key_of, manifest_key, new_backup_id
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam, wanted_identity
from tenant_retention.domain.bucket_steps import CreateBucket, CreateUser, IssueKey, PutPolicy, RemoveUser
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.isolation import BUCKET_SAMPLE
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import BucketRequest
from tests.stores.servers.s3 import S3Server


@pytest.fixture
def request_bucket(s3_server: S3Server) -> Iterator[BucketRequest]:
    """A bucket of a new tenant; its users go afterwards, because SeaweedFS gets slow with their number."""
    identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Content")
    wanted = BucketRequest(s3_server.bucket_server(), identity, str(uuid4()), "uid of acme", False, {})
    yield wanted
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        driver = identities(connection, s3_server.iam)
        for role in BucketRole:
            driver.apply(RemoveUser(wanted_identity(wanted.name, role).user))


def prepared(request: BucketRequest) -> BucketRequest:
    """The same request after one reconcile, with the keys that the operator keeps."""
    return replace(request, held=S3TenantBuckets().prepare_bucket(request).keys)


def test_keys_that_are_kept_come_back_unchanged_and_nothing_is_put_right(request_bucket: BucketRequest) -> None:
    kept = prepared(request_bucket)
    again = S3TenantBuckets().prepare_bucket(kept)
    assert again.keys == kept.held
    assert again.changes == ()


def test_a_secret_edited_by_hand_is_issued_anew_and_the_other_keys_stay(request_bucket: BucketRequest) -> None:
    kept = prepared(request_bucket)
    edited = AccessKey(kept.held[BucketRole.APP].key_id, "e" * 40)
    broken = replace(kept, held={**kept.held, BucketRole.APP: edited})
    outcome = S3TenantBuckets().prepare_bucket(broken)
    assert outcome.keys[BucketRole.APP] not in {edited, kept.held[BucketRole.APP]}
    assert outcome.keys[BucketRole.ENFORCER] == kept.held[BucketRole.ENFORCER]
    assert S3TenantBuckets().probe_bucket(request_bucket, outcome.keys, "").breaches == ()


def test_a_key_of_before_that_the_store_no_longer_knows_is_issued_anew(request_bucket: BucketRequest) -> None:
    kept = prepared(request_bucket)
    restored = replace(kept, held={**kept.held, BucketRole.READER: AccessKey("AKIAFROMABACKUP", "x" * 40)})
    outcome = S3TenantBuckets().prepare_bucket(restored)
    assert outcome.keys[BucketRole.READER].key_id != "AKIAFROMABACKUP"
    assert outcome.keys[BucketRole.APP] == kept.held[BucketRole.APP]


def test_the_probe_tries_other_tenants_buckets_and_finds_nothing__X2(
    request_bucket: BucketRequest, s3_server: S3Server
) -> None:
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        connection.client.make_bucket(f"other-{uuid4()}")
    kept = prepared(request_bucket)
    assert S3TenantBuckets().probe_bucket(kept, kept.held, "").breaches == ()


def test_two_tenants_prepared_at_once_lose_no_key(s3_server: S3Server, request_bucket: BucketRequest) -> None:
    requests = [
        replace(request_bucket, identity=replace(request_bucket.identity, policy=f"acme-{number}"))
        for number in range(4)
    ]
    with ThreadPoolExecutor(4) as threads:
        kept = list(threads.map(prepared, requests))
    for each in kept:
        again = S3TenantBuckets().prepare_bucket(each)
        assert again.changes == ()
        assert again.keys == each.held
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        driver = identities(connection, s3_server.iam)
        for each in requests:
            for role in BucketRole:
                driver.apply(RemoveUser(wanted_identity(each.name, role).user))


def test_static_identities_are_handed_out_as_they_are_and_nothing_is_made(
    request_bucket: BucketRequest, s3_server: S3Server
) -> None:
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        driver = identities(connection, s3_server.iam)
        made: dict[BucketRole, AccessKey] = {}
        for role in BucketRole:
            wanted = wanted_identity(request_bucket.name, role)
            driver.apply(CreateUser(wanted.user))
            driver.apply(PutPolicy(wanted.user, wanted.policy))
            key = driver.apply(IssueKey(role, wanted.user))
            assert key is not None
            made[role] = key
    static = replace(request_bucket, server=replace(request_bucket.server, iam=Iam.STATIC), held=made)
    outcome = S3TenantBuckets().prepare_bucket(static)
    assert outcome.keys == made
    assert not [change for change in outcome.changes if "user" in change or "key" in change]
    assert S3TenantBuckets().probe_bucket(static, outcome.keys, "").breaches == ()
    assert S3TenantBuckets().prepare_bucket(static).changes == ()


def test_a_static_key_that_may_not_do_its_work_is_said_to_lack_privileges(
    request_bucket: BucketRequest, s3_server: S3Server
) -> None:
    kept = prepared(request_bucket)
    mixed = {BucketRole.APP: kept.held[BucketRole.READER]}
    static = replace(kept, server=replace(kept.server, iam=Iam.STATIC))
    with pytest.raises(Invalid) as refused:
        S3TenantBuckets().probe_bucket(static, mixed, "")
    assert refused.value.reason == "PrivilegesMissing"


def test_a_look_tries_the_buckets_of_others_that_follow_the_last_one__X2(
    request_bucket: BucketRequest, s3_server: S3Server
) -> None:
    kept = prepared(request_bucket)
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        administration = S3BucketAdministration(connection, identities(connection, s3_server.iam))
        foreign = [f"{kept.name}-{number}" for number in range(BUCKET_SAMPLE + 1)]
        for name in foreign:
            administration.apply(CreateBucket(name, object_lock=False))
        everything = set(administration.buckets()) - {kept.name}
    first = S3TenantBuckets().probe_bucket(kept, kept.held, kept.name)
    second = S3TenantBuckets().probe_bucket(kept, kept.held, first.last)

    assert (first.tried, first.others) == (BUCKET_SAMPLE, len(everything))
    assert first.breaches == second.breaches == ()
    assert first.last == foreign[BUCKET_SAMPLE - 1]
    assert second.last != first.last


def test_the_endpoint_says_how_fast_it_answers_and_how_much_a_bucket_holds(request_bucket: BucketRequest) -> None:
    assert S3TenantBuckets().check(request_bucket.server).latency.total_seconds() > 0
    kept = prepared(request_bucket)
    usage = S3TenantBuckets().usage(kept.server, kept.name)
    assert (usage.objects, usage.complete) == (0, True)


def test_a_bucket_of_backups_has_a_writer_and_a_remover_no_reader_and_no_versions__T6(
    request_bucket: BucketRequest, s3_server: S3Server
) -> None:
    kept = prepared(replace(request_bucket, identity=replace(request_bucket.identity, purpose=BACKUPS)))
    buckets = S3TenantBuckets()
    try:
        assert set(kept.held) == {BucketRole.APP, BucketRole.ENFORCER}
        assert buckets.prepare_bucket(kept).changes == ()
        assert buckets.probe_bucket(kept, kept.held, "").breaches == ()
        before = datetime.now(UTC).replace(microsecond=0)
        name = new_backup_id(before, b"abcd")
        with (
            S3Connection(s3_server.endpoint, kept.held[BucketRole.APP]) as writer,
            S3Connection(s3_server.endpoint, kept.held[BucketRole.ENFORCER]) as remover,
        ):
            bucket = S3BackupBucket(writer, remover, kept.name)
            bucket.write(key_of(name, 1), [b"rows"])
            (half,) = buckets.backups(kept, datetime.now(UTC))
            assert (half.complete, half.size, half.objects) == (False, 4, ())
            bucket.write(manifest_key(name), [b"manifest"])
            (whole,) = buckets.backups(kept, datetime.now(UTC))
            assert (whole.backup_id, whole.complete, whole.taken_at, whole.size) == (name, True, before, 12)
            bucket.remove(tuple(bucket.objects()))
            # Nothing of it stays as an older version.
            assert buckets.backups(kept, datetime.now(UTC)) == ()
            assert buckets.usage(kept.server, kept.name).versions == 0
    finally:
        with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
            driver = identities(connection, s3_server.iam)
            for role in BucketRole:
                driver.apply(RemoveUser(wanted_identity(kept.name, role).user))
