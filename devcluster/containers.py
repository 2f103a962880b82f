"""What the launcher asks of containerd, through `ctr`: which images it has, to import one, to forget all containers."""

import time
from pathlib import Path

from devcluster.commands import run, succeeds
from devcluster.errors import DevclusterError
from devcluster.layout import Layout

NAMESPACE = "k8s.io"
"""Where the kubelet's containers and images live in containerd."""
_DEADLINE_SECONDS = 60


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
    """Remove every task and container; returns how many containers there were. Their processes must have ended.

    containerd itself removes tasks whose processes ended, at the same time: what counts is that none is left.
    """
    found = _containers(layout)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while containers := _containers(layout):
        tasks = run(_ctr(layout, "tasks", "list", "--quiet")).split()
        try:
            if tasks:
                run(_ctr(layout, "tasks", "delete", "--force", *tasks))
            run(_ctr(layout, "containers", "delete", *containers))
        except DevclusterError:
            if time.monotonic() > deadline:
                raise
    return len(found)


def _containers(layout: Layout) -> list[str]:
    return run(_ctr(layout, "containers", "list", "--quiet")).split()


def _ctr(layout: Layout, *arguments: str | Path) -> list[str | Path]:
    return ["ctr", "--address", layout.containerd_socket, "--namespace", NAMESPACE, *arguments]
