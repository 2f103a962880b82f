"""Two real databases of one policy whose objects lie in one bucket (M8, X3); test_enforcement_sharing.py of the unit tests has
every case."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome, RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago
from tests.support.enforcement import RecordedWorld, plan_of
from tests.support.shared_bucket import two_databases

RULES = two_databases()
INSERT = "(id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, %s, 'v1')"


class Customer:
    """Both databases and the bucket."""

    def __init__(self, analytical: TenantDatabase, dialogue: TenantDatabase) -> None:
        self.analytical, self.dialogue = analytical, dialogue
        self.bucket = InMemoryContentBucket()

    def recording(self, key: str, age: float) -> None:
        self.bucket.objects.add((key, "v1"))
        self.analytical.write("INSERT INTO recordings " + INSERT, key, key, days_ago(age), key)

    def attachment(self, key: str, age: float) -> None:
        self.bucket.objects.add((key, "v1"))
        self.dialogue.write("INSERT INTO attachments " + INSERT, key, key, days_ago(age), key)

    def left(self) -> set[tuple[str, str]]:
        rows = {("recordings", row[0]) for row in self.analytical.rows("SELECT object_key FROM recordings")}
        return rows | {("attachments", row[0]) for row in self.dialogue.rows("SELECT object_key FROM attachments")}

    def run(self, rules: RetentionDefinition = RULES, *categories: str) -> RunResult:
        around = RecordedWorld(at=days_ago(0))
        with ExitStack() as closing:
            sessions = {"Analytical": self.analytical.enforcer(), "Dialogue": self.dialogue.enforcer()}
            for session in sessions.values():
                closing.callback(session.close)
            plan = plan_of(rules, categories=categories)
            return expire(plan, Stores(sessions, {"Content": self.bucket}), uuid4(), around.world())


@pytest.fixture
def customer(tenant_databases: TenantDatabases) -> Iterator[Customer]:
    with tenant_databases.having(RULES) as analytical, tenant_databases.having(RULES, "Dialogue") as dialogue:
        yield Customer(analytical, dialogue)


def test_one_database_deletes_no_object_that_is_young_or_held_in_the_other__M8_X3(customer: Customer) -> None:
    customer.recording("young-attachment", 1000)
    customer.attachment("young-attachment", 1)
    customer.recording("held-attachment", 1000)
    customer.attachment("held-attachment", 1000)
    customer.recording("young-recording", 1)
    customer.attachment("young-recording", 1000)
    customer.recording("due-in-both", 1000)
    customer.attachment("due-in-both", 1000)
    customer.recording("alone", 1000)
    with customer.dialogue.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('held-attachment')")
    assert customer.run().outcome is Outcome.SUCCEEDED
    assert {key for key, _ in customer.bucket.objects} == {"young-attachment", "held-attachment", "young-recording"}
    assert customer.left() == {
        ("attachments", "young-attachment"),
        ("attachments", "held-attachment"),
        ("recordings", "young-recording"),
    }


def test_a_suspended_database_keeps_what_lies_in_the_bucket_it_shares__X5(customer: Customer) -> None:
    customer.recording("old", 1000)
    customer.attachment("young", 1)
    customer.dialogue.apply(RULES, "Dialogue", suspended=True)
    assert customer.run().outcome is Outcome.NOT_READY
    assert customer.left() == {("recordings", "old"), ("attachments", "young")}
    customer.dialogue.apply(RULES, "Dialogue")
    assert customer.run().outcome is Outcome.SUCCEEDED
    assert customer.left() == {("attachments", "young")}


def test_an_object_stays_that_is_held_in_the_other_database_by_a_category_that_left_the_profile__X3(
    customer: Customer,
) -> None:
    customer.recording("held", 1000)
    customer.attachment("held", 1000)
    customer.recording("alone", 1000)
    with customer.dialogue.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('held')")
    chats = next(each for each in RULES.categories if each.name == "chat-logs")
    moved = chats.model_copy(update={"database": "Dialogue", "content_of": None})
    rest = [each for each in RULES.categories if each.name not in {"attachments", "chat-logs"}]
    without = RULES.model_copy(update={"categories": (*rest, moved)})
    customer.analytical.apply(without)
    customer.dialogue.apply(without, "Dialogue", suspended=True)
    assert customer.run(without).outcome is Outcome.NOT_READY
    assert {key for key, _ in customer.bucket.objects} == {"held", "alone"}, "who cannot be asked lets none go"
    customer.dialogue.apply(without, "Dialogue")
    assert customer.run(without).outcome is Outcome.SUCCEEDED
    assert {key for key, _ in customer.bucket.objects} == {"held"}
    assert customer.left() == {("attachments", "held")}


def test_a_run_by_hand_of_one_category_asks_both_databases_and_is_no_night_of_either__M8_X6(customer: Customer) -> None:
    customer.recording("young-attachment", 1000)
    customer.attachment("young-attachment", 1)
    customer.recording("alone", 1000)
    customer.attachment("due", 1000)
    done = customer.run(RULES, "recordings")
    assert [(store.purpose, store.outcome) for store in done.stores] == [
        ("Analytical", Outcome.SUCCEEDED),
        ("Dialogue", Outcome.SUCCEEDED),
    ]
    assert {key for key, _ in customer.bucket.objects} == {"young-attachment", "due"}
    assert customer.left() == {("attachments", "young-attachment"), ("attachments", "due")}
    assert [store.evidence and store.evidence.limited_to for store in done.stores] == [("recordings",)] * 2
