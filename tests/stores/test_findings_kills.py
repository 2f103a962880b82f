"""Nights that take away what may not be stored and the person, killed at any effect: nothing else goes, nothing counts
twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.test_enforcement_findings import ask_for_consent, deny
from tests.stores.test_enforcement_kills import KILLED, Engine, engine

__all__ = ["engine"]

STAYING = {"requests:agreed", "recordings:agreed", "chat_logs:agreed"}


def arrange(acme: LiveArchive) -> None:
    """A call that agreed, and one that is on hold; both young, and neither loses anything."""
    ask_for_consent(acme, anonymize_after="P90D")
    acme.call("agreed", days_ago(2), "requests", "recordings", "chat_logs")
    acme.call("held", days_ago(100), "requests", "recordings", "chat_logs")
    acme.hold("held")
    deny(acme, "held")


def arrange_denied(acme: LiveArchive, turn: int) -> None:
    """Content that its record denies from now on: this turn finds it, the next one takes it away."""
    acme.call(f"denied-{turn}", days_ago(3), "requests", "recordings", "chat_logs")
    deny(acme, f"denied-{turn}")


def arrange_told(acme: LiveArchive, turn: int) -> None:
    """Rows due to lose the person, of a whole month and of the boundary's."""
    acme.call(f"told-{turn}", days_ago(90) - timedelta(hours=12), "requests")
    acme.call(f"long-{turn}", days_ago(140), "requests")


def content_of(acme: LiveArchive) -> set[str]:
    """The recordings and chat logs that are there."""
    return {row for row in acme.left() if not row.startswith("requests:")}


def denied_content(turn: int) -> set[str]:
    """What a turn has that may not be stored."""
    return {f"{table}:denied-{turn}" for table in ("recordings", "chat_logs")}


def counted(acme: LiveArchive) -> tuple[int, int]:
    """Findings taken away, and rows that lost the person, as all evidence together tells."""
    each = [category for link in acme.observer().evidence(1000) for category in link.categories]
    return sum(category.cleared for category in each), sum(category.anonymized or 0 for category in each)


def check(acme: LiveArchive, turn: int, where: str) -> None:
    """After a whole run: what an earlier turn denied is gone, the agreed and the held is there, no due row tells of a person, and
    every row was counted once."""
    kept = {f"{table}:{name}" for table in ("recordings", "chat_logs") for name in ("agreed", "held")}
    newest = denied_content(turn)
    content, keys = content_of(acme), acme.keys()
    assert kept <= content <= kept | newest, where
    assert {key for key in keys if not key.endswith(f"-{turn}")} == {"audio/agreed", "audio/held"}, where
    assert acme.callers() == {"agreed", "held", *(f"denied-{each}" for each in range(turn + 1))}, where
    gone = 2 * (turn + 1) - len(content & newest)
    assert counted(acme) == (gone, 2 * (turn + 1)), where


@pytest.mark.parametrize("part", range(3))
def test_killed_at_any_effect_the_next_run_takes_away_what_was_found_and_nothing_else__P10_X6_X3(
    acme: LiveArchive, engine: Engine, part: int
) -> None:
    arrange(acme)
    status = calls = 0
    for turn in (0, 1):
        arrange_denied(acme, turn)
        arrange_told(acme, turn)
        status, calls = engine.run("never")
        assert status == 0, (acme.directory / "engine.log").read_text()
        check(acme, turn, "undisturbed")
    points = [(1, "before"), *((number, "after") for number in range(1, calls + 1))][part::3]
    for turn, (number, when) in enumerate(points, start=2):
        cleared_early = not content_of(acme) & denied_content(turn - 1)
        arrange_denied(acme, turn)
        if cleared_early:
            # By the run after the last kill, which came late: then this turn's is found first.
            assert engine.run("never")[0] == 0
        arrange_told(acme, turn)
        status, _ = engine.run(f"{number} {when}")
        assert status == KILLED, f"effect {number} of {calls} was never reached"
        assert acme.left() >= STAYING, f"early: {number} {when}"
        status, _ = engine.run("never")
        assert status == 0, f"after {number} {when}: {(acme.directory / 'engine.log').read_text()[-4000:]}"
        check(acme, turn, f"after {number} {when}")
    assert acme.observer().observe().chain_intact
