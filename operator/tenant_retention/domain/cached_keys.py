"""Which rule a cached key falls under, whose it is, and how long it may still live: pure, the same for a dry run (X7).

A key is ``<prefix of the tenant><prefix of the category>:<value>`` or that and ``:<anything>``. The value is the key column's
of the row that the key is about, as PostgreSQL writes it; ``:`` and ``%`` in it are written ``%3A`` and ``%25``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_to_bytes

from tenant_retention.domain.definition import CategoryDefinition, ClockEvent
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.extended_storage import is_lasting

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Place:
    """``category``: None for a key that no category of the profile covers; ``value``: None where none can be read."""

    category: str | None
    value: str | None


class KeyPlaces:
    """Sorts the keys of one tenant. ``prefix``: the tenant's; ``categories``: those of the profile that are cached."""

    def __init__(self, prefix: bytes, categories: Iterable[CategoryDefinition]) -> None:
        self._prefix = prefix
        # No name has a colon in it, so none begins another one's keys.
        self._categories = {each.cache.prefix.encode(): each.name for each in categories if each.cache is not None}

    def place(self, name: bytes) -> Place:
        """Where a key belongs. A key that is no category's, or names no row, is nobody's to remove."""
        first, colon, rest = name.removeprefix(self._prefix).partition(b":")
        category = self._categories.get(first) if colon else None
        return Place(category, None if category is None else _value(rest.partition(b":")[0]))


def longest_life(
    category: CategoryDefinition, margin: timedelta, now: datetime, clock: datetime | None = None
) -> timedelta | None:
    """How long a key may live from now on; None where age alone ends nothing: a clock that begins when something is closed,
    or data that stays until termination. ``clock``: what the row counts from that the key is about.

    A key does not tell its birth: counted from when it is first seen it may outlive its keep by one run interval, which is
    part of ``margin``; so no key outlives max (M10). By then its row is gone, and the key with it; but a row stays when it loses
    the person, so that this counts from the row's clock: zero once it has passed.
    """
    ends = [
        end for end in (_kept_until(category, margin, now), _telling_until(category, now, clock)) if end is not None
    ]
    return max(min(ends) - now, timedelta(0)) if ends else None


def _kept_until(category: CategoryDefinition, margin: timedelta, now: datetime) -> datetime | None:
    if category.clock_event is not ClockEvent.CREATED or category.keep is None:
        return None
    end = _end(category.keep, category.maximum, margin, now)
    if (bought := category.extended) is not None and is_lasting(bought, now):
        longer = _end(bought.keep, bought.maximum, margin, now)
        end = max(end, longer if bought.until is None else min(longer, bought.until))
    return _not_below_min(category, end, now)


def _telling_until(category: CategoryDefinition, now: datetime, clock: datetime | None) -> datetime | None:
    """A copy must not tell who it was once its row does not (T6). The night that anonymizes is as late as one that deletes."""
    if clock is None and category.clock_event is ClockEvent.CREATED:
        clock = now
    if category.anonymize_after is None or clock is None:
        return None
    return _not_below_min(category, end_of_period(clock, Period.parse(category.anonymize_after)), clock)


def _not_below_min(category: CategoryDefinition, end: datetime, since: datetime) -> datetime:
    return end if category.minimum is None else max(end, end_of_period(since, Period.parse(category.minimum)))


def _end(keep: str, maximum: str | None, margin: timedelta, now: datetime) -> datetime:
    end = end_of_period(now, Period.parse(keep))
    return end if maximum is None else min(end, end_of_period(now, Period.parse(maximum)) - margin)


def _value(escaped: bytes) -> str | None:
    if not escaped or _BROKEN_ESCAPE.search(escaped):
        return None
    try:
        value = unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        return None
    # No column of any row holds it.
    return None if "\0" in value else value
