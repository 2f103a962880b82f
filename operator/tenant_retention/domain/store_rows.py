"""What the status of a policy says of its stores and of the Secrets that open them, bounded however many they are; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.conditions import reason_of
from tenant_retention.domain.policy_report import BindingReport, StoreReport
from tenant_retention.domain.ports.orphans import OrphanKind

MOST_BINDINGS = 32
"""Rows of ``status.bindings``: those of the home stores first, the others are found by their labels."""


def binding_rows(bindings: Sequence[BindingReport]) -> list[dict[str, Any]]:
    """``status.bindings``."""
    return [_binding_row(binding) for binding in sorted(bindings, key=_home_first)[:MOST_BINDINGS]]


def store_rows(stores: Sequence[StoreReport], counts: Counts) -> list[dict[str, Any]]:
    """``status.stores``."""
    return [_store_row(store, counts) for store in stores]


def _home_first(binding: BindingReport) -> bool:
    return bool(binding.region or binding.unit)


def _binding_row(binding: BindingReport) -> dict[str, Any]:
    row = {"name": binding.name, "store": binding.purpose, "role": binding.role}
    return row | {name: value for name, value in (("region", binding.region), ("unit", binding.unit)) if value}


def _store_row(store: StoreReport, counts: Counts) -> dict[str, Any]:
    row: dict[str, Any] = {
        "purpose": store.purpose,
        "type": store.type,
        "ready": store.problem is None,
        "className": store.class_name,
        "dataStore": store.data_store,
        "region": store.region,
        "unnamedObjects": counts.orphans.get((OrphanKind.UNNAMED_OBJECTS, store.purpose)),
        "unfinishedUploads": counts.orphans.get((OrphanKind.UNFINISHED_UPLOADS, store.purpose)),
    }
    if store.problem is not None:
        row.update(reason=reason_of(store.problem.reason).value, message=store.problem.message[:1024])
    elif store.warnings:
        row["message"] = "; ".join(store.warnings)[:1024]
    return {name: value for name, value in row.items() if value is not None}
