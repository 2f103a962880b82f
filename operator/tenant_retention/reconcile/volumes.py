"""The volumes of servers of ours: their size, that its claim outlives a StatefulSet, and which volume the ledger knows (X5, D7)."""

from __future__ import annotations

from collections.abc import Sequence

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import server_name
from tenant_retention.domain.ports.cluster import PERSISTENT_VOLUME, STATEFUL_SET, STORE, VOLUME_CLAIM, Manifest
from tenant_retention.reconcile.world import World

_MOST = 16
"""As many as the ledger takes; those in use come first."""


def size_of(running: Manifest | None) -> str | None:
    """The size of the volume claim that is there: Kubernetes refuses another one."""
    for template in ((running or {}).get("spec") or {}).get("volumeClaimTemplates") or ():
        size = ((template["spec"].get("resources") or {}).get("requests") or {}).get("storage")
        if size:
            return str(size)
    return None


async def keep_claim(world: World, reference: PolicyRef, running: Manifest) -> None:
    """A StatefulSet that somebody edited or made in place of ours must not take the volume's claim with it when it is
    replaced (X5). Raises NotReady until the claim is no longer the StatefulSet's own."""
    name, uid = running["metadata"]["name"], running["metadata"]["uid"]
    if "Delete" in (running["spec"].get("persistentVolumeClaimRetentionPolicy") or {}).values():
        retain = {"whenDeleted": "Retain", "whenScaled": "Retain"}
        patch = {"spec": {"persistentVolumeClaimRetentionPolicy": retain}}
        await world.cluster.merge(STATEFUL_SET, name, reference.namespace, patch)
    claim = await world.cluster.get(VOLUME_CLAIM, f"data-{name}-0", reference.namespace)
    owners = ((claim or {}).get("metadata") or {}).get("ownerReferences") or ()
    if any(owner.get("uid") == uid for owner in owners):
        raise NotReady(
            f"claim data-{name}-0 would go with StatefulSet {name}, whose persistentVolumeClaimRetentionPolicy is being "
            "put right first",
            reason=Reason.WAITING_FOR_VOLUME,
        )


async def retain_volume(world: World, reference: PolicyRef, kind: str, entries: Sequence[DataStore]) -> None:
    """The volume outlives its claim, its namespace and us (X5), and the ledger knows which one it is.

    Raises Invalid (StoreConflict) where the server has come up on another volume than the ledger's: it is empty, and
    a store that says nothing is overdue while its data lies elsewhere would pretend (D7).
    """
    name = f"data-{server_name(reference, kind)}-0"
    claim = await world.cluster.get(VOLUME_CLAIM, name, reference.namespace)
    volume = ((claim or {}).get("spec") or {}).get("volumeName")
    if not volume:
        return
    await _retain(world, volume)
    for entry in entries:
        if entry.spec.volumes and volume not in entry.spec.volumes:
            raise _other_volume(entry, f"claim {name}", volume)
        if not entry.spec.volumes:
            await world.cluster.merge(STORE, entry.metadata.name, None, {"spec": {"volumes": [volume]}})


async def record_volumes(
    world: World, server: str, volumes: Sequence[str], entries: Sequence[DataStore]
) -> tuple[str, ...]:
    """The same for a server with several instances, which come and go with their ``volumes``; ``server``: its name, as told.

    Returns what is said of volumes that no instance has any more: being retained they still hold a copy (T6). Raises
    Invalid (StoreConflict) where no instance has a volume of the ledger's.
    """
    for volume in volumes:
        await _retain(world, volume)
    known = {volume for entry in entries for volume in entry.spec.volumes}
    left = [volume for volume in sorted(known - set(volumes)) if await world.cluster.get(PERSISTENT_VOLUME, volume)]
    for entry in entries:
        if volumes and known and not known & set(volumes):
            raise _other_volume(entry, server, ", ".join(volumes))
        wanted = sorted(volumes) + [volume for volume in left if volume in entry.spec.volumes]
        if set(wanted) != set(entry.spec.volumes):
            await world.cluster.merge(STORE, entry.metadata.name, None, {"spec": {"volumes": wanted[:_MOST]}})
    return tuple(
        f"PersistentVolume {volume} was an instance's of {server} and still holds a copy of its data; once nobody needs it, "
        f"remove its content and type: kubectl delete pv {volume}"
        for volume in left
    )


async def _retain(world: World, volume: str) -> None:
    found = await world.cluster.get(PERSISTENT_VOLUME, volume)
    if found is not None and (found.get("spec") or {}).get("persistentVolumeReclaimPolicy") != "Retain":
        await world.cluster.merge(
            PERSISTENT_VOLUME, volume, None, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
        )


def _other_volume(entry: DataStore, owner: str, volume: str) -> Invalid:
    kept, ledger = ", ".join(entry.spec.volumes), f"DataStore {entry.metadata.name}"
    return Invalid(
        f"the data of {ledger} is in PersistentVolume {kept}, but {owner} got the new volume {volume}; bind its claim "
        f"to {kept} again, or, where the data was moved or is given up, write {volume} into spec.volumes of {ledger}",
        reason=Reason.STORE_CONFLICT,
        field="spec.volumes",
    )
