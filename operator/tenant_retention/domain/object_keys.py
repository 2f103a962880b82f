"""Which object keys mean one object at every store; the rule stands here and, the same text, in ``b_keys.sql``."""

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
