"""Whether a namespace is served, and the RoleBinding by which the operator may act there (PROVISIONING.md section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.operator_secrets import ROLE_BINDING as OWN_BINDING
from tenant_retention.domain.manifests.operator_secrets import tenant_role_binding
from tenant_retention.domain.ports.cluster import NAMESPACE, ROLE_BINDING, Manifest
from tenant_retention.reconcile.world import World

TENANT_LABEL = "tenantretention.io/tenant"


@dataclass(frozen=True)
class Home:
    """The namespace of a policy, as it is now."""

    name: str
    uid: str
    labels: dict[str, str]


async def look_home(world: World, namespace: str) -> Home:
    """The namespace. Raises Invalid: gone or terminating (nothing is made in it), or not labelled by the platform.

    Where the label is gone the operator gives its role there back. The nightly job goes on by the last rules: taking a
    label away must neither delete nor keep data longer (M10).
    """
    if namespace == world.operator.namespace:
        raise Invalid(
            f"metadata.namespace: namespace {namespace} is the operator's own and serves no tenant; make the policy in a "
            "namespace of the tenant",
            reason="NamespaceNotServed",
            field="metadata.namespace",
        )
    found = await world.cluster.get(NAMESPACE, namespace)
    if found is None or found["metadata"].get("deletionTimestamp"):
        raise Invalid(
            f"metadata.namespace: namespace {namespace} is being deleted; nothing is made in it any more. Apply "
            "the policy again once the namespace is there again, or apply it in another one",
            reason="NamespaceTerminating",
            field="metadata.namespace",
        )
    labels = dict(found["metadata"].get("labels") or {})
    if labels.get(TENANT_LABEL) != "true":
        await world.applier.remove(ROLE_BINDING, OWN_BINDING, namespace)
        raise Invalid(
            f"metadata.namespace: namespace {namespace} is not a tenant's; if it is to be served, type: kubectl label "
            f"namespace {namespace} {TENANT_LABEL}=true; a nightly job that is there goes on by its last rules, unwatched",
            reason="NamespaceNotServed",
            field="metadata.namespace",
        )
    return Home(namespace, found["metadata"]["uid"], labels)


async def enter(world: World, home: Home, regarding: Manifest) -> None:
    """Binds the fixed ClusterRole to the operator in the namespace, and to nobody else. ``regarding``: for Events."""
    wanted = tenant_role_binding(world.operator, home.name)
    try:
        await world.applier.apply(wanted, regarding)
    except Invalid:
        # Somebody took our name for a binding to another role, and the role of a binding is immutable.
        await world.cluster.delete(ROLE_BINDING, OWN_BINDING, home.name)
        await world.applier.apply(wanted, regarding)
