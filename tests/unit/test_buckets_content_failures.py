"""Deleting content when parts of it fail: what is not proven gone never counts as gone, and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import ServerError

from tenant_retention.adapters.s3.connection import Answer
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.domain.errors import RetentionError, Unavailable
from tenant_retention.domain.ports.enforcement import Claim

OLD_UPLOAD = (
    "<ListMultipartUploadsResult><Upload><Key>k0</Key><UploadId>u</UploadId>"
    "<Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>"
)
NO_UPLOADS = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"


@dataclass(frozen=True)
class Entry:
    object_name: str
    version_id: str


class FlakyClient:
    """minio-py's client as far as deletion uses it: ``answers`` by the first key of a batch, or by a single key."""

    def __init__(self, answers: dict[str, Exception | list[DeleteError]]) -> None:
        self._answers = answers
        self.batches: list[list[str]] = []
        self.singles: list[str] = []

    def remove_objects(self, bucket: str, objects: Iterable[DeleteObject]) -> Iterator[DeleteError]:
        keys = [item.name for item in objects]
        self.batches.append(keys)
        answer = next((self._answers[key] for key in keys if key in self._answers), [])
        if isinstance(answer, Exception):
            raise answer
        yield from answer

    def remove_object(self, bucket: str, key: str, version_id: str | None = None) -> None:
        self.singles.append(key)

    def list_objects(self, bucket: str, *, prefix: str, recursive: bool, include_version: bool) -> list[Entry]:
        answer = self._answers.get("list " + prefix)
        if isinstance(answer, Exception):
            raise answer
        return [Entry(prefix, "v1"), Entry(prefix, "v2"), Entry(prefix + "x", "v3")]


class Connection:
    """What S3ContentBucket uses of a connection."""

    threads = 2

    def __init__(self, client: FlakyClient, uploads: Answer | RetentionError, abort: Answer | None = None) -> None:
        self.client = client
        self._uploads = uploads
        self._abort = abort or Answer(204, "")

    def request(self, method: str, bucket: str, key: str = "", **rest: Any) -> Answer:
        answer = self._abort if method == "DELETE" else self._uploads
        if isinstance(answer, RetentionError):
            raise answer
        return answer


def errors(
    client: FlakyClient, claims: list[Claim], uploads: Answer | None = None, abort: Answer | None = None
) -> list[str | None]:
    connection = Connection(client, uploads or Answer(200, NO_UPLOADS), abort)
    content = S3ContentBucket(connection, "bucket", batch=2)  # type: ignore[arg-type]
    return [deletion.error for deletion in content.delete_objects(claims)]


def claims(count: int) -> list[Claim]:
    return [Claim(claim_id=number, key=f"k{number}", version="v") for number in range(count)]


def test_a_batch_that_gets_no_answer_fails_alone_and_the_others_are_gone() -> None:
    away = urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.ConnectTimeoutError())  # type: ignore[arg-type]
    assert errors(FlakyClient({"k2": away}), claims(6)) == [
        None,
        None,
        "ServerUnreachable",
        "ServerUnreachable",
        None,
        None,
    ]


def test_a_batch_that_the_server_fails_on_is_not_gone() -> None:
    assert errors(FlakyClient({"k0": ServerError("server", 503)}), claims(3)) == ["Unavailable", "Unavailable", None]


def test_an_error_inside_a_200_is_for_its_version_alone() -> None:
    inside = [DeleteError("AccessDenied", None, "k0", "v")]
    assert errors(FlakyClient({"k0": inside}), claims(2)) == ["AccessDenied", None]


def test_an_error_that_names_no_version_counts_for_the_key_and_one_that_names_no_key_for_the_whole_batch() -> None:
    assert errors(FlakyClient({"k0": [DeleteError("SlowDown", None, "k1", None)]}), claims(2)) == [None, "SlowDown"]
    assert errors(FlakyClient({"k0": [DeleteError("SlowDown", None, None, None)]}), claims(3)) == [
        "SlowDown",
        "SlowDown",
        None,
    ]


def test_no_such_version_inside_a_200_is_gone() -> None:
    inside = [DeleteError("NoSuchVersion", None, "k0", "v"), DeleteError("NoSuchKey", None, "k1", "v")]
    assert errors(FlakyClient({"k0": inside}), claims(2)) == [None, None]


def test_a_key_whose_versions_cannot_be_listed_is_not_gone_and_the_others_are() -> None:
    whole = [Claim(claim_id=1, key="a", version=None), Claim(claim_id=2, key="b", version=None)]
    client = FlakyClient({"list a": ServerError("server", 500)})
    assert errors(client, whole) == ["Unavailable", None]
    assert client.batches == [["b", "b"]]


def test_an_upload_that_would_not_end_keeps_its_key_from_counting_as_gone() -> None:
    refused = Answer(403, "<Error><Code>AccessDenied</Code></Error>")
    assert errors(FlakyClient({}), claims(2), Answer(200, OLD_UPLOAD), refused) == ["AccessDenied", None]
    gone = Answer(404, "<Error><Code>NoSuchUpload</Code></Error>")
    assert errors(FlakyClient({}), claims(2), Answer(200, OLD_UPLOAD), gone) == [None, None]


def test_a_store_that_does_not_answer_at_the_start_deletes_nothing() -> None:
    client = FlakyClient({})
    away = Unavailable("away", reason="ServerUnreachable")
    with pytest.raises(Unavailable):
        S3ContentBucket(Connection(client, away), "bucket").delete_objects(claims(3))  # type: ignore[arg-type]
    assert client.batches == []


def test_keys_that_xml_cannot_carry_go_one_by_one_and_those_that_could_mean_another_object_are_never_sent() -> None:
    client = FlakyClient({})
    odd = [
        Claim(claim_id=1, key="line\rbreak", version="v"),
        Claim(claim_id=2, key="a/../\tb", version="v"),
        Claim(claim_id=3, key="a/../b", version="v"),
    ]
    assert errors(client, odd) == [None, "UnsupportedKey", "UnsupportedKey"]
    assert client.singles == ["line\rbreak"]
    assert client.batches == []
