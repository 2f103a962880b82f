"""The reference model: what must be left of a tenant's data, said a second time, row by row and as plainly as can be.

It shares nothing with the product but the words of the requirements: no calendar, no cut-offs, no months, no SQL. Slow, and right
at a glance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache

from tests.support.calendar_model import model_end

FLOOR = 10
"""So many newly due rows of a category never ask for an approval."""
REACH = timedelta(days=92)
"""So far from its record's birth content's may lie to be known as content of it."""
end_of = lru_cache(maxsize=100_000)(model_end)


@dataclass(frozen=True)
class Bought:
    """Longer bounds until ``until``, for ever if None (T5)."""

    keep: str
    maximum: str
    until: datetime | None


@dataclass(frozen=True)
class Rule:
    """One category's rule. ``from_end``: counts from the row's end, not from its birth. ``margin``: a row leaves that long before
    its max, so that every copy is gone in time. ``consent``: its record may deny it (P10). ``approve_within``: what nobody approved
    in that time may not stay (M7). ``archive_after``: when it moves to the archive (D3)."""

    category: str
    keep: str
    maximum: str
    margin: timedelta
    minimum: str | None = None
    content_of: str | None = None
    from_end: bool = False
    anonymize_after: str | None = None
    bought: Bought | None = None
    consent: bool = False
    approve_within: str | None = None
    archive_after: str | None = None

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
        lasts = self.bought is not None and (self.bought.until is None or now < self.bought.until)
        bounds = self.bought if self.bought is not None and lasts else self
        return now >= min(end_of(clock, bounds.keep), end_of(clock, bounds.maximum) - self.margin)

    def deadline(self, row: Row) -> datetime | None:
        """When its last copy must be gone: at its max (M10); where only bought time kept it, a margin after that (T5)."""
        clock = self.clock(row)
        if clock is None:
            return None
        own, bought = end_of(clock, self.maximum), self.bought
        if bought is None:
            return own
        longest = end_of(clock, bought.maximum)
        return longest if bought.until is None else min(longest, max(own, bought.until + self.margin))

    def is_archived(self, row: Row, now: datetime) -> bool:
        """Whether it is old enough for the archive."""
        clock = self.clock(row)
        return clock is not None and self.archive_after is not None and now >= end_of(clock, self.archive_after)

    def loses_person(self, row: Row, now: datetime) -> bool:
        """Whether a night takes the person out of it (X1)."""
        clock = self.clock(row)
        if clock is None or self.anonymize_after is None or not row.person or self.is_young(row, now):
            return False
        return now >= end_of(clock, self.anonymize_after)


@dataclass(frozen=True)
class Row:
    """A row, and the object that it names if it has a ``key``. ``person``: it tells who called. ``denies``: content of its session.
    ``file``: a file that no row names, ``born`` when it was last modified (M5)."""

    table: str
    category: str
    name: str
    session: str | None
    born: datetime
    ended: datetime | None = None
    key: str | None = None
    person: bool = False
    denies: bool = False
    approved: bool = False
    file: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        """What stays the same whatever becomes of it."""
        return self.table, self.name


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
            # What a file says was written before it was last modified, nobody knows how long before.
            and (self.born_to is None or row.file or row.born < self.born_to)
        )


@dataclass
class ReferenceTenant:
    """One tenant: its rows, rules, holds, and what was decided before. ``locks``: until when the bucket keeps an object.
    ``marks``: the rows that a night found to be what may not stay."""

    rules: dict[str, Rule]
    guard_percent: int
    rows: set[Row] = field(default_factory=set)
    holds: list[Hold] = field(default_factory=list)
    locks: dict[str, datetime] = field(default_factory=dict)
    marks: set[tuple[str, str]] = field(default_factory=set)
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
        if self.rules[row.category].is_young(row, now) and row.identity not in self.marks:
            return "YoungerThanMinimum"
        return "Held" if self.held([row]) else None

    def night(self, now: datetime) -> str:
        """A night's run: its outcome's word, with ``rows`` as they are left."""
        if self.suspended:
            return "NotReady"
        if self.dry_run:
            self._scan(now)
            return "Succeeded"
        asking = set() if self._approved(now) else self._asking(now)
        leaving = {row for row in self._due(now) if row.category not in asking or self._was_due(row, now)}
        losing = {row for row in self._losing(now) if row.category not in asking or self._was_losing(row, now)}
        self.worked_by |= {name: rule for name, rule in self.rules.items() if name not in asking}
        self._lock_young(now)
        asking_first = set() if self._approved(now) else self._asking_about_marks()
        unwanted = self._unwanted(now) - self.held(self.rows)
        named = {row for row in unwanted if row.identity in self.marks and row.category not in asking_first}
        leaving |= named
        content = {row for row in leaving if self.rules[row.category].content_of or row.key}
        self.rows -= {row for row in content if row.key is None or self.locks.get(row.key, now) <= now}
        # A record waits for its content (P4).
        waiting = self.waiting()
        self.rows -= {row for row in leaving - content if row not in waiting}
        # So does the person: whoever is heard in the recording is known (X1).
        losing = (losing & self.rows) - waiting
        self.rows = self.rows - losing | {replace(row, person=False) for row in losing}
        self._scan(now)
        return "ApprovalRequired" if asking or asking_first else "Succeeded"

    def waiting(self) -> set[Row]:
        """The rows whose content is there: that of their session, or without one that of their very birth."""
        waited_for = {self._call(row) for row in self.rows if self.rules[row.category].content_of}
        return {row for row in self.rows if self._call(row) in waited_for}

    def denied_sessions(self) -> set[str]:
        """The calls whose content may not be stored."""
        return {row.session for row in self.rows if row.denies and row.session is not None}

    def refuses_content(self, session: str | None, born: datetime) -> bool:
        """Whether content of a call that is born now is refused: its record is there, near enough, and denies it."""
        return any(row.denies and row.session == session and abs(born - row.born) <= REACH for row in self.rows)

    def _unwanted(self, now: datetime) -> set[Row]:
        """What may not stay, whatever its age: denied by its record (P10), or not approved in time (M7)."""
        denied, found = self.denied_sessions(), set()
        for row in self.rows:
            rule = self.rules[row.category]
            late = rule.approve_within is not None and not row.approved and now >= end_of(row.born, rule.approve_within)
            if late or (rule.consent and row.session in denied):
                found.add(row)
        return found

    def _scan(self, now: datetime) -> None:
        """A night finds; only a later one takes away, if it is so still."""
        self.marks = {row.identity for row in self._unwanted(now)}

    def _asking_about_marks(self) -> set[str]:
        """The categories in which much was found."""
        asking = set()
        for name, mine in self._by_category().items():
            many = sum(row.identity in self.marks for row in mine)
            if many > FLOOR and many * 100 > len(mine) * self.guard_percent:
                asking.add(name)
        return asking

    def _by_category(self) -> dict[str, set[Row]]:
        return {name: {row for row in self.rows if row.category == name} for name in self.rules}

    def _due(self, now: datetime) -> set[Row]:
        due = {row for row in self.rows if self.rules[row.category].is_due(row, now)}
        return due - self.held(due)

    def _was_due(self, row: Row, now: datetime) -> bool:
        """Whether the rules that a night last worked by would take it now."""
        before = self.worked_by.get(row.category)
        return before is not None and before.is_due(row, now)

    def _losing(self, now: datetime) -> set[Row]:
        losing = {row for row in self.rows if self.rules[row.category].loses_person(row, now)}
        return losing - self.held(losing)

    def _was_losing(self, row: Row, now: datetime) -> bool:
        before = self.worked_by.get(row.category)
        return before is not None and before.loses_person(row, now)

    def _asking(self, now: datetime) -> set[str]:
        """The categories of which many rows go, or lose the person, and nobody expects it: not by the rules that a night last
        worked by."""
        due = self._due(now)
        surprise = {row for row in due if not self._was_due(row, now)}
        surprise |= {row for row in self._losing(now) - due if not self._was_losing(row, now)}
        asking = set()
        for name in self.rules:
            many = sum(row.category == name for row in surprise)
            if many > FLOOR and many * 100 > sum(row.category == name for row in self.rows) * self.guard_percent:
                asking.add(name)
        return asking

    def _approved(self, now: datetime) -> bool:
        until = self.approved_until.get(self.digest())
        return until is not None and until > now

    def _lock_young(self, now: datetime) -> None:
        denied = self.denied_sessions()
        for row in self.rows:
            rule = self.rules[row.category]
            # What has not begun to count is locked as well, and never for longer than from its end; nobody sees a difference.
            clock = rule.clock(row)
            wanted = row.session not in denied if rule.consent else row.approved or rule.approve_within is None
            if (
                row.key is not None
                and rule.minimum is not None
                and clock is not None
                and wanted
                and rule.is_young(row, now)
            ):
                until = end_of(clock, rule.minimum)
                self.locks[row.key] = max(until, self.locks.get(row.key, until))

    def _call(self, row: Row) -> tuple[str, str | None, datetime | None]:
        return self._family(row), row.session, None if row.session else row.born

    def _family(self, row: Row) -> str:
        return self.rules[row.category].content_of or row.category
