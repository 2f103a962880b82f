"""The night and the cache: one contract on the stores in memory, and on PostgreSQL 15 and 18 with Valkey 8.1."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

import pytest

from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Hold, Row, TenantServer
from tenant_retention.domain.definition import (
    CacheDefinition,
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    RetentionDefinition,
)
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cached_rows import CacheEvidence, CacheLooks
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome, RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.cache_servers import CacheSite, FakeSite, cache_of, real_site
from tests.stores.servers.valkey import ValkeyProcess
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, category, days_ago, definition, table
from tests.support.enforcement import RecordedWorld, plan_of

ACME = cache_of("acme")
DAY = 86_400_000


def cached(prefix: str, about: str | None = None) -> CacheDefinition:
    return CacheDefinition(prefix=prefix, table=about, key_column="session_id" if about else None)


AGENTS = CategoryDefinition(
    name="agents",
    state=CategoryState.NOT_ENFORCED,
    clock_event=ClockEvent.TERMINATED,
    tables=("agents",),
    cache=cached("agents", "agents"),
)
PRESENCE = CategoryDefinition(
    name="presence", state=CategoryState.NOT_ENFORCED, keep="P7D", maximum="P30D", cache=cached("presence")
)
RULES = definition(
    [table("calls"), table("agents")],
    [category("records", "calls", cache=cached("calls", "calls")), AGENTS, PRESENCE],
    guard_percent=100,
)
"""Records for 90 days; agents until termination; presence of which the cache has the only copy, for a week."""


class Killed(BaseException):
    """The job's pod ended."""


class Hooked:
    """Passes calls on to a store and tells the test before each."""

    def __init__(self, inner: object, hook: Callable[[str], None]) -> None:
        self._inner, self._hook = inner, hook

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._hook(name)
            return found(*arguments, **named)

        return call


class Rows(Protocol):
    """The tenant's database, as the tests arrange it."""

    def add(self, about: str, session: str, born_at: datetime, **more: Any) -> None:
        """A row of table ``about``; ``more``: other columns, a caller or clocks."""

    def end(self, about: str, session: str) -> None:
        """The application's administrator deletes it."""

    def hold(self, session: str | None = None, category: str | None = None) -> None:
        """A legal hold."""

    def release(self) -> None:
        """No hold any more."""

    def suspend(self) -> None:
        """The policy is suspended."""

    def enforcer(self) -> Any:
        """A session of the enforcer."""

    def evidence(self) -> RunEvidence:
        """The latest link of the chain."""


@dataclass
class Tenant:
    """A database and a cache."""

    rows: Rows
    site: CacheSite
    rules: RetentionDefinition = RULES
    around: RecordedWorld = field(default_factory=RecordedWorld)

    def cache(self, name: str, milliseconds: int | None = None) -> None:
        """A key of the tenant."""
        self.site.write(ACME.prefix.encode() + name.encode(), milliseconds)

    def left(self) -> dict[str, int | None]:
        """The tenant's keys, and how long each still lives."""
        lives = self.site.living().items()
        return {name.decode().removeprefix(ACME.prefix): life for name, life in lives}

    def night(
        self, mode: Mode = Mode.ENFORCE, *, hook: Callable[[str], None] | None = None, only: tuple[str, ...] = ()
    ) -> RunResult:
        """One run of the engine."""
        self.around = RecordedWorld()
        world = replace(self.around.world(), now=lambda: datetime.now(UTC))
        database: Any = self.rows.enforcer()
        cache: Any = self.site.enforcer(ACME)
        try:
            if hook is not None:
                stores = Stores({"Analytical": Hooked(database, hook)}, {}, {"Cache": Hooked(cache, hook)})
            else:
                stores = Stores({"Analytical": database}, {}, {"Cache": cache})
            return expire(plan_of(self.rules, mode=mode, categories=only), stores, uuid4(), world)
        finally:
            database.close()

    def told(self, name: str) -> CacheEvidence:
        """What the chain says of a category's keys."""
        return next(each for each in self.rows.evidence().caches if each.category == name)


