"""Runs the engine's program in a process of its own and kills it at one effect point: ``python -m tests.stores.enforcement_killer PLAN``.

Reads lines ``<effect number> <before|after>`` (or ``never``) from stdin; for each it forks a child that runs the real program
on the plan and sends itself SIGKILL right before or after that effect: a transaction in a database, a request to a bucket.
Answers ``<exit status> <effects>``. The hook lives here; the product knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.s3.archive import S3ArchiveBucket
from tenant_retention.adapters.s3.attempts import BucketAttempts
from tenant_retention.enforcement import program


class Deadly:
    """Counts the effects of this process and dies at the one it was told; requests to a bucket come from many threads."""

    def __init__(self, number: int | None, when: str, calls: int) -> None:
        self._number, self._when, self._calls = number, when, calls
        self._lock = threading.Lock()
        self._seen = 0

    def __call__(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                self._seen += 1
                now = self._seen == self._number
                os.write(self._calls, b".")
            if now and self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = effect(*arguments, **named)
            if now:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


def run_child(plan: Path, number: int | None, when: str, calls: int) -> None:
    """The child's whole life."""
    deadly = Deadly(number, when, calls)
    # One transaction, and one request: several of them lie inside one call of the engine's ports.
    PostgresEnforcementDatabase._call = deadly(PostgresEnforcementDatabase._call)  # type: ignore[method-assign]
    BucketAttempts.run = deadly(BucketAttempts.run)  # type: ignore[method-assign]
    S3ArchiveBucket.put_file = deadly(S3ArchiveBucket.put_file)  # type: ignore[method-assign]
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
