"""A page of a bucket, and whether single objects are there, for the nightly look for orphans."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from urllib.parse import quote
from xml.etree import ElementTree

from minio.error import S3Error

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import concerns_one_key, store_errors
from tenant_retention.adapters.s3.keys import DOT_SEGMENT
from tenant_retention.adapters.s3.uploads import parsed, text_of
from tenant_retention.domain.buckets import PROBE_PREFIX
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.orphans import ObjectRow, StoredObject
from tenant_retention.domain.ports.orphans import ObjectPage, Place

_LISTING = 1_000
_ENOUGH = 1_000
"""Entries in which an object is looked for: its own come first at most stores; more would read a folder for one name."""
_NOT_SO_CALLED = frozenset({400, 404, 405})
"""Nothing of that name, a name or version that the store does not take, a delete marker."""


def page_of(connection: S3Connection, bucket: str, begins_at: Place, limit: int) -> ObjectPage:
    """See ``OrphanBucket.list_objects``; a probe's objects are left out.

    Goes on where the store itself says, never after a key of our choice: SeaweedFS sorts what it lists and walks folder by
    folder, so that after ``a-b`` it would leave out all of ``a/``.
    """
    task = f"list bucket {bucket}"
    found: list[StoredObject] = []
    newer: StoredObject | None = None
    place, left = begins_at, limit
    while left > 0:
        root = parsed(connection.request("GET", bucket, query=_query(place, min(left, _LISTING)), task=task), task)
        encoded = root.findtext("EncodingType") == "url"
        entries = [entry for entry in root if entry.tag in ("Version", "DeleteMarker")]
        for entry in entries:
            newer = _stored(entry, encoded, newer)
            if not newer.delete_marker and not newer.key.startswith(PROBE_PREFIX):
                found.append(newer)
        if root.findtext("IsTruncated") != "true":
            return ObjectPage(objects=tuple(found), goes_on_at=None)
        before, place = place, [text_of(root, "NextKeyMarker", encoded), root.findtext("NextVersionIdMarker") or ""]
        if place == before or not place[0]:
            raise Unavailable(f"cannot {task}: the store does not get on", reason="Unavailable")
        left -= max(1, len(entries))
    return ObjectPage(objects=tuple(found), goes_on_at=place)


def is_missing(connection: S3Connection, bucket: str, row: ObjectRow) -> bool:
    """Whether the row's object is not there: the store does not answer to its name, and the listing of its key lacks it.

    Asked by name first, because a listing may lose a name: SeaweedFS 4.48 leaves out ``a/b`` where a page of a thousand
    ends before it among the likes of ``a/b-c``, and all of ``a/`` where one ends at ``a-b``.
    """
    with store_errors(f"look for an object of bucket {bucket}"):
        answer = called(connection, bucket, row.key, row.version)
        return answer is None and not _may_be_listed(connection, bucket, row)


def called(connection: S3Connection, bucket: str, key: str, version: str | None) -> str | None:
    """The version that the store answers with when it is asked for a key, or key and version; ``null`` where it keeps none.

    None: nothing of that name, or a delete marker above all else, or a name that cannot be asked for. Raises S3Error.
    """
    if not key or DOT_SEGMENT.search(key):
        return None
    try:
        return connection.client.stat_object(bucket, key, version_id=version).version_id or "null"
    except S3Error as error:
        # An answer to HEAD has no body: all that it says of one key is in its status.
        if error.response is None or error.response.status not in _NOT_SO_CALLED:
            raise
        return None


def _may_be_listed(connection: S3Connection, bucket: str, row: ObjectRow) -> bool:
    try:
        listed = connection.client.list_objects(bucket, prefix=row.key, recursive=True, include_version=True)
        for seen, entry in enumerate(islice(listed, _ENOUGH + 1)):
            if seen == _ENOUGH:
                # Not read to its end. A version was asked for by name as well; without one the key may have older ones.
                return row.version is None
            if entry.object_name == row.key and not entry.is_delete_marker and row.version in (None, entry.version_id):
                return True
    except S3Error as error:
        # A key that the store does not take must not end every night's page at its row.
        if not concerns_one_key(error.code or ""):
            raise
        return True
    return False


def _query(place: Place, limit: int) -> str:
    query = f"encoding-type=url&max-keys={limit}&versions="
    if place is None:
        return query
    key, version = (quote(each, safe="") for each in place)
    return f"{query}&key-marker={key}" + (f"&version-id-marker={version}" if version else "")


def _stored(entry: ElementTree.Element, encoded: bool, newer: StoredObject | None) -> StoredObject:
    """One entry; ``newer``: the one listed before it. A key's newest comes first, so it may be what took this one's place."""
    modified = datetime.fromisoformat(entry.findtext("LastModified") or "")
    in_utc = modified if modified.tzinfo else modified.replace(tzinfo=UTC)
    key, marker = text_of(entry, "Key", encoded), entry.tag == "DeleteMarker"
    follows = newer is not None and newer.key == key and entry.findtext("IsLatest") != "true"
    # A store that lists the older one first says nothing of when this one was replaced.
    replaced = newer.modified if follows and newer and newer.modified and newer.modified >= in_utc else None
    return StoredObject(key, entry.findtext("VersionId") or None, in_utc, marker, replaced)
