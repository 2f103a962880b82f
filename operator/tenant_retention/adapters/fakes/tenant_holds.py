"""The legal holds that the databases of ``FakeTenantStores`` have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import Protocol

from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.holds import PlacedHold, WantedHold
from tenant_retention.domain.ports.observation import LiveHold
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.subjects import digest_of

_Selectors = tuple[str | None, str | None, str | None, bytes | None, datetime | None, datetime | None]


class _Database(Protocol):
    """What is asked of ``KeptDatabase``."""

    @property
    def namespace_uid(self) -> str:
        """Of its marker."""

    @property
    def definition(self) -> RetentionDefinition | None:
        """Its rules."""


@dataclass
class KeptHold:
    """What is in force under one name in one database. ``references``: of all that were ever placed there.
    ``acts``: what the evidence has: kind, UID of the object, rows that were held until its release."""

    live: dict[_Selectors, datetime] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    released: int = 0
    acts: list[tuple[str, str, Mapping[str, int] | None]] = field(default_factory=list)


class FakeTenantHolds(ABC):
    """``holds``: by database and name. ``held_rows``: what counting a live hold finds in a database, None: too slow."""

    on_effect: Callable[[str], None]
    now: datetime
    databases: Mapping[str, _Database]

    def __init__(self) -> None:
        super().__init__()
        self.holds: dict[tuple[str, str], KeptHold] = {}
        self.held_rows: dict[str, Mapping[str, int] | None] = {}
        self.counted_holds: list[tuple[str, str]] = []

    def place_hold(self, place: DatabasePlace, hold: WantedHold) -> PlacedHold:
        """See the port."""
        rules = self._held_database(place).definition
        if rules is None:
            raise NotReady(f"database {place.database} has not been brought up to this version yet", reason="Pending")
        kept = self.holds.setdefault((place.database, hold.name), KeptHold())
        persons = (
            [digest_of(each, place.database.encode()) for each in hold.subject.spellings] if hold.subject else [None]
        )
        lists = (hold.sessions or (None,), hold.categories or (None,), hold.units or (None,), persons)
        wanted = [(*each, hold.born_from, hold.born_to) for each in product(*lists)]
        missing = [selectors for selectors in wanted if selectors not in kept.live]
        if missing:
            self.on_effect(f"hold {hold.name} in {place.database}")
            kept.live |= dict.fromkeys(missing, self.now)
            kept.references.append(hold.reference)
            kept.acts.append(("HoldPlaced", hold.uid, None))
        known = {category.name for category in rules.categories if category.lies_in(place.identity.purpose)}
        unknown = tuple(sorted(set(hold.categories) - known))
        return PlacedHold(added=len(missing), since=min(kept.live.values()), unknown=unknown)

    def release_hold(
        self, place: DatabasePlace, name: str, uid: str = "", held: Mapping[str, int] | None = None
    ) -> int:
        """See the port."""
        self._held_database(place)
        kept = self.holds.get((place.database, name))
        if kept is None or not kept.live:
            return 0
        self.on_effect(f"release {name} in {place.database}")
        number, kept.live = len(kept.live), {}
        kept.released += number
        kept.acts.append(("HoldReleased", uid, held))
        return number

    def count_hold(self, place: DatabasePlace, name: str) -> Mapping[str, int] | None:
        """See the port."""
        self._held_database(place)
        self.counted_holds.append((place.database, name))
        kept = self.holds.get((place.database, name))
        return self.held_rows.get(place.database, {}) if kept is not None and kept.live else {}

    def live_holds(self, database: str) -> tuple[LiveHold, ...]:
        """What ``observe_database`` tells of."""
        return tuple(
            LiveHold(name=name, since=min(kept.live.values()), reference=min(kept.references))
            for (where, name), kept in sorted(self.holds.items())
            if where == database and kept.live
        )

    def _held_database(self, place: DatabasePlace) -> _Database:
        self._answer(place.server.host)
        kept = self.databases.get(place.database)
        if kept is None or kept.namespace_uid != place.namespace_uid:
            raise Invalid(f"database {place.database} does not carry this marker", reason="StoreConflict")
        return kept

    @abstractmethod
    def _answer(self, address: str) -> None: ...
