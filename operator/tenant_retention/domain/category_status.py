"""Per category, what the observer counted, as the status says it (X4, X8); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.domain.cached_debt import looks_as_one, with_keys
from tenant_retention.domain.conditions import instant, moment
from tenant_retention.domain.definition import (
    ARCHIVE,
    CategoryDefinition,
    CategoryState,
    ExtendedDefinition,
    RetentionDefinition,
)
from tenant_retention.domain.durations import LAST_INSTANT, Period, end_of_period
from tenant_retention.domain.extended_storage import is_lasting
from tenant_retention.domain.left_where_they_are import not_archived
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.ports.cached_rows import CacheLooks
from tenant_retention.domain.ports.observation import (
    CategoryObservation,
    DatabaseFacts,
    GuardRequest,
    LeftTable,
    OrphanCount,
    Uncovered,
)
from tenant_retention.domain.ports.orphans import OrphanKind
from tenant_retention.domain.rules import effective_keep
from tenant_retention.domain.several_databases import observed_as_one
from tenant_retention.domain.unusable_times import too_old, unusable_times

MOST_CATEGORIES = 64
"""Rows that ``status.categories`` takes: the profile's 32 at most, and as many that left it."""


@dataclass(frozen=True)
class Counts:
    """What the observer logins read, by category. ``old_anomalies``: where items without a usable time are that were first
    seen longer than max ago, and the next step (X8). ``left``: tables that left the profile with their rows (M10).
    ``orphans``: counted by the nights, by bucket and category. ``uncovered``: by the databases' purposes (M11).
    ``overdue_objects``: by bucket, where the nights found some that no category could still keep (T6). ``cache_looks``: of the
    cached categories. ``archived``: rows that lie in the archive. Empty until a database answered."""

    categories: Mapping[str, CategoryObservation] = field(default_factory=dict)
    guard: tuple[GuardRequest, ...] = ()
    old_anomalies: tuple[str, ...] = ()
    chain_intact: bool = True
    left: tuple[LeftTable, ...] = ()
    orphans: Mapping[tuple[OrphanKind, str], int] = field(default_factory=dict)
    overdue_objects: Mapping[str, OrphanCount] = field(default_factory=dict)
    uncovered: Mapping[str, Uncovered] = field(default_factory=dict)
    cache_looks: Mapping[str, CacheLooks] = field(default_factory=dict)
    archived: Mapping[str, int] = field(default_factory=dict)


def counts_of(facts: Mapping[str, DatabaseFacts], definition: RetentionDefinition) -> Counts:
    """The counts of all databases of a policy; ``facts`` by the databases' purposes."""
    categories = observed_as_one(found for fact in facts.values() for found in fact.categories)
    now = max((fact.now for fact in facts.values()), default=None)
    looks = looks_as_one(look for fact in facts.values() for look in fact.cache_looks)
    if now is not None:
        margin = timedelta(seconds=definition.margin_seconds)
        categories = {name: with_keys(found, looks.get(name), margin, now) for name, found in categories.items()}
    return Counts(
        categories=categories,
        guard=tuple(request for purpose in sorted(facts) for request in facts[purpose].guard_requests),
        old_anomalies=tuple(
            f"{category.name}, longer than max: {unusable_times(definition, category)}"
            for category in definition.categories
            if now is not None and too_old(categories.get(category.name), category, now)
        ),
        chain_intact=all(fact.chain_intact for fact in facts.values()),
        left=tuple(table for purpose in sorted(facts) for table in facts[purpose].left),
        orphans=_orphans(fact for _, fact in sorted(facts.items())),
        overdue_objects={each.name: each for fact in facts.values() for each in fact.orphans if each.overdue},
        uncovered={purpose: facts[purpose].uncovered for purpose in sorted(facts)},
        cache_looks=looks,
        archived=_archived(facts),
    )


def _archived(facts: Mapping[str, DatabaseFacts]) -> dict[str, int]:
    """Rows of a category in the archive: those of its database, or in the files that the live databases know."""
    if ARCHIVE in facts:
        return {found.category: found.rows for found in facts[ARCHIVE].categories}
    told = [each for fact in facts.values() for each in fact.categories if each.archived is not None]
    return {each.category: each.archived or 0 for each in told}


