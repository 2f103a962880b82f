"""A request of many keys that the store refuses as a whole says nothing of each key: it is asked again with fewer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import urllib3
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tenant_retention.adapters.s3.connection import Answer
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.domain.ports.enforcement import Claim


class RefusingClient:
    """Refuses every request that has the key ``bad`` in it, with this code; else deletes."""

    def __init__(self, code: str) -> None:
        self._code = code
        self.deleted: set[str] = set()
        self.requests = 0

    def remove_objects(self, _bucket: str, keys: Sequence[DeleteObject]) -> Iterator[Any]:
        """As minio-py: raises for an answer that is no 200."""
        self.requests += 1
        names = {key.name for key in keys}
        if "bad" in names:
            response = urllib3.HTTPResponse(status=404)
            raise S3Error(response, self._code, "refused", None, None, None)
        self.deleted |= names
        return iter(())


class Connection:
    """A connection over that client, to a bucket without unfinished uploads."""

    threads = 2

    def __init__(self, client: RefusingClient) -> None:
        self.client = client

    def request(self, *_arguments: object, **_options: object) -> Answer:
        """The list of unfinished uploads."""
        return Answer(200, "<ListMultipartUploadsResult/>")


def delete(client: RefusingClient) -> dict[str, str | None]:
    keys = ["bad", *(f"good-{number}" for number in range(9))]
    claims = [Claim(claim_id=number, key=key, version="v1") for number, key in enumerate(keys)]
    bucket = S3ContentBucket(Connection(client), "acme")  # type: ignore[arg-type]
    return {keys[done.claim_id]: done.error for done in bucket.delete_objects(claims)}


@pytest.mark.parametrize("code", ["MalformedXML", "XMinioInvalidObjectName", "KeyTooLongError"])
def test_one_impossible_key_keeps_no_other_object_of_its_batch_from_going__M10(code: str) -> None:
    client = RefusingClient(code)
    answers = delete(client)
    assert client.deleted == {f"good-{number}" for number in range(9)}
    assert answers == {"bad": code} | {f"good-{number}": None for number in range(9)}


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchVersion"])
def test_a_batch_refused_because_one_object_is_not_there_never_counts_as_gone_as_a_whole__M10(code: str) -> None:
    client = RefusingClient(code)
    assert set(delete(client).values()) == {None}
    assert client.deleted == {f"good-{number}" for number in range(9)}


@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown", "InternalError"])
def test_a_store_that_refuses_everything_is_not_asked_for_each_key(code: str) -> None:
    client = RefusingClient(code)
    assert set(delete(client).values()) == {code}
    assert client.requests == 1
