"""X9 a second time, as naively as can be: a model that only knows which days exist."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta

FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2100, 12, 31)
EVERY_DAY = [FIRST_DAY + timedelta(days) for days in range((LAST_DAY - FIRST_DAY).days + 1)]

# Every date of 1970 to 2130 as (year, month, day): all that the model knows of the calendar.
_KNOWN = [
    (day.year, day.month, day.day)
    for day in (date(1970, 1, 1) + timedelta(days) for days in range((date(2131, 1, 1) - date(1970, 1, 1)).days))
]
_POSITION = {day: position for position, day in enumerate(_KNOWN)}


def model_end(birth: datetime, text: str) -> datetime:
    """X9 by looking days up: the same day number that many months on, or else the first instant of the next day there is."""
    number, unit = int(text[1:-1]), text[-1]
    day = (birth.year, birth.month, birth.day)
    if unit in "DW":
        target = _KNOWN[_POSITION[day] + number * (7 if unit == "W" else 1)]
        return datetime.combine(date(*target), birth.time(), UTC)
    year, month = birth.year, birth.month
    for _ in range(number * (12 if unit == "Y" else 1)):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    target = (year, month, birth.day)
    if target in _POSITION:
        return datetime.combine(date(*target), birth.time(), UTC)
    return datetime.combine(date(*_KNOWN[bisect_left(_KNOWN, target)]), time(0), UTC)
