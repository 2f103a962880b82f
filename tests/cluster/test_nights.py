"""A tenant's nights on a real cluster, with three keep times: they ask before they remove much, and begin by themselves.

The tests tell one story of one tenant and run in this order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from demo.kubectl import Kubectl, wait
from tests.cluster.applications import python
from tests.cluster.conftest import QUIET, ROOT, Tenant, passing_tenants

BINDINGS = ("acme-analytical-app", "acme-content-app", "acme-content-enforcer")
"""The application's own; of the role that removes only the right to see every version is used."""
PROFILE = "trial-archive"
DAYS, RECORDINGS, CHAT_LOGS = 50, 14, 30
"""Requests of today and of the 49 days before it stay; how many days of recordings and of chat logs stay."""
OVER = range(101, 104)
"""Ages in days of requests that are past their time in every way."""
SPEC: dict[str, Any] = {
    "profileRef": {"name": PROFILE},
    "retention": [
        {"category": "general-information", "keep": "P100D"},
        {"category": "recordings", "keep": f"P{RECORDINGS}D"},
        {"category": "chat-logs", "keep": f"P{CHAT_LOGS}D"},
    ],
}
PROGRAM = """
import io, json, ssl, sys, psycopg, urllib3
from pathlib import Path
from urllib.parse import urlsplit
from minio import Minio
from psycopg import sql

TABLES = ('requests', 'surveys', 'access_log', 'recordings', 'chat_logs')
INSERT = sql.SQL("INSERT INTO {} (id, session_id, started_at, {}) VALUES"
    " (gen_random_uuid(), %s, now() - %s * interval '1 day', {})")

def client(binding):
    own = {f.name: f.read_text() for f in Path('/bindings', binding).iterdir() if f.is_file()}
    context = ssl.create_default_context(cafile=f'/bindings/{binding}/ca.crt')
    return Minio(urlsplit(own['AWS_ENDPOINT_URL']).netloc, access_key=own['AWS_ACCESS_KEY_ID'],
        secret_key=own['AWS_SECRET_ACCESS_KEY'], region=own['AWS_DEFAULT_REGION'],
        http_client=urllib3.PoolManager(ssl_context=context)), own['BUCKET_NAME']

def write(database, days):
    store, bucket = client('acme-content-app')
    for day in days:
        for channel, content in (('phone', 'recordings'), ('chat', 'chat_logs'), ('email', None)):
            def insert(table, **row):
                columns = sql.SQL(', ').join(map(sql.Identifier, row))
                places = sql.SQL(', ').join(sql.Placeholder() * len(row))
                query = INSERT.format(sql.Identifier(table), columns, places)
                database.execute(query, (f'{channel}-{day}', day, *row.values()))
            insert('requests', channel=channel)
            if content:
                key = f'{content}/{channel}-{day}'
                version = store.put_object(bucket, key, io.BytesIO(b'said'), 4).version_id
                insert(content, object_key=key, object_version=version)
                insert('surveys', score=9, comment='well')
                insert('access_log', actor='ann', action='played')

def count(database):
    store, bucket = client('acme-content-enforcer')
    query = sql.SQL('SELECT session_id FROM {}')
    found = {table: [row[0] for row in database.execute(query.format(sql.Identifier(table)))] for table in TABLES}
    found['objects'] = [version.object_name.rpartition('/')[2] for content in ('recordings/', 'chat_logs/')
        for version in store.list_objects(bucket, prefix=content, recursive=True, include_version=True)]
    days = {name: sorted({int(session.rpartition('-')[2]) for session in found[name]}) for name in found}
    return {name: [len(found[name]), len(of) if of == list(range(len(of))) else of] for name, of in days.items()}

with psycopg.connect(Path('/bindings/acme-analytical-app/uri').read_text()) as database:
    write(database, map(int, sys.argv[1:]))
    print(json.dumps(count(database)))
"""
"""Writes requests of these ages in days: a call, a chat and an e-mail of each, with what belongs to them. Tells of each table,
and of the bucket, how much is there and of how many days; lists the days if one misses."""


def there(recordings: int, chat_logs: int) -> dict[str, list[int]]:
    """What the program tells where all requests are there, and content of so many days."""
    content = {"recordings": [recordings] * 2, "chat_logs": [chat_logs] * 2}
    objects = [recordings + chat_logs, max(recordings, chat_logs)]
    others = {"requests": [3 * DAYS, DAYS], "surveys": [2 * DAYS, DAYS], "access_log": [2 * DAYS, DAYS]}
    return {**others, **content, "objects": objects}


EVERYTHING, WHAT_IS_YOUNG = there(DAYS, DAYS), there(RECORDINGS, CHAT_LOGS)


