"""Expected against actual counts, per customer and category, by a query that knows nothing of the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from demo.customers import Customer
from demo.expectation import checksum, ended
from demo.families import FILES, Row, TableRows, cached_keys, in_archive, label, object_prefix, plan

MARGIN = timedelta(days=2)
"""Data leaves this long before its max, so that the next run is never too late (X1); a backup lives that much longer than its
keep."""

STARTED_WITHIN = 30
"""Seconds within which all databases of a policy have started their part of a run."""


@dataclass(frozen=True)
class Line:
    """One line of the table: what was written, what should be left, what is left; ``same`` also compares checksums."""

    customer: str
    category: str
    what: str
    written: int
    expected: int
    actual: int
    same: bool


@dataclass(frozen=True)
class Clocks:
    """When runs fixed their clocks. ``night``: of the last one that was no dry run: it clears what an earlier run found and
    looks through the cache, whatever the guard stops; ``deletion``: of the last one that the guard let delete by age."""

    deletion: datetime | None = None
    night: datetime | None = None


@dataclass(frozen=True)
class Rules:
    """What a customer's policy says at the time of a count: when each category goes, and when it loses the person."""

    keeps: Mapping[str, str | None]
    bounds: Mapping[str, str | None]
    anonymized: Mapping[str, str]
    archived: Mapping[str, str]
    denied: Mapping[str, Sequence[int]]
    brought_back: Sequence[str]
    margin: timedelta
    clocks: Clocks

    def gone(self, category: dict[str, Any], row: Row) -> bool:
        """Whether the row must not be there any more."""
        if row.session in self.denied.get(category["name"], ()):
            return True
        if row.waits:
            night = self.clocks.night
            return night is not None and ended(row.born, category["quarantine"]["keep"], night)
        keep, maximum, now = self.keeps[category["name"]], self.bounds[category["name"]], self.clocks.deletion
        if now is None or row.clock is None or keep is None:
            return False
        return ended(row.clock, keep, now) or (maximum is not None and ended(row.clock, maximum, now + self.margin))

    def moved(self, category: dict[str, Any], row: Row) -> bool:
        """Whether the row, if it is there, must be in the archive."""
        age, now = self.archived.get(category["name"]), self.clocks.deletion
        if row.born.date().isoformat() in self.brought_back:
            return False
        return bool(age and now and row.clock and ended(row.clock, age, now))

    def nameless(self, category: dict[str, Any], row: Row) -> bool:
        """Whether the row, if it is there, must not tell of a person any more."""
        age, now = self.anonymized.get(category["name"]), self.clocks.deletion
        return bool(age and now and row.clock and ended(row.clock, age, now))


def rules(customer: Customer, clocks: Clocks, policy: dict[str, Any], job: dict[str, Any]) -> Rules:
    """The rules of this policy, as the runs at these times applied them to what the job wrote."""
    days = customer.backup_days()
    margin = MARGIN + (timedelta(days=days) + MARGIN if days else timedelta(0))
    keeps, bounds, anonymized = customer.keeps(policy), customer.bounds(policy), customer.anonymized(policy)
    return Rules(keeps, bounds, anonymized, job["archived"], job["denied"], job["broughtBack"], margin, clocks)


def compare(
    customer: Customer,
    jobs: Sequence[dict[str, Any]],
    actual: dict[str, Any],
    clocks: Clocks,
    policy: dict[str, Any],
) -> list[Line]:
    """Lines for every table, every kind of object and the cache; ``clocks`` in whole seconds."""
    lines: list[Line] = []
    for job in jobs:
        tables, given = list(plan(job)), rules(customer, clocks, policy, job)
        exact = len(jobs) == 1 and not job["archived"]
        for database in sorted({table.database for table in tables}):
            mine = [table for table in tables if table.database == database]

            def live(at: Rules, mine: list[TableRows] = mine, job: dict[str, Any] = job) -> list[Line]:
                return [line for table in mine for line in _of_table(customer, job, table, actual, at)]

            found, told = _explained(live, given, exact)
            lines += found + _of_archive(customer, job, mine, actual, told, given)
        lines += _beside_tables(customer, job, actual, clocks)
    return lines


def _explained(counted: Callable[[Rules], list[Line]], given: Rules, exact: bool) -> tuple[list[Line], Rules]:
    """Each database fixes a clock of its own at its start. Where a policy has several, the run's status tells the first of
    them; then one later second must explain every count of the database at once."""
    first = given.clocks.deletion
    for later in range(1 if exact or first is None else STARTED_WITHIN):
        at = replace(given, clocks=replace(given.clocks, deletion=first and first + timedelta(seconds=later)))
        lines = counted(at)
        if all(line.same for line in lines):
            return lines, at
    return counted(given), given


def _of_table(
    customer: Customer, job: dict[str, Any], table: TableRows, actual: dict[str, Any], holding: Rules
) -> Iterator[Line]:
    category, name = table.category, label(job, table.table["name"])
    # A night that the guard stopped moves rows all the same; by which clock, no run's status tells.
    apart = holding.clocks.deletion is not None
    remaining = [row for row in table.rows if not holding.gone(category, row)]
    here = [row for row in remaining if not holding.moved(category, row)] if apart else remaining
    parts = (name,) if apart else (name, in_archive(name))
    yield _births(customer, category["name"], name, table, here, _sum(actual["tables"], parts))
    if name in actual["nameless"]:
        # While the guard asks here, what moved before and comes of age in the archive is that database's steady work.
        emptied = [row for row in here if holding.nameless(category, row)]
        yield _births(customer, category["name"], f"{name}, nameless", table, emptied, actual["nameless"][name])
    if table.has_objects:
        # The sessions at the end of the keys are added up: the wrong one of two objects gone shows here.
        found = actual["objects"].get(object_prefix(job, table.table["name"]), (0, 0))
        sessions = (len(remaining), sum(row.session for row in remaining))
        yield _line(customer, category["name"], label(job, "objects"), len(table.rows), sessions, found)


