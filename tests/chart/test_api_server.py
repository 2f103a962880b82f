"""The CRDs and the admission policies of the chart on a real API server: what it accepts, refuses, prints and explains."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.api_cases import ROOT, Case, bounds_cases, example_profile, kind_cases
from tests.support.api_server import ApiServer, part, start
from tests.support.waiting import eventually

RELEASE, NAMESPACE = "trial", "retention"
FULLNAME = f"{RELEASE}-tenant-retention-operator"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{FULLNAME}"
INSTALLED = {
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ClusterRole",
    "ClusterRoleBinding",
}
PLURAL = {
    "RetentionProfile": "retentionprofiles",
    "TenantRetentionPolicy": "namespaces/default/tenantretentionpolicies",
    "DataStoreClass": "datastoreclasses",
    "DataStore": "datastores",
    "RetentionRun": "namespaces/default/retentionruns",
    "LegalHold": "namespaces/default/legalholds",
    "DataSubjectRequest": "namespaces/default/datasubjectrequests",
}
API = "/apis/tenantretention.io/v1alpha1"
CASES = kind_cases()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with the chart's definitions, admission policies and roles, and the example profiles."""
    running = start(tmp_path_factory.mktemp("api-server"))
    try:
        install(running)
        yield running
    finally:
        running.stop()


def install(server: ApiServer) -> None:
    chart = str(ROOT / "charts" / "tenant-retention-operator")
    rendered = subprocess.run(
        [part("helm"), "template", RELEASE, chart, "--namespace", NAMESPACE], text=True, capture_output=True, check=True
    ).stdout
    documents = [document for document in yaml.safe_load_all(rendered) if document and document["kind"] in INSTALLED]
    server.kubectl("create", "namespace", NAMESPACE)
    server.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(documents))
    server.kubectl("wait", "--for=condition=Established", "crd", "--all")
    kind = "tenantretentionpolicies.tenantretention.io"
    server.kubectl("create", "clusterrole", "creator", "--verb=create", f"--resource={kind}")
    for role, group in (
        ("creator", "tenants"),
        (f"{FULLNAME}-edit", "tenants"),
        (f"{FULLNAME}-view", "tenants"),
        (f"{FULLNAME}-platform", "platforms"),
        (f"{FULLNAME}-legal", "legals"),
        (f"{FULLNAME}-privacy", "officers"),
    ):
        server.kubectl("create", "clusterrolebinding", f"{group}-{role}", f"--clusterrole={role}", f"--group={group}")
    profiles = [example_profile(path.stem) for path in sorted((ROOT / "examples" / "profiles").glob("*.yaml"))]
    server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(profiles))
    wait_for_admission(server)


def wait_for_admission(server: ApiServer) -> None:
    """Policies act a moment after they are made: until each has refused once."""
    _, unbounded, message = next(case for case in bounds_cases() if case[2] is not None)
    assert message is not None
    eventually(lambda: message in written(server, unbounded), "bounds are not guarded")
    eventually(lambda: "update on" in written(server, policy(), user="tenant"), "platform fields are not guarded")
    eventually(lambda: "approve" in written(server, run(APPROVAL), user="tenant"), "approvals are not guarded")
    eventually(
        lambda: "releasing" in written(server, hold(release=RELEASE_OF_IT), user="platform"), "releases are not guarded"
    )
    eventually(lambda: "not served" in bound(server, "default"), "role bindings are not guarded")


def written(server: ApiServer, document: dict[str, Any], *, user: str = "administrator") -> str:
    """What the server says to a new object, in a dry run: empty if it accepts it."""
    return said(server, "POST", f"{API}/{PLURAL[document['kind']]}", document, user=user)


def updated(server: ApiServer, document: dict[str, Any], *, user: str = "administrator") -> str:
    """What the server says to a change of a stored object, in a dry run: empty if it accepts it."""
    path = f"{API}/{PLURAL[document['kind']]}/{document['metadata']['name']}"
    return said(server, "PUT", path, document, user=user)


def said(server: ApiServer, method: str, path: str, document: Any = None, **options: str) -> str:
    answer = server.request(method, path, document, dryRun="All", fieldValidation="Strict", **options)
    return "" if answer.ok else str(answer.json()["message"])


