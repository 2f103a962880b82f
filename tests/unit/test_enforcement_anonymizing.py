"""A night that takes the person out of rows, over in-memory stores: in which order, how it fails, and what it tells."""

from __future__ import annotations

import json

import pytest

from tenant_retention.adapters.fakes.tenant_server import Hold
from tenant_retention.cli.reports import run_document
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.run_status import RunReport, run_rows
from tenant_retention.enforcement.results import Outcome, RunResult, summarize
from tests.support.enforcement import archive
from tests.unit.test_enforcement_expire import Archive, days, faulty


def rules() -> RetentionDefinition:
    return archive(anonymize_after="P90D")


@pytest.fixture
def acme() -> Archive:
    made = Archive(rules())
    for name, age in (("young", 10), ("old", 100), ("older", 130), ("gone", 200)):
        made.call(name, days(age), "requests", "recordings")
    for row in made.server.rows:
        row.caller = "+4712345678" if row.table == "requests" else None
    return made


def callers(acme: Archive) -> set[str]:
    return {row.identity for row in acme.server.rows if row.caller is not None}


def of_records(result: RunResult) -> tuple[int, int]:
    (found,) = (each for each in result.stores[0].categories if each.start.category == "general-information")
    return found.start.anonymize_due, found.anonymized


def test_content_goes_first_then_old_rows_lose_the_person_and_stay__X1(acme: Archive) -> None:
    result = acme.run()
    assert (result.outcome, of_records(result)) == (Outcome.SUCCEEDED, (2, 2))
    assert callers(acme) == {"requests:young"}
    assert acme.left() == {"requests:young", "recordings:young", "requests:old", "requests:older"}
    again = acme.run()
    assert (again.outcome, of_records(again)) == (Outcome.SUCCEEDED, (0, 0))


def test_the_dry_run_counts_the_same_and_tells_the_months__X7(acme: Archive) -> None:
    before = callers(acme)
    dry = acme.run(mode=Mode.DRY_RUN)
    assert of_records(dry) == (2, 0)
    assert callers(acme) == before
    (found,) = (each for each in dry.stores[0].categories if each.start.category == "general-information")
    assert sum(month.rows for month in found.months) == 2
    assert all(month.describe().startswith("Anonymize requests/requests_p") for month in found.months)
    assert dry.stores[0].evidence is not None
    (row,) = run_rows(RunReport({"Analytical": dry.stores[0].evidence}), rules())
    (told,) = (each for each in row["categories"] if each["name"] == "general-information")
    assert told["anonymized"] == 2


def test_a_held_row_keeps_its_caller_and_the_night_is_done_all_the_same__X3(acme: Archive) -> None:
    acme.server.holds.append(Hold(session="old"))
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert callers(acme) == {"requests:young", "requests:old"}


def test_a_reply_that_is_lost_changes_nothing_twice__X6(acme: Archive) -> None:
    lost = faulty(
        acme,
        lambda name, count, after, _: (
            Unavailable("cut", reason="ConnectionLost") if name == "anonymize_range" and count == 1 and after else None
        ),
    )
    result = acme.run(database=lost)
    assert result.outcome is Outcome.SUCCEEDED
    assert callers(acme) == {"requests:young"}
    assert result.stores[0].evidence is not None
    (found,) = (each for each in result.stores[0].evidence.categories if each.category == "general-information")
    assert (found.anonymized, found.anonymize_residue) == (2, 0)


def test_a_database_that_fails_in_the_middle_is_told_and_the_other_categories_go_on(acme: Archive) -> None:
    broken = faulty(
        acme,
        lambda name, _, after, __: (
            Unavailable("busy", reason="StatementTimeout") if name == "anonymize_range" and not after else None
        ),
    )
    acme.call("closed", days(500), "cases", closed_at=days(400))
    result = acme.run(database=broken)
    assert result.outcome is Outcome.INCOMPLETE
    assert "cases:closed" not in acme.left()
    assert len(callers(acme)) == 3
    assert acme.run().outcome is Outcome.SUCCEEDED


def test_rows_that_may_not_stay_are_looked_for_although_anonymizing_failed__P11_P12() -> None:
    known = rules()
    requests = known.table("requests")
    masked = requests.model_copy(
        update={"columns": tuple(each.model_copy(update={"visible_digits": 4}) for each in requests.columns)}
    )
    others = tuple(each for each in known.tables if each.name != "requests")
    acme = Archive(known.model_copy(update={"tables": (masked, *others)}))
    acme.call("old", days(100), "requests")
    (row,) = acme.server.rows
    row.caller, row.unmasked = "+4712345678", True
    broken = faulty(
        acme,
        lambda name, *_: Unavailable("busy", reason="StatementTimeout") if name == "anonymize_range" else None,
    )
    assert acme.run(database=broken).outcome is Outcome.INCOMPLETE
    assert set(acme.server.findings) == {"requests:old"}


def test_the_termination_message_says_how_many_lost_the_person__X6(acme: Archive) -> None:
    summary = json.loads(summarize(acme.run()))
    (told,) = (each for each in summary["stores"][0]["categories"] if each["category"] == "general-information")
    assert (told["anonymizeDue"], told["anonymized"]) == (2, 2)


def test_two_databases_of_one_category_are_told_as_one__D3_D4(acme: Archive) -> None:
    evidence = acme.run().stores[0].evidence
    assert evidence is not None
    (row,) = run_rows(RunReport({"Analytical": evidence, "Analytical-APAC": evidence}), rules())
    (told,) = (each for each in row["categories"] if each["name"] == "general-information")
    assert (told["anonymized"], told["anonymizeResidue"]) == (4, 0)


def test_the_run_as_a_document_has_the_months_and_the_counts__X6(acme: Archive) -> None:
    document = run_document(acme.run())
    (told,) = (each for each in document["stores"][0]["categories"] if each["category"] == "general-information")
    assert (told["anonymized"], sum(month["rows"] for month in told["months"])) == (2, 2)
