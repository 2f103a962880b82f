"""What the launcher asks of containerd, through `ctr`: which images it has, to import one, to forget all containers."""

from pathlib import Path

from devcluster.commands import run, succeeds
from devcluster.layout import Layout


def answers(layout: Layout) -> bool:
    """Whether the node's containerd is up."""
    return layout.containerd_socket.exists() and succeeds(_ctr(layout, "version"))


def image_digests(layout: Layout) -> dict[str, str]:
    """The digest of every image on the node, by its name."""
    lines = run(_ctr(layout, "images", "list")).splitlines()[1:]
    return {columns[0]: columns[2] for line in lines if len(columns := line.split()) > 2}


def import_image(layout: Layout, archive: Path) -> None:
    """Make the image of an OCI archive known to the node; the kubelet sees it at once."""
    run(_ctr(layout, "images", "import", archive))


def forget_all(layout: Layout) -> int:
    """Remove every task and container; returns how many containers there were. Their processes must have ended."""
    containers = run(_ctr(layout, "containers", "list", "--quiet")).split()
    tasks = run(_ctr(layout, "tasks", "list", "--quiet")).split()
    if tasks:
        run(_ctr(layout, "tasks", "delete", "--force", *tasks))
    if containers:
        run(_ctr(layout, "containers", "delete", *containers))
    return len(containers)


def _ctr(layout: Layout, *arguments: str | Path) -> list[str | Path]:
    return ["ctr", "--address", layout.containerd_socket, "--namespace", "k8s.io", *arguments]
