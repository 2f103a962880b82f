"""A bucket or cache that the policy has and that is not there yet: whatever needs it fails, everything else goes on (M10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NoReturn

from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.ports.caches import KeyPage
from tenant_retention.domain.ports.enforcement import Claim, LockOutcome, ObjectDeletion, ObjectLock
from tenant_retention.domain.ports.files import FilePage
from tenant_retention.domain.ports.orphans import ObjectPage, Place


class AwaitedStore:
    """``ContentBucket``, ``ArchiveBucket`` and ``EnforcementCache`` of which every call raises NotReady (Provisioning)."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose

    @property
    def prefix(self) -> bytes:
        """Of no key: none is ever returned."""
        return b""

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        """See ``ContentBucket``."""
        self._refuse()

    def retain_objects(self, locks: Sequence[ObjectLock]) -> tuple[LockOutcome, ...]:
        """See ``ContentBucket``."""
        self._refuse()

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        """See ``ContentBucket``."""
        self._refuse()

    def list_objects(self, begins_at: Place, limit: int) -> ObjectPage:
        """See ``OrphanBucket``."""
        self._refuse()

    def missing_objects(self, rows: Sequence[ObjectRow]) -> tuple[ObjectRow, ...]:
        """See ``OrphanBucket``."""
        self._refuse()

    def list_files(self, prefix: str, begins_at: Place, limit: int) -> FilePage:
        """See ``FileBucket``."""
        self._refuse()

    def put_file(self, key: str, content: bytes) -> None:
        """See ``ArchiveBucket``."""
        self._refuse()

    def read_file(self, key: str) -> bytes | None:
        """See ``ArchiveBucket``."""
        self._refuse()

    def remove_files(self, keys: Sequence[str]) -> tuple[str, ...]:
        """See ``ArchiveBucket``."""
        self._refuse()

    def keys(self, cursor: int, count: int) -> KeyPage:
        """See ``EnforcementCache``."""
        self._refuse()

    def limit_life(self, lives: Mapping[bytes, int]) -> int:
        """See ``EnforcementCache``."""
        self._refuse()

    def keep(self, keys: Sequence[bytes]) -> int:
        """See ``EnforcementCache``."""
        self._refuse()

    def remove(self, keys: Sequence[bytes]) -> int:
        """See ``EnforcementCache``."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise NotReady(f"the {self._purpose} store is not there yet", reason="Provisioning")
