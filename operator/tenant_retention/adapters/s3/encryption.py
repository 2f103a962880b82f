"""Tries how a bucket's data lies and travels (T8): an object is written and read back, and the address is tried without TLS."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from urllib.parse import urlsplit

import requests
from minio import Minio
from minio.deleteobjects import DeleteObject
from requests_aws4auth import AWS4Auth

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import from_code, store_errors
from tenant_retention.adapters.s3.uploads import error_code
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole
from tenant_retention.domain.buckets import PROBE_PREFIX
from tenant_retention.domain.errors import NotReady

_HEADER = "x-amz-server-side-encryption"
_PLAIN_WAIT = 3.0
"""Seconds: where nobody listens without TLS, a firewall may let the question vanish."""
_READ_OR_REFUSED = frozenset({200, 401, 403, 404})
"""How a store answers a question without a key."""


def clear_bucket_data(
    administrator: S3Connection, bucket: str, keys: Mapping[BucketRole, AccessKey]
) -> tuple[str, ...]:
    """Where the bucket's data lies or may travel in the clear; each with its next step. Empty: nowhere.

    Nothing it writes stays. Raises NotReady (NotYetVerified) while a key is not known, Unavailable, Invalid.
    """
    found = []
    with store_errors(f"try the encryption of bucket {bucket}"):
        if not _lies_encrypted(administrator.client, bucket):
            found.append(
                f"an object written to bucket {bucket} lies there in the clear: switch on the store's server-side encryption "
                "(SSE-S3; MinIO and SeaweedFS need a key in their own settings for it)"
            )
    found += [
        f"{address} serves the bucket {bucket} without TLS: close that port, or deny requests where aws:SecureTransport is "
        "false"
        for address in _served_plainly(administrator, bucket, keys)
    ]
    return tuple(found)


def _lies_encrypted(client: Minio, bucket: str) -> bool:
    """Whether the default encryption that reads back also reaches an object."""
    key = PROBE_PREFIX + secrets.token_hex(8)
    default = client.get_bucket_encryption(bucket)
    try:
        client.put_object(bucket, key, BytesIO(b"probe"), 5)
        headers = client.stat_object(bucket, key).metadata or {}
        return default is not None and bool(headers.get(_HEADER))
    finally:
        _clean(client, bucket)


def _clean(client: Minio, bucket: str) -> None:
    """Removes what this probe or an interrupted one wrote, every version of it."""
    listed = client.list_objects(bucket, prefix=PROBE_PREFIX, recursive=True, include_version=True)
    versions = [DeleteObject(entry.object_name or "", entry.version_id) for entry in listed]
    for error in client.remove_objects(bucket, versions):
        raise from_code(error.code, 0, f"delete a probe from bucket {bucket}")


def _served_plainly(administrator: S3Connection, bucket: str, keys: Mapping[BucketRole, AccessKey]) -> list[str]:
    """The addresses at which a tenant's key reads the bucket by http. Only a signature for one read of nothing travels."""
    key = keys.get(BucketRole.APP) or next(iter(keys.values()), None)
    if key is None:
        return []
    endpoint, nothing = administrator.endpoint, PROBE_PREFIX + secrets.token_hex(8)
    with S3Connection(endpoint, key, threads=1) as verified:
        answer = verified.request("GET", bucket, nothing, task=f"try the {BucketRole.APP} key")
    if answer.status >= 500:
        raise from_code(error_code(answer), answer.status, f"read from bucket {bucket}")
    if answer.status != 404:
        raise NotReady(f"a key of bucket {bucket} is not known to the store yet", reason="NotYetVerified")
    address = urlsplit(endpoint.url)
    ports = [address.port or 443] + ([80] if address.port in (None, 443) else [])
    places = [f"http://{address.hostname}:{port}" for port in ports]
    return [place for place in places if answers_plainly(f"{place}/{bucket}/{nothing}", key, endpoint.region)]


def answers_plainly(url: str, key: AccessKey, region: str) -> bool:
    """Whether a key reads ``url`` (http) there. It travels only where a service of that kind answers whoever asks: an address
    that is closed, speaks TLS alone or sends on to https never hears of it."""
    with requests.Session() as session:
        session.trust_env = False
        ask = partial(session.get, url, timeout=_PLAIN_WAIT, allow_redirects=False)
        try:
            if ask(headers={"Connection": "close"}).status_code not in _READ_OR_REFUSED:
                return False
            # Only to a known key does a store say whether it would serve it without TLS.
            answer = ask(auth=AWS4Auth(key.key_id, key.secret, region, "s3"))
        except requests.RequestException:
            # Nobody listens, or not for this: that is the answer that is wanted.
            return False
        # That it is not there, it says to whom it would have told what is.
        return answer.status_code in {200, 404} and "NoSuchKey" in answer.text
