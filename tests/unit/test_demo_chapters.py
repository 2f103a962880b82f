"""What chapters of the demo do beside the rules, and what is expected of the counts then; how many instances there is room for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from demo import checks, cloudnativepg
from demo.customers import CUSTOMERS, Customer
from demo.families import in_archive, plan
from demo.kubectl import Kubectl
from tests.unit.test_demo import CLOCK, counted, over, small_jobs


def few_rows(customer: Customer) -> list[dict[str, Any]]:
    """The customer's jobs with a birth a minute around each boundary, not one a second."""
    return [{**job, "step": 60} for job in small_jobs(customer)]


def lines_in_files(job: dict[str, Any], actual: dict[str, Any]) -> dict[str, bool]:
    """Initech's lines about its requests, by what they tell: whether each is as expected."""
    lines = checks.compare(CUSTOMERS[2], [job], actual, checks.Clocks(CLOCK, CLOCK), CUSTOMERS[2].policy)
    return {line.what: line.same for line in lines if line.what.startswith("requests")}


def moved_rows(job: dict[str, Any]) -> tuple[list[datetime], list[datetime]]:
    """Births of Initech's requests that are old enough for its archive: those past their keep, and the others."""
    customer = CUSTOMERS[2]
    requests = next(found for found in plan(job) if found.table["name"] == "requests")
    old = [row.born for row in requests.rows if over(row.born, customer.archived()["general-information"])]
    keep = customer.keeps()["general-information"]
    return [born for born in old if over(born, keep)], [born for born in old if not over(born, keep)]


def told(births: list[datetime]) -> list[int]:
    return [len(births), sum(int(born.timestamp()) for born in births)]


def test_rows_past_their_keep_may_wait_in_a_file_for_the_newest_of_their_day_and_no_others__T6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "STARTED_WITHIN", 1)
    (job,) = jobs = few_rows(CUSTOMERS[2])
    actual = counted(CUSTOMERS[2], jobs)
    past, inside = moved_rows(job)
    there = in_archive("requests")

    def with_rows(births: list[datetime]) -> bool:
        return lines_in_files(job, {**actual, "tables": {**actual["tables"], there: told(births)}})[there]

    assert with_rows(inside)
    assert with_rows([*past[-5:], *inside]), "their file has rows of that day which are not due"
    tables = {table.table["name"]: table.rows for table in plan(job)}
    content = {row.session for name in ("recordings", "chat_logs") for row in tables[name]}
    waited = {row.born for row in tables["requests"] if row.session in content}
    newest = max(place for place, born in enumerate(past) if born in waited)
    assert past[newest].date() == inside[0].date()
    without = [*past[newest - 2 : newest], *past[newest + 1 :]]
    assert with_rows([*without, *inside]), "one waited for its content, and was deleted"
    assert not with_rows([*past[newest - 2 : newest], *past[newest + 2 :], *inside]), "none of the others was"
    assert not with_rows([*past[-5:], *inside[1:]])
    assert not with_rows([past[0], *inside])
    assert not with_rows(past + inside)


def test_a_day_that_was_brought_back_from_files_is_expected_in_its_table__D3() -> None:
    (job,) = jobs = few_rows(CUSTOMERS[2])
    actual = counted(CUSTOMERS[2], jobs)
    _, inside = moved_rows(job)
    day = inside[len(inside) // 2].date()
    back = [born for born in inside if born.date() == day]
    there = in_archive("requests")
    number, total = actual["tables"]["requests"]
    tables = {
        **actual["tables"],
        there: told([born for born in inside if born.date() != day]),
        "requests": [number + len(back), total + told(back)[1]],
    }
    moved = {**actual, "tables": tables}
    assert lines_in_files({**job, "broughtBack": [day.isoformat()]}, moved) == {"requests": True, there: True}
    assert lines_in_files(job, moved) == {"requests": False, there: False}


def test_a_recording_that_was_denied_later_is_expected_to_be_gone_with_its_object__P10() -> None:
    customer = CUSTOMERS[0]
    (job,) = jobs = few_rows(customer)
    recordings = next(found for found in plan(job) if found.table["name"] == "recordings")
    denied = {**job, "denied": {"recordings": [recordings.rows[-1].session]}}
    lines = checks.compare(customer, [denied], counted(customer, jobs), checks.Clocks(CLOCK, CLOCK), customer.policy)
    wrong = {(line.what, line.expected - line.actual) for line in lines if not line.same}
    assert wrong == {("recordings", -1), ("objects", -1)}


@pytest.mark.parametrize(
    ("memory", "instances"),
    [(("24683940Ki",), 3), (("4Gi", "2Gi"), 3), (("6442450943",), 1)],
    ids=["one node", "two nodes", "a byte too little"],
)
def test_three_instances_are_asked_for_where_the_nodes_have_the_memory_else_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], memory: tuple[str, ...], instances: int
) -> None:
    nodes = {"items": [{"status": {"allocatable": {"memory": each}}} for each in memory]}
    monkeypatch.setattr(Kubectl, "get", lambda _self, *_arguments: nodes)
    found = cloudnativepg.class_for(Kubectl({}))
    settings = found["spec"]["cloudNativePG"]
    # A standby that confirms is refused where there is none.
    assert (settings["instances"], "synchronous" in settings) == (instances, instances == 3)
    assert f"instances {instances}" in capsys.readouterr().out
    assert found["metadata"] == {"name": "cloudnativepg"}
