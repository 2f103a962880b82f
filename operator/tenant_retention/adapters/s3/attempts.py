"""Single questions to a bucket whose failure is one outcome among many: answered with a word, never raised."""

from __future__ import annotations

from collections.abc import Callable

from minio.error import S3Error

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import store_errors
from tenant_retention.adapters.s3.sweeping import called
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.object_keys import is_plain

GONE = frozenset({"NoSuchKey", "NoSuchVersion"})


class BucketAttempts:
    """One bucket, as the connection's identity sees it."""

    def __init__(self, connection: S3Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket

    def run(self, call: Callable[[], object], gone: frozenset[str] = GONE) -> str | None:
        """Runs one request: None when it worked or the object is gone, else the store's code or our reason word.

        ``gone``: the codes that mean so; none of them where one object's absence says nothing of the others.
        """
        try:
            with store_errors(f"work on bucket {self._bucket}"):
                try:
                    call()
                except S3Error as error:
                    return None if error.code in gone else error.code or "Unknown"
        except RetentionError as error:
            return error.reason
        return None

    def versions(self, key: str, *, markers: bool = True) -> tuple[str | None, list[str | None]]:
        """Every version and delete marker of exactly this key. No early end: not every store sorts versions strictly."""
        found: list[str | None] = []

        def read() -> None:
            listed = self._connection.client.list_objects(
                self._bucket, prefix=key, recursive=True, include_version=True
            )
            found.extend(
                entry.version_id
                for entry in listed
                if entry.object_name == key and (markers or not entry.is_delete_marker)
            )

        return self.run(read), found

    def newest(self, key: str) -> tuple[str | None, str | None]:
        """The error, and the newest version by the key's name."""
        answers: list[str | None] = [None]
        if not is_plain(key):
            # The store could answer for another object's name.
            return None, None
        error = self.run(lambda: answers.append(called(self._connection, self._bucket, key, None)))
        return error, answers[-1]
