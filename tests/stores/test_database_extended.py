"""Bought storage (T5) in real databases: kept while it lasts, gone after its end, no surprise to the guard."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tenant_retention.domain.decisions import Extension, Item, Rule, Verdict, cutoffs, decide
from tenant_retention.domain.definition import ExtendedDefinition, RetentionDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.plan_document import Mode
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    category,
    days_ago,
    definition,
    run,
    table,
)

DAY = timedelta(days=1)


def rules(extended: ExtendedDefinition | None = None, guard_percent: int = 1) -> RetentionDefinition:
    """Calls of half a year, or for as long as was bought."""
    half = category("records", "calls", keep="P90D", maximum="P6M", extended=extended)
    return definition([table("calls", back="P3Y")], [half], guard_percent=guard_percent)


def bought(until: datetime | None, keep: str = "P1Y") -> ExtendedDefinition:
    return ExtendedDefinition(keep=keep, maximum="P2Y", until=until)


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    with tenant_databases.having(rules()) as made:
        yield made


def fill(database: TenantDatabase, *ages: float, each: int = 20) -> None:
    with database.connect("app") as app, app.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO calls (id, session_id, started_at) VALUES (%s, 's', %s)",
            [(int(age * 1000) + number, days_ago(age)) for age in ages for number in range(each)],
        )


def count(database: TenantDatabase) -> int:
    return int(database.value("SELECT count(*) FROM public.calls"))


def end_now(database: TenantDatabase) -> None:
    """The bought time is over, as if the clocks had moved on: for the rules in force and for those executed last."""
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.category SET extended_until = now() - interval '1 minute'")
        owner.execute("UPDATE retention.executed_rule SET extended_until = now() - interval '1 minute'")


def test_what_was_bought_is_kept_until_its_end_and_goes_after_it_without_asking__T5(database: TenantDatabase) -> None:
    lasting = rules(bought(datetime.now(UTC) + DAY))
    database.apply(lasting)
    fill(database, 10, 200, 300)
    first = run(database, lasting)
    assert (first.outcome, first.categories[0].acted, count(database)) == ("Succeeded", 0, 60)
    end_now(database)
    (seen,) = database.observer().observe().categories
    assert (seen.due, seen.overdue) == (40, 0), "nobody could remove it before: it is debt a margin later"
    second = run(database, lasting)
    assert (second.outcome, second.categories[0].acted, second.categories[0].surplus) == ("Succeeded", 40, 0)
    assert count(database) == 20


def test_what_is_taken_back_before_its_end_is_a_surprise_and_asks__T5(database: TenantDatabase) -> None:
    lasting = rules(bought(datetime.now(UTC) + DAY))
    database.apply(lasting)
    fill(database, 10, 200, 300)
    run(database, lasting)
    database.apply(rules())
    stopped = run(database, rules())
    assert (stopped.outcome, stopped.categories[0].surplus, count(database)) == ("ApprovalRequired", 40, 60)


def test_its_entry_may_stay_or_go_after_the_end__T5(database: TenantDatabase) -> None:
    lasting = rules(bought(datetime.now(UTC) + DAY))
    database.apply(lasting)
    fill(database, 10, 200)
    run(database, lasting)
    end_now(database)
    database.apply(rules())
    assert (run(database, rules()).outcome, count(database)) == ("Succeeded", 20)


def test_while_it_lasts_the_extended_max_is_the_deadline__T5_M10_X4(database: TenantDatabase) -> None:
    fill(database, 400, 800, each=1)
    database.apply(rules(bought(None, keep="P2Y")))
    (seen,) = database.observer().observe().categories
    assert (seen.due, seen.overdue) == (1, 1)
    assert seen.next_deadline is not None
    assert seen.next_deadline < datetime.now(UTC)
    run(database, rules(bought(None, keep="P2Y"), guard_percent=1))
    assert count(database) == 1
    (left,) = database.observer().observe().categories
    assert left.overdue == 0
    assert left.next_deadline is not None
    assert left.next_deadline > datetime.now(UTC) + 300 * DAY


def test_debt_begins_a_margin_after_the_end__T5_X4(database: TenantDatabase) -> None:
    database.apply(rules(bought(datetime.now(UTC) + DAY)))
    fill(database, 300, each=1)
    margin = timedelta(seconds=rules().margin_seconds)
    for over, overdue in ((margin - timedelta(minutes=5), 0), (margin + timedelta(minutes=5), 1)):
        with database.as_owner() as owner:
            owner.execute("UPDATE retention.category SET extended_until = now() - %s", [over])
        (seen,) = database.observer().observe().categories
        assert (seen.due, seen.overdue) == (1, overdue)
        assert seen.next_deadline is not None
        assert abs(seen.next_deadline - (datetime.now(UTC) - over + margin)) < timedelta(minutes=1)


def test_the_database_counts_bought_time_as_the_decision_does__T5_X7_X9(database: TenantDatabase) -> None:
    generator = random.Random(815)
    now = datetime(2028, 2, 29, 1, 37, tzinfo=UTC)
    period = Period.parse
    cutoffs_there = (
        "SELECT remove, young, overdue FROM retention.extended_cutoffs("
        "'P1M', 'P90D', 'P6M', 'P1Y', 'P2Y', %s::timestamptz, 172800, %s::timestamptz)"
    )
    for _ in range(60):
        at = now + timedelta(seconds=generator.randrange(-400, 400) * 86400 + generator.choice([-1, 0, 1]))
        until = generator.choice([None, at, at - timedelta(seconds=1), now, at - 2 * DAY])
        extension = Extension(period("P1Y"), period("P2Y"), until)
        rule = Rule(
            period("P1M"), period("P90D"), period("P6M"), True, 2 * DAY, period("P30D"), period("P30D"), extension
        )
        wanted = cutoffs(rule, at)
        assert wanted.remove is not None
        found = database.rows(cutoffs_there, until, at)[0]
        assert found == (wanted.remove, wanted.minimum, wanted.overdue), (at, until)
        birth = at - timedelta(days=generator.randrange(800))
        kept = decide(Item(birth), rule, at).verdict is Verdict.KEEP
        assert kept == (birth > wanted.remove)


def test_the_rules_of_a_database_of_before_are_as_they_were__T5(database: TenantDatabase) -> None:
    enforcement, run_id = database.enforcer(), uuid4()
    with database.as_owner() as owner:
        for name in ("category", "executed_rule"):
            for column in ("extended_keep", "extended_maximum", "extended_until"):
                owner.execute(f"ALTER TABLE retention.{name} DROP COLUMN {column} CASCADE".encode())
        owner.execute("DELETE FROM retention.component")
    fill(database, 200, each=3)
    database.apply(rules())
    (seen,) = enforcement.begin_run(run_id, Mode.ENFORCE, rules().rules_digest(), datetime.now(UTC))
    assert seen.candidates == 3
    enforcement.close()
