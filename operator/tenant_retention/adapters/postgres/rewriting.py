"""Months that are written anew: copied by two sessions side by side, exchanged one after the other (RETENTION.md section 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.anonymizing import AnonymizeStep

Call = Callable[..., Any]
"""One function of the database in one transaction of one session: its name and arguments."""
BLOCKS_AT_ONCE = 4_096
"""32 MiB of a month a transaction: a second or less, so that vacuum's horizon and the write-ahead log move on."""
_SWAP_ATTEMPTS = 10
"""Of half a second each: somebody who reads a month for longer keeps it from being exchanged, and it is updated instead."""


class MonthRewriting:
    """One call of ``rewrite_months``. ``call``: the run's own session; ``helper``: opens another one, with how to close it."""

    def __init__(self, run_id: UUID, call: Call, helper: Callable[[], tuple[Call, Callable[[], None]]]) -> None:
        self._run_id = run_id
        self._call = call
        self._helper = helper

    def months(self, steps: Sequence[AnonymizeStep]) -> tuple[int | None, ...]:
        """See ``AnonymizingDatabase.rewrite_months``."""
        begun = {step.partition: self._call("rewrite_begin", *self._month(step)) for step in steps}
        blocks = {
            month: found["blocks"]
            for month, found in begun.items()
            if found is not None and found["blocks"] is not None
        }
        self._copy_all(blocks)
        done = tuple(self._exchange(step) if begun[step.partition] is not None else None for step in steps)
        if any(rows is None and step.partition in blocks for rows, step in zip(done, steps, strict=True)):
            self._call("discard_rewrites", self._run_id)
        return done

    def _month(self, step: AnonymizeStep) -> tuple[object, ...]:
        return self._run_id, step.category, step.table, step.partition

    def _copy_all(self, blocks: dict[str, int]) -> None:
        waiting = deque(blocks.items())
        if len(waiting) < 2:
            self._copy(self._call, waiting)
            return
        with ThreadPoolExecutor(max_workers=1) as pool:
            beside = pool.submit(self._copy_beside, waiting)
            try:
                self._copy(self._call, waiting)
            except BaseException:
                # A kill, too: the pool waits for the one beside, which must not begin another block.
                waiting.clear()
                raise
            beside.result()

    def _copy_beside(self, waiting: deque[tuple[str, int]]) -> None:
        call, close = self._helper()
        try:
            self._copy(call, waiting)
        finally:
            close()

    def _copy(self, call: Call, waiting: deque[tuple[str, int]]) -> None:
        """Takes months from the front as long as there are any: the other session does the same."""
        while waiting:
            try:
                month, blocks = waiting.popleft()
            except IndexError:
                return
            for begin in range(0, blocks, BLOCKS_AT_ONCE):
                call("rewrite_copy", self._run_id, month, begin, min(begin + BLOCKS_AT_ONCE, blocks))
            call("rewrite_index", self._run_id, month)

    def _exchange(self, step: AnonymizeStep) -> int | None:
        for _ in range(_SWAP_ATTEMPTS):
            try:
                rows: int | None = self._call("rewrite_swap", *self._month(step))
            except Unavailable as error:
                if error.reason != "LockTimeout":
                    raise
            else:
                return rows
        return None
