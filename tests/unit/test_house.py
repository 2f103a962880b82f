"""What a person types first: targets, continuous integration, the README, and how long steps tell of themselves."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import pytest

from devcluster.progress import Progress
from tests import setup
from tests.run import FIRST

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_make_help_lists_every_target_with_one_line() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    # These tests run under make themselves; --no-print-directory, or the inner one would say where it works.
    command = ["make", "--no-print-directory", "help"]
    told = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout.splitlines()
    listed = [line.split()[0] for line in told]
    assert sorted(listed) == sorted(" ".join(targets).split())
    assert all(len(line.split()) > 2 for line in told), "each says what it does"


def test_continuous_integration_does_what_a_person_does_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_lint_types_and_layers_come_before_any_test() -> None:
    (line,) = re.findall(r"tests/run\.py (lint unit .+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line.split() == ["lint", "unit", "stores", "chart", "cluster"]
    commands = [" ".join(command) for command in FIRST["lint"]]
    for tool in ("ruff check", "mypy", "lint-imports"):
        assert any(tool in command for command in commands), tool


def test_the_readme_says_in_under_sixty_lines_what_a_stranger_needs() -> None:
    assert len(README.splitlines()) < 60
    commands = (
        "make demo",
        "make test",
        "helm upgrade --install",
        "kubectl apply",
        "wait --for=condition=Ready",
        "get trp",
    )
    for words in (*commands, "helm uninstall", "## Out of scope"):
        assert words in README, words


@pytest.mark.parametrize("path", re.findall(r"\b(?:examples|charts|docs)/[\w./-]*[\w/]", README))
def test_what_the_readme_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_a_machine_without_venv_or_package_index_is_told_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_venv() -> str:
        raise subprocess.CalledProcessError(1, ["/usr/bin/python3", "-m", "venv", "/somewhere"])

    monkeypatch.setattr(setup, "uv", without_venv)
    assert setup.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("/usr/bin/python3 -m venv failed with exit code 1")
    assert "apt-get install python3-venv" in line


def test_a_long_step_says_what_it_does_which_of_how_many_and_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("devcluster.progress.time.monotonic", lambda: now)
    out = io.StringIO()

    def fail() -> None:
        nonlocal now
        with progress.step("starting etcd"):
            now = 80.0
            raise RuntimeError

    progress = Progress(out)
    progress.expect(2)
    with progress.step("building CoreDNS"):
        now = 76.0
    with pytest.raises(RuntimeError):
        fail()
    progress.done("the node is ready")
    assert out.getvalue().splitlines() == [
        "[1/2] building CoreDNS ...",
        "[1/2] building CoreDNS: 76 s",
        "[2/2] starting etcd ...",
        "[2/2] starting etcd: failed after 4 s",
        "the node is ready (80 s)",
    ]
