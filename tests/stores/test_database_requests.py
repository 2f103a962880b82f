"""A data subject's request inside the database: found by spellings, done row by row (T7, M9, P12 to P14)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.definition import (
    AnonymizeDefinition,
    ColumnDefinition,
    ObjectsDefinition,
    RetentionDefinition,
)
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import CategoryEvidence, RunEvidence
from tenant_retention.domain.ports.requests import RequestProgress, SoughtSubject
from tenant_retention.domain.subjects import Spelling, Subject, digest_of
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, category, days_ago, definition, table, text

pytestmark = pytest.mark.oldest_and_newest
ANNA, BERT = "+31612345678", "+31687654321"
ANNAS = Subject(
    (Spelling("PhoneNumber", ANNA), Spelling("PhoneNumber", "0612345678"), Spelling("EmailAddress", "anna@example.org"))
)


def of(name: str, role: str, person: str) -> ColumnDefinition:
    return ColumnDefinition(name=name, type="Text", role=role, person=person)


def contacts(**more: object) -> RetentionDefinition:
    """Calls between two people with an agent, their surveys, and recordings in a bucket."""
    objects = ObjectsDefinition(
        bucket="Content", table="recordings", key_column="object_key", version_column="object_version"
    )
    return definition(
        [
            table("surveys", of("comment", "FreeText", "")),
            table(
                "calls",
                of("caller", "PhoneNumber", "caller"),
                of("caller_name", "PersonName", "caller"),
                of("email", "EmailAddress", "caller"),
                of("called", "PhoneNumber", "called"),
                of("agent", "Agent", "agent"),
                of("remarks", "FreeText", ""),
                text("queue", "Queue"),
            ),
            table("recordings", text("object_key", "ObjectKey"), text("object_version")),
        ],
        [
            category("recordings", "recordings", content_of="records", objects=objects, **more),
            category("records", "surveys", "calls", **more),
        ],
    )


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive of calls."""
    with tenant_databases.having(contacts()) as made:
        yield made


def call(
    database: TenantDatabase,
    number: int,
    caller: str,
    called: str | None = None,
    *,
    age: float = 10,
    agent: str = "a1",
    key: str | None = None,
) -> None:
    """A call with its survey and recording, all of one birth."""
    born = days_ago(age)
    database.write(
        "INSERT INTO calls (id, started_at, session_id, caller, caller_name, email, called, agent, remarks, queue)"
        " VALUES (%s, %s, %s, %s, 'Anna', 'Anna@Example.ORG', %s, %s, 'asked for Anna', 'sales')",
        number,
        born,
        f"s{number}",
        caller,
        called,
        agent,
    )
    database.write(
        "INSERT INTO surveys (id, started_at, session_id, comment) VALUES (%s, %s, %s, 'thanks, Anna')",
        number,
        born,
        f"s{number}",
    )
    database.write(
        "INSERT INTO recordings (id, started_at, session_id, object_key) VALUES (%s, %s, %s, %s)",
        number,
        born,
        f"s{number}",
        key or f"k{number}",
    )


def place(database: TenantDatabase, *actions: str, subject: Subject = ANNAS) -> SoughtSubject:
    """Tells the database of a request, as the operator does."""
    return place_all(database, [subject], *actions)[0]


def place_all(database: TenantDatabase, subjects: Sequence[Subject], *actions: str) -> list[SoughtSubject]:
    """The same for several people."""
    sought = [SoughtSubject(uuid4(), subject) for subject in subjects]
    with database.as_owner() as owner:
        for each in sought:
            salt = os.urandom(16)
            owner.execute(
                "SELECT retention.place_request(%s, 'req-1', %s, now(), %s, %s)",
                (each.request, list(actions), salt, [digest_of(spelling, salt) for spelling in each.subject.spellings]),
            )
    return sought


def search(enforcement: PostgresEnforcementDatabase, run_id: UUID, sought: Sequence[SoughtSubject]) -> None:
    """Lists everything of these people, and does nothing."""
    tables = enforcement.begin_search(run_id, sought)
    for name in tables:
        while not enforcement.find_subjects(run_id, name, sought):
            pass
    for name in tables:
        while not enforcement.find_relatives(run_id, name):
            pass


