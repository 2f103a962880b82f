"""Keys that an application may write into its own rows, meant to reach beyond its own objects: they reach nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.adapters.s3.uploads import unfinished_uploads
from tenant_retention.domain.bucket_identities import BucketRole
from tenant_retention.domain.object_keys import folded_version
from tests.stores.object_stores import ObjectStore, RealObjectStore
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_buckets import a_tenant_bucket
from tests.stores.test_content_deletion import outcomes, retain

NEIGHBOURS = ("audio/1", "audio/deep/2", "k")
BAD_KEYS = ("", "/", "//", "audio", "audio/", "audio//1", "./audio/1", "audio/../k", "*", "l" * 1100)


def test_a_key_that_names_no_object_reaches_no_other_object_no_other_tenant_and_keeps_no_other_claim_from_going__X2(
    object_store: ObjectStore,
) -> None:
    mine, other = a_tenant_bucket(object_store), a_tenant_bucket(object_store)
    kept = {(key, mine.put(key, b"x"), False) for key in NEIGHBOURS}
    theirs = {(key, other.put(key, b"x"), False) for key in NEIGHBOURS}
    stored = next(version for key, version, _ in theirs if key == "audio/1")
    for key in (*BAD_KEYS, f"../{other.name}/audio/1", f"x/../../{other.name}/audio/1"):
        due = mine.put("due", b"x")
        answers = outcomes(mine, (key, None), (key, "null"), (key, "made-up"), (key, stored), ("due", due))
        # Whatever the store says of the bad key, the good one of the same batch goes.
        assert answers[4] is None, (key, answers)
        assert mine.versions() == kept, key
        assert other.versions() == theirs, key


ALIASES = (
    "audio//young.wav",
    "//audio/young.wav",
    "/audio/young.wav",
    "audio\\young.wav",
    "audio/young.wav/",
    "audio/./young.wav",
    "audio/x/../young.wav",
    "audio/young.wav.versions",
    "audio/young.wav.versions/v_{version}",
)


@pytest.mark.parametrize("alias", ALIASES)
def test_no_other_spelling_of_a_key_deletes_its_object_and_each_is_told__M8(
    object_store: ObjectStore, alias: str
) -> None:
    mine = a_tenant_bucket(object_store)
    young, due = mine.put("audio/young.wav", b"x"), mine.put("due", b"x")
    spelled = alias.format(version=young)
    answers = outcomes(mine, (spelled, young), (spelled, None), ("due", due))
    assert answers == ["UnsupportedKey", "UnsupportedKey", None]
    assert mine.versions() == {("audio/young.wav", young, False)}


def test_an_object_that_the_store_lists_as_an_upload_without_a_key_keeps_no_other_upload_from_being_ended(
    seaweedfs: S3Server,
) -> None:
    with S3Connection(seaweedfs.endpoint, seaweedfs.administrator) as administrator:
        bench = RealObjectStore(seaweedfs, administrator)
        mine = a_tenant_bucket(bench)
        administrator.client.put_object(mine.name, ".uploads/x", BytesIO(b"x"), 1)
        assert [upload.key for upload in unfinished_uploads(administrator, mine.name)] == [""]
        with S3Connection(seaweedfs.endpoint, mine.keys[BucketRole.APP]) as app:
            assert app.request("POST", mine.name, "a", query="uploads=", task="begin an upload").status == 200
        with S3Connection(seaweedfs.endpoint, mine.keys[BucketRole.ENFORCER]) as enforcer:
            assert S3ContentBucket(enforcer, mine.name).abort_unfinished_uploads(timedelta(0)) == 1
        bench.close()


def test_whatever_spelling_of_a_version_a_store_takes_for_it_the_rule_takes_for_it_too__M8(
    object_store: ObjectStore,
) -> None:
    mine = a_tenant_bucket(object_store)
    spellings: tuple[Callable[[str], str], ...] = (
        str.upper,
        lambda version: version.replace("-", ""),
        lambda version: f"urn:uuid:{version}",
        lambda version: f"{{{version}}}",
        lambda version: f"x{version}y",
        lambda version: f"0{version}",
        lambda version: f"{version} ",
        lambda version: f"{version}.",
        lambda version: f"x/../v_{version}",
    )
    for number, spell in enumerate(spellings):
        version = mine.put(f"k{number}", b"x")
        outcomes(mine, (f"k{number}", spell(version)))
        is_there = (f"k{number}", version, False) in mine.versions()
        assert is_there or folded_version(spell(version)) == folded_version(version), spell(version)


def test_a_young_row_from_before_dotted_keys_were_refused_keeps_no_other_object_from_being_locked_and_ends_no_run__M8(
    object_store: ObjectStore,
) -> None:
    mine = a_tenant_bucket(object_store, object_lock=True)
    young = mine.put("audio/young.wav", b"x")
    keys = ("audio/x/../young.wav", "audio/./young.wav", ".", "..")
    names = [(key, version) for key in keys for version in (young, None)]
    *_, locked = retain(mine, *names, ("audio/young.wav", young))
    assert locked is None
    assert outcomes(mine, ("audio/young.wav", young)) != [None]
