"""What may not be stored, in the status of a policy: counted, alarmed, with the next step (P10, P11)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.observation import CategoryObservation
from tenant_retention.domain.profile_check import check_profile
from tenant_retention.domain.unwanted import unwanted_finding
from tests.support.api_cases import example_profile


def counts(**found: int | None) -> Counts:
    row = CategoryObservation(
        category="recordings", rows=4, oldest=None, due=0, overdue=0, held=0, anomalies=0,
        anomalies_since=None, next_deadline=datetime(2026, 11, 22, tzinfo=UTC), **found,
    )  # fmt: skip
    return Counts(categories={"recordings": row})


@pytest.mark.parametrize("found", [{}, {"against_consent": 0}, {"unmasked": 0}, {"against_consent": None}])
def test_what_was_not_found_is_no_reason__P10_P11(found: dict[str, Any]) -> None:
    assert unwanted_finding(counts(**found)) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"against_consent": 2}, Reason.CONTENT_AGAINST_CONSENT),
        ({"unmasked": 2}, Reason.DIGITS_UNMASKED),
        ({"unapproved": 2}, Reason.MEDIA_UNAPPROVED),
        ({"unapproved": 2, "against_consent": 2}, Reason.CONTENT_AGAINST_CONSENT),
        ({"unmasked": 2, "against_consent": 2}, Reason.CONTENT_AGAINST_CONSENT),
    ],
)
def test_what_was_found_keeps_a_policy_from_being_compliant_and_says_how_much_where__P10_P11_M7(
    found: dict[str, Any], reason: Reason
) -> None:
    finding = unwanted_finding(counts(**found))
    assert finding is not None
    assert (finding.reason, finding.holds) == (reason, False)
    assert "recordings (2); the next run" in finding.message


def profile(change: Any) -> RetentionProfileSpec:
    document = example_profile("puzzel-archive")
    change(document["spec"])
    return RetentionProfileSpec.from_object(document["spec"])


def test_consent_of_a_record_without_a_session_is_refused_by_name__P10() -> None:
    def without_session(spec: dict[str, Any]) -> None:
        del next(each for each in spec["tables"][0]["columns"] if each["name"] == "session_id")["role"]

    with pytest.raises(Invalid, match="table requests has no column with role SessionId") as refused:
        check_profile(profile(without_session))
    assert refused.value.field == "spec.categories[recordings].consent"


def test_a_masked_number_that_cannot_be_empty_is_refused_by_name__P11() -> None:
    def with_pin(spec: dict[str, Any]) -> None:
        spec["tables"][0]["columns"].append(
            {"name": "pin", "type": "Integer", "role": "MaskedDigits", "nullable": False, "mask": {"visibleDigits": 0}}
        )

    with pytest.raises(Invalid, match="must be nullable to be blanked") as refused:
        check_profile(profile(with_pin))
    assert refused.value.field == "spec.tables[requests].columns[pin].nullable"


@pytest.mark.parametrize(("mask", "visible"), [(None, None), ({}, 0), ({"visibleDigits": 4}, 4)])
def test_digits_are_refused_and_blanked_only_where_the_profile_says_what_may_be_seen__P11(
    mask: dict[str, int] | None, visible: int | None
) -> None:
    def with_digits(spec: dict[str, Any]) -> None:
        column = {"name": "digits", "type": "Text", "role": "MaskedDigits"}
        spec["tables"][0]["columns"].append(column if mask is None else column | {"mask": mask})

    assert profile(with_digits).tables[0].columns[-1].visible_digits == visible


@pytest.mark.parametrize(("name", "column"), [("myoperator", "caller_inputs"), ("tencent-ccc", "input")])
def test_the_example_profiles_let_no_digit_of_a_caller_in__P11(name: str, column: str) -> None:
    spec = RetentionProfileSpec.from_object(example_profile(name)["spec"])
    (visible,) = [each.visible_digits for table in spec.tables for each in table.columns if each.name == column]
    assert visible == 0
