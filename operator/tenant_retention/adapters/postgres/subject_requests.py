"""Requests of data subjects as the operator sees them: told to a database, looked at, taken back while nothing was done (T7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg

from tenant_retention.adapters.postgres.failures import answer, translated
from tenant_retention.adapters.postgres.proven_places import ProvenPlaces
from tenant_retention.adapters.postgres.schema import become_owner
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.ports.requests import PlacedRequest, RequestProgress


def place_request(connection: psycopg.Connection[Any], roles: DatabaseRoles, request: PlacedRequest) -> None:
    """Tells the database of a request; again and again, and the newest telling counts until all is found. Raises Invalid where
    another one was found by that id."""
    with _owner(connection, roles):
        # Digests of before may be of other spellings: of another default region, or of a Secret that was made anew.
        connection.execute(statement("calls", "withdraw_request"), (request.request,))
        _value(
            connection,
            "place_request",
            request.request,
            request.name,
            [action.value for action in request.actions],
            request.received_at,
            request.salt,
            list(request.identifiers),
        )


def request_progress(
    connection: psycopg.Connection[Any], roles: DatabaseRoles, request: UUID
) -> RequestProgress | None:
    """How far it is; None where the database does not know it."""
    with _owner(connection, roles):
        found = _value(connection, "request_progress", request)
    return answer(RequestProgress, found) if found is not None else None


def withdraw_request(connection: psycopg.Connection[Any], roles: DatabaseRoles, request: UUID) -> None:
    """Forgets a request of which nothing was done yet; one whose rows are all found goes on."""
    with _owner(connection, roles):
        connection.execute(statement("calls", "withdraw_request"), (request,))


class PostgresTenantRequests(ProvenPlaces):
    """The part of ``TenantStores`` that requests need."""

    def place_request(self, place: DatabasePlace, request: PlacedRequest) -> None:
        """See the port."""
        with self._proven(place) as (connection, roles):
            place_request(connection, roles, request)

    def request_progress(self, place: DatabasePlace, request: UUID) -> RequestProgress | None:
        """See the port."""
        with self._proven(place) as (connection, roles):
            return request_progress(connection, roles, request)

    def withdraw_request(self, place: DatabasePlace, request: UUID) -> None:
        """See the port."""
        with self._proven(place) as (connection, roles):
            withdraw_request(connection, roles, request)


@contextmanager
def _owner(connection: psycopg.Connection[Any], roles: DatabaseRoles) -> Iterator[None]:
    """A transaction of the owner. Raises NotReady where the database has not been brought up to this version yet."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        if not _value(connection, "knows_requests"):
            raise NotReady("the database has not been brought up to this version yet", reason="Pending")
        yield


def _value(connection: psycopg.Connection[Any], name: str, *arguments: object) -> Any:
    row = connection.execute(statement("calls", name), arguments).fetchone()
    return row[0] if row else None
