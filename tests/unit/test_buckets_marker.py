"""The marker as bucket tags: whatever a name holds, it is one that every store takes, and different names stay different."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.bucket_marker import (
    bearer_of,
    is_on,
    names_the_store_of,
    tag_value,
    tags_of,
)
from tenant_retention.domain.store_marker import Bearer, StoreMarker

MARKER = StoreMarker("installation", "customer-acme", "uid-1", "acme", "Content", "store-1")
ALLOWED = re.compile(r"[A-Za-z0-9+\-=._:/@]{0,256}")
AWKWARD = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


@given(AWKWARD)
def test_any_text_becomes_a_value_that_every_store_takes(text: str) -> None:
    assert ALLOWED.fullmatch(tag_value(text))


@given(AWKWARD, AWKWARD)
def test_different_texts_never_become_the_same_value(one: str, other: str) -> None:
    assert (tag_value(one) == tag_value(other)) == (one == other)


def test_texts_that_are_equal_after_cutting_differ_by_their_digest() -> None:
    one, other = "ü" * 300 + "a", "ü" * 300 + "b"
    assert tag_value(one) != tag_value(other)


@given(AWKWARD, AWKWARD)
def test_a_marker_is_recognized_beside_any_other_tags_and_no_other_store_is_taken_for_it(unit: str, other: str) -> None:
    marker = replace(MARKER, unit=unit)
    assert is_on(marker, {**tags_of(marker), "cost-centre": "7"})
    assert is_on(replace(MARKER, unit=other), tags_of(marker)) == (unit == other)


def test_a_marker_that_lost_a_tag_is_not_ours() -> None:
    tags = tags_of(MARKER)
    for name in tags:
        assert not is_on(MARKER, {key: value for key, value in tags.items() if key != name})


def test_only_the_uids_of_namespace_and_policy_make_a_store_of_before__X5() -> None:
    reborn = replace(MARKER, namespace_uid="uid-2", policy_uid="policy-2")
    assert names_the_store_of(reborn, tags_of(MARKER))
    assert bearer_of(tags_of(MARKER)) == Bearer("uid-1")
    assert bearer_of(tags_of(reborn)) == Bearer("uid-2", "policy-2")
    assert not names_the_store_of(replace(reborn, policy="other"), tags_of(MARKER))
    assert not names_the_store_of(MARKER, {})
