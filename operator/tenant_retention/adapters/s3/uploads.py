"""Unfinished multipart uploads: data too, and invisible to object listings. minio-py has no public call for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from tenant_retention.adapters.s3.connection import Answer, S3Connection
from tenant_retention.adapters.s3.errors import from_code
from tenant_retention.domain.errors import Unavailable

_GONE = frozenset({"NoSuchUpload", "NoSuchKey"})


@dataclass(frozen=True)
class Upload:
    """One upload that was begun and neither completed nor aborted. ``initiated``: UTC."""

    key: str
    upload_id: str
    initiated: datetime


def unfinished_uploads(connection: S3Connection, bucket: str) -> Iterator[Upload]:
    """Every unfinished upload of the bucket. Raises Unavailable or Invalid (PrivilegesMissing, AuthenticationFailed).

    MinIO lists none without a key; it ends uploads by itself after 24 hours.
    """
    task = f"list unfinished uploads of bucket {bucket}"
    marker = ""
    while True:
        query = f"encoding-type=url&uploads={marker}"
        root = parsed(connection.request("GET", bucket, query=query, task=task), task)
        # Only what says that keys are encoded has encoded keys: SeaweedFS ignores the wish.
        encoded = root.findtext("EncodingType") == "url"
        for element in root.findall("Upload"):
            yield _upload(element, encoded)
        if root.findtext("IsTruncated") != "true":
            return
        following = text_of(root, "NextKeyMarker", encoded), root.findtext("NextUploadIdMarker") or ""
        after = f"&key-marker={quote(following[0], safe='')}&upload-id-marker={quote(following[1], safe='')}"
        if after == marker or not following[0]:
            raise Unavailable(f"cannot {task}: the store does not get on", reason="Unavailable")
        marker = after


def abort_upload(connection: S3Connection, bucket: str, upload: Upload) -> str | None:
    """Aborts one upload; the store's error code if it would not, None when the upload is gone."""
    task = f"abort an upload of bucket {bucket}"
    query = f"uploadId={quote(upload.upload_id, safe='')}"
    answer = connection.request("DELETE", bucket, upload.key, query=query, task=task)
    if answer.status in {200, 204}:
        return None
    code = error_code(answer)
    return None if code in _GONE else code or str(answer.status)


def error_code(answer: Answer) -> str:
    """The error code of an answer's XML body, empty if there is none."""
    try:
        root = ElementTree.fromstring(answer.body)
    except ElementTree.ParseError:
        return ""
    return next((element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Code"), "")


def parsed(answer: Answer, task: str) -> ElementTree.Element:
    """The XML of an answer, names without their namespace. Raises as ``unfinished_uploads``."""
    if answer.status != 200:
        raise from_code(error_code(answer), answer.status, task)
    try:
        root = ElementTree.fromstring(answer.body)
    except ElementTree.ParseError:
        raise Unavailable(f"cannot {task}: the answer cannot be read", reason="Unavailable") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _upload(element: ElementTree.Element, encoded: bool) -> Upload:
    initiated = datetime.fromisoformat(element.findtext("Initiated") or "")
    in_utc = initiated if initiated.tzinfo else initiated.replace(tzinfo=UTC)
    return Upload(text_of(element, "Key", encoded), element.findtext("UploadId") or "", in_utc)


def text_of(element: ElementTree.Element, name: str, encoded: bool) -> str:
    """The text of a child, decoded if the answer says that it is encoded; empty where there is none."""
    text = element.findtext(name) or ""
    return unquote_plus(text) if encoded else text
