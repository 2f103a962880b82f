"""A policy whose old rows go into files: its database, its archive bucket, and what a person sees in both."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from minio import Minio
from minio.commonconfig import ENABLED
from minio.deleteobjects import DeleteObject
from minio.versioningconfig import VersioningConfig

from tenant_retention.adapters.parquet.reading import check_file, read_rows
from tenant_retention.adapters.s3.archive import S3ArchiveBucket
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.domain.archive_files import MANIFEST_SUFFIX, ArchivedColumn, FileManifest, read_manifest
from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.plan_document import Mode, StoreBinding
from tenant_retention.domain.ports.archive_files import FileArchive
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.archiving import LIVE, RealCustomer, rules
from tests.stores.enforcement_archive import LiveArchive, write_binding
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago
from tests.stores.test_enforcement_contract import archive_like
from tests.support.enforcement import RecordedWorld, plan_of

Wrap = Callable[[Any], Any]
RECORDS = "general-information"
"""The category of ``acme`` that is archived."""


def file_rules(after: str | None = "P90D", keep: str = "P1Y", **more: Any) -> RetentionDefinition:
    """The rules of ``tests.stores.archiving``, with no archive database."""
    return rules(after, keep, **more).placed_in([LIVE])


@dataclass
class SeenArchive:
    """An archive bucket, seen by its administrator. ``rows``: what the owner of the live database sees."""

    client: Minio = field(repr=False)
    bucket: str
    rows: Callable[[str], list[tuple[Any, ...]]] = field(repr=False)

    def files(self) -> dict[str, bytes]:
        """What lies in the bucket, newest versions."""
        found = self.client.list_objects(self.bucket, recursive=True)
        return {str(each.object_name): self._content(str(each.object_name)) for each in found}

    def versions(self) -> list[tuple[str, str | None]]:
        """Everything that lies there: every version and marker."""
        found = self.client.list_objects(self.bucket, recursive=True, include_version=True)
        return [(str(each.object_name), each.version_id) for each in found]

    def manifests(self) -> list[FileManifest]:
        """Of every file; each file is checked against its own."""
        files = self.files()
        told = [read_manifest(text.decode()) for key, text in files.items() if key.endswith(MANIFEST_SUFFIX)]
        for each in told:
            check_file(files[each.key], each.sha256, each.rows, each.columns)
        assert {key for key in files if not key.endswith(MANIFEST_SUFFIX)} == {each.key for each in told}
        return sorted(told, key=lambda each: (each.table, each.born_from))

    def filed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every row in a file that the index tells as its place, with its table."""
        for key, table, columns in self.rows(
            "SELECT key, table_name, columns FROM retention.archive_file WHERE state = 'Kept'"
        ):
            content = self._content(key)
            for rows in read_rows(content, [ArchivedColumn.model_validate(each) for each in columns]):
                yield from ((table, row) for row in rows)

    def archived(self) -> set[str]:
        """What those rows are; each is in one file only."""
        found = [f"{table}:{row['id']}" for table, row in self.filed()]
        assert len(found) == len(set(found)), "no row is there twice"
        return set(found)

    def index(self) -> list[tuple[Any, ...]]:
        """State and rows of every entry."""
        return self.rows("SELECT state, rows FROM retention.archive_file ORDER BY file_id")

    def tidy(self) -> None:
        """Everything in the bucket is a kept file or its manifest, and none is missing."""
        kept = {row[0] for row in self.rows("SELECT key FROM retention.archive_file")}
        found = {key for key, _ in self.versions()}
        assert found == {*kept, *(key + MANIFEST_SUFFIX for key in kept)}, f"{len(found)} keys of {len(kept)} files"
        assert {state for state, _ in self.index()} <= {"Kept"}, self.index()

    def _content(self, key: str) -> bytes:
        answer = self.client.get_object(self.bucket, key)
        try:
            return bytes(answer.read())
        finally:
            answer.close()
            answer.release_conn()


