"""How results are printed: a table for people, JSON or YAML for programs; nothing in it can act on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TextIO

_BAD = frozenset({"Incomplete", "Invalid", "NotReady", "Interrupted", "Unreachable", "Tripped", "NotCompliant"})
_GOOD = frozenset({"Succeeded", "Clear", "Compliant"})
_RED, _GREEN, _RESET = "\x1b[31m", "\x1b[32m", "\x1b[0m"


class Format(StrEnum):
    """What ``-o`` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def write_document(document: Mapping[str, Any], form: Format, stream: TextIO) -> None:
    """Prints the whole document as JSON or YAML."""
    if form is Format.YAML:
        import yaml

        # A sign that could act on a terminal is written as an escape, and with it all that is not ASCII.
        plain = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
        stream.write(plain if _inert(plain) else yaml.safe_dump(dict(document), sort_keys=False))
        return
    plain = json.dumps(document, indent=2, ensure_ascii=False)
    stream.write((plain if _inert(plain) else json.dumps(document, indent=2).replace("\x7f", "\\u007f")) + "\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO) -> None:
    """Prints columns that line up, two spaces apart; numbers to the right. Colours only on a terminal without NO_COLOR."""
    texts = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(head), *(len(row[place]) for row in texts), 0) for place, head in enumerate(heads)]
    coloured = stream.isatty() and not os.environ.get("NO_COLOR")
    stream.write(_line(heads, widths, [False] * len(heads), False))
    for row, cells in zip(texts, rows, strict=True):
        stream.write(_line(row, widths, [isinstance(cell, int) for cell in cells], coloured))


def visible(value: object) -> str:
    """The value as text of one line; control characters are shown as escapes, None as a dash."""
    if value is None:
        return "-"
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(value))


def _inert(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text)


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"tenant-retention: {visible(message)}", file=sys.stderr)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], coloured: bool) -> str:
    padded = [
        _coloured(cell, cell.rjust(width) if to_right else cell.ljust(width), coloured)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip() + "\n"


def _coloured(cell: str, padded: str, coloured: bool) -> str:
    colour = _RED if cell in _BAD else _GREEN if cell in _GOOD else ""
    return f"{colour}{padded}{_RESET}" if coloured and colour else padded
