"""Walking over everything in a bucket: counting it, and comparing it with the rows that should name it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from minio import Minio

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import store_errors
from tenant_retention.domain.buckets import PROBE_PREFIX, BucketUsage
from tenant_retention.domain.orphans import StoredObject

_PAGE = 1000


def usage_of(client: Minio, bucket: str, page_limit: int) -> BucketUsage:
    """Objects (current, not deleted), versions and bytes of all versions, from at most ``page_limit`` pages."""
    limit = page_limit * _PAGE
    objects = versions = total = seen = 0
    for entry in islice(client.list_objects(bucket, recursive=True, include_version=True), limit + 1):
        seen += 1
        if seen > limit:
            break
        if entry.is_delete_marker or (entry.object_name or "").startswith(PROBE_PREFIX):
            continue
        versions += 1
        total += entry.size or 0
        objects += entry.is_latest == "true"
    return BucketUsage(objects, versions, total, complete=seen <= limit)


def stored_objects(connection: S3Connection, bucket: str) -> Iterator[StoredObject]:
    """Every version and delete marker of the bucket but a probe's, one by one. Raises Unavailable or Invalid."""
    with store_errors(f"list bucket {bucket}"):
        for entry in connection.client.list_objects(bucket, recursive=True, include_version=True):
            key = entry.object_name or ""
            if not key.startswith(PROBE_PREFIX):
                yield StoredObject(key, entry.version_id, entry.last_modified, bool(entry.is_delete_marker))
