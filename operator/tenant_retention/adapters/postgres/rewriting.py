"""Months that are written anew: two sessions copy and index, the run's own begins and exchanges them (RETENTION.md section 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition
from typing import Any
from uuid import UUID

from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.anonymizing import AnonymizeStep, MonthDone

Call = Callable[..., Any]
"""One function of the database in one transaction of one session: its name and arguments."""
BLOCKS_AT_ONCE = 4_096
"""32 MiB of a month a transaction: a second or less, so that vacuum's horizon and the write-ahead log move on."""
_AHEAD = 2
"""Months that are begun before somebody copies them, so that neither session waits; not more, since each is watched meanwhile."""
_SWAP_ATTEMPTS = 10
"""Of half a second each: somebody who reads a month for longer keeps it from being exchanged, and it is updated instead."""


@dataclass
class _Month:
    """A month that was begun: ``blocks`` of it are to be copied, ``copied`` of them are."""

    step: AnonymizeStep
    blocks: int
    copied: int = 0


class MonthRewriting:
    """One call of ``rewrite_months``. ``call``: the run's own session; ``helper``: opens another one, with how to close it.

    A month is begun and exchanged by the run's own session, while the other one copies. Each of them takes the next piece of
    work that there is, 32 MiB or a month's indexes, so that both end at about the same time.
    """

    def __init__(
        self, run_id: UUID, call: Call, helper: Callable[[], tuple[Call, Callable[[], None]]], done: MonthDone
    ) -> None:
        self._run_id = run_id
        self._call = call
        self._helper = helper
        self._done = done
        self._changed = Condition()
        """Guards what follows, and tells of it."""
        self._waiting = deque[_Month]()
        self._copied = deque[_Month]()
        self._in_hand = 0
        self._over = False
        self._left_over = False

    def months(self, steps: Iterable[AnonymizeStep]) -> None:
        """See ``AnonymizingDatabase.rewrite_months``."""
        beside: Future[None] | None = None
        with ThreadPoolExecutor(max_workers=1) as pool:
            try:
                for step in steps:
                    self._begin(step)
                    if beside is None and len(self._waiting) > 1:
                        beside = pool.submit(self._assist)
                    while not self._over and (self._copied or len(self._waiting) >= _AHEAD):
                        self._lead()
                    if self._over:
                        break
                while self._is_under_way():
                    self._lead()
            finally:
                # A kill, too: the pool waits for the one beside, which must not begin another piece.
                self._end()
        if beside is not None:
            beside.result()
        if self._left_over:
            self._call("discard_rewrites", self._run_id)

    def _begin(self, step: AnonymizeStep) -> None:
        try:
            begun = self._call("rewrite_begin", *self._month(step))
        except Unavailable as error:
            if error.reason != "LockTimeout":
                raise
            # Somebody is at work on it: the others do not wait for that, and it is updated.
            begun = None
        if begun is None:
            self._done(step, None)
        elif begun["blocks"] is None:
            self._exchange(step)
        else:
            with self._changed:
                self._waiting.append(_Month(step, begun["blocks"]))
                self._changed.notify_all()

    def _month(self, step: AnonymizeStep) -> tuple[object, ...]:
        return self._run_id, step.category, step.table, step.partition

    def _lead(self) -> None:
        if self._copied:
            self._exchange(self._copied.popleft().step)
        else:
            self._work(self._call)

    def _is_under_way(self) -> bool:
        """Waits for something to do; False where nothing will come any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._copied or self._waiting or self._over or not self._in_hand)
            return not self._over and bool(self._copied or self._waiting)

    def _assist(self) -> None:
        """What the one beside does until the end; whatever stops it stops the other one too."""
        try:
            call, close = self._helper()
            try:
                while self._is_needed():
                    self._work(call)
            finally:
                close()
        finally:
            self._end()

    def _is_needed(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            return not self._over

    def _end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _work(self, call: Call) -> None:
        """One piece of the month that was begun first, if the other session did not take it meanwhile."""
        with self._changed:
            if not self._waiting:
                return
            month = self._waiting.popleft()
            self._in_hand += 1
        if month.copied < month.blocks:
            through = min(month.copied + BLOCKS_AT_ONCE, month.blocks)
            call("rewrite_copy", self._run_id, month.step.partition, month.copied, through)
            month.copied, goes_on = through, self._waiting
        else:
            call("rewrite_index", self._run_id, month.step.partition)
            goes_on = self._copied
        with self._changed:
            self._in_hand -= 1
            goes_on.appendleft(month)
            self._changed.notify_all()

    def _exchange(self, step: AnonymizeStep) -> None:
        for _ in range(_SWAP_ATTEMPTS):
            try:
                rows: int | None = self._call("rewrite_swap", *self._month(step))
            except Unavailable as error:
                if error.reason != "LockTimeout":
                    raise
            else:
                self._done(step, rows)
                return
        self._left_over = True
        self._done(step, None)
