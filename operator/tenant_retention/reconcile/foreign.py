"""What the tenant has under our names is the tenant's, and stays so (D6)."""

from __future__ import annotations

from collections.abc import Iterable

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import MANAGED_BY
from tenant_retention.domain.ports.cluster import Kind, Manifest, kind_of
from tenant_retention.reconcile.world import World


async def refuse_foreign(
    world: World, reference: PolicyRef, objects: Iterable[Manifest], others: Iterable[tuple[Kind, str]] = ()
) -> None:
    """Before the first volume is in the ledger: raises Invalid (StoreConflict) where somebody else has one of the names.

    Afterwards the ledger knows that the server is ours, and labels that a tenant removes change nothing.
    """
    names = [(kind_of(manifest), str(manifest["metadata"]["name"])) for manifest in objects]
    for found_kind, name in (*names, *others):
        found = await world.cluster.get(found_kind, name, reference.namespace)
        labels = ((found or {}).get("metadata") or {}).get("labels") or {}
        if found is not None and labels.get("app.kubernetes.io/managed-by") != MANAGED_BY:
            raise Invalid(
                f"{found_kind.name} {name} in namespace {reference.namespace} exists and was not made by this "
                "operator, so it is not touched; remove it, or give the policy another name",
                reason=Reason.STORE_CONFLICT,
            )
