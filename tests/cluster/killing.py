"""The operator's process ended from outside, as the kernel ends it when memory runs out: no signal handler, no goodbye."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from demo.kubectl import Kubectl, wait
from tests.cluster.conftest import OPERATOR_NAMESPACE

SELECTOR = ("-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/component=operator")
SECONDS = 240


def kill_operator(kubectl: Kubectl, number: int) -> None:
    """Kills the operator's process with SIGKILL and waits until another one runs.

    Every second one runs in a new pod: within one pod the kubelet waits longer before each further restart.
    With CLUSTER=current its processes are on another machine: there the pod is deleted without grace.
    """
    if os.environ.get("CLUSTER") == "current":
        _replace_pod(kubectl, number)
        return
    (pod,) = kubectl.get(*SELECTOR, "pods")["items"]
    name, before = pod["metadata"]["name"], _container(pod)
    processes = _processes(before["containerID"].rpartition("/")[2])
    assert processes, f"no process of {name} found on this machine"
    for process in processes:
        os.kill(process, signal.SIGKILL)

    def now() -> Any:
        return _container(kubectl.get("-n", OPERATOR_NAMESPACE, "pod", name))

    def killed() -> bool:
        ends = [now()[state].get("terminated", {}) for state in ("state", "lastState")]
        return (before["containerID"], 128 + signal.SIGKILL) in [
            (e.get("containerID"), e.get("exitCode")) for e in ends
        ]

    wait(f"the kubelet to see kill {number}", SECONDS, killed)
    if number % 2 == 0:
        _replace_pod(kubectl, number)
        return

    def restarted() -> bool:
        found = now()
        return found["restartCount"] == before["restartCount"] + 1 and "running" in found["state"]

    wait(f"the operator after kill {number}", SECONDS, restarted)


def _container(pod: Any) -> Any:
    (container,) = pod["status"]["containerStatuses"]
    return container


def _processes(container: str) -> list[int]:
    """Every process of the container, by its control group: one that has ended meanwhile is none."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            groups = (folder / "cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if container in groups:
            found.append(int(folder.name))
    return found


def _replace_pod(kubectl: Kubectl, number: int) -> None:
    before = {pod["metadata"]["name"] for pod in kubectl.get(*SELECTOR, "pods")["items"]}
    kubectl.run(*SELECTOR, "delete", "pod", "--force", "--grace-period=0", show=False)

    def back() -> bool:
        return any(
            pod["metadata"]["name"] not in before and pod["status"].get("phase") == "Running"
            for pod in kubectl.get(*SELECTOR, "pods")["items"]
        )

    wait(f"a new pod of the operator after kill {number}", SECONDS, back)
