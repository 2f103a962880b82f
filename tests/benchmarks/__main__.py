"""``make bench``: the product and the bare tools side by side in one run, as a table. Nothing here is a test.

``python -m tests.benchmarks [--rows N] [--objects N] [months|rows|inserts|anonymize|archive|objects|requests|units|foreseen ...]``
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.benchmarks.anonymizing import anonymizing
from tests.benchmarks.archiving import archiving
from tests.benchmarks.foreseen import SHARES, foreseen
from tests.benchmarks.machine import machine
from tests.benchmarks.objects import objects
from tests.benchmarks.report import Comparison, Steps, print_table
from tests.benchmarks.requests import requests
from tests.benchmarks.rows import ROUNDS, Bench, inserts_meanwhile, rows_inside, whole_months
from tests.benchmarks.units import units
from tests.stores.enforcement_archive import live_archive
from tests.stores.servers.postgres import running_postgres
from tests.stores.servers.s3 import running_seaweedfs
from tests.support.enforcement import archive as contact_centre

DURABLE = """
fsync = on
full_page_writes = on
autovacuum_naptime = '1min'
synchronous_commit = on
wal_level = replica
shared_buffers = '128MB'
max_wal_size = '1GB'
log_statement = 'none'
jit = on
"""
"""As customers run it: a commit is on disk when it returns, for both sides of every comparison."""
STEPS = {
    "months": 4 * ROUNDS,
    "rows": 5,
    "inserts": 3 * ROUNDS,
    "anonymize": 2 * ROUNDS + 1,
    "archive": 3,
    "objects": 5,
    "requests": 4,
    "units": 6,
    "foreseen": 4 * len(SHARES),
}


def main() -> None:
    """Starts PostgreSQL 17 and SeaweedFS, measures, prints the table and removes everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*STEPS, []], help="what to measure (all)")
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of a table, half of them due (%(default)s)")
    parser.add_argument("--objects", type=int, default=20_000, help="objects to remove (%(default)s)")
    parser.add_argument("--cache", type=Path, default=_cache(), help="where s5cmd is built (%(default)s)")
    options = parser.parse_args()
    names = options.names or list(STEPS)
    steps = Steps(sum(STEPS[name] for name in names))
    comparisons: list[Comparison] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        running_postgres(17, DURABLE, on_disk=True) as server,
        running_seaweedfs() as s3,
    ):
        bench = Bench(server, s3, Path(directory))
        for name, measure in (("months", whole_months), ("rows", rows_inside), ("inserts", inserts_meanwhile)):
            if name in names:
                comparisons += measure(bench, options.rows, steps)
        if "anonymize" in names:
            comparisons += anonymizing(bench, options.rows, steps, options.cache)
        if "archive" in names:
            comparisons += archiving(bench, options.rows, steps)
        if "objects" in names:
            acme = live_archive(server.administrator, s3, Path(directory, "acme"), contact_centre(back="P3M"))
            comparisons += objects(acme, options.objects, steps, options.cache)
        if "requests" in names:
            comparisons += requests(bench, options.rows, steps)
        if "units" in names:
            comparisons += units(bench, steps)
        if "foreseen" in names:
            comparisons += foreseen(bench, options.rows, steps)
    print(machine(Path(tempfile.gettempdir())))
    print_table(comparisons)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "tenant-retention-operator", "bench")


if __name__ == "__main__":
    main()
