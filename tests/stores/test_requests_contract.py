"""A data subject's request by the engine: the same on stores in memory and on PostgreSQL 15, 17, 18 and SeaweedFS (T7, P12, P14)."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.placed_request import PlacedRequest
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.plan_document import PlanDocument, Task
from tenant_retention.domain.ports.evidence import CategoryEvidence
from tenant_retention.domain.ports.requests import RequestAction, SoughtSubject
from tenant_retention.domain.subjects import Spelling, Subject, digest_of
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome, RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.enforcement_in_memory import InMemoryArchive
from tests.support.enforcement import RecordedWorld, archive, plan_of

Tenant = Any
"""A ``LiveArchive`` or an ``InMemoryArchive``: both have what these tests use."""
ALL = ("requests", "surveys", "recordings", "chat_logs")


def person(name: str) -> Subject:
    """Who called in the call of this name, see ``call`` of both tenants."""
    return Subject((Spelling("PhoneNumber", f"+47{name}"),))


class RequestsContract(ABC):
    """The contract; subclasses say which tenant, and how it is told of a request and runs."""

    def test_an_erased_person_is_nowhere_and_everybody_else_is_where_they_were__T7_P4(self, tenant: Tenant) -> None:
        tenant.call("1", days_ago(2), *ALL)
        tenant.call("2", days_ago(2), *ALL)
        result = self.run(tenant, self.place(tenant, person("1"), RequestAction.ERASE))
        assert result.outcome is Outcome.SUCCEEDED
        assert (tenant.left(), tenant.keys()) == ({f"{name}:2" for name in ALL}, {"audio/2"})
        assert done(result) == {
            "general-information": (2, 0, 0),
            "recordings": (1, 0, 0),
            "chat-logs": (1, 0, 0),
            "cases": (0, 0, 0),
        }

    def test_the_records_stay_without_the_person_and_with_their_content__P12_P3(self, tenant: Tenant) -> None:
        tenant.call("1", days_ago(2), *ALL)
        tenant.call("2", days_ago(2), *ALL)
        self.run(tenant, self.place(tenant, person("1"), RequestAction.ANONYMIZE))
        assert (len(tenant.left()), tenant.callers(), tenant.keys()) == (8, {"2"}, {"audio/1", "audio/2"})

    def test_both_together_leave_the_record_alone__P14(self, tenant: Tenant) -> None:
        tenant.call("1", days_ago(2), *ALL)
        self.run(tenant, self.place(tenant, person("1"), RequestAction.ANONYMIZE, RequestAction.DELETE_CONTENT))
        assert (tenant.left(), tenant.callers(), tenant.keys()) == ({"requests:1", "surveys:1"}, set(), set())

    def test_a_hold_keeps_what_it_selects_and_a_later_run_does_the_rest__X3(self, tenant: Tenant) -> None:
        tenant.call("1", days_ago(2), *ALL)
        tenant.hold("1")
        result = self.run(tenant, self.place(tenant, person("1"), RequestAction.ERASE))
        assert (len(tenant.left()), tenant.keys(), tenant.callers()) == (4, {"audio/1"}, {"1"})
        assert done(result)["general-information"] == (0, 0, 2)
        self.lift_holds(tenant)
        self.run(tenant)
        assert (tenant.left(), tenant.keys()) == (set(), set())

    def test_what_is_due_by_age_waits_for_the_night_and_the_night_goes_on_with_a_request__T7_P2(
        self, tenant: Tenant
    ) -> None:
        tenant.call("1", days_ago(2), *ALL)
        tenant.call("old", days_ago(400), "requests")
        tenant.hold("1")
        self.run(tenant, self.place(tenant, person("1"), RequestAction.ERASE))
        assert "requests:old" in tenant.left()
        self.lift_holds(tenant)
        self.night(tenant)
        assert tenant.left() == set()

    def test_an_object_that_cannot_go_keeps_its_row_and_the_run_says_so__P4(self, tenant: Tenant) -> None:
        tenant.call("1", days_ago(2), *ALL)
        tenant.call_with_object_of("1", "2", days_ago(2), None)
        self.run(tenant, self.place(tenant, person("1"), RequestAction.ERASE))
        # Another call's row names the object: it goes with that one.
        assert (tenant.left(), tenant.keys()) == ({"recordings:2"}, {"audio/1"})

    def test_somebody_whom_the_operator_did_not_tell_of_is_not_sought__X2(self, tenant: Tenant) -> None:
        tenant.call("1", days_ago(2), *ALL)
        (placed,) = self.place(tenant, person("2"), RequestAction.ERASE)
        result = self.run(tenant, [SoughtSubject(placed.request, person("1"))])
        assert (result.outcome, result.stores[0].reason, len(tenant.left())) == (Outcome.INVALID, "SubjectUnknown", 4)

    @abstractmethod
    def place(self, tenant: Tenant, subject: Subject, *actions: RequestAction) -> Sequence[SoughtSubject]:
        """Tells the tenant's database of a request, as the operator does."""

    @abstractmethod
    def lift_holds(self, tenant: Tenant) -> None:
        """No hold is in force any more."""

    @abstractmethod
    def run(self, tenant: Tenant, sought: Sequence[SoughtSubject] = (), task: Task = Task.REQUESTS) -> RunResult:
        """A run of the engine that only carries out requests."""

    def night(self, tenant: Tenant) -> RunResult:
        """A whole night's run."""
        return self.run(tenant, task=Task.EXPIRE)


