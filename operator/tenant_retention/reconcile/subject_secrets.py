"""The Secret of whoever a request or a hold is about, as it is read, taken over and removed (T7, X3).

Nothing else has what is in it: databases are told digests, pods of a request mount it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tenant_retention.domain.manifests.metadata import owner_reference
from tenant_retention.domain.ports.cluster import SECRET
from tenant_retention.domain.subject_secrets import SubjectOwner, is_owned, read_secret
from tenant_retention.reconcile.world import World


async def take_secret(world: World, owner: SubjectOwner, namespace: str) -> Mapping[str, bytes]:
    """What the Secret says, which is the object's own from now on. Raises NotReady and Invalid as ``read_secret`` does."""
    secret = await world.cluster.get(SECRET, owner.secret, namespace)
    data = read_secret(owner, secret)
    if secret is not None and not is_owned(owner, secret):
        meta = secret["metadata"]
        # Of exactly this one: another of its name may be about somebody else.
        kept = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        patch = {"metadata": {**kept, "ownerReferences": [owner_reference(owner.reference)]}}
        read_secret(owner, await world.cluster.merge(SECRET, meta["name"], namespace, patch))
    return data


async def remove_secret(world: World, owner: SubjectOwner, namespace: str) -> None:
    """Nobody is asked for any more: the Secret goes, if it was taken over."""
    secret = await world.cluster.get(SECRET, owner.secret, namespace)
    if secret is not None and is_owned(owner, secret):
        meta = secret["metadata"]
        await world.cluster.delete(SECRET, meta["name"], namespace, meta["uid"])
