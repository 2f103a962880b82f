"""Periods and windows as users write them, and the CEL text that compares two periods for the worst birthday (X1, X9).

A period is one number and one unit, so that CEL can compare two of them inside the API server; the arithmetic on
real dates is the domain's. A test holds the two together for every pair that could disagree.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

DURATION_PATTERN = r"^P[1-9][0-9]{0,3}[DWMY]$"
WINDOW_PATTERN = r"^PT([1-9]|1[0-9]|2[0-4])H$"

Duration = Annotated[
    str,
    StringConstraints(pattern=DURATION_PATTERN, max_length=6),
    Field(json_schema_extra={"x-unit": "calendar days (D), weeks (W), months (M) or years (Y), 1 to 9999 of one unit"}),
]
"""A calendar period such as `P180D`, `P2W`, `P6M`, `P1Y`; never zero, negative, fractional or mixed."""

WindowDuration = Annotated[
    str,
    StringConstraints(pattern=WINDOW_PATTERN, max_length=5),
    Field(json_schema_extra={"x-unit": "whole hours, PT1H to PT24H"}),
]
"""Length of the nightly window: whole hours, `PT1H` to `PT24H`, so that it always fits a day."""

# The longest and the shortest that n months (the index) can last, in days, wherever they start.
LONGEST_MONTHS = (0, 31, 62, 92, 123, 153, 184, 215, 245, 276, 306, 337)
SHORTEST_MONTHS = (0, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334)


def _number(text: str) -> str:
    return f"int({text}.substring(1, size({text}) - 1))"


def _is_months(text: str) -> str:
    return f"({text}.endsWith('M') || {text}.endsWith('Y'))"


def _months(text: str) -> str:
    return f"{_number(text)} * ({text}.endsWith('Y') ? 12 : 1)"


def _days(text: str) -> str:
    return f"{_number(text)} * ({text}.endsWith('W') ? 7 : 1)"


def _bound(months: str, table: tuple[int, ...], leap_days: str) -> str:
    """CEL for a bound on the days of `months` months; `m` is bound by map() because CEL here has no other `let`."""
    return f"[{months}].map(m, m / 12 * 365 + {leap_days} + {list(table)}[m % 12])[0]"


def cel_never_longer(shorter: str, longer: str) -> str:
    """CEL that is true if the period `shorter` ends no later than `longer` for every birthday (X1).

    Months compare with months and days with days exactly. Mixed units compare by the worst birthday: `P365D` is not
    enough for a minimum of `P1Y` (a leap year has 366 days) and `P366D` is too long for a maximum of `P1Y`. Years
    that are not leap years although divisible by four (2100) count against the user: the safe side.
    """
    longest = _bound(_months(shorter), LONGEST_MONTHS, "(m / 12 + 3) / 4")
    shortest = _bound(_months(longer), SHORTEST_MONTHS, "(m < 48 ? 0 : m / 48 - (m / 12 + 99) / 100)")
    return (
        f"({_is_months(shorter)} ? "
        f"({_is_months(longer)} ? {_months(shorter)} <= {_months(longer)} : {longest} <= {_days(longer)}) : "
        f"({_is_months(longer)} ? {_days(shorter)} <= {shortest} : {_days(shorter)} <= {_days(longer)}))"
    )
