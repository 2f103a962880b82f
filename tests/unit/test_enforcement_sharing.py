"""Two databases whose objects lie in one bucket: what one of them would delete may be young or held in the other (M8, X3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Hold, Row, TenantServer
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import Claim, LockOutcome, ObjectDeletion, ObjectLock
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome, RunResult
from tenant_retention.enforcement.world import Stores
from tests.support.enforcement import NOW, RecordedWorld, plan_of
from tests.support.shared_bucket import IN_BOTH, two_databases

TABLES = {"Analytical": "recordings", "Dialogue": "attachments"}


def days(number: float) -> datetime:
    return NOW - timedelta(days=number)


class Customer:
    """Both servers, the bucket, and a way to run the engine on them."""

    def __init__(self, attachments_min: str | None = None) -> None:
        self.around = RecordedWorld()
        self.definition = two_databases(attachments_min)
        self.bucket = InMemoryContentBucket()
        self.servers = {name: TenantServer(self.definition, name, lambda: self.around.at) for name in TABLES}

    def row(self, database: str, name: str, born_at: datetime, key: str = IN_BOTH, version: str | None = "v1") -> None:
        table = TABLES[database]
        self.servers[database].rows.append(
            Row(f"{table}:{name}", table, born_at, session=name, key=key, version=version)
        )
        self.bucket.objects.add((key, "v1"))

    def run(self, **databases: Any) -> RunResult:
        sessions = {name: InMemoryEnforcementDatabase(server) for name, server in self.servers.items()}
        stores = Stores({**sessions, **databases}, {"Content": self.bucket})
        present = {name: database for name, database in stores.databases.items() if database is not None}
        done = expire(plan_of(self.definition), Stores(present, stores.buckets), uuid4(), self.around.world())
        for session in sessions.values():
            session.close()
        return done

    def left(self) -> set[str]:
        return {row.identity for server in self.servers.values() for row in server.rows}


@pytest.fixture
def customer() -> Customer:
    return Customer()


@pytest.mark.parametrize(("old", "young"), [("Analytical", "Dialogue"), ("Dialogue", "Analytical")])
@pytest.mark.parametrize("version", ["v1", None])
def test_an_object_that_is_young_in_the_other_database_stays_and_the_old_row_goes_alone__M8(
    customer: Customer, old: str, young: str, version: str | None
) -> None:
    customer.row(old, "old", days(1000))
    customer.row(young, "young", days(1), version=version)
    assert customer.run().outcome is Outcome.SUCCEEDED
    assert customer.left() == {f"{TABLES[young]}:young"}
    assert customer.bucket.objects == {(IN_BOTH, "v1")}


def test_an_object_that_is_held_in_the_other_database_stays__X3(customer: Customer) -> None:
    customer.row("Analytical", "old", days(1000))
    customer.row("Dialogue", "held", days(1000))
    customer.servers["Dialogue"].holds.append(Hold(session="held"))
    customer.run()
    assert customer.left() == {"attachments:held"}
    assert customer.bucket.objects == {(IN_BOTH, "v1")}


def test_an_object_that_is_due_in_both_databases_goes_in_one_night__M10(customer: Customer) -> None:
    customer.row("Analytical", "old", days(1000))
    customer.row("Dialogue", "old", days(1000))
    assert customer.run().outcome is Outcome.SUCCEEDED
    assert customer.left() == set()
    assert customer.bucket.objects == set()


def test_a_row_that_means_every_version_waits_for_the_other_databases_row_of_one_and_says_so__M8(
    customer: Customer,
) -> None:
    customer.row("Analytical", "old", days(1000), version=None)
    customer.row("Dialogue", "young", days(1))
    assert customer.run().outcome is Outcome.INCOMPLETE
    assert customer.left() == {"recordings:old", "attachments:young"}
    assert customer.bucket.objects == {(IN_BOTH, "v1")}


class Away:
    """A database that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> None:
            raise Unavailable("no route", reason="Unreachable")

        return call


@pytest.mark.parametrize("other", [Away(), None], ids=["away", "not in the plan"])
def test_where_the_other_database_cannot_be_asked_the_content_of_their_bucket_waits_and_all_else_goes__M8(
    customer: Customer, other: Away | None
) -> None:
    customer.row("Analytical", "old", days(1000))
    customer.servers["Analytical"].rows.append(Row("chat_logs:old", "chat_logs", days(1000)))
    result = customer.run(Dialogue=other)
    assert result.outcome is (Outcome.UNREACHABLE if other else Outcome.INCOMPLETE)
    assert customer.left() == {"recordings:old"}
    assert customer.bucket.objects == {(IN_BOTH, "v1")}
    (told,) = [facts for event, facts in customer.around.told if event == "category.failed"]
    assert (told["category"], told["reason"]) == ("recordings", "SharedBucket")
    assert customer.run().outcome is Outcome.SUCCEEDED
    assert customer.left() == set()


