"""The machine that a table was measured on, in one line: without it no number of seconds says anything."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine(place: Path) -> str:
    """Processor, memory, the file system of ``place``, system, and how busy it is now (load of the last 15 minutes)."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"machine: {os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, {_file_system(place)}, "
        f"{platform.system()} {platform.release()}; load {os.getloadavg()[2]:.1f}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _file_system(place: Path) -> str:
    """The type of the mount with the longest path above ``place``."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(path, kind) for path, kind in mounts if place.resolve().is_relative_to(path)]
    return max(above, key=lambda mount: len(mount[0]))[1]
