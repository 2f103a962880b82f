"""Between two batches a run looks at what the server bears: it waits for standbys and the write-ahead log, and rests while an
application writes (RETENTION 2)."""

from __future__ import annotations

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.enforcement import EnforcementDatabase, Pressure
from tenant_retention.enforcement.persistence import Persistence
from tenant_retention.enforcement.world import World

LARGEST_LAG = 64 * 2**20
"""Bytes that a standby may be behind."""
WAL_PER_SECOND = 32 * 2**20
"""Bytes that the server may write on average, whoever writes them; half of ``max_wal_size`` may come at once."""
REST = 40.0
"""How long to rest beside others who write, in lengths of the batch before. About a quarter of the single-row inserts that meet a
batch take more than twice their time (measured on two processors); so many rests keep that under one in a hundred."""
LONGEST_BATCH = 0.3
"""Seconds of a batch that are rested for: what it took longer it may have waited itself."""
LONGEST_REST = 300.0
"""Seconds of rests in one run in all: an application that never pauses must not keep what has to be gone by its max (M10)."""
LONGEST_WAIT = 600.0
"""Seconds of one run in all that it waits for the server: nor must a standby that is stuck."""
_PAUSE = 1.0
_OWN = 1
"""Transactions that write in one batch of ours."""


class Pacer:
    """Waits where it is called, never inside a transaction. That it cannot look stops nothing: it is told, and this run looks no
    more, for every look in vain takes as long as a server's restart."""

    def __init__(self, database: EnforcementDatabase, persistence: Persistence, world: World) -> None:
        self._database = database
        self._persistence = persistence
        self._world = world
        self._first: tuple[float, int] | None = None
        self._transactions: int | None = None
        self._told: set[tuple[str, str]] = set()
        self._blind = False
        self._waited = 0.0
        self._rested = 0.0

    def pause(self, worked: float = 0.0) -> None:
        """Returns when the server bears more, or when this run has waited long enough. Raises Interrupted if asked to stop.

        ``worked``: seconds that the batch of rows before took, 0 for any other work.
        """
        seen = self._look()
        if self._others_wrote(seen):
            self._rested += self._wait("OthersWrite", REST * min(worked, LONGEST_BATCH), LONGEST_REST - self._rested)
        while cause := self._cause(seen):
            waited = self._wait(cause, _PAUSE, LONGEST_WAIT - self._waited)
            if not waited:
                return
            self._waited += waited
            seen = self._look()

    def _wait(self, cause: str, seconds: float, left: float) -> float:
        """Waits as far as the run has so many seconds ``left`` for it; how long it did."""
        seconds = min(seconds, left)
        if seconds <= 0:
            return 0.0
        self._tell_once("pacing", cause)
        self._world.pause(seconds)
        if seconds >= left:
            self._tell_once("pacing.ended", cause)
        self._persistence.go_on()
        return seconds

    def _tell_once(self, event: str, cause: str) -> None:
        if (event, cause) not in self._told:
            self._told.add((event, cause))
            self._world.journal.tell(event, cause=cause)

    def _look(self) -> Pressure | None:
        if self._blind:
            return None
        try:
            return self._persistence.patiently(self._database.pressure)
        except RetentionError as error:
            self._blind = True
            self._world.journal.tell("pacing.failed", reason=error.reason)
            return None

    def _others_wrote(self, seen: Pressure | None) -> bool:
        """Whether more transactions wrote since the last look than our batch."""
        before, self._transactions = self._transactions, seen.transactions if seen is not None else None
        return seen is not None and before is not None and seen.transactions - before > _OWN

    def _cause(self, seen: Pressure | None) -> str | None:
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
