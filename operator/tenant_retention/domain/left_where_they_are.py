"""Databases that an archive or a backup leaves out, said in the status so that nothing is ignored in silence (D3, T6); pure."""

from __future__ import annotations

from collections.abc import Sequence

from tenant_retention.domain.definition import CategoryDefinition, RetentionDefinition
from tenant_retention.domain.names import purpose_of

_NAMED = 3
"""So many are named; units may have hundreds."""


def not_archived(definition: RetentionDefinition, category: CategoryDefinition) -> str | None:
    """Whose rows ``archiveAfter`` does not move; None: of all databases of the category, or it is not archived."""
    names = [name for name in definition.database_names() if purpose_of(name) == category.database]
    apart = [name for name in names if name != category.database]
    if category.archive_after is None or not apart:
        return None
    return f"archiveAfter moves rows of {category.database} alone: those of {some_of(apart)} stay there until they are deleted"


def not_backed_up(left_out: Sequence[str]) -> str:
    """Which databases no backup has; empty: none."""
    return f"in no backup, as their rows stay in their region: {some_of(left_out)}" if left_out else ""


def some_of(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(sorted(names)[:_NAMED]) + (f" and {more} more" if more > 0 else "")
