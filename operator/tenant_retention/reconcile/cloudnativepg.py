"""The CloudNativePG Cluster of a policy: made from the ledger, waited for by its conditions, its volumes kept (X5).

CloudNativePG deletes the claims of a Cluster that is deleted. The volumes stay, and a Cluster is never made anew beside
them: it would be empty, and a store that says nothing is overdue while its data lies elsewhere would pretend (D7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.serverclasses import CloudNativePG
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.manifests import cloudnativepg
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import cluster_name
from tenant_retention.domain.manifests.networking import cluster_selector
from tenant_retention.domain.ports.cluster import POSTGRES_CLUSTER, SECRET, VOLUME_CLAIM, Manifest
from tenant_retention.domain.ports.stores import DatabaseServer
from tenant_retention.reconcile.cluster_backups import backups_of
from tenant_retention.reconcile.embedded_secrets import postgresql_administrator
from tenant_retention.reconcile.foreign import refuse_foreign
from tenant_retention.reconcile.resources import resources_of
from tenant_retention.reconcile.volumes import record_volumes
from tenant_retention.reconcile.world import World, conditions_of, secret_values

_ADMINISTRATOR = "cloudnativepg-admin"


async def require_cloudnativepg(world: World) -> None:
    """Raises NotReady (WaitingForCloudNativePG) where the cluster does not have CloudNativePG's kinds."""
    if not await world.cluster.serves(POSTGRES_CLUSTER):
        raise NotReady(
            "CloudNativePG is not installed: the cluster has no kind Cluster in postgresql.cnpg.io/v1; install CloudNativePG "
            "1.30 or newer, or name a class of another provisioner",
            reason=Reason.WAITING_FOR_CLOUD_NATIVE_PG,
        )


