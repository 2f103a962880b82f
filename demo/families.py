"""Which rows the demo writes: per record category one family of births, its children and its content beside it.

Used by the loader (in the customer's pod) and by the checker (outside) alike; standard library only.
A job is the JSON that both read: seed, anchor, records, contents, and the profile's categories and tables as written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from demo.births import BOUNDARY, age_ago, births

CHILD_EVERY = 4
"""Further tables of a category (surveys, say) have a row for every fourth record."""
OPEN_EVERY = 10
"""Every tenth row of a category that counts from its closing is still open: no clock, kept for ever."""


@dataclass(frozen=True)
class Row:
    """One row to write: ``session`` numbers the record it belongs to; ``clock`` is what its age counts from (None: open)."""

    born: datetime
    session: int
    clock: datetime | None


@dataclass(frozen=True)
class TableRows:
    """All rows of one table, its category and whether each row names an object."""

    table: dict[str, Any]
    category: dict[str, Any]
    database: str
    has_objects: bool
    rows: tuple[Row, ...]


def plan(job: dict[str, Any]) -> Iterator[TableRows]:
    """Every table of the job with its rows, records before their children and content."""
    anchor = datetime.fromisoformat(job["anchor"])
    tables = {table["name"]: table for table in job["tables"]}
    records = [category for category in job["categories"] if not category.get("contentOf")]
    share = job["records"] // max(1, sum(1 for record in records if not record.get("objects")))
    contents = [category for category in job["categories"] if category.get("objects")]
    for record in records:
        members = [record, *(c for c in job["categories"] if c.get("contentOf") == record["name"])]
        keeps = sorted({job["keeps"][c["name"]] for c in members if job["keeps"].get(c["name"])})
        born = births(f"{job['seed']}/{record['name']}", anchor, share, keeps, step=1)
        for category in members:
            chosen = list(enumerate(born))
            if category.get("objects"):
                each = job["contents"] // max(1, len(contents))
                chosen = _contents(chosen, anchor, job["keeps"].get(category["name"]), each)
            elif category is not record:
                chosen = chosen[::CHILD_EVERY]
            for position, name in enumerate(category.get("tables", [])):
                picked = chosen if position == 0 else chosen[::CHILD_EVERY]
                rows = tuple(_row(category, number, birth, anchor) for number, birth in picked)
                objects = category.get("objects", {}).get("table") == name
                database = category.get("database") or record.get("database") or "Analytical"
                yield TableRows(tables[name], category, database, objects, rows)


def _contents(
    numbered: list[tuple[int, datetime]], anchor: datetime, keep: str | None, count: int
) -> list[tuple[int, datetime]]:
    """About ``count`` records that have content, and those around the content's own boundary, every ten seconds."""
    every = max(1, len(numbered) // count)
    edge = age_ago(anchor, keep) if keep else anchor
    near = timedelta(seconds=BOUNDARY)
    return [
        (number, birth)
        for position, (number, birth) in enumerate(numbered)
        if position % every == 0 or (abs(birth - edge) <= near and birth.second % 10 == 0)
    ]


def _row(category: dict[str, Any], number: int, birth: datetime, anchor: datetime) -> Row:
    if category["clock"]["event"] == "Created":
        return Row(birth, number, birth)
    closed = birth + timedelta(minutes=5)
    return Row(birth, number, None if number % OPEN_EVERY == 0 or closed > anchor else closed)
