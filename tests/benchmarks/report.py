"""What a benchmark says: two sides, measured in the same run on the same machine, and the ratio they should keep."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """One line of the table. ``goal``: the ratio ours/theirs that is aimed at, at most."""

    name: str
    ours: str
    our_seconds: float
    theirs: str
    their_seconds: float
    goal: float

    @property
    def ratio(self) -> float:
        """Ours divided by theirs: below one we are faster."""
        return self.our_seconds / self.their_seconds if self.their_seconds else float("inf")

    def line(self) -> tuple[str, ...]:
        """The line's cells."""
        met = "yes" if self.ratio <= self.goal else "no"
        return (
            self.name,
            self.ours,
            f"{self.our_seconds:.3f}",
            self.theirs,
            f"{self.their_seconds:.3f}",
            f"{self.ratio:.2f}",
            f"<= {self.goal:.2f}",
            met,
        )


HEADS = ("BENCHMARK", "OURS", "SECONDS", "THEIRS", "SECONDS", "RATIO", "GOAL", "MET")


def print_table(comparisons: Sequence[Comparison]) -> None:
    """All lines, in columns."""
    rows = [HEADS, *(comparison.line() for comparison in comparisons)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class Steps:
    """Says on stderr which step of how many is under way, and how long each took."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One step."""
        self._number += 1
        print(f"[{self._number}/{self._total}] {text} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        yield
        print(f"[{self._number}/{self._total}] {text}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