def stored(server: ApiServer, document: dict[str, Any]) -> dict[str, Any]:
    """The object, really written unless it is there, as the server keeps it."""
    path = f"{API}/{PLURAL[document['kind']]}"
    answer = server.request("POST", path, document)
    assert answer.ok or answer.status_code == 409, answer.text
    kept: dict[str, Any] = server.request("GET", f"{path}/{document['metadata']['name']}").json()
    return kept


def named(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "name": name}}


def policy(name: str = "trial", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "TenantRetentionPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"profileRef": {"name": "puzzel-archive"}, **spec},
    }


APPROVAL = {"rulesDigest": "sha256:" + "a" * 64, "maxRows": 1, "until": "2030-01-01T00:00:00Z"}


def run(approval: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "RetentionRun",
        "metadata": {"name": "trial", "namespace": "default"},
        "spec": {"policyRef": {"name": "acme"}, "mode": "Enforce", **({"approves": approval} if approval else {})},
    }


RELEASE_OF_IT = {"reason": "case 17/2026 closed"}


def request(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataSubjectRequest",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"subject": {"secretRef": {"name": name}}, "actions": ["Erase"]},
    }


def hold(name: str = "trial", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "LegalHold",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"select": {"sessions": ["7f3a"]}, "reference": "case 17/2026", **spec},
    }


