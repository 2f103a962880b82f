"""A tenant's backup bucket: one identity writes and reads, another one lists and removes; neither can do both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import BinaryIO, cast

from minio.error import S3Error

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.adapters.s3.errors import store_errors
from tenant_retention.domain.backups import PREFIX, StoredCopy
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.ports.backups import Written
from tenant_retention.domain.ports.enforcement import Claim

_PART = 8 << 20
"""Bytes of one part of an upload: all of a file that is in memory at once, and 80 GB at most a file."""
_BLOCK = 1 << 20


class S3BackupBucket:
    """Implements ``BackupBucket``. ``writer``: the connection that may put and get; ``remover``: that may list and delete."""

    def __init__(self, writer: S3Connection, remover: S3Connection, bucket: str) -> None:
        self._writer = writer.client
        self._remover = remover.client
        self._content = S3ContentBucket(remover, bucket)
        self._bucket = bucket
        self._task = f"on the backup bucket {bucket}"

    def write(self, key: str, blocks: Iterable[bytes]) -> Written:
        """See ``BackupBucket.write``."""
        reader = _Hashing(blocks)
        with store_errors(f"write {self._task}"):
            # Ends its own upload when anything fails, the reading of the rows too.
            self._writer.put_object(
                self._bucket, key, cast(BinaryIO, reader), -1, part_size=_PART, num_parallel_uploads=1
            )
        return Written(reader.size, reader.digest.hexdigest())

    @contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        """See ``BackupBucket.read``."""
        with store_errors(f"read {self._task}"):
            try:
                response = self._writer.get_object(self._bucket, key)
            except S3Error as error:
                if error.code in ("NoSuchKey", "NoSuchVersion"):
                    raise Invalid(
                        "a file of the backup is missing; nothing was changed: choose another backup",
                        reason="BackupBroken",
                    ) from None
                raise
            try:
                yield response.stream(_BLOCK)
            finally:
                response.close()
                response.release_conn()

    def objects(self) -> Iterator[StoredCopy]:
        """See ``BackupBucket.objects``."""
        with store_errors(f"list {self._task}"):
            for entry in self._remover.list_objects(self._bucket, prefix=PREFIX, recursive=True, include_version=True):
                yield StoredCopy(
                    entry.object_name or "",
                    entry.version_id,
                    entry.last_modified,
                    entry.size or 0,
                    bool(entry.is_delete_marker),
                )

    def remove(self, objects: Sequence[StoredCopy]) -> None:
        """See ``BackupBucket.remove``."""
        claims = [Claim(claim_id=place, key=each.key, version=each.version) for place, each in enumerate(objects)]
        left = [each.error for each in self._content.delete_objects(claims) if each.error is not None]
        if left:
            raise Unavailable(
                f"{len(left)} of {len(claims)} files of old backups could not be removed ({left[0]}); it is tried again",
                reason="BackupsLeft",
            )

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        """See ``BackupBucket.abort_unfinished_uploads``."""
        return self._content.abort_unfinished_uploads(older_than)

    def clock(self) -> datetime | None:
        """See ``BackupBucket.clock``."""
        return self._content.list_files(PREFIX, None, 1).store_clock


class _Hashing:
    """Blocks as a file that counts and hashes what was taken from it."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._buffer = bytearray()
        self.size = 0
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end only."""
        while len(self._buffer) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._buffer += block
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.size += len(found)
        self.digest.update(found)
        return found
