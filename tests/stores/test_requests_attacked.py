"""Requests of data subjects where somebody could lose too much, or the person stay: imports, blocks, agents, thieves, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.domain.definition import AnonymizeDefinition, ClockEvent, ColumnDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.requests import SoughtSubject
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, category, days_ago, definition, table, text
from tests.stores.test_database_requests import (
    AGENT,
    ANNA,
    BERT,
    call,
    calls,
    carry_out,
    contacts,
    left,
    of,
    place,
    progress,
    search,
)

pytestmark = pytest.mark.oldest_and_newest


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive of calls."""
    with tenant_databases.having(contacts()) as made:
        yield made


def look(database: TenantDatabase, sought: SoughtSubject) -> None:
    """A dry run: all is listed, nothing is done."""
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.DRY_RUN, contacts().rules_digest(), datetime.now(UTC))
    search(enforcement, run_id, [sought])
    enforcement.finish_run(run_id)
    enforcement.close()


def test_rows_of_one_import_have_one_birth_and_are_not_one_persons__P12(tenant_databases: TenantDatabases) -> None:
    blocked = table("blocked", of("number", "PhoneNumber", "person"), of("remarks", "FreeText", ""))
    rules = definition([blocked, table("keywords", text("word"))], [category("configuration", "blocked", "keywords")])
    with tenant_databases.having(rules) as database:
        born = days_ago(3)
        database.write(
            "INSERT INTO blocked (id, started_at, number, remarks) VALUES (1, %s, %s, 'x'), (2, %s, %s, 'stays')",
            *(born, ANNA, born, BERT),
        )
        database.write("INSERT INTO keywords (id, started_at, word) VALUES (1, %s, 'invoice')", born)
        carry_out(database, place(database, "Erase"), rules=rules)
        assert database.rows("SELECT id, remarks FROM public.blocked") == [(2, "stays")]
        assert database.value("SELECT count(*) FROM public.keywords") == 1


def test_a_block_outlives_the_erasure_as_a_keyed_hash__T4(tenant_databases: TenantDatabases) -> None:
    hashed = AnonymizeDefinition(method="Hash")
    number = ColumnDefinition(
        name="number", type="Text", nullable=False, role="PhoneNumber", person="person", anonymize=hashed
    )
    terminated = category(
        "configuration", "blocked", clock_event=ClockEvent.TERMINATED, clock_column=None, keep=None, maximum=None
    )
    rules = definition([table("blocked", number)], [terminated])
    with tenant_databases.having(rules) as database:
        database.write("INSERT INTO blocked (id, started_at, number) VALUES (1, now(), %s)", ANNA)
        carry_out(database, place(database, "Erase"), rules=rules)
        assert str(database.value("SELECT number FROM public.blocked")).startswith("hmac:")


@pytest.mark.parametrize(
    "claim",
    [
        lambda thief, run_id, sought: thief.subjects_found(run_id),
        lambda thief, run_id, sought: thief.find_relatives(run_id, "calls"),
    ],
    ids=["found", "relatives"],
)
def test_a_thief_of_the_enforcers_login_cannot_say_that_nothing_was_there__X2(
    database: TenantDatabase, claim: Callable[[PostgresEnforcementDatabase, object, SoughtSubject], object]
) -> None:
    call(database, 1, ANNA)
    sought = place(database, "Erase")
    thief, run_id = database.enforcer(), uuid4()
    thief.begin_run(run_id, Mode.ENFORCE, contacts().rules_digest(), datetime.now(UTC))
    thief.begin_search(run_id, [sought])
    with pytest.raises(Invalid, match="not every table was looked through"):
        claim(thief, run_id, sought)
    thief.close()
    carry_out(database, sought)
    assert left(database) == ([], [], [])


def test_a_run_that_works_already_is_not_made_one_that_only_carries_out_requests__X2(database: TenantDatabase) -> None:
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, contacts().rules_digest(), datetime.now(UTC))
    enforcement.claim_content(run_id, "recordings", 10)
    with pytest.raises(Invalid, match="has begun its work already"):
        enforcement.limit_to_requests(run_id)
    enforcement.close()


