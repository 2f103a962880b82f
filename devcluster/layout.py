"""Where everything lies, and the addresses of the node. Nothing here does anything."""

import os
from dataclasses import dataclass
from pathlib import Path

NAME = "tenant-retention-devcluster"
NODE_NAME = "node1"

HOST_ADDRESS = "172.29.99.1"
NODE_ADDRESS = "172.29.99.2"
API_PORT = 6443
API_URL = f"https://{NODE_ADDRESS}:{API_PORT}"
POD_NETWORK = "10.244.0.0/16"
NODE_POD_NETWORK = "10.244.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"

# Interface names have 15 characters at most.
HOST_INTERFACE = "trdev-host"
NODE_INTERFACE = "trdev-node"
BRIDGE_INTERFACE = "cni0"


@dataclass(frozen=True)
class Layout:
    """Every folder and file the launcher uses."""

    checkout: Path
    cache: Path
    """Built parts and images; shared by all checkouts of this user, safe to delete."""
    state: Path
    """What the running node writes. Only imported images outlive `down` here."""
    run: Path
    """Sockets and mounts of the running node."""

    @property
    def package(self) -> Path:
        return self.checkout / "devcluster"

    @property
    def own(self) -> Path:
        """What this checkout gets: its kubeconfig and links to the programs."""
        return self.checkout / ".devcluster"

    @property
    def kubeconfig(self) -> Path:
        return self.own / "kubeconfig"

    @property
    def programs(self) -> Path:
        return self.own / "bin"

    @property
    def lock(self) -> Path:
        # Not below `state`: the lock must outlive the folder that it protects.
        return self.run.parent / f"{NAME}.lock"

    @property
    def certificates(self) -> Path:
        return self.state / "pki"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def node_programs(self) -> Path:
        """The programs of the node that runs, which another checkout may have started."""
        return self.state / "bin"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def configuration(self) -> Path:
        return self.state / "config"

    @property
    def kubelet_root(self) -> Path:
        return self.state / "kubelet"

    @property
    def containerd_root(self) -> Path:
        return self.state / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd" / "containerd.sock"

    @property
    def network_namespace(self) -> Path:
        return self.run / "netns"

    @property
    def owner(self) -> Path:
        """Who started the node and with which configuration; written last, so it exists only for a whole node."""
        return self.state / "owner.json"

    @property
    def kernel_settings(self) -> Path:
        """The machine's sysctls as they were before the node."""
        return self.state / "sysctls.json"


def layout(checkout: Path | None = None) -> Layout:
    """The layout for the checkout that this package lies in."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Layout(
        checkout=checkout or Path(__file__).resolve().parent.parent,
        cache=Path(cache_home) / "tenant-retention-operator",
        state=Path("/var/lib") / NAME,
        run=Path("/run") / NAME,
    )
