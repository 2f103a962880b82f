"""The control groups of the node's pods: one group of ours in every hierarchy, made before and emptied after."""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from devcluster import processes
from devcluster.layout import NAME

_DEADLINE_SECONDS = 60
_POLL_SECONDS = 0.1
_CPU_SHARES = 8192
"""Of cgroup v1, where each process beside the group weighs 1024: on a busy machine all pods together would weigh as one."""


def create() -> None:
    """Make our group in every hierarchy; the kubelet wants its root group to exist."""
    for hierarchy in _hierarchies():
        if (hierarchy / "cgroup.controllers").exists():
            _pass_controllers_down(hierarchy)
        (hierarchy / NAME).mkdir(exist_ok=True)
        if (shares := hierarchy / NAME / "cpu.shares").exists():
            shares.write_text(str(_CPU_SHARES))


def kill_everything_inside() -> None:
    """Kill every process of every container."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while pids := set(_pids_inside()):
        processes.kill(pids)
        if time.monotonic() > deadline:
            break  # processes.kill() raises if one cannot be killed; here new ones keep coming, `remove` will say it


def remove() -> None:
    """Remove our group and all below it from every hierarchy."""
    for group in _groups():
        for folder, _, _ in os.walk(group, topdown=False):
            _remove_when_empty(Path(folder))


def _hierarchies() -> list[Path]:
    """The mount points of cgroup v1 controllers, or of the one v2 hierarchy, or of both where a machine mixes them."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] in ("cgroup", "cgroup2"):
            found.append(Path(before.split()[4]))
    return found


def _groups() -> list[Path]:
    return [group for hierarchy in _hierarchies() if (group := hierarchy / NAME).exists()]


def _pass_controllers_down(hierarchy: Path) -> None:
    control = hierarchy / "cgroup.subtree_control"
    active = control.read_text().split()
    for controller in (hierarchy / "cgroup.controllers").read_text().split():
        if controller not in active:
            control.write_text(f"+{controller}")


def _pids_inside() -> Iterator[int]:
    for group in _groups():
        # os.walk passes over a group that goes while it is listed: containers that end take theirs with them.
        for folder, _, _ in os.walk(group):
            try:
                members = Path(folder, "cgroup.procs").read_text()
            except OSError as gone:
                if gone.errno in (errno.ENOENT, errno.ENODEV):
                    continue
                raise
            yield from (int(pid) for pid in members.split())


def _remove_when_empty(folder: Path) -> None:
    """The kernel frees a group a moment after its last process ended."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
