"""The packages of the machine's own Debian that the node needs, installed if they are missing."""

import shutil

from devcluster.commands import require, run
from devcluster.progress import Progress

_PROGRAM_OF_PACKAGE = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "openssl": "openssl",
    "procps": "sysctl",
    "util-linux": "nsenter",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
}
_NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive"}


def missing() -> list[str]:
    """The packages whose program is not on this machine."""
    return [package for package, program in _PROGRAM_OF_PACKAGE.items() if shutil.which(program) is None]


def install(absent: list[str], progress: Progress) -> None:
    """Install these packages; nothing else of the machine is changed."""
    apt = require("apt-get", f"these programs are missing and can be installed by hand: {', '.join(absent)}")
    with progress.step(f"installing Debian packages: {' '.join(absent)}"):
        run([apt, "update"], extra_environment=_NONINTERACTIVE)
        run([apt, "install", "--yes", "--no-install-recommends", *absent], extra_environment=_NONINTERACTIVE)
