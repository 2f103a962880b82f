"""Starting the node's processes in order, and telling whether the node is whole."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster import certificates, cgroups, containers, kernel_settings, network, processes
from devcluster.commands import require, run, succeeds
from devcluster.configuration import PROCESSES, Configuration, Programs
from devcluster.layout import NODE_NAME, Layout
from devcluster.parts import NETWORK_POLICIES, NODE, Parts
from devcluster.progress import Progress

START_STEPS = 3
_START_SECONDS = 240


@dataclass(frozen=True)
class Owner:
    """Who started the node that runs, and with what."""

    checkout: str
    key: str


def programs(parts: Parts) -> Programs:
    """Where the programs of the node lie; Debian's packages must be installed."""
    debian = "it comes with Debian's package of that name"
    return Programs(
        node=parts.path(NODE),
        network_policies=parts.path(NETWORK_POLICIES),
        containerd=require("containerd", debian),
        runc=require("runc", debian),
    )


def owner(layout: Layout) -> Owner | None:
    """Who started the node; None when no whole node was left running."""
    if not layout.owner.exists():
        return None
    return Owner(**json.loads(layout.owner.read_text()))


def is_whole(layout: Layout) -> bool:
    """Whether a start came to its end, every process still runs and the API server is ready."""
    found = processes.running()
    return owner(layout) is not None and all(name in found for name in PROCESSES) and _api_is_ready(layout)


def kubectl(layout: Layout) -> list[str | Path]:
    """How to call kubectl on the node, as its administrator."""
    return [layout.node_programs / "kubectl", "--kubeconfig", layout.admin_kubeconfig]


def start(layout: Layout, wanted: Configuration, progress: Progress) -> None:
    """Start everything and wait until the node is Ready. Nothing of an earlier node may be left."""
    with progress.step("preparing the node: certificates, network, control groups"):
        _prepare(layout, wanted)
    with progress.step("starting the control plane"):
        _start_container_runtime(layout, wanted)
        for name in PROCESSES[1:3]:
            _start(layout, wanted, name)
        _wait(layout, "the API server is ready", "kube-apiserver", lambda: _api_is_ready(layout))
        for name in PROCESSES[3:]:
            _start(layout, wanted, name)
    with progress.step("waiting for the node to be Ready"):
        _wait(
            layout,
            "the default service account exists",
            "kube-controller-manager",
            lambda: succeeds([*kubectl(layout), "get", "serviceaccount", "default"]),
        )
        _wait(
            layout, f"{NODE_NAME} registers", "kubelet", lambda: succeeds([*kubectl(layout), "get", "node", NODE_NAME])
        )
        run([*kubectl(layout), "wait", "--for=condition=Ready", f"node/{NODE_NAME}", f"--timeout={_START_SECONDS}s"])


def claim(layout: Layout, wanted: Configuration) -> None:
    """Write down that the node is whole, and whose it is."""
    temporary = layout.owner.with_suffix(".new")
    temporary.write_text(json.dumps({"checkout": str(layout.checkout), "key": wanted.key(layout)}) + "\n")
    temporary.rename(layout.owner)


def link_programs(folder: Path, targets: dict[str, Path]) -> None:
    """Links to the programs a person calls, in one folder for PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in targets.items():
        link = folder / name
        if link.is_symlink() and link.readlink() == target:
            continue
        temporary = folder / f".{name}-{os.getpid()}"
        temporary.symlink_to(target)
        temporary.replace(link)


def hand_out_kubeconfig(layout: Layout) -> None:
    """Copy the administrator's kubeconfig into this checkout; the user's own is never touched."""
    layout.own.mkdir(parents=True, exist_ok=True)
    temporary = layout.own / f".kubeconfig-{os.getpid()}"
    temporary.touch(mode=0o600)
    temporary.write_text(layout.admin_kubeconfig.read_text())
    temporary.replace(layout.kubeconfig)


def _prepare(layout: Layout, wanted: Configuration) -> None:
    layout.state.mkdir(parents=True, exist_ok=True)
    layout.run.mkdir(parents=True)
    kernel_settings.remember(layout)
    for name, text in wanted.files.items():
        path = layout.configuration / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    link_programs(layout.node_programs, {"kubectl": Path(wanted.commands["etcd"][0])})
    certificates.make(layout)
    network.create(layout)
    cgroups.create()


def _start_container_runtime(layout: Layout, wanted: Configuration) -> None:
    _start(layout, wanted, "containerd")
    _wait(layout, "containerd answers", "containerd", lambda: containers.answers(layout))
    if containers.forget_all(layout):
        # They were left by a node that crashed. containerd still knows them in memory: let it read anew.
        processes.stop(processes.running()["containerd"], patience_seconds=5)
        _start(layout, wanted, "containerd")
        _wait(layout, "containerd answers", "containerd", lambda: containers.answers(layout))


def _start(layout: Layout, wanted: Configuration, name: str) -> None:
    processes.start(layout, name, network.inside(layout, [*wanted.commands[name]]))


def _wait(layout: Layout, what: str, name: str, condition: Callable[[], bool]) -> None:
    processes.wait_until(what, condition, _START_SECONDS, layout.logs / f"{name}.log")


def _api_is_ready(layout: Layout) -> bool:
    return succeeds([*kubectl(layout), "get", "--raw", "/readyz", "--request-timeout=2s"])
