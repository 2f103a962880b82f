"""A tenant's content bucket in memory: the same contract as the real one, for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tenant_retention.adapters.fakes.listed_objects import ListedObjects
from tenant_retention.domain.object_keys import is_plain
from tenant_retention.domain.orphans import StoredObject
from tenant_retention.domain.ports.enforcement import Claim, LockOutcome, ObjectDeletion, ObjectLock


@dataclass
class InMemoryContentBucket(ListedObjects):
    """A bucket: objects as (key, version). ``errors`` by key are answered as the store's code.

    ``uploads``: unfinished ones by key, with the time they began. ``modified`` by key: when it was written; long ago where
    nothing is said. ``replaced`` by (key, version): when a newer one took its place.
    """

    objects: set[tuple[str, str]] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    retained: dict[tuple[str, str], datetime] = field(default_factory=dict)
    uploads: dict[str, datetime] = field(default_factory=dict)
    modified: dict[str, datetime] = field(default_factory=dict)
    replaced: dict[tuple[str, str], datetime] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock_skew: timedelta = timedelta(0)
    markers: set[tuple[str, str]] = field(default_factory=set)

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        return tuple(ObjectDeletion(claim_id=claim.claim_id, error=self._delete(claim)) for claim in claims)

    def retain_objects(self, locks: Sequence[ObjectLock]) -> tuple[LockOutcome, ...]:
        outcomes = []
        for lock in locks:
            error = self.errors.get(lock.key)
            for name in self._named(lock.key, lock.version) if error is None else ():
                self.retained[name] = max(lock.until, self.retained.get(name, lock.until))
            outcomes.append(LockOutcome(lock_id=lock.lock_id, error=error))
        return tuple(outcomes)

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        stale = [key for key, begun in self.uploads.items() if begun <= self.now() - older_than]
        for key in stale:
            del self.uploads[key]
        return len(stale)

    def _store_clock(self) -> datetime:
        return self.now() + self.clock_skew

    def _listed(self) -> Iterable[StoredObject]:
        long_ago = datetime.min.replace(tzinfo=UTC)
        return [
            StoredObject(
                key,
                version,
                self.modified.get(key, long_ago),
                (key, version) in self.markers,
                self.replaced.get((key, version)),
            )
            for key, version in sorted(self.objects)
        ]

    def _delete(self, claim: Claim) -> str | None:
        if not is_plain(claim.key):
            return "UnsupportedKey"
        if claim.key in self.errors:
            return self.errors[claim.key]
        named = self._named(claim.key, claim.version)
        free = {name for name in named if self.retained.get(name, self.now()) <= self.now()}
        self.objects -= free
        return None if free == named else "AccessDenied"

    def _named(self, key: str, version: str | None) -> set[tuple[str, str]]:
        return {name for name in self.objects if name[0] == key and version in (None, name[1])}
