"""What the reconcile of a LegalHold needs of the tenants' databases: place, release, count (X3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tenant_retention.domain.definition import Value
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.subjects import Subject


@dataclass(frozen=True)
class WantedHold:
    """What a LegalHold holds: rows that every kind of selector matches; an empty one matches all. ``name``, ``uid``: the
    object's. ``subject``: the person whose rows they are, those that are written later too; never shown."""

    name: str
    reference: str
    sessions: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    born_from: datetime | None = None
    born_to: datetime | None = None
    subject: Subject | None = field(default=None, repr=False)
    uid: str = ""


class PlacedHold(Value):
    """``added``: how many combinations were not in force before; ``since``: when the first of them was placed; ``unknown``:
    categories that the database never had."""

    added: int
    since: datetime
    unknown: tuple[str, ...] = ()


class TenantHolds(Protocol):
    """Part of ``TenantStores``. Raises Invalid (StoreConflict) where the database's marker names another store or namespace, and
    NotReady where it has not been brought up to this version yet."""

    def place_hold(self, place: DatabasePlace, hold: WantedHold) -> PlacedHold:
        """Places what is not in force yet under the hold's name, and takes nothing away; the evidence has what was
        added. Of a person the database is told digests under a salt of its own, and keeps them for as long as it is in force."""

    def release_hold(
        self, place: DatabasePlace, name: str, uid: str = "", held: Mapping[str, int] | None = None
    ) -> int:
        """Releases all that is in force under the name; how many combinations that were. For the evidence: the ``uid`` of the
        object that asks for it, and the rows by category that it kept, as last counted; None: not known."""

    def count_hold(self, place: DatabasePlace, name: str) -> Mapping[str, int] | None:
        """Rows by category that the hold keeps; None where counting took too long."""
