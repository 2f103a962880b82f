"""Deleting content as the enforcer: named versions in batches, everything of a key where no version is named.

Measured (RETENTION.md section 3): 100 keys a request on 8 threads is fastest at SeaweedFS. What was deleted before and
is claimed again, because a reply or the process was lost, counts as gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice

from minio.commonconfig import GOVERNANCE
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.retention import Retention

from tenant_retention.adapters.s3.attempts import GONE, BucketAttempts
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import concerns_one_key, store_errors
from tenant_retention.adapters.s3.files import page_of_files
from tenant_retention.adapters.s3.keys import DOT_SEGMENT, NOT_IN_XML
from tenant_retention.adapters.s3.sweeping import is_missing, page_of
from tenant_retention.adapters.s3.uploads import Upload, abort_upload, unfinished_uploads
from tenant_retention.domain.errors import RetentionError, Unavailable
from tenant_retention.domain.object_keys import is_plain
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.ports.enforcement import Claim, LockOutcome, ObjectDeletion, ObjectLock
from tenant_retention.domain.ports.files import FilePage
from tenant_retention.domain.ports.orphans import ObjectPage, Place

BATCH = 100
"""Keys a request."""
UPLOAD_GRACE = timedelta(hours=24)
"""Unfinished uploads younger than this may still be going on: somebody's new object, not the one that is due."""
_NO_LOCK = frozenset({"ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound", "InvalidRequest"})

_Target = tuple[str, str | None]
"""Key and version; None: the key has no versions."""