def _orphans(facts: Iterable[DatabaseFacts]) -> dict[tuple[OrphanKind, str], int]:
    """Of a bucket that several databases name objects in, the first one keeps the count; rows are each database's own."""
    counted: dict[tuple[OrphanKind, str], int] = {}
    for found in (each for fact in facts for each in fact.orphans):
        before = counted.get((found.kind, found.name))
        own = found.found if found.kind is OrphanKind.MISSING_OBJECTS else 0
        counted[(found.kind, found.name)] = found.found if before is None else before + own
    return counted


def overdue_total(counts: Counts) -> int | None:
    """Rows and objects past their deadline; None where nothing was counted."""
    if not counts.categories and not counts.left:
        return None
    rows = sum(found.overdue for found in counts.categories.values()) + sum(table.overdue for table in counts.left)
    return rows + sum(found.overdue for found in counts.overdue_objects.values())


def category_rows(
    profile: RetentionProfileSpec | None,
    definition: RetentionDefinition | None,
    counts: Counts,
    *,
    counted_only: bool,
    now: datetime,
    copies_until: datetime | None = None,
) -> list[dict[str, Any]]:
    """One row per category, in the profile's order; those that left it with rows come last. ``now``: which bounds are in force.
    ``copies_until``: until when old backups may hold what is in the live store."""
    if definition is None:
        return []
    order = [category.name for category in profile.categories] if profile else []
    purposes = {purpose_of(name) for name in definition.database_names()}
    # A database that no channel needs is not there, and neither are its categories.
    known = {each.name: each for each in definition.categories if each.database in purposes or not each.tables}
    names = [name for name in order if name in known] + [name for name in known if name not in order]
    stopped = {request.category for request in counts.guard}
    margin = timedelta(seconds=definition.margin_seconds)
    left = {
        name: [table for table in counts.left if table.category == name] for name in (t.category for t in counts.left)
    }
    rows = [
        _row(known[name], counts.categories.get(name), margin, now, counted_only=counted_only, stopped=name in stopped)
        for name in names
    ]
    rows = [
        row | ({"archived": counts.archived[row["name"]]} if row["name"] in counts.archived else {}) for row in rows
    ]
    missing = {name: found for (kind, name), found in counts.orphans.items() if kind is OrphanKind.MISSING_OBJECTS}
    rows = [_with_old_copies(row, copies_until) for row in rows]
    rows = [_with_advice(row, text) if (text := not_archived(definition, known[row["name"]])) else row for row in rows]
    rows = [row | ({"missingObjects": missing[row["name"]]} if row["name"] in missing else {}) for row in rows]
    rows = [_with_left(row, left[row["name"]]) if row["name"] in left else row for row in rows]
    rows = [
        _with_advice(row, unusable_times(definition, known[row["name"]])) if row.get("anomalies") else row
        for row in rows
    ]
    gone = [{"name": name} for name in left if name not in known]
    return rows + [_with_left(row, left[row["name"]]) for row in gone[: MOST_CATEGORIES - len(rows)]]


def _with_old_copies(row: dict[str, Any], until: datetime | None) -> dict[str, Any]:
    """A category's row whose last copy may be in a backup that is older than the rules of now."""
    if until is None or "lastCopyGone" not in row:
        return row
    return row | {"lastCopyGone": instant(max(until, moment(row["lastCopyGone"])))}


def _with_left(row: dict[str, Any], tables: list[LeftTable]) -> dict[str, Any]:
    """A category's row with what lies in tables that left the profile: the whole is not enforced then."""
    names = ", ".join(dict.fromkeys(table.table for table in tables))
    waiting = next((table.content_of for table in tables if table.content_of), None)
    wait = f"; records of {waiting} wait for it" if waiting else ""
    items = "objects" if "objects" in row and "rows" not in row else "rows"
    clocks = {
        "oldest": [instant(table.oldest) for table in tables if table.oldest],
        "nextDeadline": [instant(table.next_deadline) for table in tables if table.next_deadline],
    }
    first = {name: min([*found, row[name]] if name in row else found) for name, found in clocks.items() if found}
    return row | {
        "state": "NotEnforced",
        "message": f"left the profile with rows: {names}; no run deletes them{wait}: put it back into the profile"[
            :1024
        ],
        items: row.get(items, 0) + sum(table.rows for table in tables),
        "overdue": row.get("overdue", 0) + sum(table.overdue for table in tables),
        **first,
    }


