"""What a unit's private database costs, by the number of units in one policy (D4): the operator's reconcile and a night."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.fakes.stores import FakeTenantStores
from tenant_retention.adapters.postgres.connections import connect
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.names import Place, StoreIdentity
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.ports.stores import DatabaseLogin, DatabaseOutcome, DatabaseRequest, DatabaseServer
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.few_connections import FewConnections
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.benchmarks.report import Comparison, Steps, timed
from tests.benchmarks.rows import Bench
from tests.stores.enforcement_archive import real_world
from tests.support.operator_world import NAMESPACE, Operator, condition, namespace, policy, profile

FEW, MANY = 10, 100
"""Units with databases of their own: the cost of one must not depend on how many there are."""


class DatabasesForReal(FakeTenantStores):
    """Databases on one real server; everything else stays in memory."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._access = access = bench.server.administrator
        authority = access.ca_file.read_text(encoding="ascii")
        self._server = DatabaseServer(access.host, access.port, access.user, access.password, authority)
        self._real = RealTenantStores(bench.directory)
        self.enforcers: dict[str, ServerAccess] = {}

    def prepare_database(self, request: DatabaseRequest) -> DatabaseOutcome:
        """See the port."""
        here = replace(request, server=self._server)
        outcome = self._real.prepare_database(here)
        place = Place(request.identity.purpose, request.identity.region, request.identity.unit)
        user, password = outcome.usernames["enforcer"], request.passwords["enforcer"]
        self.enforcers[place.name] = replace(self._access, user=user, password=password, database=request.name)
        return outcome

    def observe_database(self, login: DatabaseLogin) -> DatabaseFacts:
        """See the port."""
        return self._real.observe_database(self._here(login))

    def evidence(self, login: DatabaseLogin, limit: int) -> tuple[RunEvidence, ...]:
        """See the port."""
        return self._real.evidence(self._here(login), limit)

    def release_database(self, server: DatabaseServer, identity: StoreIdentity, namespace_uid: str) -> None:
        """See the port."""
        self._real.release_database(self._server, identity, namespace_uid)

    def _here(self, login: DatabaseLogin) -> DatabaseLogin:
        return replace(login, host=self._server.host, port=self._server.port, ca=self._server.ca)


class Installation:
    """One operator over the real server, with one policy of so many units."""

    def __init__(self, bench: Bench, number: int) -> None:
        self.number = number
        self.stores = DatabasesForReal(bench)
        self._runner = asyncio.Runner()
        self._name = f"units-{number}"
        many = [{"name": f"unit-{each:03d}", "database": "Dedicated"} for each in range(number)]
        asked = policy(self._name, profile="dialogue-cloud", units=many)
        self._operator = Operator(namespace(NAMESPACE), profile("dialogue-cloud"), asked)
        self._operator.stores = self.stores
        self._operator.clock.now = datetime.now(UTC)
        self._operator.restart()
        self._runner.run(self._operator.start())

    def settle(self) -> None:
        """Reconciles until the policy is Ready and nothing changes any more."""
        found = self._runner.run(self._operator.settled(self._name))
        ready = condition(found, "Ready")
        if ready["status"] != "True" or found["status"]["databases"] != f"{self.number + 2}/{self.number + 2}":
            raise RuntimeError(f"not ready: {ready['message']}")

    def look_again(self) -> None:
        """One reconcile of a policy that is as it should be."""
        self._runner.run(self._operator.policy(self._name))

    def night(self) -> None:
        """One enforcing run over all databases, with the connections of a nightly run."""
        plan = self._plan()
        few = FewConnections()
        with ExitStack() as closing:
            sessions = {}
            for store in plan.databases:
                name = store.place.name
                access = self.stores.enforcers[name]
                opened = partial(connect, access, application_name="benchmark")
                sessions[name] = PostgresEnforcementDatabase(
                    partial(few.opening, name, opened), partial(few.opening, f"{name}, beside", opened, beside=name)
                )
                closing.callback(sessions[name].close)
            buckets = {store.place.name: InMemoryContentBucket() for store in plan.buckets}
            result = expire(plan, Stores(sessions, buckets), uuid4(), real_world())
        if result.outcome is not Outcome.SUCCEEDED:
            raise RuntimeError(f"the night ended as {result.outcome}: {result.stores}")

    def _plan(self) -> PlanDocument:
        plans = [
            each for each in self._operator.objects("ConfigMap") if each["metadata"]["name"] == f"{self._name}-plan"
        ]
        return PlanDocument.model_validate_json(plans[0]["data"]["plan.json"])


def _measured(bench: Bench, number: int, steps: Steps) -> dict[str, float]:
    """Seconds for each database of a policy with so many private ones beside its two home databases."""
    installation = Installation(bench, number)
    found = {}
    for what, work in (
        ("made", installation.settle),
        ("looked at again", installation.look_again),
        ("a night", installation.night),
    ):
        with steps.step(f"{number} units: {what}"):
            found[what] = timed(work) / (number + 2)
    return found


def units(bench: Bench, steps: Steps) -> list[Comparison]:
    """A policy with few and one with many units: seconds for each database."""
    few, many = _measured(bench, FEW, steps), _measured(bench, MANY, steps)
    return [
        Comparison(f"{what}, a database", f"of {MANY} units", many[what], f"of {FEW} units", few[what], 1.3)
        for what in few
    ]
