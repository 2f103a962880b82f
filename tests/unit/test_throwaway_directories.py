"""Where test servers keep their files: gone afterwards, also where the test run was killed, and never those of one that lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores.servers import directories
from tests.stores.servers.directories import throwaway_directory

_STAYS = """
import sys
from pathlib import Path
from tests.stores.servers import directories

directories._MEMORY, directories._ROOM_BYTES = Path(sys.argv[1]), 0
with directories.throwaway_directory("thing") as made:
    print(made, flush=True)
    sys.stdin.read()
"""
_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(directories, "_MEMORY", tmp_path)
    monkeypatch.setattr(directories, "_ROOM_BYTES", 0)
    return tmp_path


def test_what_a_killed_test_run_left_in_memory_goes_before_the_next_one_and_what_is_used_stays(memory: Path) -> None:
    command = [sys.executable, "-c", _STAYS, str(memory)]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with throwaway_directory("thing") as made:
            assert {left, made} == set(memory.iterdir())
        assert {left} == set(memory.iterdir())
        other.kill()
        other.wait()
        with throwaway_directory("another thing"):
            assert left.exists(), "each name clears its own"
        with throwaway_directory("thing") as made:
            assert {made} == set(memory.iterdir())
    assert set(memory.iterdir()) == set()


def test_without_room_in_memory_the_disk_is_used(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "_ROOM_BYTES", 1 << 62)
    with throwaway_directory("thing") as made:
        assert memory not in made.parents
    assert not made.exists()
