"""What the operator may do, and what it may not (X2): tried on the API server, not read from a file."""

from __future__ import annotations

import json
import shlex

import pytest

from demo.kubectl import Kubectl
from tests.cluster.conftest import OPERATOR_NAMESPACE, RELEASE

ACCOUNT = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{RELEASE}"


def can(kubectl: Kubectl, verb: str, resource: str, namespace: str) -> bool:
    done = kubectl.attempt("auth", "can-i", verb, resource, "-n", namespace, f"--as={ACCOUNT}", show=False)
    return done.stdout.strip() == "yes"


def test_the_operator_becomes_ready_and_helm_test_passes(operator: Kubectl) -> None:
    done = operator.program("helm", "test", RELEASE, "-n", OPERATOR_NAMESPACE, "--timeout", "300s", show=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_three_commands_of_the_notes_work(operator: Kubectl) -> None:
    notes = operator.program("helm", "get", "notes", RELEASE, "-n", OPERATOR_NAMESPACE, show=False).stdout
    commands = [shlex.split(line) for line in notes.splitlines() if line.startswith("  kubectl ")]
    assert len(commands) == 3
    for command in commands:
        done = operator.attempt(*command[1:], show=False)
        assert done.returncode == 0, (command, done.stderr)


@pytest.mark.parametrize("namespace", ["kube-system", "default"])
def test_the_operator_reads_no_secret_of_a_namespace_it_does_not_serve__X2(operator: Kubectl, namespace: str) -> None:
    assert can(operator, "list", "tenantretentionpolicies.tenantretention.io", namespace), (
        "asked about the wrong account"
    )
    for verb in ("get", "list", "watch", "create", "update", "patch", "delete"):
        assert not can(operator, verb, "secrets", namespace), verb
    listed = operator.run("auth", "can-i", "--list", "-n", namespace, f"--as={ACCOUNT}", show=False)
    assert "secrets" not in listed
    assert "pods/exec" not in listed
    # And tried, with what is always there.
    for command in (("get", "secrets"), ("get", "configmap", "kube-root-ca.crt"), ("delete", "secret", "none")):
        done = operator.attempt(*command, "-n", namespace, f"--as={ACCOUNT}", show=False)
        assert done.returncode != 0
        assert "is forbidden" in done.stderr or "Forbidden" in done.stderr, done.stderr


def test_the_operator_cannot_let_itself_into_a_namespace_that_is_not_labelled__X2(operator: Kubectl) -> None:
    done = operator.attempt(
        "create", "-f", "-", f"--as={ACCOUNT}", text=binding("kube-system", f"{RELEASE}-tenant", ACCOUNT), show=False
    )
    assert done.returncode != 0
    assert "tenantretention.io/tenant" in done.stderr, done.stderr


def test_the_operator_cannot_give_its_tenant_role_to_somebody_else__X2(operator: Kubectl) -> None:
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "labelled", "labels": {"tenantretention.io/tenant": "true"}},
    }
    operator.apply([namespace])
    try:
        other = "system:serviceaccount:labelled:default"
        done = operator.attempt(
            "create", "-f", "-", f"--as={ACCOUNT}", text=binding("labelled", f"{RELEASE}-tenant", other), show=False
        )
        assert done.returncode != 0, "a binding for somebody else was let through"
        done = operator.attempt(
            "create", "-f", "-", f"--as={ACCOUNT}", text=binding("labelled", "admin", ACCOUNT), show=False
        )
        assert done.returncode != 0, "a binding to another role was let through"
    finally:
        operator.run("delete", "namespace", "labelled", "--wait=false", show=False)


def binding(namespace: str, role: str, account: str) -> str:
    _, _, home, name = account.split(":")
    return json.dumps(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"namespace": namespace, "name": "trial"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "namespace": home, "name": name}],
        }
    )
