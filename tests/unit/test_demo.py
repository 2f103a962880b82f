"""The demo's data are what it promises: enough of it, over seven years, on every edge; and its checker knows the calendar."""

from __future__ import annotations

import subprocess
from bisect import bisect_left
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from demo import __main__ as demo_program
from demo import chapters, checks, counts
from demo.births import BOUNDARY, YEARS
from demo.customers import CUSTOMERS, Customer
from demo.expectation import end, ended
from demo.families import FILES, TableRows, cached_keys, identity_column, in_archive, label, object_prefix, plan
from demo.kubectl import DemoFailure, Kubectl
from demo.story import Story
from tests.support.calendar_model import EVERY_DAY, model_end

SECOND = timedelta(seconds=1)
ANCHORS = [
    datetime(2026, 11, 22, 5, 0, 0, tzinfo=UTC),
    datetime(2027, 3, 29, 23, 59, 30, tzinfo=UTC),
    datetime(2026, 7, 30, 0, 0, 10, tzinfo=UTC),
    datetime(2026, 12, 31, 12, 0, 0, tzinfo=UTC),
    datetime(2028, 2, 29, 1, 30, 0, tzinfo=UTC),
]


def records_of(tables: list[TableRows]) -> list[TableRows]:
    """The first table of every category that is no content and has no objects."""
    return [
        found
        for found in tables
        if not found.category.get("contentOf")
        and not found.has_objects
        and found.category["tables"][0] == found.table["name"]
    ]


@pytest.mark.parametrize("customer", CUSTOMERS, ids=lambda customer: customer.namespace)
def test_each_customer_has_two_hundred_thousand_records_and_two_thousand_objects_over_seven_years(
    customer: Customer,
) -> None:
    anchor = ANCHORS[0]
    tables = list(plan(customer.jobs(anchor)[0]))
    records = records_of(tables)
    assert sum(len(found.rows) for found in records) >= 200_000
    assert sum(len(found.rows) for found in tables if found.has_objects) >= 2_000
    for found in records:
        births = [row.born for row in found.rows]
        assert {birth.year for birth in births} == set(range(anchor.year - YEARS, anchor.year + 1))
        # The profile's months reach back seven years; nothing older could be written.
        assert min(births) >= anchor.replace(year=anchor.year - YEARS)


