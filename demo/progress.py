"""Lines that say what the demo waits for, how many of how many, and for how long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from demo.kubectl import TOLD_EVERY_SECONDS


def tell_progress(what: str, futures: Sequence[Future[Any]]) -> None:
    """Returns when all have ended, well or not; until then a line whenever one ends, and every ten seconds."""
    began = time.monotonic()
    left = set(futures)
    while left:
        _, left = wait(left, timeout=TOLD_EVERY_SECONDS, return_when=FIRST_COMPLETED)
        done = len(futures) - len(left)
        print(f"        {what}: {done} of {len(futures)} done, {time.monotonic() - began:.0f} s", flush=True)
