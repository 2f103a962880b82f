"""Which object keys mean one object at every store (M8)."""

from __future__ import annotations

import pytest

from tenant_retention.domain.object_keys import is_plain


@pytest.mark.parametrize(
    "key",
    [
        "k",
        "audio/1",
        "2026/11/22/+49 30 1234.wav",
        ".hidden/x",
        "a..b/c...",
        "...",
        "x.version/1",
        "uploads/x",
        "line\nbreak",
    ],
)
def test_an_ordinary_key_is_plain(key: str) -> None:
    assert is_plain(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "a\\b",
        ".",
        "..",
        "./a",
        "a/../b",
        "a/..",
        "a\n/",
        ".uploads/1",
        "a/x.versions/v",
        "x.versions",
    ],
)
def test_a_key_that_a_store_could_take_for_another_name_is_not__M8(key: str) -> None:
    assert not is_plain(key)
