"""kill -9 of the reconcile as a process, at every effect and again and again: the next process goes on (X5)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.reconcile_process import begin

ROOT = Path(__file__).parents[2]
NEVER = 10_000


@dataclass(frozen=True)
class Ended:
    """A process that reconciled: its exit status; if it was not killed, how many effects it made and what it left."""

    status: int
    effects: int = 0
    picture: str = ""


Process = Callable[[Path, int], Ended]
"""Reconciles the world of a file in a process that may make so many effects."""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    log = tmp_path / "processes.log"
    with (
        log.open("w") as told,
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.reconcile_process"],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        ) as parent,
    ):

        def run(world: Path, effects: int) -> Ended:
            assert parent.stdin is not None
            assert parent.stdout is not None
            print(effects, world, file=parent.stdin, flush=True)
            answer = parent.stdout.readline()
            assert answer, f"the parent of the processes ended: {log.read_text()}"
            ended = Ended(**json.loads(answer))
            assert ended.status in (0, -signal.SIGKILL), log.read_text()
            return ended

        yield run


def test_a_process_that_is_killed_at_any_effect_is_continued_by_the_next_one(tmp_path: Path, process: Process) -> None:
    begin(tmp_path / "new")
    shutil.copy(tmp_path / "new", tmp_path / "whole")
    whole = process(tmp_path / "whole", NEVER)
    assert whole.effects > 40, "every store, server, Secret and job is among them"
    world = tmp_path / "killed"
    for effect in range(whole.effects):
        shutil.copy(tmp_path / "new", world)
        assert process(world, effect).status == -signal.SIGKILL, effect
        assert process(world, NEVER).picture == whole.picture, f"killed before effect {effect}"


def test_processes_that_are_killed_again_and_again_build_the_same_world_as_one_that_lives(
    tmp_path: Path, process: Process
) -> None:
    """Every process lives one effect longer than the one before: a key that is issued and lost is issued anew, so a
    process that always dies before it can keep one would never end."""
    begin(tmp_path / "whole")
    begin(tmp_path / "killed")
    whole = process(tmp_path / "whole", NEVER)
    deaths = 0
    while (one := process(tmp_path / "killed", deaths + 1)).status:
        deaths += 1
        assert deaths < 30, "still not done: an effect is made over and over again"
    assert deaths > 5, "the world was not built by the processes that died"
    assert one.picture == whole.picture
