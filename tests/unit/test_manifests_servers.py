"""The embedded servers in the tenant's namespace, and who may reach them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests import metadata, networking, postgresql, seaweedfs
from tenant_retention.domain.manifests.inputs import (
    Amounts,
    DnsServers,
    Endpoint,
    Image,
    OperatorRef,
    Resources,
    ServerCertificate,
)
from tests.unit.manifest_examples import OPERATOR, POLICY, POSTGRES, S3, of_kind


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector with matchLabels only selects a pod."""
    assert set(selector) == {"matchLabels"}
    return set(selector["matchLabels"].items()) <= set(labels.items())


def pod_labels(manifests: tuple[metadata.Manifest, ...]) -> dict[str, str]:
    found: dict[str, str] = of_kind(manifests, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    return found


SERVERS = [postgresql.embedded_postgresql(POSTGRES), seaweedfs.embedded_s3(S3)]


@pytest.mark.parametrize("manifests", SERVERS)
def test_the_service_the_stateful_set_and_the_network_policy_select_the_servers_pod(
    manifests: tuple[metadata.Manifest, ...],
) -> None:
    labels = pod_labels(manifests)
    assert selects({"matchLabels": of_kind(manifests, "Service")["spec"]["selector"]}, labels)
    assert selects(of_kind(manifests, "StatefulSet")["spec"]["selector"], labels)
    assert selects(of_kind(manifests, "NetworkPolicy")["spec"]["podSelector"], labels)


@pytest.mark.parametrize("manifests", SERVERS)
def test_what_kubernetes_lets_nobody_change_depends_on_nothing_that_changes(
    manifests: tuple[metadata.Manifest, ...],
) -> None:
    other = (
        postgresql.embedded_postgresql(
            replace(POSTGRES, purpose="Analytical", store="s", verifier=POSTGRES.verifier + "A")
        ),
        seaweedfs.embedded_s3(replace(S3, purpose="Content", store="s", access_key="other")),
    )
    name = of_kind(manifests, "StatefulSet")["metadata"]["name"]
    (changed,) = (
        of_kind(one, "StatefulSet") for one in other if of_kind(one, "StatefulSet")["metadata"]["name"] == name
    )
    before = of_kind(manifests, "StatefulSet")["spec"]
    for key in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"):
        assert changed["spec"][key] == before[key]


def test_storage_class_size_and_resources_are_as_the_class_says() -> None:
    amounts = Resources(Amounts("1", "2Gi"), Amounts(memory="4Gi"))
    server = replace(POSTGRES, storage="50Gi", storage_class_name="fast", resources=amounts)
    spec = of_kind(postgresql.embedded_postgresql(server), "StatefulSet")["spec"]
    claim = spec["volumeClaimTemplates"][0]["spec"]
    assert claim["resources"]["requests"]["storage"] == "50Gi"
    assert claim["storageClassName"] == "fast"
    assert spec["template"]["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"memory": "4Gi"},
    }
    default = of_kind(postgresql.embedded_postgresql(POSTGRES), "StatefulSet")["spec"]["volumeClaimTemplates"][0]
    assert "storageClassName" not in default["spec"]


def pod_annotations(manifests: tuple[metadata.Manifest, ...]) -> dict[str, str]:
    found: dict[str, str] = of_kind(manifests, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    return found


def test_a_new_certificate_or_password_restarts_the_server_and_nothing_else_does() -> None:
    before = pod_annotations(postgresql.embedded_postgresql(POSTGRES))
    assert before == pod_annotations(postgresql.embedded_postgresql(replace(POSTGRES, store="other")))
    renewed = pod_annotations(
        postgresql.embedded_postgresql(replace(POSTGRES, certificate=ServerCertificate("new", "key")))
    )
    rotated = pod_annotations(
        postgresql.embedded_postgresql(replace(POSTGRES, verifier=POSTGRES.verifier.replace("c2Fs", "xxxx")))
    )
    assert {key for key in before if before[key] != renewed[key]} == {"tenantretention.io/certificate-digest"}
    assert {key for key in before if before[key] != rotated[key]} == {"tenantretention.io/credentials-digest"}


def test_the_s3_server_restarts_with_new_admin_keys_and_shows_none_of_them() -> None:
    before = pod_annotations(seaweedfs.embedded_s3(S3))
    after = pod_annotations(seaweedfs.embedded_s3(replace(S3, secret_key="other")))
    assert before != after
    container = of_kind(seaweedfs.embedded_s3(S3), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert all("value" not in one or one["name"] == "HOME" for one in container["env"])


@pytest.mark.parametrize("kek", ["", "ab" * 31, "AB" * 32, "zz" * 32, "ab" * 32 + "\n"])
def test_an_s3_server_without_a_proper_encryption_key_is_refused(kek: str) -> None:
    with pytest.raises(Invalid, match="64 hex digits"):
        seaweedfs.embedded_s3(replace(S3, kek=kek))


def test_only_the_tls_port_of_the_s3_server_leaves_the_pod() -> None:
    container = of_kind(seaweedfs.embedded_s3(S3), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    binds = [argument for argument in container["args"] if "ip.bind" in argument]
    assert binds == ["-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"]
    assert "-s3.cert.file=/tls/tls.crt" in container["args"]
    assert not any("s3.port.https" in argument for argument in container["args"])


def test_pull_secrets_and_pull_policy_reach_the_pod() -> None:
    image = Image("registry.example.com/pg:17.11", "Always", ("one", "two"))
    pod = of_kind(postgresql.embedded_postgresql(replace(POSTGRES, image=image)), "StatefulSet")["spec"]["template"][
        "spec"
    ]
    assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert pod["containers"][0]["imagePullPolicy"] == "Always"


def test_the_certificate_names_cover_the_host_in_the_bindings() -> None:
    assert metadata.server_host(POLICY, "postgresql") == "acme-postgresql.customer-acme.svc"
    assert metadata.server_host(POLICY, "postgresql") in metadata.server_dns_names(POLICY, "postgresql")
    assert seaweedfs.endpoint(POLICY) == "https://acme-s3.customer-acme.svc:8333"


@pytest.mark.parametrize(("manifests", "port"), list(zip(SERVERS, (5432, 8333), strict=True)), ids=["postgresql", "s3"])
def test_a_server_answers_the_operator_the_jobs_and_labelled_applications_and_connects_to_nobody(
    manifests: tuple[metadata.Manifest, ...], port: int
) -> None:
    spec = of_kind(manifests, "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []
    (rule,) = spec["ingress"]
    assert rule["ports"] == [{"port": port, "protocol": "TCP"}]
    operator, jobs, applications = rule["from"]
    assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": OPERATOR.namespace}
    assert operator["podSelector"]["matchLabels"] == dict(OPERATOR.pod_labels)
    assert set(jobs) == set(applications) == {"podSelector"}, "a peer without namespaceSelector is of this namespace"
    assert selects(jobs["podSelector"], metadata.selector(POLICY, networking.JOB_COMPONENT))
    assert applications["podSelector"]["matchLabels"] == {"tenantretention.io/access": "acme"}


@pytest.mark.parametrize("manifests", SERVERS, ids=["postgresql", "s3"])
def test_the_jobs_of_another_policy_in_the_namespace_do_not_reach_the_server__X2(
    manifests: tuple[metadata.Manifest, ...],
) -> None:
    jobs = of_kind(manifests, "NetworkPolicy")["spec"]["ingress"][0]["from"][1]
    other = replace(POLICY, name="acme-2")
    assert not selects(jobs["podSelector"], metadata.selector(other, networking.JOB_COMPONENT))


def test_the_operators_own_labels_are_what_the_chart_gives_its_pods() -> None:
    chosen = OperatorRef("ns", pod_labels={"app": "mine"})
    spec = of_kind(postgresql.embedded_postgresql(replace(POSTGRES, operator=chosen)), "NetworkPolicy")["spec"]
    assert spec["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == {"app": "mine"}


def test_jobs_reach_names_their_stores_and_existing_endpoints_only() -> None:
    endpoints = (Endpoint("pg.example.com", 5433), Endpoint("10.0.0.7", 5432), Endpoint("fd00::1", 443))
    spec = networking.jobs_network_policy(POLICY, DnsServers(), (*endpoints, endpoints[0]))["spec"]
    assert spec["ingress"] == []
    dns, database, bucket, cluster, *outside = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert selects(database["to"][0]["podSelector"], pod_labels(SERVERS[0]))
    assert selects(bucket["to"][0]["podSelector"], pod_labels(SERVERS[1]))
    assert cluster["to"] == [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "acme-cnpg"}}}]
    assert outside == [
        {"ports": [{"port": 5432, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}]},
        {"ports": [{"port": 443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "fd00::1/128"}}]},
        {"ports": [{"port": 5433, "protocol": "TCP"}]},
    ]


def test_the_servers_log_settings_write_no_values_of_rows__X6() -> None:
    settings = dict(
        re.findall(
            r"^(\w+) = '?([^'\n]*)'?$", of_kind(SERVERS[0], "ConfigMap")["data"]["postgresql.conf"], re.MULTILINE
        )
    )
    assert settings["log_min_messages"] == "log"
    assert settings["log_min_error_statement"] == "panic"
    assert settings["log_error_verbosity"] == "terse"
    assert settings["log_parameter_max_length_on_error"] == "0"
    assert (settings["ssl"], settings["password_encryption"], settings["timezone"]) == ("on", "scram-sha-256", "UTC")
