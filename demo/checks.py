"""Expected against actual counts, per customer and category, by a query that knows nothing of the engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from demo.customers import Customer
from demo.expectation import checksum, ended
from demo.families import Row, TableRows, plan

MARGIN = timedelta(days=2)
"""Data leaves this long before its max, so that the next run is never too late (X1)."""


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


def compare(
    customer: Customer, job: dict[str, Any], actual: dict[str, Any], clock: datetime | None, policy: dict[str, Any]
) -> list[Line]:
    """Lines for every table and every kind of object. ``clock``: of the last run that deleted; None: nothing has run yet."""
    keeps = customer.keeps(policy)
    bounds = {category["name"]: category.get("max") for category in customer.profile["categories"]}
    lines: list[Line] = []
    for table in plan(job):
        name = table.category["name"]
        remaining = [row for row in table.rows if not _gone(row.clock, keeps[name], bounds[name], clock)]
        count, total = actual["tables"][table.table["name"]]
        same = (count, total) == (len(remaining), checksum([row.born for row in remaining]))
        lines.append(Line(customer.namespace, name, table.table["name"], len(table.rows), len(remaining), count, same))
        if table.has_objects:
            lines.append(_objects(customer, table, remaining, actual))
    return lines


def _objects(customer: Customer, table: TableRows, remaining: list[Row], actual: dict[str, Any]) -> Line:
    # The sessions at the end of the keys are added up: the wrong one of two objects gone shows here.
    found, total = actual["objects"].get(table.table["name"], (0, 0))
    expected = len(remaining)
    same = (found, total) == (expected, sum(row.session for row in remaining))
    return Line(customer.namespace, table.category["name"], "objects", len(table.rows), expected, found, same)


def _gone(clock: datetime | None, keep: str | None, maximum: str | None, now: datetime | None) -> bool:
    if clock is None or keep is None or now is None:
        return False
    return ended(clock, keep, now) or (maximum is not None and ended(clock, maximum, now + MARGIN))


def show(lines: Iterable[Line]) -> bool:
    """Prints the table; True if every line is as expected."""
    print(f"\n      {'CUSTOMER':<18}{'CATEGORY':<26}{'WHAT':<26}{'WRITTEN':>9}{'EXPECTED':>10}{'ACTUAL':>9}  SAME")
    good = True
    for line in lines:
        good = good and line.same
        print(
            f"      {line.customer:<18}{line.category:<26}{line.what:<26}{line.written:>9}{line.expected:>10}"
            f"{line.actual:>9}  {'yes' if line.same else 'NO'}"
        )
    return good