def _with_advice(row: dict[str, Any], advice: str) -> dict[str, Any]:
    """A category's row whose message says that, too; what was said before it is cut first."""
    before = f"{row['message'][: 1022 - len(advice)]}; " if "message" in row else ""
    return row | {"message": f"{before}{advice}"[:1024]}


def _row(
    category: CategoryDefinition,
    found: CategoryObservation | None,
    margin: timedelta,
    now: datetime,
    *,
    counted_only: bool,
    stopped: bool,
) -> dict[str, Any]:
    bought = category.extended
    in_force = bought if bought is not None and is_lasting(bought, now) else category
    effective = effective_keep(in_force.keep, in_force.maximum, margin)
    row: dict[str, Any] = {
        "name": category.name,
        "state": _state(category, counted_only=counted_only, stopped=stopped),
        "message": _message(category, in_force, effective, stopped=stopped),
        "min": category.minimum,
        "max": category.maximum,
        "keep": category.keep,
        "effectiveKeep": effective,
        "extendedKeep": bought.keep if bought else None,
        "extendedUntil": instant(bought.until) if bought and bought.until else None,
        "anonymizeAfter": category.anonymize_after,
        "archiveAfter": category.archive_after,
    }
    if found is not None:
        row.update(
            {
                **_items(category, found),
                **_leaves(effective, found, margin),
                "oldest": instant(found.oldest) if found.oldest else None,
                "nextDeadline": instant(found.next_deadline) if found.next_deadline else None,
                "due": found.due,
                "overdue": found.overdue,
                "held": found.held,
                "anomalies": found.anomalies,
                "anomaliesSince": instant(found.anomalies_since) if found.anomalies_since else None,
                "anonymizeDue": found.anonymize_due,
                "nextAnonymization": instant(found.next_anonymization) if found.next_anonymization else None,
                "againstConsent": found.against_consent,
                "unmasked": found.unmasked,
                "unapproved": found.unapproved,
            }
        )
    return {name: value for name, value in row.items() if value is not None}


def _leaves(effective: str | None, found: CategoryObservation, margin: timedelta) -> dict[str, Any]:
    """The two dates of the oldest item: when it leaves the live store, and when its last copy is gone (M10, T6)."""
    if effective is None or found.oldest is None or len(effective) > len("P9999D"):
        return {}
    end = end_of_period(found.oldest, Period.parse(effective))
    return {"leavesLiveStore": instant(end), "lastCopyGone": instant(min(end, LAST_INSTANT - margin) + margin)}


def _items(category: CategoryDefinition, found: CategoryObservation) -> dict[str, Any]:
    if category.files is None:
        return {"objects" if category.objects is not None else "rows": found.rows}
    counted = instant(found.files_counted_at) if found.files_counted_at else None
    rows = {"rows": found.rows} if category.tables else {}
    return {**rows, "objects": found.files if counted else None, "objectsCountedAt": counted}


def _state(category: CategoryDefinition, *, counted_only: bool, stopped: bool) -> str:
    if category.state is CategoryState.NOT_ENFORCED:
        return "NotEnforced"
    if counted_only:
        return "CountedOnly"
    return "ApprovalRequired" if stopped else "Enforced"


def _message(
    category: CategoryDefinition,
    in_force: CategoryDefinition | ExtendedDefinition,
    effective: str | None,
    *,
    stopped: bool,
) -> str | None:
    if category.state is CategoryState.NOT_ENFORCED:
        why = f"clock event {category.clock_event.value}" if category.clock_column is None else "it has no tables"
        wait = f"; records of {category.content_of} wait for it" if category.content_of else ""
        return f"this version does not act on it: {why}{wait}"
    if stopped:
        return "the guard holds the surplus back; see status.approval"
    if effective != in_force.keep:
        return f"keep {in_force.keep} is shortened to {effective}, so that every copy is gone by max {in_force.maximum}"
    if category.extended is not None and in_force is category:
        return f"the bought time is over: it is kept for {effective} again; remove the entry of spec.extendedStorage"
    return None
