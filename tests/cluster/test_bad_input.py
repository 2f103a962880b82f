"""Bad input on a real cluster: the field and the next step are told, nothing is deleted, the neighbour goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demo.kubectl import Kubectl, wait
from tests.cluster.applications import python
from tests.cluster.conftest import OPERATOR_NAMESPACE, SPEC, Tenant, small_profile
from tests.cluster.placed_programs import READ, WRITE

BINDING = "acme-analytical-app"
Tenants = Callable[..., Tenant]
PATIENCE_SECONDS = 300
HOST = "nowhere.trial-bad-server.svc.cluster.local"
CLASSES: dict[str, dict[str, Any]] = {
    "trial-gold": {"provisioner": "Embedded", "allowedNamespaces": {"matchLabels": {"tier": "gold"}}},
    "trial-away": {"provisioner": "Existing", "existing": {"host": HOST, "adminSecretRef": {"name": "trial-away"}}},
    "trial-secretless": {"provisioner": "Existing", "existing": {"host": HOST, "adminSecretRef": {"name": "nobody"}}},
}
WRONG = {
    "trial-bad-class": ("trial-gold", "ClassNotAllowed", "label the namespace or name another class"),
    "trial-bad-server": ("trial-away", "ServerUnreachable", HOST),
    "trial-bad-secret": ("trial-secretless", "SecretNotFound", "spec.existing.adminSecretRef.name"),
}


@pytest.fixture
def classes(operator: Kubectl) -> Iterator[None]:
    """Classes that one cannot use for one reason or another."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": OPERATOR_NAMESPACE, "name": "trial-away"},
        "stringData": {"username": "operator", "password": "never-asked-for"},
    }
    operator.apply([secret, *(_class(name, spec) for name, spec in CLASSES.items())])
    yield
    operator.run("delete", "dsc", *CLASSES, show=False)
    operator.run("-n", OPERATOR_NAMESPACE, "delete", "secret", "trial-away", show=False)


def _class(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    api = "tenantretention.io/v1alpha1"
    return {
        "apiVersion": api,
        "kind": "DataStoreClass",
        "metadata": {"name": name},
        "spec": {"type": "PostgreSQL", **spec},
    }


def becomes(tenant: Tenant, kind: str, reason: str) -> dict[str, Any]:
    """The condition once it has that reason; says what it is if it does not come."""

    def there() -> dict[str, Any]:
        found = tenant.condition(kind)
        return found if found.get("reason") == reason else {}

    found: dict[str, Any] = wait(f"{kind} of {tenant.namespace}/{tenant.name} to be {reason}", PATIENCE_SECONDS, there)
    return found


@pytest.mark.usefixtures("classes")
def test_what_is_wrong_with_a_class_is_told_to_those_who_name_it_and_the_neighbour_notices_nothing__D7_X2(
    tenants: Tenants,
) -> None:
    neighbour = tenants("trial-good")
    neighbour.wait_for("condition=Ready")
    before = neighbour.condition("Ready")
    for namespace, (name, reason, advice) in WRONG.items():
        stores = [{"purpose": "Analytical", "className": name}]
        tenant = tenants(namespace, spec={**SPEC, "stores": stores})
        found = becomes(tenant, "DatabasesReady", reason)
        assert found["status"] == "False"
        assert advice in found["message"]
        assert tenant.condition("Ready")["status"] == "False"
        assert "never-asked-for" not in str(tenant.policy())
        assert tenant.kubectl.get(*tenant.place(), "cronjobs")["items"] == []
    after = neighbour.condition("Ready")
    assert (after["status"], after["lastTransitionTime"]) == ("True", before["lastTransitionTime"])


def test_what_a_tenant_has_under_our_names_stays_the_tenants__D6(operator: Kubectl, tenants: Tenants) -> None:
    namespace = "trial-conflict"
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": "acme-postgresql"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 5432}]},
    }
    operator.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, theirs])
    tenant = tenants(namespace)
    found = becomes(tenant, "Stalled", "StoreConflict")
    assert "Service acme-postgresql" in found["message"]
    assert "remove it, or give the policy another name" in found["message"]
    kept = operator.get("-n", namespace, "service", "acme-postgresql")
    assert kept["spec"]["selector"] == {"app": "theirs"}
    operator.run("-n", namespace, "delete", "service", "acme-postgresql", show=False)
    tenant.wait_for("condition=Ready")


def test_a_profile_that_changes_later_stalls_the_policy_which_stays_enforced_inside_the_new_bounds__X1_M10(
    operator: Kubectl, tenants: Tenants
) -> None:
    profile = small_profile()
    profile["metadata"]["name"] = "changing"
    operator.apply([profile])
    spec = {"profileRef": {"name": "changing"}, "retention": [{"category": "records", "keep": "P60D"}]}
    tenant = tenants("trial-changing", spec=spec)
    tenant.wait_for("condition=Ready")
    assert python(tenant, (BINDING,), "write", WRITE, "50,40", BINDING) == "written"

    tightened = copy.deepcopy(profile)
    for category in tightened["spec"]["categories"]:
        category["max"] = "P45D"
    operator.apply([tightened])
    found = becomes(tenant, "Stalled", "KeepOutOfBounds")
    for word in ("spec.retention[records].keep", "P60D", "max P45D", "write P45D or shorter", "last good rules"):
        assert word in found["message"]
    (records,) = [row for row in tenant.status()["categories"] if row["name"] == "records"]
    assert (records["keep"], records["max"]) == ("P45D", "P45D")
    night = tenant.run({"mode": "Enforce"})
    assert night["status"]["phase"] == "Succeeded", night["status"]
    assert python(tenant, (BINDING,), "read", READ, BINDING) == "[(40, False)]", "what is past its max is gone, no more"
    assert tenant.condition("Stalled")["reason"] == "KeepOutOfBounds", "the policy is as invalid as it was"

    tenant.apply({**spec, "retention": [{"category": "records", "keep": "P30D"}]})
    tenant.wait_for("condition=Ready")
    assert tenant.condition("Stalled")["status"] == "False"
    operator.run("delete", "rprof", "changing", show=False)


def test_a_policy_that_came_before_its_profile_is_held_against_it_when_it_comes__X1(
    operator: Kubectl, tenants: Tenants
) -> None:
    spec = {"profileRef": {"name": "late"}, "retention": [{"category": "settings", "keep": "P1Y"}]}
    tenant = tenants("trial-late", spec=spec)
    assert (
        "there is no RetentionProfile late; create it" in becomes(tenant, "Reconciling", "WaitingForProfile")["message"]
    )
    profile = small_profile()
    profile["metadata"]["name"] = "late"
    profile["spec"]["categories"].append({"name": "settings", "clock": {"event": "Terminated"}})
    operator.apply([profile])
    found = becomes(tenant, "Stalled", "KeepOutOfBounds")
    assert "spec.retention[settings].keep" in found["message"]
    assert "remove the entry" in found["message"]
    assert operator.get(*tenant.place(), "statefulsets")["items"] == []
    operator.run("delete", "rprof", "late", show=False)