def done(result: RunResult) -> dict[str, tuple[int, int, int]]:
    """By category: rows that went, lost the person, and wait."""
    evidence = result.stores[0].evidence
    assert evidence is not None
    rows: tuple[CategoryEvidence, ...] = evidence.categories
    return {each.category: (each.request_deleted, each.request_cleared, each.request_waiting) for each in rows}


def with_people(installation: str = "test") -> RetentionDefinition:
    """The archive of the contract tests, whose requests say who called."""
    rules = archive(back="P15M")
    caller = rules.table("requests").columns[-1].model_copy(update={"person": "person"})
    tables = tuple(
        each.model_copy(update={"columns": (*each.columns[:-1], caller)}) if each.name == "requests" else each
        for each in rules.tables
    )
    return rules.model_copy(update={"installation": installation, "tables": tables})


def carried_out(plan: PlanDocument, stores: Stores, sought: Sequence[SoughtSubject], task: Task) -> RunResult:
    """The engine over these stores."""
    world = RecordedWorld(at=datetime.now(UTC)).world()
    return expire(plan.model_copy(update={"task": task}), stores, uuid4(), world, sought)


class TestInMemory(RequestsContract):
    """The twins that the engine's unit tests run on."""

    @pytest.fixture
    def tenant(self) -> InMemoryArchive:
        return InMemoryArchive(with_people())

    def place(self, tenant: Tenant, subject: Subject, *actions: RequestAction) -> Sequence[SoughtSubject]:
        request, salt = uuid4(), os.urandom(16)
        digests = frozenset(digest_of(each, salt) for each in subject.spellings)
        tenant.server.requests[request] = PlacedRequest(frozenset(actions), salt, digests)
        return [SoughtSubject(request, subject)]

    def lift_holds(self, tenant: Tenant) -> None:
        tenant.server.holds.clear()

    def run(self, tenant: Tenant, sought: Sequence[SoughtSubject] = (), task: Task = Task.REQUESTS) -> RunResult:
        stores = Stores({"Analytical": tenant.enforcer()}, {"Content": tenant.content})
        return carried_out(plan_of(tenant.definition), stores, sought, task)


@pytest.mark.every_postgres
class TestRealStores(RequestsContract):
    """PostgreSQL 15, 17 and 18, and SeaweedFS."""

    @pytest.fixture
    def tenant(self, acme: LiveArchive) -> LiveArchive:
        acme.define(with_people(acme.definition.installation))
        return acme

    def place(self, tenant: Tenant, subject: Subject, *actions: RequestAction) -> Sequence[SoughtSubject]:
        request, salt = uuid4(), os.urandom(16)
        digests = [digest_of(each, salt) for each in subject.spellings]
        with tenant.owner() as owner:
            owner.execute(
                "SELECT retention.place_request(%s, 'req-1', %s, now(), %s, %s)",
                (request, list(actions), salt, digests),
            )
        return [SoughtSubject(request, subject)]

    def lift_holds(self, tenant: Tenant) -> None:
        with tenant.owner() as owner:
            owner.execute("UPDATE retention.hold SET released_at = now()")

    def run(self, tenant: Tenant, sought: Sequence[SoughtSubject] = (), task: Task = Task.REQUESTS) -> RunResult:
        plan = tenant.plan()
        with open_stores(plan, tenant.directory) as stores:
            return carried_out(plan, stores, sought, task)
