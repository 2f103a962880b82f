"""An application that writes single rows until its stdin ends, then prints how long each took: ``... inserter BINDING``.

A process of its own: in the engine's process both would wait for one interpreter, and that is not what is measured.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.enforcement.opening import server_access
from tests.stores.servers.postgres import connect_as

PACE_SECONDS = 0.002
"""An application's pace, not a flood: 500 rows a second at most."""


def main() -> None:
    """Says ``ready`` when connected, writes rows, prints the latencies in seconds as JSON."""
    latencies = []
    with connect_as(server_access(read_postgres_binding(Path(sys.argv[1])))) as connection:
        number = -time.time_ns()
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], PACE_SECONDS)[0]:
            number += 1
            started = time.perf_counter()
            connection.execute(
                "INSERT INTO public.cases (id, session_id, started_at, caller) VALUES (%s, 's', now(), '+47')", [number]
            )
            latencies.append(time.perf_counter() - started)
    print(json.dumps(latencies), flush=True)


if __name__ == "__main__":
    main()
