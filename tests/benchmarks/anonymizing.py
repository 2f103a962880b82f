"""Anonymization of whole months: the product, a bare INSERT..SELECT rewrite with two workers, and pganonymize, side by side."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from tenant_retention.domain.definition import AnonymizeDefinition, ColumnDefinition, RetentionDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.benchmarks.report import Comparison, Steps, timed
from tests.benchmarks.rows import Bench, Stopwatch
from tests.benchmarks.tables import births, definition, fill, month_name
from tests.stores.enforcement_archive import LiveArchive, live_archive, real_world

ROUNDS = 3
_PGANONYMIZE = "pganonymize==0.13.0"
_HASH = (
    "'hmac:' || encode(sha256(k.outer_pad || sha256(k.inner_pad ||"
    " convert_to(coalesce(nullif(regexp_replace(r.caller, '[^0-9+]', '', 'g'), ''), r.caller), 'UTF8'))), 'hex')"
)
"""The product's own hash of a phone number, so that both sides compute the same."""
_BY_HAND = (
    "CREATE TABLE {copy} (LIKE {month} INCLUDING ALL EXCLUDING INDEXES,"
    " CONSTRAINT by_hand CHECK (started_at >= {first} AND started_at < {last}))",
    "LOCK TABLE {month} IN SHARE MODE",
    "INSERT INTO {copy} (id, session_id, caller, started_at) SELECT r.id, r.session_id, {hash}, r.started_at"
    " FROM {month} AS r, retention.anonymization_key AS k",
    "ALTER TABLE {copy} ADD PRIMARY KEY (id, started_at)",
    "CREATE INDEX ON {copy} (started_at)",
    "CREATE INDEX ON {copy} (session_id)",
    "ALTER TABLE public.calls DETACH PARTITION {month}",
    "DROP TABLE {month}",
    "ALTER TABLE {copy} RENAME TO {bare}",
    "ALTER TABLE public.calls ATTACH PARTITION {month} FOR VALUES FROM ({first}) TO ({last})",
    "ALTER TABLE {month} DROP CONSTRAINT by_hand",
)


def anonymizing(bench: Bench, rows: int, steps: Steps, cache: Path) -> list[Comparison]:
    """Half of ``rows`` in whole months that lose their callers by Hash: medians of rounds that take turns."""
    archive = live_archive(bench.server.administrator, bench.s3, bench.directory / "anonymize", rules())
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(ROUNDS):
        turns: list[tuple[str, Callable[[], None]]] = [
            ("product, months written anew", lambda: ours.append(_product(archive))),
            ("bare INSERT..SELECT, two workers", lambda: theirs.append(_bare(archive))),
        ]
        for text, turn in turns if number % 2 == 0 else reversed(turns):
            _refill(bench, archive, rows)
            with steps.step(f"{text}, round {number + 1}"):
                turn()
    _refill(bench, archive, rows)
    with steps.step(f"{_PGANONYMIZE} on the same rows"):
        tool = _tool(cache)
        python = _pganonymize(bench, archive, tool)
    seconds = statistics.median(ours)
    return [
        Comparison("anonymize, months", "nightly run", seconds, "INSERT..SELECT x2", statistics.median(theirs), 1.2),
        Comparison("anonymize, months", "nightly run", seconds, "pganonymize 0.13", python, 0.2),
    ]


def rules() -> RetentionDefinition:
    """Calls that are kept for five years, all due months of which lose their callers."""
    made = definition("calls")
    caller = ColumnDefinition(
        name="caller", type="Text", role="PhoneNumber", anonymize=AnonymizeDefinition(method="Hash")
    )
    columns = tuple(caller if column.name == "caller" else column for column in made.tables[0].columns)
    tables = (made.tables[0].model_copy(update={"columns": columns}),)
    categories = (made.categories[0].model_copy(update={"keep": "P4Y", "anonymize_after": "P10M"}),)
    return made.model_copy(update={"tables": tables, "categories": categories})


