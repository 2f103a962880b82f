"""Making all stores of a policy as wanted: servers of different kinds at once, and on each of them a few databases at a time (D4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tenant_retention.api.v1alpha1.datastoreclass import IN_NAMESPACE
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ledger import Claimant
from tenant_retention.domain.names import Place
from tenant_retention.domain.ports.caches import CacheServer
from tenant_retention.domain.ports.stores import DatabaseServer
from tenant_retention.reconcile.buckets import BucketResult, Buckets
from tenant_retention.reconcile.caches import CacheResult, Caches
from tenant_retention.reconcile.claims import ClaimedStore, follow_marker
from tenant_retention.reconcile.databases import DatabaseResult, Databases, Wish
from tenant_retention.reconcile.servers import Server, Servers
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World

AT_ONCE = 8
"""Databases of units that one policy has in work on one server; the server's own bound counts over all policies."""


_KINDS = {"PostgreSQL": DatabaseResult, "S3": BucketResult, "Redis": CacheResult}


@dataclass(frozen=True)
class Preparing:
    """Works on the stores of one policy. ``prepared``: what this process prepared before, by the name of the place and the
    digest of the wish; kept up to date."""

    world: World
    servers: Servers
    databases: Databases
    buckets: Buckets
    caches: Caches
    claimant: Claimant
    prepared: dict[str, str]

    async def all(self, stores: Sequence[ClaimedStore], wish: Wish) -> list[Result]:
        """The results in the order of ``stores``. Never raises RetentionError: what went wrong is in the results."""
        groups: dict[tuple[str, str, str], list[ClaimedStore]] = {}
        for store in stores:
            spec = store.entry.spec
            # One server of ours a type carries all stores of the policy; existing ones each have their own.
            own = "" if spec.provisioner in IN_NAMESPACE else spec.class_name
            groups.setdefault((spec.type, spec.provisioner, own), []).append(store)
        done = await asyncio.gather(*(self._group(group, wish) for group in groups.values()))
        by_place = {result.store.wanted.place: result for results in done for result in results}
        return [by_place[store.wanted.place] for store in stores]

    async def _group(self, stores: Sequence[ClaimedStore], wish: Wish) -> list[Result]:
        kind = _KINDS[stores[0].wanted.type]
        try:
            server = await self.servers.of([store.entry for store in stores])
        except RetentionError as problem:
            return [kind(store, problem=problem) for store in stores]
        digest = wish.digest()
        home = [store for store in stores if store.wanted.place == Place(store.wanted.purpose)]
        further = [store for store in stores if store not in home]
        # The home stores first, one by one: whatever is wrong with the server is found out by one, not by hundreds.
        results = [await self._one(store, server, wish, digest) for store in home]
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(store: ClaimedStore) -> Result:
            async with turns:
                return await self._one(store, server, wish, digest)

        return results + list(await asyncio.gather(*map(in_turn, further)))

    async def _one(self, store: ClaimedStore, server: Server, wish: Wish, digest: str) -> Result:
        name = store.wanted.place.name
        again = self.prepared.get(name) == digest
        result: Result
        if isinstance(server, DatabaseServer):
            result = await self.databases.prepare(store, server, wish, tell_drift=again)
        elif isinstance(server, CacheServer):
            result = await self.caches.prepare(store, server, tell_drift=again)
        else:
            result = await self.buckets.prepare(store, server, wish.definition, tell_drift=again)
        result.problem = await follow_marker(self.world, store, self.claimant, result.problem)
        if result.prepared:
            self.prepared[name] = digest
        return result
