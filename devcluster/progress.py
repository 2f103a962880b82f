"""Telling what happens, which step of how many, and how long it took."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_TICK_SECONDS = 1.0
_WORTH_TELLING_SECONDS = 0.5


class Progress:
    """Numbers the steps of one command and prints a line for each, with its elapsed time.

    On a terminal the elapsed time counts up while the step runs; in a log each step is one line when it
    starts and, if it took a while, one when it ends.
    """

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._total = 0
        self._number = 0
        self._out = out
        self._live = out.isatty()
        # On a terminal the finished line takes the place of the running one.
        self._line_start = "\r\033[K" if self._live else ""
        self._started = time.monotonic()

    def expect(self, steps: int) -> None:
        """Say how many steps are coming, before the first of them."""
        self._total += steps

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One numbered step. `what` is a phrase such as `building CoreDNS`."""
        self._number += 1
        label = f"[{self._number}/{self._total}] {what}"
        started = time.monotonic()
        self._write(f"{label} ...", end="" if self._live else "\n")
        with self._ticking(label, started):
            try:
                yield
            except BaseException:
                self._write(f"{self._line_start}{label}: failed after {time.monotonic() - started:.0f} s")
                raise
        seconds = time.monotonic() - started
        if self._live or seconds >= _WORTH_TELLING_SECONDS:
            self._write(f"{self._line_start}{label}: {seconds:.0f} s")

    def note(self, sentence: str) -> None:
        """A line that is no step."""
        self._write(sentence)

    def done(self, sentence: str) -> None:
        """The last line, with the time of the whole command."""
        self._write(f"{sentence} ({time.monotonic() - self._started:.0f} s)")

    def _write(self, text: str, end: str = "\n") -> None:
        self._out.write(text + end)
        self._out.flush()

    @contextmanager
    def _ticking(self, label: str, started: float) -> Iterator[None]:
        if not self._live:
            yield
            return
        stop = threading.Event()

        def tick() -> None:
            while not stop.wait(_TICK_SECONDS):
                self._write(f"{self._line_start}{label} ... {time.monotonic() - started:.0f} s", end="")

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            stop.set()
            ticker.join()