@dataclass(frozen=True)
class Clusters:
    """Makes and finds the Cluster of one policy; ``regarding``: the policy or ledger entry, for Events."""

    world: World
    reference: PolicyRef
    regarding: Manifest

    async def of(self, entries: Sequence[DataStore]) -> DatabaseServer:
        """The Cluster that holds ``entries``, all of one policy and class.

        Raises NotReady while it comes up or changes its primary; Invalid (StoreConflict) where what is there is not ours,
        or the data lies in volumes that no Cluster has.
        """
        await require_cloudnativepg(self.world)
        name = cluster_name(self.reference)
        running = await self.world.cluster.get(POSTGRES_CLUSTER, name, self.reference.namespace)
        kept = {volume for entry in entries for volume in entry.spec.volumes}
        if running is None and kept and not kept & set(await self._volumes(free=True)):
            raise self._left_alone(entries[0], kept)
        if running is not None and running["metadata"].get("deletionTimestamp"):
            raise NotReady(f"Cluster {name} is being deleted", reason=Reason.WAITING_FOR_SERVER)
        values = await postgresql_administrator(self.world, self.reference, _ADMINISTRATOR)
        settings = entries[0].spec.class_snapshot.cloud_native_pg or CloudNativePG()
        objects = cloudnativepg.dedicated_cluster(self._described(settings, running, values["verifier"]))
        if not kept:
            await refuse_foreign(self.world, self.reference, objects)
        for manifest in objects:
            await self.world.applier.apply(manifest, self.regarding)
        notes = await self._wait(was_up=bool(kept))
        left = await record_volumes(self.world, f"Cluster {name}", await self._volumes(), entries)
        authority = await self._authority()
        await postgresql_administrator(self.world, self.reference, _ADMINISTRATOR, authority)
        return self._server(values["password"], authority, (*notes, *left, *await self._copies(running)))

    async def as_left(self) -> DatabaseServer:
        """How to reach it by what the operator keeps itself; nothing in the tenant's namespace is read."""
        values = await postgresql_administrator(self.world, self.reference, _ADMINISTRATOR)
        authority = values.get(cloudnativepg.AUTHORITY_KEY)
        if authority is None:
            raise NotReady(f"Cluster {cluster_name(self.reference)} has never been ready", reason=Reason.PROVISIONING)
        return self._server(values["password"], authority)

    def _described(
        self, settings: CloudNativePG, running: Manifest | None, verifier: str
    ) -> cloudnativepg.PostgresCluster:
        spec = (running or {}).get("spec") or {}
        catalogue, synchronous = settings.image_catalog_ref, settings.synchronous
        return cloudnativepg.PostgresCluster(
            policy=self.reference,
            operator=self.world.operator,
            verifier=verifier,
            cnpg_namespace=self.world.cloudnativepg_namespace,
            # How large a Cluster is that is there is its owner's decision (D6), and no volume shrinks.
            instances=spec.get("instances") or settings.instances,
            storage=(spec.get("storage") or {}).get("size") or settings.storage,
            storage_class_name=settings.storage_class_name,
            resources=resources_of(settings.resources),
            image=settings.image_name,
            catalogue=cloudnativepg.Catalogue(catalogue.kind, catalogue.name, catalogue.major) if catalogue else None,
            pull_secrets=self.world.images.postgresql.pull_secrets,
            synchronous=synchronous.number if synchronous else 1,
            required=bool(synchronous and synchronous.durability == "Required"),
        )

    def _server(self, password: str, authority: str, notes: tuple[str, ...] = ()) -> DatabaseServer:
        host = cloudnativepg.cluster_host(self.reference)
        return DatabaseServer(host, cloudnativepg.PORT, cloudnativepg.ADMINISTRATOR, password, authority, notes)

    async def _wait(self, *, was_up: bool) -> tuple[str, ...]:
        """What is worth knowing of a Cluster that serves. One that has been whole before serves as soon as it has its
        primary: a standby that is missing keeps nobody from deleting in time."""
        name = cluster_name(self.reference)
        found = await self.world.cluster.get(POSTGRES_CLUSTER, name, self.reference.namespace) or {}
        status = found.get("status") or {}
        if any((each["type"], each["status"]) == ("Ready", "True") for each in conditions_of(found)):
            return ()
        phase = status.get("phase") or "CloudNativePG has not looked at it; does its operator run?"
        told = f"{phase}: {status['phaseReason']}" if status.get("phaseReason") else phase
        ready = (
            f"{status.get('readyInstances', 0)} of {(found.get('spec') or {}).get('instances', 1)} instances are ready"
        )
        primary = status.get("currentPrimary")
        if was_up and primary and primary == status.get("targetPrimary"):
            return (f"Cluster {name}: {ready} ({told})",)
        raise NotReady(
            f"Cluster {name}: {ready} ({told}); see: kubectl -n {self.reference.namespace} describe "
            f"cluster.postgresql.cnpg.io {name}",
            reason=Reason.WAITING_FOR_SERVER,
        )

    async def _copies(self, running: Manifest | None) -> tuple[str, ...]:
        """That its owner has it backed up: those hold what was deleted until they end, and no run reaches them (T6)."""
        try:
            found = (await backups_of(self.world, running)).rules if running is not None else None
        except Invalid as endless:
            return (endless.message,)
        if found is None:
            return ()
        return (
            f"Cluster {cluster_name(self.reference)} has backups of its own: what a run deletes stays in them for up to "
            f"{found.life.days} days ({found.field}), so runs delete so much earlier",
        )

    async def _volumes(self, *, free: bool = False) -> list[str]:
        """The volumes of the instances, the primary's first. ``free``: only of bound claims that no Cluster has: those of one
        that was deleted are still there for a moment, and no other one takes them over."""
        labels = ",".join(f"{key}={value}" for key, value in cluster_selector(cluster_name(self.reference)).items())
        claims = await self.world.cluster.list(VOLUME_CLAIM, self.reference.namespace, labels)
        if free:
            claims = tuple(claim for claim in claims if _is_free(claim))
        first = sorted(claims, key=lambda claim: claim["metadata"]["labels"].get("cnpg.io/instanceRole") != "primary")
        return [volume for claim in first if (volume := (claim.get("spec") or {}).get("volumeName"))]

    async def _authority(self) -> str:
        name = cloudnativepg.authority_name(self.reference)
        found = await self.world.cluster.get(SECRET, name, self.reference.namespace)
        authority = secret_values(found).get(cloudnativepg.AUTHORITY_KEY)
        if not authority:
            raise NotReady(
                f"Secret {name} in namespace {self.reference.namespace} has no {cloudnativepg.AUTHORITY_KEY}; CloudNativePG "
                "makes it",
                reason=Reason.WAITING_FOR_SERVER,
            )
        return authority

    def _left_alone(self, entry: DataStore, kept: set[str]) -> Invalid:
        name, ledger = cluster_name(self.reference), f"DataStore {entry.metadata.name}"
        return Invalid(
            f"the data of {ledger} is in PersistentVolume {', '.join(sorted(kept))}, but Cluster {name} and its claims are "
            f"gone; make a claim {name}-1 for the volume again (docs/cloudnativepg.md), and the Cluster is made from it; or, "
            f"where the data is given up, empty spec.volumes of {ledger}",
            reason=Reason.STORE_CONFLICT,
            field="spec.volumes",
        )


def _is_free(claim: Manifest) -> bool:
    meta, bound = claim["metadata"], (claim.get("status") or {}).get("phase") == "Bound"
    return bound and not meta.get("ownerReferences") and not meta.get("deletionTimestamp")
