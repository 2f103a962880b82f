"""What the operator says of orphans: counts in status and metrics, one Event when the first are found, never a key."""

from __future__ import annotations

from typing import Any

from tenant_retention.cli.verifying import problems
from tenant_retention.domain.category_status import counts_of
from tenant_retention.domain.policy_report import PolicyReport
from tenant_retention.domain.ports.observation import OrphanCount
from tenant_retention.domain.ports.orphans import OrphanKind
from tenant_retention.domain.run_status import RunReport
from tenant_retention.domain.status import policy_status
from tenant_retention.reconcile.telling import policy_happenings
from tenant_retention.telemetry import Telemetry
from tests.support.enforcement import plan_of
from tests.unit.test_status import DEFINITION, NOW, conditions, evidence, facts, report

MANIFEST: dict[str, Any] = {"metadata": {"namespace": "customer-acme", "name": "acme"}}


def having(unnamed: int | None, missing: int | None, uploads: int | None = None) -> PolicyReport:
    """A policy whose nights found so many; None: they did not look yet."""
    counted = (
        (OrphanKind.UNNAMED_OBJECTS, "Content", unnamed),
        (OrphanKind.UNFINISHED_UPLOADS, "Content", uploads),
        (OrphanKind.MISSING_OBJECTS, "recordings", missing),
    )
    orphans = tuple(
        OrphanCount(kind=kind, name=name, found=found, looked_at=9, finished_at=None)
        for kind, name, found in counted
        if found is not None
    )
    found = facts().model_copy(update={"orphans": orphans})
    # Another database that names objects in the bucket keeps no count of its own.
    return report(counts=counts_of({"Analytical": found, "Operational": facts()}, DEFINITION))


def status_of(unnamed: int | None, missing: int | None) -> dict[str, Any]:
    return policy_status(having(unnamed, missing), {}, NOW)


def row(status: dict[str, Any], rows: str, name: str) -> dict[str, Any]:
    return next(each for each in status[rows] if name in (each.get("name"), each.get("purpose")))


def events(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    told = policy_happenings(MANIFEST, before, after)
    return [(each.type, each.reason, each.note) for each in told if each.reason == "OrphansFound"]


def test_both_counts_are_where_the_bucket_and_the_category_are_and_leave_the_policy_compliant() -> None:
    status = status_of(3, 1)
    assert row(status, "stores", "Content")["unnamedObjects"] == 3
    assert row(status, "categories", "recordings")["missingObjects"] == 1
    assert "unnamedObjects" not in row(status, "stores", "Analytical")
    assert "missingObjects" not in row(status, "categories", "calls")
    assert conditions(status)["Compliant"][0] == "True"


def test_uploads_that_the_last_run_ended_are_told_where_the_bucket_is_and_are_no_complaint() -> None:
    status = policy_status(having(0, 0, uploads=4), {}, NOW)
    assert row(status, "stores", "Content")["unfinishedUploads"] == 4
    assert "unfinishedUploads" not in row(status_of(0, 0), "stores", "Content")
    assert "unfinishedUploads" not in row(status, "stores", "Analytical")
    assert conditions(status)["Compliant"][0] == "True"
    assert events({}, status) == []


def test_versions_that_no_category_could_still_keep_are_deletion_debt_with_bucket_count_oldest_and_next_step__T6_M10_X4() -> (
    None
):
    counted = OrphanCount(
        kind=OrphanKind.UNNAMED_OBJECTS,
        name="Content",
        found=5,
        looked_at=9,
        finished_at=NOW,
        overdue=3,
        oldest_overdue=NOW,
    )
    found = facts().model_copy(update={"orphans": (counted,)})
    status = policy_status(report(counts=counts_of({"Analytical": found}, DEFINITION)), {}, NOW)
    assert (status["overdue"], found.overdue()) == (3, 3)
    content = row(status, "stores", "Content")
    assert (content["overdueObjects"], content["oldestOverdueObject"]) == (3, "2026-11-22T12:00:00Z")
    (told,) = [each for each in status["conditions"] if each["type"] == "Compliant"]
    assert (told["status"], told["reason"]) == ("False", "DeletionDebt")
    message = told["message"]
    assert message.startswith("Content: 3 versions of objects that no row names")
    assert "the oldest of 2026-11-22T12:00:00Z" in message
    assert "delete by version" in message
    assert "categories[].overdue" not in message, "no row is late"
    (problem,) = [each for each in problems(found, plan_of(DEFINITION)) if "versions" in each]
    assert message.startswith(problem)
    telemetry = Telemetry()
    series = 'tenant_retention_overdue_objects{namespace="customer-acme",policy="acme",store="Content"} 3.0'
    telemetry.policy("customer-acme", "acme", status, None)
    assert series in telemetry.render(0).decode()
    telemetry.policy("customer-acme", "acme", status_of(3, 0), None)
    assert series not in telemetry.render(0).decode()


def test_what_nobody_looked_for_yet_is_not_called_zero() -> None:
    status = status_of(None, None)
    assert "unnamedObjects" not in row(status, "stores", "Content")
    assert "missingObjects" not in row(status, "categories", "recordings")


def test_the_first_orphans_are_one_event_each_and_more_of_them_none() -> None:
    none, some, more = status_of(0, 0), status_of(3, 1), status_of(4, 2)
    assert [(kind, note.split(";")[0]) for kind, _, note in events(none, some)] == [
        ("Warning", "3 objects in Content that no row names"),
        ("Warning", "1 rows of recordings whose object is missing"),
    ]
    assert events({}, some) == events(none, some)
    assert events(some, more) == []
    assert events(some, none) == []
    assert len(events(none, more)) == 2


def test_the_metrics_have_them_by_bucket_and_category_and_forget_them_with_the_policy() -> None:
    telemetry = Telemetry()
    policy = 'namespace="customer-acme",policy="acme"'
    unnamed = f'tenant_retention_unnamed_objects{{{policy},store="Content"}}'
    missing = f'tenant_retention_missing_objects{{category="recordings",{policy}}}'

    def shown(status: dict[str, Any] | None) -> tuple[bool, bool]:
        if status is None:
            telemetry.forget_policy("customer-acme", "acme")
        else:
            telemetry.policy("customer-acme", "acme", status, None)
        text = telemetry.render(0).decode()
        return f"{unnamed} 3.0" in text, f"{missing} 1.0" in text

    assert shown(status_of(None, None)) == (False, False)
    assert shown(status_of(3, 1)) == (True, True)
    assert shown(None) == (False, False)
    assert "Content" not in telemetry.render(0).decode()


def test_how_many_objects_a_run_locked_is_in_its_counts__M8() -> None:
    run = evidence()
    recordings, calls = run.categories
    run = run.model_copy(update={"categories": (recordings.model_copy(update={"locked": 7}), calls)})
    (job,) = policy_status(report(runs=RunReport(latest={"Analytical": run})), {}, NOW)["jobs"]
    assert [each["locked"] for each in job["categories"]] == [7, 0]
