"""Names, labels, owners, digests and the security settings that every object of ours carries."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from tenant_retention.domain.manifests.inputs import HoldRef, PolicyRef, RequestRef, Resources, RunRef
from tenant_retention.domain.names import Place, bounded, purpose_label

Manifest = dict[str, Any]
"""One Kubernetes object as a plain dict."""

GROUP: Final = "tenantretention.io"
API_VERSION: Final = f"{GROUP}/v1alpha1"
MANAGED_BY: Final = "tenant-retention-operator"
POLICY_LABEL: Final = f"{GROUP}/policy"
PURPOSE_LABEL: Final = f"{GROUP}/purpose"
STORE_LABEL: Final = f"{GROUP}/store"
REGION_LABEL: Final = f"{GROUP}/region"
UNIT_LABEL: Final = f"{GROUP}/unit"
ACCESS_LABEL: Final = f"{GROUP}/access"
"""A pod of the tenant's namespace with this label, its value a policy's name, may connect to that policy's servers."""
NAMESPACE_LABEL: Final = f"{GROUP}/namespace"
LABEL_LIMIT: Final = 63
SERVER_NAME_LIMIT: Final = 52
"""A StatefulSet's pods carry ``<name>-<ten characters>`` as a label value of at most 63."""
SECRET_MODE: Final = 0o440
"""Readable by the pod's group only; PostgreSQL takes a key that root owns up to 0640."""


def labels(
    policy: PolicyRef, component: str, *, name: str = "tenant-retention", purpose: str = "", store: str = ""
) -> dict[str, str]:
    """The labels of every object made for a policy; values are cut with a hash to the 63 that labels take."""
    known = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": policy.name,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        POLICY_LABEL: policy.name,
    }
    if purpose:
        known[PURPOSE_LABEL] = bounded(purpose_label(purpose), LABEL_LIMIT)
    if store:
        known[STORE_LABEL] = bounded(store, LABEL_LIMIT)
    return known


def selector(policy: PolicyRef, component: str) -> dict[str, str]:
    """What selects the pods of one component of a policy: fewer labels, never changed (selectors are immutable)."""
    return {
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/component": component,
        POLICY_LABEL: policy.name,
    }


def manifest(api_version: str, kind: str, name: str, namespace: str, labelled: Mapping[str, str]) -> Manifest:
    """The head of one object."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labelled)},
    }


_OWNERS = {
    PolicyRef: "TenantRetentionPolicy",
    RunRef: "RetentionRun",
    RequestRef: "DataSubjectRequest",
    HoldRef: "LegalHold",
}


def owner_reference(owner: PolicyRef | RunRef | RequestRef | HoldRef) -> Manifest:
    """Only for what may vanish with its owner: jobs, their plan and NetworkPolicy, what says whom it is about; never data or
    credentials (X5)."""
    return {
        "apiVersion": API_VERSION,
        "kind": _OWNERS[type(owner)],
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        # True would need "update" on the owner's finalizers, and its deletion must never wait for us.
        "blockOwnerDeletion": False,
    }


def server_name(policy: PolicyRef, kind: str) -> str:
    """The name of the policy's embedded server; ``kind``: ``postgresql`` or ``s3``."""
    return bounded(f"{policy.name}-{kind}", SERVER_NAME_LIMIT)


def server_host(policy: PolicyRef, kind: str) -> str:
    """The host name that bindings carry: resolves in every namespace, whatever the cluster's domain is called."""
    return f"{server_name(policy, kind)}.{policy.namespace}.svc"


def cluster_name(policy: PolicyRef) -> str:
    """The name of the policy's CloudNativePG Cluster: at most 45 characters of the 50 that CloudNativePG takes."""
    return f"{policy.name}-cnpg"


def server_dns_names(policy: PolicyRef, kind: str, cluster_domain: str = "cluster.local") -> tuple[str, ...]:
    """Every name under which clients may verify the server's certificate, the one of the bindings first."""
    host = server_host(policy, kind)
    return (
        host,
        f"{host}.{cluster_domain}",
        f"{server_name(policy, kind)}.{policy.namespace}",
        server_name(policy, kind),
    )


def place_labels(place: Place) -> dict[str, str]:
    """What selects the stores of a region or a unit, and their Secrets; the home stores have none."""
    known = {REGION_LABEL: place.region, UNIT_LABEL: place.unit}
    return {label: value for label, value in known.items() if value}


def binding_name(policy: PolicyRef, place: Place | str, role: str) -> str:
    """``acme-analytical-app``: the Secret of one role in one store; ``place``, or its purpose alone for a home store."""
    label = place.label if isinstance(place, Place) else purpose_label(place)
    return bounded(f"{policy.name}-{label}-{role}", LABEL_LIMIT)


def operator_secret_name(policy: PolicyRef, what: str) -> str:
    """A Secret's name in the operator's namespace. Always hashed: ``a-b``/``c`` and ``a``/``b-c`` read alike."""
    digest = hashlib.sha256("\0".join((policy.namespace, policy.name, what)).encode()).hexdigest()[:10]
    return f"{policy.namespace}-{policy.name}-{what}"[: LABEL_LIMIT - 11].rstrip("-") + "-" + digest


def digest(*texts: str) -> str:
    """Sixteen hex digits over texts, for annotations that restart a pod when what it was started with changes."""
    framed = "".join(f"{len(text.encode())}:{text}" for text in texts)
    return hashlib.sha256(framed.encode()).hexdigest()[:16]


def encoded(values: Mapping[str, str]) -> dict[str, str]:
    """A Secret's ``data``. Not ``stringData``: the server forgets it, so that drift could not be seen."""
    return {key: b64encode(value.encode()).decode() for key, value in values.items()}


def secret(name: str, namespace: str, labelled: Mapping[str, str], kind: str, values: Mapping[str, str]) -> Manifest:
    """One Secret of type ``kind``; values are plain text here and nowhere else."""
    return manifest("v1", "Secret", name, namespace, labelled) | {"type": kind, "data": encoded(values)}


def resource_requirements(resources: Resources) -> Manifest:
    """``resources`` of a container, without what is not set."""
    sides = {"requests": resources.requests, "limits": resources.limits}
    found = {
        side: {key: value for key, value in (("cpu", amounts.cpu), ("memory", amounts.memory)) if value is not None}
        for side, amounts in sides.items()
    }
    return {side: amounts for side, amounts in found.items() if amounts}


def pod_security(user: int) -> Manifest:
    """The pod's security context under restricted Pod Security; ``user`` is also the group that owns mounted files."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        # Changing the owner of every file of a large volume at each start would take minutes.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """The container's security context under restricted Pod Security, with a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def packaged_file(name: str) -> str:
    """The text of a file that is part of this package (start script, server settings)."""
    return files("tenant_retention.domain.manifests").joinpath("files", name).read_text(encoding="utf-8")
