"""A legal hold on a real cluster: runs leave what it keeps, only its own verb releases it, and its deletion does not (X3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

from demo.kubectl import wait
from tests.cluster.applications import python
from tests.cluster.conftest import RELEASE, SPEC, Tenant
from tests.cluster.test_requests import ANNA, BERT, is_there, told_of
from tests.cluster.test_requests import sessions as sessions_with

OLD, YOUNG = 5, 3
PROGRAM = """
import sys, psycopg
with psycopg.connect(open('/bindings/acme-analytical-app/uri').read()) as database:
    if sys.argv[1] == 'write':
        for number in range(int(sys.argv[2])):
            database.execute("INSERT INTO records (id, session_id, started_at) VALUES (%s, %s, now() - interval '40 days')",
                (number, f'old-{number}'))
        for number in range(int(sys.argv[3])):
            database.execute("INSERT INTO records (id, session_id, started_at) VALUES (%s, %s, now())",
                (1000 + number, f'young-{number}'))
    print(','.join(row[0] for row in database.execute('SELECT session_id FROM records ORDER BY session_id')))
"""
YOUNG_ONES = [f"young-{number}" for number in range(YOUNG)]
SELECT = {"sessions": ["old-0", "old-1"]}
CLERK = "clerk"
"""May write holds, and not release them."""
LAWYER = "lawyer"


def sessions(tenant: Tenant, *arguments: str) -> list[str]:
    """The sessions of all records."""
    return python(tenant, ("acme-analytical-app",), "look", PROGRAM, *(arguments or ("look",))).split(",")


def allow(tenant: Tenant) -> None:
    """The clerk may write holds; the lawyer has the chart's role."""
    kubectl, place = tenant.kubectl, tenant.place()
    verbs = "--verb=get,list,create,patch,delete"
    kubectl.run(*place, "create", "role", CLERK, verbs, "--resource=legalholds.tenantretention.io", show=False)
    kubectl.run(*place, "create", "rolebinding", CLERK, f"--role={CLERK}", f"--user={CLERK}", show=False)
    role = f"--clusterrole={RELEASE}-legal"
    kubectl.run(*place, "create", "rolebinding", LAWYER, role, f"--user={LAWYER}", show=False)


def hold(tenant: Tenant, who: str, **spec: Any) -> None:
    """Applies the hold and waits until every database has heard of it."""
    document = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "LegalHold",
        "metadata": {"namespace": tenant.namespace, "name": "case-17"},
        "spec": {"select": SELECT, "reference": "case 17/2026", **spec},
    }
    tenant.kubectl.run("apply", "-f", "-", f"--as={who}", text=json.dumps(document), show=False)
    tenant.kubectl.run(*tenant.place(), "wait", "--for=condition=Ready", "lhold/case-17", "--timeout=300s", show=False)


def status(tenant: Tenant) -> Any:
    """The hold's status."""
    return tenant.kubectl.get(*tenant.place(), "lhold", "case-17")["status"]


def release(tenant: Tenant, who: str) -> CompletedProcess[str]:
    """What the API server says to a release."""
    patch = json.dumps({"spec": {"release": {"reason": "case 17/2026 closed"}}})
    arguments = ("patch", "lhold", "case-17", "--type=merge", "-p", patch, f"--as={who}")
    return tenant.kubectl.attempt(*tenant.place(), *arguments, show=False)


def release_and_wait(tenant: Tenant, who: str) -> None:
    """Releases the hold and waits until it is in force in no database."""
    assert release(tenant, who).returncode == 0
    arguments = (
        "wait",
        "--for=jsonpath={.status.conditions[0].reason}=HoldReleased",
        "lhold/case-17",
        "--timeout=300s",
    )
    tenant.kubectl.run(*tenant.place(), *arguments, show=False)


def say_whose(tenant: Tenant, phone: str) -> None:
    """The Secret of a hold on whoever has this number."""
    annotations = {"tenantretention.io/hold": "case-17"}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": tenant.namespace, "name": "case-17", "annotations": annotations},
        "immutable": True,
        "stringData": {"phones": phone},
    }
    tenant.kubectl.run("apply", "-f", "-", text=json.dumps(secret), show=False)


def enforce(tenant: Tenant) -> Any:
    """A run by hand that ends well; its status."""
    done = tenant.run({"mode": "Enforce"})["status"]
    assert done["phase"] == "Succeeded", done
    return done


