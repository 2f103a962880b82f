"""Ports for servers that tests start.

A port that the system chose is free again until the server takes it, and the system gives it to whoever asks next: another process
of the same test run starts its servers at the same time. So these lie below what the system chooses from, and are claimed.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import TextIO

_CHOICE = range(20_000, 30_000)
"""Below the system's own choice (32768 on), and below the ports that Kubernetes gives to its services (30000 on)."""
_CLAIMS: list[TextIO] = []
"""Locked for as long as this process lives; the system lets go of them however it ends."""


def free_port() -> int:
    """A port of this machine that nobody has now, and that no other test gets."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    folder = Path(tempfile.gettempdir()) / f"retention-ports-{os.geteuid()}"
    folder.mkdir(exist_ok=True)
    found: list[int] = []
    for port in random.SystemRandom().sample(_CHOICE, len(_CHOICE)):
        if len(found) == count:
            return found
        if _claims(folder / str(port), port):
            found.append(port)
    raise AssertionError(f"no {count} ports of {_CHOICE} are free")


def _claims(path: Path, port: int) -> bool:
    claim = path.open("w", encoding="utf-8")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        # Another process has claimed it, or some server listens there.
        claim.close()
        return False
    _CLAIMS.append(claim)
    return True
