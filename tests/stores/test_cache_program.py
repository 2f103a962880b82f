"""The job's program with a cache in its plan: bindings as they are mounted, real PostgreSQL and Valkey."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.domain.caches import CacheRole
from tenant_retention.domain.definition import CacheDefinition, CategoryDefinition, CategoryState, ClockEvent
from tenant_retention.domain.manifests.bindings import redis_keys
from tenant_retention.domain.manifests.inputs import RedisCredentials
from tenant_retention.domain.plan_document import PlanDocument, StoreBinding
from tenant_retention.enforcement import cache_sweep, program
from tests.stores.cache_servers import PASSWORDS, RealSite, cache_of, real_site
from tests.stores.enforcement_archive import write_binding
from tests.stores.servers.valkey import ValkeyProcess
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago, definition, table

ACME = cache_of("acme")
RULES = definition(
    [table("agents")],
    [
        CategoryDefinition(
            name="agents",
            state=CategoryState.NOT_ENFORCED,
            clock_event=ClockEvent.TERMINATED,
            tables=("agents",),
            cache=CacheDefinition(prefix="agents", table="agents", key_column="session_id"),
        )
    ],
)


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    with tenant_databases.having(RULES) as made:
        yield made


@pytest.fixture
def site(valkey: ValkeyProcess) -> Iterator[RealSite]:
    with real_site(valkey) as site:
        provision_cache(site.administration, ACME)
        yield site


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signals stay the test run's."""
    monkeypatch.setattr(program.StopSignal, "listen", lambda self: None)


def write_plan(directory: Path, database: TenantDatabase, valkey: ValkeyProcess) -> Path:
    """Plan and bindings, the cache's as the operator hands it out."""
    server, login = database.administrator, f"{database.roles.enforcer}_1"
    write_binding(
        directory / "database",
        type="postgresql",
        host=server.host,
        port=str(server.port),
        database=server.database,
        username=login,
        password=database.passwords[login],
        **{"ca.crt": Path(str(server.ca_file)).read_text()},
    )
    cache = valkey.server
    role = CacheRole.ENFORCER
    credentials = RedisCredentials(
        cache.host, cache.port, ACME.username(role), PASSWORDS[role], ACME.prefix, cache.ca, "existing"
    )
    write_binding(directory / "cache", **redis_keys(credentials))
    plan = PlanDocument(
        definition=RULES,
        rules_digest=RULES.rules_digest(),
        databases=(StoreBinding(purpose="Analytical", binding="database"),),
        caches=(StoreBinding(purpose="Cache", binding="cache"),),
    )
    path = directory / "plan.json"
    path.write_text(plan.model_dump_json(by_alias=True))
    return path


def test_the_program_removes_the_keys_of_agents_that_are_gone__T1_T6(
    database: TenantDatabase,
    site: RealSite,
    valkey: ValkeyProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cache_sweep, "SETTLING_SECONDS", 0.1)
    database.write("INSERT INTO agents (id, session_id, started_at) VALUES (1, 'ann', %s)", days_ago(3))
    for name in ("ann", "ben-doe"):
        site.write(f"{ACME.prefix}agents:{name}".encode())
    summary = tmp_path / "summary"
    summary.touch()
    plan = write_plan(tmp_path, database, valkey)
    assert program.main(["--plan", str(plan), "--termination-log", str(summary)]) == 0
    assert set(site.living()) == {f"{ACME.prefix}agents:ann".encode()}
    told = json.loads(summary.read_text())
    assert told["caches"] == [{"category": "agents", "keys": 2, "removed": 1}]
    evidence = database.observer().observe().latest_run
    assert evidence is not None
    assert [(each.category, each.keys, each.removed) for each in evidence.caches] == [("agents", 2, 1)]
    printed = capsys.readouterr()
    for secret in ("ben-doe", PASSWORDS[CacheRole.ENFORCER]):
        assert secret not in printed.out + printed.err + summary.read_text() + evidence.model_dump_json()


def test_a_cache_that_is_away_ends_the_program_with_work_left_over__X6(
    database: TenantDatabase,
    site: RealSite,
    valkey: ValkeyProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tenant_retention.enforcement.persistence._PATIENT_PAUSES", (0.01,))
    plan = write_plan(tmp_path, database, valkey)
    (tmp_path / "cache" / "port").write_text("1")
    assert program.main(["--plan", str(plan), "--termination-log", str(tmp_path / "none")]) == 2
    (tmp_path / "cache" / "type").write_text("postgresql")
    assert program.main(["--plan", str(plan), "--termination-log", str(tmp_path / "none")]) == 1
