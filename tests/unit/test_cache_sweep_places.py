"""Keys of a category whose rows lie in several databases: a key goes only when every one of them says that its row is gone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.cache_server import FakeCacheServer, FakeEnforcementCache
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Hold, Row, TenantServer
from tenant_retention.domain.caches import CacheRole, WantedCache, want_cache
from tenant_retention.domain.definition import CacheDefinition, RetentionDefinition
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.caches import EnforcementCache
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome, RunResult, summarize
from tenant_retention.enforcement.world import Stores
from tests.support.enforcement import NOW, RecordedWorld, archive, plan_of

NAMES = ("Analytical", "Analytical/APAC", "Analytical:clinic")
ACME = want_cache(StoreIdentity("test", "customer-acme", "acme", "Cache"), "n", dict.fromkeys(CacheRole, "x"))


def rules() -> RetentionDefinition:
    """Records with keys, in three databases."""
    cached = CacheDefinition(prefix="calls", table="requests", key_column="session_id")
    whole = archive().model_copy(update={"databases": NAMES})
    categories = (
        whole.category("general-information").model_copy(update={"cache": cached}),
        whole.category("chat-logs"),
    )
    return whole.model_copy(update={"categories": categories})


class Tenant:
    """Three databases and a cache in memory."""

    def __init__(self) -> None:
        self.around = RecordedWorld()
        self.definition = rules()
        self.servers = {name: TenantServer(self.definition, "Analytical", lambda: self.around.at) for name in NAMES}
        self.cache = cache_server(ACME, self.around)

    def row(self, name: str, session: str) -> None:
        self.servers[name].rows.append(Row(f"requests:{session}", "requests", NOW, session=session))

    def key(self, session: str) -> None:
        self.cache.lives[f"{ACME.prefix}calls:{session}".encode()] = None

    def night(self, *names: str, caches: Mapping[str, EnforcementCache] | None = None) -> RunResult:
        databases = {name: InMemoryEnforcementDatabase(self.servers[name]) for name in names or NAMES}
        opened = FakeEnforcementCache(self.cache, ACME.username(CacheRole.ENFORCER), "x", ACME.prefix)
        stores = Stores(databases, {}, {"Cache": opened} if caches is None else caches)
        return expire(plan_of(self.definition), stores, uuid4(), self.around.world())

    def left(self) -> set[str]:
        return {name.decode().rpartition(":")[2] for name in self.cache.living()}


def cache_server(cache: WantedCache, around: RecordedWorld) -> FakeCacheServer:
    return FakeCacheServer(now=lambda: around.at, users=dict(cache.users()))


@pytest.fixture
def tenant() -> Tenant:
    made = Tenant()
    for name, session in zip(NAMES, ("home", "apac", "clinic"), strict=True):
        made.row(name, session)
        made.key(session)
    made.key("gone")
    return made


def test_a_key_stays_while_any_of_the_databases_has_its_row__T6_D3(tenant: Tenant) -> None:
    result = tenant.night()
    assert result.outcome is Outcome.SUCCEEDED
    assert tenant.left() == {"home", "apac", "clinic"}
    assert [(cache.keys, cache.removed) for cache in result.caches] == [(4, 1)]
    assert '"caches":[{"category":"general-information","keys":4,"removed":1}]' in summarize(result)


def test_no_key_goes_while_one_database_is_not_in_the_run__D3(tenant: Tenant) -> None:
    tenant.servers["Analytical/APAC"].suspended = True
    assert tenant.night().outcome is Outcome.NOT_READY
    result = tenant.night("Analytical", "Analytical:clinic")
    assert tenant.left() == {"home", "apac", "clinic", "gone"}
    assert result.outcome is Outcome.INCOMPLETE
    assert result.caches[0].failure == "RunNotOpen"


def test_a_cache_that_is_not_there_yet_stops_no_row_from_going_and_the_night_says_so__M10_T6(tenant: Tenant) -> None:
    tenant.servers["Analytical"].rows.append(Row("requests:old", "requests", NOW - timedelta(days=2000), session="old"))
    plan = plan_of(tenant.definition).model_copy(
        update={"databases": (), "buckets": (), "awaited": ("Cache", "Content")}
    )
    with open_stores(plan, Path()) as opened:
        result = tenant.night(caches=opened.caches)
        with pytest.raises(NotReady, match="Content store is not there yet"):
            opened.buckets["Content"].list_files("", None, 1)
    assert result.outcome is Outcome.INCOMPLETE
    assert [cache.failure for cache in result.caches] == ["Provisioning"]
    assert [row.identity for row in tenant.servers["Analytical"].rows] == ["requests:home"]


def test_a_hold_in_one_database_keeps_a_key_that_another_one_would_let_go__X3(tenant: Tenant) -> None:
    tenant.servers["Analytical:clinic"].holds.append(Hold(category="general-information"))
    tenant.night()
    assert tenant.left() == {"home", "apac", "clinic", "gone"}


def test_a_plan_without_the_cache_of_its_rules_is_refused_before_anything_is_touched(tenant: Tenant) -> None:
    with pytest.raises(Invalid, match=r"general-information.*has keys in a cache") as refused:
        tenant.night(caches={})
    assert refused.value.field == "caches"


def test_a_run_that_is_asked_to_stop_removes_no_more_and_leaves_the_rest_to_the_next(tenant: Tenant) -> None:
    def stop(seconds: float) -> None:
        tenant.around.stop = True

    patched: Any = tenant.around
    patched.pause = stop
    assert tenant.night().outcome is Outcome.INTERRUPTED
    assert "gone" in tenant.left()
