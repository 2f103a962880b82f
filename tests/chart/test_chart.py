"""The Helm chart as a platform engineer meets it: rendered by the real Helm, no cluster needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.settings import Settings
from tenant_retention.telemetry import Telemetry
from tests.chart.validate import schema_errors

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "tenant-retention-operator"


@pytest.fixture(scope="session")
def helm() -> str:
    """Path of the Helm that the project builds for itself."""
    done = subprocess.run(
        [sys.executable, "-m", "devcluster", "part", "helm"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


def run(helm: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HELM_CACHE_HOME": "/tmp/helm-cache", "KUBECONFIG": "/dev/null"}
    return subprocess.run([helm, *arguments], text=True, capture_output=True, check=False, env=environment)


def render(helm: str, *arguments: str) -> list[dict[str, Any]]:
    done = run(helm, "template", "trial", str(CHART), "--namespace", "retention", *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def test_it_installs_with_no_value_set(helm: str) -> None:
    kinds = {document["kind"] for document in render(helm)}
    assert {"Deployment", "ClusterRole", "CustomResourceDefinition", "ServiceAccount", "Service"} <= kinds


def test_helm_lint_finds_nothing(helm: str) -> None:
    done = run(helm, "lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cluster_older_than_the_documentation_says_is_refused(helm: str) -> None:
    said = re.search(r"The cluster needs Kubernetes 1\.(\d+) or newer", (ROOT / "docs" / "clusters.md").read_text())
    assert said, "docs/clusters.md no longer says which Kubernetes a cluster needs"
    oldest = int(said[1])

    def rendered_for(minor: int) -> subprocess.CompletedProcess[str]:
        return run(helm, "template", "trial", str(CHART), "--kube-version", f"1.{minor}.0")

    assert rendered_for(oldest).returncode == 0, rendered_for(oldest).stderr
    refused = rendered_for(oldest - 1)
    assert refused.returncode != 0
    assert f">=1.{oldest}.0-0" in refused.stderr


def test_the_chart_carries_every_definition_that_was_generated(helm: str) -> None:
    rendered = {crd["metadata"]["name"]: crd["spec"] for crd in of_kind(render(helm), "CustomResourceDefinition")}
    generated = {
        document["metadata"]["name"]: document["spec"]
        for path in sorted((ROOT / "crds").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    }
    assert len(generated) == 7
    assert rendered == generated


def test_the_definitions_survive_an_uninstall_unless_told_otherwise(helm: str) -> None:
    def policies(*arguments: str) -> set[str]:
        crds = of_kind(render(helm, *arguments), "CustomResourceDefinition")
        return {crd["metadata"].get("annotations", {}).get("helm.sh/resource-policy", "") for crd in crds}

    assert policies() == {"keep"}
    assert policies("--set", "crds.keep=false") == {""}
    assert policies("--set", "crds.enabled=false") == set()


@pytest.mark.parametrize(
    "setting, named",
    [
        ("imgae.tag=1", "imgae"),
        ("image.digest=abc", "digest"),
        ("crds.enabeld=true", "enabeld"),
        ("resync.intervalSeconds=0", "intervalSeconds"),
        ("logLevel=LOUD", "logLevel"),
        ("metrics.prot=1", "prot"),
        ("metrics.networkPolicy.form=1", "form"),
        ("metrics.networkPolicy.from[0].podSelecter.matchLabels.a=b", "podSelecter"),
    ],
)
def test_a_typo_in_the_values_is_refused_by_name(helm: str, setting: str, named: str) -> None:
    done = run(helm, "template", "trial", str(CHART), "--set", setting)
    assert done.returncode != 0
    assert named in done.stderr


def test_it_works_as_a_subchart(helm: str, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / "tenant-retention-operator").symlink_to(CHART)
    chart = {"apiVersion": "v2", "name": "parent", "version": "0.0.1"}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart))
    values = {
        "global": {"imageRegistry": "mirror.example.com", "other": 1},
        "tenant-retention-operator": {"enabled": True},
    }
    (parent / "values.yaml").write_text(yaml.safe_dump(values))
    done = run(helm, "template", "trial", str(parent))
    assert done.returncode == 0, done.stderr
    assert "mirror.example.com/localhost/tenant-retention/tenant-retention-operator:" in done.stdout


def test_a_digest_wins_over_the_tag(helm: str) -> None:
    digest = "sha256:" + "0" * 64
    (deployment,) = of_kind(render(helm, "--set", f"image.digest={digest}"), "Deployment")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith("@" + digest)


def test_the_operator_pod_is_restricted_and_alone(helm: str) -> None:
    (deployment,) = of_kind(render(helm), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names)), "Helm applies server-side: no variable twice"


def test_the_kubelet_asks_whether_the_watches_still_live(helm: str) -> None:
    (deployment,) = of_kind(render(helm), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (port,) = [port["containerPort"] for port in container["ports"] if port["name"] == "http"]
    assert port == Settings.http_port
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: (get["path"], get["port"]) for name, get in asked.items()} == {
        "startup": ("/healthz", "http"),
        "liveness": ("/healthz", "http"),
        "readiness": ("/readyz", "http"),
    }


def test_the_notes_end_with_three_commands_about_what_was_installed(helm: str) -> None:
    done = run(helm, "install", "trial", str(CHART), "--namespace", "retention", "--dry-run=client")
    assert done.returncode == 0, done.stderr
    notes = done.stdout.split("NOTES:")[1]
    commands = [line.split() for line in notes.splitlines() if line.startswith("  kubectl ")]
    assert len(commands) == 3
    assert commands[0][1:5] == ["-n", "retention", "rollout", "status"]
    (deployment,) = of_kind(render(helm), "Deployment")
    assert commands[0][5] == f"deployment/{deployment['metadata']['name']}"
    plurals = {crd["spec"]["names"]["plural"] for crd in of_kind(render(helm), "CustomResourceDefinition")}
    for command in commands[1:]:
        assert command[1] == "get"
        assert set(command[2].split(",")) <= plurals


def test_no_cluster_wide_role_of_the_operator_reads_secrets__X2(helm: str) -> None:
    documents = render(helm)
    bound = {binding["roleRef"]["name"] for binding in of_kind(documents, "ClusterRoleBinding")}
    for role in of_kind(documents, "ClusterRole"):
        if role["metadata"]["name"] not in bound:
            continue
        for rule in role["rules"]:
            assert "secrets" not in rule["resources"], rule
            assert "*" not in rule["resources"] + rule["verbs"] + rule["apiGroups"], rule


def test_the_operator_may_bind_one_role_only__X2(helm: str) -> None:
    rules = [rule for role in of_kind(render(helm), "ClusterRole") for rule in role["rules"] if "bind" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in rules] == [["trial-tenant-retention-operator-tenant"]]
    escalations = {"escalate", "impersonate"}
    assert not [
        r for role in of_kind(render(helm), "ClusterRole") for r in role["rules"] if escalations & set(r["verbs"])
    ]


def test_the_operator_never_writes_a_spec_and_never_deletes_what_holds_data__X5(helm: str) -> None:
    rules = [
        rule
        for role in (*of_kind(render(helm), "ClusterRole"), *of_kind(render(helm), "Role"))
        if not role["metadata"]["name"].endswith(("-view", "-edit", "-platform", "-legal", "-privacy"))
        for rule in role["rules"]
    ]
    given = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    users = {"tenantretentionpolicies", "retentionprofiles", "datastoreclasses", "retentionruns"}
    users |= {"legalholds", "datasubjectrequests"}
    assert not {(resource, verb) for resource, verb in given if resource in users and verb in {"patch", "update"}}
    # A StatefulSet holds none: its claims stay, and the operator waits until they are not the StatefulSet's own.
    data = {"datastores", "services", "persistentvolumeclaims", "persistentvolumes", "namespaces"}
    assert not {(resource, verb) for resource, verb in given if resource in data and verb.startswith("delete")}


def test_a_missing_service_monitor_kind_is_skipped_refused_or_rendered_as_told(helm: str) -> None:
    enabled = ("--set", "metrics.serviceMonitor.enabled=true")
    assert of_kind(render(helm, *enabled), "ServiceMonitor") == []
    always = render(helm, *enabled, "--set", "metrics.serviceMonitor.renderMode=alwaysRender")
    (found,) = of_kind(always, "ServiceMonitor")
    # Prometheus would put the operator's namespace in the place of each policy's.
    assert all(endpoint["honorLabels"] is True for endpoint in found["spec"]["endpoints"])
    failing = ("--set", "metrics.serviceMonitor.renderMode=failIfMissing")
    done = run(helm, "template", "trial", str(CHART), *enabled, *failing)
    assert done.returncode != 0
    assert "renderMode" in done.stderr


def test_the_alerts_are_rendered_where_they_are_asked_for_and_ask_for_metrics_that_there_are__X4_T6(helm: str) -> None:
    assert of_kind(render(helm), "PrometheusRule") == []
    enabled = ("--set", "metrics.prometheusRule.enabled=true")
    assert of_kind(render(helm, *enabled), "PrometheusRule") == []
    done = run(
        helm, "template", "trial", str(CHART), *enabled, "--set", "metrics.prometheusRule.renderMode=failIfMissing"
    )
    assert done.returncode != 0
    assert "renderMode" in done.stderr
    always = render(helm, *enabled, "--set", "metrics.prometheusRule.renderMode=alwaysRender")
    (found,) = of_kind(always, "PrometheusRule")
    rules = [rule for group in found["spec"]["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"tenant_retention_[a-z_]+", rule["expr"])}
    assert len(asked) == len(rules)
    assert asked <= {metric.name for metric in Telemetry().described()}
    labels = {metric.name: set(metric.labels) for metric in Telemetry().described()}
    of_the_kubelet = {"namespace", "persistentvolumeclaim"}
    for rule in rules:
        (name,) = re.findall(r"tenant_retention_[a-z_]+", rule["expr"])
        known = of_the_kubelet if "kubelet_" in rule["expr"] else labels[name]
        said = set(re.findall(r"\$labels[.]([a-z]+)", json.dumps(rule["annotations"])))
        assert said <= known, rule["alert"]
        # A series with the pod's name would begin each "for" anew whenever the operator restarts.
        kept = re.search(r"(?:sum|max|min) by \(([a-z, ]+)\)|absent", rule["expr"])
        assert kept is not None, rule["alert"]
        assert said <= set((kept[1] or "").split(", ")), rule["alert"]


def test_every_reason_why_a_policy_is_not_compliant_is_alarmed_but_what_this_version_never_enforces__P10_X6(
    helm: str,
) -> None:
    always = ("--set", "metrics.prometheusRule.enabled=true", "--set", "metrics.prometheusRule.renderMode=alwaysRender")
    (found,) = of_kind(render(helm, *always), "PrometheusRule")
    rules = {rule["alert"]: rule for group in found["spec"]["groups"] for rule in group["rules"]}
    expression = rules["TenantRetentionNotCompliant"]["expr"]
    silent = set(re.findall(r'reason!~"([A-Za-z|]+)"', expression)[0].split("|"))
    assert silent == {Reason.CATEGORIES_NOT_ENFORCED.value, Reason.RUN_FAILED.value}
    assert "tenant_retention_last_run_failed" in rules["TenantRetentionRunFailed"]["expr"]


def test_only_prometheus_and_helm_test_reach_the_operators_port_and_its_own_way_out_stays_open__X2(helm: str) -> None:
    documents = render(helm)
    (found,) = of_kind(documents, "NetworkPolicy")
    assert schema_errors(found) == []
    (deployment,) = of_kind(documents, "Deployment")
    template = deployment["spec"]["template"]
    # It is about the operator's own pod, by labels that values cannot take away.
    assert found["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert found["spec"]["policyTypes"] == ["Ingress"]
    (rule,) = found["spec"]["ingress"]
    assert rule["ports"] == [
        {"protocol": "TCP", "port": template["spec"]["containers"][0]["ports"][0]["containerPort"]}
    ]
    tester, prometheus = rule["from"]
    (pod,) = of_kind(documents, "Pod")
    assert tester["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert not tester["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    # Both selectors in one peer: a customer cannot give its own pods access by a label.
    assert prometheus == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    }


def test_who_reads_the_metrics_is_a_value_and_nobody_named_never_means_everybody(helm: str) -> None:
    def sources(*arguments: str) -> list[dict[str, Any]]:
        (found,) = of_kind(render(helm, *arguments), "NetworkPolicy")
        assert schema_errors(found) == []
        peers: list[dict[str, Any]] = found["spec"]["ingress"][0]["from"]
        return peers

    other = {"namespaceSelector": {"matchLabels": {"team": "observability"}}}
    named = sources("--set-json", f"metrics.networkPolicy.from={json.dumps([other])}")
    assert named[1:] == [other]
    assert sources("--set-json", "metrics.networkPolicy.from=[]") == named[:1]
    assert named[0]["podSelector"]["matchLabels"]
    assert of_kind(render(helm, "--set", "metrics.networkPolicy.enabled=false"), "NetworkPolicy") == []


def test_served_namespaces_get_their_role_binding_from_the_chart(helm: str) -> None:
    bindings = of_kind(render(helm, "--set", "watchNamespaces={customer-a,customer-b}"), "RoleBinding")
    assert {"customer-a", "customer-b", "retention"} == {binding["metadata"]["namespace"] for binding in bindings}


def test_every_default_image_is_pinned_to_a_tag_other_than_latest(helm: str) -> None:
    text = json.dumps(render(helm))
    assert ":latest" not in text


def test_the_release_fits_into_its_secret(helm: str) -> None:
    """Helm keeps a release gzipped in a Secret: at most 200 KiB here."""
    import base64
    import gzip

    done = run(helm, "template", "trial", str(CHART))
    files = [path.read_text() for path in CHART.rglob("*") if path.is_file()]
    assert len(base64.b64encode(gzip.compress("".join([done.stdout, *files]).encode()))) <= 200 * 1024
