"""PostgreSQL: whole months against bare DROP, rows inside months against DELETE + VACUUM and a SKIP LOCKED loop, inserts meanwhile."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.benchmarks.report import Comparison, Steps, timed
from tests.benchmarks.tables import bare_copy, bare_months, births, definition, fill, month_name, old_months
from tests.stores.enforcement_archive import LiveArchive, live_archive, real_world
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.servers.s3 import S3Server

IDLE_SECONDS = 5.0
"""The first idle time; later ones last as long as the run before."""
ROUNDS = 3
"""How often the two that vary most are repeated (whole months, inserts)."""
_ROOT = Path(__file__).resolve().parents[2]
SKIP_LOCKED_BATCH = 5_000
"""The best of 1,000, 5,000 and 20,000 (RETENTION.md section 2)."""


@dataclass
class Stopwatch:
    """Passes calls on to a database and keeps when the first one that removes (``prefixes``) began, and when the last one ended."""

    inner: Any
    first: float = 0.0
    last: float = 0.0
    prefixes: tuple[str, ...] = ("expire_",)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            answer = getattr(self.inner, name)(*arguments, **named)
            if name.startswith(self.prefixes):
                self.first = self.first or began
                self.last = time.perf_counter()
            return answer

        return call


@dataclass(frozen=True)
class RunTime:
    """Seconds of a whole run, counting before and after included, and of its removing statements alone."""

    whole: float
    removing: float


def run_category(archive: LiveArchive, category: str) -> RunTime:
    """One run of the product on one category, from its first statement to its last."""
    plan = archive.plan(Mode.ENFORCE, (category,)).model_copy(update={"buckets": ()})
    with open_stores(plan, archive.directory) as stores:
        watch = Stopwatch(stores.databases["Analytical"])
        started = time.perf_counter()
        result = expire(plan, Stores({"Analytical": watch}, {}), uuid4(), real_world())
        seconds = time.perf_counter() - started
    if result.outcome is not Outcome.SUCCEEDED:
        raise RuntimeError(f"the run of {category} ended as {result.outcome}: {result.stores}")
    return RunTime(seconds, watch.last - watch.first)


def whole_months(bench: Bench, rows: int, steps: Steps) -> list[Comparison]:
    """Half of ``rows`` in whole months: truncated within ``back``, detached and dropped beyond it, and bare DROP.

    All three in turn, several rounds of freshly filled months, in which each has a turn to be the first: what the disk and
    the other programs of the machine do in one moment must not be what is compared. The medians count.
    """
    calls, ancient = bench.tenant("calls"), bench.tenant("ancient")
    bare_copy(calls, "calls")
    due = [month_name("calls", first) for first, is_due in births(datetime.now(UTC)) if is_due]
    theirs: list[float] = []
    truncated: list[RunTime] = []
    dropped: list[RunTime] = []

    def drop() -> None:
        with bench.superuser(calls) as bare:
            # As in the product's session, whose first call is not timed either.
            bare.execute("SELECT 1")
            theirs.append(
                timed(
                    lambda: [bare.execute(sql.SQL("DROP TABLE bare.{}").format(sql.Identifier(name))) for name in due]
                )
            )

    turns = [
        ("bare DROP of the due months", drop),
        ("product, months within back", lambda: truncated.append(run_category(calls, "calls"))),
        ("product, months beyond back", lambda: dropped.append(run_category(ancient, "ancient"))),
    ]
    for number in range(ROUNDS):
        with steps.step(f"fill two tenants and a bare copy with {rows:,} rows each"):
            bare_months(calls, "calls")
            old_months(ancient, "ancient")
            for archive, schema, table in (
                (calls, "public", "calls"),
                (calls, "bare", "calls"),
                (ancient, "public", "ancient"),
            ):
                fill(archive, schema, table, rows, due_only=number > 0)
        bench.settle(calls)
        bench.settle(ancient)
        for text, turn in turns[number % 3 :] + turns[: number % 3]:
            with steps.step(text):
                turn()
    text = f"{rows // 2:,} of {rows:,} rows, whole months, median of {ROUNDS}"
    bare = statistics.median(theirs)

    def line(ours: str, seconds: list[float]) -> Comparison:
        return Comparison(text, ours, statistics.median(seconds), "bare DROP", bare, 1.3)

    return [
        line("TRUNCATEs, first to last", [one.removing for one in truncated]),
        line("DETACH + DROPs, first to last", [one.removing for one in dropped]),
        line("whole run with TRUNCATE, counts and evidence", [one.whole for one in truncated]),
        line("whole run with DETACH, counts and evidence", [one.whole for one in dropped]),
    ]


def rows_inside(bench: Bench, rows: int, steps: Steps) -> list[Comparison]:
    """Every second row of every month: nothing can go as a whole."""
    cases = bench.tenant("cases")
    with steps.step(f"fill a tenant and a bare copy with {rows:,} rows each"):
        bare_copy(cases, "cases")
        fill(cases, "public", "cases", rows, clock="closed_at")
        fill(cases, "bare", "cases", rows, clock="closed_at")
    bench.settle(cases)
    with bench.superuser(cases) as bare:

        def delete() -> None:
            bare.execute("DELETE FROM bare.cases WHERE closed_at <= now() - interval '10 months'")
            bare.execute("VACUUM bare.cases")

        with steps.step("bare DELETE + VACUUM"):
            one_delete = timed(delete)
        with steps.step("product, keyset ranges"):
            ours = run_category(cases, "cases")
        with steps.step("the same rows again for the loop"):
            bare.execute("TRUNCATE bare.cases")
            fill(cases, "bare", "cases", rows, clock="closed_at")
        bench.settle(cases)

        def loop() -> None:
            while bare.execute(
                "DELETE FROM bare.cases WHERE id IN (SELECT id FROM bare.cases"
                " WHERE closed_at <= now() - interval '10 months' LIMIT %s FOR UPDATE SKIP LOCKED)",
                [SKIP_LOCKED_BATCH],
            ).rowcount:
                continue

        with steps.step(f"loop of LIMIT {SKIP_LOCKED_BATCH:,} FOR UPDATE SKIP LOCKED"):
            looped = timed(loop)
    text = f"{rows // 2:,} of {rows:,} rows, inside months"
    return [
        Comparison(text, "whole run, keyset ranges", ours.whole, "DELETE + VACUUM", one_delete, 1.5),
        Comparison(
            text, "whole run, keyset ranges", ours.whole, f"LIMIT {SKIP_LOCKED_BATCH:,} SKIP LOCKED", looped, 0.2
        ),
    ]


def inserts_meanwhile(bench: Bench, rows: int, steps: Steps) -> list[Comparison]:
    """The 99th percentile of one application's single-row inserts, idle and while a run deletes from the same table.

    One run has some hundred inserts, of which the 99th percentile is a handful: several rounds, idle and busy in turn, each
    idle time as long as the run after it is expected to last, at the same pace. The medians of both percentiles count.
    """
    cases = bench.tenant("cases")
    idle: list[float] = []
    busy: list[float] = []
    seconds = IDLE_SECONDS
    inserts = 0
    for _ in range(ROUNDS):
        with steps.step(f"fill a tenant with {rows:,} rows"):
            with cases.owner() as connection:
                connection.execute("TRUNCATE public.cases")
            fill(cases, "public", "cases", rows, clock="closed_at")
        bench.settle(cases)
        with steps.step("inserts, idle"), _inserting(cases) as quiet:
            time.sleep(seconds)
        with steps.step("inserts during a run"), _inserting(cases) as disturbed:
            seconds = run_category(cases, "cases").whole
        idle.append(quiet.p99())
        busy.append(disturbed.p99())
        inserts += len(disturbed.latencies)
    text = f"p99 of {inserts:,} inserts during {ROUNDS} runs, median"
    return [Comparison(text, "during the run", statistics.median(busy), "idle", statistics.median(idle), 2.0)]


@dataclass
class Bench:
    """The servers, and one tenant for each kind of table; made when first asked for."""

    server: PostgresProcess
    s3: S3Server
    directory: Path

    def __post_init__(self) -> None:
        self._tenants: dict[str, LiveArchive] = {}

    def tenant(self, kind: str) -> LiveArchive:
        """The tenant with this kind of table."""
        if kind not in self._tenants:
            made = live_archive(self.server.administrator, self.s3, self.directory / kind, definition(kind))
            self._tenants[kind] = made
        return self._tenants[kind]

    def superuser(self, archive: LiveArchive) -> psycopg.Connection[tuple[object, ...]]:
        """A session for the other side of a comparison: nothing stands in its way."""
        return connect_as(replace(self.server.superuser, database=archive.identity.database()))

    def settle(self, archive: LiveArchive) -> None:
        """Statistics and a checkpoint, so that neither side pays for the filling."""
        with self.superuser(archive) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


class _Inserter:
    """The application in a process of its own, and how long each of its inserts took."""

    def __init__(self, archive: LiveArchive) -> None:
        self.latencies: list[float] = []
        self._binding = archive.directory / "acme-analytical-app"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begins; returns when it is connected."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.inserter", str(self._binding)],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": f"{_ROOT / 'operator'}:{_ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout is None or self._process.stdout.readline().strip() != "ready":
            raise RuntimeError("the inserting application did not connect")

    def finish(self) -> None:
        """Ends."""
        if self._process is None:
            raise RuntimeError("the inserting application was never started")
        output, _ = self._process.communicate(timeout=60)
        self.latencies = json.loads(output)

    def p99(self) -> float:
        """Seconds that 99 of 100 inserts stay below."""
        return statistics.quantiles(self.latencies, n=100)[98]


@contextmanager
def _inserting(archive: LiveArchive) -> Iterator[_Inserter]:
    """The application writes for as long as the block lasts."""
    inserter = _Inserter(archive)
    inserter.start()
    yield inserter
    inserter.finish()
