"""Tenants side by side on one cluster: made, kept apart, edited, suspended, repaired, deleted and bound again."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from demo.kubectl import wait
from tests.cluster.applications import SQL, python, secret
from tests.cluster.conftest import OPERATOR_NAMESPACE, RELEASE, RESYNC_SECONDS, SPEC, Tenant, small_profile
from tests.cluster.killing import kill_operator

Tenants = Callable[..., Tenant]
REPAIR_SECONDS = RESYNC_SECONDS * 8
"""One resync with its jitter, and the time the repair itself takes on a busy machine."""


TRY_TO_REACH = """
import socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(":", 1)
    address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    try:
        socket.create_connection(address, timeout=5).close()
        print("connected")
    except OSError as refusal:
        print(type(refusal).__name__)
"""
KEPT_OUT = {"TimeoutError", "ConnectionRefusedError"}
"""What a NetworkPolicy looks like from inside: most enforcers drop, some reject. A name that is not known ends the pod."""


def test_a_policy_makes_stores_credentials_and_a_nightly_job_and_never_carries_a_finalizer__D1_X5(
    tenants: Tenants,
) -> None:
    tenant = tenants("trial-made")
    tenant.wait_for("condition=Ready")
    status = tenant.status()
    assert (status["databases"], status["buckets"]) == ("1/1", "1/1")
    assert {binding["name"] for binding in status["bindings"]} >= {"acme-analytical-app", "acme-content-app"}
    assert not tenant.policy()["metadata"].get("finalizers")
    (cron_job,) = tenant.kubectl.get(*tenant.place(), "cronjobs")["items"]
    spec = cron_job["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert len(spec["schedule"].split()) == 5
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    answer = python(tenant, ("acme-analytical-app",), "ask", SQL, "/bindings/acme-analytical-app/uri", "SELECT 1")
    assert answer == "[(1,)]"


def servers_of(tenant: Tenant) -> tuple[str, str]:
    """Host and port of the tenant's PostgreSQL and of its S3 server, as its applications are told."""
    database = secret(tenant.kubectl, tenant.namespace, "acme-analytical-app")
    bucket = urlsplit(secret(tenant.kubectl, tenant.namespace, "acme-content-app")["AWS_ENDPOINT_URL"])
    assert (database["port"], bucket.port) == ("5432", 8333)
    return f"{database['host']}:{database['port']}", bucket.netloc


def test_two_tenants_with_equal_names_share_nothing_and_cannot_reach_each_other__D1_X2(tenants: Tenants) -> None:
    first, second = tenants("trial-one"), tenants("trial-two")
    first.wait_for("condition=Ready")
    second.wait_for("condition=Ready")
    one, two = (secret(t.kubectl, t.namespace, "acme-analytical-app") for t in (first, second))
    assert one["database"] != two["database"]
    assert one["password"] != two["password"]
    # By the network: only a labelled pod of the server's own namespace is let through, whatever its label says elsewhere.
    mine, theirs = servers_of(first), servers_of(second)
    assert set(mine).isdisjoint(theirs)
    assert python(second, (), "reach-own", TRY_TO_REACH, *theirs).split() == ["connected"] * 2
    reached = python(first, (), "reach", TRY_TO_REACH, *mine, *theirs).split()
    assert reached[:2] == ["connected"] * 2
    assert len(reached) == 4, reached
    assert set(reached[2:]) <= KEPT_OUT, reached
    unlabelled = python(first, (), "reach-unlabelled", TRY_TO_REACH, *mine, labelled=False).split()
    assert len(unlabelled) == 2, unlabelled
    assert set(unlabelled) <= KEPT_OUT, unlabelled
    # By the credentials: even a pod of the second, which the network lets through, is refused with the first's.
    stolen = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": second.namespace, "name": "stolen"},
        "stringData": {"username": one["username"], "password": one["password"]},
    }
    second.kubectl.apply([stolen])
    program = (
        "import psycopg,sys\n"
        "own = psycopg.conninfo.conninfo_to_dict(open('/bindings/acme-analytical-app/uri').read())\n"
        "own.update(user=open('/bindings/stolen/username').read(), password=open('/bindings/stolen/password').read())\n"
        "try:\n    psycopg.connect(**own)\n    print('connected')\n"
        "except psycopg.OperationalError as refusal:\n    print('refused:', refusal)\n"
    )
    said = python(second, ("acme-analytical-app", "stolen"), "steal", program)
    assert said.startswith("refused:"), said
    assert "password authentication failed" in said


