"""Between two batches a run looks at what the server bears, and waits for standbys and the write-ahead log (RETENTION 2)."""

from __future__ import annotations

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.enforcement import EnforcementDatabase, Pressure
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World

LARGEST_LAG = 64 * 2**20
"""Bytes that a standby may be behind."""
WAL_PER_SECOND = 32 * 2**20
"""Bytes that the server may write on average, whoever writes them; half of ``max_wal_size`` may come at once."""
LONGEST_WAIT = 600.0
"""Seconds of one run in all: a standby that is stuck must not keep what has to be gone by its max (M10)."""
_PAUSE = 1.0


class Pacer:
    """Waits where it is called, never inside a transaction. That it cannot look stops nothing."""

    def __init__(self, database: EnforcementDatabase, persistence: Persistence, world: World) -> None:
        self._database = database
        self._persistence = persistence
        self._world = world
        self._first: tuple[float, int] | None = None
        self._waited = 0.0

    def pause(self) -> None:
        """Returns when the server bears more, or when this run has waited long enough. Raises Interrupted if asked to stop."""
        told = False
        while self._waited < LONGEST_WAIT and (cause := self._cause()):
            if not told:
                self._world.journal.tell("pacing", cause=cause)
                told = True
            self._world.pause(_PAUSE)
            self._waited += _PAUSE
            if self._waited >= LONGEST_WAIT:
                self._world.journal.tell("pacing.ended", cause=cause, waited=self._waited)
            self._persistence.go_on()

    def _cause(self) -> str | None:
        try:
            seen = self._database.pressure()
        except RetentionError as error:
            self._world.journal.tell("pacing.failed", reason=error.reason)
            return None
        if seen is None:
            return None
        if seen.lag_bytes is not None and seen.lag_bytes > LARGEST_LAG:
            return "ReplicaLag"
        return "WalRate" if self._over(seen) else None

    def _over(self, seen: Pressure) -> bool:
        now = self._world.elapsed()
        if self._first is None:
            self._first = (now, seen.wal_bytes)
        began, start = self._first
        return seen.wal_bytes - start > seen.largest_wal / 2 + WAL_PER_SECOND * (now - began)
