"""Runs in a pod of a tenant: tries what it is told with the tenant's own bindings, and prints what it was answered, as JSON.

Arguments: the tries of attacks.yaml by kind, as JSON, their placeholders filled in.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg

from tenant_retention.adapters.bindings import read_s3_binding
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.domain.bucket_identities import AccessKey
from tenant_retention.domain.buckets import S3Endpoint

BINDINGS = Path("/bindings")
PATIENCE_SECONDS = 5


def by_sql(attempt: dict[str, Any]) -> str:
    """SQLSTATE and message of the refusal, or ``done``."""
    uri = (BINDINGS / f"acme-analytical-{attempt['as']}" / "uri").read_text()
    parameters: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(uri)
    parameters |= {"dbname": attempt["database"]} if "database" in attempt else {}
    try:
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute(cast(LiteralString, attempt["sql"]))
    except psycopg.Error as refusal:
        return f"{refusal.sqlstate or ''} {refusal}".strip()
    return "done"


def by_s3(attempt: dict[str, Any]) -> str:
    """Status and body of the answer."""
    known = attempt["as"] if attempt["as"] != "nobody" else "app"
    binding = read_s3_binding(BINDINGS / f"acme-content-{known}")
    key = AccessKey(binding.access_key, binding.secret_key) if attempt["as"] != "nobody" else None
    with S3Connection(S3Endpoint(binding.endpoint, binding.region, binding.ca), key) as connection:
        if "iam" in attempt:
            form = {"Version": "2010-05-08", **attempt["iam"]}
            answer = connection.signed("iam", binding.region, "POST", f"{binding.endpoint}/", data=form, task="attack")
        else:
            method, _, target = attempt["request"].partition(" ")
            body = attempt.get("body", "").encode()
            url = f"{binding.endpoint}/{target}"
            answer = connection.signed("s3", binding.region, method, url, data=body, task="attack")
    return f"{answer.status} {answer.body[:300]}"


def by_network(attempt: dict[str, Any]) -> str:
    """``connected``, or the error's name."""
    try:
        socket.create_connection((attempt["to"], attempt["port"]), timeout=PATIENCE_SECONDS).close()
    except OSError as refusal:
        return type(refusal).__name__
    return "connected"


WAYS = {"sql": by_sql, "s3": by_s3, "network": by_network}


if __name__ == "__main__":
    tries = json.loads(sys.argv[1])
    print(json.dumps({kind: [WAYS[kind](attempt) for attempt in attempts] for kind, attempts in tries.items()}))
