"""What the profile does not know, in the status of a policy: how many, which, and the next step (M11)."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.ports.observation import Uncovered
from tenant_retention.domain.uncovered import uncovered_findings, uncovered_row


def test_a_profile_that_knows_everything_has_no_such_condition__M11() -> None:
    counts = Counts(uncovered={"Analytical": Uncovered()})
    assert (uncovered_row(counts), uncovered_findings(counts)) == (None, ())


def test_what_is_unknown_is_told_by_database_and_name_with_the_next_step__M11() -> None:
    found = Uncovered(tables=1, columns=2, names=("public.notes", "calls.a", "calls.b"))
    counts = Counts(uncovered={"Analytical": found, "Dialogue": Uncovered(tables=1, names=("crm.leads",))})
    assert uncovered_row(counts) == {"tables": 2, "columns": 2}
    (finding,) = uncovered_findings(counts)
    assert (finding.type, finding.holds, finding.reason) == (ConditionType.UNCOVERED, True, Reason.NOT_IN_PROFILE)
    assert "Analytical: 1 tables and 2 columns (public.notes, calls.a, calls.b)" in finding.message
    assert finding.message.endswith("as <database>_owner")


def test_names_without_end_leave_room_for_the_next_step__M11() -> None:
    names = tuple(f"public.{'n' * 120}{number}" for number in range(20))
    (finding,) = uncovered_findings(Counts(uncovered={"Analytical": Uncovered(tables=20, names=names)}))
    assert len(finding.message) <= 1024
    assert finding.message.endswith("as <database>_owner")
