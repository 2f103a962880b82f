"""When the demo's records were born: one deterministic list per customer, known to the loader and to the checker alike.

Whole seconds only, UTC. Spread over seven years, with everything that calendars do wrong: month ends, leap days, both
nights on which Amsterdam's clocks change, and every second around each keep time's boundary.
Standard library only: the loader carries this file into the customer's pod.
"""

from __future__ import annotations

import random
from calendar import monthrange
from datetime import UTC, datetime, timedelta

YEARS = 7
BOUNDARY = 1800
"""Seconds before and after a boundary; the night's run comes within this time after the load."""


def births(seed: str, anchor: datetime, count: int, keeps: list[str], step: int) -> list[datetime]:
    """At least ``count`` births before ``anchor``, oldest first.

    ``keeps``: durations such as P180D; around each, one birth every ``step`` seconds for half an hour to both sides.
    """
    anchor = anchor.replace(microsecond=0)
    oldest = anchor.replace(year=anchor.year - YEARS, day=1) + timedelta(days=32)
    chosen = [*_calendar_traps(oldest, anchor), *_boundaries(anchor, keeps, step)]
    chosen = [birth for birth in chosen if oldest <= birth <= anchor]
    source = random.Random(seed)
    span = int((anchor - oldest).total_seconds())
    spread = [oldest + timedelta(seconds=source.randrange(span)) for _ in range(max(0, count - len(chosen)))]
    return sorted(chosen + spread)


def _calendar_traps(oldest: datetime, anchor: datetime) -> list[datetime]:
    """Month ends to the second, leap days by the hour, and the two nights of each year on which clocks change."""
    traps: list[datetime] = []
    for year in range(oldest.year, anchor.year + 1):
        for month in range(1, 13):
            first = datetime(year, month, 1, tzinfo=UTC)
            traps += [first - timedelta(seconds=1), first, first + timedelta(seconds=1)]
        for month in (3, 10):
            night = _last_sunday(year, month)
            traps += [night + timedelta(minutes=15 * quarter) for quarter in range(16)]
        if year % 4 == 0:
            leap_day = datetime(year, 2, 29, tzinfo=UTC)
            traps += [leap_day + timedelta(hours=hour) for hour in range(24)]
    return traps


def _last_sunday(year: int, month: int) -> datetime:
    day = datetime(year, month, 31, tzinfo=UTC)
    return day - timedelta(days=(day.weekday() + 1) % 7)


def _boundaries(anchor: datetime, keeps: list[str], step: int) -> list[datetime]:
    return [
        age_ago(anchor, keep) + timedelta(seconds=offset)
        for keep in keeps
        for offset in range(-BOUNDARY, BOUNDARY + 1, step)
    ]


def age_ago(now: datetime, age: str) -> datetime:
    """``age`` before ``now``: what was born then has just reached it. Where the month lacks the day, its last second."""
    number, unit = int(age[1:-1]), age[-1]
    if unit in "DW":
        return now - timedelta(days=number * (7 if unit == "W" else 1))
    months = now.year * 12 + now.month - 1 - number * (12 if unit == "Y" else 1)
    year, month = months // 12, months % 12 + 1
    if now.day <= monthrange(year, month)[1]:
        return now.replace(year=year, month=month)
    return now.replace(year=year, month=month, day=monthrange(year, month)[1], hour=23, minute=59, second=59)
