"""The one calendar rule (X9): when a period that began at a birth ends, and which births have ended by now.

Everything is UTC. A period is a number of months (years are twelve) or of days (weeks are seven). A day that the target
month does not have ends at 00:00 of the first day of the month after it, so that ends are monotone in births and one
cut-off timestamp per run is exact. The same rule stands once in SQL (``retention.period_end``); tests prove both equal.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from tenant_retention.domain.errors import Invalid

_PATTERN = re.compile(r"P([1-9][0-9]{0,3})([DWMY])")
RESOLUTION = timedelta(microseconds=1)
"""PostgreSQL's timestamp resolution: the step between "not yet" and "now"."""
FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@dataclass(frozen=True, order=False)
class Period:
    """A calendar period: ``months`` calendar months, or ``days`` days of 24 hours in UTC; one of the two is zero."""

    months: int
    days: int

    @classmethod
    def parse(cls, text: str, *, field: str = "duration") -> Period:
        """Reads ``P<1..9999><D|W|M|Y>``.

        Raises Invalid naming ``field`` for anything else: zero, negative, fractional, blank, mixed units, ``30d``.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise Invalid(
                f"{field}: {text!r} is not a duration; write one whole number from 1 to 9999 and one unit, "
                "such as P30D, P6M or P1Y",
                reason="InvalidDuration",
                field=field,
            )
        number, unit = int(match.group(1)), match.group(2)
        return {
            "D": cls(0, number),
            "W": cls(0, 7 * number),
            "M": cls(number, 0),
            "Y": cls(12 * number, 0),
        }[unit]

    def shortest_days(self) -> int:
        """The fewest days this period can last, over all birthdays (for comparing mixed units, X1)."""
        return self.days if not self.months else _days_of_months(self.months)[0]

    def longest_days(self) -> int:
        """The most days this period can last, over all birthdays."""
        return self.days if not self.months else _days_of_months(self.months)[1]

    def never_longer_than(self, other: Period) -> bool:
        """True if for every birthday this period ends no later than ``other`` (X1: min <= keep <= max)."""
        if bool(self.months) == bool(other.months):
            return (self.months, self.days) <= (other.months, other.days)
        return self.longest_days() <= other.shortest_days()


@cache
def _days_of_months(months: int) -> tuple[int, int]:
    """Fewest and most days that ``months`` calendar months last, over every birthday of the 400-year cycle."""
    lengths = [
        (end_of_period(birth, Period(months, 0)) - birth).days
        for year in (1896, 1897, 1898, 1899, 1900, 1996, 1997, 1998, 1999, 2000, 2001, 2002, 2003, 2004)
        for month in range(1, 13)
        for day in (1, 28, 29, 30, 31)
        if day <= monthrange(year, month)[1]
        for birth in (datetime(year, month, day, tzinfo=UTC),)
        if year + months // 12 + 1 < 9999
    ]
    return (min(lengths), max(lengths)) if lengths else (months * 30, months * 31)


def end_of_period(birth: datetime, period: Period) -> datetime:
    """The instant at which ``period``, counted from ``birth``, has passed (X9). Saturates at year 9999."""
    birth = birth.astimezone(UTC)
    if not period.months:
        return LAST_INSTANT if LAST_INSTANT - birth < timedelta(days=period.days) else birth + timedelta(period.days)
    year, month0 = divmod(birth.year * 12 + birth.month - 1 + period.months, 12)
    if year > 9999:
        return LAST_INSTANT
    if birth.day <= monthrange(year, month0 + 1)[1]:
        return birth.replace(year=year, month=month0 + 1)
    return _first_of_next_month(year, month0 + 1)


def cutoff(now: datetime, period: Period) -> datetime:
    """The latest birth whose ``period`` has passed at ``now``: due exactly when ``birth <= cutoff`` (X9).

    Saturates at year 1 (nothing is that old).
    """
    now = now.astimezone(UTC)
    if not period.months:
        return FIRST_INSTANT if now - FIRST_INSTANT < timedelta(days=period.days) else now - timedelta(period.days)
    year, month0 = divmod(now.year * 12 + now.month - 1 - period.months, 12)
    if year < 1:
        return FIRST_INSTANT
    if now.day <= monthrange(year, month0 + 1)[1]:
        return now.replace(year=year, month=month0 + 1)
    # The target month is shorter: every birth in it has ended, the first of the next month has not.
    return _first_of_next_month(year, month0 + 1) - RESOLUTION


def _first_of_next_month(year: int, month: int) -> datetime:
    if month == 12:
        return LAST_INSTANT if year == 9999 else datetime(year + 1, 1, 1, tzinfo=UTC)
    return datetime(year, month + 1, 1, tzinfo=UTC)
