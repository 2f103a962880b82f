"""Runs the named groups of checks, ends at the first that fails, and says what took how long.

In the order in which they fail fast: lint, unit, then what the servers need is fetched and built, then the stores' tests beside
those of chart and cluster. Those beside each other share nothing but the machine: stores work all the time, a cluster mostly waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}
"""Lines are seen when they are written."""


def pytest(folder: str, *options: str) -> tuple[str, ...]:
    """The command of one folder, or file, of tests."""
    return (sys.executable, "-m", "pytest", "-q", "--durations=5", "-x", f"tests/{folder}", *options)


AT_ONCE = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
"""Tests that need nothing but themselves, or servers of their own process, use all cores; one process has a few GiB of servers."""


FIRST: dict[str, tuple[tuple[str, ...], ...]] = {
    "lint": (
        (str(BIN / "ruff"), "check", "."),
        (str(BIN / "ruff"), "format", "--check", "."),
        (str(BIN / "mypy"), "operator/tenant_retention", "devcluster", "demo", "docs", "tests"),
        (str(BIN / "lint-imports"),),
        (sys.executable, "-m", "tenant_retention.api.v1alpha1.generate", "--check"),
        (sys.executable, "-m", "docs.generate", "--check"),
    ),
    "unit": (pytest("unit", *AT_ONCE),),
}
"""One after the other."""
PREPARED: dict[str, tuple[tuple[str, ...], ...]] = {
    "stores": (
        (sys.executable, "-m", "devcluster", "images"),
        (sys.executable, "-m", "devcluster", "part", "minio"),
        (sys.executable, "-m", "tests.stores.servers.install"),
    ),
    "chart": ((sys.executable, "-m", "devcluster", "parts"),),
}
"""What the servers are made of is fetched and built first, with progress, so that no test waits for it."""
LANES: tuple[dict[str, tuple[tuple[str, ...], ...]], ...] = (
    # Behind the other lane: whatever waits for a cluster has deadlines.
    {"stores": (("nice", "-n", "5", *pytest("stores", *AT_ONCE)),)},
    {
        "chart": (pytest("chart"),),
        "cluster": (
            (sys.executable, "-m", "devcluster", "up"),
            pytest("cluster", "--ignore=tests/cluster/test_devcluster.py"),
            # Last: it takes the node down, with all that the tests before it left there.
            pytest("cluster/test_devcluster.py"),
        ),
    },
)
"""Side by side; the groups of one lane one after the other."""
GROUPS = (*FIRST, *(name for lane in LANES for name in lane))


class Checks:
    """Runs commands and prints what they print, line by line, each with its group; the first that fails ends all of them."""

    def __init__(self) -> None:
        self.code = 0
        """The exit code of the first command that failed, else 0."""
        self._running: list[subprocess.Popen[str]] = []
        self._lock = Lock()

    def all_of(self, groups: dict[str, tuple[tuple[str, ...], ...]], names: Sequence[str]) -> None:
        """The commands of these groups, one after the other, as long as none fails."""
        for name in (name for name in groups if name in names):
            for command in groups[name]:
                self._run(name, command)

    def side_by_side(self, names: Sequence[str]) -> None:
        """All lanes that have one of these groups."""
        with ThreadPoolExecutor(len(LANES)) as pool:
            for done in [pool.submit(self.all_of, lane, names) for lane in LANES]:
                done.result()

    def _run(self, name: str, command: tuple[str, ...]) -> None:
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        started = time.monotonic()
        with self._lock:
            if self.code:
                return
            print(f"{name}: {shown}", flush=True)
            process = subprocess.Popen(
                command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            self._running.append(process)
        with process:
            for line in process.stdout or ():
                print(f"{name}| {line}", end="", flush=True)
        with self._lock:
            self._running.remove(process)
            print(f"{name}: exit {process.returncode} after {time.monotonic() - started:.0f} s", flush=True)
            if process.returncode and not self.code:
                self.code = process.returncode
                for other in self._running:
                    # As Ctrl-C: tests end their servers first.
                    other.send_signal(signal.SIGINT)


def main(names: Sequence[str]) -> int:
    """Exit code of the first command that failed, else 0."""
    # Where it is ignored, as behind a shell's "&", those that are started would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    checks = Checks()
    checks.all_of(FIRST, names)
    checks.all_of(PREPARED, names)
    checks.side_by_side(names)
    took = f"{time.monotonic() - began:.0f} s"
    print(f"failed after {took}" if checks.code else f"all of {', '.join(names)} passed in {took}", flush=True)
    return checks.code


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in GROUPS]
    if unknown or len(sys.argv) < 2:
        print(f"usage: run.py [{' '.join(GROUPS)}] ...", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
