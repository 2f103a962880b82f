"""Which holds are in force in a policy's databases, whatever became of the objects that placed them (X3); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenant_retention.api.v1alpha1.policystatus import MOST_HOLDS
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.ports.observation import LiveHold


@dataclass(frozen=True)
class HoldInForce:
    """All that is in force under one name in the databases of a policy. ``name`` None: placed by hand. ``missing``: there is no
    LegalHold of that name, so nobody is about to release it."""

    name: str | None
    since: datetime
    reference: str | None
    missing: bool


def in_force(found: Iterable[LiveHold], objects: AbstractSet[str]) -> tuple[HoldInForce, ...]:
    """What the databases tell, by name. ``objects``: the names of the LegalHolds of the namespace."""
    by_name: dict[str | None, LiveHold] = {}
    for hold in found:
        known = by_name.get(hold.name)
        if known is None or hold.since < known.since:
            by_name[hold.name] = hold
    return tuple(
        HoldInForce(name, hold.since, hold.reference, name not in objects)
        for name, hold in sorted(by_name.items(), key=lambda item: item[0] or "")
    )


def hold_rows(
    holds: Sequence[HoldInForce], previous: Sequence[Mapping[str, Any]], *, whole: bool
) -> tuple[dict[str, Any], ...]:
    """``status.holds``. Not ``whole``: a database did not answer, and what was told of it last stands."""
    rows = [_row(hold) for hold in holds]
    names = {hold.name for hold in holds}
    stands = [] if whole else [dict(row) for row in previous if row.get("name") not in names]
    # Nobody looks for those whose object is there.
    told = sorted([*rows, *stands], key=lambda row: (not row["objectMissing"], row.get("name", "")))
    return tuple(told[:MOST_HOLDS])


def _row(hold: HoldInForce) -> dict[str, Any]:
    row: dict[str, Any] = {"since": instant(hold.since), "objectMissing": hold.missing}
    if hold.name is not None:
        row["name"] = hold.name
    if hold.reference:
        row["reference"] = hold.reference[:256]
    return row
