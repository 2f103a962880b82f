"""An application that writes single rows until its stdin ends, then prints how long each took: ``... inserter BINDING``.

A process of its own: in the engine's process both would wait for one interpreter, and that is not what is measured.
"""

from __future__ import annotations

import itertools
import json
import select
import sys
import time
from pathlib import Path
from typing import Any

from psycopg import Connection

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.enforcement.opening import server_access
from tests.stores.servers.postgres import connect_as

PACE_SECONDS = 0.002
"""An application's pace, not a flood: 500 rows a second at most."""
WARM_UP = 100
"""Rows before the first that counts: an application has been connected for long, its session's caches are full."""


def main() -> None:
    """Says ``ready`` when connected, writes rows, prints the latencies in seconds as JSON."""
    latencies = []
    with connect_as(server_access(read_postgres_binding(Path(sys.argv[1])))) as connection:
        numbers = itertools.count(-time.time_ns())
        for number in itertools.islice(numbers, WARM_UP):
            _insert(connection, number)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], PACE_SECONDS)[0]:
            started = time.perf_counter()
            _insert(connection, next(numbers))
            latencies.append(time.perf_counter() - started)
    print(json.dumps(latencies), flush=True)


def _insert(connection: Connection[Any], number: int) -> None:
    connection.execute(
        "INSERT INTO public.cases (id, session_id, started_at, caller) VALUES (%s, 's', now(), '+47')", [number]
    )


if __name__ == "__main__":
    main()
