"""The reference model: what must be left of a tenant's data, said a second time, row by row and as plainly as can be.

It shares nothing with the product but the words of the requirements: no calendar, no cut-offs, no months, no SQL. Slow, and right
at a glance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from tests.support.calendar_model import model_end

FLOOR = 10
"""So many newly due rows of a category never ask for an approval."""
end_of = lru_cache(maxsize=100_000)(model_end)


@dataclass(frozen=True)
class Rule:
    """One category's rule. ``from_end``: counts from the row's end, not from its birth. ``margin``: a row leaves that long before
    its max, so that every copy is gone in time."""

    category: str
    keep: str
    maximum: str
    margin: timedelta
    minimum: str | None = None
    content_of: str | None = None
    from_end: bool = False

    def clock(self, row: Row) -> datetime | None:
        """What the row counts from; None: it has not begun to count."""
        if not self.from_end:
            return row.born
        return None if row.ended is None else max(row.ended, row.born)

    def is_young(self, row: Row, now: datetime) -> bool:
        """Whether nobody may delete it yet (M8)."""
        clock = self.clock(row)
        return self.minimum is not None and (clock is None or now < end_of(clock, self.minimum))

    def is_due(self, row: Row, now: datetime) -> bool:
        """Whether a night takes it: its keep is over (P2), or it is the last window before its max (M10), and its min reached."""
        clock = self.clock(row)
        if clock is None or self.is_young(row, now):
            return False
        return now >= min(end_of(clock, self.keep), end_of(clock, self.maximum) - self.margin)


@dataclass(frozen=True)
class Row:
    """A row, and the object that it names if it has a ``key``."""

    table: str
    category: str
    name: str
    session: str | None
    born: datetime
    ended: datetime | None = None
    key: str | None = None


@dataclass(frozen=True)
class Hold:
    """A legal hold on a session, or on what matches a category and a range of births; what is None selects everything."""

    session: str | None = None
    category: str | None = None
    born_from: datetime | None = None
    born_to: datetime | None = None

    def selects(self, row: Row) -> bool:
        """Whether the hold names this very row."""
        return (
            (self.session is None or self.session == row.session)
            and (self.category is None or self.category == row.category)
            and (self.born_from is None or row.born >= self.born_from)
            and (self.born_to is None or row.born < self.born_to)
        )


@dataclass
class ReferenceTenant:
    """One tenant: its rows, rules, holds, and what was decided before. ``locks``: until when the bucket keeps an object."""

    rules: dict[str, Rule]
    guard_percent: int
    rows: set[Row] = field(default_factory=set)
    holds: list[Hold] = field(default_factory=list)
    locks: dict[str, datetime] = field(default_factory=dict)
    worked_by: dict[str, Rule] = field(default_factory=dict)
    approved_until: dict[tuple[Rule, ...], datetime] = field(default_factory=dict)
    suspended: bool = False
    dry_run: bool = False

    def digest(self) -> tuple[Rule, ...]:
        """What an approval is given for."""
        return tuple(self.rules.values())

    def approve(self, until: datetime) -> None:
        """Somebody looked at these rules and agrees."""
        self.approved_until[self.digest()] = until

    def held(self, rows: Iterable[Row]) -> set[Row]:
        """Those of ``rows`` that a hold keeps: named by it, or of the session of one that is (X3)."""
        named = {row for row in self.rows if any(hold.selects(row) for hold in self.holds)}
        sessions = {(self._family(row), row.session) for row in named if row.session is not None}
        return {row for row in rows if row in named or (self._family(row), row.session) in sessions}

    def refuses(self, row: Row, now: datetime) -> str | None:
        """Why the database refuses to delete this row by whosever hand."""
        if self.rules[row.category].is_young(row, now):
            return "YoungerThanMinimum"
        return "Held" if self.held([row]) else None

    def night(self, now: datetime) -> str:
        """A night's run: its outcome's word, with ``rows`` as they are left."""
        if self.suspended:
            return "NotReady"
        if self.dry_run:
            return "Succeeded"
        asking = {} if self._approved(now) else self._asking(now)
        leaving = self._due(now) - {row for surprise in asking.values() for row in surprise}
        self.worked_by |= {name: rule for name, rule in self.rules.items() if name not in asking}
        self._lock_young(now)
        content = {row for row in leaving if self.rules[row.category].content_of}
        self.rows -= {row for row in content if row.key is None or self.locks.get(row.key, now) <= now}
        # A record waits for its content (P4): that of its session, or without one that of its very birth.
        waited_for = {self._call(row) for row in self.rows if self.rules[row.category].content_of}
        self.rows -= {row for row in leaving - content if self._call(row) not in waited_for}
        return "ApprovalRequired" if asking else "Succeeded"

    def _due(self, now: datetime) -> set[Row]:
        due = {row for row in self.rows if self.rules[row.category].is_due(row, now)}
        return due - self.held(due)

    def _asking(self, now: datetime) -> dict[str, set[Row]]:
        """By category the rows that nobody expects: due by today's rules, not by those that a night last worked by."""
        due, asking = self._due(now), {}
        for name in self.rules:
            before = self.worked_by.get(name)
            surprise = {row for row in due if row.category == name and (before is None or not before.is_due(row, now))}
            total = sum(row.category == name for row in self.rows)
            if len(surprise) > FLOOR and len(surprise) * 100 > total * self.guard_percent:
                asking[name] = surprise
        return asking

    def _approved(self, now: datetime) -> bool:
        until = self.approved_until.get(self.digest())
        return until is not None and until > now

    def _lock_young(self, now: datetime) -> None:
        for row in self.rows:
            rule = self.rules[row.category]
            if row.key is not None and rule.minimum is not None and rule.is_young(row, now):
                until = end_of(row.born, rule.minimum)
                self.locks[row.key] = max(until, self.locks.get(row.key, until))

    def _call(self, row: Row) -> tuple[str, str | None, datetime | None]:
        return self._family(row), row.session, None if row.session else row.born

    def _family(self, row: Row) -> str:
        return self.rules[row.category].content_of or row.category
