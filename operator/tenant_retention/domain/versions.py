"""A server's version as a figure: compared as a number, told as it is written (D6); pure."""

from __future__ import annotations

import re

_VERSION = re.compile(r"(\d+)(?:\.(\d+))?")


def version_number(said: str) -> float | None:
    """Major and a hundredth of minor, of what a server says of itself; None if that has no number."""
    found = _VERSION.search(said)
    return None if found is None else int(found[1]) + min(int(found[2] or 0), 99) / 100


def version_text(number: float) -> str:
    """The version that ``version_number`` read; a whole one without its .0."""
    major, minor = divmod(round(number * 100), 100)
    return f"{major}.{minor}" if minor else str(major)
