"""Runs the engine's program in a process of its own and kills it at one effect point: ``python -m tests.stores.enforcement_killer PLAN``.

Reads lines ``<call number> <before|after>`` (or ``never``) from stdin; for each it forks a child that runs the real program on
the plan and sends itself SIGKILL right before or after that call on a database or bucket. Answers ``<exit status> <calls>``.
The hook lives here, around the ports; the product knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.enforcement import program
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.world import Stores


class Deadly:
    """Passes calls on to a store; dies at the one it was told."""

    def __init__(self, inner: object, count: Callable[[], int], number: int | None, when: str) -> None:
        self._inner, self._count, self._number, self._when = inner, count, number, when

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            now = self._count() == self._number
            if now and self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = getattr(self._inner, name)(*arguments)
            if now:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


def run_child(plan: Path, number: int | None, when: str, calls: int) -> None:
    """The child's whole life."""
    seen = 0

    def count() -> int:
        nonlocal seen
        seen += 1
        os.write(calls, b".")
        return seen

    @contextmanager
    def deadly(document: PlanDocument, base: Path) -> Iterator[Stores]:
        with open_stores(document, base) as stores:
            yield Stores(
                {name: Deadly(store, count, number, when) for name, store in stores.databases.items()},
                {name: Deadly(store, count, number, when) for name, store in stores.buckets.items()},
            )

    program.open_stores = deadly  # type: ignore[attr-defined]
    os._exit(program.main(["--plan", str(plan), "--termination-log", "/nowhere"]))


def main() -> None:
    """Serves lines until stdin ends."""
    plan = Path(sys.argv[1])
    for line in sys.stdin:
        words = line.split()
        number, when = (None, "never") if words == ["never"] else (int(words[0]), words[1])
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            run_child(plan, number, when, writing)
        os.close(writing)
        calls = 0
        while chunk := os.read(reading, 4096):
            calls += len(chunk)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), calls, flush=True)


if __name__ == "__main__":
    main()
