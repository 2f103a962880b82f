"""Making all stores of a policy as wanted: servers of different kinds at once, and on each of them a few databases at a time (D4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastoreclass import IN_NAMESPACE
from tenant_retention.domain.errors import NotReady, RetentionError, Unavailable
from tenant_retention.domain.ledger import Claimant
from tenant_retention.domain.names import Place
from tenant_retention.domain.ports.caches import CacheServer
from tenant_retention.domain.ports.stores import DatabaseServer
from tenant_retention.reconcile.buckets import BucketResult, Buckets
from tenant_retention.reconcile.caches import CacheResult, Caches
from tenant_retention.reconcile.claims import ClaimedStore, follow_marker
from tenant_retention.reconcile.databases import DatabaseResult, Databases, Wish
from tenant_retention.reconcile.hash_keys import share_hash_key
from tenant_retention.reconcile.servers import Server, Servers
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World

AT_ONCE = 8
"""Databases of units that one policy has in work on one server; the server's own bound counts over all policies."""
MAKING = timedelta(minutes=1)
"""For how long one reconcile begins new databases of units: then the status tells how far it is, and the next one goes on."""


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
        results = [by_place[store.wanted.place] for store in stores]
        await share_hash_key(self.world, results)
        return results

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
        turns, began = asyncio.Semaphore(AT_ONCE), self.world.now()
        stop: RetentionError | None = None

        async def in_turn(store: ClaimedStore) -> Result:
            nonlocal stop
            async with turns:
                if _is_new(store) and self.world.now() - began > MAKING:
                    stop = stop or NotReady("it is made after those before it", reason=Reason.PROVISIONING)
                result: Result = kind(store, problem=stop)
                if stop is None or not _is_new(store):
                    result = await self._one(store, server, wish, digest)
                if _is_new(store) and isinstance(result.problem, Unavailable):
                    # A server that gives one no answer is not asked for hundreds.
                    stop = result.problem
                return result

        # New ones first: those that are there are looked at whatever the time is.
        further.sort(key=_is_new, reverse=True)
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


def _is_new(store: ClaimedStore) -> bool:
    """Whether it was never there yet, as its ledger entry says."""
    return store.entry.status.phase not in ("Bound", "Released")
