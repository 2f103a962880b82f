"""The archive bucket as the enforcer: whole files are stored, read back and deleted with every version of theirs."""

from __future__ import annotations

import io
from collections.abc import Sequence

from minio.error import S3Error

from tenant_retention.adapters.s3.attempts import GONE
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.adapters.s3.errors import store_errors
from tenant_retention.domain.ports.enforcement import Claim

_PART_BYTES = 64 * 1024 * 1024
"""Larger than any file, so that none is uploaded in parts: a part whose end never came is in no listing."""


class S3ArchiveBucket(S3ContentBucket):
    """Implements ``ArchiveBucket``, and what every bucket of a run is asked (unfinished uploads). ``writer``: whose key stores
    files; None: the same one's that deletes them."""

    def __init__(self, connection: S3Connection, bucket: str, writer: S3Connection | None = None) -> None:
        super().__init__(connection, bucket)
        self._writer = (writer or connection).client
        self._task = f"work on bucket {bucket}"

    def put_file(self, key: str, content: bytes) -> None:
        """See ``ArchiveBucket.put_file``."""
        with store_errors(self._task):
            self._writer.put_object(self._bucket, key, io.BytesIO(content), len(content), part_size=_PART_BYTES)

    def read_file(self, key: str) -> bytes | None:
        """See ``ArchiveBucket.read_file``."""
        with store_errors(self._task):
            try:
                answer = self._client.get_object(self._bucket, key)
            except S3Error as error:
                if error.code in GONE:
                    return None
                raise
            try:
                content: bytes = answer.read()
            finally:
                answer.close()
                answer.release_conn()
        return content

    def remove_files(self, keys: Sequence[str]) -> tuple[str, ...]:
        """See ``ArchiveBucket.remove_files``."""
        claims = [Claim(claim_id=place, key=key, version=None) for place, key in enumerate(keys)]
        return tuple(keys[each.claim_id] for each in self.delete_objects(claims) if each.error is not None)
