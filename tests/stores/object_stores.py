"""One view on three object stores for contract tests: the fake, SeaweedFS and MinIO.

``ObjectStore`` gives the product's ports, what a tenant does with its keys, and what a careless administrator does by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Protocol

import pytest
from minio import MinioAdmin
from minio.commonconfig import ENABLED, GOVERNANCE, Filter, Tags
from minio.credentials.providers import StaticProvider
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig
from minio.lifecycleconfig import Rule as LifecycleRule
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.retention import Retention
from minio.versioningconfig import SUSPENDED, VersioningConfig

from tenant_retention.adapters.fakes.bucket_probe import FakeBucketProbe
from tenant_retention.adapters.fakes.buckets import FakeBucketAdministration, FakeContentBucket
from tenant_retention.adapters.fakes.object_store import Denied, FakeBucket, FakeObjectStore, FakeUser
from tenant_retention.adapters.s3.administration import S3BucketAdministration
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.adapters.s3.probe import S3Probe
from tenant_retention.adapters.s3.tenant_buckets import identities
from tenant_retention.domain.bucket_identities import POLICY_NAME, AccessKey, BucketRole, Iam
from tenant_retention.domain.bucket_steps import BucketStep, CreateUser, IssueKey, PutPolicy, RemoveUser
from tenant_retention.domain.buckets import BucketUsage, ObservedBucket, WantedBucket
from tenant_retention.domain.ports.buckets import BucketAdministration, BucketProbe, EndpointFacts
from tenant_retention.domain.ports.enforcement import ContentBucket
from tests.stores.servers.s3 import S3Server

ALLOWED = "allowed"
_EXPIRE_AFTER_DAYS = 1


class ObjectStore(Protocol):
    """What the contract tests need of a store."""

    iam: Iam
    administration: BucketAdministration
    probe: BucketProbe

    def content(self, bucket: str, key: AccessKey) -> ContentBucket:
        """The bucket as the enforcer sees it."""

    def put(self, key: AccessKey, bucket: str, object_key: str, body: bytes) -> str:
        """A tenant writes: version id, or ``!`` and the refusing code."""

    def get(self, key: AccessKey, bucket: str, object_key: str) -> str:
        """A tenant reads: ``allowed``, or the refusing code."""

    def delete(self, key: AccessKey, bucket: str, object_key: str, version: str | None) -> str:
        """A tenant deletes: ``allowed``, or the refusing code."""

    def versions(self, bucket: str) -> set[tuple[str, str, bool]]:
        """Key, version and whether it is a delete marker, of everything there, read as administrator."""

    def top(self, bucket: str) -> set[str]:
        """What a person who opens the bucket sees first: objects and folders of the top level."""

    def lock(self, bucket: str, object_key: str, version: str) -> None:
        """Locks one version for a day (GOVERNANCE)."""

    def make_bucket(self, bucket: str, tags: dict[str, str]) -> None:
        """A bucket made by hand."""

    def write_by_hand(self, bucket: str, object_key: str) -> None:
        """An object written by the administrator."""

    def tags(self, bucket: str) -> dict[str, str]:
        """The bucket's tags."""

    def set_tags(self, bucket: str, tags: dict[str, str]) -> None:
        """Replaces the tags by hand."""

    def add_expiry_rule(self, bucket: str) -> None:
        """A lifecycle rule that deletes everything after a day."""

    def suspend_versioning(self, bucket: str) -> None:
        """Suspends versioning by hand."""

    def open_to_everybody(self, bucket: str) -> None:
        """A bucket policy that lets everybody read."""

    def set_default_retention(self, bucket: str) -> None:
        """A default retention that counts from the upload."""

    def widen_policy(self, wanted: WantedBucket, role: BucketRole, resource: str) -> None:
        """The role's policy allows everything on ``resource``."""

    def attach_policy(self, wanted: WantedBucket, role: BucketRole) -> None:
        """Somebody gives the role's user a further policy that allows everything everywhere."""

    def add_key(self, wanted: WantedBucket, role: BucketRole) -> AccessKey:
        """A key made by hand, or by a request whose answer was lost."""

    def remove_key(self, wanted: WantedBucket, role: BucketRole, key: AccessKey) -> None:
        """Somebody deletes a key."""


