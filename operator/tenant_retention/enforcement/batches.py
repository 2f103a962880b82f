"""How many rows one batch takes: as many as fit the time one transaction may last, learnt from the batch before."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_ROWS = 1_000
FEWEST_ROWS = 100
MOST_ROWS = 50_000
_STEEPEST = 2.0


@dataclass(frozen=True)
class BatchSize:
    """``rows`` to ask for next, aiming at ``aim_seconds`` a batch (RETENTION.md section 2: 0.1 to 0.2 s)."""

    aim_seconds: float
    rows: int = FIRST_ROWS

    def after(self, deleted: int, seconds: float) -> BatchSize:
        """The size to use after a batch that deleted so many rows in so many seconds.

        A batch that was not full says nothing about size, unless it was too slow all the same.
        """
        full = 2 * deleted >= self.rows
        if seconds <= self.aim_seconds and not full:
            return self
        factor = self.aim_seconds / seconds if seconds > 0 else _STEEPEST
        # Never more than double or half: one lucky or unlucky batch must not throw the size about.
        rows = round(self.rows * min(max(factor, 1 / _STEEPEST), _STEEPEST))
        return replace(self, rows=min(max(rows, FEWEST_ROWS), MOST_ROWS))
