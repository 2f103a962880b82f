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
WAITS_EVERY = 40
YOUNG_THAT_WAIT = 3
"""Media without an approval: every fortieth, and the youngest, whose time is not over."""
STAFF = 60
"""Agents of a customer, each with many rows."""
FILES = 50
"""Log files below each prefix; a store tells when a file was modified, so all of them are of today."""
GONE = 40
"""Cached keys about nobody that a row names."""


@dataclass(frozen=True)
class Row:
    """One row to write: ``session`` numbers the record it belongs to; ``clock`` is what its age counts from (None: open)."""

    born: datetime
    session: int
    clock: datetime | None
    waits: bool = False
    """Whether it is media that waits for an approval which never came."""


@dataclass(frozen=True)
class TableRows:
    """All rows of one table, its category and whether each row names an object."""

    table: dict[str, Any]
    category: dict[str, Any]
    database: str
    has_objects: bool
    rows: tuple[Row, ...]


def label(job: dict[str, Any], name: str) -> str:
    """A table's name among all places of the customer."""
    return f"{name} ({job['place']})" if job["place"] else name


def in_archive(name: str) -> str:
    """What the tables of counts call the part of a table that lies in the archive."""
    return f"{name}, archived"


def object_prefix(job: dict[str, Any], name: str) -> str:
    """The first part of the keys of a table's objects."""
    return f"{name}-{job['place']}" if job["place"] else name


def identity_column(table: dict[str, Any]) -> str | None:
    """The first column that anonymization empties."""
    emptied = [c["name"] for c in table["columns"] if c.get("anonymize", {}).get("method") == "SetNull"]
    return emptied[0] if emptied else None


def cached_keys(job: dict[str, Any]) -> dict[str, list[str]]:
    """Keys in the cache: of those whom a row names, and of others who are gone."""
    keys: dict[str, list[str]] = {"keys": [], "keys of nobody": []} if job["cached"] else {}
    for category in job["categories"] if keys else []:
        if cache := category.get("cache"):
            for number in range(STAFF + GONE):
                about = "keys" if number < STAFF else "keys of nobody"
                person = f"{cache['prefix']}:{staff(number)}"
                keys[about] += [person, f"{person}:online-status"]
    return keys


def staff(number: int) -> str:
    """The staff id of one of the agents."""
    return f"agent-{number}"


def plan(job: dict[str, Any]) -> Iterator[TableRows]:
    """Every table of the job with its rows, records before their children and content."""
    anchor = datetime.fromisoformat(job["anchor"])
    tables = {table["name"]: table for table in job["tables"]}
    records = [category for category in job["categories"] if not category.get("contentOf")]
    share = job["records"] // max(1, sum(1 for record in records if not record.get("objects")))
    contents = [category for category in job["categories"] if category.get("objects")]
    for record in records:
        members = [record, *(c for c in job["categories"] if c.get("contentOf") == record["name"])]
        ages = (job["keeps"].get(c["name"]) for c in members)
        marks = (job[kind].get(record["name"]) for kind in ("anonymized", "archived"))
        keeps = sorted({age for age in (*ages, *marks) if age})
        born = births(f"{job['seed']}/{record['name']}", anchor, share, keeps, step=job["step"])
        for category in members:
            chosen = list(enumerate(born))
            if category.get("objects"):
                each = job["contents"] // max(1, len(contents))
                chosen = _contents(chosen, anchor, job["keeps"].get(category["name"]), each)
            elif category is not record:
                chosen = chosen[::CHILD_EVERY]
            for position, name in enumerate(category.get("tables", [])):
                picked = chosen if position == 0 else chosen[::CHILD_EVERY]
                waiting = _waiting(category, picked)
                rows = tuple(_row(category, number, birth, anchor, number in waiting) for number, birth in picked)
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


def _waiting(category: dict[str, Any], picked: list[tuple[int, datetime]]) -> set[int]:
    if not category.get("quarantine"):
        return set()
    return {number for number, _ in (*picked[::WAITS_EVERY], *picked[-YOUNG_THAT_WAIT:])}


def _row(category: dict[str, Any], number: int, birth: datetime, anchor: datetime, waits: bool) -> Row:
    if waits:
        return Row(birth, number, None, waits=True)
    if category["clock"]["event"] == "Created":
        return Row(birth, number, birth)
    closed = birth + timedelta(minutes=5)
    return Row(birth, number, None if number % OPEN_EVERY == 0 or closed > anchor else closed)
