"""Waiting in tests: for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_AGAIN_SECONDS = 0.002
_AT_MOST_SECONDS = 0.05


def eventually(
    holds: Callable[[], object], message: str, seconds: float = 180, *, log: Callable[[], str] = lambda: ""
) -> None:
    """Waits until ``holds`` returns something true; after ``seconds`` AssertionError with ``message`` and ``log``.

    Who waits for what comes loses nothing by a long deadline: a machine may be busy with something else.
    """
    deadline = time.monotonic() + seconds
    pause = _LOOK_AGAIN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{message}: not within {seconds:.0f} s\n{log()}"
        time.sleep(pause)
        pause = min(2 * pause, _AT_MOST_SECONDS)
