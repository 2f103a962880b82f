"""A tenant's database as whatever is placed in all of them is told of it: holds (X3) and requests (T7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenant_retention.domain.names import StoreIdentity

if TYPE_CHECKING:
    from tenant_retention.domain.ports.stores import DatabaseServer


@dataclass(frozen=True)
class DatabasePlace:
    """A database by its server, its identity and the UID of the namespace that its marker names."""

    server: DatabaseServer
    identity: StoreIdentity
    namespace_uid: str

    @property
    def database(self) -> str:
        """The database's name."""
        return self.identity.database()