@pytest.mark.parametrize("customer", CUSTOMERS, ids=lambda customer: customer.namespace)
def test_month_ends_leap_days_and_both_nights_on_which_the_clocks_change_are_among_the_births(
    customer: Customer,
) -> None:
    amsterdam = ZoneInfo("Europe/Amsterdam")
    for found in records_of(list(plan(customer.jobs(ANCHORS[0])[0]))):
        births = {row.born for row in found.rows}
        for year in range(ANCHORS[0].year - YEARS + 1, ANCHORS[0].year):
            for month in range(1, 13):
                first = datetime(year, month, 1, tzinfo=UTC)
                assert {first - SECOND, first, first + SECOND} <= births
        assert {datetime(2024, 2, 29, hour, tzinfo=UTC) for hour in range(24)} <= births
        offsets = Counter(birth.astimezone(amsterdam).utcoffset() for birth in births if birth.month in (3, 10))
        assert set(offsets) == {timedelta(hours=1), timedelta(hours=2)}
        for before, after in (
            (datetime(2026, 3, 29, 0, 45, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
            (datetime(2025, 10, 26, 0, 45, tzinfo=UTC), datetime(2025, 10, 26, 1, 0, tzinfo=UTC)),
        ):
            assert {before, after} <= births
            assert before.astimezone(amsterdam).utcoffset() != after.astimezone(amsterdam).utcoffset()


@pytest.mark.parametrize("anchor", ANCHORS, ids=lambda anchor: f"{anchor:%Y-%m-%d}")
def test_whenever_the_run_comes_there_are_records_a_second_on_both_sides_of_every_boundary(anchor: datetime) -> None:
    for customer in CUSTOMERS:
        # What lies around a boundary does not depend on how much lies elsewhere.
        for found in records_of(list(plan({**customer.jobs(anchor)[0], "records": 20_000}))):
            keep = customer.keeps()[found.category["name"]]
            if keep is None:
                continue
            clocks = sorted(row.clock for row in found.rows if row.clock is not None)
            for after in (timedelta(minutes=1), timedelta(seconds=BOUNDARY - 60)):
                run = anchor + after
                kept = bisect_left(clocks, True, key=lambda clock: not ended(clock, keep, run))
                newest_due, oldest_kept = clocks[kept - 1], clocks[kept]
                # Of the cases every tenth stays open and has no clock.
                assert oldest_kept - newest_due <= 3 * SECOND, (customer.namespace, found.category["name"], run)


@pytest.mark.parametrize("keep", ["P14D", "P180D", "P6M", "P1Y", "P3Y"])
def test_the_checker_knows_the_calendar_without_the_product__X9(keep: str) -> None:
    for day in EVERY_DAY:
        birth = datetime(day.year, day.month, day.day, 10, 30, 59, tzinfo=UTC)
        assert end(birth, keep) == model_end(birth, keep)


CLOCK = ANCHORS[0] + timedelta(minutes=3)
"""When the one run of the demo that deleted fixed its clock."""


def small_jobs(customer: Customer) -> list[dict[str, Any]]:
    return [{**job, "records": 2_000, "contents": 200} for job in customer.jobs(ANCHORS[0])]


def over(born: datetime | None, age: str | None, slack: timedelta = timedelta(0)) -> bool:
    """Whether that age was reached when the run came, by the other calendar."""
    return born is not None and age is not None and model_end(born, age) <= CLOCK + slack


def counted(customer: Customer, jobs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What the loader counts in the customer's stores, of these jobs or of its own, after a run that removed just what was due."""
    actual: dict[str, dict[str, Any]] = {"tables": {}, "nameless": {}, "objects": {}, "keys": {}}
    keeps, bounds, anonymized = customer.keeps(), customer.bounds(), customer.anonymized()
    # Two days for each run that must come, and the backup's fortnight.
    early = timedelta(days=18 if customer.backup_days() else 2)
    for job in jobs or small_jobs(customer):
        for found in plan(job):
            name, category = found.category["name"], found.category
            keep = keeps[name]
            left = [
                row
                for row in found.rows
                if not (
                    over(row.born, category["quarantine"]["keep"])
                    if row.waits
                    else over(row.clock, keep) or (keep and over(row.clock, bounds[name], slack=early))
                )
            ]
            told = label(job, found.table["name"])
            parts = {told: left}
            if age := job["archived"].get(name):
                parts = {
                    told: [row for row in left if not over(row.clock, age)],
                    in_archive(told): [row for row in left if over(row.clock, age)],
                }
            for part, rows in parts.items():
                actual["tables"][part] = [len(rows), sum(int(row.born.timestamp()) for row in rows)]
                if name in anonymized and identity_column(found.table):
                    emptied = [row for row in rows if over(row.clock, anonymized[name])]
                    actual["nameless"][part] = [len(emptied), sum(int(row.born.timestamp()) for row in emptied)]
            if found.has_objects:
                prefix = object_prefix(job, found.table["name"])
                actual["objects"][prefix] = [len(left), sum(row.session for row in left)]
        for prefix in job["files"]:
            actual["objects"][prefix.rstrip("/")] = [FILES, FILES * (FILES - 1) // 2]
        for kind, keys in cached_keys(job).items():
            actual["keys"][kind] = len(keys) if kind == "keys" else 0
    return actual


def compared(customer: Customer, actual: dict[str, Any]) -> list[checks.Line]:
    return checks.compare(customer, small_jobs(customer), actual, checks.Clocks(CLOCK, CLOCK), customer.policy)


@pytest.mark.parametrize("customer", CUSTOMERS, ids=lambda customer: customer.namespace)
def test_the_table_of_the_demo_says_yes_where_just_what_was_due_is_gone(
    customer: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    actual = counted(customer)
    lines = compared(customer, actual)
    assert len(lines) == sum(len(kind) for kind in actual.values())
    assert all(line.same for line in lines), lines
    assert any(0 < line.expected < line.written for line in lines), "something went and something stayed"
    assert checks.show(lines)
    assert "NO" not in capsys.readouterr().out.split()


@pytest.mark.parametrize(
    "kind, wrong",
    [
        pytest.param("tables", (-1, 0), id="one row fewer"),
        pytest.param("tables", (1, 0), id="one row more"),
        pytest.param("tables", (0, 1), id="one row with another birth"),
        pytest.param("objects", (-1, 0), id="one object fewer"),
        pytest.param("objects", (1, 0), id="one object more"),
        pytest.param("objects", (0, 1), id="another object than the one that should be left"),
    ],
)
def test_the_table_of_the_demo_says_no_if_one_row_or_one_object_differs(
    kind: str, wrong: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    customer = CUSTOMERS[0]
    actual = counted(customer)
    for table, (number, total) in actual[kind].items():
        lines = compared(customer, {**actual, kind: {**actual[kind], table: [number + wrong[0], total + wrong[1]]}})
        assert [line.same for line in lines].count(False) == 1, table
        assert not checks.show(lines)
        assert capsys.readouterr().out.split().count("NO") == 1


def test_a_row_on_the_wrong_side_of_the_archive_is_not_as_expected__D3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "STARTED_WITHIN", 1)
    customer = CUSTOMERS[1]
    actual = counted(customer)
    here, there = "call_detail_records", in_archive("call_detail_records")
    tables = dict(actual["tables"])
    assert tables[there][0] > 0
    for name, more in ((here, 1), (there, -1)):
        number, total = tables[name]
        tables[name] = [number + more, total + more * total // number]
    lines = compared(customer, {**actual, "tables": tables})
    assert {here, there} <= {line.what for line in lines if not line.same}


def test_a_bucket_without_one_object_of_a_table_is_not_as_expected() -> None:
    customer = CUSTOMERS[0]
    lines = compared(customer, {**counted(customer), "objects": {}})
    assert {line.what for line in lines if not line.same} == {"objects"}


def test_the_demo_ends_non_zero_if_the_proof_or_a_chapter_before_it_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def goes_well(_story: Story) -> None:
        """What goes well"""

    def goes_wrong(_story: Story) -> None:
        """What goes wrong"""
        raise DemoFailure("one count is not as expected")

    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0))
    monkeypatch.setattr(demo_program, "cluster_environment", lambda _root: {})
    monkeypatch.setattr(demo_program, "CHAPTERS", (goes_well,))
    assert demo_program.main() == 0
    monkeypatch.setattr(demo_program, "CHAPTERS", (goes_well, goes_wrong, goes_well))
    assert demo_program.main() == 1
    assert "one count is not as expected" in capsys.readouterr().err


def test_the_demo_fails_if_one_count_differs_before_it_shows_the_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    customer = CUSTOMERS[0]
    actual = counted(customer)
    table = next(iter(actual["objects"]))
    number, total = actual["objects"][table]
    wrong = compared(customer, {**actual, "objects": {**actual["objects"], table: [number, total + 1]}})
    monkeypatch.setattr(counts, "lines_of", lambda _story, deleted: wrong if deleted else [])
    with pytest.raises(DemoFailure, match="not as expected"):
        chapters.proof(Story(Kubectl({"PATH": ""}), Path()))
    assert list(chapters.CHAPTERS[-2:]) == [chapters.proof, chapters.requirements_table]