def carry_out(
    database: TenantDatabase, *sought: SoughtSubject, rules: RetentionDefinition | None = None, batch: int = 2
) -> RunEvidence:
    """A run that only carries out requests, as the engine drives it; every object can be deleted. Nobody sought: what is left."""
    rules = rules or contacts()
    enforcement, run_id = database.enforcer(), uuid4()
    try:
        enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
        runs = enforcement.limit_to_requests(run_id)
        if sought:
            search(enforcement, run_id, sought)
            enforcement.subjects_found(run_id)
        for each in runs:
            while claims := enforcement.claim_content(run_id, each.category, 100):
                enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims])
            assert enforcement.partition_steps(run_id, each.category) == ()
            for name in rules.category(each.category).tables:
                while enforcement.work_requests(run_id, each.category, name, batch):
                    pass
        return enforcement.finish_run(run_id)
    finally:
        enforcement.close()


def counts(evidence: RunEvidence, name: str) -> tuple[int, int, int]:
    """Rows that went, lost the person, and wait."""
    each: CategoryEvidence = next(each for each in evidence.categories if each.category == name)
    return each.request_deleted, each.request_cleared, each.request_waiting


def calls(database: TenantDatabase) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT id, caller, caller_name, email, called, agent, remarks, queue FROM public.calls ORDER BY id"
    )


def test_a_person_who_asks_for_it_is_in_no_record_any_more_and_the_records_stay__P12_P13(
    database: TenantDatabase,
) -> None:
    call(database, 1, "+31 6 1234-5678")
    call(database, 2, BERT, "0612345678")
    database.write("UPDATE calls SET email = NULL WHERE id = 2")
    call(database, 3, BERT)
    database.write("UPDATE calls SET email = NULL WHERE id = 3")
    evidence = carry_out(database, place(database, "Anonymize"))
    assert calls(database) == [
        (1, None, None, None, None, "a1", None, "sales"),
        (2, BERT, "Anna", None, None, "a1", None, "sales"),
        (3, BERT, "Anna", None, None, "a1", "asked for Anna", "sales"),
    ]
    assert database.rows("SELECT id, comment FROM public.surveys ORDER BY id") == [
        (1, None),
        (2, None),
        (3, "thanks, Anna"),
    ]
    assert database.value("SELECT count(*) FROM public.recordings") == 3
    assert (counts(evidence, "records"), counts(evidence, "recordings"), evidence.outcome) == (
        (0, 4, 0),
        (0, 0, 0),
        "Succeeded",
    )


AGENT = Subject((Spelling("StaffId", "a1"),))


def left(database: TenantDatabase) -> tuple[list[int], list[int], list[int]]:
    """The ids of calls, surveys and recordings that are there."""
    found = database.rows(
        "SELECT 'c', id FROM public.calls UNION ALL SELECT 's', id FROM public.surveys UNION ALL SELECT 'r', id FROM public.recordings"
        " ORDER BY 1, 2"
    )
    calls, surveys, recordings = ([number for table, number in found if table == each] for each in "csr")
    return calls, surveys, recordings


def progress(database: TenantDatabase, sought: SoughtSubject) -> RequestProgress:
    with database.as_owner() as owner:
        found = owner.execute("SELECT retention.request_progress(%s)", (sought.request,)).fetchone()
    return RequestProgress.model_validate(found[0] if found else None)