def everything_on(resource: str) -> str:
    """A policy that allows everything on a bucket and its objects."""
    resources = [f"arn:aws:s3:::{resource}", f"arn:aws:s3:::{resource}/*"]
    statement = {"Effect": "Allow", "Action": ["s3:*"], "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class RealObjectStore:
    """A running server."""

    def __init__(self, server: S3Server, connection: S3Connection) -> None:
        self.iam = server.iam
        self._server = server
        self._connection = connection
        self._client = connection.client
        self._driver = identities(connection, server.iam)
        self._opened: list[S3Connection] = []
        self.administration: BucketAdministration = _Recording(S3BucketAdministration(connection, self._driver))
        self.probe: BucketProbe = S3Probe(connection)

    def content(self, bucket: str, key: AccessKey) -> ContentBucket:
        connection = S3Connection(self._server.endpoint, key)
        self._opened.append(connection)
        return S3ContentBucket(connection, bucket)

    def put(self, key: AccessKey, bucket: str, object_key: str, body: bytes) -> str:
        with self._as(key) as tenant:
            try:
                return tenant.client.put_object(bucket, object_key, BytesIO(body), len(body)).version_id or "null"
            except S3Error as error:
                return f"!{error.code}"

    def get(self, key: AccessKey, bucket: str, object_key: str) -> str:
        return self._try(key, lambda tenant: tenant.client.get_object(bucket, object_key).close())

    def delete(self, key: AccessKey, bucket: str, object_key: str, version: str | None) -> str:
        return self._try(key, lambda tenant: tenant.client.remove_object(bucket, object_key, version_id=version))

    def versions(self, bucket: str) -> set[tuple[str, str, bool]]:
        listed = self._client.list_objects(bucket, recursive=True, include_version=True)
        return {(each.object_name or "", each.version_id or "null", bool(each.is_delete_marker)) for each in listed}

    def top(self, bucket: str) -> set[str]:
        return {each.object_name or "" for each in self._client.list_objects(bucket, recursive=False)}

    def lock(self, bucket: str, object_key: str, version: str) -> None:
        until = datetime.now(UTC) + timedelta(days=1)
        self._client.set_object_retention(bucket, object_key, Retention(GOVERNANCE, until), version_id=version)

    def make_bucket(self, bucket: str, tags: dict[str, str]) -> None:
        self._client.make_bucket(bucket)
        if tags:
            self.set_tags(bucket, tags)

    def write_by_hand(self, bucket: str, object_key: str) -> None:
        self._client.put_object(bucket, object_key, BytesIO(b"by hand"), 7)

    def tags(self, bucket: str) -> dict[str, str]:
        return dict(self._client.get_bucket_tags(bucket) or {})

    def set_tags(self, bucket: str, tags: dict[str, str]) -> None:
        wanted = Tags.new_bucket_tags()
        wanted.update(tags)
        self._client.set_bucket_tags(bucket, wanted)

    def add_expiry_rule(self, bucket: str) -> None:
        rule = LifecycleRule(
            ENABLED, rule_filter=Filter(prefix=""), rule_id="tidy", expiration=Expiration(days=_EXPIRE_AFTER_DAYS)
        )
        self._client.set_bucket_lifecycle(bucket, LifecycleConfig([rule]))

    def suspend_versioning(self, bucket: str) -> None:
        self._client.set_bucket_versioning(bucket, VersioningConfig(SUSPENDED))

    def open_to_everybody(self, bucket: str) -> None:
        statement = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"]}
        statement |= {"Resource": [f"arn:aws:s3:::{bucket}/*"]}
        self._client.set_bucket_policy(bucket, json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def set_default_retention(self, bucket: str) -> None:
        self._client.set_object_lock_config(bucket, ObjectLockConfig(GOVERNANCE, 3, DAYS))

    def widen_policy(self, wanted: WantedBucket, role: BucketRole, resource: str) -> None:
        self._driver.apply(PutPolicy(_user(wanted, role), everything_on(resource)))

    def add_key(self, wanted: WantedBucket, role: BucketRole) -> AccessKey:
        policy = {identity.role: identity.policy for identity in wanted.identities()}[role]
        self._driver.apply(CreateUser(_user(wanted, role)))
        self._driver.apply(PutPolicy(_user(wanted, role), policy))
        key = self._driver.apply(IssueKey(role, _user(wanted, role)))
        assert key is not None
        return key

    def attach_policy(self, wanted: WantedBucket, role: BucketRole) -> None:
        user = _user(wanted, role)
        if self.iam is Iam.AWS:
            self._identity_call("CreatePolicy", PolicyName="wide", PolicyDocument=everything_on("*"))
            self._identity_call("AttachUserPolicy", UserName=user, PolicyArn="arn:aws:iam:::policy/wide")
            return
        admin = self._minio_admin()
        admin.policy_add("wide", policy=json.loads(everything_on("*")))
        (key,) = next(each for each in self._driver.observe([user])).keys
        admin.policy_set(f"{user},wide", user=key.key_id)

    def remove_key(self, wanted: WantedBucket, role: BucketRole, key: AccessKey) -> None:
        if self.iam is Iam.AWS:
            self._identity_call("DeleteAccessKey", UserName=_user(wanted, role), AccessKeyId=key.key_id)
        else:
            self._minio_admin().user_remove(key.key_id)

    def _identity_call(self, action: str, **parameters: str) -> None:
        form = {"Action": action, "Version": "2010-05-08", **parameters}
        endpoint = self._server.endpoint
        answer = self._connection.signed("iam", endpoint.region, "POST", endpoint.url, data=form, task=action)
        assert answer.status in {200, 409}, answer.body

    def _minio_admin(self) -> MinioAdmin:
        administrator = self._server.administrator
        return MinioAdmin(
            endpoint=self._server.endpoint.url.removeprefix("https://"),
            credentials=StaticProvider(administrator.key_id, administrator.secret),
            http_client=self._connection.new_pool(),
        )

    def close(self) -> None:
        """Removes the users that the test made, because SeaweedFS gets slow with their number, and ends its connections."""
        assert isinstance(self.administration, _Recording)
        if self.iam is Iam.AWS:
            for user in sorted(self.administration.users):
                self._driver.apply(RemoveUser(user))
        for connection in self._opened:
            connection.close()

    def _as(self, key: AccessKey) -> S3Connection:
        return S3Connection(self._server.endpoint, key, threads=1)

    def _try(self, key: AccessKey, call: Callable[[S3Connection], object]) -> str:
        with self._as(key) as tenant:
            try:
                call(tenant)
            except S3Error as error:
                return error.code or "?"
        return ALLOWED


class _Recording:
    """The administration, noting the users it makes."""

    def __init__(self, inner: BucketAdministration) -> None:
        self._inner = inner
        self.users: set[str] = set()

    def apply(self, step: BucketStep) -> AccessKey | None:
        if isinstance(step, CreateUser):
            self.users.add(step.user)
        return self._inner.apply(step)

    def check(self) -> EndpointFacts:
        return self._inner.check()

    def observe(self, wanted: WantedBucket) -> ObservedBucket:
        return self._inner.observe(wanted)

    def usage(self, bucket: str, page_limit: int = 20) -> BucketUsage:
        return self._inner.usage(bucket, page_limit)


class FakeStoreBench:
    """The fake."""

    def __init__(self) -> None:
        self.iam = Iam.AWS
        self.store = FakeObjectStore()
        self.administration: BucketAdministration = FakeBucketAdministration(self.store)
        self.probe: BucketProbe = FakeBucketProbe(self.store)

    def content(self, bucket: str, key: AccessKey) -> ContentBucket:
        return FakeContentBucket(self.store, bucket, key)

    def put(self, key: AccessKey, bucket: str, object_key: str, body: bytes) -> str:
        try:
            return self.store.put(key, bucket, object_key, body)
        except Denied as denied:
            return f"!{denied.code}"

    def get(self, key: AccessKey, bucket: str, object_key: str) -> str:
        return self._try(lambda: self.store.get(key, bucket, object_key))

    def delete(self, key: AccessKey, bucket: str, object_key: str, version: str | None) -> str:
        return self._try(lambda: self.store.delete(key, bucket, object_key, version))

    def versions(self, bucket: str) -> set[tuple[str, str, bool]]:
        return {(key, found.version, found.delete_marker) for key, found in self.store.bucket(bucket).versions()}

    def top(self, bucket: str) -> set[str]:
        return {key.split("/")[0] for key, _, marker in self.versions(bucket) if not marker}

    def lock(self, bucket: str, object_key: str, version: str) -> None:
        for found in self.store.bucket(bucket).objects[object_key]:
            if found.version == version:
                found.retain_until = datetime.now(UTC) + timedelta(days=1)

    def make_bucket(self, bucket: str, tags: dict[str, str]) -> None:
        self.store.buckets[bucket] = FakeBucket(tags=dict(tags))

    def write_by_hand(self, bucket: str, object_key: str) -> None:
        self.store.write(self.store.bucket(bucket), object_key, b"by hand")

    def tags(self, bucket: str) -> dict[str, str]:
        return self.store.bucket(bucket).tags

    def set_tags(self, bucket: str, tags: dict[str, str]) -> None:
        self.store.bucket(bucket).tags = dict(tags)

    def add_expiry_rule(self, bucket: str) -> None:
        self.store.bucket(bucket).foreign_rules = 1
        self.store.bucket(bucket).lifecycle_days = None

    def suspend_versioning(self, bucket: str) -> None:
        self.store.bucket(bucket).versioning = "Suspended"

    def open_to_everybody(self, bucket: str) -> None:
        self.store.bucket(bucket).policy = "everybody"

    def set_default_retention(self, bucket: str) -> None:
        self.store.bucket(bucket).default_retention = True

    def widen_policy(self, wanted: WantedBucket, role: BucketRole, resource: str) -> None:
        self.store.users[_user(wanted, role)].policies[POLICY_NAME] = everything_on(resource)

    def add_key(self, wanted: WantedBucket, role: BucketRole) -> AccessKey:
        self.store.users.setdefault(_user(wanted, role), FakeUser())
        return self.store.issue(_user(wanted, role))

    def attach_policy(self, wanted: WantedBucket, role: BucketRole) -> None:
        self.store.users[_user(wanted, role)].attached.append("wide")

    def remove_key(self, wanted: WantedBucket, role: BucketRole, key: AccessKey) -> None:
        del self.store.users[_user(wanted, role)].keys[key.key_id]

    def _try(self, call: Callable[[], object]) -> str:
        try:
            call()
        except Denied as denied:
            return denied.code
        return ALLOWED


@pytest.fixture(params=["fake", "seaweedfs", "minio_server"])
def object_store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """The three stores, one after the other: one contract for all."""
    if request.param == "fake":
        yield FakeStoreBench()
        return
    server: S3Server = request.getfixturevalue(request.param)
    with S3Connection(server.endpoint, server.administrator) as connection:
        bench = RealObjectStore(server, connection)
        try:
            yield bench
        finally:
            bench.close()


def _user(wanted: WantedBucket, role: BucketRole) -> str:
    return {identity.role: identity.user for identity in wanted.identities()}[role]
