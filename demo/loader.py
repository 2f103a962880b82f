"""The customer's application of the demo: writes records and objects with the app binding it was given, or counts them.

Runs in a pod of the customer's namespace: ``python3 -m demo.loader load|count --job job.json``. Uses nothing but the
binding directories, the standard library, psycopg, minio, redis and pyarrow. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import ssl
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pyarrow.parquet as pq
import redis
import urllib3
from minio import Minio
from psycopg import sql

from demo.families import (
    FILES,
    STAFF,
    Row,
    TableRows,
    cached_keys,
    identity_column,
    in_archive,
    label,
    object_prefix,
    plan,
    staff,
)

WRITERS = 8
_NAMES = uuid.UUID("6d7a1c0e-4c5b-4a57-9b0c-0d9a1f7b2e11")
_PROBES = ".tenant-retention-probe-"
"""What the operator writes for a moment, and removes, to see which key may do what: no content of the customer's."""


def connect(directory: Path) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection by the ``uri`` of the binding, unchanged."""
    return psycopg.connect((directory / "uri").read_text())


def bucket(directory: Path) -> tuple[Minio, str]:
    """A client by the AWS keys of the binding, and the bucket's name."""
    value = {key.name: key.read_text() for key in directory.iterdir() if key.is_file()}
    endpoint = urlsplit(value["AWS_ENDPOINT_URL"])
    pool = urllib3.PoolManager(
        maxsize=WRITERS, ssl_context=ssl.create_default_context(cafile=str(directory / "ca.crt"))
    )
    client = Minio(
        endpoint.netloc,
        access_key=value["AWS_ACCESS_KEY_ID"],
        secret_key=value["AWS_SECRET_ACCESS_KEY"],
        region=value["AWS_DEFAULT_REGION"],
        secure=endpoint.scheme == "https",
        http_client=pool,
    )
    return client, value["BUCKET_NAME"]


def cache(directory: Path) -> tuple[redis.Redis, str]:
    """A client by the ``uri`` of the binding, and the prefix that every key must have."""
    authority = (directory / "ca.crt").read_text()
    client = redis.Redis.from_url((directory / "uri").read_text(), ssl_ca_data=authority, protocol=2)
    return client, (directory / "prefix").read_text()


def load(job: dict[str, Any]) -> dict[str, int]:
    """Writes everything of the job; rows are copied in one transaction a table, after their objects; the number by table."""
    written: dict[str, int] = {}
    for table in plan(job):
        versions = upload(job, table) if table.has_objects else {}
        columns = _columns(table.table)
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table.table["name"]),
            sql.SQL(", ").join(sql.Identifier(column["name"]) for column in columns),
        )
        with connect(Path(job["bindings"][table.database])) as connection, connection.cursor() as cursor:
            makers = [_maker(job, table, column, versions) for column in columns]
            with cursor.copy(statement) as copy:
                for row in table.rows:
                    copy.write_row([make(row) for make in makers])
        written[label(job, table.table["name"])] = len(table.rows)
        now = f"{datetime.now(UTC):%H:%M:%S}"
        print(f"{now} wrote {len(table.rows)} rows into {table.table['name']}", file=sys.stderr, flush=True)
    _put_files(job)
    if job["cached"]:
        client, prefix = cache(Path(job["bindings"]["Cache"]))
        client.mset({f"{prefix}{key}": "{}" for keys in cached_keys(job).values() for key in keys})
    return written


def upload(job: dict[str, Any], table: TableRows) -> dict[int, str | None]:
    """Puts one small object a row; returns the version id by session."""
    client, name = bucket(Path(job["bindings"]["Content"]))

    def put(row: Row) -> tuple[int, str | None]:
        body = f"content of session {row.session}".encode()
        result = client.put_object(name, _object_key(job, table, row), io.BytesIO(body), len(body))
        return row.session, result.version_id

    with ThreadPoolExecutor(WRITERS) as pool:
        return dict(pool.map(put, table.rows))


