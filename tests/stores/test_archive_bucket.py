"""The archive bucket as the operator makes it, and the two identities that a run has there (D3, X2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.tenant_buckets import S3TenantBuckets, identities
from tenant_retention.domain.bucket_identities import BucketRole, wanted_identity
from tenant_retention.domain.bucket_steps import RemoveUser
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import StoreBinding
from tenant_retention.domain.ports.archive_files import ArchiveBucket
from tenant_retention.domain.ports.stores import BucketRequest
from tenant_retention.enforcement.opening import open_stores
from tests.stores.enforcement_archive import write_binding
from tests.stores.file_archive import file_rules
from tests.stores.servers.s3 import S3Server
from tests.support.enforcement import plan_of


@pytest.fixture
def made(s3_server: S3Server) -> Iterator[BucketRequest]:
    """A new tenant's archive bucket, with its keys."""
    identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", ARCHIVE)
    wanted = BucketRequest(s3_server.bucket_server(), identity, str(uuid4()), "uid of acme", False, {})
    outcome = S3TenantBuckets().prepare_bucket(wanted)
    yield replace(wanted, held=outcome.keys)
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        driver = identities(connection, s3_server.iam)
        for role in BucketRole:
            driver.apply(RemoveUser(wanted_identity(wanted.name, role).user))


@contextmanager
def opened(made: BucketRequest, directory: Path, *, writer: bool) -> Iterator[ArchiveBucket]:
    """The bucket of a plan, by its binding directories."""
    for role in (BucketRole.ENFORCER, BucketRole.APP):
        write_binding(
            directory / role.value,
            type="s3",
            BUCKET_NAME=made.name,
            AWS_ENDPOINT_URL=made.server.url,
            AWS_DEFAULT_REGION=made.server.region,
            AWS_ACCESS_KEY_ID=made.held[role].key_id,
            AWS_SECRET_ACCESS_KEY=made.held[role].secret,
            **{"ca.crt": made.server.ca or ""},
        )
    store = StoreBinding(purpose=ARCHIVE, binding="enforcer", writer="app" if writer else "")
    plan = plan_of(file_rules()).model_copy(update={"databases": (), "buckets": (store,)})
    with open_stores(plan, directory) as stores:
        assert stores.archive is not None
        yield stores.archive.bucket


def test_a_run_stores_files_as_one_identity_and_deletes_them_as_another__D3_X2(
    made: BucketRequest, tmp_path: Path
) -> None:
    assert S3TenantBuckets().probe_bucket(made, made.held, "").breaches == ()
    with opened(made, tmp_path, writer=True) as bucket:
        bucket.put_file("records/calls/one.parquet", b"rows")
        bucket.put_file("records/calls/one.parquet", b"rows")
        assert bucket.read_file("records/calls/one.parquet") == b"rows"
        listed = bucket.list_files("records/", None, 10).files
        assert [each.key for each in listed] == ["records/calls/one.parquet"], "no second version of it: one more copy"
        assert bucket.remove_files(["records/calls/one.parquet"]) == ()
        assert bucket.read_file("records/calls/one.parquet") is None


def test_the_identity_that_deletes_files_cannot_store_one__X2(made: BucketRequest, tmp_path: Path) -> None:
    with opened(made, tmp_path, writer=False) as bucket:
        with pytest.raises(RetentionError) as refused:
            bucket.put_file("records/calls/one.parquet", b"rows")
        assert isinstance(refused.value, Invalid), refused.value
