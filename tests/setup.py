"""Makes .venv from uv.lock; installs uv into a cache folder of its own where the machine has none. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

UV_VERSION = "0.13.9"
ROOT = Path(__file__).resolve().parent.parent


def uv() -> str:
    """Path of uv: the machine's own, or one installed with pip into the user's cache, pinned."""
    found = shutil.which("uv")
    if found:
        return found
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenant-retention-operator"
    home = cache / f"uv-{UV_VERSION}"
    program = home / "bin" / "uv"
    if not program.exists():
        print(f"installing uv {UV_VERSION} into the cache ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", f"uv=={UV_VERSION}"], check=True)
    return str(program)


def main() -> int:
    """Syncs .venv with the lock; says what it did only when that took a while."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs under whatever python3 the user has
        print("this project needs Python 3.11 or newer: run make with PYTHON=/path/to/python3.11", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        subprocess.run([uv(), "sync", "--quiet", "--frozen", "--python", sys.executable], cwd=ROOT, check=True)
    except subprocess.CalledProcessError as failure:
        print(
            f"{' '.join(map(str, failure.cmd[:3]))} failed with exit code {failure.returncode}, see above: this project "
            f"needs a package index and either uv {UV_VERSION} or venv for {sys.executable} (Debian and Ubuntu: "
            "apt-get install python3-venv); then repeat the command",
            file=sys.stderr,
        )
        return 2
    took = time.monotonic() - started
    if took > 5:
        print(f"made .venv from uv.lock in {took:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