def _of_archive(
    customer: Customer,
    job: dict[str, Any],
    tables: list[TableRows],
    actual: dict[str, Any],
    live: Rules,
    given: Rules,
) -> list[Line]:
    """What moved by the live database's clock and stays by the archive's own."""
    if given.clocks.deletion is None:
        return []
    moved = [table for table in tables if table.category["name"] in job["archived"]]
    with_content = {row.session for table in tables if table.category.get("contentOf") for row in table.rows}

    def lie_there(at: Rules) -> list[Line]:
        return [_archived(customer, job, table, actual, (live, at), with_content) for table in moved]

    def lost_the_person(at: Rules) -> list[Line]:
        found = (_archived_nameless(customer, job, table, actual, (live, stay, at)) for table in moved)
        return [line for line in found if line is not None]

    # What moved in this very run was left by the live database's clock, what moved before by the archive's own.
    lines, stay = _explained(lie_there, given, exact=False)
    return lines + _explained(lost_the_person, given, exact=False)[0]


def _archived(
    customer: Customer,
    job: dict[str, Any],
    table: TableRows,
    actual: dict[str, Any],
    at: tuple[Rules, Rules],
    waited: Collection[int],
) -> Line:
    live, stay = at
    category, name = table.category, in_archive(label(job, table.table["name"]))
    moved = [row for row in table.rows if live.moved(category, row)]
    remaining = [row for row in moved if not stay.gone(category, row)]
    found = actual["tables"][name]
    if job["archiveFiles"]:
        remaining = _with_their_file(moved, remaining, found, waited)
    return _births(customer, category["name"], name, table, remaining, found)


def _with_their_file(
    moved: Sequence[Row], remaining: list[Row], found: Sequence[int], waited: Collection[int]
) -> list[Row]:
    """A file goes as a whole, with the newest row of its day (docs/archive-files.md). So of the oldest day there may be rows
    past their keep: the youngest of them, as many as there are; whether it is just those the checksum tells.

    ``waited``: sessions with content, whose records do not move before it is gone (P4). Of rows that passed their keep between
    the night that moved the others and the run that removed the content, these were deleted in their table.
    """
    waiting = found[0] - len(remaining)
    if not remaining or waiting <= 0:
        return remaining
    past = [row for row in moved[: -len(remaining)] if row.born.date() == remaining[0].born.date()]
    for all_from in range(len(past) + 1):
        there = [row for place, row in enumerate(past) if place >= all_from or row.session not in waited]
        if len(there) >= waiting and checksum([row.born for row in (*there[-waiting:], *remaining)]) == found[1]:
            return [*there[-waiting:], *remaining]
    return remaining


def _archived_nameless(
    customer: Customer,
    job: dict[str, Any],
    table: TableRows,
    actual: dict[str, Any],
    at: tuple[Rules, Rules, Rules],
) -> Line | None:
    """Before they moved, or since then; None where nothing of the table names a person."""
    category, name = table.category, in_archive(label(job, table.table["name"]))
    if name not in actual["nameless"]:
        return None
    live, stay, lose = at
    remaining = (row for row in table.rows if live.moved(category, row) and not stay.gone(category, row))
    emptied = [row for row in remaining if live.nameless(category, row) or lose.nameless(category, row)]
    return _births(customer, category["name"], f"{name}, nameless", table, emptied, actual["nameless"][name])


def _sum(counts: Mapping[str, Sequence[int]], names: Sequence[str]) -> tuple[int, int]:
    found = [counts[name] for name in names if name in counts]
    return sum(number for number, _ in found), sum(total for _, total in found)


def _beside_tables(customer: Customer, job: dict[str, Any], actual: dict[str, Any], clocks: Clocks) -> Iterator[Line]:
    for prefix in job["files"]:
        found = actual["objects"].get(prefix.rstrip("/"), (0, 0))
        yield _line(customer, "log files", prefix, FILES, (FILES, sum(range(FILES))), found)
    for kind, keys in cached_keys(job).items():
        # What a row names lives on with it; the keys of nobody go in the first night.
        expected = 0 if clocks.night and kind != "keys" else len(keys)
        yield _line(customer, "cache", kind, len(keys), (expected, 0), (actual["keys"][kind], 0))


def _births(
    customer: Customer, category: str, what: str, table: TableRows, rows: list[Row], found: Sequence[int]
) -> Line:
    expected = (len(rows), checksum([row.born for row in rows]))
    return _line(customer, category, what, len(table.rows), expected, found)


def _line(
    customer: Customer, category: str, what: str, written: int, expected: tuple[int, int], found: Sequence[int]
) -> Line:
    return Line(customer.namespace, category, what, written, expected[0], found[0], tuple(found) == expected)


def show(lines: Iterable[Line]) -> bool:
    """Prints the table; True if every line is as expected."""
    print(f"\n      {'CUSTOMER':<18}{'CATEGORY':<26}{'WHAT':<32}{'WRITTEN':>9}{'EXPECTED':>10}{'ACTUAL':>9}  SAME")
    good = True
    for line in lines:
        good = good and line.same
        print(
            f"      {line.customer:<18}{line.category:<26}{line.what:<32}{line.written:>9}{line.expected:>10}"
            f"{line.actual:>9}  {'yes' if line.same else 'NO'}"
        )
    return good
