"""Which object keys mean one object at every store, and which version ids may mean one version; both rules stand here and, the
same text, in ``b_keys.sql``."""

from __future__ import annotations

import re
from typing import Final

UNPLAIN: Final = r"(\A|/)(\.{0,2}|\.uploads|[^/]*\.versions)(/|\Z)|\\"
"""What a key must not have. Empty and dotted segments and backslashes: stores and clients fold them, so that ``a//b``,
``/a/b`` and ``a\\b`` are all ``a/b`` at SeaweedFS. ``.uploads`` and ``x.versions``: where SeaweedFS keeps parts and versions."""
_UNPLAIN = re.compile(UNPLAIN)


def is_plain(key: str) -> bool:
    """Whether the key can be taken for no other object's name; only then may its object be deleted automatically (M8)."""
    return _UNPLAIN.search(key) is None


UUID_IN_VERSION: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|\A[0-9A-Fa-f]{32}\Z"
"""MinIO reads a version id as a UUID, however it is written: in capitals, without dashes, as ``urn:uuid:...``, in braces,
with blanks around it. The one of zeros is there the version ``null``."""
_UUID = re.compile(UUID_IN_VERSION)
_BLANKS = " \t\n\x0b\f\r"


def folded_version(version: str) -> str:
    """The same for all spellings of one version id: a row may spell the version that another one keeps in its own way (M8)."""
    trimmed = version.strip(_BLANKS)
    found = _UUID.search(trimmed)
    folded = trimmed if found is None else found.group().replace("-", "").lower()
    return "null" if folded == "0" * 32 else folded
