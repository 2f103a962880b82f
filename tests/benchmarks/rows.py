"""PostgreSQL: whole months against bare DROP, rows inside months against DELETE + VACUUM and a SKIP LOCKED loop, inserts meanwhile."""

from __future__ import annotations

import statistics
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

from psycopg import sql

from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome
from tests.benchmarks.report import Comparison, Steps, timed
from tests.benchmarks.tables import bare_copy, births, fill, month_name, old_months, superuser
from tests.stores.enforcement_archive import LiveArchive, real_world
from tests.stores.servers.postgres import PostgresProcess

SKIP_LOCKED_BATCH = 5_000
"""The best of 1,000, 5,000 and 20,000 (RETENTION.md section 2)."""


def run_category(archive: LiveArchive, category: str) -> float:
    """One run of the product on one category; seconds from its first statement to its last."""
    plan = archive.plan(Mode.ENFORCE, (category,)).model_copy(update={"buckets": ()})
    with open_stores(plan, archive.directory) as stores:
        for database in stores.databases.values():
            # The connection is no statement: both sides have theirs before the clock starts.
            database.close()  # type: ignore[attr-defined]
        started = time.perf_counter()
        result = expire(plan, stores, uuid4(), real_world())
        seconds = time.perf_counter() - started
    if result.outcome is not Outcome.SUCCEEDED:
        raise RuntimeError(f"the run of {category} ended as {result.outcome}: {result.stores}")
    return seconds


def whole_months(archive: LiveArchive, server: PostgresProcess, rows: int, steps: Steps) -> list[Comparison]:
    """Half of ``rows`` in whole months: truncated within ``back``, detached and dropped beyond it, and bare DROP."""
    old_months(archive, "ancient")
    with steps.step(f"fill calls, ancient and a bare copy with {rows:,} rows each"):
        bare_copy(archive, "calls")
        for schema, table in (("public", "calls"), ("public", "ancient"), ("bare", "calls")):
            fill(archive, schema, table, rows)
    _settle(archive, server)
    due = [month_name("calls", first) for first, is_due in births(datetime.now(UTC)) if is_due]
    with superuser(archive, server.superuser) as bare:

        def drop() -> None:
            for name in due:
                bare.execute(sql.SQL("DROP TABLE bare.{}").format(sql.Identifier(name)))

        with steps.step("bare DROP of the due months"):
            theirs = timed(drop)
    with steps.step("product, months within back"):
        truncated = run_category(archive, "calls")
    with steps.step("product, months beyond back"):
        dropped = run_category(archive, "ancient")
    text = f"{rows // 2:,} of {rows:,} rows, whole months"
    return [
        Comparison(text, "TRUNCATE (within back)", truncated, "bare DROP", theirs, 1.3),
        Comparison(text, "DETACH + DROP (beyond back)", dropped, "bare DROP", theirs, 1.3),
    ]


def rows_inside(archive: LiveArchive, server: PostgresProcess, rows: int, steps: Steps) -> list[Comparison]:
    """Every second row of every month: nothing can go as a whole."""
    with steps.step(f"fill cases and two bare copies with {rows:,} rows each"):
        for copy in ("cases",):
            bare_copy(archive, copy)
        fill(archive, "public", "cases", rows, clock="closed_at")
        fill(archive, "bare", "cases", rows, clock="closed_at")
    _settle(archive, server)
    with superuser(archive, server.superuser) as bare:

        def delete() -> None:
            bare.execute("DELETE FROM bare.cases WHERE closed_at <= now() - interval '10 months'")
            bare.execute("VACUUM bare.cases")

        with steps.step("bare DELETE + VACUUM"):
            one_delete = timed(delete)
        with steps.step("product, keyset ranges"):
            ours = run_category(archive, "cases")
        with steps.step("the same rows again for the loop"):
            bare.execute("TRUNCATE bare.cases")
            fill(archive, "bare", "cases", rows, clock="closed_at")
        _settle(archive, server)

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
        Comparison(text, "keyset ranges", ours, "DELETE + VACUUM", one_delete, 1.5),
        Comparison(text, "keyset ranges", ours, f"LIMIT {SKIP_LOCKED_BATCH:,} SKIP LOCKED", looped, 0.2),
    ]


def inserts_meanwhile(archive: LiveArchive, server: PostgresProcess, rows: int, steps: Steps) -> list[Comparison]:
    """The 99th percentile of one application's single-row inserts, idle and while a run deletes from the same table."""
    with steps.step(f"fill cases with {rows:,} rows"):
        fill(archive, "public", "cases", rows, clock="closed_at")
    _settle(archive, server)
    with steps.step("inserts, idle"):
        idle = _Inserter(archive)
        idle.start()
        time.sleep(5)
        idle.finish()
    with steps.step("inserts during a run"):
        busy = _Inserter(archive)
        busy.start()
        seconds = run_category(archive, "cases")
        busy.finish()
    text = f"p99 of {len(busy.latencies):,} inserts in {seconds:.1f} s of a run"
    return [Comparison(text, "during the run", busy.p99(), "idle", idle.p99(), 2.0)]


class _Inserter:
    """Writes single rows as the application does, one commit each, and keeps how long each took."""

    def __init__(self, archive: LiveArchive) -> None:
        self.latencies: list[float] = []
        self._archive = archive
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def finish(self) -> None:
        """Ends."""
        self._ended.set()
        self._thread.join()

    def p99(self) -> float:
        """Seconds that 99 of 100 inserts stay below."""
        return statistics.quantiles(self.latencies, n=100)[98]

    def _work(self) -> None:
        with self._archive.login("app") as connection:
            number = -time.time_ns()
            while not self._ended.is_set():
                number += 1
                started = time.perf_counter()
                connection.execute(
                    "INSERT INTO public.cases (id, session_id, started_at, caller) VALUES (%s, 's', now(), '+47')",
                    [number],
                )
                self.latencies.append(time.perf_counter() - started)
                # An application's pace, not a flood: 500 a second at most.
                self._ended.wait(0.002)


def _settle(archive: LiveArchive, server: PostgresProcess) -> None:
    """Statistics and a checkpoint, so that neither side pays for the filling."""
    with superuser(archive, server.superuser) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
