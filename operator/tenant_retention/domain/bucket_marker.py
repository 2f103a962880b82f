"""Whose bucket it is: our marker as bucket tags, in the character set and lengths that every store allows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields

from tenant_retention.domain.store_marker import Bearer, StoreMarker

TAG_PREFIX = "tenantretention.io/"
_VALUE_LIMIT = 256
_DIGEST_DIGITS = 16
_SAFE = re.compile(r"[A-Za-z0-9+\-._:/@]")


def tags_of(marker: StoreMarker) -> dict[str, str]:
    """The marker as bucket tags; empty fields have none (some stores refuse empty values)."""
    named = {field.name: str(getattr(marker, field.name)) for field in fields(marker)}
    return {_tag(name): tag_value(value) for name, value in named.items() if value}


def is_on(marker: StoreMarker, tags: Mapping[str, str]) -> bool:
    """True if these tags are exactly this marker; further tags that others added do not matter."""
    return marker_tags(tags) == tags_of(marker)


def names_the_store_of(marker: StoreMarker, tags: Mapping[str, str]) -> bool:
    """True if the bucket is this store's, whatever became of its namespace and its policy meanwhile."""
    return _NAMESPACE_UID in tags and _without_bearer(marker_tags(tags)) == _without_bearer(tags_of(marker))


def bearer_of(tags: Mapping[str, str]) -> Bearer:
    """Whose the bucket is by UID, as the marker in these tags says. Raises KeyError if there is none."""
    return Bearer(tags[_NAMESPACE_UID], tags.get(_POLICY_UID, ""))


def marker_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those of the tags that are a marker's."""
    return {name: value for name, value in tags.items() if name.startswith(TAG_PREFIX)}


def tag_value(value: str) -> str:
    """``value`` with every byte outside the common character set as ``=XX``; over 256 characters: cut, digest behind it."""
    encoded = "".join(
        character if _SAFE.fullmatch(character) else "".join(f"={byte:02X}" for byte in character.encode())
        for character in value
    )
    if len(encoded) <= _VALUE_LIMIT:
        return encoded
    digest = hashlib.sha256(value.encode()).hexdigest()[:_DIGEST_DIGITS]
    return encoded[: _VALUE_LIMIT - _DIGEST_DIGITS - 1] + "=" + digest


def _without_bearer(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name not in {_NAMESPACE_UID, _POLICY_UID}}


def _tag(field_name: str) -> str:
    return TAG_PREFIX + field_name.replace("_", "-")


_NAMESPACE_UID = _tag("namespace_uid")
_POLICY_UID = _tag("policy_uid")
