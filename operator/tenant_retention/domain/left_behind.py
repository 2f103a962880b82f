"""Data that no run deletes from: clocks this version does not act on, tables and databases that left the profile (M10); pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.definition import CategoryState, RetentionDefinition
from tenant_retention.domain.names import purpose_of


@dataclass(frozen=True)
class LeftStore:
    """A database of the policy that its profile has no use for any more, by its ledger entry; ``overdue``: None until
    it was counted. One that is known to be empty is not reported."""

    data_store: str
    purpose: str
    overdue: int | None


def unenforced(definition: RetentionDefinition | None, counts: Counts, left_stores: Sequence[LeftStore]) -> list[str]:
    """What no run deletes from, each with its next step (M10): never called compliant, and told before its deadline."""
    told = []
    purposes = {purpose_of(name) for name in definition.database_names()} if definition else set()
    categories = (
        [each for each in definition.categories if each.database in purposes or not each.tables] if definition else []
    )
    clocks = [category.name for category in categories if category.state is CategoryState.NOT_ENFORCED]
    if clocks:
        names = ", ".join(clocks)
        told.append(
            f"this version does not act on {names}, and no run deletes from them: delete by hand, as <database>_owner, what must go"
        )
    if counts.left:
        names = ", ".join(f"{table.table} (category {table.category})" for table in counts.left)
        told.append(f"left the profile with rows, which no run deletes: {names}; put them back into the profile")
    for store in left_stores:
        told.append(
            f"the profile has no use for the {store.purpose} database any more, and no run deletes from it: put its "
            f"categories back into the profile; kubectl get datastore {store.data_store} has its counts"
        )
    return told