def days(life: int | None) -> float | None:
    return None if life is None else life / DAY


class TenantContract(ABC):
    """A contract about one tenant; subclasses say which stores."""

    rules = RULES

    @pytest.fixture
    @abstractmethod
    def rows(self) -> Any:
        """The database."""

    @pytest.fixture
    @abstractmethod
    def site(self) -> Any:
        """The cache's server."""

    @pytest.fixture
    def tenant(self, rows: Rows, site: CacheSite) -> Tenant:
        provision_cache(site.administration, ACME)
        return Tenant(rows, site, self.rules)


class SweepContract(TenantContract):
    """The contract; subclasses say which stores."""

    kill_every = 1

    def test_a_key_goes_in_the_night_in_which_its_row_goes__T6_P2(self, tenant: Tenant) -> None:
        for session, age in (("old", 91), ("young", 89)):
            tenant.rows.add("calls", session, days_ago(age))
            tenant.cache(f"calls:{session}")
            tenant.cache(f"calls:{session}:notes")
        result = tenant.night()
        assert result.outcome is Outcome.SUCCEEDED
        assert tenant.left().keys() == {"calls:young", "calls:young:notes"}
        assert tenant.told("records") == CacheEvidence(
            category="records", keys=4, due=2, removed=2, unlimited=2, limited=2, residue=0
        )

    def test_every_key_of_an_age_gets_its_time_to_live_and_none_gets_a_longer_one__T6_T1(self, tenant: Tenant) -> None:
        tenant.rows.add("calls", "young", days_ago(1))
        for name, life in (
            ("calls:young", None),
            ("presence:1", None),
            ("presence:2", 60_000),
            ("presence:3", 300 * DAY),
        ):
            tenant.cache(name, life)
        tenant.night()
        left = tenant.left()
        assert days(left["calls:young"]) == pytest.approx(90, abs=0.01)
        assert days(left["presence:1"]) == pytest.approx(7, abs=0.01)
        assert days(left["presence:2"]) == pytest.approx(0, abs=0.01)
        assert days(left["presence:3"]) == pytest.approx(7, abs=0.01)
        assert tenant.told("presence") == CacheEvidence(category="presence", keys=3, unlimited=1, limited=2, residue=0)
        tenant.night()
        assert tenant.told("presence") == CacheEvidence(category="presence", keys=3, residue=0)

    def test_agents_stay_in_the_cache_until_they_are_gone_from_the_database__T1_T6(self, tenant: Tenant) -> None:
        for session in ("ann", "ben"):
            tenant.rows.add("agents", session, days_ago(300))
            tenant.cache(f"agents:{session}")
            tenant.cache(f"agents:{session}:status", 3_600_000)
        assert tenant.night().outcome is Outcome.SUCCEEDED
        assert tenant.left()["agents:ann"] is None
        tenant.rows.end("agents", "ben")
        tenant.night()
        assert tenant.left().keys() == {"agents:ann", "agents:ann:status"}
        assert tenant.told("agents") == CacheEvidence(category="agents", keys=4, due=2, removed=2, residue=0)

    def test_a_key_that_was_written_before_its_row_was_committed_stays(self, tenant: Tenant) -> None:
        tenant.cache("agents:new")

        def commit_meanwhile(name: str) -> None:
            if name == "cached_rows" and tenant.around.pauses and not committed:
                committed.append(True)
                tenant.rows.add("agents", "new", days_ago(0))

        committed: list[bool] = []
        tenant.night(hook=commit_meanwhile)
        assert sum(tenant.around.pauses) == pytest.approx(60, abs=1)
        assert committed
        assert tenant.left().keys() == {"agents:new"}
        assert tenant.told("agents") == CacheEvidence(category="agents", keys=1, residue=0)

    def test_keys_of_held_rows_lose_their_time_to_live_and_get_it_back_afterwards__X3(self, tenant: Tenant) -> None:
        tenant.rows.add("calls", "held", days_ago(100))
        tenant.rows.add("calls", "free", days_ago(100))
        tenant.rows.hold("held")
        tenant.cache("calls:held", 60_000)
        tenant.cache("calls:free", 60_000)
        tenant.night()
        assert tenant.left() == {"calls:held": None}
        assert tenant.told("records") == CacheEvidence(category="records", keys=2, due=1, removed=1, held=1, residue=0)
        tenant.rows.release()
        tenant.night()
        assert tenant.left() == {}

    def test_a_hold_on_a_whole_category_keeps_every_key_of_it__X3(self, tenant: Tenant) -> None:
        tenant.rows.hold(category="agents")
        tenant.rows.hold(category="presence")
        tenant.cache("agents:gone", 60_000)
        tenant.cache("presence:1", 60_000)
        tenant.cache("calls:gone")
        tenant.night()
        assert tenant.left() == {"agents:gone": None, "presence:1": None}
        assert (tenant.told("agents").held, tenant.told("presence").held) == (1, 1)

    def test_what_names_no_row_or_no_category_is_kept_and_counted__X8(self, tenant: Tenant) -> None:
        strange = {"agents:", "agents::x", "agents:%zz", "agents:%00", "agents:%ff", "agents", "other:1", "", ":"}
        for name in strange:
            tenant.cache(name)
        assert tenant.night().outcome is Outcome.SUCCEEDED
        assert tenant.left().keys() == strange
        assert tenant.told("agents") == CacheEvidence(category="agents", keys=5, unmapped=5, residue=0)
        assert tenant.told("").keys == 4

    def test_values_with_colons_percents_and_any_letters_find_their_rows(self, tenant: Tenant) -> None:
        names = {"a:b": "a%3Ab", "50%": "50%25", "Zoë 李": "Zo%C3%AB 李", "*": "*", "' OR true --": "' OR true --"}
        for session, escaped in names.items():
            tenant.rows.add("agents", session, days_ago(3))
            tenant.cache(f"agents:{escaped}:x")
        tenant.cache("agents:a")
        tenant.night()
        assert tenant.left().keys() == {f"agents:{escaped}:x" for escaped in names.values()}

    def test_a_dry_run_counts_the_same_and_changes_nothing__X7(self, tenant: Tenant) -> None:
        tenant.cache("agents:gone", 60_000)
        tenant.cache("presence:1")
        tenant.night(Mode.DRY_RUN)
        assert tenant.left().keys() == {"agents:gone", "presence:1"}
        assert tenant.left()["presence:1"] is None
        assert tenant.told("agents") == CacheEvidence(category="agents", keys=1, due=1, residue=1)
        assert tenant.told("presence") == CacheEvidence(category="presence", keys=1, unlimited=1, residue=0)

    def test_a_run_of_some_categories_leaves_the_keys_of_the_others_alone(self, tenant: Tenant) -> None:
        for name in ("calls:gone", "agents:gone", "presence:1"):
            tenant.cache(name)
        tenant.night(only=("records",))
        assert tenant.left() == {"agents:gone": None, "presence:1": None}

    def test_a_policy_that_is_suspended_touches_no_key__X4(self, tenant: Tenant) -> None:
        tenant.cache("agents:gone")
        tenant.cache("presence:1")
        tenant.rows.suspend()
        assert tenant.night().outcome is Outcome.NOT_READY
        assert tenant.left() == {"agents:gone": None, "presence:1": None}

    def test_a_cache_that_is_away_fails_the_run_which_removes_rows_all_the_same__X6(self, tenant: Tenant) -> None:
        tenant.rows.add("calls", "old", days_ago(91))

        def away(name: str) -> None:
            if name == "keys":
                raise Unavailable("away", reason="ServerUnreachable")

        result = tenant.night(hook=away)
        assert result.outcome is Outcome.INCOMPLETE
        evidence = tenant.rows.evidence()
        assert (evidence.outcome, evidence.categories[0].acted) == ("Failed", 1)
        assert {each.failure for each in evidence.caches} == {"ServerUnreachable"}
        assert {each.residue for each in evidence.caches} == {None}

    def test_a_category_whose_rows_cannot_be_asked_for_stops_no_other(self, tenant: Tenant) -> None:
        tenant.cache("agents:gone")
        tenant.cache("presence:1")
        asked: Counter[str] = Counter()

        def refuse(name: str) -> None:
            asked[name] += 1
            if name == "cached_rows" and asked[name] == 1:
                raise Invalid("no", reason="UnknownTable")

        assert tenant.night(hook=refuse).outcome is Outcome.INCOMPLETE
        failed = {each.category: each.failure for each in tenant.rows.evidence().caches}
        assert sorted(filter(None, failed.values())) == ["UnknownTable"]
        tenant.night()
        assert tenant.left().keys() == {"presence:1"}

    def test_a_kill_before_any_act_is_made_up_for_by_the_next_night__X4(self, tenant: Tenant) -> None:
        calls: list[str] = []
        tenant.night(hook=calls.append)
        for number in range(0, 200, self.kill_every):
            for session in ("stays", "goes"):
                tenant.rows.add("agents", f"{session}-{number}", days_ago(3))
                tenant.cache(f"agents:{session}-{number}")
            tenant.rows.end("agents", f"goes-{number}")
            tenant.cache(f"presence:{number}")
            calls.clear()

            def kill(name: str, at: int = number) -> None:
                calls.append(name)
                if len(calls) > at:
                    raise Killed

            try:
                tenant.night(hook=kill)
            except Killed:
                tenant.night()
                left = tenant.left()
                assert f"agents:stays-{number}" in left
                assert f"agents:goes-{number}" not in left
                assert left[f"presence:{number}"] is not None
            else:
                assert number > 8, "every call on a store was tried"
                return
        pytest.fail("the night does not end")

    def test_many_keys_are_looked_through_in_parts(self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tenant_retention.enforcement.cache_sweep.KEYS_AT_ONCE", 7)
        monkeypatch.setattr("tenant_retention.enforcement.cache_sweep.WAITING_AT_MOST", 20)
        for number in range(60):
            if number % 2:
                tenant.rows.add("agents", str(number), days_ago(3))
            tenant.cache(f"agents:{number}")
        tenant.night()
        assert tenant.left().keys() == {f"agents:{number}" for number in range(1, 60, 2)}
        assert tenant.told("agents").removed == 30


@dataclass
class MemoryRows:
    """The database in memory."""

    server: TenantServer

    def add(self, about: str, session: str, born_at: datetime, **more: Any) -> None:
        caller = more.pop("caller", None)
        self.server.rows.append(Row(f"{about}:{session}", about, born_at, more, session, caller=caller))

    def end(self, about: str, session: str) -> None:
        self.server.rows = [row for row in self.server.rows if row.identity != f"{about}:{session}"]

    def hold(self, session: str | None = None, category: str | None = None) -> None:
        self.server.holds.append(Hold(category, session))

    def release(self) -> None:
        self.server.holds.clear()

    def suspend(self) -> None:
        self.server.suspended = True

    def enforcer(self) -> InMemoryEnforcementDatabase:
        return InMemoryEnforcementDatabase(self.server)

    def evidence(self) -> RunEvidence:
        return self.server.evidence[-1]


@dataclass
class RealRows:
    """PostgreSQL."""

    database: TenantDatabase
    last: int = 0

    def add(self, about: str, session: str, born_at: datetime, **more: object) -> None:
        self.last += 1
        row = {"id": self.last, "session_id": session, "started_at": born_at, **more}
        insert = f"INSERT INTO {about} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})"  # noqa: S608 - the test's own
        self.database.write(insert, *row.values())

    def end(self, about: str, session: str) -> None:
        with self.database.as_owner() as connection:
            connection.execute(f"DELETE FROM public.{about} WHERE session_id = %s".encode(), [session])  # noqa: S608

    def hold(self, session: str | None = None, category: str | None = None, born_from: datetime | None = None) -> None:
        insert = "INSERT INTO retention.hold (session, category, born_from) VALUES (%s, %s, %s)"
        with self.database.as_owner() as connection:
            connection.execute(insert.encode(), [session, category, born_from])

    def release(self) -> None:
        with self.database.as_owner() as connection:
            connection.execute("UPDATE retention.hold SET released_at = now()")

    def suspend(self) -> None:
        self.database.apply(RULES, suspended=True)

    def enforcer(self) -> Any:
        return self.database.enforcer()

    def evidence(self) -> RunEvidence:
        observer = self.database.observer()
        assert observer.observe().chain_intact
        return observer.evidence(1)[0]


class TestInMemory(SweepContract):
    """Both in memory."""

    @pytest.fixture
    def rows(self) -> Rows:
        return MemoryRows(TenantServer(RULES, "Analytical", lambda: datetime.now(UTC)))

    @pytest.fixture
    def site(self) -> CacheSite:
        return FakeSite()

    def test_a_cache_key_expires_by_itself_when_no_night_comes_any_more__T6(self, tenant: Tenant) -> None:
        site = tenant.site
        assert isinstance(site, FakeSite)
        tenant.cache("presence:1")
        tenant.night()
        for later, there in ((timedelta(days=7, seconds=-10), True), (timedelta(days=7, seconds=1), False)):
            site.server.now = lambda later=later: datetime.now(UTC) + later  # type: ignore[misc]
            assert ("presence:1" in tenant.left()) is there


@pytest.mark.oldest_and_newest
class TestRealStores(SweepContract):
    """PostgreSQL and Valkey."""

    # What is tried at every call in memory need not be here.
    kill_every = 4

    @pytest.fixture
    def rows(self, tenant_databases: TenantDatabases) -> Iterator[Rows]:
        with tenant_databases.having(RULES) as database:
            yield RealRows(database)

    @pytest.fixture
    def site(self, valkey: ValkeyProcess) -> Iterator[CacheSite]:
        with real_site(valkey) as site:
            yield site

    def test_a_hold_on_births_keeps_keys_of_rows_that_it_selects_and_of_no_others__X3_T6(self, tenant: Tenant) -> None:
        assert isinstance(tenant.rows, RealRows)
        for session, age in (("held", 100), ("old", 200), ("young", 2)):
            tenant.rows.add("calls", session, days_ago(age))
        tenant.rows.hold(born_from=days_ago(110))
        for name in ("calls:held", "calls:old", "calls:young", "calls:gone", "presence:1"):
            tenant.cache(name, DAY)
        tenant.night()
        assert tenant.left() == dict.fromkeys(("calls:held", "calls:young", "presence:1"))

    def test_the_operator_reads_since_when_keys_are_left_that_no_look_took_away__T6_X4(self, tenant: Tenant) -> None:
        assert isinstance(tenant.rows, RealRows)
        observer = tenant.rows.database.observer()

        def looks() -> CacheLooks:
            return next(each for each in observer.observe().cache_looks if each.category == "agents")

        assert observer.observe().cache_looks == ()
        tenant.night()
        first = looks()
        assert (first.left, first.failure, first.left_since) == (0, None, None)
        assert first.clean_at == first.looked_at
        tenant.cache("agents:gone")
        tenant.night(Mode.DRY_RUN)
        left = looks()
        assert (left.left, left.left_since, left.clean_at) == (1, left.looked_at, first.looked_at)

        def away(name: str) -> None:
            if name == "keys":
                raise Unavailable("away", reason="ServerUnreachable")

        tenant.night(hook=away)
        unknown = looks()
        assert (unknown.left, unknown.failure) == (None, "ServerUnreachable")
        assert (unknown.left_since, unknown.clean_at) == (left.looked_at, first.looked_at)
        tenant.night()
        last = looks()
        assert (last.left, last.left_since, last.clean_at) == (0, None, last.looked_at)
