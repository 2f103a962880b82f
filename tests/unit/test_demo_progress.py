"""The demo says what it waits for, how many of how many are done, and for how long."""

from __future__ import annotations

import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from demo import progress
from demo.kubectl import DemoFailure, wait


def test_who_waits_for_several_pods_hears_how_many_are_done_although_none_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "TOLD_EVERY_SECONDS", 0.01)
    may_end, told = threading.Event(), threading.Event()

    def tell() -> None:
        progress.tell_progress("writing rows", futures)
        told.set()

    with ThreadPoolExecutor(3) as pool:
        first: Future[Any] = Future()
        futures = [first, pool.submit(may_end.wait, 30)]
        pool.submit(tell)
        lines: list[str] = []
        for _ in range(1000):
            lines += capsys.readouterr().out.splitlines()
            if any("0 of 2 done" in line for line in lines):
                break
            assert not told.wait(0.01)
        first.set_exception(DemoFailure("a pod failed"))
        may_end.set()
        # What failed has ended too: who asks for its result hears why.
        assert told.wait(30)
    lines += capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" +writing rows: 0 of 2 done, \d+ s", lines[0])
    assert "writing rows: 2 of 2 done" in lines[-1]


def test_a_long_wait_is_told_every_ten_seconds_unless_somebody_else_tells_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def waited(tell: bool) -> list[str]:
        seconds = count()
        clock = SimpleNamespace(monotonic=lambda: float(next(seconds)), sleep=lambda _: None)
        monkeypatch.setattr("demo.kubectl.time", clock)
        with pytest.raises(DemoFailure, match="waited 35 s in vain for the stores"):
            wait("the stores", 35, lambda: None, tell=tell)
        return capsys.readouterr().out.splitlines()

    told = waited(tell=True)
    assert [line.strip() for line in told] == [f"waiting for the stores, {after} s" for after in (10, 20, 30)]
    assert waited(tell=False) == []
