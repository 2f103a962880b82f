"""Named SQL statements, kept in ``sql/<folder>/*.sql``, so that no SQL is put together from Python strings.

A file holds statements, each headed by a line ``-- name: word``; what stands above the first heading is a comment.
``{word}`` in a statement is filled by ``.format(word=sql.Identifier(...))`` of ``psycopg.sql``, ``%(word)s`` by the driver.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

from psycopg import sql

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(folder: str) -> dict[str, sql.SQL]:
    """Every statement of ``sql/<folder>`` by its name, the files in alphabetical order.

    Raises ValueError if two statements share a name, FileNotFoundError if there is no such folder.
    """
    found: dict[str, sql.SQL] = {}
    directory = files(__package__) / "sql" / folder
    for file in sorted((entry for entry in directory.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name):
        pieces = _HEADING.split(file.read_text(encoding="utf-8"))
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
            if name in found:
                raise ValueError(f"sql/{folder}/{file.name}: a second statement is called {name}")
            # The text is this package's own file: as trusted as a literal in the code.
            found[name] = sql.SQL(cast(LiteralString, text.strip()))
    return found


def statement(folder: str, name: str) -> sql.SQL:
    """The statement of this name; KeyError if ``sql/<folder>`` has none."""
    return statements(folder)[name]