def _due() -> list[tuple[str, datetime]]:
    return [(month_name("calls", first), first) for first, due in births(datetime.now(UTC)) if due]


def _refill(bench: Bench, archive: LiveArchive, rows: int) -> None:
    with archive.owner() as owner:
        owner.execute("TRUNCATE public.calls")
        owner.execute("DELETE FROM retention.anonymized_month")
    fill(archive, "public", "calls", rows, due_only=True)
    bench.settle(archive)


def _product(archive: LiveArchive) -> float:
    """Seconds from the first statement that anonymizes to the last; counting before and after is not compared."""
    plan = archive.plan(Mode.ENFORCE, ("calls",)).model_copy(update={"buckets": ()})
    with open_stores(plan, archive.directory) as stores:
        watch = Stopwatch(stores.databases["Analytical"], prefixes=("rewrite_", "anonymize_range"))
        result = expire(plan, Stores({"Analytical": watch}, {}), uuid4(), real_world())
    if result.outcome is not Outcome.SUCCEEDED:
        raise RuntimeError(f"the run ended as {result.outcome}: {result.stores}")
    return watch.last - watch.first


def _bare(archive: LiveArchive) -> float:
    """The same rows and values, indexes and exchange, by hand: two sessions, a month each."""
    months = _due()
    with archive.owner() as owner:
        owner.execute("SELECT retention.make_anonymization_key()")

    def work(share: list[tuple[str, datetime]]) -> None:
        with archive.owner() as owner:
            for name, first in share:
                _rewrite(owner, name, first)

    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, (months[::2], months[1::2])))

    return timed(both)


def _rewrite(owner: psycopg.Connection[Any], name: str, first: datetime) -> None:
    """One month, as somebody would do it who knows that nobody writes to it."""
    last = (first + timedelta(days=31)).replace(day=1)
    names: dict[str, sql.Composable] = {
        "month": sql.Identifier("public", name),
        "copy": sql.Identifier("public", f"{name}_by_hand"),
        "bare": sql.Identifier(name),
        "first": sql.Literal(first),
        "last": sql.Literal(last),
        "hash": sql.SQL(_HASH),
    }
    with owner.transaction():
        for statement in _BY_HAND:
            owner.execute(sql.SQL(statement).format(**names))


def _tool(cache: Path) -> Path:
    """pganonymize in an environment of its own, from the package registry, kept for the next time."""
    place = cache / "pganonymize-0.13.0"
    program = place / "bin" / "pganonymize"
    if not program.exists():
        venv.create(place, with_pip=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", _PGANONYMIZE], check=True)
    return program


def _pganonymize(bench: Bench, archive: LiveArchive, program: Path) -> float:
    """Seconds that it takes for the same rows; a plain md5 there, since it has no keyed hash."""
    limit = max(first for _, first in _due()) + timedelta(days=31)
    schema = bench.directory / "pganonymize.json"
    fields = [{"caller": {"provider": {"name": "md5"}}}]
    rule = {"primary_key": "id", "fields": fields, "search": f"started_at < '{limit.replace(day=1).isoformat()}'"}
    # YAML is a superset of JSON.
    schema.write_text(json.dumps({"tables": [{"calls": rule}]}))
    server = bench.server.superuser
    # Not as an argument, which everybody on the machine reads; an empty one of its own hides PGPASSWORD.
    passwords = bench.directory / "pgpass"
    passwords.touch(0o600)
    passwords.write_text(f"*:*:*:*:{server.password}\n")
    environment = {
        **os.environ,
        "PGPASSFILE": str(passwords),
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(server.ca_file),
    }
    command = [str(program), "--schema", str(schema), "--dbname", archive.identity.database(), "--user", server.user]
    command += ["--host", server.host, "--port", str(server.port)]
    return timed(lambda: subprocess.run(command, check=True, env=environment, stdout=sys.stderr))
