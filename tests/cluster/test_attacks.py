"""What attacks.yaml has, tried by somebody who may write everything in one namespace: refused, and the other tenant is as before (X2)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from demo.kubectl import Kubectl, wait
from tenant_retention.domain.bucket_identities import BucketRole, user_name
from tests.cluster.applications import python, secret
from tests.cluster.conftest import OPERATOR_NAMESPACE, RESYNC_SECONDS, SPEC, Tenant, passing_tenants
from tests.cluster.test_requests import reason_comes

HERE = Path(__file__).parent
GROUPS = yaml.safe_load((HERE / "attacks.yaml").read_text())
IN_A_POD = ("sql", "s3", "network")
INTRUDER, EDITOR = "mallory", "eve"
KINDS = (
    "tenantretentionpolicies",
    "tenantretentionpolicies/platform",
    "retentionruns",
    "legalholds",
    "legalholds/release",
    "datasubjectrequests",
)
"""What its role in the namespace lets it write, with every verb; statuses are nobody's but the operator's."""
APPLICATION = """
import sys, minio, psycopg, urllib3, ssl
from pathlib import Path
from urllib.parse import urlsplit
own = {f.name: f.read_text() for f in Path('/bindings/acme-content-app').iterdir() if f.is_file()}
context = ssl.create_default_context(cafile='/bindings/acme-content-app/ca.crt')
bucket = minio.Minio(urlsplit(own['AWS_ENDPOINT_URL']).netloc, access_key=own['AWS_ACCESS_KEY_ID'],
    secret_key=own['AWS_SECRET_ACCESS_KEY'], region=own['AWS_DEFAULT_REGION'], http_client=urllib3.PoolManager(ssl_context=context))
with psycopg.connect(open('/bindings/acme-analytical-app/uri').read()) as database:
    if sys.argv[1] == 'write':
        database.execute("INSERT INTO records (id, session_id, caller, started_at) VALUES (1, 'one', '+31612345678', now())")
        bucket.fput_object(own['BUCKET_NAME'], 'kept', '/etc/hostname')
    rows = database.execute('SELECT * FROM records ORDER BY id').fetchall()
objects = sorted((each.object_name, each.version_id, each.etag) for each in bucket.list_objects(own['BUCKET_NAME']))
print(repr((rows, objects)))
"""


def tries(*kinds: str) -> list[dict[str, Any]]:
    """All of these kinds, each with what its group says, and where it stands."""
    return [
        {"kind": kind, "group": group, **{key: common[key] for key in common if key != "tries"}, **attempt}
        for kind in kinds
        for group, common in GROUPS[kind].items()
        for attempt in common["tries"]
    ]


def titled(attempt: dict[str, Any]) -> str:
    """What a report of the tests calls it."""
    return f"{attempt['group']}: {attempt['title']}"


def filled(value: Any, words: dict[str, str]) -> Any:
    """The value with its placeholders filled in."""
    match value:
        case str():
            return Template(value).safe_substitute(words)
        case dict():
            return {key: filled(each, words) for key, each in value.items()}
        case list():
            return [filled(each, words) for each in value]
    return value


def traces(tenant: Tenant) -> dict[str, Any]:
    """What somebody else's act could change of a tenant, but for what the operator itself writes all the time."""
    kubectl, place = tenant.kubectl, tenant.place()
    seen: dict[str, Any] = {"application": python(tenant, BINDINGS[:2], "look", APPLICATION, "look")}
    for kind in ("trp", "cronjob", "configmap", "networkpolicy", "statefulset", "service"):
        items = kubectl.get(*place, kind)["items"]
        seen[kind] = {each["metadata"]["name"]: each.get("spec", each.get("data")) for each in items}
    seen["secret"] = {each["metadata"]["name"]: each["data"] for each in kubectl.get(*place, "secret")["items"]}
    seen["job"] = [each["metadata"]["name"] for each in kubectl.get(*place, "job")["items"]]
    ledger = kubectl.get("dst", "-l", f"tenantretention.io/namespace={tenant.namespace}")["items"]
    seen["ledger"] = {each["metadata"]["name"]: (each["spec"], each["status"]["phase"]) for each in ledger}
    return seen


BINDINGS = tuple(
    f"acme-{store}-{role}" for role in ("app", "reader", "enforcer") for store in ("analytical", "content")
)


