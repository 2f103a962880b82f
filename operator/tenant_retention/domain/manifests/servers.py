"""What both embedded servers share: the StatefulSet around one container, its Service, its volume, its TLS Secret."""

from __future__ import annotations

from typing import Any, Final

from tenant_retention.domain.manifests.inputs import EmbeddedPostgres, EmbeddedS3
from tenant_retention.domain.manifests.metadata import (
    GROUP,
    Manifest,
    manifest,
    pod_security,
    secret,
    selector,
)

DATA_MOUNT: Final = "/data"
TLS_MOUNT: Final = "/tls"
Server = EmbeddedPostgres | EmbeddedS3


def tls_secret(server: Server, name: str, labelled: dict[str, str]) -> Manifest:
    """Certificate and key. In the tenant's namespace because the server there must prove who it is."""
    values = {"tls.crt": server.certificate.certificate, "tls.key": server.certificate.key}
    return secret(f"{name}-tls", server.policy.namespace, labelled, "kubernetes.io/tls", values)


def service(server: Server, name: str, component: str, labelled: dict[str, str], port: int) -> Manifest:
    """One address inside the cluster; a restarted pod keeps it, so clients' connection pools find it again."""
    return manifest("v1", "Service", name, server.policy.namespace, labelled) | {
        "spec": {
            "type": "ClusterIP",
            "selector": selector(server.policy, component),
            "ports": [{"name": component, "port": port, "targetPort": component, "protocol": "TCP"}],
        }
    }


def stateful_set(
    server: Server,
    name: str,
    component: str,
    labelled: dict[str, str],
    *,
    user: int,
    grace_seconds: int,
    digests: dict[str, str],
    container: Manifest,
    volumes: list[Manifest],
) -> Manifest:
    """One replica around ``container``; ``digests`` become annotations of the pod, so that a change restarts it."""
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds,
        "securityContext": pod_security(user),
        "containers": [container],
        "volumes": volumes,
    }
    if server.image.pull_secrets:
        pod["imagePullSecrets"] = [{"name": pull_secret} for pull_secret in server.image.pull_secrets]
    annotations = {f"{GROUP}/{key}-digest": value for key, value in sorted(digests.items())}
    return manifest("apps/v1", "StatefulSet", name, server.policy.namespace, labelled) | {
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": selector(server.policy, component)},
            # With OrderedReady a pod that never gets ready is never replaced by a better template.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "revisionHistoryLimit": 2,
            # Deleting or scaling the StatefulSet never deletes data (X5).
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": {"metadata": {"labels": dict(labelled), "annotations": annotations}, "spec": pod},
            "volumeClaimTemplates": [_claim(server, component)],
        }
    }


def secret_volume(name: str, secret_name: str, mode: int) -> Manifest:
    """A volume of one Secret, readable by the pod's group."""
    return {"name": name, "secret": {"secretName": secret_name, "defaultMode": mode}}


def scratch(name: str, size: str, **medium: Any) -> Manifest:
    """An emptyDir of bounded size: the root file system is read-only."""
    return {"name": name, "emptyDir": {"sizeLimit": size, **medium}}


def _claim(server: Server, component: str) -> Manifest:
    spec: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": server.storage}}}
    if server.storage_class_name is not None:
        spec["storageClassName"] = server.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        # Only labels that never change: Kubernetes refuses every change of a claim template.
        "metadata": {"name": "data", "labels": selector(server.policy, component)},
        "spec": spec,
    }