class S3ContentBucket:
    """A tenant's content bucket as the enforcer identity sees it. Implements ``ContentBucket``.

    Uses ``connection.threads`` requests at once; give it about ``threads * batch`` claims a call to keep them busy.
    """

    def __init__(
        self, connection: S3Connection, bucket: str, *, batch: int = BATCH, upload_grace: timedelta = UPLOAD_GRACE
    ) -> None:
        self._connection = connection
        self._client = connection.client
        self._bucket = bucket
        self._attempts = BucketAttempts(connection, bucket)
        self._batch = batch
        self._upload_grace = upload_grace

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        """Deletes what the claims name, and aborts unfinished uploads of those keys; outcomes in the order of ``claims``.

        Errors are the store's codes, ``ServerUnreachable``, or ``UnsupportedKey``: a key that could mean another object.
        Raises Unavailable if the store does not answer at all, Invalid if it refuses the identity: then nothing was deleted.
        """
        if not claims:
            return ()
        named = [claim for claim in claims if is_plain(claim.key)]
        # First, because it also proves that store and identity are fine before anything is deleted.
        uploads = self._stale_uploads(self._upload_grace, {claim.key for claim in named})
        with ThreadPoolExecutor(max_workers=self._connection.threads) as threads:
            failed, targets, unlisted = self._targets(threads, named)
            failed |= self._delete(threads, targets)
            failed |= self._delete_unlisted(threads, unlisted)
            failed |= dict(self._abort(threads, uploads))
        by_key = _first_error_by_key(failed)

        def error(claim: Claim) -> str | None:
            if not is_plain(claim.key):
                return "UnsupportedKey"  # The store could take it for another object's name, which may be younger.
            if claim.version is None:
                return by_key.get(claim.key)
            return failed.get((claim.key, claim.version)) or failed.get((claim.key, None))

        return tuple(ObjectDeletion(claim_id=claim.claim_id, error=error(claim)) for claim in claims)

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        """See ``ContentBucket.abort_unfinished_uploads``."""
        uploads = self._stale_uploads(older_than, None)
        with ThreadPoolExecutor(max_workers=self._connection.threads) as threads:
            failed = list(self._abort(threads, uploads))
        if failed:
            raise Unavailable(
                f"{len(failed)} of {len(uploads)} unfinished uploads could not be ended ({failed[0][1]})",
                reason="UploadsLeft",
            )
        return len(uploads)

    def retain_objects(self, locks: Sequence[ObjectLock]) -> tuple[LockOutcome, ...]:
        """Locks objects (GOVERNANCE) until their min is reached; where no version is named, every version that is there.

        Never shortens: an object that is locked for longer already is fine, one that is gone too. Errors and what is
        raised as in ``delete_objects``.
        """
        if not locks:
            return ()
        if not self._locks_objects():
            return tuple(LockOutcome(lock_id=lock.lock_id, error="ObjectLockMissing") for lock in locks)
        with ThreadPoolExecutor(max_workers=self._connection.threads) as threads:
            return tuple(
                LockOutcome(lock_id=lock.lock_id, error=error)
                for lock, error in zip(locks, threads.map(self._retain, locks), strict=True)
            )

    def list_objects(self, begins_at: Place, limit: int) -> ObjectPage:
        """See ``OrphanBucket.list_objects``."""
        return page_of(self._connection, self._bucket, begins_at, limit)

    def list_files(self, prefix: str, begins_at: Place, limit: int) -> FilePage:
        """See ``FileBucket.list_files``."""
        return page_of_files(self._connection, self._bucket, prefix, begins_at, limit)

    def missing_objects(self, rows: Sequence[ObjectRow]) -> tuple[ObjectRow, ...]:
        """See ``OrphanBucket.missing_objects``: one question a row, and a listing where the answer is no."""
        with ThreadPoolExecutor(max_workers=self._connection.threads) as threads:
            absent = threads.map(lambda row: is_missing(self._connection, self._bucket, row), rows)
            return tuple(row for row, gone in zip(rows, absent, strict=True) if gone)

    def _targets(
        self, threads: ThreadPoolExecutor, claims: Sequence[Claim]
    ) -> tuple[dict[_Target, str], set[_Target], list[str]]:
        """What could not be listed, every version to delete, and the keys of which the listing knows nothing."""
        targets: set[_Target] = {(claim.key, claim.version) for claim in claims if claim.version is not None}
        failed: dict[_Target, str] = {}
        unlisted: list[str] = []
        whole = sorted({claim.key for claim in claims if claim.version is None})
        for key, (error, versions) in zip(whole, threads.map(self._attempts.versions, whole), strict=True):
            targets.update((key, version) for version in versions)
            if error is not None:
                failed[key, None] = error
            elif not versions:
                unlisted.append(key)
        return failed, targets, unlisted

    def _delete(self, threads: ThreadPoolExecutor, targets: set[_Target]) -> dict[_Target, str]:
        ordered = sorted(targets, key=lambda target: (target[0], target[1] or ""))
        bulk = [target for target in ordered if not NOT_IN_XML.search(target[0])]
        single = [target for target in ordered if NOT_IN_XML.search(target[0])]
        failed: dict[_Target, str] = {}
        for outcome in threads.map(self._delete_batch, _batches(bulk, self._batch)):
            failed |= outcome
        for target, error in zip(single, threads.map(self._delete_single, single), strict=True):
            if error is not None:
                failed[target] = error
        return failed

    def _delete_batch(self, batch: tuple[_Target, ...]) -> dict[_Target, str]:
        """One request; the errors inside its 200. What cannot be told of which key it is said is asked again with fewer."""
        named: list[tuple[str | None, str | None, str]] = []

        def send() -> None:
            keys = [DeleteObject(key, version) for key, version in batch]
            named.extend(
                (error.name, error.version_id, error.code) for error in self._client.remove_objects(self._bucket, keys)
            )

        refused = self._attempts.run(send, gone=frozenset())
        if refused is not None:
            return self._delete_halves(batch, refused)
        failed: dict[_Target, str] = {}
        for key, version, code in named:
            if code in GONE:
                continue
            hit = [target for target in batch if target == (key, version)]
            hit = hit or [target for target in batch if target[0] == key]
            if not hit:
                # A store may spell a key in its own way: "/" is the empty key at MinIO.
                return self._delete_halves(batch, code)
            failed |= dict.fromkeys(hit, code)
        return failed

    def _delete_halves(self, batch: tuple[_Target, ...], code: str) -> dict[_Target, str]:
        """After a refusal that names no key: one impossible key must neither keep the others nor speak for them."""
        if len(batch) == 1 and code in GONE:
            return {}
        if len(batch) == 1 or not concerns_one_key(code):
            return dict.fromkeys(batch, code)
        half = len(batch) // 2
        return self._delete_batch(batch[:half]) | self._delete_batch(batch[half:])

    def _delete_single(self, target: _Target) -> str | None:
        key, version = target
        return self._attempts.run(lambda: self._client.remove_object(self._bucket, key, version_id=version))

    def _delete_unlisted(self, threads: ThreadPoolExecutor, keys: Sequence[str]) -> dict[_Target, str]:
        outcomes = zip(keys, threads.map(self._delete_by_name, keys), strict=True)
        return {(key, None): error for key, error in outcomes if error is not None}

    def _delete_by_name(self, key: str) -> str | None:
        """Version by version, as long as the store answers to the name: a listing may lose one (see ``sweeping.is_missing``)."""
        deleted: set[str] = set()
        while True:
            error, version = self._attempts.newest(key)
            if error is not None or version is None:
                return error
            if version in deleted:
                return "NotDeleted"
            error = self._delete_single((key, version))
            if error is not None:
                return error
            deleted.add(version)

    def _stale_uploads(self, older_than: timedelta, keys: set[str] | None) -> list[Upload]:
        before = datetime.now(UTC) - older_than
        return [
            upload
            for upload in unfinished_uploads(self._connection, self._bucket)
            # SeaweedFS lists an object that somebody put at `.uploads/x` as an upload without a key; nobody can end that.
            if upload.key and upload.initiated <= before and (keys is None or upload.key in keys)
        ]

    def _abort(self, threads: ThreadPoolExecutor, uploads: list[Upload]) -> Iterable[tuple[_Target, str]]:
        for upload, error in zip(uploads, threads.map(self._abort_one, uploads), strict=True):
            if error is not None:
                yield (upload.key, None), error

    def _abort_one(self, upload: Upload) -> str | None:
        if DOT_SEGMENT.search(upload.key):
            return "UnsupportedKey"  # A path with dots is rewritten on its way and would name another key.
        try:
            return abort_upload(self._connection, self._bucket, upload)
        except RetentionError as error:
            return error.reason

    def _locks_objects(self) -> bool:
        """Whether the bucket has object lock: without it SeaweedFS takes a retain-until, shows it, and deletes all the same.

        Where the identity may not ask (one that a platform made by hand), the store's word for each object has to do.
        """
        with store_errors(f"work on bucket {self._bucket}"):
            try:
                self._client.get_object_lock_config(self._bucket)
            except S3Error as error:
                if error.code == "AccessDenied":
                    return True
                if error.code in _NO_LOCK:
                    return False
                raise
        return True

    def _retain(self, lock: ObjectLock) -> str | None:
        if DOT_SEGMENT.search(lock.key):
            return "UnsupportedKey"  # Of a row from before such keys were refused. minio-py raises what would end the whole run.
        if lock.version is not None:
            return self._retain_version(lock.key, lock.version, lock.until)
        error, versions = self._attempts.versions(lock.key, markers=False)
        if error is None and not versions:
            error, version = self._attempts.newest(lock.key)
            versions = [] if version is None else [version]
        outcomes = [self._retain_version(lock.key, version, lock.until) for version in versions]
        return error or next((outcome for outcome in outcomes if outcome is not None), None)

    def _retain_version(self, key: str, version: str | None, until: datetime) -> str | None:
        retention = Retention(GOVERNANCE, until.astimezone(UTC))
        error = self._attempts.run(
            lambda: self._client.set_object_retention(self._bucket, key, retention, version_id=version)
        )
        if error == "AccessDenied" and self._retained_until(key, version) >= until.replace(microsecond=0):
            return None
        return error

    def _retained_until(self, key: str, version: str | None) -> datetime:
        known = [datetime.min.replace(tzinfo=UTC)]

        def read() -> None:
            found = self._client.get_object_retention(self._bucket, key, version_id=version)
            if found is not None:
                known.append(found.retain_until_date)

        self._attempts.run(read)
        return max(known)


def _first_error_by_key(failed: dict[_Target, str]) -> dict[str, str]:
    by_key: dict[str, str] = {}
    for (key, _), code in failed.items():
        by_key.setdefault(key, code)
    return by_key


def _batches(targets: Sequence[_Target], size: int) -> Iterable[tuple[_Target, ...]]:
    waiting = iter(targets)
    while batch := tuple(islice(waiting, size)):
        yield batch
