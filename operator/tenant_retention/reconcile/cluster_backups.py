"""What the owner of a policy's Cluster lets CloudNativePG back up, as it is written there now (T6)."""

from __future__ import annotations

from dataclasses import dataclass

from tenant_retention.domain.cluster_backups import ClusterBackups, cluster_backups, late_backups
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import cluster_name
from tenant_retention.domain.ports.cluster import (
    CLUSTER_BACKUP,
    OBJECT_STORE,
    POSTGRES_CLUSTER,
    SCHEDULED_BACKUP,
    Manifest,
)
from tenant_retention.reconcile.world import World


@dataclass(frozen=True)
class Copies:
    """``rules``: how long they live, None where the Cluster has none; ``late``: backups that should be gone by now, by name.
    ``problem``: why nobody knows, or that one of them is never removed (CopiesOutliveBounds); then ``rules`` are those before."""

    rules: ClusterBackups | None = None
    late: tuple[str, ...] = ()
    problem: RetentionError | None = None


async def read_cluster_backups(world: World, reference: PolicyRef, before: ClusterBackups | None) -> Copies:
    """The backups of the policy's Cluster; as ``before`` where no Cluster can be looked at: what was copied stays copied."""
    try:
        if not await world.cluster.serves(POSTGRES_CLUSTER):
            return Copies(before)
        running = await world.cluster.get(POSTGRES_CLUSTER, cluster_name(reference), reference.namespace)
        return await backups_of(world, running) if running is not None else Copies(before)
    except RetentionError as problem:
        return Copies(before, problem=problem)


async def backups_of(world: World, running: Manifest) -> Copies:
    """The backups of a Cluster that is there. Raises Invalid (CopiesOutliveBounds) where one of them is never removed."""
    where = running["metadata"]["namespace"]
    scheduled = await world.cluster.list(SCHEDULED_BACKUP, where)
    made = await world.cluster.list(CLUSTER_BACKUP, where)
    found = cluster_backups(running, scheduled, made, await _object_stores(world, running, where))
    return Copies(found, late_backups(running, made, found, world.now()) if found is not None else ())


async def _object_stores(world: World, running: Manifest, where: str) -> dict[str, Manifest]:
    """Those that the Cluster's plugins name."""
    plugins = (running.get("spec") or {}).get("plugins") or ()
    names = {name for each in plugins if (name := (each.get("parameters") or {}).get("barmanObjectName"))}
    if not names or not await world.cluster.serves(OBJECT_STORE):
        return {}
    found = {name: await world.cluster.get(OBJECT_STORE, name, where) for name in sorted(names)}
    return {name: store for name, store in found.items() if store is not None}
