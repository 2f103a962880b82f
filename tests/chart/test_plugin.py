"""``kubectl retention`` against a real API server with the chart's admission policies and roles: it may what its user may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.test_api_server import API, install, policy
from tests.support.api_cases import ROOT
from tests.support.api_server import ApiServer, start
from tests.support.ports import free_ports

POLICIES = f"{API}/namespaces/default/tenantretentionpolicies"
HOLDS = f"{API}/namespaces/default/legalholds"
RUNS = f"{API}/namespaces/default/retentionruns"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with the chart's definitions and one policy, which asks for an approval."""
    running = start(tmp_path_factory.mktemp("plugin"))
    try:
        install(running)
        assert running.request("POST", POLICIES, policy("acme")).ok
        conditions = [
            {"type": "Ready", "status": "True", "reason": "Enforcing", "message": "", "observedGeneration": 1},
            {
                "type": "Compliant",
                "status": "False",
                "reason": "DeletionDebt",
                "message": "3 rows are past max",
                "observedGeneration": 1,
            },
        ]
        for condition in conditions:
            condition["lastTransitionTime"] = "2026-11-22T00:00:00Z"
        status = {
            "observedGeneration": 1,
            "conditions": conditions,
            "approval": {"rulesDigest": DIGEST, "rows": 7, "categories": ["recordings"]},
        }
        told = running.request(
            "PATCH", f"{POLICIES}/acme/status", {"status": status}, content_type="application/merge-patch+json"
        )
        assert told.ok, told.text
        yield running
    finally:
        running.stop()


def plugin(
    server: ApiServer, *arguments: str, user: str = "administrator", kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What the plugin says as one of the server's users, in a process of its own as kubectl starts it."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "tenant_retention.cli.plugin",
            *arguments,
            *(("--kubeconfig", str(kubeconfig or server.folder / "kubeconfig"), "--context", user)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def kept(server: ApiServer, path: str) -> Any:
    return server.request("GET", path).json()


def tell_seen(server: ApiServer, generation: int) -> None:
    """What the operator does once it has seen an edit."""
    status = {"status": {"observedGeneration": generation}}
    path = f"{POLICIES}/acme/status"
    assert server.request("PATCH", path, status, content_type="application/merge-patch+json").ok


def test_status_reads_what_the_server_has_and_leaves_with_2_for_debt__X4(server: ApiServer) -> None:
    table = plugin(server, "status", user="tenant")
    assert (table.returncode, table.stderr) == (2, "")
    assert "default/acme: Compliant: 3 rows are past max" in table.stdout
    document = plugin(server, "status", "acme", "-o", "json")
    (found,) = json.loads(document.stdout)["items"]
    assert found["spec"]["profileRef"] == {"name": "puzzel-archive"}
    assert "managedFields" not in found["metadata"]


def test_a_tenant_cannot_suspend_by_the_plugin_and_the_platform_can__X2(server: ApiServer) -> None:
    refused = plugin(server, "suspend", "acme", user="tenant")
    assert refused.returncode in (1, 3)
    assert "tenantretentionpolicies/platform" in refused.stderr
    assert plugin(server, "suspend", "acme", "--dry-run", user="platform").returncode == 0
    assert kept(server, f"{POLICIES}/acme")["spec"].get("suspend", False) is False
    assert plugin(server, "suspend", "acme", user="platform").stdout == "acme: suspended\n"
    changed = kept(server, f"{POLICIES}/acme")
    assert changed["spec"]["suspend"] is True
    assert "kubectl-retention" in {entry["manager"] for entry in changed["metadata"]["managedFields"]}
    assert plugin(server, "resume", "acme", user="platform").returncode == 0


def test_approving_by_the_plugin_needs_the_verb__X2(server: ApiServer) -> None:
    generation = kept(server, f"{POLICIES}/acme")["metadata"]["generation"]
    tell_seen(server, generation - 1)
    old = plugin(server, "approve", "acme", "--yes", "--no-wait", user="platform")
    assert (old.returncode, kept(server, RUNS)["items"]) == (2, [])
    tell_seen(server, generation)
    refused = plugin(server, "approve", "acme", "--yes", "--no-wait", user="tenant")
    assert refused.returncode in (1, 3)
    assert "approve" in refused.stderr
    assert kept(server, RUNS)["items"] == []
    assert plugin(server, "approve", "acme", "--dry-run", user="platform").returncode == 0
    assert kept(server, RUNS)["items"] == []
    assert plugin(server, "approve", "acme", "--yes", "--no-wait", user="platform").returncode == 0
    (made,) = kept(server, RUNS)["items"]
    assert made["spec"]["approves"]["rulesDigest"] == DIGEST
    assert made["spec"]["approves"]["maxRows"] == 7


def test_legal_places_and_releases_a_hold_and_the_platform_cannot_release_it__X3_X2(server: ApiServer) -> None:
    line = ("hold", "case-17", "--reference", "case 17", "--session", "7f3a", "--no-wait")
    assert plugin(server, *line, user="platform").returncode == 0
    refused = plugin(server, "release", "case-17", "--reason", "closed", "--yes", "--no-wait", user="platform")
    assert refused.returncode in (1, 3)
    assert "releasing" in refused.stderr
    assert "release" not in kept(server, f"{HOLDS}/case-17")["spec"]
    of_another = {"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}, "spec": {"release": {"reason": "x"}}}
    path = f"{HOLDS}/case-17"
    answer = server.request("PATCH", path, of_another, content_type="application/merge-patch+json")
    assert answer.status_code in (409, 422), answer.text
    released = plugin(server, "release", "case-17", "--reason", "closed", "--yes", "--no-wait", user="legal")
    assert released.returncode == 0, released.stderr
    assert kept(server, f"{HOLDS}/case-17")["spec"]["release"] == {"reason": "closed"}


def test_what_the_server_refuses_is_told_in_its_words_and_changes_nothing__X1(server: ApiServer) -> None:
    missing = plugin(server, "run", "acme", "--yes", "-n", "nowhere")
    assert missing.returncode == 1
    assert "is not in namespace nowhere" in missing.stderr
    unknown = plugin(server, "status", user="nobody")
    assert unknown.returncode == 1
    assert "there is no context nobody" in unknown.stderr


def test_a_report_of_a_tenant_tells_what_its_reader_may_not_see__X2(server: ApiServer, tmp_path: Path) -> None:
    done = plugin(server, "report", str(tmp_path / "report.zip"), user="tenant")
    assert done.returncode == 0, done.stderr
    assert "1 tenantretentionpolicies" in done.stdout
    assert "left out: pods" in done.stdout


def test_a_server_that_does_not_answer_leaves_with_3(server: ApiServer, tmp_path: Path) -> None:
    away = yaml.safe_load((server.folder / "kubeconfig").read_text())
    away["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_ports(1)[0]}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(away))
    done = plugin(server, "status", kubeconfig=path)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
