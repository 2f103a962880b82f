"""A tenant whose data lies in several places: at home, in a unit's own database, in a further region, in a cache, messages apart.

The tests tell one story of one tenant and run in this order: its servers take a minute to come up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo import servers
from demo.kubectl import Kubectl, wait
from tenant_retention.domain.names import Place
from tests.cluster.applications import python, secret
from tests.cluster.conftest import OPERATOR_NAMESPACE, RELEASE, Tenant, passing_tenants, small_profile
from tests.cluster.placed_programs import AGENT, DENIED, INTRUDE, KEYS, READ, SAY, WRITE

SITE = servers.Site("trial", ("postgresql", "cache"))
"""Somebody's own servers: PostgreSQL in a further region, and Valkey."""
NAMESPACE = "trial-placed"
BEDS = {"name": "beds", "database": "Dedicated"}
WARD = {"name": "ward-7", "sharedWith": "beds"}
SYDNEY = {"name": "sydney", "region": "APAC", "database": "Shared"}
SPEC: dict[str, Any] = {
    "profileRef": {"name": "placed"},
    "channels": ["Phone"],
    "units": [{"name": "helpdesk"}, BEDS, WARD, SYDNEY],
    "stores": [
        {"purpose": "Analytical", "className": "trial-home"},
        {"purpose": "Analytical", "region": "APAC", "className": "trial-apac"},
        {"purpose": "Cache", "className": "trial-cache"},
        # No database is made of them before a channel needs it.
        {"purpose": "Dialogue", "className": "trial-home"},
        {"purpose": "Dialogue", "region": "APAC", "className": "trial-apac"},
    ],
    "retention": [{"category": "records", "keep": "P30D", "anonymizeAfter": "P20D"}],
    "guard": {"maxDeletedPercent": 100},
}
HOME, OWN, FAR = DATABASES = tuple(
    f"acme-{Place('Analytical', region, unit).label}-app" for region, unit in (("", ""), ("", "beds"), ("APAC", ""))
)
CONTENT, CACHE = "acme-content-app", "acme-cache-app"
MESSAGES = "acme-dialogue-app"


def profile() -> dict[str, Any]:
    """The small profile with a caller's refusal, agents in a cache, messages, and a max that is not far from keep."""
    found = small_profile()
    found["metadata"]["name"] = "placed"
    records, recordings = found["spec"]["categories"]
    recordings |= {"max": "P60D", "consent": {"table": "records", "refusedColumn": "refused"}}
    records["max"] = "P60D"
    rule = {"default": "P30D", "max": "P60D", "earlyDeletion": "Allowed", "clock": {"event": "Created"}}
    cache = {"prefix": "agents", "table": "agents", "keyColumn": "staff_id"}
    found["spec"]["categories"] += [
        {"name": "agents", **rule, "tables": ["agents"], "cache": cache},
        {"name": "messages", **rule, "tables": ["messages"], "database": "Dialogue"},
    ]
    calls = found["spec"]["tables"][0]
    columns = [calls["columns"][0], {"name": "staff_id", "type": "Text", "nullable": False, "role": "StaffId"}]
    tables = {"agents": columns, "messages": columns[:1]}
    found["spec"]["tables"] += [{**calls, "name": name, "columns": mine} for name, mine in tables.items()]
    calls["columns"] = [*calls["columns"], {"name": "refused", "type": "Boolean", "role": "Consent"}]
    return found


