"""The backups that a bucket holds, for ``FakeTenantStores``: a test puts them there, as the Job would."""

from __future__ import annotations

from tenant_retention.domain.backups import StoredBackup
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.stores import BucketRequest


class FakeTenantBackups:
    """``backups``: what lies in a bucket, by its name; ``listed``: each look at one. ``away``: URLs that do not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.backups: dict[str, list[StoredBackup]] = {}
        self.listed: list[str] = []
        self.away: set[str] = set()

    def list_backups(self, request: BucketRequest) -> tuple[StoredBackup, ...]:
        """See the port."""
        if request.server.url in self.away:
            raise Unavailable(f"{request.server.url} does not answer", reason="ServerUnreachable")
        self.listed.append(request.name)
        return tuple(sorted(self.backups.get(request.name, ()), key=lambda each: each.taken_at))
