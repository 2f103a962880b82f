"""What must be left after a run, computed without the product's code: the calendar rule walked day by day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def ended(birth: datetime, keep: str, clock: datetime) -> bool:
    """True if ``keep`` has passed since ``birth`` at ``clock`` (all UTC): X9 written a second time, naively."""
    return end(birth, keep) <= clock


def end(birth: datetime, keep: str) -> datetime:
    """When ``keep`` ends: a day that the month does not have ends at midnight of the first of the next month."""
    number, unit = int(keep[1:-1]), keep[-1]
    if unit in "DW":
        return birth + timedelta(days=number * (7 if unit == "W" else 1))
    year, month = birth.year, birth.month
    for _ in range(number * (12 if unit == "Y" else 1)):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    try:
        return birth.replace(year=year, month=month)
    except ValueError:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return datetime(year, month, 1, tzinfo=UTC)


def left(births: list[datetime], keep: str, clock: datetime) -> list[datetime]:
    """The births that are still inside ``keep`` at ``clock``."""
    return [birth for birth in births if not ended(birth, keep, clock)]


def checksum(births: list[datetime]) -> int:
    """Sum of the births in whole seconds since 1970: two sets of equal size that differ show here."""
    return sum(int(birth.timestamp()) for birth in births)
