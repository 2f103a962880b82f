"""Finds PostgreSQL and Valkey for the store tests: the machine's own, else Debian's in a root tree under the user's cache.

``python -m tests.stores.servers.install`` fetches what is missing beforehand; the fixtures call ``installation`` themselves.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

OLDEST = 15
"""The oldest one supported."""
EMBEDDED = 17
"""The one of the embedded image: what no version decides is tested on it alone."""
NEWEST = 18
"""The newest one that Debian's packages offer: the contracts hold on it as on the oldest, and a tenant's days pass on it."""
TOO_OLD = 13
"""Older than the oldest one supported; Debian has no 14."""
_SUITES = {13: "bullseye", 15: "bookworm", 17: "trixie", 18: "forky"}
# A suite that is not released yet is signed for a week only, and a mirror may be behind.
_OPTIONS = {18: ["--aptopt=Acquire::Check-Valid-Until false"]}
VALKEY = 8
"""Of Debian 13, whatever the machine has: its own may be a Redis of before."""
UNPRIVILEGED = 65534
"""nobody, as who programs run where the tests run as root: PostgreSQL refuses to be root."""

# A mount namespace of the process's own: its directory, under the same name, the devices and /proc (without which Debian 11
# drops no privileges) appear inside the root tree, and vanish with it.
_INSIDE_ROOT_TREE = (
    'directory=$1 tree=$2 && shift 2 && mount -t tmpfs tmpfs "$tree/tmp" && mount --rbind /dev "$tree/dev" && '
    'mount --rbind /proc "$tree/proc" && mkdir -p "$tree$directory" && '
    'mount --bind "$directory" "$tree$directory" && exec chroot "$tree" "$@"'
)
_NO_MAIN_CLUSTER = (
    'mkdir -p "$1/etc/postgresql-common" && '
    'echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'
)


@dataclass(frozen=True)
class Installation:
    """Where the programs of one major version are: ``programs`` as seen from inside ``root`` (None: this machine itself)."""

    version: int
    programs: Path
    root: Path | None = None

    def unprivileged(self, directory: Path, program: str, *arguments: str) -> list[str]:
        """The command line of one of the programs, which sees ``directory`` under its own name.

        Every step execs the next one, so that the process started is the program itself.
        """
        # An absolute path, /bin/sh say, stays as it is.
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            # A killed test run must not leave a server behind: it is told (SIGINT, fast shutdown) when its parent dies.
            drop = [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups", "--pdeathsig=INT"]
            command = ["setpriv", *drop, *command]
        if self.root is None:
            return command
        mount = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _INSIDE_ROOT_TREE, "sh"]
        return [*mount, str(directory), str(self.root), *command]


def installation(version: int) -> Installation:
    """The installation of this major version; fetches a root tree (about a minute, once) if the machine has none.

    Raises RuntimeError with the command's last lines if it cannot be fetched.
    """
    programs = Path(f"/usr/lib/postgresql/{version}/bin")
    if (programs / "postgres").exists():
        return Installation(version, programs)
    hook = f"--essential-hook={_NO_MAIN_CLUSTER}"
    return Installation(
        version, programs, _root_tree(f"postgresql-{version}", _SUITES[version], hook, *_OPTIONS.get(version, ()))
    )


def valkey_installation() -> Installation:
    """The installation of Valkey; raises as ``installation``."""
    return Installation(VALKEY, Path("/usr/bin"), _root_tree("valkey-server", "trixie"))


def faketime_library() -> Path:
    """libfaketime, which gives a server the clock that a test sets: the machine's own, else Debian's; raises as ``installation``."""
    name = "*/faketime/libfaketime.so.1"
    if found := sorted(Path("/usr/lib").glob(name)):
        return found[0]
    # Of the oldest Debian here: it runs inside every newer one's tree too.
    tree = _root_tree("libfaketime", "bookworm", variant="extract")
    return next((tree / "usr/lib").glob(name))


def _root_tree(package: str, suite: str, *options: str, variant: str = "minbase") -> Path:
    command = [
        "mmdebstrap",
        "--mode=root",
        f"--variant={variant}",
        f"--include={package}",
        *options,
        "--aptopt=Apt::Install-Recommends false",
        suite,
    ]
    digest = hashlib.sha256("\0".join(command).encode()).hexdigest()[:12]
    roots = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tenant-retention-operator" / "roots"
    wanted = roots / f"{package}-{digest}"
    roots.mkdir(parents=True, exist_ok=True)
    with (roots / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            _fetch(command, roots, wanted)
    return wanted


def _fetch(command: list[str], roots: Path, wanted: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        raise RuntimeError(
            f"{wanted.name}: neither installed on this machine nor can it be fetched; "
            "install it, or run as root with the package mmdebstrap installed"
        )
    # A name of its own until it is whole: a tree under the wanted name is always complete.
    unfinished = Path(tempfile.mkdtemp(prefix=f"{wanted.name}.unfinished-", dir=roots))
    try:
        done = subprocess.run([*command, str(unfinished)], capture_output=True, text=True, check=False, timeout=900)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n" + "\n".join(done.stderr.splitlines()[-20:]))
        unfinished.chmod(0o755)
        unfinished.rename(wanted)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def main() -> int:
    """Installs every version the tests need and says where each one is."""
    for version in (TOO_OLD, OLDEST, EMBEDDED, NEWEST):
        found = installation(version)
        print(f"PostgreSQL {version}: {found.root or ''}{found.programs}")
    found = valkey_installation()
    print(f"Valkey {VALKEY}: {found.root or ''}{found.programs}")
    print(f"libfaketime: {faketime_library()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
