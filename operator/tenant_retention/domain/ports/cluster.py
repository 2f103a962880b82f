"""What the operator needs of Kubernetes: objects as plain dicts, read, applied, replaced, deleted, and told about.

The adapter speaks to the API server; the fake keeps objects in memory. Both keep the same contract tests.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Manifest = dict[str, Any]
"""A Kubernetes object as JSON."""

FIELD_MANAGER = "tenant-retention-operator"
"""The one name under which the operator applies, so that what it stops wanting goes."""


@dataclass(frozen=True)
class Kind:
    """One resource type, written down so that no discovery is needed at start. ``plural``: its name in URLs."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version inside the group."""
        return self.api_version.rpartition("/")[2]


POLICY = Kind("tenantretention.io/v1alpha1", "TenantRetentionPolicy", "tenantretentionpolicies")
RUN = Kind("tenantretention.io/v1alpha1", "RetentionRun", "retentionruns")
HOLD = Kind("tenantretention.io/v1alpha1", "LegalHold", "legalholds")
REQUEST = Kind("tenantretention.io/v1alpha1", "DataSubjectRequest", "datasubjectrequests")
PROFILE = Kind("tenantretention.io/v1alpha1", "RetentionProfile", "retentionprofiles", namespaced=False)
STORE_CLASS = Kind("tenantretention.io/v1alpha1", "DataStoreClass", "datastoreclasses", namespaced=False)
STORE = Kind("tenantretention.io/v1alpha1", "DataStore", "datastores", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
PERSISTENT_VOLUME = Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False)
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
POD = Kind("v1", "Pod", "pods")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
CRON_JOB = Kind("batch/v1", "CronJob", "cronjobs")
JOB = Kind("batch/v1", "Job", "jobs")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
POSTGRES_CLUSTER = Kind("postgresql.cnpg.io/v1", "Cluster", "clusters")
"""CloudNativePG's: served only where that is installed."""
SCHEDULED_BACKUP = Kind("postgresql.cnpg.io/v1", "ScheduledBackup", "scheduledbackups")
CLUSTER_BACKUP = Kind("postgresql.cnpg.io/v1", "Backup", "backups")
OBJECT_STORE = Kind("barmancloud.cnpg.io/v1", "ObjectStore", "objectstores")
"""Its Barman plugin's: served only where that is installed. All three are read, never written."""

KINDS = (
    POLICY,
    RUN,
    HOLD,
    REQUEST,
    PROFILE,
    STORE_CLASS,
    STORE,
    NAMESPACE,
    PERSISTENT_VOLUME,
    VOLUME_CLAIM,
    SECRET,
    CONFIG_MAP,
    SERVICE,
    SERVICE_ACCOUNT,
    POD,
    STATEFUL_SET,
    CRON_JOB,
    JOB,
    NETWORK_POLICY,
    ROLE_BINDING,
    EVENT,
    POSTGRES_CLUSTER,
    SCHEDULED_BACKUP,
    CLUSTER_BACKUP,
    OBJECT_STORE,
)
"""Every kind the operator touches."""

REPLACED_WHOLE = frozenset({"Secret", "CronJob", "NetworkPolicy", "RoleBinding", "Service", "StatefulSet"})
"""Kinds where a field that somebody added is dangerous: they are replaced, not merged (PROVISIONING.md section 2)."""

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""What ``kubectl rollout restart`` writes into the pod template. Taken away it would restart the server a second time."""


def kind_of(manifest: Manifest) -> Kind:
    """The Kind of a manifest; KeyError for one that the operator does not touch."""
    known = {(kind.api_version, kind.name): kind for kind in KINDS}
    return known[(manifest["apiVersion"], manifest["kind"])]


def revision(manifest: Manifest) -> tuple[Any, ...]:
    """What changes when somebody changes the object, and not when only its status moves.

    Only to be compared with another reading of the same object: what defaulting added is in both.
    """
    meta = manifest["metadata"]
    if meta.get("generation") is None:
        return (meta.get("uid"), meta["resourceVersion"])
    # The generation counts changes of the spec alone.
    beside = (meta.get(name) for name in ("labels", "annotations", "ownerReferences"))
    return (meta.get("uid"), meta["generation"], *beside)


def replacement(before: Manifest, wanted: Manifest) -> Manifest:
    """``wanted`` in place of ``before``, with what is not ours to take away: finalizers, the order to restart, and notes that
    the cluster's controllers make on servers and addresses, who would make them again at once."""
    after = copy.deepcopy(wanted)
    # Another controller's finalizer is a promise to clean up; it is not ours to break.
    if finalizers := before["metadata"].get("finalizers"):
        after["metadata"]["finalizers"] = finalizers
    if wanted["kind"] in (STATEFUL_SET.name, SERVICE.name) and (notes := before["metadata"].get("annotations")):
        after["metadata"]["annotations"] = {**notes, **(wanted["metadata"].get("annotations") or {})}
    if wanted["kind"] == STATEFUL_SET.name:
        restarted = (before["spec"]["template"]["metadata"].get("annotations") or {}).get(RESTARTED_AT)
        if restarted is not None:
            after["spec"]["template"]["metadata"].setdefault("annotations", {})[RESTARTED_AT] = restarted
    return after


@dataclass(frozen=True)
class Applied:
    """What an apply did: the object as stored now, whether it was there before, whether that changed it."""

    manifest: Manifest
    existed: bool
    changed: bool


@dataclass(frozen=True)
class Happening:
    """One Event to tell: about which object, what (a reason of the closed list), and a note with the next step."""

    regarding: Manifest
    reason: str
    note: str
    type: Literal["Normal", "Warning"] = "Normal"


class Cluster(Protocol):
    """The Kubernetes API. Every method may raise Unavailable (no answer, refused: retry) and NotReady (conflict, a
    namespace that is missing or terminating); the writing ones also Invalid (the API server refuses the object)."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """The object, or None if there is none."""

    async def list(self, kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        """All objects (of one namespace) that the label selector ``labels`` picks."""

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server has the kind: other products' definitions may not be installed, or not yet."""

    async def apply(self, manifest: Manifest) -> Applied:
        """Makes the object so: by server-side apply, or whole for the kinds in ``REPLACED_WHOLE``.

        What cannot become so (an immutable Secret, a StatefulSet with another selector) is deleted and made anew.
        """

    async def create(self, manifest: Manifest) -> Manifest | None:
        """Creates the object; None if one of that name is there already."""

    async def delete(self, kind: Kind, name: str, namespace: str | None = None, uid: str | None = None) -> bool:
        """Deletes the object (only the one with ``uid`` if given) with its dependents; False if there was none."""

    async def merge(self, kind: Kind, name: str, namespace: str | None, patch: Manifest) -> Manifest | None:
        """Merge-patches the object (not its status); None if there is none."""

    async def patch_status(self, kind: Kind, name: str, namespace: str | None, status: Manifest) -> Manifest | None:
        """Merge-patches the status; None if the object is gone."""

    async def tell(self, happening: Happening) -> None:
        """Creates an Event; one that cannot be told is logged and never stops the work."""
