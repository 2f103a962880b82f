"""The customer's own programs in the customer's own namespace: pods that hold a binding and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.kubectl import DemoFailure, Kubectl, wait

LOADER_FILES = ("__init__.py", "births.py", "families.py", "loader.py")
IMAGE = "localhost/tenant-retention/tenant-retention-operator:0.1.0"


@dataclass(frozen=True)
class Application:
    """A program of the customer: ``bindings`` are Secrets mounted at /bindings/<name>, ``policy`` opens the network.

    Without a policy the pod carries no label, and the network lets it reach no server.
    """

    namespace: str
    policy: str | None
    bindings: tuple[str, ...]


def deliver_loader(kubectl: Kubectl, application: Application, jobs: list[dict[str, Any]]) -> None:
    """Puts the loader's source and its jobs into the namespace as a ConfigMap."""
    folder = Path(__file__).parent
    data = {f"demo.{name}": (folder / name).read_text() for name in LOADER_FILES}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "loader", "namespace": application.namespace},
        "data": {**data, "job.json": json.dumps(jobs)},
    }
    kubectl.apply([config_map], "--server-side", "--force-conflicts")


def run_loader(kubectl: Kubectl, application: Application, act: str, name: str) -> dict[str, Any]:
    """Runs ``loader <act>`` to its end and returns the JSON it printed."""
    log = run_pod(kubectl, application, name, ["python3", "-m", "demo.loader", act, "--job", "/loader/job.json"], 900)
    # The log has what both streams said, in the order in which the container's runtime happened to read them.
    result: dict[str, Any] = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
    return result


def run_pod(kubectl: Kubectl, application: Application, name: str, command: list[str], seconds: float) -> str:
    """Runs one command in a fresh pod; its output, or DemoFailure if it failed. The pod is removed."""
    place = ("-n", application.namespace)
    kubectl.run(*place, "delete", "pod", name, "--ignore-not-found", "--wait", show=False)
    kubectl.apply([_pod(application, name, command)])

    def phase() -> str | None:
        found = kubectl.get(*place, "pod", name)["status"].get("phase")
        return found if found in ("Succeeded", "Failed") else None

    ended = wait(f"pod {name} in {application.namespace}", seconds, phase, tell=False)
    log = kubectl.run(*place, "logs", name, show=False)
    if ended == "Failed":
        raise DemoFailure(f"pod {name} in {application.namespace} failed: {log.strip()[-2000:]}")
    kubectl.run(*place, "delete", "pod", name, "--wait=false", show=False)
    return log


def _pod(application: Application, name: str, command: list[str]) -> dict[str, Any]:
    items = [{"key": f"demo.{file}", "path": f"demo/{file}"} for file in LOADER_FILES]
    access = {"tenantretention.io/access": application.policy} if application.policy else {}
    secrets = [{"name": f"binding-{i}", "secret": {"secretName": s}} for i, s in enumerate(application.bindings)]
    mounts = [{"name": f"binding-{i}", "mountPath": f"/bindings/{s}"} for i, s in enumerate(application.bindings)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": application.namespace,
            "labels": {"app": "demo-application", **access},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            # On a busy node a question to its DNS may get lost: it is asked more often than twice.
            "dnsConfig": {"options": [{"name": "attempts", "value": "5"}]},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "application",
                    "image": IMAGE,
                    "command": command,
                    "workingDir": "/loader",
                    # The image ignores the working directory when it looks for modules; this program lives there.
                    "env": [{"name": "PYTHONSAFEPATH", "value": ""}],
                    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "loader", "mountPath": "/loader"}, *mounts],
                }
            ],
            "volumes": [
                {
                    "name": "loader",
                    "configMap": {
                        "name": "loader",
                        "items": [{"key": "job.json", "path": "job.json"}, *items],
                    },
                },
                *secrets,
            ],
        },
    }
