"""Opens the databases and buckets of a plan from their binding directories; closes them when the run is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tenant_retention.adapters.bindings import (
    PostgresBinding,
    RedisBinding,
    S3Binding,
    read_postgres_binding,
    read_redis_binding,
    read_s3_binding,
)
from tenant_retention.adapters.postgres.connections import Timeouts, connect
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.bucket_identities import AccessKey
from tenant_retention.domain.buckets import S3Endpoint
from tenant_retention.domain.cache_rules import CACHE
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument, StoreBinding
from tenant_retention.domain.ports.archive_files import FileArchive
from tenant_retention.domain.ports.caches import CacheServer, EnforcementCache
from tenant_retention.domain.ports.enforcement import ContentBucket
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.enforcement.awaited import AwaitedStore
from tenant_retention.enforcement.few_connections import FewConnections
from tenant_retention.enforcement.world import Stores

if TYPE_CHECKING:
    from tenant_retention.adapters.s3.archive import S3ArchiveBucket
    from tenant_retention.adapters.s3.connection import S3Connection

APPLICATION_NAME = "tenant-retention"
_SYSTEM_AUTHORITIES = Path("system")
"""What libpq calls the list of authorities that the system trusts."""
_TIMEOUTS = Timeouts(statement=timedelta(minutes=30))
"""Counting a large tenant at the start of a run takes its time; locks are waited for far shorter by the functions."""


@contextmanager
def open_stores(plan: PlanDocument, base: Path) -> Iterator[Stores]:
    """The plan's stores; relative binding directories are below ``base``. Databases connect with their first call.

    Raises Invalid naming the binding's file, or the field of a purpose that is named twice.
    """
    with ExitStack() as closing:
        databases, few = {}, FewConnections()
        for name, directory in _directories(plan.databases, base, "databases").items():
            access = server_access(read_postgres_binding(directory))
            opened = partial(connect, access, application_name=APPLICATION_NAME, timeouts=_TIMEOUTS)
            database = PostgresEnforcementDatabase(
                partial(few.opening, name, opened), partial(few.opening, f"{name}, beside", opened, beside=name)
            )
            closing.callback(database.close)
            databases[name] = database
        buckets: dict[str, ContentBucket] = {}
        archive: FileArchive | None = None
        for purpose, directory in _directories(plan.buckets, base, "buckets").items():
            if purpose == ARCHIVE:
                files = _open_archive(plan, base, directory, closing)
                buckets[purpose], archive = files, FileArchive(files, databases)
            else:
                buckets[purpose] = _open_bucket(read_s3_binding(directory), closing)
        caches: dict[str, EnforcementCache] = {}
        for purpose, directory in _directories(plan.caches, base, "caches").items():
            caches[purpose] = _open_cache(read_redis_binding(directory), closing)
        for purpose in plan.awaited:
            awaited = AwaitedStore(purpose)
            if purpose == CACHE:
                caches[purpose] = awaited
            else:
                buckets[purpose] = awaited
            if purpose == ARCHIVE:
                archive = FileArchive(awaited, databases)
        yield Stores(databases, buckets, caches, archive)


def _open_cache(binding: RedisBinding, closing: ExitStack) -> EnforcementCache:
    # Imported here: half a second of processor that a tenant without a cache never needs.
    from tenant_retention.adapters.cache.connection import CacheConnection
    from tenant_retention.adapters.cache.enforcement import RealEnforcementCache

    server = CacheServer(binding.host, binding.port, binding.username, binding.password, binding.ca)
    connection = CacheConnection(server)
    closing.callback(connection.close)
    return RealEnforcementCache(connection, binding.prefix)


def _open_bucket(binding: S3Binding, closing: ExitStack) -> ContentBucket:
    # Imported here: half of the program's start is the S3 client, which a tenant without content never needs.
    from tenant_retention.adapters.s3.content import S3ContentBucket

    return S3ContentBucket(_connected(binding, closing), binding.bucket)


def _open_archive(plan: PlanDocument, base: Path, directory: Path, closing: ExitStack) -> S3ArchiveBucket:
    from tenant_retention.adapters.s3.archive import S3ArchiveBucket

    binding = read_s3_binding(directory)
    writers = [read_s3_binding(base / each.writer) for each in plan.buckets if each.purpose == ARCHIVE and each.writer]
    writer = _connected(writers[0], closing) if writers else None
    return S3ArchiveBucket(_connected(binding, closing), binding.bucket, writer)


def _connected(binding: S3Binding, closing: ExitStack) -> S3Connection:
    from tenant_retention.adapters.s3.connection import S3Connection

    endpoint = S3Endpoint(url=binding.endpoint, region=binding.region, ca=binding.ca)
    return closing.enter_context(S3Connection(endpoint, AccessKey(binding.access_key, binding.secret_key)))


def server_access(binding: PostgresBinding) -> ServerAccess:
    """The login of a binding, as the connections take it."""
    return ServerAccess(
        host=binding.host,
        port=binding.port,
        user=binding.username,
        password=binding.password,
        ca_file=binding.ca_file or _SYSTEM_AUTHORITIES,
        database=binding.database,
    )


def _directories(stores: tuple[StoreBinding, ...], base: Path, field: str) -> dict[str, Path]:
    directories: dict[str, Path] = {}
    for store in stores:
        name = store.place.name
        if name in directories:
            raise Invalid(f"{field}: {name!r} is named twice", reason="InvalidPlan", field=field)
        directories[name] = base / store.binding
    return directories