@pytest.fixture(scope="module")
def tenant(operator: Kubectl) -> Iterator[Tenant]:
    """A contact centre with an archive (``examples``), partitions of a few months only."""
    profile = yaml.safe_load((ROOT / "examples/profiles/puzzel-archive.yaml").read_text())
    profile["metadata"]["name"] = PROFILE
    for table in profile["spec"]["tables"]:
        table["partitions"] = {"every": "Month", "back": "P4M", "ahead": "P1M"}
    operator.apply([profile])
    with passing_tenants(operator) as make:
        yield make("trial-night", spec=SPEC)
    operator.run("delete", "rprof", PROFILE, show=False)


def found(tenant: Tenant, *days: int) -> dict[str, list[Any]]:
    """What is there, after requests of these ages were written."""
    told: dict[str, list[Any]] = json.loads(python(tenant, BINDINGS, "archive", PROGRAM, *map(str, days)))
    return told


def night(tenant: Tenant, name: str) -> None:
    """Starts the night's job by hand, as an administrator would, and waits for its end."""
    kubectl, place = tenant.kubectl, tenant.place()
    kubectl.run(*place, "create", "job", name, "--from=cronjob/acme-expire", show=False)
    kubectl.run(*place, "wait", "--for=condition=Complete", f"job/{name}", "--timeout=300s", show=False)


def test_a_night_over_old_content_stops_and_asks_and_an_approval_removes_its_rows_and_objects__P1_P2_P3_P8_X6(
    tenant: Tenant,
) -> None:
    tenant.wait_for("condition=Ready")
    assert tenant.policy()["spec"]["guard"] == {"maxDeletedPercent": 25}, "the guard stands where nobody put it"
    assert found(tenant, *range(DAYS)) == EVERYTHING

    night(tenant, "first-night")
    tenant.wait_for("condition=ApprovalRequired")
    question, old = tenant.status()["approval"], 2 * DAYS - RECORDINGS - CHAT_LOGS
    assert (question["rows"], sorted(question["categories"])) == (old, ["chat-logs", "recordings"])
    assert found(tenant) == EVERYTHING

    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    approves = {"rulesDigest": question["rulesDigest"], "maxRows": question["rows"], "until": until}
    too_few = tenant.run({"mode": "Enforce", "approves": {**approves, "maxRows": question["rows"] - 1}})
    assert too_few["status"]["phase"] == "Stopped", too_few["status"]
    assert found(tenant) == EVERYTHING

    approved = tenant.run({"mode": "Enforce", "approves": approves})
    assert approved["status"]["phase"] == "Succeeded", approved["status"]
    # The rows of deleted objects are told with their objects, not a second time.
    assert (approved["status"]["deletedRows"], approved["status"]["deletedObjects"]) == (0, old)
    assert found(tenant) == WHAT_IS_YOUNG, "requests stay with their surveys and their log of access"

    night(tenant, "second-night")

    def answered() -> Any:
        status, asks = tenant.status(), tenant.condition("ApprovalRequired").get("status")
        return "approval" not in status and asks == "False" and tenant.condition("Compliant").get("status") == "True"

    wait("the question to be answered and nothing to be overdue", 300, answered)
    assert found(tenant) == WHAT_IS_YOUNG


def test_a_night_begins_by_itself_at_the_minute_that_was_told_and_removes_records_with_all_that_is_theirs__P2_P4_P8_X6(
    tenant: Tenant,
) -> None:
    assert found(tenant, *OVER) != WHAT_IS_YOUNG
    # Which minute of its window a policy's night has never changes: the window moves, and its night with it.
    quiet = datetime.fromisoformat(tenant.status()["nextRun"])
    begins = (datetime.now(UTC) + timedelta(seconds=150)).replace(second=0, microsecond=0)
    start = datetime.fromisoformat(f"2026-01-01T{QUIET['start']}Z") + (begins - quiet)
    tenant.apply({**SPEC, "window": {"start": f"{start:%H:%M}"}})
    wait("the night to be told", 90, lambda: datetime.fromisoformat(tenant.status()["nextRun"]) == begins)

    place, job = tenant.place(), f"job/acme-expire-{int(begins.timestamp()) // 60}"
    tenant.kubectl.run(*place, "wait", "--for=create", job, "--timeout=300s", show=False)
    tenant.kubectl.run(*place, "wait", "--for=condition=Complete", job, "--timeout=300s", show=False)
    (maker,) = tenant.kubectl.get(*place, job)["metadata"]["ownerReferences"]
    assert (maker["kind"], maker["name"]) == ("CronJob", "acme-expire")
    assert found(tenant) == WHAT_IS_YOUNG

    def ended() -> bool:
        (run,) = tenant.status()["jobs"]
        return bool(run["outcome"] == "Succeeded" and datetime.fromisoformat(run["started"]) >= begins)

    wait("the night in the policy's status", 300, ended)
    assert datetime.fromisoformat(tenant.status()["nextRun"]) == begins + timedelta(days=1)
