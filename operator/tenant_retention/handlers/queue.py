"""The work queue between the watches and the reconcile: one key at a time, many keys at once, backoff on failure.

A key that comes in while it is being worked on is worked on once more afterwards: nothing is lost, nothing runs twice at
once (the per-object lock), and a storm of child events is one reconcile.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from tenant_retention.domain.errors import RetentionError

_LOG = logging.getLogger(__name__)
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 120.0
REST = 9.0
"""A routine look comes after so many times what the last one took: hundreds of databases of one policy keep nobody busy (D4)."""
SLOW_SECONDS = 5.0
"""A reconcile that takes less needs no rest."""
STUCK_SECONDS = 900.0
"""A reconcile that takes longer than this has lost its way: the process is restarted."""


@dataclass(frozen=True, order=True)
class Key:
    """One object to reconcile. ``namespace`` is empty for cluster-wide kinds."""

    kind: str
    namespace: str
    name: str


class WorkQueue:
    """Keys with their due times. ``clock``: monotonic seconds; ``spread``: a factor from 0.5 to 1.5 for each backoff."""

    def __init__(self, clock: Callable[[], float], spread: Callable[[], float] = lambda: 1.0) -> None:
        self._clock = clock
        self._spread = spread
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._working: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._rested: dict[Key, float] = {}
        self._wake = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Asks for ``key`` to be reconciled in ``delay`` seconds, or sooner if that was asked for already."""
        when = self._clock() + delay
        known = self._due.get(key)
        if known is not None and known <= when:
            return
        self._due[key] = when
        heapq.heappush(self._heap, (when, key))
        self._wake.set()

    def add_routine(self, key: Key, delay: float) -> None:
        """As ``add``, where nothing is known to have changed: a key whose last reconcile took long rests first."""
        self.add(key, max(delay, self._rested.get(key, 0.0) - self._clock()))

    def depth(self) -> int:
        """How many keys wait or are being worked on."""
        return len(self._due) + len(self._working)

    def stuck_seconds(self) -> float:
        """For how long the oldest reconcile under way has been running; 0 without one."""
        return max((self._clock() - since for since in self._working.values()), default=0.0)

    async def run(self, workers: int, reconcile: Callable[[Key], Awaitable[timedelta | None]]) -> None:
        """Works until cancelled. ``reconcile`` returns when it wants to look again; what it raises is logged, backed off."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(reconcile))

    async def _work(self, reconcile: Callable[[Key], Awaitable[timedelta | None]]) -> None:
        while True:
            key = await self._next()
            self._working[key] = self._clock()
            try:
                again = await reconcile(key)
            except Exception as problem:  # noqa: BLE001  # the edge: whatever went wrong is told and tried again
                self._back_off(key, problem)
            else:
                self._failures.pop(key, None)
                if again is not None:
                    self.add(key, again.total_seconds())
            finally:
                self._rest(key, self._clock() - self._working.pop(key))
                self._wake.set()

    def _rest(self, key: Key, took: float) -> None:
        self._rested.pop(key, None)
        if took >= SLOW_SECONDS:
            now = self._clock()
            # Those of objects that are gone end here, too.
            self._rested = {each: until for each, until in self._rested.items() if until > now}
            self._rested[key] = now + REST * took

    def _back_off(self, key: Key, problem: Exception) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(failures, 10)) * self._spread()
        _LOG.error(
            "a reconcile failed and is tried again",
            # What the domain says needs no traceback; anything else is a mistake of ours.
            exc_info=None if isinstance(problem, RetentionError) else problem,
            extra={
                "object": key.kind,
                "namespace": key.namespace,
                "name_": key.name,
                "problem": str(problem),
                "retry_in_seconds": round(delay, 1),
            },
        )
        self.add(key, delay)

    async def _next(self) -> Key:
        while True:
            self._wake.clear()
            now = self._clock()
            waiting: list[tuple[float, Key]] = []
            found: Key | None = None
            while self._heap and self._heap[0][0] <= now and found is None:
                when, key = heapq.heappop(self._heap)
                if self._due.get(key) != when:
                    continue
                if key in self._working:
                    waiting.append((when, key))
                    continue
                del self._due[key]
                found = key
            for item in waiting:
                heapq.heappush(self._heap, item)
            if found is not None:
                return found
            await self._sleep_until_due(now, skip=bool(waiting))

    async def _sleep_until_due(self, now: float, *, skip: bool) -> None:
        """Sleeps until the next key is due or something changed. ``skip``: the due ones wait for their own worker."""
        later = [when for when, _ in self._heap if when > now]
        timeout = min(later) - now if later else None
        if not skip and timeout is None and self._heap:
            timeout = 0.0
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
