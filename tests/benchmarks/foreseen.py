"""A night with 100 million rows, foreseen: whole runs on growing tables, the line through them, and how well they lie on it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from tests.benchmarks.report import Comparison, Steps
from tests.benchmarks.rows import Bench, run_category
from tests.benchmarks.tables import fill

FORESEEN_ROWS = 100_000_000
WINDOW_SECONDS = 4 * 3600.0
"""The default window of a policy, PT4H."""
SHARES = (8, 4, 2, 1)
"""What is measured: so many parts of the rows asked for."""
_KINDS = (("calls", None, "in whole months"), ("cases", "closed_at", "inside months"))


@dataclass(frozen=True)
class Line:
    """The least-squares line through measured nights: ``seconds`` per run and ``per_row``; ``off``: the worst point's share."""

    seconds: float
    per_row: float
    off: float

    @classmethod
    def through(cls, sizes: Sequence[int], seconds: Sequence[float]) -> Line:
        """The line; raises statistics.StatisticsError for fewer than two sizes."""
        slope, start = statistics.linear_regression(sizes, seconds)
        off = max(abs(start + slope * size - took) / took for size, took in zip(sizes, seconds, strict=True))
        return cls(start, slope, off)

    def at(self, rows: int) -> float:
        """Seconds of a night with so many rows, never less than one with none."""
        return max(self.seconds, 0.0) + max(self.per_row, 0.0) * rows


def foreseen(bench: Bench, rows: int, steps: Steps) -> list[Comparison]:
    """Both ways in which half of a table goes in one night, counts and evidence included, against the default window."""
    return [_foreseen(bench, rows, steps, *kind) for kind in _KINDS]


def _foreseen(bench: Bench, rows: int, steps: Steps, table: str, clock: str | None, where: str) -> Comparison:
    archive = bench.tenant(table)
    sizes = [rows // share for share in SHARES]
    nights = []
    for size in sizes:
        with steps.step(f"fill a tenant with {size:,} rows"):
            with archive.owner() as owner:
                owner.execute(sql.SQL("TRUNCATE public.{}").format(sql.Identifier(table)))
            fill(archive, "public", table, size, clock=clock)
        bench.settle(archive)
        with steps.step(f"a night with {size:,} rows, half of them due {where}"):
            nights.append(run_category(archive, table).whole)
    line = Line.through(sizes, nights)
    return Comparison(
        f"{FORESEEN_ROWS:,} rows, half due {where}",
        f"foreseen: {line.per_row * 1_000_000:.2f} s a million, {len(sizes)} sizes to {rows:,}, off by {line.off:.0%}",
        line.at(FORESEEN_ROWS),
        "default window PT4H",
        WINDOW_SECONDS,
        1.0,
    )
