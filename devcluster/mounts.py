"""The mounts below a folder of ours."""

from pathlib import Path

from devcluster.commands import run

_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


def below(folder: Path) -> list[Path]:
    """Mount points at or below the folder, the last mounted first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        text = line.split()[4]
        for escape, character in _ESCAPES:
            text = text.replace(escape, character)
        point = Path(text)
        if point == folder or folder in point.parents:
            found.append(point)
    return list(reversed(found))


def unmount_below(folder: Path) -> None:
    """Unmount all of them. Raises DevclusterError for one that is in use."""
    for point in below(folder):
        run(["umount", point])
