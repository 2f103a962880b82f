"""A tenant's night on a real cluster: it runs as the CronJob's own job, asks before it removes much, and keeps the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.kubectl import wait
from tests.cluster.applications import python
from tests.cluster.conftest import Tenant

BINDINGS = ("acme-analytical-app", "acme-content-app", "acme-content-enforcer")
"""The application's own; of the role that removes only the right to see every version is used."""
CALLS, KEPT = 40, 14
"""Calls of today and of the 39 days before it; recordings stay fourteen days, their calls a hundred."""
PROGRAM = """
import io, ssl, sys, psycopg, urllib3
from pathlib import Path
from urllib.parse import urlsplit
from minio import Minio

def client(binding):
    own = {f.name: f.read_text() for f in Path('/bindings', binding).iterdir() if f.is_file()}
    context = ssl.create_default_context(cafile=f'/bindings/{binding}/ca.crt')
    return Minio(urlsplit(own['AWS_ENDPOINT_URL']).netloc, access_key=own['AWS_ACCESS_KEY_ID'],
        secret_key=own['AWS_SECRET_ACCESS_KEY'], region=own['AWS_DEFAULT_REGION'],
        http_client=urllib3.PoolManager(ssl_context=context)), own['BUCKET_NAME']

def write(database, calls):
    store, bucket = client('acme-content-app')
    for day in range(calls):
        key, body = f'recordings/{day}', b'what was said'
        version = store.put_object(bucket, key, io.BytesIO(body), len(body)).version_id
        database.execute("INSERT INTO records (id, session_id, started_at)"
            " VALUES (%s, %s, now() - %s * interval '1 day')", (day, f's{day}', day))
        database.execute("INSERT INTO recordings (id, session_id, object_key, object_version, started_at)"
            " VALUES (%s, %s, %s, %s, now() - %s * interval '1 day')", (day, f's{day}', key, version, day))
    return 'written'

def count(database):
    store, bucket = client('acme-content-enforcer')
    versions = store.list_objects(bucket, prefix='recordings/', recursive=True, include_version=True)
    left = [sorted(row[0] for row in database.execute(query))
        for query in ('SELECT id FROM records', 'SELECT id FROM recordings')]
    left.append(sorted(int(version.object_name.rsplit('/')[-1]) for version in versions))
    return [len(days) if days == list(range(len(days))) else days for days in left]

with psycopg.connect(Path('/bindings/acme-analytical-app/uri').read_text()) as database:
    print(write(database, int(sys.argv[2])) if sys.argv[1] == 'write' else count(database))
"""
"""Writes the calls, or counts what is left of calls, recordings and versions of objects; lists their ages if one misses."""
EVERYTHING, WHAT_IS_YOUNG = str([CALLS] * 3), str([CALLS, KEPT, KEPT])


def night(tenant: Tenant, name: str) -> None:
    """Starts the night's job by hand, as an administrator would, and waits for its end."""
    kubectl, place = tenant.kubectl, tenant.place()
    (cron_job,) = kubectl.get(*place, "cronjobs")["items"]
    kubectl.run(*place, "create", "job", name, f"--from=cronjob/{cron_job['metadata']['name']}", show=False)
    kubectl.run(*place, "wait", "--for=condition=Complete", f"job/{name}", "--timeout=300s", show=False)


def test_a_night_over_old_recordings_stops_and_asks_and_an_approval_removes_their_rows_and_objects__M8_P2_P3_X6(
    tenants: Callable[..., Tenant],
) -> None:
    spec = {"profileRef": {"name": "small"}, "retention": [{"category": "records", "keep": "P100D"}]}
    tenant = tenants("trial-night", spec=spec)
    tenant.wait_for("condition=Ready")
    assert tenant.policy()["spec"]["guard"] == {"maxDeletedPercent": 25}, "the guard stands where nobody put it"
    assert python(tenant, BINDINGS, "write", PROGRAM, "write", str(CALLS)) == "written"

    night(tenant, "first-night")
    tenant.wait_for("condition=ApprovalRequired")
    question = tenant.status()["approval"]
    assert (question["rows"], question["categories"]) == (CALLS - KEPT, ["recordings"])
    assert python(tenant, BINDINGS, "count", PROGRAM, "count") == EVERYTHING

    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    approves = {"rulesDigest": question["rulesDigest"], "maxRows": question["rows"], "until": until}
    too_few = tenant.run({"mode": "Enforce", "approves": {**approves, "maxRows": question["rows"] - 1}})
    assert too_few["status"]["phase"] == "Stopped", too_few["status"]
    assert python(tenant, BINDINGS, "count", PROGRAM, "count") == EVERYTHING

    approved = tenant.run({"mode": "Enforce", "approves": approves})
    assert approved["status"]["phase"] == "Succeeded", approved["status"]
    # The rows of deleted objects are told with their objects, not a second time.
    assert (approved["status"]["deletedRows"], approved["status"]["deletedObjects"]) == (0, CALLS - KEPT)
    assert python(tenant, BINDINGS, "count", PROGRAM, "count") == WHAT_IS_YOUNG

    night(tenant, "second-night")

    def answered() -> Any:
        status, asks = tenant.status(), tenant.condition("ApprovalRequired").get("status")
        return "approval" not in status and asks == "False" and tenant.condition("Compliant").get("status") == "True"

    wait("the question to be answered and nothing to be overdue", 300, answered)
    assert python(tenant, BINDINGS, "count", PROGRAM, "count") == WHAT_IS_YOUNG
