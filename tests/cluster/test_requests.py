"""A person's request on a real cluster: done but for what a minimum keeps, never told who, and deleted without waiting (T7, M9, X2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from demo.kubectl import wait
from tests.cluster.applications import python
from tests.cluster.conftest import OPERATOR_NAMESPACE, RELEASE, SPEC, Tenant

PROGRAM = """
import sys, psycopg
with psycopg.connect(open('/bindings/acme-analytical-app/uri').read()) as database:
    for number, row in enumerate(sys.argv[1:]):
        name, caller, age = row.split(',')
        database.execute("INSERT INTO records (id, session_id, caller, started_at) VALUES (%s, %s, %s, now() - %s * interval '1 day')",
            (number, name, caller, int(age)))
    print(','.join(row[0] for row in database.execute('SELECT session_id FROM records ORDER BY session_id')))
"""
ANNA, BERT = "+31612345678", "+31687654321"
OFFICER = "officer"


def sessions(tenant: Tenant, *rows: str) -> list[str]:
    """The sessions of all records, after these were written."""
    return python(tenant, ("acme-analytical-app",), "look", PROGRAM, *rows).split(",")


def allow(tenant: Tenant) -> None:
    """The officer has the chart's role."""
    role = f"--clusterrole={RELEASE}-privacy"
    arguments = ("create", "rolebinding", OFFICER, role, f"--user={OFFICER}")
    tenant.kubectl.run(*tenant.place(), *arguments, show=False)


def ask(tenant: Tenant, name: str, phone: str) -> None:
    """The officer asks for whoever has this number; somebody else made the Secret."""
    metadata = {"namespace": tenant.namespace, "name": name}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata, "annotations": {"tenantretention.io/request": name}},
        "immutable": True,
        "stringData": {"phones": phone},
    }
    tenant.kubectl.run("apply", "-f", "-", text=json.dumps(secret), show=False)
    request = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataSubjectRequest",
        "metadata": metadata,
        "spec": {"subject": {"secretRef": {"name": name}}, "actions": ["Erase"]},
    }
    tenant.kubectl.run("create", "-f", "-", f"--as={OFFICER}", text=json.dumps(request), show=False)


def reason_comes(tenant: Tenant, name: str, reason: str) -> Any:
    """The request's status once Ready has this reason."""

    def look() -> Any:
        status = tenant.kubectl.get(*tenant.place(), "dsr", name).get("status", {})
        found = [each["reason"] for each in status.get("conditions", ()) if each["type"] == "Ready"]
        return status if found == [reason] else None

    return wait(f"{name} to be {reason}", 300, look)


def is_there(tenant: Tenant, *named: str) -> bool:
    return tenant.kubectl.attempt(*tenant.place(), "get", *named, show=False).returncode == 0


def told_of(tenant: Tenant) -> str:
    """What the cluster tells of the namespace, but for the person's own Secret and the application's pod."""
    kubectl, place = tenant.kubectl, tenant.place()
    objects = kubectl.run(*place, "get", "dsr,trp,dst,job,configmap,events", "-o", "json", show=False)
    jobs = kubectl.run(*place, "logs", "-l", "tenantretention.io/task=requests", "--tail=-1", show=False)
    operator = kubectl.run("-n", OPERATOR_NAMESPACE, "logs", f"deployment/{RELEASE}", "--tail=-1", show=False)
    return objects + jobs + operator


def test_a_person_is_erased_but_for_what_a_minimum_keeps_and_nobody_reads_who_it_was__T7_M9_X6(
    tenants: Callable[..., Tenant],
) -> None:
    tenant = tenants("trial-requests", spec={**SPEC, "phoneDefaultRegion": "NL"})
    tenant.wait_for("condition=Ready")
    allow(tenant)
    rows = (f"anna-1,{ANNA},10", f"anna-2,{ANNA},0", "bert-1,06 87654321,10", "carl-1,+31612121212,10")
    assert sessions(tenant, *rows) == ["anna-1", "anna-2", "bert-1", "carl-1"]

    ask(tenant, "req-1", ANNA)
    status = reason_comes(tenant, "req-1", "RequestWaiting")
    assert (status["left"], status["deferred"]) == (1, 1)
    (category,) = status["categories"]
    assert (category["name"], category["ground"]) == ("records", "Contract")
    assert status["deferredUntil"] > status["foundAt"]
    assert sessions(tenant) == ["anna-2", "bert-1", "carl-1"]
    (owner,) = tenant.kubectl.get(*tenant.place(), "secret", "req-1")["metadata"]["ownerReferences"]
    assert owner["kind"] == "DataSubjectRequest"

    ask(tenant, "req-2", BERT)
    tenant.kubectl.run(*tenant.place(), "wait", "--for=condition=Ready", "dsr/req-2", "--timeout=300s", show=False)
    assert sessions(tenant) == ["anna-2", "carl-1"]
    assert not is_there(tenant, "secret", "req-2")
    told = told_of(tenant)
    assert [word for word in (ANNA[3:], BERT[3:]) if word in told] == []

    # Nothing waits for an object that is deleted while its request is open.
    tenant.kubectl.run(*tenant.place(), "delete", "dsr", "req-1", f"--as={OFFICER}", "--timeout=30s", show=False)
    wait("the Secret to go with its request", 120, lambda: not is_there(tenant, "secret", "req-1"))
    assert sessions(tenant) == ["anna-2", "carl-1"], "what a minimum keeps is kept"


def test_a_secret_that_means_anybody_is_refused_and_nothing_is_done__P12(tenants: Callable[..., Tenant]) -> None:
    tenant = tenants("trial-refused", spec={**SPEC, "phoneDefaultRegion": "NL"})
    tenant.wait_for("condition=Ready")
    allow(tenant)
    sessions(tenant, f"anna-1,{ANNA},10")
    ask(tenant, "req-1", "anonymous")
    status = reason_comes(tenant, "req-1", "SubjectInvalid")
    assert "phones, line 1" in status["conditions"][0]["message"]
    assert sessions(tenant) == ["anna-1"]
