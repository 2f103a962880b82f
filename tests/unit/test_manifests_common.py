"""What holds for every object that the operator puts anywhere: schema, names, labels, owners, Pod Security."""

from __future__ import annotations

import copy
import json
import re
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests import bindings, jobs, metadata, postgresql
from tenant_retention.domain.manifests.inputs import EmbeddedPostgres, Image, PolicyRef, RunRef
from tenant_retention.domain.plan_document import Task
from tests.chart.validate import pod_security_errors, pod_spec, schema_errors
from tests.unit.manifest_examples import (
    CERTIFICATE,
    NOW,
    OPERATOR,
    PASSWORD,
    POLICY,
    POSTGRES,
    POSTGRES_CREDENTIALS,
    S3,
    VERIFIER,
    every_object,
    lasting_objects,
    schedule_objects,
)

DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def test_every_object_is_valid_for_kubernetes_1_36() -> None:
    assert [error for one in every_object() for error in schema_errors(one)] == []


def test_the_schema_check_notices_a_misspelt_field() -> None:
    broken = copy.deepcopy(next(one for one in every_object() if one["kind"] == "CronJob"))
    broken["spec"]["timezone"] = "UTC"
    assert schema_errors(broken) != []


def test_every_pod_passes_restricted_pod_security_with_a_read_only_root_and_no_token() -> None:
    pods = [pod for one in every_object() if (pod := pod_spec(one)) is not None]
    assert len(pods) == 6
    assert [error for pod in pods for error in pod_security_errors(pod)] == []


@pytest.mark.parametrize(
    "path, value",
    [
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "runAsUser"), 0),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
        (("hostNetwork",), True),
        (("automountServiceAccountToken",), True),
        (("volumes", 0), {"name": "h", "hostPath": {"path": "/"}}),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
        (("containers", 0, "resources"), {}),
        (("containers", 0, "image"), "localhost/postgres"),
    ],
)
def test_the_pod_security_check_notices(path: tuple[str | int, ...], value: object) -> None:
    pod = copy.deepcopy(pod_spec(postgresql.embedded_postgresql(POSTGRES)[-1]))
    assert pod is not None
    place: Any = pod
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert len(pod_security_errors(pod)) == 1


def test_every_object_says_whose_it_is() -> None:
    for one in every_object():
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "tenant-retention-operator"
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= set(labels)
        assert all(LABEL_VALUE.fullmatch(value) for value in labels.values())


def test_deleting_the_policy_takes_no_data_and_no_credentials_along__X5() -> None:
    assert [one["kind"] for one in lasting_objects() if "ownerReferences" in one["metadata"]] == []
    (stateful_set,) = (one for one in postgresql.embedded_postgresql(POSTGRES) if one["kind"] == "StatefulSet")
    assert stateful_set["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert "ownerReferences" not in stateful_set["spec"]["volumeClaimTemplates"][0]["metadata"]


def test_jobs_plans_and_their_network_policy_go_with_their_owner_and_never_hold_it_up() -> None:
    for one in schedule_objects():
        (owner,) = one["metadata"]["ownerReferences"]
        assert owner["kind"] in {"TenantRetentionPolicy", "RetentionRun"}
        assert owner["blockOwnerDeletion"] is False


def test_no_secret_shows_in_a_repr_or_outside_a_secret() -> None:
    assert VERIFIER not in repr(POSTGRES)
    assert "s3cr3t" not in repr(S3)
    assert PASSWORD not in repr(POSTGRES_CREDENTIALS)
    assert CERTIFICATE.key not in repr(CERTIFICATE)
    for one in every_object():
        if one["kind"] != "Secret":
            text = json.dumps(one)
            assert all(word not in text for word in (VERIFIER, "s3cr3t", "PRIVATE KEY", "ab" * 32))


def test_the_tenants_namespace_holds_the_verifier_and_never_the_administrators_password() -> None:
    secrets = [one for one in postgresql.embedded_postgresql(POSTGRES) if one["kind"] == "Secret"]
    values = {key: b64decode(value).decode() for one in secrets for key, value in one["data"].items()}
    assert set(values) == {"tls.crt", "tls.key", "scram-verifier"}
    assert values["scram-verifier"] == VERIFIER


HOSTILE_NAMES = [
    "", "A", "a" * 41, "a" * 300, "-a", "a-", "a.b", "a_b", "a b", "a'b", 'a"b', "a;b", "a\nb", "a\x00b", "ü", "../a", "{{a}}",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_policy_name_is_refused_with_the_fields_name(name: str) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name") as caught:
        PolicyRef("customer-acme", name, "uid")
    assert caught.value.field == "metadata.name"
    assert len(caught.value.message) < 300


def test_a_hostile_namespace_is_refused_with_the_fields_name() -> None:
    with pytest.raises(Invalid, match=r"metadata\.namespace"):
        PolicyRef("a/b", "acme", "uid")


dns_labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)


@given(namespace=dns_labels, name=dns_labels, purpose=st.text(max_size=300), run=dns_labels)
def test_names_fit_kubernetes_whatever_the_policy_is_called(namespace: str, name: str, purpose: str, run: str) -> None:
    policy = PolicyRef(namespace, name, "0b1c2d3e-0000-4000-8000-000000000001")
    assert len(metadata.server_name(policy, "postgresql")) <= 52
    assert len(jobs.cron_job_name(policy, Task.BACKUP)) <= 52
    assert len(jobs.missed_job_name(policy, NOW)) <= 63
    reference = RunRef(run, policy.uid)
    for found in (
        metadata.server_name(policy, "postgresql"),
        jobs.cron_job_name(policy),
        jobs.missed_job_name(policy, NOW),
        jobs.run_job_name(policy, reference),
        jobs.plan_name(policy, reference),
        jobs.plan_name(policy, task=Task.BACKUP),
        metadata.operator_secret_name(policy, "postgresql-admin"),
        metadata.binding_name(policy, "Analytical", "app"),
    ):
        assert DNS_SUBDOMAIN.fullmatch(found)
        assert len(found) <= 63
    assert LABEL_VALUE.fullmatch(metadata.labels(policy, "x", purpose=purpose)["tenantretention.io/policy"])


def test_two_tenants_whose_names_read_alike_share_no_secret_in_the_operators_namespace() -> None:
    first = metadata.operator_secret_name(PolicyRef("a-b", "c", "1"), "postgresql-admin")
    second = metadata.operator_secret_name(PolicyRef("a", "b-c", "2"), "postgresql-admin")
    assert first != second


def test_two_long_names_that_are_equal_after_cutting_stay_two() -> None:
    names = {
        metadata.operator_secret_name(PolicyRef("n" * 63, "p" * 39 + end, "1"), "postgresql-admin") for end in "ab"
    }
    assert len(names) == 2


def test_long_purposes_give_bounded_binding_names() -> None:
    names = {metadata.binding_name(POLICY, "DialogueManagement" * 9 + end, "enforcer") for end in ("A", "B")}
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)


def test_building_twice_gives_equal_objects() -> None:
    server = EmbeddedPostgres(POLICY, OPERATOR, Image("localhost/postgres:17.11"), CERTIFICATE, VERIFIER)
    assert postgresql.embedded_postgresql(server) == postgresql.embedded_postgresql(POSTGRES)
    assert bindings.postgres_binding(POLICY, "Analytical", "app", POSTGRES_CREDENTIALS) == bindings.postgres_binding(
        POLICY, "Analytical", "app", POSTGRES_CREDENTIALS
    )