def test_the_content_alone_goes_where_only_that_was_asked__P14_P3(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    call(database, 2, BERT)
    database.write("UPDATE calls SET email = NULL WHERE id = 2")
    before = calls(database)
    evidence = carry_out(database, place(database, "DeleteContent"))
    assert (left(database), calls(database)) == (([1, 2], [1, 2], [2]), before)
    assert (counts(evidence, "recordings"), counts(evidence, "records")) == ((1, 0, 0), (0, 0, 0))


def test_an_erased_person_leaves_neither_records_nor_surveys_nor_content__T7_P4(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    call(database, 2, BERT, agent="a2")
    database.write("UPDATE calls SET email = NULL WHERE id = 2")
    sought = place(database, "Erase")
    evidence = carry_out(database, sought)
    assert left(database) == ([2], [2], [2])
    assert (counts(evidence, "records"), counts(evidence, "recordings")) == ((2, 0, 0), (1, 0, 0))
    assert progress(database, sought).done


def test_an_agent_who_asks_takes_no_customers_calls_along__T7_P12(database: TenantDatabase) -> None:
    call(database, 1, BERT)
    call(database, 2, BERT, agent="a2")
    carry_out(database, place(database, "Erase", subject=AGENT))
    assert left(database) == ([1, 2], [1, 2], [1, 2])
    assert [(row[1], row[5]) for row in calls(database)] == [(BERT, None), (BERT, "a2")]


def test_what_comes_in_after_the_search_is_not_the_requests_matter__P13(database: TenantDatabase) -> None:
    sought = place(database, "Erase")
    carry_out(database, sought)
    call(database, 1, ANNA)
    carry_out(database)
    carry_out(database, sought)
    assert left(database) == ([1], [1], [1])


def test_a_job_is_not_believed_that_seeks_somebody_else_than_the_operator_said__X2(database: TenantDatabase) -> None:
    call(database, 1, BERT)
    known = place(database, "Erase")
    strangers = (
        SoughtSubject(known.request, Subject((Spelling("PhoneNumber", BERT),))),
        SoughtSubject(known.request, Subject((*ANNAS.spellings, Spelling("PhoneNumber", BERT)))),
        SoughtSubject(known.request, Subject(ANNAS.spellings[:1])),
        SoughtSubject(uuid4(), ANNAS),
    )
    for stranger in strangers:
        with pytest.raises(Invalid, match="is not known here, or is about somebody else"):
            carry_out(database, stranger)
    assert left(database) == ([1], [1], [1])


def test_held_rows_wait_for_the_release_and_then_go_in_the_next_run__X3(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    call(database, 2, ANNA)
    sought = place(database, "Erase")
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('s1')")
    evidence = carry_out(database, sought)
    assert left(database) == ([1], [1], [1])
    assert (counts(evidence, "records"), counts(evidence, "recordings")) == ((2, 0, 2), (1, 0, 1))
    assert [(each.table, each.left, each.held) for each in progress(database, sought).categories] == [
        ("recordings", 1, 1),
        ("calls", 1, 1),
        ("surveys", 1, 1),
    ]
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    carry_out(database)
    assert (left(database), progress(database, sought).done) == (([], [], []), True)


@pytest.mark.parametrize("action", ["Erase", "Anonymize"])
def test_without_early_deletion_a_request_waits_for_the_minimum_and_says_until_when__M9(
    tenant_databases: TenantDatabases, action: str
) -> None:
    rules = contacts(minimum="P30D", early_deletion=False)
    with tenant_databases.having(rules) as database:
        call(database, 1, ANNA, age=30 - 60 / 86400)
        call(database, 2, ANNA, age=30 + 1 / 86400)
        sought = place(database, action)
        carry_out(database, sought, rules=rules)
        named = [row[0] for row in database.rows("SELECT id FROM public.calls WHERE caller IS NOT NULL")]
        assert (named, [row[0] for row in calls(database)]) == ([1], [1] if action == "Erase" else [1, 2])
        waiting = {each.table: each for each in progress(database, sought).categories}
        born = database.value("SELECT started_at FROM public.calls WHERE id = 1")
        assert (waiting["calls"].deferred, waiting["calls"].until) == (1, born + timedelta(days=30))
        with database.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
            owner.execute("DELETE FROM public.calls")
        with database.as_owner() as owner:
            owner.execute("INSERT INTO retention.hold (session) VALUES ('s1')")
        counted = [
            (each.left, each.held, each.deferred, each.until)
            for each in progress(database, sought).categories
            if each.table == "calls"
        ]
        assert counted == [(1, 1, 0, None)], "a row that is held and young counts once"


def test_with_early_deletion_a_minimum_binds_the_schedule_and_no_request__M2_M9_M8(
    tenant_databases: TenantDatabases,
) -> None:
    rules = contacts(minimum="P30D", early_deletion=True)
    with tenant_databases.having(rules) as database:
        call(database, 1, ANNA)
        call(database, 2, BERT)
        database.write("UPDATE calls SET email = NULL WHERE id = 2")
        carry_out(database, place(database, "Erase"), rules=rules)
        assert left(database) == ([2], [2], [2])
        with database.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
            owner.execute("DELETE FROM public.calls")


def test_a_nightly_run_goes_on_with_what_a_request_left__T7(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    sought = place(database, "Erase")
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, contacts().rules_digest(), datetime.now(UTC))
    search(enforcement, run_id, [sought])
    enforcement.close()
    # Killed before all was found: nothing may act on half of it.
    carry_out(database)
    assert left(database) == ([1], [1], [1])
    carry_out(database, sought)
    assert left(database) == ([], [], [])


def test_an_object_that_another_persons_row_names_stays_with_that_row__M8_X3(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    call(database, 2, BERT, key="k1")
    database.write("UPDATE calls SET email = NULL WHERE id = 2")
    enforcement, run_id = database.enforcer(), uuid4()
    sought = place(database, "Erase")
    evidence = carry_out(database, sought)
    assert (left(database), counts(evidence, "recordings")) == (([2], [2], [2]), (1, 0, 0))
    enforcement.begin_run(run_id, Mode.ENFORCE, contacts().rules_digest(), datetime.now(UTC))
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    enforcement.close()


def test_a_row_that_refuses_to_lose_a_name_is_told_and_tried_again__P12_X6(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    call(database, 2, ANNA)
    with database.as_owner() as owner:
        owner.execute("ALTER TABLE public.calls ADD CONSTRAINT named CHECK (id <> 1 OR caller_name IS NOT NULL)")
    sought = place(database, "Anonymize")
    evidence = carry_out(database, sought)
    assert ([row[2] for row in calls(database)], evidence.outcome) == (["Anna", None], "Failed")
    with database.as_owner() as owner:
        owner.execute("ALTER TABLE public.calls DROP CONSTRAINT named")
    evidence = carry_out(database)
    assert ([row[2] for row in calls(database)], evidence.outcome, progress(database, sought).done) == (
        [None, None],
        "Succeeded",
        True,
    )


def test_a_blocked_number_lives_on_as_a_keyed_hash_and_other_required_columns_as_a_word__T4(
    tenant_databases: TenantDatabases,
) -> None:
    number = ColumnDefinition(
        name="number",
        type="Text",
        nullable=False,
        role="PhoneNumber",
        person="person",
        anonymize=AnonymizeDefinition(method="Hash"),
    )
    name = ColumnDefinition(name="name", type="Text", nullable=False, role="PersonName", person="person")
    rules = definition([table("blocked", number, name)], [category("configuration", "blocked")])
    with tenant_databases.having(rules) as database:
        database.write("INSERT INTO blocked (id, started_at, number, name) VALUES (1, now(), %s, 'Anna')", ANNA)
        carry_out(database, place(database, "Anonymize"), rules=rules)
        ((hashed, word),) = database.rows("SELECT number, name FROM public.blocked")
        assert (hashed.startswith("hmac:"), len(hashed), word) == (True, 69, "removed")


def test_a_thousand_people_are_found_and_cleared_in_one_run__T7(database: TenantDatabase) -> None:
    people = [Subject((Spelling("PhoneNumber", f"+3161{number:07}"),)) for number in range(1000)]
    with database.as_owner() as owner:
        owner.execute(
            "INSERT INTO public.calls (id, started_at, session_id, caller, remarks) SELECT n, now() - n * interval '1 minute', 's' || n,"
            " '+3161' || lpad((n % 2000)::text, 7, '0'), 'asked' FROM generate_series(1, 20000) AS n"
        )
    requests = place_all(database, people, "Anonymize")
    evidence = carry_out(database, *requests, batch=5000)
    assert counts(evidence, "records") == (0, 10_000, 0)
    assert database.value("SELECT count(*) FROM public.calls WHERE caller IS NULL AND remarks IS NULL") == 10_000
