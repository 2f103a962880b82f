"""``TenantHolds`` on real databases: as the owner, in the functions that the database has for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.connections import Connection
from tenant_retention.adapters.postgres.failures import answer, translated
from tenant_retention.adapters.postgres.proven_places import ProvenPlaces
from tenant_retention.adapters.postgres.schema import become_owner
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.errors import NotReady, Unavailable
from tenant_retention.domain.ports.holds import PlacedHold, WantedHold
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.subjects import digest_of

_LOCK_WAIT = "2s"
"""A batch takes a tenth of that. A deletion that takes longer is waited for by trying again: meanwhile none waits behind us."""
_COUNT_TIME = "10s"


class PostgresTenantHolds(ProvenPlaces):
    """The part of ``TenantStores`` that holds need."""

    def place_hold(self, place: DatabasePlace, hold: WantedHold) -> PlacedHold:
        """See the port."""
        selectors = (list(hold.sessions), list(hold.categories), list(hold.units), hold.born_from, hold.born_to)
        with self._owner(place) as connection:
            connection.execute(statement("calls", "bound_hold_wait"), (_LOCK_WAIT,))
            person: tuple[bytes | None, list[bytes]] = (None, [])
            if hold.subject is not None:
                salt = bytes(_value(connection, "salt_of_hold", hold.name))
                person = salt, [digest_of(spelling, salt) for spelling in hold.subject.spellings]
            told = _value(connection, "place_hold", hold.name, hold.uid, hold.reference, *selectors, *person)
        return answer(PlacedHold, told)

    def release_hold(
        self, place: DatabasePlace, name: str, uid: str = "", held: Mapping[str, int] | None = None
    ) -> int:
        """See the port."""
        with self._owner(place) as connection:
            connection.execute(statement("calls", "bound_hold_wait"), (_LOCK_WAIT,))
            return int(_value(connection, "release_hold", name, uid, Jsonb(held)))

    def count_hold(self, place: DatabasePlace, name: str) -> Mapping[str, int] | None:
        """See the port."""
        try:
            with self._owner(place) as connection:
                connection.execute(statement("calls", "bound_hold_count"), (_COUNT_TIME,))
                return {category: int(rows) for category, rows in _value(connection, "count_hold", name).items()}
        except Unavailable as problem:
            if problem.reason != Reason.SERVER_TOO_SLOW:
                raise
            return None

    @contextmanager
    def _owner(self, place: DatabasePlace) -> Iterator[Connection]:
        """A transaction of the owner."""
        with self._proven(place) as (connection, roles), translated(), connection.transaction():
            become_owner(connection, roles)
            if not _value(connection, "knows_holds"):
                raise NotReady(
                    f"database {place.database} has not been brought up to this version yet", reason=Reason.PENDING
                )
            yield connection


def _value(connection: Connection, name: str, *arguments: object) -> Any:
    row = connection.execute(statement("calls", name), arguments).fetchone()
    return row[0] if row else None
