"""Opens the databases and buckets of a plan from their binding directories; closes them when the run is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

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
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument, StoreBinding
from tenant_retention.domain.ports.caches import CacheServer, EnforcementCache
from tenant_retention.domain.ports.enforcement import ContentBucket
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.enforcement.awaited import AwaitedStore
from tenant_retention.enforcement.few_connections import FewConnections
from tenant_retention.enforcement.world import Stores

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
        for purpose, directory in _directories(plan.buckets, base, "buckets").items():
            buckets[purpose] = _open_bucket(read_s3_binding(directory), closing)
        caches: dict[str, EnforcementCache] = {}
        for purpose, directory in _directories(plan.caches, base, "caches").items():
            caches[purpose] = _open_cache(read_redis_binding(directory), closing)
        for purpose in plan.awaited:
            if purpose == CACHE:
                caches[purpose] = AwaitedStore(purpose)
            else:
                buckets[purpose] = AwaitedStore(purpose)
        yield Stores(databases, buckets, caches)


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
    from tenant_retention.adapters.s3.connection import S3Connection
    from tenant_retention.adapters.s3.content import S3ContentBucket

    endpoint = S3Endpoint(url=binding.endpoint, region=binding.region, ca=binding.ca)
    key = AccessKey(binding.access_key, binding.secret_key)
    return S3ContentBucket(closing.enter_context(S3Connection(endpoint, key)), binding.bucket)


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
