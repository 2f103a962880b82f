"""A run decides for whole ranges exactly as the pure decision does for each row (X3, X7, X9), also while others write."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tenant_retention.domain.decisions import Item, Rule, Verdict, decide
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.plan_document import Mode
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    category,
    days_ago,
    definition,
    month_ahead,
    run,
    table,
    work,
)

RULES: dict[str, tuple[str | None, str | None, str]] = {
    "keep alone": (None, "P180D", "P5Y"),
    "months": (None, "P1M", "P5Y"),
    "keep at its minimum": ("P6M", "P6M", "P5Y"),
    "last window before max": ("P1M", "P3M", "P3M"),
    "keep below its minimum": ("P6M", "P1M", "P5Y"),
    "max alone": (None, None, "P100D"),
}


def category_of(minimum: str | None, keep: str | None, maximum: str) -> CategoryDefinition:
    return category("records", "calls", minimum=minimum, keep=keep, maximum=maximum)


def rule_of(minimum: str | None, keep: str | None, maximum: str) -> Rule:
    def period(text: str | None) -> Period | None:
        return Period.parse(text) if text else None

    deadline = Period.parse("P30D")
    return Rule(period(minimum), period(keep), period(maximum), True, timedelta(days=1), deadline, deadline)


def births(now: datetime, *periods: str | None) -> Iterator[datetime]:
    """Random births of a year, and those around every boundary: not so near that the time of the test itself matters."""
    generator = random.Random(4711)
    for _ in range(200):
        yield now - timedelta(seconds=generator.randrange(360 * 86400))
    for text in filter(None, periods):
        for boundary in (cutoff(now, Period.parse(text)), cutoff(now + timedelta(days=1), Period.parse(text))):
            if boundary > now - timedelta(days=365):
                yield from (boundary, boundary - timedelta(seconds=1), boundary + timedelta(minutes=30))


@pytest.mark.parametrize("name", RULES)
def test_the_rows_that_are_left_are_those_that_the_decision_keeps__X3_X7_X9(
    tenant_databases: TenantDatabases, name: str
) -> None:
    minimum, keep, maximum = RULES[name]
    rules = definition([table("calls")], [category_of(minimum, keep, maximum)], guard_percent=100)
    with tenant_databases.having(rules) as database:
        written = dict(enumerate(births(datetime.now(UTC), minimum, keep, maximum)))
        with database.connect("app") as app, app.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO calls (id, session_id, started_at) VALUES (%s, %s, %s)",
                [(number, f"s{number}", born) for number, born in written.items()],
            )
        held = set(range(0, 200, 17))
        with database.as_owner() as owner:
            owner.execute(
                "INSERT INTO retention.hold (session) SELECT 's' || n FROM unnest(%s::int[]) AS n", (list(held),)
            )
        evidence = run(database, rules, batch=37)
        clock = database.value("SELECT clock FROM retention.run")
        rule = rule_of(minimum, keep, maximum)
        kept = {
            number
            for number, born in written.items()
            if decide(Item(born, held=number in held), rule, clock).verdict is Verdict.KEEP
        }
        assert 0 < len(kept) < len(written)
        assert {number for (number,) in database.rows("SELECT id FROM public.calls")} == kept
        assert evidence.categories[0].acted == len(written) - len(kept)


def test_applications_write_on_while_a_run_works_and_lose_nothing(tenant_databases: TenantDatabases) -> None:
    rules = definition([table("calls")], [category("records", "calls")], guard_percent=100)
    with tenant_databases.having(rules) as database:
        with database.as_owner() as owner:
            owner.execute(
                "INSERT INTO public.calls (id, session_id, started_at)"
                " SELECT n, 's', now() - n * interval '30 minutes' FROM generate_series(1, 15000) AS n"
            )
        stop, errors, written = threading.Event(), list[BaseException](), list[int]()

        def write() -> None:
            number = 1_000_000
            try:
                with database.connect("app") as app:
                    while not stop.is_set():
                        number += 1
                        app.execute(
                            "INSERT INTO calls (id, session_id, started_at) VALUES (%s, 's', %s)",
                            (number, days_ago(number % 300)),
                        )
                        app.execute("UPDATE calls SET session_id = 's' WHERE id = %s", (number,))
                        written.append(number)
            except BaseException as error:
                errors.append(error)
                raise

        writer = threading.Thread(target=write)
        writer.start()
        try:
            evidence = run(database, rules, batch=500)
        finally:
            stop.set()
            writer.join(180)
        assert errors == []
        assert len(written) > 10
        assert evidence.outcome == "Succeeded"
        young = {number for number in written if number % 300 < 89}
        left = {number for (number,) in database.rows("SELECT id FROM public.calls WHERE id > 1000000")}
        assert young <= left
        assert database.value("SELECT count(*) FROM public.calls WHERE id <= 1000000") == 90 * 48 - 1
        run(database, rules)
        assert database.observer().observe().categories[0].due == 0


def test_one_table_s_missing_months_do_not_keep_another_s_from_being_made(tenant_databases: TenantDatabases) -> None:
    rules = definition(
        [table("calls"), table("logs")], [category("records", "calls"), category("logs", "logs")], guard_percent=100
    )
    with tenant_databases.having(rules) as database:
        months = database.value("SELECT count(*) FROM retention.partition WHERE table_name = 'logs'")
        _take_months_away(database)
        enforcement, run_id = database.enforcer(), uuid4()
        began = enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
        with pytest.raises(Exception, match="calls"):
            enforcement.ensure_partitions(run_id)
        assert database.value("SELECT count(*) FROM retention.partition WHERE table_name = 'logs'") == months
        for each in began:
            work(enforcement, run_id, each, Mode.ENFORCE)
        assert enforcement.finish_run(run_id).outcome == "Succeeded"
        enforcement.close()


def _take_months_away(database: TenantDatabase) -> None:
    """The month ahead of both tables; the name of one stays taken by something else."""
    ahead = f"{month_ahead():%Y%m}"
    with database.as_owner() as owner:
        owner.execute(f"DROP TABLE public.logs_p{ahead}, public.calls_p{ahead}".encode())
        owner.execute(f"CREATE TABLE public.calls_p{ahead} (x int)".encode())
