"""The node's processes: started apart from the launcher, found again by a mark in their environment.

There are no pid files: a launcher that is killed between a start and the writing of its pid would lose the process,
and a pid file may name a stranger after a reboot. The mark is inherited by whatever the processes start themselves
(containerd's shims); containers do not have it and are found by their control groups.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from devcluster.errors import DevclusterError
from devcluster.layout import Layout

_MARK = "TENANT_RETENTION_DEVCLUSTER"
_POLL_SECONDS = 0.1
_LAST_LINES = 15
_DYING_SECONDS = 60
"""A killed process ends when it next gets a share of a processor, and has given its memory back: on a busy machine that takes time."""


def start(layout: Layout, name: str, command: list[str | Path]) -> None:
    """Start a process that outlives the launcher; what it prints goes to its log."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    # Not the caller's whole environment: a user's GOMAXPROCS or proxy settings must not change the node.
    kept = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(layout.state)}
    with (layout.logs / f"{name}.log").open("ab") as log:
        subprocess.Popen(
            [str(part) for part in command],
            env={**kept, **marked(name)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def marked(name: str) -> dict[str, str]:
    """The environment by which a process counts as one of the node's, found and ended with it."""
    return {_MARK: name}


def running() -> dict[str, list[int]]:
    """The pids of every process of the node, by the name it was started under."""
    found: dict[str, list[int]] = {}
    prefix = f"{_MARK}=".encode()
    for pid in _pids():
        for entry in _read(Path("/proc") / str(pid) / "environ").split(b"\0"):
            if entry.startswith(prefix):
                found.setdefault(entry.removeprefix(prefix).decode(), []).append(pid)
    return found


def stop(pids: Iterable[int], patience_seconds: float) -> None:
    """Ask processes to end, and kill those that have not ended after `patience_seconds`."""
    remaining = list(pids)
    _send(remaining, signal.SIGTERM)
    if not _ended(remaining, patience_seconds):
        kill(remaining)


def kill(pids: Iterable[int]) -> None:
    """Kill processes and wait until they are gone. Raises DevclusterError if one stays."""
    remaining = list(pids)
    _send(remaining, signal.SIGKILL)
    if not _ended(remaining, _DYING_SECONDS):
        raise DevclusterError(f"processes {[pid for pid in remaining if _alive(pid)]} do not end, even when killed")


def wait_until(what: str, condition: Callable[[], bool], deadline_seconds: float, log: Path | None = None) -> None:
    """Wait for a condition. Raises DevclusterError with the end of the log when the time is up."""
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() > deadline:
            lines = [f"{what}: not within {deadline_seconds:.0f} s"]
            if log is not None and log.exists():
                lines += [f"the last lines of {log}:", *log.read_text(errors="replace").splitlines()[-_LAST_LINES:]]
            raise DevclusterError("\n".join(lines))
        time.sleep(_POLL_SECONDS)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""  # it ended between the listing and the reading


def _send(pids: Iterable[int], what: signal.Signals) -> None:
    for pid in pids:
        if _alive(pid):
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                continue  # it ended by itself


def _alive(pid: int) -> bool:
    """Whether the process still runs; one that ended and waits for its parent does not."""
    status = _read(Path("/proc") / str(pid) / "stat")
    return bool(status) and status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def _ended(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
