"""The blast guard (API.md): what becomes due by a change of rules waits for an approval, what is due anyway does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.adapters.postgres.schema import read_definition, write_approval
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import CategoryRun, GuardState
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    category,
    days_ago,
    definition,
    records,
    run,
    table,
    take,
)

RULES = records(keep="P180D")


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Records kept 180 days, a guard of 25 percent, never run before."""
    with tenant_databases.having(RULES) as made:
        yield made


def fill(database: TenantDatabase, ages: list[int], *, each: int = 20) -> None:
    """``each`` calls for every age in days."""
    with database.connect("app") as app, app.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO calls (id, session_id, started_at) VALUES (%s, 's', %s)",
            [(age * 1000 + number, days_ago(age)) for age in ages for number in range(each)],
        )


def count(database: TenantDatabase) -> int:
    return int(database.value("SELECT count(*) FROM public.calls"))


def asked(database: TenantDatabase, rules: RetentionDefinition, mode: Mode = Mode.DRY_RUN) -> CategoryRun:
    """What the guard says of the first category."""
    enforcement, run_id = database.enforcer(), uuid4()
    (first, *_) = enforcement.begin_run(run_id, mode, rules.rules_digest(), datetime.now(UTC))
    enforcement.finish_run(run_id)
    enforcement.close()
    return first


def approve(database: TenantDatabase, rules: RetentionDefinition, **more: Any) -> None:
    terms = {"max_rows": 1000, "until": datetime.now(UTC) + timedelta(hours=1), "run_name": "approve", **more}
    with database.as_administrator() as administrator:
        write_approval(administrator, database.roles, rules_digest=terms.pop("digest", rules.rules_digest()), **terms)


def test_a_first_run_over_old_data_stops_and_asks_and_an_approval_lets_it_through(database: TenantDatabase) -> None:
    fill(database, [1, 200, 300])
    evidence = run(database, RULES)
    assert (evidence.outcome, evidence.categories[0].acted, evidence.categories[0].surplus) == (
        "ApprovalRequired",
        0,
        40,
    )
    (request,) = database.observer().observe().guard_requests
    assert (request.category, request.rules_digest, request.surplus, request.total) == (
        "records",
        RULES.rules_digest(),
        40,
        60,
    )
    approve(database, RULES, max_rows=40)
    evidence = run(database, RULES)
    assert (evidence.outcome, evidence.categories[0].acted) == ("Succeeded", 40)
    assert database.observer().observe().guard_requests == ()
    assert count(database) == 20


def test_a_run_limited_to_another_category_hides_no_question_of_the_guard_and_is_no_night_s_success(
    tenant_databases: TenantDatabases,
) -> None:
    rules = definition(
        [table("calls"), table("notes")], [category("records", "calls", keep="P180D"), category("notes", "notes")]
    )
    with tenant_databases.having(rules) as database:
        fill(database, [1, 200, 300])
        run(database, rules)
        enforcement, run_id = database.enforcer(), uuid4()
        enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
        enforcement.limit_run(run_id, ["notes"])
        assert enforcement.partition_steps(run_id, "notes") == ()
        assert enforcement.finish_run(run_id).outcome == "Succeeded"
        enforcement.close()
        facts = database.observer().observe()
        assert [(each.category, each.surplus) for each in facts.guard_requests] == [("records", 40)]
        assert facts.latest_success is None
        assert facts.chain_intact


def test_debt_counts_on_while_the_guard_waits__X4(database: TenantDatabase) -> None:
    fill(database, [1, 200, 300])
    run(database, RULES)
    assert database.observer().observe().categories[0].due == 40


@pytest.mark.parametrize(
    "terms",
    [
        {"max_rows": 39},
        {"until": datetime(2020, 1, 1, tzinfo=UTC)},
        {"digest": records(keep="P1D").rules_digest()},
    ],
    ids=["too few rows", "ended", "for other rules"],
)
def test_an_approval_for_fewer_rows_of_the_past_or_for_other_rules_approves_nothing(
    database: TenantDatabase, terms: dict[str, Any]
) -> None:
    fill(database, [1, 200, 300])
    approve(database, RULES, **terms)
    assert asked(database, RULES).guard is GuardState.TRIPPED
    assert run(database, RULES).categories[0].acted == 0
    assert count(database) == 60


def test_a_few_rows_page_nobody(database: TenantDatabase) -> None:
    fill(database, [1, 200], each=10)
    assert asked(database, RULES).guard is GuardState.CLEAR
    fill(database, [201], each=1)
    assert asked(database, RULES).guard is GuardState.TRIPPED


def test_a_steady_keep_never_trips_however_much_is_due(database: TenantDatabase) -> None:
    daily = records(keep="P1D")
    database.apply(daily)
    run(database, daily)
    fill(database, [2, 3, 4, 40], each=50)
    began = asked(database, daily)
    assert (began.guard, began.candidates, began.surplus) == (GuardState.CLEAR, 200, 0)


