"""Trying at a bounded rate whether the stores of a policy let data travel or lie in the clear, and what is known of it (T8)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.domain.encryption import EncryptionState
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.cluster import STORE_CLASS
from tenant_retention.reconcile.caches import CacheResult
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World, parse

LOOK_AGAIN = timedelta(minutes=15)
"""How often a store is looked at: each look opens a dozen connections."""
STALE = timedelta(hours=1)
"""How long a look that found nothing is believed while the next one cannot be taken."""


@dataclass(frozen=True)
class _Look:
    """One look at one store. ``unseen``: it may write in the clear to its disks, and its class does not say otherwise."""

    at: datetime
    breaches: tuple[str, ...]
    unseen: bool


@dataclass
class Encryption:
    """What this process knows, by ledger entry."""

    _looks: dict[str, _Look] = field(default_factory=dict)
    _failures: dict[str, str] = field(default_factory=dict)

    async def look(self, world: World, results: Sequence[Result]) -> None:
        """Tries every store that is ready and was not tried within a quarter of an hour. Never raises RetentionError: a
        store that gives no answer is tried again by the next reconcile, and what kept it from one is told."""
        now, names = world.now(), {_name(result) for result in results}
        self._looks = {
            name: look
            for name, look in self._looks.items()
            if name in names and (look.breaches or now - look.at < STALE)
        }
        due = [
            result for result in results if result.prepared and result.problem is None and self._is_due(world, result)
        ]
        await asyncio.gather(*(self._look(world, result) for result in due))

    def pause(self) -> None:
        """Nothing can be tried for now: what was encrypted says nothing of today; what was in the clear still counts."""
        self._looks = {name: look for name, look in self._looks.items() if look.breaches}

    def state(self, results: Sequence[Result]) -> EncryptionState | None:
        """What is to be told of these stores; None without any."""
        if not results:
            return None
        known = {name: self._looks.get(name) for name in map(_name, results)}
        return EncryptionState(
            breaches=tuple(breach for look in known.values() if look is not None for breach in look.breaches),
            untried=tuple(self._untried(result) for result in results if known[_name(result)] is None),
            undeclared=tuple(
                result.store.wanted.place.name for result in results if (look := known[_name(result)]) and look.unseen
            ),
        )

    def _is_due(self, world: World, result: Result) -> bool:
        known = self._looks.get(_name(result))
        return known is None or world.now() - known.at >= LOOK_AGAIN

    async def _look(self, world: World, result: Result) -> None:
        name = _name(result)
        try:
            breaches, on_disk = await _breaches(world, result)
            manifest = await world.cluster.get(STORE_CLASS, result.store.entry.spec.class_name)
            found = parse(DataStoreClass, manifest, Reason.CLASS_INVALID) if manifest is not None else None
        except RetentionError as problem:
            self._failures[name] = problem.message
            return
        self._failures.pop(name, None)
        declared = found is not None and found.spec.encryption_at_rest is not None
        self._looks[name] = _Look(world.now(), breaches, on_disk and not declared)

    def _untried(self, result: Result) -> str:
        purpose, failure = result.store.wanted.place.name, self._failures.get(_name(result))
        return f"{purpose} ({failure})" if failure else purpose


async def _breaches(world: World, result: Result) -> tuple[tuple[str, ...], bool]:
    """Where data is in the clear, and whether the store has it on disks that nobody can look at from outside."""
    assert result.request is not None
    if isinstance(result, DatabaseResult):
        host = result.request.server.host
        return await world.call(host, world.stores.probe_database_encryption, result.request), True
    if isinstance(result, CacheResult):
        found = await world.call(result.request.server.host, world.stores.probe_cache_encryption, result.request)
        return found.breaches, found.persists
    url = result.request.server.url
    return await world.call(url, world.stores.probe_bucket_encryption, result.request, result.keys), False


def _name(result: Result) -> str:
    return result.store.entry.metadata.name
