"""A session in a database that is proven to be the store that the ledger means, for what is placed there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tenant_retention.adapters.postgres.connections import Connection, connect, errors_of
from tenant_retention.adapters.postgres.roles import require_marker
from tenant_retention.adapters.postgres.survey import marker_of
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.ports.stores import DatabaseServer
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.domain.store_marker import StoreMarker

_APPLICATION_NAME = "tenant-retention-operator"


class ProvenPlaces(ABC):
    """Connects as the server's administrator."""

    @abstractmethod
    def _access(self, server: DatabaseServer) -> ServerAccess: ...

    @contextmanager
    def _proven(self, place: DatabasePlace) -> Iterator[tuple[Connection, DatabaseRoles]]:
        """A session in the database, which carries the store's marker, and its roles. Raises Invalid (StoreConflict) else."""
        roles = DatabaseRoles.of(place.database)
        inside = replace(self._access(place.server), database=place.database)
        with errors_of(inside), connect(inside, application_name=_APPLICATION_NAME) as connection:
            marker = StoreMarker.of(place.identity, place.namespace_uid)
            found = marker_of(connection, roles.owner)
            # Whichever policy has it: the ledger knows.
            require_marker(connection, roles.owner, replace(marker, policy_uid=found.policy_uid if found else ""))
            yield connection, roles
