"""Runs the named groups of checks in order, stops at the first that fails, and says what took how long."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def pytest(folder: str, *options: str) -> tuple[str, ...]:
    """The command of one folder, or file, of tests."""
    return (sys.executable, "-m", "pytest", "-q", "--durations=5", "-x", f"tests/{folder}", *options)


AT_ONCE = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
"""Tests that need nothing but themselves, or servers of their own process, use all cores; one process has a few GiB of servers."""


GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lint": (
        (str(BIN / "ruff"), "check", "."),
        (str(BIN / "ruff"), "format", "--check", "."),
        (str(BIN / "mypy"), "operator/tenant_retention", "devcluster", "demo", "docs", "tests"),
        (str(BIN / "lint-imports"),),
        (sys.executable, "-m", "tenant_retention.api.v1alpha1.generate", "--check"),
        (sys.executable, "-m", "docs.generate", "--check"),
    ),
    "unit": (pytest("unit", *AT_ONCE),),
    # What the servers are made of is fetched and built first, with progress, so that no test waits for it.
    "stores": (
        (sys.executable, "-m", "devcluster", "images"),
        (sys.executable, "-m", "devcluster", "part", "minio"),
        (sys.executable, "-m", "tests.stores.servers.install"),
        pytest("stores", *AT_ONCE),
    ),
    "chart": ((sys.executable, "-m", "devcluster", "parts"), pytest("chart")),
    "cluster": (
        (sys.executable, "-m", "devcluster", "up"),
        pytest("cluster", "--ignore=tests/cluster/test_devcluster.py"),
        # Last: it takes the node down, with all that the tests before it left there.
        pytest("cluster/test_devcluster.py"),
    ),
}


def main(names: Sequence[str]) -> int:
    """Exit code of the first command that failed, else 0."""
    commands = [(name, command) for name in names for command in GROUPS[name]]
    began = time.monotonic()
    for number, (name, command) in enumerate(commands, start=1):
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        print(f"[{number}/{len(commands)}] {name}: {shown}", flush=True)
        started = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(f"[{number}/{len(commands)}] {name}: exit {code} after {time.monotonic() - started:.0f} s", flush=True)
        if code:
            return code
    print(f"all of {', '.join(names)} passed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in GROUPS]
    if unknown or len(sys.argv) < 2:
        print(f"usage: run.py [{' '.join(GROUPS)}] ...", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
