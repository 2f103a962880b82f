"""The calendar rule stands twice, in Python and in SQL (X9): both say the same, day by day and at every boundary."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import sql

from tenant_retention.domain.decisions import Rule, cutoffs
from tenant_retention.domain.durations import Period, cutoff, end_of_period
from tests.stores.tenant_databases import Connection, TenantDatabase, TenantDatabases, records

PERIODS = ("P1D", "P30D", "P4W", "P9999D", "P1M", "P6M", "P11M", "P1Y", "P5Y", "P9999Y")
FIRST_DAY, LAST_DAY = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 12, 31, tzinfo=UTC)
TIMES_OF_DAY = (
    timedelta(0),
    timedelta(microseconds=1),
    timedelta(hours=10, minutes=30, microseconds=123457),
    timedelta(days=1, microseconds=-1),
)


@pytest.fixture(scope="module")
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """One database with the functions, for both versions."""
    with tenant_databases.having(records()) as made:
        yield made


def every_instant() -> list[datetime]:
    """Every day of 1990 to 2100, each at one time of day in turn; days around month ends at all of them."""
    instants: list[datetime] = []
    day = FIRST_DAY
    while day <= LAST_DAY:
        near_the_end = (day + timedelta(days=2)).month != day.month or day.day == 1
        times = TIMES_OF_DAY if near_the_end else TIMES_OF_DAY[day.toordinal() % 4 :][:1]
        instants.extend(day + time for time in times)
        day += timedelta(days=1)
    return instants


def from_sql(connection: Connection, function: str, instants: list[datetime], period: Period) -> list[datetime]:
    """The SQL function over all instants in their order; saturated at the ends of Python's calendar as the function does."""
    query = sql.SQL(
        "SELECT array_agg({}(i, %s, %s) ORDER BY n) FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS instants(i, n)"
    ).format(sql.Identifier("retention", function))
    row = connection.execute(query, (period.months, period.days, instants)).fetchone()
    assert row is not None
    return [instant.astimezone(UTC) for instant in row[0]]


@pytest.mark.parametrize("text", PERIODS)
def test_a_period_ends_at_the_same_instant_in_sql_and_in_python_on_every_day_of_1990_to_2100__X9(
    database: TenantDatabase, text: str
) -> None:
    period, instants = Period.parse(text), every_instant()
    with database.as_owner() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        answers = from_sql(connection, "period_end", instants, period)
        # The rule counts in UTC wherever the session lives, also where a whole day was left out.
        connection.execute("SET TimeZone = 'Pacific/Apia'")
        epochs = connection.execute(
            "SELECT array_agg(extract(epoch FROM retention.period_end(i, %s, %s)) ORDER BY n)"
            " FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS instants(i, n)",
            (period.months, period.days, instants[:2000]),
        ).fetchone()
    wrong = [
        (birth, expected, answer)
        for birth, answer in zip(instants, answers, strict=True)
        if answer != (expected := end_of_period(birth, period))
    ]
    assert wrong[:3] == []
    assert epochs is not None
    assert [int(epoch * 1_000_000) for epoch in epochs[0]] == [
        (answer - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for answer in answers[:2000]
    ]


@pytest.mark.parametrize("text", PERIODS)
def test_one_cut_off_is_the_same_in_sql_and_in_python_on_every_day_of_1990_to_2100__X9(
    database: TenantDatabase, text: str
) -> None:
    period, instants = Period.parse(text), every_instant()
    with database.as_owner() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        answers = from_sql(connection, "cutoff", instants, period)
    wrong = [
        (now, expected, answer)
        for now, answer in zip(instants, answers, strict=True)
        if answer != (expected := cutoff(now, period))
    ]
    assert wrong[:3] == []


def test_a_rule_has_the_same_cut_offs_in_sql_and_in_python__X3_X9(database: TenantDatabase) -> None:
    rules = [
        (None, "P180D", "P5Y"),
        ("P1Y", "P1Y", "P5Y"),
        ("P1Y", "P5Y", "P5Y"),
        ("P6M", None, "P2Y"),
        (None, None, "P1D"),
        ("P1Y", None, None),
        (None, "P1M", None),
    ]
    instants = [instant for instant in every_instant() if instant.day in (1, 28, 29, 30, 31)][::7]
    with database.as_owner() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for minimum, keep, maximum in rules:
            found = connection.execute(
                "SELECT remove, young, overdue FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS instants(i, n),"
                " retention.rule_cutoffs(%s, %s, %s, 86400, i) ORDER BY n",
                (instants, minimum, keep, maximum),
            ).fetchall()
            rule = Rule(
                minimum=Period.parse(minimum) if minimum else None,
                keep=Period.parse(keep) if keep else None,
                maximum=Period.parse(maximum) if maximum else None,
                early_deletion=True,
                margin=timedelta(days=1),
                request_deadline=Period.parse("P30D"),
                termination_deadline=Period.parse("P30D"),
            )
            expected = [cutoffs(rule, now) for now in instants]
            assert found == [(each.remove, each.minimum, each.overdue) for each in expected]