def test_a_number_that_was_put_right_after_the_look_is_somebody_elses_call__P12(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    sought = place(database, "Erase")
    look(database, sought)
    database.write("UPDATE calls SET caller = %s, email = NULL WHERE id = 1", BERT)
    carry_out(database, sought)
    assert left(database) == ([1], [1], [1])


def test_a_row_that_became_the_persons_own_after_the_look_loses_all_of_the_person__P12(
    database: TenantDatabase,
) -> None:
    call(database, 1, ANNA)
    database.write(
        "INSERT INTO calls (id, started_at, session_id, caller_name, remarks) VALUES (3, %s, 's1', 'Anna', 'x')",
        days_ago(10),
    )
    sought = place(database, "Anonymize")
    look(database, sought)
    database.write("UPDATE calls SET caller = %s WHERE id = 3", ANNA)
    carry_out(database, sought)
    assert [row[1:3] for row in calls(database)] == [(None, None), (None, None)]


def test_an_agent_takes_no_recording_along_that_names_the_customer_too__T7(tenant_databases: TenantDatabases) -> None:
    people = (of("caller", "PhoneNumber", "caller"), of("agent", "Agent", "agent"))
    recordings = table("recordings", text("object_key", "ObjectKey"), text("object_version"), *people)
    rules = contacts()
    rules = rules.model_copy(update={"tables": (*rules.tables[:2], recordings)})
    with tenant_databases.having(rules) as database:
        call(database, 1, BERT)
        database.write("UPDATE recordings SET caller = %s, agent = 'a1'", BERT)
        carry_out(database, place(database, "Erase", subject=AGENT), rules=rules)
        assert left(database) == ([1], [1], [1])
        assert database.rows("SELECT caller, agent FROM public.recordings") == [(BERT, None)]


def test_a_name_in_a_survey_goes_with_the_name_in_its_call__P12(tenant_databases: TenantDatabases) -> None:
    rules = contacts()
    surveys = table("surveys", of("comment", "FreeText", ""), of("respondent", "PersonName", "person"))
    rules = rules.model_copy(update={"tables": (surveys, *rules.tables[1:])})
    with tenant_databases.having(rules) as database:
        call(database, 1, ANNA)
        database.write("UPDATE surveys SET respondent = 'Anna Jansen'")
        carry_out(database, place(database, "Anonymize"), rules=rules)
        assert database.rows("SELECT comment, respondent FROM public.surveys") == [(None, None)]


def test_what_is_over_leaves_neither_sessions_nor_anything_to_try_numbers_against__X6(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    sought = place(database, "Erase")
    carry_out(database, sought)
    assert progress(database, sought).done
    assert database.rows("SELECT identifiers FROM retention.request") == [([],)]
    assert database.value("SELECT count(*) FROM retention.request_session") == 0


def test_the_sessions_of_an_anonymized_person_are_known_as_long_as_there_is_content__P12(
    database: TenantDatabase,
) -> None:
    call(database, 1, ANNA)
    carry_out(database, place(database, "Anonymize"))
    assert database.rows("SELECT session FROM retention.request_session") == [("s1",)]
    with database.as_owner() as owner:
        owner.execute("DELETE FROM public.recordings")
    carry_out(database)
    assert database.value("SELECT count(*) FROM retention.request_session") == 0


def test_an_object_that_a_night_claimed_and_left_goes_by_request_after_the_keep_was_lengthened__T7(
    database: TenantDatabase,
) -> None:
    call(database, 1, ANNA, age=100)
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, contacts().rules_digest(), datetime.now(UTC))
    claimed = enforcement.claim_content(run_id, "recordings", 10)
    enforcement.close()
    rules = contacts(keep="P120D")
    database.apply(rules)
    carry_out(database, place(database, "Erase"), rules=rules)
    assert (len(claimed), left(database)) == (1, ([], [], []))


def test_a_row_that_a_trigger_keeps_from_changing_stops_neither_the_others_nor_the_run__X6(
    database: TenantDatabase,
) -> None:
    call(database, 1, ANNA)
    call(database, 2, ANNA)
    with database.as_owner() as owner:
        owner.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'immutable'; END $$"
        )
        owner.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON public.calls FOR EACH ROW WHEN (OLD.id = 1)"
            " EXECUTE FUNCTION public.refuse()"
        )
    evidence = carry_out(database, place(database, "Anonymize"))
    assert ([row[1] for row in calls(database)], evidence.outcome) == ([ANNA, None], "Failed")


def test_a_row_that_another_table_refers_to_stops_neither_the_others_nor_the_run__X6(database: TenantDatabase) -> None:
    call(database, 1, ANNA)
    call(database, 2, ANNA)
    with database.as_owner() as owner:
        owner.execute(
            "CREATE TABLE public.notes (id bigint, started_at timestamptz,"
            " FOREIGN KEY (id, started_at) REFERENCES public.calls (id, started_at))"
        )
        owner.execute("INSERT INTO public.notes SELECT id, started_at FROM public.calls WHERE id = 1")
    sought = place(database, "Erase")
    evidence = carry_out(database, sought)
    assert (left(database)[0], evidence.outcome, progress(database, sought).done) == ([1], "Failed", False)