@dataclass
class FileCustomer(RealCustomer):
    """A customer whose archive is a bucket."""

    seen: SeenArchive = field(repr=False, kw_only=True)
    connection: S3Connection = field(repr=False, kw_only=True)
    rows_at_once: int = field(default=20_000, kw_only=True)

    @property
    def database(self) -> TenantDatabase:
        """The live one."""
        return self.databases[LIVE]

    def archived(self) -> set[str]:
        """See ``SeenArchive.archived``."""
        return self.seen.archived()

    def night(
        self,
        *,
        at: datetime | None = None,
        mode: Mode = Mode.ENFORCE,
        bucket: Wrap = lambda inner: inner,
        database: Wrap = lambda inner: inner,
    ) -> RunResult:
        """One run; ``bucket``, ``database``: what stands between the engine and each."""
        session = self.database.enforcer()
        try:
            live = database(session)
            files = bucket(S3ArchiveBucket(self.connection, self.seen.bucket))
            archive = FileArchive(files, {LIVE: live}, self.rows_at_once)
            stores = Stores({LIVE: live}, {ARCHIVE: files}, archive=archive)
            around = RecordedWorld(at=at or days_ago(0))
            return expire(plan_of(self.rules, mode=mode), stores, uuid4(), around.world())
        finally:
            session.close()


@contextmanager
def archive_bucket(connection: S3Connection, *, object_lock: bool = False) -> Iterator[str]:
    """A fresh bucket with versions; gone afterwards, with what lies in it."""
    client, bucket = connection.client, f"archive-{secrets.token_hex(6)}"
    client.make_bucket(bucket, object_lock=object_lock)
    client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    yield bucket
    left = client.list_objects(bucket, recursive=True, include_version=True)
    targets = [DeleteObject(str(each.object_name), each.version_id) for each in left]
    assert not list(client.remove_objects(bucket, targets, bypass_governance_mode=True))
    client.remove_bucket(bucket)


@contextmanager
def file_customer(
    databases: TenantDatabases, server: S3Server, given: RetentionDefinition, *, object_lock: bool = False, **more: Any
) -> Iterator[FileCustomer]:
    """A customer with these rules on a fresh database and a fresh bucket."""
    with (
        databases.having(given, LIVE) as made,
        S3Connection(server.endpoint, server.administrator) as connection,
        archive_bucket(connection, object_lock=object_lock) as bucket,
    ):
        seen = SeenArchive(connection.client, bucket, made.rows)
        yield FileCustomer(given, {LIVE: made}, seen=seen, connection=connection, **more)


@pytest.fixture
def filed(acme: LiveArchive) -> Iterator[SeenArchive]:
    """See ``filing``."""
    with filing(acme) as seen:
        yield seen


@contextmanager
def filing(acme: LiveArchive) -> Iterator[SeenArchive]:
    """The archive bucket of ``acme``, whose records move there after 90 days and are kept 180."""
    with S3Connection(acme.s3.endpoint, acme.s3.administrator) as connection, archive_bucket(connection) as bucket:
        write_binding(
            acme.directory / "acme-archive-enforcer",
            type="s3",
            BUCKET_NAME=bucket,
            AWS_ENDPOINT_URL=acme.s3.endpoint.url,
            AWS_DEFAULT_REGION=acme.s3.endpoint.region,
            AWS_ACCESS_KEY_ID=acme.s3.administrator.key_id,
            AWS_SECRET_ACCESS_KEY=acme.s3.administrator.secret,
            **{"ca.crt": acme.s3.endpoint.ca or ""},
        )
        acme.more_buckets = (StoreBinding(purpose=ARCHIVE, binding="acme-archive-enforcer"),)
        rules = archive_like(acme)
        categories = tuple(
            each.model_copy(update={"archive_after": "P90D"}) if each.name == RECORDS else each
            for each in rules.categories
        )
        acme.define(rules.model_copy(update={"categories": categories}).placed_in(["Analytical"]))
        yield SeenArchive(connection.client, bucket, lambda query: rows_of(acme, query))
        shutil.rmtree(acme.directory / "acme-archive-enforcer")


def rows_of(acme: LiveArchive, query: str) -> list[tuple[Any, ...]]:
    """What the owner sees."""
    with acme.owner() as owner:
        return owner.execute(query.encode()).fetchall()
