"""Offline checks of manifests: Kubernetes' own schemas, and restricted Pod Security as our own strict reading of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes_validate

KUBERNETES_VERSION = "1.36"
Manifest = dict[str, Any]

_RESTRICTED_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)


def schema_errors(manifest: Manifest) -> list[str]:
    """What Kubernetes 1.36's schema has against a built-in object; unknown fields are errors, unknown kinds too."""
    try:
        used = kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(part) for part in error.path)
        return [f"{manifest['kind']}/{manifest['metadata']['name']} {where}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return [] if used == KUBERNETES_VERSION else [f"checked against {used} instead of {KUBERNETES_VERSION}"]


def pod_spec(manifest: Manifest) -> Manifest | None:
    """The pod spec inside a workload object; None for objects that make no pods."""
    spec: Manifest = manifest.get("spec", {})
    match manifest["kind"]:
        case "Pod":
            return spec
        case "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job":
            found: Manifest = spec["template"]["spec"]
            return found
        case "CronJob":
            inner: Manifest = spec["jobTemplate"]["spec"]["template"]["spec"]
            return inner
        case _:
            return None


def pod_security_errors(pod: Manifest, *, token: bool = False) -> list[str]:
    """What restricted Pod Security has against a pod, and what we ask on top: a read-only root, no token, bounded memory.

    ``token``: True for the one pod (the operator) that needs its ServiceAccount.
    """
    return [
        *_pod_errors(pod, token),
        *(error for kind in ("initContainers", "containers") for one in pod.get(kind, []) for error in _container(one)),
        *_volume_errors(pod),
        *(["ephemeral containers in a template"] if pod.get("ephemeralContainers") else []),
    ]


def _pod_errors(pod: Manifest, token: bool) -> Iterator[str]:
    security = pod.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"):
        if pod.get(key):
            yield f"{key} is set"
    if security.get("runAsNonRoot") is not True:
        yield "the pod may run as root"
    if not isinstance(security.get("runAsUser"), int) or security["runAsUser"] == 0:
        yield "the pod's user is no number other than 0"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "the pod's seccomp profile is not RuntimeDefault"
    if any(key in security for key in ("sysctls", "seLinuxOptions", "windowsOptions")):
        yield "sysctls, SELinux or Windows options are set"
    if pod.get("automountServiceAccountToken") is not token:
        yield f"automountServiceAccountToken is {pod.get('automountServiceAccountToken')}"


def _container(container: Manifest) -> Iterator[str]:
    name, security = container["name"], container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: privilege escalation is allowed"
    if security.get("privileged"):
        yield f"{name}: privileged"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name}: capabilities are {security.get('capabilities')}"
    if security.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: the root file system is writable"
    if security.get("runAsNonRoot") is False or security.get("runAsUser") == 0:
        yield f"{name}: may run as root"
    if "seccompProfile" in security or "procMount" in security or "seLinuxOptions" in security:
        yield f"{name}: overrides the pod's seccomp, proc or SELinux setting"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{name}: takes a port of the host"
    resources = container.get("resources", {})
    if {"cpu", "memory"} - set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
        yield f"{name}: has no request of cpu and memory, or no limit of memory"
    if ":" not in container["image"].rsplit("/", 1)[-1] or container["image"].endswith(":latest"):
        yield f"{name}: the image {container['image']} has no tag or digest"


def _volume_errors(pod: Manifest) -> Iterator[str]:
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= _RESTRICTED_VOLUMES:
            yield f"volume {volume['name']} is of a kind that restricted Pod Security refuses: {sorted(kinds)}"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the node"
