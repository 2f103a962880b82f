"""Which object keys mean one object at every store, and which version ids may mean one version (M8)."""

from __future__ import annotations

import pytest

from tenant_retention.domain.object_keys import folded_version, is_plain


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


VERSION = "6f4a6c1e-97d2-4c8f-8f6e-0d3f2a1b4c5d"


@pytest.mark.parametrize(
    "spelled",
    [
        VERSION.upper(),
        VERSION.replace("-", ""),
        VERSION.replace("-", "").upper(),
        f"urn:uuid:{VERSION}",
        f"URN:UUID:{VERSION.upper()}",
        f"{{{VERSION}}}",
        f"a{VERSION}b",
        f"  {VERSION}\t\n",
        " " + VERSION.replace("-", "") + " ",
    ],
)
def test_every_spelling_of_a_version_is_the_same_version__M8(spelled: str) -> None:
    assert folded_version(spelled) == folded_version(VERSION)


def test_version_ids_that_no_store_takes_for_one_another_are_different() -> None:
    versions = ("3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo", "null", "NULL", "v1", "V1")
    assert len({folded_version(version) for version in versions}) == len(versions)
    assert folded_version("00000000-0000-0000-0000-000000000000") == "null"