def test_a_tenants_bucket_keys_open_no_other_tenants_bucket__X2(tenants: Tenants) -> None:
    first, second = tenants("trial-keys-one"), tenants("trial-keys-two")
    first.wait_for("condition=Ready")
    second.wait_for("condition=Ready")
    keys = secret(first.kubectl, first.namespace, "acme-content-app")
    stolen = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": second.namespace, "name": "stolen"},
        "stringData": {name: keys[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
    }
    second.kubectl.apply([stolen])
    program = """
import ssl, sys, urllib3
from pathlib import Path
from urllib.parse import urlsplit
from minio import Minio
from minio.error import S3Error
own = {f.name: f.read_text() for f in Path('/bindings/acme-content-app').iterdir() if f.is_file()}
for keys in ('/bindings/acme-content-app', '/bindings/stolen'):
    read = lambda name: (Path(keys) / name).read_text()
    context = ssl.create_default_context(cafile='/bindings/acme-content-app/ca.crt')
    client = Minio(urlsplit(own['AWS_ENDPOINT_URL']).netloc, access_key=read('AWS_ACCESS_KEY_ID'),
        secret_key=read('AWS_SECRET_ACCESS_KEY'), region=own['AWS_DEFAULT_REGION'],
        http_client=urllib3.PoolManager(ssl_context=context))
    try:
        print('listed', len(list(client.list_objects(own['BUCKET_NAME']))))
    except S3Error as refusal:
        print('refused', refusal.code)
"""
    said = python(second, ("acme-content-app", "stolen"), "steal", program).splitlines()
    assert said[0].startswith("listed"), said
    assert said[1].startswith("refused"), said


def test_what_is_deleted_or_changed_by_hand_is_put_right_and_told_once(tenants: Tenants) -> None:
    tenant = tenants("trial-drift")
    tenant.wait_for("condition=Ready")
    kubectl, place = tenant.kubectl, tenant.place()
    (cron_job,) = kubectl.get(*place, "cronjobs")["items"]
    name = cron_job["metadata"]["name"]

    kubectl.run(*place, "delete", "cronjob", name, show=False)
    wait("the CronJob to come back", REPAIR_SECONDS, lambda: kubectl.get(*place, "cronjobs")["items"])

    kubectl.run(*place, "patch", "cronjob", name, "-p", '{"spec":{"suspend":true}}', show=False)
    wait(
        "the suspended CronJob to be resumed",
        REPAIR_SECONDS,
        lambda: kubectl.get(*place, "cronjob", name)["spec"]["suspend"] is False,
    )

    before = secret(kubectl, tenant.namespace, "acme-analytical-app")
    patch = json.dumps({"stringData": {"password": "guessed", "surplus": "field"}})
    kubectl.run(*place, "patch", "secret", "acme-analytical-app", "-p", patch, show=False)

    def right() -> bool:
        now = secret(kubectl, tenant.namespace, "acme-analytical-app")
        return now["password"] != "guessed" and "surplus" not in now and set(now) == set(before)

    wait("the edited Secret to be put right", REPAIR_SECONDS, right)
    kubectl.run(*place, "delete", "secret", "acme-analytical-app", show=False)

    def issued_anew() -> bool:
        return not kubectl.attempt(*place, "get", "secret", "acme-analytical-app", show=False).returncode

    wait("the deleted Secret to be issued anew", REPAIR_SECONDS, issued_anew)
    answer = python(tenant, ("acme-analytical-app",), "ask", SQL, "/bindings/acme-analytical-app/uri", "SELECT 1")
    assert answer == "[(1,)]"

    policies = kubectl.get(*place, "networkpolicies")["items"]
    kubectl.run(*place, "delete", "networkpolicy", policies[0]["metadata"]["name"], show=False)
    wait(
        "the NetworkPolicy to come back",
        REPAIR_SECONDS,
        lambda: len(kubectl.get(*place, "networkpolicies")["items"]) == len(policies),
    )

    def told(kind: str, how: str) -> list[str]:
        events = kubectl.get(*place, "events")["items"]
        notes = [e.get("message", e.get("note", "")) for e in events if e["reason"] == "DriftRepaired"]
        return [note for note in notes if note.startswith(f"{kind} ") and how in note]

    # Everything was looked at again since the Secret was put right: what is told twice would be there twice by now.
    for kind, how in (
        ("CronJob", "deleted by hand"),
        ("CronJob", "changed by hand"),
        ("Secret acme-analytical-app", "changed by hand"),
        ("Secret acme-analytical-app", "deleted by hand"),
        ("NetworkPolicy", "deleted by hand"),
    ):
        wait(f"an event that tells of the {kind} that was {how}", 120, partial(told, kind, how))
        assert len(told(kind, how)) == 1, told(kind, how)
    tenant.wait_for("condition=Ready")


ATTEMPT = """
import psycopg, sys
with psycopg.connect(open(sys.argv[1]).read()) as database:
    try:
        database.execute(sys.argv[2])
        print('done')
    except psycopg.errors.InsufficientPrivilege:
        print('refused')
"""


def test_a_grant_changed_by_hand_is_put_right_and_a_table_that_the_profile_does_not_know_is_told__M11_D5(
    tenants: Tenants,
) -> None:
    tenant = tenants("trial-grants")
    tenant.wait_for("condition=Ready")
    database = secret(tenant.kubectl, tenant.namespace, "acme-analytical-app")["database"]
    psql = ("exec", "acme-postgresql-0", "--", "psql", "-XAt", "-h", "/run/postgresql", "-U", "postgres")
    superuser = (*tenant.place(), *psql, "-d", database)
    grantee = f"{database}_app"
    question = f"SELECT has_table_privilege('{grantee}', 'public.records', 'DELETE')"
    grant = f'GRANT DELETE ON public.records TO "{grantee}"'
    # In one breath: the operator may look again at any moment.
    granted = tenant.kubectl.run(*superuser, "-c", grant, "-c", question, show=False)
    assert granted.split() == ["GRANT", "t"]

    def deletes() -> str:
        return tenant.kubectl.run(*superuser, "-c", question, show=False).strip()

    wait("the surplus grant to be revoked", REPAIR_SECONDS, lambda: deletes() == "f")

    shown_only = "CREATE TABLE public.crm_contacts (name text)"
    arguments = (ATTEMPT, "/bindings/acme-analytical-app/uri", shown_only)
    assert python(tenant, ("acme-analytical-app",), "store", *arguments) == "refused"
    tenant.kubectl.run(*superuser, "-c", shown_only, show=False)
    tenant.wait_for("condition=Uncovered", REPAIR_SECONDS)
    assert "public.crm_contacts" in tenant.condition("Uncovered")["message"]
    assert tenant.condition("Ready")["status"] == "True"


def test_an_edit_is_enforced_before_the_policy_says_ready_again(tenants: Tenants) -> None:
    tenant = tenants("trial-edit")
    tenant.wait_for("condition=Ready")
    tenant.apply({**SPEC, "retention": [{"category": "records", "keep": "P60D"}]})
    tenant.wait_for("condition=Ready")
    found = tenant.policy()
    generation = found["metadata"]["generation"]
    assert found["status"]["observedGeneration"] == generation
    assert found["status"]["enforced"]["generation"] == generation
    keeps = {category["name"]: category["keep"] for category in found["status"]["categories"]}
    assert keeps["records"] == "P60D"


def test_a_suspended_policy_runs_nothing_and_says_so(tenants: Tenants) -> None:
    tenant = tenants("trial-suspend", spec={**SPEC, "suspend": True})
    tenant.wait_for("condition=Ready")
    (cron_job,) = tenant.kubectl.get(*tenant.place(), "cronjobs")["items"]
    assert cron_job["spec"]["suspend"] is True
    assert (tenant.condition("Ready")["reason"], tenant.condition("SchedulesReady")["reason"]) == ("Suspended",) * 2
    assert "nextRun" not in tenant.status()
    refused = tenant.run({"mode": "Enforce"})
    assert refused["status"]["phase"] == "Failed"
    assert "spec.suspend" in refused["status"]["conditions"][0]["message"]
    assert tenant.kubectl.get(*tenant.place(), "jobs")["items"] == []
    tenant.apply({**SPEC, "suspend": False})
    tenant.wait_for("condition=Ready")
    (cron_job,) = tenant.kubectl.get(*tenant.place(), "cronjobs")["items"]
    assert cron_job["spec"]["suspend"] is False
    assert tenant.status()["nextRun"]


def test_what_admission_cannot_see_is_stalled_with_the_field_and_the_next_step__X1(tenants: Tenants) -> None:
    unserved = tenants("trial-unserved", served=False)
    unserved.wait_for("condition=Stalled", 300)
    assert "kubectl label namespace trial-unserved" in unserved.condition("Stalled")["message"]
    unknown_zone = tenants("trial-zone", spec={**SPEC, "timeZone": "Europe/Atlantis"})
    unknown_zone.wait_for("condition=Stalled", 300)
    assert "spec.timeZone" in unknown_zone.condition("Stalled")["message"]
    assert "Europe/Atlantis" in unknown_zone.condition("Stalled")["message"]


def test_a_deleted_policy_keeps_its_data_and_binds_again_when_an_administrator_says_so__X5(tenants: Tenants) -> None:
    tenant = tenants("trial-again")
    tenant.wait_for("condition=Ready")
    insert = (
        "import psycopg\n"
        "with psycopg.connect(open('/bindings/acme-analytical-app/uri').read()) as c:\n"
        "    c.execute('INSERT INTO records (id, started_at) VALUES (1, now())')\n"
        "print('written')"
    )
    assert python(tenant, ("acme-analytical-app",), "write", insert) == "written"
    tenant.kubectl.run(*tenant.place(), "delete", "trp", "acme", "--timeout=30s", show=False)

    def stores(phase: str) -> list[Any]:
        mine = [s for s in tenant.kubectl.get("dst")["items"] if s["spec"]["namespace"] == tenant.namespace]
        return mine if mine and all(s.get("status", {}).get("phase") == phase for s in mine) else []

    released = wait("the stores to be Released", 300, lambda: stores("Released"))
    tenant.apply(SPEC)
    uid = tenant.policy()["metadata"]["uid"]
    for store in released:
        patch = json.dumps({"spec": {"claimRef": {"namespace": tenant.namespace, "name": "acme", "uid": uid}}})
        tenant.kubectl.run("patch", "dst", store["metadata"]["name"], "--type=merge", "-p", patch, show=False)
    tenant.wait_for("condition=Ready")
    assert stores("Bound")
    question = (SQL, "/bindings/acme-analytical-app/uri", "SELECT count(*) FROM records")
    assert python(tenant, ("acme-analytical-app",), "ask", *question) == "[(1,)]"


MILESTONES = (
    ("the ledger entry of the database", ("dst", "-l", "tenantretention.io/namespace=trial-killed")),
    ("the server's certificate", ("-n", "trial-killed", "secret", "acme-postgresql-tls")),
    ("the server", ("-n", "trial-killed", "statefulset", "acme-postgresql")),
    ("the application's credentials", ("-n", "trial-killed", "secret", "acme-analytical-app")),
    ("the nightly job", ("-n", "trial-killed", "cronjobs", "-l", "tenantretention.io/policy=acme")),
)
"""What the operator makes, in this order; it is killed as soon as each is there."""


def test_the_operator_killed_in_mid_provisioning_five_times_still_brings_the_tenant_up(tenants: Tenants) -> None:
    tenant = tenants("trial-killed")
    kubectl = tenant.kubectl
    for kill, (milestone, query) in enumerate(MILESTONES, start=1):

        def made(query: tuple[str, ...] = query) -> bool:
            return bool(kubectl.attempt("get", *query, "-o", "name", show=False).stdout.strip())

        wait(milestone, 240, made)
        # The last two come moments before everything is ready.
        assert kill > 3 or tenant.condition("Ready").get("status") != "True", "it was done already"
        kill_operator(kubectl, kill)
    tenant.wait_for("condition=Ready")
    mine = [s for s in kubectl.get("dst")["items"] if s["spec"]["namespace"] == tenant.namespace]
    assert len(mine) == 2, "one database and one bucket, none twice"
    assert len(kubectl.get(*tenant.place(), "cronjobs")["items"]) == 1
    answer = python(tenant, ("acme-analytical-app",), "ask", SQL, "/bindings/acme-analytical-app/uri", "SELECT 1")
    assert answer == "[(1,)]", "what was handed out before a kill is still right"


def test_a_run_deletes_what_is_due_and_nothing_else_and_its_evidence_is_in_the_status__M8_P2_X6_X7(
    tenants: Tenants,
) -> None:
    tenant = tenants("trial-run", spec={**SPEC, "guard": {"maxDeletedPercent": 100}})
    tenant.wait_for("condition=Ready")
    load = (
        "import psycopg\n"
        "with psycopg.connect(open('/bindings/acme-analytical-app/uri').read()) as c:\n"
        "    c.execute(\"INSERT INTO records (id, started_at) SELECT n, now() - n * interval '1 day'"
        ' FROM generate_series(0, 99) AS n")\n'
        "print('written')"
    )
    assert python(tenant, ("acme-analytical-app",), "write", load) == "written"
    dry = tenant.run({"mode": "DryRun"})
    assert dry["status"]["phase"] == "Succeeded", dry["status"]
    real = tenant.run({"mode": "Enforce"})
    assert real["status"]["phase"] == "Succeeded", real["status"]
    assert (dry["status"]["deletedRows"], real["status"]["deletedRows"]) == (70, 70)
    question = (SQL, "/bindings/acme-analytical-app/uri", "SELECT count(*), max(id) FROM records")
    assert python(tenant, ("acme-analytical-app",), "ask", *question) == "[(30, 29)]"

    def told() -> Any:
        jobs = tenant.status().get("jobs", [])
        return jobs and jobs[0].get("runId") == real["status"]["runId"] and jobs[0]

    told_run = wait("the run in the policy's status", 300, told)
    assert told_run["outcome"] == "Succeeded"
    assert tenant.condition("Compliant").get("status") == "True"


def test_a_new_category_and_a_new_column_are_a_change_of_the_profile_alone__M11(tenants: Tenants) -> None:
    profile = small_profile()
    profile["metadata"]["name"] = "growing"
    spec = {**SPEC, "profileRef": {"name": "growing"}}
    tenant = tenants("trial-growing", spec=spec)
    kubectl = tenant.kubectl
    kubectl.apply([profile])
    tenant.wait_for("condition=Ready")
    write = (
        "import psycopg\n"
        "with psycopg.connect(open('/bindings/acme-analytical-app/uri').read()) as c:\n"
        "    c.execute('INSERT INTO records (id, started_at) VALUES (1, now())')\n"
        "print('written')"
    )
    assert python(tenant, ("acme-analytical-app",), "write", write) == "written"
    profile["spec"]["tables"][0]["columns"].append({"name": "remarks", "type": "Text", "role": "FreeText"})
    profile["spec"]["tables"].append(
        {
            "name": "surveys",
            "primaryKey": ["id"],
            "bornAt": "started_at",
            "partitions": {"every": "Month", "back": "P4M", "ahead": "P1M"},
            "columns": [{"name": "id", "type": "BigInteger", "nullable": False}],
        }
    )
    profile["spec"]["categories"].append(
        {
            "name": "surveys",
            "default": "P60D",
            "max": "P1Y",
            "earlyDeletion": "Allowed",
            "clock": {"event": "Created"},
            "tables": ["surveys"],
        }
    )
    kubectl.apply([profile])

    def enforced() -> bool:
        return "surveys" in {c["name"] for c in tenant.status().get("categories", []) if c["state"] == "Enforced"}

    wait("the new category to be enforced", REPAIR_SECONDS, enforced)
    tenant.wait_for("condition=Ready")
    question = (
        SQL,
        "/bindings/acme-analytical-app/uri",
        "SELECT id, remarks FROM records LEFT JOIN surveys USING (id)",
    )
    assert python(tenant, ("acme-analytical-app",), "ask", *question) == "[(1, None)]"
    kubectl.run("delete", "rprof", "growing", show=False)


def test_uninstalling_and_deleting_the_namespaces_hangs_nowhere__X5(tenants: Tenants) -> None:
    """The last test of this file: it takes the operator away and puts it back."""
    tenant = tenants("trial-uninstall")
    tenant.wait_for("condition=Ready")
    kubectl = tenant.kubectl
    done = kubectl.program(
        "helm", "uninstall", RELEASE, "-n", OPERATOR_NAMESPACE, "--wait", "--timeout", "300s", show=False
    )
    assert done.returncode == 0, done.stderr
    assert kubectl.get(*tenant.place(), "trp", "acme"), "the policy survives the chart"
    assert kubectl.get("crd", "datastores.tenantretention.io"), "the definitions survive the chart"
    kubectl.run("delete", "namespace", tenant.namespace, "--timeout=300s", show=False)
    kubectl.run("delete", "namespace", OPERATOR_NAMESPACE, "--timeout=300s", show=False)
