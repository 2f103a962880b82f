"""One installation of the operator on a real cluster, shared by all cluster tests; each test makes tenants of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.kubectl import Kubectl, cluster_environment, wait

ROOT = Path(__file__).resolve().parents[2]
OPERATOR_NAMESPACE = "tenant-retention-system"
RELEASE = "tenant-retention-operator"
RESYNC_SECONDS = 15
QUIET = {"start": f"{datetime.now(UTC) + timedelta(hours=12):%H}:00"}
"""The nightly window of every tenant here, whatever the time of day: a night that nobody started would be in a test's way."""


@dataclass(frozen=True)
class Tenant:
    """A namespace with one policy."""

    kubectl: Kubectl
    namespace: str
    name: str

    def place(self) -> tuple[str, str]:
        """Arguments that select the namespace."""
        return ("-n", self.namespace)

    def policy(self) -> Any:
        """The policy as the cluster holds it."""
        return self.kubectl.get(*self.place(), "trp", self.name)

    def status(self) -> Any:
        """Its status."""
        return self.policy().get("status", {})

    def condition(self, kind: str) -> dict[str, Any]:
        """One condition of it, empty if there is none."""
        found = [c for c in self.status().get("conditions", []) if c["type"] == kind]
        return found[0] if found else {}

    def wait_for(self, condition: str, seconds: int = 300) -> None:
        """Waits as a user does; says what the policy's conditions are if it does not come."""
        place = (*self.place(), f"trp/{self.name}")
        done = self.kubectl.attempt("wait", f"--for={condition}", *place, f"--timeout={seconds}s", show=False)
        assert done.returncode == 0, f"{condition} did not come: {done.stderr} {self.status().get('conditions')}"

    def apply(self, spec: dict[str, Any]) -> None:
        """Applies the policy with this spec."""
        self.kubectl.apply([policy(self.namespace, self.name, spec)])

    def begin(self, spec: dict[str, Any]) -> str:
        """Creates a RetentionRun; its name, as kubectl takes it."""
        run = {
            "apiVersion": "tenantretention.io/v1alpha1",
            "kind": "RetentionRun",
            "metadata": {"namespace": self.namespace, "generateName": "test-"},
            "spec": {"policyRef": {"name": self.name}, **spec},
        }
        return self.kubectl.run("create", "-f", "-", "-o", "name", text=json.dumps(run), show=False).strip()

    def run(self, spec: dict[str, Any], seconds: int = 300) -> Any:
        """Creates a RetentionRun and waits for its end; the finished object."""
        made = self.begin(spec)

        def ended() -> Any:
            found = self.kubectl.get(*self.place(), made)
            return found if found.get("status", {}).get("phase") in ("Succeeded", "Failed", "Stopped") else None

        return wait(f"{made} to end", seconds, ended)


def policy(namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A TenantRetentionPolicy, whose own night begins half a day from now."""
    metadata = {"namespace": namespace, "name": name}
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "TenantRetentionPolicy",
        "metadata": metadata,
        "spec": {"window": QUIET, **spec},
    }


SPEC = {"profileRef": {"name": "small"}, "retention": [{"category": "records", "keep": "P30D"}]}
"""The shortest policy of the tests' own small profile."""


def small_profile() -> dict[str, Any]:
    """Records and recordings, partitions of a few months only: quick to make."""
    path = ROOT / "tests" / "cluster" / "small-profile.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    """The cluster that ``python3 -m devcluster up`` started, or the current one with CLUSTER=current."""
    return Kubectl(cluster_environment(ROOT))


def install_operator(kubectl: Kubectl) -> None:
    """Installs the operator with Helm; its resync is quick so that drift tests need not wait long."""
    done = kubectl.program(
        "helm", "upgrade", "--install", RELEASE, str(ROOT / "charts/tenant-retention-operator"),
        "-n", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "300s",
        "--set", f"resync.intervalSeconds={RESYNC_SECONDS}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def operator(kubectl: Kubectl) -> Kubectl:
    """The operator, installed once for all tests, with the profile that most of them use."""
    install_operator(kubectl)
    kubectl.apply([small_profile()])
    return kubectl


@pytest.fixture
def tenants(operator: Kubectl) -> Iterator[Callable[..., Tenant]]:
    """Makes tenants: ``tenants(namespace, name, spec)``; afterwards their namespaces and ledger entries are removed."""
    with passing_tenants(operator) as make:
        yield make


@contextmanager
def passing_tenants(operator: Kubectl) -> Iterator[Callable[..., Tenant]]:
    """See ``tenants``; for those who share one among several tests."""
    made: list[str] = []

    def make(namespace: str, name: str = "acme", spec: dict[str, Any] | None = None, *, served: bool = True) -> Tenant:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        if served:
            labels["tenantretention.io/tenant"] = "true"
        metadata = {"name": namespace, "labels": labels}
        operator.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
        made.append(namespace)
        tenant = Tenant(operator, namespace, name)
        tenant.apply(spec or SPEC)
        return tenant

    yield make
    for namespace in set(made):
        # The policies first, so that their stores are Released and nobody needs their ledger entries any more.
        operator.run("-n", namespace, "delete", "trp", "--all", "--ignore-not-found", "--timeout=60s", show=False)
        operator.run("delete", "namespace", namespace, "--wait=false", "--ignore-not-found", show=False)
    for store in operator.get("dst")["items"]:
        if store["spec"]["namespace"] in made:
            operator.run("delete", "dst", store["metadata"]["name"], "--timeout=60s", show=False)
    for namespace in set(made):
        # Among them the fingerprint of a key of backups: it outlives the key, which went with the namespace.
        secrets = ("-n", OPERATOR_NAMESPACE, "delete", "secret", "-l", f"tenantretention.io/namespace={namespace}")
        operator.run(*secrets, show=False)
