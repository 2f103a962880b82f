"""The CronJob's program: reads a plan and its bindings, runs it, tells JSON lines on stderr and a summary to Kubernetes.

Exit codes: 0 fine, or waiting for an approval (no retry helps); 1 usage or bad configuration (the Job fails at once);
2 work left over, not ready, interrupted or an unforeseen error; 3 a database is unreachable.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TextIO
from uuid import UUID, uuid4

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.plan_document import Task
from tenant_retention.domain.ports.requests import SoughtSubject
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.plans import load_plan
from tenant_retention.enforcement.results import SUMMARY_BYTES, Outcome, outcome_of_error, summarize
from tenant_retention.enforcement.world import World

TERMINATION_LOG = Path("/dev/termination-log")
_SHORTENED = 600


class JsonJournal:
    """One JSON object a line: time, level, event, run id and the event's facts."""

    def __init__(self, stream: TextIO, run_id: UUID, now: Callable[[], datetime]) -> None:
        self._stream = stream
        self._run_id = run_id
        self._now = now

    def tell(self, event: str, **facts: str | int | float | None) -> None:
        """Writes one line, at once."""
        level = "warning" if event.endswith("failed") else "info"
        line = {"time": self._now().isoformat(timespec="milliseconds"), "level": level, "event": event}
        print(json.dumps(line | {"runId": str(self._run_id)} | facts), file=self._stream, flush=True)


class StopSignal:
    """Set by SIGTERM or SIGINT; the run ends after the batch under way, and a pause ends at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def listen(self) -> None:
        """Takes over both signals of this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def asked(self) -> bool:
        """Whether to stop."""
        return self._asked.is_set()

    def pause(self, seconds: float) -> None:
        """Waits so long, or until asked to stop."""
        self._asked.wait(seconds)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the plan that the arguments name; the exit code says how it ended (see the module)."""
    options = _options(arguments)
    # Libraries warn with URLs, and a URL holds an object's key (X6): only this program's own journal speaks.
    logging.getLogger().addHandler(logging.NullHandler())
    run_id = uuid4()
    journal = JsonJournal(sys.stderr, run_id, _utc_now)
    stop = StopSignal()
    stop.listen()
    world = World(_utc_now, time.monotonic, stop.pause, stop.asked, journal)
    try:
        summary, outcome = _run(options.plan, run_id, world)
    except RetentionError as error:
        outcome = outcome_of_error(error)
        journal.tell("run.failed", outcome=outcome.value, reason=error.reason, message=error.message)
        summary = _failure(run_id, outcome, error.reason, error.message)
    except Exception as error:  # noqa: BLE001 - the last edge: an unforeseen message may hold row values (X6)
        outcome = Outcome.INCOMPLETE
        journal.tell(
            "run.failed", outcome=outcome.value, reason="Unforeseen", error=type(error).__name__, at=_place(error)
        )
        summary = _failure(run_id, outcome, "Unforeseen", f"{type(error).__name__} at {_place(error)}")
    _tell_kubernetes(options.termination_log, summary, journal)
    return outcome.exit_code()


def _run(path: Path, run_id: UUID, world: World) -> tuple[str, Outcome]:
    plan = load_plan(path)
    if plan.task is Task.BACKUP:
        # Imported here: compression and ciphers, which a night's removal never needs.
        from tenant_retention.enforcement.backing_up import back_up
        from tenant_retention.enforcement.backup_results import summarize_backup
        from tenant_retention.enforcement.opening_backups import open_backup_stores

        with open_backup_stores(plan, path.parent) as backups:
            made = back_up(plan, backups, run_id, world)
        return summarize_backup(made), made.outcome
    sought: tuple[SoughtSubject, ...] = ()
    if plan.subjects:
        # Imported here: a night looks for nobody.
        from tenant_retention.enforcement.subject_files import sought_by

        sought = sought_by(plan, path.parent)
    with open_stores(plan, path.parent) as stores:
        result = expire(plan, stores, run_id, world, sought)
    return summarize(result), result.outcome


class _Parser(argparse.ArgumentParser):
    """argparse says 2 for bad usage; here that is 1, because no retry helps."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Tells the usage and ends."""
        self.print_usage(sys.stderr)
        self.exit(Outcome.INVALID.exit_code(), f"{self.prog}: {message}\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m tenant_retention.enforcement", description="Runs one retention plan.")
    parser.add_argument("--plan", type=Path, required=True, help="the plan document (JSON, or YAML by its suffix)")
    parser.add_argument(
        "--termination-log",
        type=Path,
        default=TERMINATION_LOG,
        help="where the summary goes if it exists (%(default)s)",
    )
    return parser.parse_args(arguments)


def _failure(run_id: UUID, outcome: Outcome, reason: str, message: str) -> str:
    content = {"version": 1, "runId": str(run_id), "outcome": outcome.value, "reason": reason}
    text = json.dumps(content | {"message": message})
    if len(text) > SUMMARY_BYTES:
        text = json.dumps(content | {"message": message.encode("ascii", "replace").decode()[:_SHORTENED]})
    return text


def _tell_kubernetes(path: Path, summary: str, journal: JsonJournal) -> None:
    # Outside a pod the file is not there; making one in /dev would be rude.
    if not path.exists():
        return
    try:
        path.write_text(summary, encoding="utf-8")
    except OSError as error:
        journal.tell("summary.failed", error=error.strerror)


def _place(error: BaseException) -> str:
    """File and line of the innermost frame, without any value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "unknown"


def _utc_now() -> datetime:
    return datetime.now(UTC)
