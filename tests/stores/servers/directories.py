"""Where test servers keep their files: in memory where there is room, since their data is thrown away and their disk is shared."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3
"""Less room than this in memory, and the disk is used: a server with its databases takes up to one GiB."""
_OWNED = "owned"


@contextmanager
def throwaway_directory(name: str, *, on_disk: bool = False, programs: bool = False) -> Iterator[Path]:
    """A directory that everybody may enter, gone afterwards; what a killed test run left of that name goes first.

    ``on_disk``: also where memory has room. ``programs``: code is loaded from it, which some machines forbid in memory.
    """
    parent = Path(tempfile.gettempdir()) if on_disk else _roomy_place(programs)
    _remove_orphans(parent, name)
    directory = Path(tempfile.mkdtemp(prefix=f"retention-{name}-", dir=parent))
    try:
        directory.chmod(0o755)
        unlocked = directory / "fresh"
        with unlocked.open("w") as owned:
            # The system lets go of it however this process ends. Under its name nobody sees it before it is locked.
            fcntl.flock(owned, fcntl.LOCK_EX)
            unlocked.rename(directory / _OWNED)
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _roomy_place(programs: bool) -> Path:
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    if not roomy or (programs and os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC):
        return Path(tempfile.gettempdir())
    return _MEMORY


def _remove_orphans(parent: Path, name: str) -> None:
    for owned in parent.glob(f"retention-{name}-*/{_OWNED}"):
        try:
            with owned.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Somebody's who lives, or just gone.
            continue
        shutil.rmtree(owned.parent, ignore_errors=True)