@dataclass(frozen=True)
class Scene:
    """Two tenants with a policy of the same name; ``before``: the traces of the second one, ``words``: for placeholders."""

    mine: Tenant
    theirs: Tenant
    before: dict[str, Any]
    words: dict[str, str]


@pytest.fixture(scope="module")
def scene(operator: Kubectl) -> Iterator[Scene]:
    """Both tenants Ready, with a row and an object each; the first one's intruder has every right there is in its namespace."""
    with passing_tenants(operator) as make:
        theirs, mine = make("attack-theirs"), make("attack-mine")
        for tenant in (theirs, mine):
            tenant.wait_for("condition=Ready")
            python(tenant, BINDINGS[:2], "write", APPLICATION, "write")
        place = mine.place()
        allow = (*place, "create", "rolebinding")
        rules = [{"apiGroups": ["tenantretention.io"], "resources": list(KINDS), "verbs": ["*"]}]
        metadata = {"namespace": mine.namespace, "name": INTRUDER}
        operator.apply(
            [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}]
        )
        operator.run(*allow, "all-kinds", f"--role={INTRUDER}", f"--user={INTRUDER}", show=False)
        operator.run(*allow, "admin", "--clusterrole=admin", f"--user={INTRUDER}", show=False)
        operator.run(*allow, "edit", "--clusterrole=edit", f"--user={EDITOR}", show=False)
        yield Scene(mine, theirs, traces(theirs), words_of(mine, theirs))


def words_of(mine: Tenant, theirs: Tenant) -> dict[str, str]:
    """What the placeholders stand for."""
    kubectl = mine.kubectl
    database = {role: secret(kubectl, mine.namespace, f"acme-analytical-{role}") for role in ("app", "enforcer")}
    bucket, victim = (secret(kubectl, each.namespace, "acme-content-app")["BUCKET_NAME"] for each in (mine, theirs))
    stores = kubectl.get("dst", "-l", f"tenantretention.io/namespace={theirs.namespace}")["items"]
    pods = {
        f"{whose}_s3_pod": kubectl.get(*each.place(), "pod", "acme-s3-0")["status"]["podIP"]
        for whose, each in (("own", mine), ("their", theirs))
    }
    return {
        "mine": mine.namespace,
        "theirs": theirs.namespace,
        "operator": OPERATOR_NAMESPACE,
        "operator_pod": kubectl.get("-n", OPERATOR_NAMESPACE, "pod")["items"][0]["status"]["podIP"],
        "store": stores[0]["metadata"]["name"],
        "owner": f"{database['app']['database']}_owner",
        "app_login": database["app"]["username"],
        "enforcer_login": database["enforcer"]["username"],
        "bucket": bucket,
        "victim": victim,
        "app_user": user_name(bucket, BucketRole.APP),
        "enforcer_user": user_name(bucket, BucketRole.ENFORCER),
        **pods,
    }


@pytest.fixture(scope="module")
def answers(scene: Scene) -> dict[str, str]:
    """What each try in a pod was answered."""
    told: dict[str, list[Any]] = {kind: [filled(each, scene.words) for each in tries(kind)] for kind in IN_A_POD}
    program = (HERE / "attack_program.py").read_text()
    said = json.loads(python(scene.mine, BINDINGS, "attack", program, json.dumps(told)).splitlines()[-1])
    return {
        titled(attempt): answer for kind in IN_A_POD for attempt, answer in zip(tries(kind), said[kind], strict=True)
    }


@pytest.mark.parametrize("attempt", tries("kubectl"), ids=titled)
def test_the_api_server_refuses__X2(scene: Scene, attempt: dict[str, Any]) -> None:
    attempt = filled(attempt, scene.words)
    arguments = attempt.get("kubectl", "create -f -").split()
    text = json.dumps(attempt["body"]) if "body" in attempt else None
    done = scene.mine.kubectl.attempt(f"--as={attempt['as']}", *arguments, text=text, show=False)
    assert done.returncode != 0, done.stdout
    assert attempt["refused"].lower() in done.stderr.lower(), done.stderr


@pytest.mark.parametrize("attempt", tries(*IN_A_POD), ids=titled)
def test_the_store_refuses__X2(answers: dict[str, str], attempt: dict[str, Any]) -> None:
    answer = answers[titled(attempt)]
    assert any(re.match(str(told), answer, re.DOTALL) for told in attempt["refused"]), answer


