"""Running other programs: output goes to a log or is returned, a failure is told with its last lines."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster.errors import DevclusterError, Unsupported

_LAST_LINES = 25


def run(
    command: Sequence[str | Path],
    *,
    directory: Path | None = None,
    extra_environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run to the end and return standard output. Raises DevclusterError with the end of what it printed."""
    arguments = [str(part) for part in command]
    try:
        finished = subprocess.run(
            arguments,
            cwd=directory,
            env={**os.environ, **(extra_environment or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise DevclusterError(f"{arguments[0]} is not installed ({missing})") from missing
    if finished.returncode != 0:
        told = (finished.stderr + finished.stdout).strip().splitlines()[-_LAST_LINES:]
        raise DevclusterError(
            "\n".join([f"`{shlex.join(arguments)}` failed with exit code {finished.returncode}:", *told])
        )
    return finished.stdout


def succeeds(command: Sequence[str | Path], *, extra_environment: Mapping[str, str] | None = None) -> bool:
    """Whether the command exits with 0; its output is dropped."""
    arguments = [str(part) for part in command]
    return (
        subprocess.run(
            arguments,
            env={**os.environ, **(extra_environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        == 0
    )


def require(program: str, why: str) -> Path:
    """The full path of a program. Raises Unsupported with one sentence when it is not there."""
    found = shutil.which(program)
    if found is None:
        raise Unsupported(f"{program} is not on PATH: {why}")
    return Path(found)
