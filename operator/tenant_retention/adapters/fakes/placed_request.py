"""A data subject's request as the in-memory tenant database keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from tenant_retention.domain.ports.requests import RequestAction


@dataclass
class PlacedRequest:
    """What the operator told of a request; ``entries``: what is to become of which row, by its identity, ``sessions`` by family."""

    actions: frozenset[RequestAction]
    salt: bytes
    identifiers: frozenset[bytes]
    searched_by: UUID | None = None
    found: bool = False
    sessions: set[tuple[str, str]] = field(default_factory=set)
    entries: dict[str, str] = field(default_factory=dict)
