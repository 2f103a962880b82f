"""The runner of all checks: what one lane does when the other one fails."""

from __future__ import annotations

import sys

import pytest

from tests import run

_UNTIL_TOLD = """
import signal, time
try:
    print("begun", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("servers ended")
"""


def python(program: str) -> tuple[tuple[str, ...], ...]:
    return ((sys.executable, "-c", program),)


def test_the_first_that_fails_ends_the_other_lane_as_control_c_does_and_nothing_more_begins(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "FIRST", {"lint": python("print('clean')")})
    monkeypatch.setattr(run, "PREPARED", {})
    lanes = (
        {"stores": python(_UNTIL_TOLD)},
        {"chart": python("raise SystemExit(3)"), "cluster": python("print('never')")},
    )
    monkeypatch.setattr(run, "LANES", lanes)
    assert run.main(["lint", "stores", "chart", "cluster"]) == 3
    told = capfd.readouterr().out.splitlines()
    assert "lint| clean" in told
    assert any(line.startswith("chart: exit 3") for line in told)
    assert not any(line.startswith("cluster") for line in told)
    assert any(line.startswith("stores: exit") for line in told)


def test_a_check_that_fails_first_keeps_the_servers_from_being_started(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "FIRST", {"lint": python("raise SystemExit(2)"), "unit": python("print('never')")})
    monkeypatch.setattr(run, "PREPARED", {"stores": python("print('never')")})
    monkeypatch.setattr(run, "LANES", ({"stores": python("print('never')")},))
    assert run.main(["lint", "unit", "stores"]) == 2
    assert "never" not in capfd.readouterr().out


def test_groups_that_are_not_named_are_not_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "LANES", ({"stores": python("print('never')")}, {"chart": python("print('drawn')")}))
    monkeypatch.setattr(run, "PREPARED", {})
    assert run.main(["chart"]) == 0
    told = capfd.readouterr().out
    assert ("drawn" in told, "never" in told) == (True, False)
