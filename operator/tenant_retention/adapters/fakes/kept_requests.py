"""The requests that the databases of ``FakeTenantStores`` know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.ports.requests import PlacedRequest, RequestProgress

NOT_FOUND = RequestProgress(found_at=None, categories=())


@dataclass
class KeptRequest:
    """What one database was told, and how far it is: a test plays the Job and the nights by ``progress``."""

    placed: PlacedRequest
    progress: RequestProgress = NOT_FOUND


class FakeTenantRequests(ABC):
    """``requests``: by database and request. ``asked_requests``: every look at one."""

    on_effect: Callable[[str], None]

    def __init__(self) -> None:
        super().__init__()
        self.requests: dict[tuple[str, UUID], KeptRequest] = {}
        self.asked_requests: list[tuple[str, UUID]] = []

    def place_request(self, place: DatabasePlace, request: PlacedRequest) -> None:
        """See the port."""
        self._held_database(place)
        kept = self.requests.get((place.database, request.request))
        if kept is None or kept.progress.found_at is None:
            self.on_effect(f"place request in {place.database}")
            self.requests[(place.database, request.request)] = KeptRequest(request)
        elif set(kept.placed.actions) != set(request.actions):
            raise Invalid(f"request {request.request} asks for something else here", reason="SpecInvalid")

    def request_progress(self, place: DatabasePlace, request: UUID) -> RequestProgress | None:
        """See the port."""
        self._held_database(place)
        self.asked_requests.append((place.database, request))
        kept = self.requests.get((place.database, request))
        return kept.progress if kept is not None else None

    def withdraw_request(self, place: DatabasePlace, request: UUID) -> None:
        """See the port."""
        self._held_database(place)
        kept = self.requests.get((place.database, request))
        if kept is not None and kept.progress.found_at is None:
            self.on_effect(f"withdraw request in {place.database}")
            del self.requests[(place.database, request)]

    def pending_requests(self, database: str) -> tuple[UUID, ...]:
        """What ``observe_database`` tells of."""
        return tuple(
            request
            for (where, request), kept in self.requests.items()
            if where == database and kept.progress.found_at is None and kept.placed.name != "Shell"
        )

    @abstractmethod
    def _held_database(self, place: DatabasePlace) -> object: ...
