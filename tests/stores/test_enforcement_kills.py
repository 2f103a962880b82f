"""kill -9 of the engine at every effect point, then a run that finishes: nothing early, nothing left, nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive, keep_young, refused

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9


@dataclass
class Engine:
    """The program in processes of its own."""

    process: subprocess.Popen[str]

    def run(self, line: str) -> tuple[int, int]:
        """Runs it once; exit status and number of effects."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().split()
        assert answer, f"the runner of the engine ended: {self.process.poll()}"
        return int(answer[0]), int(answer[1])


@pytest.fixture
def engine(acme: LiveArchive) -> Iterator[Engine]:
    with (acme.directory / "engine.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stores.enforcement_killer", str(acme.plan_file)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        yield Engine(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(120)
        assert process.stdout is not None
        process.stdout.close()


def test_killed_at_any_effect_the_next_run_finishes_what_is_due_and_nothing_else__X6(
    acme: LiveArchive, engine: Engine
) -> None:
    keep_young(acme)
    staying = arrange_young(acme)
    arrange_due(acme, 0)
    status, calls = engine.run("never")
    assert status == 0, (acme.directory / "engine.log").read_text()
    assert acme.left() == staying
    # Nothing happens between two effects: right before one is right after the one before it.
    points = [(1, "before"), *((number, "after") for number in range(1, calls + 1))]
    assert calls >= 25, "every kind of effect is among them, also a month's drop after it was detached"
    for turn, (number, when) in enumerate(points, start=1):
        due = arrange_due(acme, turn)
        told = newest_link(acme)
        acme.call(f"new-{turn}", datetime.now(UTC), "recordings")
        staying.add(f"recordings:new-{turn}")
        status, _ = engine.run(f"{number} {when}")
        assert status == KILLED, f"effect {number} of {calls} was never reached"
        between = acme.left()
        assert staying <= between, f"early: {staying - between} at {number} {when}"
        assert between <= staying | due, f"nothing comes back: {number} {when}"
        status, _ = engine.run("never")
        assert status == 0, f"after {number} {when}: {(acme.directory / 'engine.log').read_text()[-4000:]}"
        assert acme.left() == staying, f"after {number} {when}"
        assert acted_since(acme, told) == len(due), f"each row is told as deleted once: {number} {when}"
        news = {f"audio/new-{each}" for each in range(1, turn + 1)}
        assert acme.keys() == {"audio/young", *news}, f"after {number} {when}"
    assert refused(acme) == news, "every new object is locked (M8)"
    facts = acme.observer().observe()
    assert facts.chain_intact
    assert {category.due for category in facts.categories} == {0}
    outcomes = [link.outcome for link in acme.observer().evidence(1000)]
    assert outcomes.count("Succeeded") >= len(points) + 1
    assert set(outcomes) == {"Succeeded", "Interrupted"}
    assert acme.run().outcome is Outcome.SUCCEEDED


def newest_link(acme: LiveArchive) -> int:
    """The number of the newest evidence."""
    return acme.observer().evidence(1)[0].sequence


def acted_since(acme: LiveArchive, link: int) -> int:
    """Rows that the evidence after that link tells as deleted, by killed runs and by those that finished."""
    links = [found for found in acme.observer().evidence(1000) if found.sequence > link]
    return sum(category.acted for found in links for category in found.categories)


def arrange_young(acme: LiveArchive) -> set[str]:
    """What must never go, half a day on the safe side of each boundary."""
    now, half_day = datetime.now(UTC), timedelta(hours=12)
    acme.call("young", now - timedelta(days=14) + half_day, "requests", "recordings", "chat_logs", "surveys")
    acme.call("record-only", now - timedelta(days=180) + half_day, "requests", "surveys")
    acme.call("open-case", now - timedelta(days=300), "cases")
    return acme.left()


def arrange_due(acme: LiveArchive, turn: int) -> set[str]:
    """Due rows of every kind: whole months within and beyond `back`, a boundary month, objects, closed cases."""
    now, half_day = datetime.now(UTC), timedelta(hours=12)
    before = acme.left()
    # A month beyond `back` is detached and dropped, one within it truncated.
    acme.old_month("chat_logs", now - timedelta(days=900))
    acme.call(f"beyond-{turn}", now - timedelta(days=900), "chat_logs")
    acme.call(f"boundary-{turn}", now - timedelta(days=180) - half_day, "requests", "surveys")
    acme.call(f"old-{turn}", now - timedelta(days=250), "requests", "surveys", "recordings", "chat_logs")
    acme.call(f"recent-{turn}", now - timedelta(days=14) - half_day, "recordings")
    acme.call(f"case-{turn}", now - timedelta(days=400), "cases", closed_at=now - timedelta(days=370))
    return acme.left() - before
