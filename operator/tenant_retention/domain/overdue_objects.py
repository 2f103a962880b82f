"""Debt in a bucket: versions of objects that no row names and that no category could still keep (M10, T6); pure."""

from __future__ import annotations

from collections.abc import Mapping

from tenant_retention.domain.conditions import instant
from tenant_retention.domain.ports.observation import OrphanCount


def overdue_objects_text(found: Mapping[str, OrphanCount]) -> str:
    """What there is of it, by bucket, with the next step; empty: none. No run deletes any: who lost the row must be found out."""
    return "; ".join(
        f"{name}: {each.overdue} versions of objects that no row names are past the longest max of its categories"
        + (f", the oldest of {instant(each.oldest_overdue)}" if each.oldest_overdue else "")
        + ": no run deletes them; find them in the store's list of versions (tenant-retention orphans --keys names those "
        "whose key has no row), and delete by version what nothing must keep"
        for name, each in sorted(found.items())
    )
