"""Whether this machine can run the node, and that only one launcher works on it at a time."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster.errors import Unsupported
from devcluster.layout import Layout
from devcluster.progress import Progress


def check() -> None:
    """Raises Unsupported with one sentence that says what is missing."""
    other = "CLUSTER=current uses a cluster that you have (docs/clusters.md)."
    if platform.system() != "Linux":
        raise Unsupported(f"The built-in one-node cluster needs Linux, but this is {platform.system()}; {other}")
    if os.geteuid() != 0:
        raise Unsupported(f"The built-in one-node cluster needs root (network namespaces, mounts); {other}")


@contextmanager
def only_launcher(layout: Layout, progress: Progress) -> Iterator[None]:
    """Hold the machine's lock. The kernel releases it when the holder ends, even by a kill."""
    layout.lock.parent.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("Another launcher is at work on this machine's node; waiting for it to finish.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
