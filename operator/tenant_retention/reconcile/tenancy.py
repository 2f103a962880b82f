"""Whether a namespace is served, and the RoleBinding by which the operator may act there (PROVISIONING.md section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.operator_secrets import tenant_role_binding
from tenant_retention.domain.ports.cluster import NAMESPACE, ROLE_BINDING
from tenant_retention.reconcile.world import World

TENANT_LABEL = "tenantretention.io/tenant"


@dataclass(frozen=True)
class Home:
    """The namespace of a policy, as it is now."""

    name: str
    uid: str
    labels: dict[str, str]


async def look_home(world: World, namespace: str) -> Home:
    """The namespace. Raises Invalid: gone or terminating (nothing is made in it), or not labelled by the platform."""
    found = await world.cluster.get(NAMESPACE, namespace)
    if found is None or found["metadata"].get("deletionTimestamp"):
        raise Invalid(
            f"metadata.namespace: namespace {namespace} is being deleted; nothing is made in it any more",
            reason="NamespaceTerminating",
            field="metadata.namespace",
        )
    labels = dict(found["metadata"].get("labels") or {})
    if labels.get(TENANT_LABEL) != "true":
        raise Invalid(
            f"metadata.namespace: namespace {namespace} is not a tenant's; if it is to be served, type: "
            f"kubectl label namespace {namespace} {TENANT_LABEL}=true",
            reason="NamespaceNotServed",
            field="metadata.namespace",
        )
    return Home(namespace, found["metadata"]["uid"], labels)


async def enter(world: World, home: Home) -> None:
    """Binds the fixed ClusterRole to the operator in the namespace, and to nobody else."""
    wanted = tenant_role_binding(world.operator, home.name)
    try:
        await world.cluster.apply(wanted)
    except Invalid:
        # Somebody took our name for a binding to another role, and the role of a binding is immutable.
        await world.cluster.delete(ROLE_BINDING, wanted["metadata"]["name"], home.name)
        await world.cluster.apply(wanted)
