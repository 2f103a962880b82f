"""Listing files by their last modification (M5): every version and delete marker below a prefix, page by page."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote
from xml.etree import ElementTree

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.uploads import parsed, text_of
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.files import FilePage, StoredFile
from tenant_retention.domain.ports.orphans import Place

_LISTING = 1_000
_VARIED = 100
_SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)


def page_of_files(connection: S3Connection, bucket: str, prefix: str, begins_at: Place, limit: int) -> FilePage:
    """See ``FileBucket.list_files``: one request.

    Pages have a length of chance: a listing may lose a name at the end of a page (see ``sweeping.is_missing``), and must not
    lose the same one every night.
    """
    task = f"list files of bucket {bucket}"
    size = min(limit, _LISTING) - (random.randrange(_VARIED) if limit > _VARIED else 0)
    answer = connection.request("GET", bucket, query=_query(prefix, begins_at, size), task=task)
    root = parsed(answer, task)
    encoded = root.findtext("EncodingType") == "url"
    files = tuple(_file(entry, encoded) for entry in root if entry.tag in ("Version", "DeleteMarker"))
    found = tuple(each for each in files if each.key.startswith(prefix))
    clock = _clock(answer.date)
    if root.findtext("IsTruncated") != "true":
        return FilePage(files=found, goes_on_at=None, store_clock=clock)
    place = [text_of(root, "NextKeyMarker", encoded), root.findtext("NextVersionIdMarker") or ""]
    if place == begins_at or not place[0]:
        raise Unavailable(f"cannot {task}: the store does not get on", reason="Unavailable")
    return FilePage(files=found, goes_on_at=place, store_clock=clock)


def _query(prefix: str, place: Place, size: int) -> str:
    query = f"encoding-type=url&max-keys={size}&prefix={quote(prefix, safe='')}&versions="
    if place is None:
        return query
    key, version = (quote(each, safe="") for each in place)
    # In the order of their names, as a signature needs them.
    marker = f"&version-id-marker={version}" if version else ""
    return f"encoding-type=url&key-marker={key}&max-keys={size}&prefix={quote(prefix, safe='')}{marker}&versions="


def _file(entry: ElementTree.Element, encoded: bool) -> StoredFile:
    modified = datetime.fromisoformat(entry.findtext("LastModified") or "")
    in_utc = modified.astimezone(UTC) if modified.tzinfo else modified.replace(tzinfo=UTC)
    # A store that tells whole seconds, or thousandths, has cut the rest off: nothing may go before its time for that (M8).
    cut_off = (
        _SECOND if in_utc.microsecond == 0 else timedelta(milliseconds=1) if in_utc.microsecond % 1000 == 0 else _TICK
    )
    return StoredFile(
        key=text_of(entry, "Key", encoded),
        version=entry.findtext("VersionId") or None,
        modified=in_utc + cut_off - _TICK,
        delete_marker=entry.tag == "DeleteMarker",
    )


def _clock(date: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(date).astimezone(UTC) if date else None
    except ValueError:
        return None
