"""How long a standby is behind at least, when it replays nothing at all (D7, T6); pure.

PostgreSQL tells the lag of what a standby replayed last: of one that is stuck it goes on telling the milliseconds of before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

MOST_MARKS = 300
"""A day of measurements; a standby that replayed none of them is far behind without further ones."""


@dataclass(frozen=True)
class ReplayWatch:
    """Where the primary's log was at each look that its slowest standby has not reached yet, the oldest first."""

    marks: tuple[tuple[datetime, int], ...] = ()

    def after(self, now: datetime, written: int, replayed: int) -> ReplayWatch:
        """One look more: the primary's position and that of the slowest standby, in bytes of log."""
        left = tuple(mark for mark in self.marks if mark[1] > replayed)
        newest = left[-1][1] if left else replayed
        if written > newest and len(left) < MOST_MARKS:
            left = (*left, (now, written))
        return ReplayWatch(left)

    def behind(self, now: datetime) -> timedelta:
        """So long ago the oldest thing was written that is not replayed, at least."""
        return now - self.marks[0][0] if self.marks else timedelta()
