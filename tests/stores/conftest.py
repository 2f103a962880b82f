"""Servers for the store tests; each is started once a session, when the first test asks for it."""

from tests.stores.enforcement_archive import acme, archive_stencil, logs_stencil
from tests.stores.object_stores import object_store
from tests.stores.servers.postgres import (
    postgres15,
    postgres15_process,
    postgres17,
    postgres17_process,
    postgres_process,
    postgres_server,
)
from tests.stores.servers.s3 import minio_server, s3_server, seaweedfs
from tests.stores.servers.valkey import valkey
from tests.stores.tenant_databases import tenant_databases

__all__ = [
    "acme",
    "archive_stencil",
    "logs_stencil",
    "minio_server",
    "object_store",
    "postgres15",
    "postgres15_process",
    "postgres17",
    "postgres17_process",
    "postgres_process",
    "postgres_server",
    "s3_server",
    "seaweedfs",
    "tenant_databases",
    "valkey",
]
