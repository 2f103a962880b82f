"""Which stores a night works on as things are: those whose enforcer has its Secret; a pod without one would never start (M10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenant_retention.domain.archive_rules import FILES
from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.bucket_identities import BucketRole
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import binding_name
from tenant_retention.domain.ports.cluster import SECRET
from tenant_retention.domain.topology import WantedStore
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World


@dataclass(frozen=True)
class Tonight:
    """``stores``: a run can log in there, even if they do not answer now: then they fail alone. ``awaited``: purposes of the
    buckets and caches that are wanted and not among them. ``begins``: whether a database has the rules of now."""

    stores: tuple[ClaimedStore, ...]
    awaited: tuple[str, ...]
    begins: bool


def of_night(stores: Sequence[ClaimedStore]) -> list[ClaimedStore]:
    """The stores that a run works on: the bucket of the backups has a job of its own."""
    return [store for store in stores if store.wanted.purpose != BACKUPS]


def roles_of_night(store: WantedStore) -> tuple[str, ...]:
    """As whom a run works on a store, each with a binding Secret: of an archive bucket also as who stores its files."""
    if store.purpose == ARCHIVE and store.type == FILES:
        return (BucketRole.ENFORCER.value, BucketRole.APP.value)
    return (BucketRole.ENFORCER.value,)


async def look_at_stores(
    world: World, reference: PolicyRef, wanted: Sequence[WantedStore], results: Sequence[Result]
) -> Tonight:
    """``wanted``: what the rules ask for. A database that is not among the stores is in the definition all the same if it may
    have rows: then no object of a shared bucket goes without it (M8)."""
    stores = tuple(
        [result.store for result in results if result.prepared or await _has_login(world, reference, result.store)]
    )
    there = {store.wanted.place for store in stores}
    needed = [store for store in wanted if store.type != "PostgreSQL" and store.purpose != BACKUPS]
    awaited = tuple(store.purpose for store in needed if store.place not in there)
    took = any(isinstance(result, DatabaseResult) and result.took for result in results)
    return Tonight(stores, awaited, took and any(store.wanted.type == "PostgreSQL" for store in stores))


async def _has_login(world: World, reference: PolicyRef, store: ClaimedStore) -> bool:
    names = [binding_name(reference, store.wanted.place, role) for role in roles_of_night(store.wanted)]
    return None not in [await world.cluster.get(SECRET, name, reference.namespace) for name in names]
