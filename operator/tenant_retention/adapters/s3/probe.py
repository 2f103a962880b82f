"""Tries keys as a tenant would, and as it must not. Requests that must be refused are made so that they change nothing
even where they are let through: a wrong checksum, a version that does not exist, a body that cannot be read.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tenant_retention.adapters.s3.connection import Answer, Patience, S3Connection
from tenant_retention.adapters.s3.errors import AUTHENTICATION_CODES, from_code, store_errors
from tenant_retention.adapters.s3.uploads import error_code
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole
from tenant_retention.domain.buckets import PROBE_PREFIX
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.buckets import AccessReport, Breach

_ANOTHER_MD5 = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
"""The MD5 of nothing, sent with a body of one byte: whoever may write gets BadDigest, and nothing is written."""


@dataclass(frozen=True)
class _Forbidden:
    """One request that must be refused. ``what`` completes "was allowed to"."""

    what: str
    method: str
    query: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    on_object: bool = False


def _md5(body: bytes) -> dict[str, str]:
    """Some stores look for this header before they look at who asks."""
    return {"Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}


_LIST = _Forbidden("list", "GET", "list-type=2&max-keys=1")
_LIST_VERSIONS = _Forbidden("list versions", "GET", "max-keys=1&versions=")
_READ = _Forbidden("read", "GET", on_object=True)
_WRITE = _Forbidden("write", "PUT", body=b"x", headers=tuple(_ANOTHER_MD5.items()), on_object=True)
# Where this is let through it leaves a delete marker under the probe's prefix, which the probe removes.
_DELETE = _Forbidden("delete", "DELETE", on_object=True)
_DELETE_VERSION = _Forbidden("delete versions", "DELETE", "versionId=null", on_object=True)
_CONFIGURE = tuple(
    _Forbidden(f"change the {setting} setting", "PUT", f"{setting}=", body, tuple(_md5(body).items()))
    for setting, body in (
        # Never valid, so that nothing changes where the key is let through; tried: MinIO takes broken XML for its own fault
        # in the first one only, SeaweedFS takes an empty list of rules for a wish.
        ("versioning", b"<VersioningConfiguration><Status>Probe</Status></VersioningConfiguration>"),
        ("lifecycle", b"<LifecycleConfiguration>"),
        ("policy", b"{}"),
    )
)
_EVERYTHING = (_LIST, _LIST_VERSIONS, _READ, _WRITE, _DELETE_VERSION, *_CONFIGURE)
_FORBIDDEN: Mapping[BucketRole, tuple[_Forbidden, ...]] = {
    BucketRole.APP: (_DELETE, _DELETE_VERSION, *_CONFIGURE),
    BucketRole.READER: (_WRITE, _DELETE, _DELETE_VERSION, *_CONFIGURE),
    BucketRole.ENFORCER: (_WRITE, *_CONFIGURE),
}


class S3Probe:
    """Probes buckets of one endpoint; ``administrator`` removes what a probe wrote. Implements ``BucketProbe``.

    ``wait``: seconds until a new key must be known.
    """

    def __init__(self, administrator: S3Connection, *, wait: float = 30.0, patience: Patience | None = None) -> None:
        self._administrator = administrator
        self._wait = wait
        self._patience = patience

    def verify_access(self, bucket: str, keys: Mapping[BucketRole, AccessKey]) -> AccessReport:
        """Every role does what it may, is refused the rest. Raises NotReady (NotYetVerified), Invalid (PrivilegesMissing ...)."""
        tried = _Tally()
        probe_key = PROBE_PREFIX + secrets.token_hex(8)
        try:
            for role in (BucketRole.APP, BucketRole.READER, BucketRole.ENFORCER):
                if role in keys:
                    with self._as(keys[role]) as connection:
                        self._wait_until_known(connection, bucket, role)
                        self._do_allowed(connection, bucket, role, probe_key, tried)
                        self._try_forbidden(connection, bucket, probe_key, f"the {role} key", _FORBIDDEN[role], tried)
        finally:
            self._clean(bucket)
        return tried.report()

    def verify_isolation(self, keys: Mapping[BucketRole, AccessKey], foreign_buckets: tuple[str, ...]) -> AccessReport:
        """Every key, and nobody, in buckets of others: everything is refused. Raises Unavailable if a store does not answer."""
        tried = _Tally()
        probe_key = PROBE_PREFIX + secrets.token_hex(8)
        visitors: dict[str, AccessKey | None] = {f"the {role} key": key for role, key in keys.items()}
        for visitor, key in {**visitors, "an unsigned request": None}.items():
            with self._as(key) as connection:
                for bucket in foreign_buckets:
                    self._try_forbidden(connection, bucket, probe_key, visitor, _EVERYTHING, tried)
        return tried.report()

    def has_wrong_secret(self, key: AccessKey, bucket: str) -> bool:
        """True if the store knows the key's id, and the secret is not its own: somebody edited it."""
        with self._as(key) as connection:
            answer = connection.request("GET", bucket, query=_LIST.query, task="try a key")
            return error_code(answer) == "SignatureDoesNotMatch"

    def is_dead(self, key: AccessKey, bucket: str) -> bool:
        """True if the store no longer knows the key."""
        with self._as(key) as connection:
            answer = connection.request("GET", bucket, query=_LIST.query, task="try an ended key")
            return answer.status == 403 and error_code(answer) in AUTHENTICATION_CODES

    def _as(self, key: AccessKey | None) -> S3Connection:
        return S3Connection(self._administrator.endpoint, key, threads=1, patience=self._patience)

    def _wait_until_known(self, connection: S3Connection, bucket: str, role: BucketRole) -> None:
        deadline = time.monotonic() + self._wait
        pause = 0.1
        while True:
            answer = connection.request("GET", bucket, query=_LIST.query, task=f"try the {role} key")
            if answer.status == 200:
                return
            code = error_code(answer)
            if answer.status != 403:
                raise from_code(code, answer.status, f"list bucket {bucket} with the {role} key")
            if time.monotonic() + pause > deadline:
                raise NotReady(
                    f"the {role} key of bucket {bucket} is refused ({code}) after {self._wait:.0f} s",
                    reason="NotYetVerified",
                )
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _do_allowed(
        self, connection: S3Connection, bucket: str, role: BucketRole, probe_key: str, tried: _Tally
    ) -> None:
        client = connection.client
        with store_errors(f"use the {role} key in bucket {bucket}"):
            match role:
                case BucketRole.APP:
                    client.put_object(bucket, probe_key, BytesIO(b"probe"), 5)
                    if self._read(connection, bucket, probe_key) != b"probe":
                        raise Invalid(
                            f"bucket {bucket} gave back other bytes than were written", reason="SettingNotKept"
                        )
                    tried.count(2)
                case BucketRole.READER:
                    if any(True for _ in client.list_objects(bucket, prefix=probe_key)):
                        self._read(connection, bucket, probe_key)
                    tried.count(2)
                case BucketRole.ENFORCER:
                    self._delete_versions(connection, bucket, probe_key)
                    tried.count(2)

    def _try_forbidden(
        self,
        connection: S3Connection,
        bucket: str,
        probe_key: str,
        visitor: str,
        forbidden: tuple[_Forbidden, ...],
        tried: _Tally,
    ) -> None:
        for attempt in forbidden:
            answer = connection.request(
                attempt.method,
                bucket,
                probe_key + "-elsewhere" if attempt.on_object else "",
                query=attempt.query,
                body=attempt.body,
                headers=dict(attempt.headers),
                task=f"probe bucket {bucket}",
            )
            tried.refused(answer, f"{visitor} was allowed to {attempt.what} in bucket {bucket}")

    def _read(self, connection: S3Connection, bucket: str, key: str) -> bytes:
        response = connection.client.get_object(bucket, key)
        try:
            return bytes(response.data)
        finally:
            response.close()
            response.release_conn()

    def _clean(self, bucket: str) -> None:
        """Removes what this probe or an interrupted one wrote; a bucket that is away has nothing to remove."""
        with store_errors(f"remove probes from bucket {bucket}"):
            try:
                self._delete_versions(self._administrator, bucket, PROBE_PREFIX)
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise

    def _delete_versions(self, connection: S3Connection, bucket: str, prefix: str) -> None:
        listed = connection.client.list_objects(bucket, prefix=prefix, recursive=True, include_version=True)
        versions = [DeleteObject(entry.object_name or "", entry.version_id) for entry in listed]
        for error in connection.client.remove_objects(bucket, versions):
            raise from_code(error.code, 0, f"delete a probe from bucket {bucket}")


class _Tally:
    """Counts what was tried, and collects what should have been refused."""

    def __init__(self) -> None:
        self._tried = 0
        self._breaches: list[Breach] = []

    def count(self, number: int) -> None:
        self._tried += number

    def refused(self, answer: Answer, what: str) -> None:
        self._tried += 1
        if answer.status >= 500 or answer.status == 429:
            raise from_code(error_code(answer), answer.status, "probe the bucket")
        if answer.status not in {401, 403}:
            self._breaches.append(Breach(what))

    def report(self) -> AccessReport:
        return AccessReport(self._tried, tuple(self._breaches))