def store_class(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A DataStoreClass for this tenant alone."""
    allowed = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataStoreClass",
        "metadata": {"name": name},
        "spec": {**spec, "allowedNamespaces": allowed},
    }


def existing(kind: str, port: int) -> dict[str, Any]:
    """How the platform reaches one of the servers of the site."""
    return {
        "host": f"{kind}.{SITE.namespace}.svc.cluster.local",
        "port": port,
        "tls": {"mode": "verify-full", "caSecretRef": {"name": "trial-ca"}},
        "adminSecretRef": {"name": f"trial-{kind}-admin"},
    }


@pytest.fixture(scope="module")
def tenant(operator: Kubectl) -> Iterator[Tenant]:
    """The tenant; its region's server and its cache are servers that the platform does not own."""
    servers.start(operator, OPERATOR_NAMESPACE, SITE)
    declared = {"encryptionAtRest": "Declared"}
    database = {"type": "PostgreSQL", **declared}
    far = {**database, "provisioner": "Existing", "region": "APAC", "existing": existing("postgresql", 5432)}
    cache = {"type": "Redis", **declared, "provisioner": "Existing", "existing": existing("cache", 6379)}
    classes = [
        store_class("trial-home", {**database, "provisioner": "Embedded"}),
        store_class("trial-apac", far),
        store_class("trial-cache", cache),
    ]
    operator.apply([profile(), *classes])
    with passing_tenants(operator) as make:
        yield make(NAMESPACE, spec=SPEC)
    operator.run("delete", "dsc", "trial-home", "trial-apac", "trial-cache", show=False)
    operator.run("delete", "rprof", "placed", show=False)
    operator.run("delete", "namespace", SITE.namespace, "--wait=false", show=False)
    operator.run("-n", OPERATOR_NAMESPACE, "delete", "secret", *SITE.administration, show=False)


def entry(tenant: Tenant, **labels: str) -> Any:
    """The ledger entry of the policy's database with these labels."""
    selector = ",".join(f"tenantretention.io/{key}={value}" for key, value in labels.items())
    found = tenant.kubectl.get("dst", "-l", f"tenantretention.io/namespace={NAMESPACE},{selector}")["items"]
    return found[0] if found else {}


def let_in_without_tls(tenant: Tenant, rule: str) -> None:
    """Changes whom the further region's server lets in, as its owner would."""
    lines = f"local all all peer\\n{rule} all all all scram-sha-256\\n"
    command = f"printf '{lines}' > /tmp/pg_hba.conf && psql -h /tmp -U postgres -c 'SELECT pg_reload_conf()'"
    tenant.kubectl.run("-n", SITE.namespace, "exec", "postgresql-0", "--", "sh", "-c", command, show=False)


def look_anew(tenant: Tenant) -> None:
    """Ends the operator's process: a new one tries all stores at once, not a quarter of an hour after the last look."""
    deployment = ("-n", OPERATOR_NAMESPACE, f"deployment/{RELEASE}")
    tenant.kubectl.run("rollout", "restart", *deployment, show=False)
    tenant.kubectl.run("rollout", "status", *deployment, "--timeout=300s", show=False)


def test_units_have_databases_where_the_policy_puts_them_and_no_login_opens_another__D1_D3_D4_X2(
    tenant: Tenant,
) -> None:
    tenant.wait_for("condition=Ready", 300)
    assert tenant.status()["databases"] == "3/3"
    home, own, far = (secret(tenant.kubectl, NAMESPACE, name) for name in DATABASES)
    assert len({home["database"], own["database"], far["database"]}) == 3
    assert home["host"] == own["host"]
    assert far["host"] == f"postgresql.{SITE.namespace}.svc.cluster.local"
    assert python(tenant, DATABASES, "write", WRITE, "25,40", *DATABASES) == "written"
    assert python(tenant, DATABASES, "write", WRITE, "1", HOME, FAR) == "written"
    for mine in DATABASES:
        others = [binding for binding in DATABASES if binding != mine]
        assert python(tenant, DATABASES, "intrude", INTRUDE, mine, *others).split() == ["refused"] * 2
    tenant.wait_for("condition=StoresHealthy", 300)
    (latency,) = [row for row in entry(tenant, region="APAC")["status"]["measurements"] if row["name"] == "Latency"]
    assert (latency["state"], latency["limit"], bool(latency["value"])) == ("Met", "1.0 s", True)


def test_an_application_reaches_the_keys_of_its_prefix_in_the_cache_and_no_other__T1_X2(tenant: Tenant) -> None:
    words = ("set=agents:ann", "set=agents:bob", "outside=agents:ann", "look=*")
    assert python(tenant, (CACHE,), "keys", KEYS, CACHE, *words).split() == ["True", "True", "refused", "refused"]
    assert python(tenant, (HOME,), "agent", AGENT, HOME, "0") == "written"


def test_a_server_that_lets_anybody_in_without_tls_is_told_until_it_is_mended__T8_D7(tenant: Tenant) -> None:
    tenant.wait_for("condition=EncryptionVerified", 300)
    let_in_without_tls(tenant, "host")
    look_anew(tenant)
    tenant.wait_for("condition=EncryptionVerified=False", 300)
    told = tenant.condition("EncryptionVerified")
    assert (told["reason"], "_apac_" in told["message"]) == ("EncryptionMissing", True), told
    assert tenant.condition("Ready")["status"] == "True", "data is kept and deleted in time all the same"
    let_in_without_tls(tenant, "hostssl")
    look_anew(tenant)
    tenant.wait_for("condition=EncryptionVerified", 300)


def test_a_night_deletes_and_anonymizes_in_every_database_and_clears_what_it_found__P2_P10_D3_T6(
    tenant: Tenant,
) -> None:
    assert python(tenant, (HOME, CONTENT), "denied", DENIED, HOME, CONTENT, "write") == "1 1"
    first = tenant.run({"mode": "Enforce"})
    assert first["status"]["phase"] == "Succeeded", first["status"]
    left = python(tenant, DATABASES, "read", READ, *DATABASES).splitlines()
    both = "[(1, False), (25, True)]"
    assert left == [both, "[(25, True)]", both], "forty days are over, a caller of 25 days ago has no name"
    words = ("get=agents:ann", "lives=agents:ann", "get=agents:bob")
    assert python(tenant, (CACHE,), "keys", KEYS, CACHE, *words).split() == ["1", "True", "0"]
    found = lambda: tenant.condition("Compliant").get("reason") == "ContentAgainstConsent"  # noqa: E731
    wait("the recording without consent to be told", 300, found)
    assert python(tenant, (HOME, CONTENT), "denied", DENIED, HOME, CONTENT, "read") == "1 1"
    second = tenant.run({"mode": "Enforce"})
    assert second["status"]["phase"] == "Succeeded", second["status"]
    assert python(tenant, (HOME, CONTENT), "denied", DENIED, HOME, CONTENT, "read") == "0 0"
    tenant.wait_for("condition=Compliant", 300)


def test_debt_of_a_database_that_is_away_is_foreseen_with_the_store_that_is_in_the_way__X4_D7(tenant: Tenant) -> None:
    assert python(tenant, (FAR,), "write", WRITE, "58", FAR) == "written"

    def near() -> bool:
        soon = datetime.now(UTC) + timedelta(days=7)
        debts = entry(tenant, region="APAC").get("status", {}).get("debt", [])
        deadlines = [debt["nextDeadline"] for debt in debts if debt["category"] == "records" and "nextDeadline" in debt]
        return any(datetime.fromisoformat(deadline) < soon for deadline in deadlines)

    wait("the oldest record to be counted", 300, near)
    server = ("-n", SITE.namespace, "scale", "statefulset/postgresql")
    tenant.kubectl.run(*server, "--replicas=0", show=False)
    tenant.wait_for("condition=DatabasesReady=False", 300)
    tenant.wait_for("condition=DebtForeseen", 300)
    told = tenant.condition("DebtForeseen")["message"]
    assert "records: Analytical/APAC is not ready" in told, told
    tenant.kubectl.run(*server, "--replicas=1", show=False)
    tenant.wait_for("condition=Ready", 300)
    ended = tenant.run({"mode": "Enforce"})
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert python(tenant, (FAR,), "read", READ, FAR) == "[(1, False), (25, True)]", "nothing was lost, nothing is late"
    tenant.wait_for("condition=DebtForeseen=False", 300)


def test_a_unit_and_a_region_that_are_switched_off_go_on_expiring_until_they_are_empty_and_bind_again__D3_D4_P2(
    tenant: Tenant,
) -> None:
    shorter = {"category": "records", "keep": "P20D", "anonymizeAfter": "P20D"}
    tenant.apply({**SPEC, "units": [{"name": "helpdesk"}], "retention": [shorter]})

    def both_leave() -> bool:
        return [count.get("leaving") for count in tenant.status()["storeCounts"]].count(1) == 2

    wait("the databases of the unit and of the region to be told as leaving", 300, both_leave)
    tenant.wait_for("condition=Ready", 300)
    gone = (OWN, FAR)
    assert python(tenant, gone, "write", WRITE, "21", *gone) == "written", "their applications keep their logins"
    assert python(tenant, gone, "agent", AGENT, OWN, "31") == "written"
    night = tenant.run({"mode": "Enforce"})
    assert night["status"]["phase"] == "Succeeded", night["status"]
    assert python(tenant, gone, "read", READ, *gone).splitlines() == ["[]", "[(1, False)]"]
    assert python(tenant, (CACHE,), "keys", KEYS, CACHE, "get=agents:ann") == "1", "she is an agent of others, too"
    released = lambda: entry(tenant, unit="beds")["status"]["phase"] == "Released"  # noqa: E731
    wait("the empty database to be Released", 300, released)
    wait("the policy to count it no more", 300, lambda: tenant.status()["databases"] == "2/2")
    assert entry(tenant, region="APAC")["status"]["phase"] == "Bound", "what is young is kept on"
    before = entry(tenant, unit="beds")["metadata"]["uid"]
    tenant.apply(SPEC)
    wait("the database to be bound again", 300, lambda: entry(tenant, unit="beds")["status"]["phase"] == "Bound")
    tenant.wait_for("condition=Ready", 300)
    assert (entry(tenant, unit="beds")["metadata"]["uid"], tenant.status()["databases"]) == (before, "3/3")


def test_a_channel_that_is_turned_on_makes_its_databases_and_turned_off_their_messages_go_on_expiring__D2_P2(
    tenant: Tenant,
) -> None:
    tenant.apply({**SPEC, "channels": ["Phone", "Chat"]})
    wait("databases of messages at home and in the region", 300, lambda: tenant.status()["databases"] == "5/5")
    tenant.wait_for("condition=Ready", 300)
    assert python(tenant, (MESSAGES,), "say", SAY, MESSAGES, "1") == "[(1,)]"

    def leaving() -> bool:
        counts = [count for count in tenant.status()["storeCounts"] if "region" not in count]
        return any(count.get("leaving") for count in counts if count["purpose"] == "Dialogue")

    tenant.apply(SPEC)
    wait("the database of messages to be told as leaving", 300, leaving)
    tenant.wait_for("condition=Ready", 300)
    assert python(tenant, (MESSAGES,), "say", SAY, MESSAGES, "31") == "[(1,), (31,)]", "its application keeps its login"
    night = tenant.run({"mode": "Enforce"})
    assert night["status"]["phase"] == "Succeeded", night["status"]
    assert python(tenant, (MESSAGES,), "say", SAY, MESSAGES) == "[(1,)]"
    assert leaving(), "what is young is kept on, and its database with it"


def test_no_object_of_the_operators_holds_anything_of_a_customers_customer__D1_X6(tenant: Tenant) -> None:
    ours = tenant.kubectl.run(*tenant.place(), "get", "trp,dst,rrun,cm,events", "-o", "yaml", show=False)
    for kind in ("TenantRetentionPolicy", "DataStore", "RetentionRun", "ConfigMap", "Event"):
        assert f"kind: {kind}\n" in ours
    for theirs in ("+31201234567", "agents:ann", "recordings/1"):
        assert theirs not in ours