def held_by_the_policy(tenant: Tenant) -> list[tuple[str, bool]]:
    """What the policy's status tells of holds."""
    return [(row["name"], row["objectMissing"]) for row in tenant.status().get("holds", ())]


def test_runs_leave_what_is_on_hold_until_who_may_release_it_has_and_deleting_the_object_releases_nothing__X3(
    tenants: Callable[..., Tenant],
) -> None:
    tenant = tenants("trial-holds", spec={**SPEC, "guard": {"maxDeletedPercent": 100}})
    tenant.wait_for("condition=Ready")
    allow(tenant)
    assert len(sessions(tenant, "write", str(OLD), str(YOUNG))) == OLD + YOUNG
    hold(tenant, CLERK)
    told = status(tenant)
    assert (told["held"], told["policies"], told["categories"]) == (2, "1/1", [{"name": "records", "rows": 2}])

    assert enforce(tenant)["deletedRows"] == OLD - 2
    assert sessions(tenant) == ["old-0", "old-1", *YOUNG_ONES]

    refused = release(tenant, CLERK)
    assert refused.returncode != 0
    assert "releasing needs the verb update on legalholds/release" in refused.stderr

    tenant.kubectl.run(*tenant.place(), "delete", "lhold", "case-17", f"--as={CLERK}", show=False)
    wait(
        "the policy to tell of a hold without its object",
        120,
        lambda: held_by_the_policy(tenant) == [("case-17", True)],
    )
    enforce(tenant)
    assert sessions(tenant) == ["old-0", "old-1", *YOUNG_ONES], "deleting the object released nothing"

    hold(tenant, CLERK)
    release_and_wait(tenant, LAWYER)
    enforce(tenant)
    assert sessions(tenant) == YOUNG_ONES
    wait("the policy to tell of no hold", 300, lambda: held_by_the_policy(tenant) == [])


def test_a_hold_comes_back_by_its_name_to_be_released_where_its_object_was_deleted__X3(
    tenants: Callable[..., Tenant],
) -> None:
    tenant = tenants("trial-release", spec={**SPEC, "guard": {"maxDeletedPercent": 100}})
    tenant.wait_for("condition=Ready")
    allow(tenant)
    sessions(tenant, "write", "2", "1")
    hold(tenant, LAWYER)
    tenant.kubectl.run(*tenant.place(), "delete", "lhold", "case-17", f"--as={LAWYER}", show=False)
    hold(tenant, LAWYER, select={"sessions": ["any"]}, release={"reason": "case 17/2026 closed"})
    assert status(tenant)["conditions"][0]["reason"] == "HoldReleased"
    enforce(tenant)
    assert sessions(tenant) == ["young-0"]


def test_what_is_written_of_a_person_stays_until_the_release_and_nobody_reads_who_it_is__X3_X2(
    tenants: Callable[..., Tenant],
) -> None:
    spec = {**SPEC, "phoneDefaultRegion": "NL", "guard": {"maxDeletedPercent": 100}}
    tenant = tenants("trial-held-person", spec=spec)
    tenant.wait_for("condition=Ready")
    allow(tenant)
    rows = (f"anna-1,{ANNA},40", "anna-2,06 12345678,40", f"bert-1,{BERT},40", f"young-1,{BERT},0")
    assert sessions_with(tenant, *rows) == ["anna-1", "anna-2", "bert-1", "young-1"]

    say_whose(tenant, ANNA)
    hold(tenant, LAWYER, select={}, subject={"secretRef": {"name": "case-17"}})
    assert status(tenant)["held"] == 2
    assert enforce(tenant)["deletedRows"] == 1
    assert sessions_with(tenant) == ["anna-1", "anna-2", "young-1"]
    (owner,) = tenant.kubectl.get(*tenant.place(), "secret", "case-17")["metadata"]["ownerReferences"]
    assert owner["kind"] == "LegalHold"
    holds = tenant.kubectl.run(*tenant.place(), "get", "lhold", "-o", "json", show=False)
    assert ANNA[3:] not in holds + told_of(tenant)

    release_and_wait(tenant, LAWYER)
    assert not is_there(tenant, "secret", "case-17")
    enforce(tenant)
    assert sessions_with(tenant) == ["young-1"]
