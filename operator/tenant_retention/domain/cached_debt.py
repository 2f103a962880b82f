"""Keys in a cache that outlived their rows: from when they are deletion debt, and what is told while nobody can look (T6, X4); pure.

A key does not tell its birth. Its row went in the window that the margin leaves before the deadline at the latest; so a key
that is without its row for longer than the margin may be past its own deadline, and counts as debt. Doubt raises the alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from tenant_retention.domain.cache_rules import CACHE
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.ports.cached_rows import CacheLooks
from tenant_retention.domain.ports.observation import CategoryObservation


def looks_as_one(found: Iterable[CacheLooks]) -> dict[str, CacheLooks]:
    """By category the newest look; the first database of a category, which tells, may be another one than before."""
    told: dict[str, CacheLooks] = {}
    for look in sorted(found, key=lambda each: each.looked_at):
        before = told.get(look.category)
        clean = max((each.clean_at for each in (before, look) if each and each.clean_at), default=None)
        since = [each.left_since for each in (before, look) if each and each.left_since]
        left = min((at for at in since if clean is None or at > clean), default=None)
        told[look.category] = look.model_copy(update={"clean_at": clean, "left_since": left})
    return told


def with_keys(
    found: CategoryObservation, look: CacheLooks | None, margin: timedelta, now: datetime
) -> CategoryObservation:
    """The counts of a category with the keys that are left of it, due at once and overdue after ``margin``."""
    if look is None or look.left_since is None:
        return found
    left = look.left or 0
    late = left if look.left_since + margin <= now else 0
    return found.model_copy(update={"due": found.due + left, "overdue": found.overdue + late})


def keys_in_danger(
    definition: RetentionDefinition | None, looks: Mapping[str, CacheLooks], away: Mapping[str, list[str]]
) -> list[tuple[str, datetime, list[str]]]:
    """Each cached category whose keys will be past their deadline, when, and what stands in the way. ``away``: stores with a
    problem, by name, each with its next step."""
    danger = []
    for category in definition.categories if definition is not None else ():
        look = looks.get(category.name)
        if category.cache is None or look is None or definition is None:
            continue
        since = look.left_since or (look.clean_at if CACHE in away else None)
        if since is None:
            continue
        why = away.get(CACHE) or ["keys without their rows are left in the cache, see status.jobs"]
        danger.append((category.name, since + timedelta(seconds=definition.margin_seconds), why))
    return danger


def keys_unknown(definition: RetentionDefinition | None, looks: Mapping[str, CacheLooks], now: datetime) -> str | None:
    """That keys may be past their deadline and nobody could look; None: every cache was looked through in time."""
    if definition is None:
        return None
    margin = timedelta(seconds=definition.margin_seconds)
    late = [
        f"{name} since {instant(look.left_since + margin)} ({look.failure or 'no look'})"
        for name, look in sorted(looks.items())
        if look.left is None and look.left_since is not None and look.left_since + margin <= now
    ]
    if not late:
        return None
    return (
        f"keys in the cache may be past their deadline: {', '.join(late)}; no run could look through it, so nobody can count "
        "them: bring the cache back, see status.stores and status.jobs"
    )[:1024]