def test_rules_that_change_while_a_run_writes_its_evidence_are_not_taken_for_executed(database: TenantDatabase) -> None:
    """What the guard compares with would else be rules that it never asked about."""
    fill(database, [1, 50, 100])
    shorter = records(keep="P30D")
    enforcement, run_id = database.enforcer(), uuid4()
    (first,) = enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    enforcement.partition_steps(run_id, first.category)
    with database.as_owner() as busy, ThreadPoolExecutor(1) as thread:
        busy.execute("BEGIN")
        busy.execute("LOCK TABLE retention.evidence IN SHARE ROW EXCLUSIVE MODE")
        finished = thread.submit(enforcement.finish_run, run_id)
        database.wait_until_someone_waits_for("retention.evidence")
        database.apply(shorter)
        busy.execute("COMMIT")
        finished.result(timeout=180)
    enforcement.close()
    assert asked(database, shorter).guard is GuardState.TRIPPED
    assert run(database, shorter).categories[0].acted == 0
    assert count(database) == 60


def test_a_shorter_keep_asks_and_meanwhile_the_category_runs_under_its_last_rules(database: TenantDatabase) -> None:
    run(database, RULES)
    fill(database, [1, 50, 100, 190])
    shorter = records(keep="P30D")
    database.apply(shorter)
    evidence = run(database, shorter)
    assert (evidence.outcome, evidence.categories[0].acted, evidence.categories[0].surplus) == (
        "ApprovalRequired",
        20,
        40,
    )
    assert count(database) == 60
    assert database.observer().observe().guard_requests[0].surplus == 40
    approve(database, shorter)
    assert run(database, shorter).categories[0].acted == 40
    assert count(database) == 20


def test_a_shorter_keep_that_reaches_few_of_many_does_not_ask(database: TenantDatabase) -> None:
    run(database, RULES)
    fill(database, [1, 2, 3, 4, 170])
    shorter = records(keep="P160D")
    database.apply(shorter)
    assert run(database, shorter).categories[0].acted == 20


def test_a_lowered_max_asks_as_well__M10(database: TenantDatabase) -> None:
    run(database, RULES)
    fill(database, [1, 100, 120])
    lower = records(keep="P180D", maximum="P90D")
    database.apply(lower)
    assert asked(database, lower).guard is GuardState.TRIPPED


def test_a_longer_keep_under_a_tripped_guard_is_never_cut_short_by_the_old_rules(database: TenantDatabase) -> None:
    run(database, RULES)
    fill(database, [1, 200, 300])
    longer = records(keep="P250D")
    database.apply(longer)
    assert run(database, longer).categories[0].acted == 20
    assert count(database) == 40


def test_the_dry_run_shows_the_guard_and_remembers_no_rules_as_executed__X7(database: TenantDatabase) -> None:
    fill(database, [1, 200])
    assert run(database, RULES, Mode.DRY_RUN).categories[0].surplus == 20
    assert asked(database, RULES).guard is GuardState.TRIPPED


def test_a_category_that_was_not_worked_on_has_not_executed_its_rules(database: TenantDatabase) -> None:
    asked(database, RULES, Mode.ENFORCE)
    fill(database, [1, 200])
    assert asked(database, RULES).guard is GuardState.TRIPPED


def test_an_approval_that_ends_in_the_middle_stops_the_run(database: TenantDatabase) -> None:
    fill(database, [1, 200, 300])
    approve(database, RULES)
    enforcement, run_id = database.enforcer(), uuid4()
    (began,) = enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    assert (began.guard, began.candidates) == (GuardState.APPROVED, 40)
    first, second = enforcement.partition_steps(run_id, "records")
    take(enforcement, run_id, first)
    approve(database, RULES, until=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(Invalid) as refused:
        take(enforcement, run_id, second)
    assert refused.value.reason == "RulesChanged"
    enforcement.finish_run(run_id)
    enforcement.close()
    assert count(database) == 40


def test_an_approval_that_is_written_again_goes_on_counting_and_a_new_one_begins_anew(database: TenantDatabase) -> None:
    fill(database, [1, 200, 300])
    approve(database, RULES, max_rows=40)
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    assert take(enforcement, run_id, enforcement.partition_steps(run_id, "records")[0]) == 20
    enforcement.close()
    fill(database, [301], each=20)
    approve(database, RULES, max_rows=40)
    assert asked(database, RULES, Mode.ENFORCE).guard is GuardState.TRIPPED
    approve(database, RULES, max_rows=40, run_name="another")
    assert asked(database, RULES, Mode.ENFORCE).guard is GuardState.APPROVED
    assert run(database, RULES).categories[0].acted == 40


def test_one_tripped_category_does_not_stop_the_others(tenant_databases: TenantDatabases) -> None:
    rules = definition(
        [table("calls"), table("logs")],
        [category("records", "calls", keep="P180D"), category("logs", "logs", keep="P180D")],
    )
    with tenant_databases.having(rules) as database:
        run(database, rules)
        fill(database, [1, 100, 200])
        database.write("INSERT INTO logs (id, session_id, started_at) VALUES (1, 's', %s)", days_ago(200))
        shorter = definition(
            [table("calls"), table("logs")],
            [category("records", "calls", keep="P30D"), category("logs", "logs", keep="P180D")],
        )
        database.apply(shorter)
        by_name = {each.category: each for each in run(database, shorter).categories}
        assert (by_name["records"].acted, by_name["records"].surplus, by_name["logs"].acted) == (20, 20, 1)


def test_the_definition_in_the_database_is_read_back_as_it_was_written(database: TenantDatabase) -> None:
    with database.as_administrator() as administrator:
        assert read_definition(administrator, database.roles) == RULES
