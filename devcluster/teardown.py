"""Taking the node down, whole or half started: afterwards nothing of it runs, is mounted or is routed.

It looks at what is there and relies on no record of the start, so it can be repeated, and it works after a crash.
The order matters: what would start something again goes first, and mounts go when nobody uses them any more.
"""

import hashlib
import json
import shutil
from pathlib import Path

from devcluster import cgroups, containers, kernel_settings, mounts, network, processes
from devcluster.layout import NAME, Layout

_CONTAINER_RUNTIME = "containerd"
_PATIENCE_SECONDS = 5
_NETWORK_RESULTS = Path("/var/lib/cni")
_CONTAINER_LOG_LINKS = Path("/var/log/containers")
_KUBELET_FOLDER = Path("/var/lib/kubelet")
_RUNTIME_FOLDER = Path("/run/containerd")


def something_is_left(layout: Layout) -> bool:
    """Whether a node runs, or parts of one are left from a start or an end that was interrupted."""
    return bool(processes.running()) or layout.run.exists() or layout.owner.exists() or layout.certificates.exists()


def take_down(layout: Layout) -> None:
    """Remove everything but the imported images. Raises DevclusterError if something cannot be removed."""
    layout.owner.unlink(missing_ok=True)  # from here on it is no whole node
    found = processes.running()
    # Its content is thrown away: nothing of the control plane needs a farewell.
    processes.kill(pid for name, pids in found.items() if name != _CONTAINER_RUNTIME for pid in pids)
    cgroups.kill_everything_inside()
    if containers.answers(layout):
        containers.forget_all(layout)
    processes.stop(processes.running().get(_CONTAINER_RUNTIME, []), _PATIENCE_SECONDS)
    for folder in (layout.state, layout.run, layout.cache):
        mounts.unmount_below(folder)
    network.delete(layout)
    cgroups.remove()
    kernel_settings.restore(layout)
    _remove_files(layout)


def forget_images(layout: Layout) -> None:
    """Remove the imported images as well; only when the node is down."""
    if layout.state.exists():
        shutil.rmtree(layout.state)


def _remove_files(layout: Layout) -> None:
    if layout.run.exists():
        shutil.rmtree(layout.run)
    if layout.state.exists():
        for entry in layout.state.iterdir():
            if entry == layout.containerd_root:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    layout.kubeconfig.unlink(missing_ok=True)
    _remove_traces_outside(layout)
    remove_container_states(layout, _RUNTIME_FOLDER)


def _remove_traces_outside(layout: Layout) -> None:
    """Files at places that the kubelet and the network plugins do not let one choose."""
    for result in (_NETWORK_RESULTS / "results").glob(f"{NAME}-*-eth0"):
        container = result.name.removeprefix(f"{NAME}-").removesuffix("-eth0")
        (result.parent / f"cni-loopback-{container}-lo").unlink(missing_ok=True)
        result.unlink()
    for link in _CONTAINER_LOG_LINKS.glob("*.log"):
        if link.is_symlink() and layout.state in link.readlink().parents:
            link.unlink()
    for folder in (
        _NETWORK_RESULTS / "results",
        _NETWORK_RESULTS,
        _CONTAINER_LOG_LINKS,
        _KUBELET_FOLDER / "device-plugins",
        _KUBELET_FOLDER,
    ):
        if folder.is_dir():
            for socket in folder.glob("kubelet.sock"):
                socket.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()


def remove_container_states(layout: Layout, runtime_folder: Path) -> None:
    """What runc and containerd's shims keep of each container where others keep theirs: ours by the bundle it ran from.

    A container killed with its control group leaves both behind. Only when none of the node's containers runs any more.
    """
    states = runtime_folder / "runc" / containers.NAMESPACE
    sockets = runtime_folder / "s"
    for state in sorted(states.glob("*/state.json")):
        try:
            bundle = _bundle(state)
        except FileNotFoundError:
            continue  # somebody else's container ended meanwhile
        if bundle.is_relative_to(layout.run):
            container = state.parent.name
            # The shim's name for its socket: a digest of whom it serves.
            served = str(layout.containerd_socket / containers.NAMESPACE / container)
            (sockets / hashlib.sha256(served.encode()).hexdigest()).unlink(missing_ok=True)
            shutil.rmtree(state.parent)
    for folder in (states, states.parent, sockets, runtime_folder):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _bundle(state: Path) -> Path:
    """The folder that a container ran from; an empty path where runc does not say, and so nobody's."""
    labels: list[str] = json.loads(state.read_text())["config"].get("labels") or []
    return Path(next((label.removeprefix("bundle=") for label in labels if label.startswith("bundle=")), ""))