def run_by_hand(customer: Customer, *categories: str) -> RunResult:
    sessions = {name: InMemoryEnforcementDatabase(server) for name, server in customer.servers.items()}
    plan = plan_of(customer.definition, categories=categories)
    return expire(plan, Stores(sessions, {"Content": customer.bucket}), uuid4(), customer.around.world())


def test_a_run_by_hand_of_one_category_asks_every_database_of_the_policy__M8(customer: Customer) -> None:
    customer.row("Analytical", "young", days(1000), key="audio/young")
    customer.row("Dialogue", "young", days(1), key="audio/young")
    customer.row("Dialogue", "due", days(1000), key="audio/due")
    customer.row("Analytical", "due", days(1000), key="audio/alone")
    done = run_by_hand(customer, "recordings")
    assert [(store.purpose, store.outcome) for store in done.stores] == [
        ("Analytical", Outcome.SUCCEEDED),
        ("Dialogue", Outcome.SUCCEEDED),
    ]
    assert customer.bucket.objects == {("audio/young", "v1"), ("audio/due", "v1")}, (
        "the other's due object is not asked for"
    )
    assert customer.left() == {"attachments:young", "attachments:due"}
    other = done.stores[1].evidence
    assert other is not None
    assert (other.limited_to, other.categories) == (("recordings",), ()), "no night of the other database"


def test_a_run_by_hand_that_concerns_no_objects_begins_in_its_own_database_alone__X3(customer: Customer) -> None:
    done = run_by_hand(customer, "chat-logs")
    assert [store.purpose for store in done.stores] == ["Analytical"]


def test_a_suspended_database_lets_nothing_go_from_the_bucket_it_shares__X5(customer: Customer) -> None:
    customer.row("Analytical", "old", days(1000))
    customer.servers["Dialogue"].suspended = True
    assert customer.run().outcome is Outcome.NOT_READY
    assert customer.bucket.objects == {(IN_BOTH, "v1")}


class Forgetful(InMemoryEnforcementDatabase):
    """A database that goes away after its run began."""

    def objects_named_here(self, *_: Any) -> Any:
        raise Unavailable("no route", reason="Unreachable")


def test_a_database_that_goes_away_in_the_middle_keeps_the_claimed_objects_until_it_is_back__M8(
    customer: Customer,
) -> None:
    customer.row("Analytical", "old", days(1000))
    customer.run(Dialogue=Forgetful(customer.servers["Dialogue"]))
    assert customer.left() == {"recordings:old"}
    assert customer.bucket.objects == {(IN_BOTH, "v1")}
    customer.servers["Dialogue"].running = None
    customer.run()
    assert customer.bucket.objects == set()


class Recorded(InMemoryContentBucket):
    """Remembers which kind of work came when."""

    work: list[str]

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        self.work.append("delete")
        return super().delete_objects(claims)

    def retain_objects(self, locks: Sequence[ObjectLock]) -> tuple[LockOutcome, ...]:
        self.work.append("lock")
        return super().retain_objects(locks)


def test_the_young_objects_of_every_database_are_locked_before_the_first_one_is_deleted__M8() -> None:
    customer = Customer(attachments_min="P7D")
    customer.bucket = Recorded()
    customer.bucket.work = []
    customer.row("Analytical", "old", days(1000), key="audio/old")
    customer.row("Dialogue", "young", days(1))
    customer.run()
    assert customer.bucket.work == ["lock", "delete"]


def test_a_dry_run_asks_nobody_and_counts_all__X7(customer: Customer) -> None:
    customer.row("Analytical", "old", days(1000))
    customer.row("Dialogue", "young", days(1))
    sessions = {name: Forgetful(server) for name, server in customer.servers.items()}
    plan = plan_of(customer.definition, mode=Mode.DRY_RUN)
    done = expire(plan, Stores(sessions, {"Content": customer.bucket}), uuid4(), customer.around.world())
    assert [store.purpose for store in done.stores] == ["Analytical", "Dialogue"]
    assert done.outcome is Outcome.SUCCEEDED
