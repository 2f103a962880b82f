"""kill -9 of the reconcile as a process, again and again: the next process goes on (X5)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.reconcile_process import begin

ROOT = Path(__file__).parents[2]
NEVER = 10_000


def process(world: Path, effects: int) -> subprocess.CompletedProcess[str]:
    """Reconciles in a process that may make so many effects."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.reconcile_process", str(world), str(effects)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", "PATH": "/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_processes_that_are_killed_again_and_again_build_the_same_world_as_one_that_lives(tmp_path: Path) -> None:
    """Every process lives one effect longer than the one before: a key that is issued and lost is issued anew, so a
    process that always dies before it can keep one would never end. Every single effect: ``test_reconcile_kill``."""
    begin(tmp_path / "whole")
    whole = process(tmp_path / "whole", NEVER)
    assert whole.returncode == 0, whole.stderr
    begin(tmp_path / "killed")
    deaths = 0
    while True:
        one = process(tmp_path / "killed", deaths + 1)
        if one.returncode == 0:
            break
        assert one.returncode == -signal.SIGKILL, one.stderr
        deaths += 1
        assert deaths < 30, "still not done: an effect is made over and over again"
    assert deaths > 5, "the world was not built by the processes that died"
    assert one.stdout == whole.stdout