def _put_files(job: dict[str, Any]) -> None:
    """Files that no row names, below each prefix."""
    for prefix in job["files"]:
        client, name = bucket(Path(job["bindings"]["Content"]))
        for number in range(FILES):
            body = f"line {number}\n".encode()
            client.put_object(name, f"{prefix}{number}", io.BytesIO(body), len(body))


def count(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """By the app's rights, per table: rows and the sum of their births in seconds, and the same of those that lost their
    person; objects and the sum of their sessions by prefix; keys of the cache."""
    tables: dict[str, list[int]] = {}
    nameless: dict[str, list[int]] = {}
    objects: dict[str, list[int]] = {}
    keys: dict[str, int] = {}
    for job in jobs:
        for table in plan({**job, "records": 0, "contents": len(job["categories"])}):
            live, identity = label(job, table.table["name"]), identity_column(table.table)
            places = {live: table.database}
            if table.category["name"] in job["archived"]:
                if job["archiveFiles"]:
                    tables[in_archive(live)] = rows_in_files(Path(job["bindings"]["Archive"]), table)
                else:
                    places[in_archive(live)] = "Archive"
            for name, database in places.items():
                with connect(Path(job["bindings"][database])) as connection:
                    tables[name] = _rows(connection, table, sql.SQL("true"))
                    if identity and table.category["name"] in job["anonymized"]:
                        empty = sql.SQL("{} IS NULL").format(sql.Identifier(identity))
                        nameless[name] = _rows(connection, table, empty)
        for kind, wanted in cached_keys(job).items():
            server, prefix = cache(Path(job["bindings"]["Cache"]))
            keys[kind] = int(server.exists(*(f"{prefix}{key}" for key in wanted)))
    if "Content" in jobs[0]["bindings"]:
        client, name = bucket(Path(jobs[0]["bindings"]["Content"]))
        names = (item.object_name or "" for item in client.list_objects(name, recursive=True))
        for key in (key for key in names if not key.startswith(_PROBES)):
            prefix, *_, session = key.split("/")
            found, total = objects.get(prefix, (0, 0))
            objects[prefix] = [found + 1, total + int(session)]
    return {"tables": tables, "nameless": nameless, "objects": objects, "keys": keys}


def rows_in_files(directory: Path, table: TableRows) -> list[int]:
    """Rows of the table in the archive's Parquet files, and the sum of their births, read as any tool that knows Parquet does."""
    client, name = bucket(directory)

    def read(key: str) -> tuple[int, int]:
        response = client.get_object(name, key)
        try:
            births = pq.read_table(io.BytesIO(response.read()), columns=[table.table["bornAt"]])
        finally:
            response.close()
            response.release_conn()
        seconds = [microseconds // 1_000_000 for microseconds in births.column(0).cast("int64").to_pylist()]
        return len(seconds), sum(seconds)

    prefix = f"{table.category['name']}/{table.table['name']}/"
    keys = [item.object_name or "" for item in client.list_objects(name, prefix=prefix, recursive=True)]
    with ThreadPoolExecutor(WRITERS) as pool:
        found = list(pool.map(read, (key for key in keys if key.endswith(".parquet"))))
    return [sum(number for number, _ in found), sum(total for _, total in found)]


def _rows(connection: psycopg.Connection[tuple[Any, ...]], table: TableRows, condition: sql.Composable) -> list[int]:
    query = sql.SQL("SELECT count(*), coalesce(sum(extract(epoch FROM {})), 0)::bigint FROM {} WHERE {}").format(
        sql.Identifier(table.table["bornAt"]), sql.Identifier(table.table["name"]), condition
    )
    return [int(value) for value in connection.execute(query).fetchone() or (0, 0)]


def _columns(table: dict[str, Any]) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = list(table["columns"])
    if table["bornAt"] not in {column["name"] for column in columns}:
        columns.insert(0, {"name": table["bornAt"], "type": "Timestamp"})
    return columns


def _object_key(job: dict[str, Any], table: TableRows, row: Row) -> str:
    return f"{object_prefix(job, table.table['name'])}/{row.born:%Y/%m}/{row.session}"


def _maker(
    job: dict[str, Any], table: TableRows, column: dict[str, Any], versions: dict[int, str | None]
) -> Callable[[Row], Any]:
    """What makes a plausible value of the column for a row: by the column's meaning, else by its type."""
    objects = table.category.get("objects") or {}
    if column["name"] == table.table["bornAt"]:
        return lambda row: row.born
    if column["name"] == table.category["clock"].get("column"):
        return lambda row: row.clock
    if table.has_objects and column["name"] == objects["keyColumn"]:
        return lambda row: _object_key(job, table, row)
    if table.has_objects and column["name"] == objects.get("versionColumn"):
        return lambda row: versions.get(row.session)
    if column["name"] in {each["onlyWith"]["column"] for each in job["tables"] if "onlyWith" in each}:
        # The database refuses content of a record that says it is of another kind.
        return lambda row: None
    waits = table.category.get("quarantine") or {}
    if column["name"] == waits.get("onlyColumn"):
        return lambda row: waits["onlyValue"] if row.waits or row.session % 5 == 0 else "upload"
    if column["name"] == waits.get("approvedColumn"):
        return lambda row: None if row.waits or row.session % 5 else row.born
    seed = f"{job['seed']}/{table.table['name']}/{column['name']}"
    if column.get("role") == "SessionId":
        record = table.category.get("contentOf") or table.category["name"]
        if column["type"] == "Uuid":
            return lambda row: uuid.uuid5(_NAMES, f"{job['seed']}/{record}/{row.session}")
        return lambda row: f"{record}-{row.session}"
    by_role: dict[str, Callable[[Row], Any]] = {
        "PhoneNumber": lambda row: f"+3120{row.session % 10_000_000:07d}",
        "EmailAddress": lambda row: f"person{row.session}@example.com",
        "PersonName": lambda row: f"Person {row.session}",
        "StaffId": lambda row: staff(row.session % STAFF),
        "MaskedDigits": lambda row: None if column.get("nullable", True) else "",
    }
    if column.get("role") == "Consent":
        # Nobody denied anything: the database refuses content of whoever did.
        return lambda row: False
    if column.get("role") in by_role and column["type"] == "Text":
        return by_role[column["role"]]
    return _by_type(column["type"], seed, key=column["name"] in table.table["primaryKey"])


def _by_type(kind: str, seed: str, key: bool) -> Callable[[Row], Any]:
    makers: dict[str, Callable[[Row], Any]] = {
        "Text": (lambda row: f"{seed}/{row.session}") if key else (lambda row: f"v{row.session % 97}"),
        "Integer": (lambda row: row.session) if key else (lambda row: row.session % 11),
        "BigInteger": lambda row: row.session,
        "Numeric": lambda row: row.session % 100,
        "Boolean": lambda row: row.session % 2 == 0,
        "Timestamp": lambda row: row.born + timedelta(minutes=5),
        "Date": lambda row: row.born.date(),
        "Uuid": lambda row: uuid.uuid5(_NAMES, f"{seed}/{row.session}"),
        "Json": lambda row: "{}",
        "Bytes": lambda row: b"",
    }
    return makers[kind]


def main() -> int:
    """Loads or counts, as told."""
    parser = argparse.ArgumentParser(prog="loader", description=__doc__)
    parser.add_argument("act", choices=["load", "count"])
    parser.add_argument("--job", type=Path, required=True, help="the job's JSON")
    arguments = parser.parse_args()
    jobs = json.loads(arguments.job.read_text())
    if arguments.act == "load":
        rows = [load(each) for each in jobs]
        result: dict[str, Any] = {"rows": {name: number for written in rows for name, number in written.items()}}
    else:
        result = count(jobs)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