def content(found: Any) -> Any:
    """What somebody may have changed of an object."""
    return {key: found[key] for key in ("spec", "data") if key in found}


def test_what_is_edited_in_ones_own_namespace_is_put_right__X2(scene: Scene) -> None:
    kubectl, place = scene.mine.kubectl, scene.mine.place()
    edits = tries("edits")
    before = {each["object"]: content(kubectl.get(*place, each["object"])) for each in edits}
    for each in edits:
        patch = ("patch", each["object"], "--type=json", "-p", json.dumps([each["patch"]]))
        kubectl.run(*place, *patch, f"--as={each['as']}", show=False)
    for each in edits:

        def is_as_before(name: str = each["object"]) -> bool:
            return bool(content(kubectl.get(*place, name)) == before[name])

        wait(f"{titled(each)}: put right", RESYNC_SECONDS * 8, is_as_before)
    scene.mine.wait_for("condition=Ready")


def test_a_request_that_names_a_secret_of_something_else_is_refused_and_the_secret_stays__X2_P12(scene: Scene) -> None:
    kubectl, place = scene.mine.kubectl, scene.mine.place()
    attempts = tries("secrets")
    before = {each["secret"]: kubectl.get(*place, "secret", each["secret"])["data"] for each in attempts}
    for number, each in enumerate(attempts):
        request = {
            "apiVersion": "tenantretention.io/v1alpha1",
            "kind": "DataSubjectRequest",
            "metadata": {"namespace": scene.mine.namespace, "name": f"attack-{number}"},
            "spec": {"subject": {"secretRef": {"name": each["secret"]}}, "actions": ["Erase"]},
        }
        kubectl.run("create", "-f", "-", f"--as={each['as']}", text=json.dumps(request), show=False)
    for number, each in enumerate(attempts):
        reason_comes(scene.mine, f"attack-{number}", "SecretNotUsable")
        kubectl.run(*place, "delete", "dsr", f"attack-{number}", f"--as={each['as']}", "--timeout=30s", show=False)
    assert {name: kubectl.get(*place, "secret", name)["data"] for name in before} == before


def test_names_that_read_alike_end_to_end_are_not_one_tenants__X2(scene: Scene, operator: Kubectl) -> None:
    namespace, _, rest = scene.theirs.namespace.partition("-")
    with passing_tenants(operator) as make:
        alike = make(namespace, f"{rest}-{scene.theirs.name}")
        alike.wait_for("condition=Ready")
        assert databases(alike).isdisjoint(databases(scene.theirs))
        first = databases(alike)
        # The namespace again, by somebody who may make namespaces: another customer's, as far as anybody knows.
        operator.run("delete", "namespace", namespace, "--timeout=180s", show=False)
        again = make(namespace, f"{rest}-{scene.theirs.name}")
        again.wait_for("condition=Stalled")
        assert again.condition("Stalled")["reason"] == "StoreReleased"
        assert not again.status().get("bindings")
        assert databases(again) == first


def databases(tenant: Tenant) -> set[str]:
    """Names of the tenant's databases and buckets, by the ledger."""
    labels = f"tenantretention.io/namespace={tenant.namespace},tenantretention.io/policy={tenant.name}"
    return {each["metadata"]["name"] for each in tenant.kubectl.get("dst", "-l", labels)["items"]}


def test_a_class_of_other_namespaces_is_refused_by_its_name__X2(scene: Scene, operator: Kubectl) -> None:
    kept = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataStoreClass",
        "metadata": {"name": "attack-kept"},
        "spec": {
            "type": "PostgreSQL",
            "provisioner": "Embedded",
            "allowedNamespaces": {"matchLabels": {"kubernetes.io/metadata.name": scene.theirs.namespace}},
        },
    }
    operator.apply([kept])
    try:
        other = Tenant(operator, scene.mine.namespace, "other")
        other.apply(SPEC | {"stores": [{"purpose": "Analytical", "className": "attack-kept"}]})
        other.wait_for("condition=Stalled")
        assert "attack-kept" in other.condition("Stalled")["message"]
    finally:
        operator.run("delete", "datastoreclass", "attack-kept", "--timeout=60s", show=False)


def test_after_all_of_it_the_other_tenant_is_as_it_was__X2(scene: Scene) -> None:
    assert traces(scene.theirs) == scene.before
