"""Keys that an application may write into its own rows, meant to reach beyond its own objects: they reach nothing."""

from __future__ import annotations

from tests.stores.object_stores import ObjectStore
from tests.stores.tenant_buckets import a_tenant_bucket
from tests.stores.test_content_deletion import outcomes

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
