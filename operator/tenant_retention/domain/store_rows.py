"""What the status of a policy says of its stores and of the Secrets that open them, bounded however many they are; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.conditions import instant, reason_of
from tenant_retention.domain.policy_report import BindingReport, StoreReport
from tenant_retention.domain.ports.orphans import OrphanKind

MOST_BINDINGS = 32
"""Rows of ``status.bindings``: those of the home stores first, the others are found by their labels."""


MOST_STORES = 16
"""Rows of ``status.stores``; ``status.storeCounts`` has them all."""
MOST_COUNTS = 64
"""Rows of ``status.storeCounts``: purposes by regions."""


def binding_rows(bindings: Sequence[BindingReport]) -> list[dict[str, Any]]:
    """``status.bindings``."""
    return [_binding_row(binding) for binding in sorted(bindings, key=_home_first)[:MOST_BINDINGS]]


def store_rows(stores: Sequence[StoreReport], counts: Counts) -> list[dict[str, Any]]:
    """``status.stores``: the home stores; of the others those that have something to say, problems first."""
    home = [store for store in stores if store.at_home]
    troubled = [store for store in stores if not store.at_home and store.problem is not None]
    telling = [store for store in stores if not store.at_home and store.problem is None and store.warnings]
    return [_store_row(store, counts) for store in [*home, *troubled, *telling][:MOST_STORES]]


def store_counts(stores: Sequence[StoreReport]) -> list[dict[str, Any]]:
    """``status.storeCounts``."""
    groups: dict[tuple[str, str], list[StoreReport]] = {}
    for store in stores:
        groups.setdefault((store.purpose, store.region or ""), []).append(store)
    return [_count(purpose, region, group) for (purpose, region), group in sorted(groups.items())][:MOST_COUNTS]


def _count(purpose: str, region: str, group: Sequence[StoreReport]) -> dict[str, Any]:
    row: dict[str, Any] = {"purpose": purpose, "wanted": len(group)}
    row["ready"] = sum(store.problem is None for store in group)
    leaving = sum(store.leaving for store in group)
    return row | ({"region": region} if region else {}) | ({"leaving": leaving} if leaving else {})


def _home_first(binding: BindingReport) -> bool:
    return bool(binding.region or binding.unit)


def _binding_row(binding: BindingReport) -> dict[str, Any]:
    row = {"name": binding.name, "store": binding.purpose, "role": binding.role}
    return row | {name: value for name, value in (("region", binding.region), ("unit", binding.unit)) if value}


def _store_row(store: StoreReport, counts: Counts) -> dict[str, Any]:
    overdue = counts.overdue_objects.get(store.purpose)
    row: dict[str, Any] = {
        "purpose": store.purpose,
        "type": store.type,
        "ready": store.problem is None,
        "className": store.class_name,
        "dataStore": store.data_store,
        "region": store.region,
        "unit": store.place.unit or None if store.place is not None else None,
        "unnamedObjects": counts.orphans.get((OrphanKind.UNNAMED_OBJECTS, store.purpose)),
        "overdueObjects": overdue.overdue if overdue else None,
        "oldestOverdueObject": instant(overdue.oldest_overdue) if overdue and overdue.oldest_overdue else None,
        "unfinishedUploads": counts.orphans.get((OrphanKind.UNFINISHED_UPLOADS, store.purpose)),
    }
    if store.problem is not None:
        row.update(reason=reason_of(store.problem.reason).value, message=store.problem.message[:1024])
    elif store.warnings:
        row["message"] = "; ".join(store.warnings)[:1024]
    return {name: value for name, value in row.items() if value is not None}