def bound(server: ApiServer, namespace: str, *, role: str = f"{FULLNAME}-tenant", account: str = FULLNAME) -> str:
    """What the server says to a RoleBinding that the operator makes, in a dry run: empty if it accepts it."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "trial", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    return said(server, "POST", path, binding, impersonate=OPERATOR)


def case_says(server: ApiServer, case: Case) -> str:
    if case.old is None:
        return written(server, case.object)
    name = f"kept-{hashlib.sha256(json.dumps(case.old, sort_keys=True).encode()).hexdigest()[:10]}"
    kept = stored(server, named(case.old, name))
    metadata = {**case.object["metadata"], "name": name, "resourceVersion": kept["metadata"]["resourceVersion"]}
    return updated(server, {**case.object, "metadata": metadata})


@pytest.mark.parametrize("case", [case for case in CASES if case.message is None], ids=lambda case: case.id)
def test_what_is_right_is_accepted__X1(server: ApiServer, case: Case) -> None:
    assert case_says(server, case) == ""


@pytest.mark.parametrize("case", [case for case in CASES if case.message is not None], ids=lambda case: case.id)
def test_what_is_wrong_is_refused_at_apply_with_the_name_of_the_field__X1(server: ApiServer, case: Case) -> None:
    answer = case_says(server, case)
    assert case.message is not None
    assert case.message in answer
    assert case.field in answer


@pytest.mark.parametrize(
    "profile, document, message", list(bounds_cases()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_bounds_of_the_profile_hold_at_apply__X1(
    server: ApiServer, profile: dict[str, Any], document: dict[str, Any], message: str | None
) -> None:
    name = profile["metadata"]["name"]
    if profile != example_profile(name):
        changed = {**profile, "metadata": {**profile["metadata"], "name": "changed"}}
        server.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(changed))
        document = {**document, "spec": {**document["spec"], "profileRef": {"name": "changed"}}}
    if message is None:
        assert written(server, document) == ""
    else:
        # The admission policy hears of a profile a moment after it was written.
        eventually(lambda: message in written(server, document), f"not refused: {written(server, document)}")


def test_a_policy_may_come_before_its_profile(server: ApiServer) -> None:
    assert (
        written(server, policy(profileRef={"name": "comes-later"}, retention=[{"category": "x", "keep": "P1D"}])) == ""
    )


@pytest.mark.parametrize(
    "change, fields",
    [
        ({"mode": "DryRun"}, "spec.mode"),
        ({"suspend": True}, "spec.suspend"),
        ({"stores": [{"purpose": "Analytical", "className": "other"}]}, "spec.stores"),
        ({"guard": {"maxDeletedPercent": 100}}, "spec.guard"),
        ({"suspend": True, "mode": "DryRun"}, "spec.mode, spec.suspend"),
    ],
    ids=str,
)
def test_what_belongs_to_the_platform_only_the_platform_changes__X2(
    server: ApiServer, change: dict[str, Any], fields: str
) -> None:
    kept = stored(server, policy("platforms", retention=[{"category": "recordings", "keep": "P14D"}]))
    wanted = {**kept, "spec": {**kept["spec"], **change}}
    answer = updated(server, wanted, user="tenant")
    assert f"{fields}: only the platform changes this" in answer
    assert updated(server, wanted, user="platform") == ""


def test_what_the_platform_has_set_a_tenant_cannot_remove__X2(server: ApiServer) -> None:
    kept = stored(server, policy("stores", stores=[{"purpose": "Analytical", "className": "own"}]))
    without = {**kept, "spec": {key: value for key, value in kept["spec"].items() if key != "stores"}}
    assert "spec.stores: only the platform changes this" in updated(server, without, user="tenant")


def test_a_tenant_chooses_inside_the_bounds__X2(server: ApiServer) -> None:
    kept = stored(server, policy("choices"))
    choice = {
        "retention": [{"category": "recordings", "keep": "P30D"}],
        "timeZone": "Europe/Berlin",
        "window": {"start": "02:00", "duration": "PT2H"},
    }
    assert updated(server, {**kept, "spec": {**kept["spec"], **choice}}, user="tenant") == ""


def test_only_the_platform_makes_policies_because_they_make_stores__X2(server: ApiServer) -> None:
    assert "needs the verb update on tenantretentionpolicies/platform" in written(server, policy(), user="tenant")
    assert written(server, policy(), user="platform") == ""


def test_approving_what_the_guard_stopped_needs_its_own_verb(server: ApiServer) -> None:
    assert "spec.approves: approving needs the verb approve" in written(server, run(APPROVAL), user="tenant")
    assert written(server, run(APPROVAL), user="platform") == ""
    assert written(server, run(), user="tenant") == ""


def test_releasing_a_hold_needs_its_own_verb_also_at_once_and_deleting_it_is_no_release__X3_X2(
    server: ApiServer,
) -> None:
    kept = stored(server, hold("case-17"))
    released = {**kept, "spec": {**kept["spec"], "release": RELEASE_OF_IT}}
    assert "spec.release: releasing needs the verb update on legalholds/release" in updated(
        server, released, user="platform"
    )
    assert updated(server, released, user="legal") == ""
    assert (
        updated(server, {**kept, "metadata": {**kept["metadata"], "labels": {"of": "platform"}}}, user="platform") == ""
    )
    assert "spec.release: releasing needs" in written(server, hold("case-18", release=RELEASE_OF_IT), user="platform")
    assert written(server, hold("case-18", release=RELEASE_OF_IT), user="legal") == ""


def test_what_was_released_may_be_touched_by_who_may_not_release__X2(server: ApiServer) -> None:
    kept = stored(server, hold("case-19", release=RELEASE_OF_IT))
    labelled = {**kept, "metadata": {**kept["metadata"], "labels": {"of": "platform"}}}
    assert updated(server, labelled, user="platform") == ""


def test_a_tenants_editor_sees_holds_and_places_none__X2(server: ApiServer) -> None:
    assert "cannot create resource" in written(server, hold("case-20"), user="tenant")
    assert written(server, hold("case-20"), user="legal") == ""
    assert server.request("GET", f"{API}/namespaces/default/legalholds", user="tenant").ok


def test_only_the_privacy_role_asks_for_a_person_and_it_reads_no_secret__T7_X2(server: ApiServer) -> None:
    asked = request("req-4711")
    for user in ("tenant", "platform", "legal"):
        assert "cannot create resource" in written(server, asked, user=user)
    assert written(server, asked, user="privacy") == ""
    assert server.request("GET", f"{API}/namespaces/default/datasubjectrequests", user="tenant").ok
    assert not server.request("GET", "/api/v1/namespaces/default/secrets", user="privacy").ok


def test_the_operator_binds_one_role_to_itself_in_labelled_namespaces_and_nothing_else__X2(server: ApiServer) -> None:
    server.kubectl("create", "namespace", "customer")
    server.kubectl("label", "namespace", "customer", "tenantretention.io/tenant=true")
    assert bound(server, "customer") == ""
    assert "namespace kube-system is not served" in bound(server, "kube-system")
    assert "binds its role to itself only" in bound(server, "customer", account="other")
    assert f"handles bindings of ClusterRole {FULLNAME}-tenant only" in bound(server, "customer", role="view")


def test_the_operator_removes_no_role_binding_but_its_own__X2(server: ApiServer) -> None:
    server.kubectl("create", "rolebinding", "theirs", "-n", "default", "--clusterrole=view", "--user=somebody")
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/theirs"
    assert f"handles bindings of ClusterRole {FULLNAME}-tenant only" in said(
        server, "DELETE", path, impersonate=OPERATOR
    )


def test_a_binding_that_took_the_operators_name_may_be_removed_so_that_it_is_put_right(server: ApiServer) -> None:
    name = "tenant-retention-operator"
    server.kubectl("create", "rolebinding", name, "-n", "default", "--clusterrole=view", "--user=somebody")
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/{name}"
    assert said(server, "DELETE", path, impersonate=OPERATOR) == ""


def test_a_policy_that_was_never_looked_at_is_not_healthy(server: ApiServer) -> None:
    assert stored(server, policy("unseen"))["status"] == {"observedGeneration": -1}


def test_kubectl_get_answers_in_a_hundred_columns_with_the_age_last(server: ApiServer) -> None:
    stored(server, policy("acme"))
    condition = {"status": "True", "lastTransitionTime": "2026-11-22T01:37:00Z", "observedGeneration": 1, "message": ""}
    status = {
        "observedGeneration": 1,
        "conditions": [
            {**condition, "type": "Ready", "reason": "Enforcing", "message": "2/2 databases, 1/1 buckets"},
            {**condition, "type": "Compliant", "reason": "Compliant"},
        ],
        "databases": "2/2",
        "buckets": "1/1",
        "overdue": 0,
        "lastRunTime": "2026-11-22T01:37:00Z",
        "nextRun": "2026-11-22T01:37Z",
    }
    path = f"{API}/namespaces/default/tenantretentionpolicies/acme/status"
    answer = server.request("PATCH", path, {"status": status}, content_type="application/merge-patch+json")
    assert answer.ok, answer.text
    lines = server.kubectl("get", "trp", "acme", "-n", "default").splitlines()
    assert lines[0].split() == [
        "NAME", "READY", "STATUS", "DATABASES", "BUCKETS", "OVERDUE", "LAST-RUN", "NEXT-RUN", "AGE",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 100
    assert "2026-11-22T01:37Z" in lines[1]
    assert "<invalid>" not in lines[1].split("2026-11-22T01:37Z")[1]
    wide = server.kubectl("get", "trp", "acme", "-n", "default", "-o", "wide").splitlines()
    assert wide[0].split()[-1] == "AGE"
    assert "COMPLIANT" in wide[0]
    server.kubectl("wait", "--for=condition=Ready", "trp/acme", "-n", "default", "--timeout=60s")


def test_one_category_lists_everything_and_short_names_work(server: ApiServer) -> None:
    stored(server, policy("acme"))
    assert "tenantretentionpolicy.tenantretention.io/acme" in server.kubectl(
        "get", "tenantretention", "-A", "-o", "name"
    )
    assert "tenantretention.io" not in server.kubectl("get", "all", "-A", "-o", "name")
    for short in ("trp", "rprof", "dsc", "dst", "rrun", "lhold", "dsr"):
        server.kubectl("get", short, "-A")


def test_policies_can_be_selected_by_their_profile(server: ApiServer) -> None:
    stored(server, policy("acme"))
    stored(server, policy("other", profileRef={"name": "another-profile"}))
    selector = "--field-selector=spec.profileRef.name=another-profile"
    names = server.kubectl("get", "trp", "-n", "default", selector, "-o", "name")
    assert names.split() == ["tenantretentionpolicy.tenantretention.io/other"]


@pytest.mark.parametrize("kind", sorted(PLURAL))
def test_kubectl_explain_has_a_text_for_every_field(server: ApiServer, kind: str) -> None:
    explained = server.kubectl("explain", kind.lower(), "--recursive")
    assert "status" in explained
    assert "<empty>" not in server.kubectl("explain", f"{kind.lower()}.spec")
