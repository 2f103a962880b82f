"""At which age rows lose the person: min, keep and content bound the choice, and what is not chosen changes nothing (X1)."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import AnonymizeDefinition, RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.rules import Subject, define, inside_bounds
from tenant_retention.enforcement.plans import check_definition
from tests.support.enforcement import archive

ID = {"name": "id", "type": "Uuid", "nullable": False}
SESSION = {"name": "session_id", "type": "Text", "role": "SessionId"}
CALLER = {"name": "caller", "type": "Text", "role": "PhoneNumber", "anonymize": {"method": "SetNull"}}
CATALOGUE: dict[str, Any] = {
    "categories": [
        {
            "name": "records",
            "min": "P1M",
            "default": "P6M",
            "max": "P5Y",
            "clock": {"event": "Created"},
            "tables": ["calls"],
        },
        {
            "name": "recordings",
            "contentOf": "records",
            "default": "P60D",
            "max": "P5Y",
            "clock": {"event": "Created"},
            "tables": ["recordings"],
        },
    ],
    "tables": [
        {"name": "calls", "primaryKey": ["id"], "bornAt": "started_at", "columns": [ID, SESSION, CALLER]},
        {"name": "recordings", "primaryKey": ["id"], "bornAt": "started_at", "columns": [ID, SESSION]},
    ],
}
PROFILE = RetentionProfileSpec.from_object(CATALOGUE)


def policy(*retention: dict[str, str]) -> TenantRetentionPolicySpec:
    return TenantRetentionPolicySpec.from_object({"profileRef": {"name": "small"}, "retention": list(retention)})


def records(after: str, keep: str = "P6M") -> dict[str, str]:
    return {"category": "records", "keep": keep, "anonymizeAfter": after}


def defined(*retention: dict[str, str], profile: RetentionProfileSpec = PROFILE) -> RetentionDefinition:
    return define(profile, policy(*retention), Subject("installation", "customer-acme", "acme", "uid", 3, 1))


@pytest.mark.parametrize("after", ["P1M", "P31D", "P5M", "P6M"])
def test_an_age_between_min_and_keep_is_written_into_the_definition__X1(after: str) -> None:
    found = defined(records(after))
    assert found.category("records").anonymize_after == after
    assert found.category("recordings").anonymize_after is None
    (caller,) = (column for column in found.table("calls").columns if column.name == "caller")
    assert caller.anonymize == AnonymizeDefinition(method="SetNull")
    check_definition(found)


@pytest.mark.parametrize(
    ("retention", "field", "texts"),
    [
        ([records("P30D")], "records", ["P30D is shorter than min P1M", "write P1M or longer"]),
        ([records("P7M")], "records", ["P7M is longer than keep P6M", "write P6M or shorter"]),
        (
            [{"category": "recordings", "keep": "P14D", "anonymizeAfter": "P7D"}],
            "recordings",
            ["no column of its tables says how it is anonymized"],
        ),
    ],
)
def test_an_age_outside_its_bounds_is_refused_with_field_value_and_bound__X1(
    retention: list[dict[str, str]], field: str, texts: list[str]
) -> None:
    with pytest.raises(Invalid) as refusal:
        defined(*retention)
    assert refusal.value.field == f"spec.retention[{field}].anonymizeAfter"
    assert refusal.value.reason == "AnonymizeOutOfBounds"
    assert all(text in refusal.value.message for text in texts), refusal.value.message


def test_content_that_is_chosen_longer_than_its_record_has_a_name_is_refused__X1() -> None:
    with pytest.raises(Invalid) as refusal:
        defined(records("P2M"), {"category": "recordings", "keep": "P90D"})
    assert refusal.value.field == "spec.retention[recordings].keep"
    assert "keep P90D is longer than anonymizeAfter P2M of its record records" in refusal.value.message


def test_content_that_nobody_chose_gives_way_but_never_below_its_own_min__X1_M8() -> None:
    assert defined(records("P31D")).category("recordings").keep == "P31D"
    young = {**CATALOGUE["categories"][1], "min": "P40D"}
    profile = RetentionProfileSpec.from_object({**CATALOGUE, "categories": [CATALOGUE["categories"][0], young]})
    assert defined(records("P31D"), profile=profile).category("recordings").keep == "P40D"


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [("P1M", "P5Y", ("P6M", "P4M")), ("P5M", "P5Y", ("P6M", "P5M")), ("P1M", "P2M", ("P2M", "P2M"))],
)
def test_what_is_invalid_under_todays_profile_goes_on_inside_its_bounds__M8_M10(
    minimum: str, maximum: str, expected: tuple[str, str]
) -> None:
    changed = {**CATALOGUE["categories"][0], "min": minimum, "max": maximum, "default": maximum}
    content = {**CATALOGUE["categories"][1], "max": maximum, "default": "P14D"}
    profile = RetentionProfileSpec.from_object({**CATALOGUE, "categories": [changed, content]})
    good = policy(records("P4M"), {"category": "recordings", "keep": "P90D"})
    last = inside_bounds(profile, good)
    assert (last.keep("records"), last.anonymize_after("records")) == expected
    check_definition(define(profile, last, Subject("i", "n", "p", "u", 1, 1)))


def test_policies_that_anonymize_nothing_keep_their_digest_and_every_part_of_the_rule_is_in_it__X7() -> None:
    # Of the version before there was such a rule; columns had no method there.
    assert archive().rules_digest() == "sha256:2c1c4d1a9f608219dddd81df4401690902b18e2c00d72e5b8e81babc4cf4d5a3"
    digests = [defined().rules_digest(), defined(records("P2M")).rules_digest(), defined(records("P3M")).rules_digest()]
    masked = {**CALLER, "anonymize": {"method": "Mask"}}
    tables = [{**CATALOGUE["tables"][0], "columns": [ID, SESSION, masked]}, CATALOGUE["tables"][1]]
    profile = RetentionProfileSpec.from_object({**CATALOGUE, "tables": tables})
    digests.append(defined(records("P3M"), profile=profile).rules_digest())
    assert len(set(digests)) == 4
    assert defined(profile=profile).rules_digest() == digests[0]


@pytest.mark.parametrize(
    ("after", "field"), [("P30D", "anonymizeAfter"), ("P7M", "keep"), ("soon", "anonymizeAfter"), ("P50D", "keep")]
)
def test_a_plan_with_an_age_outside_its_bounds_is_refused__X1(after: str, field: str) -> None:
    wanted = defined(records("P2M"))
    categories = tuple(
        each.model_copy(update={"anonymize_after": after}) if each.name == "records" else each
        for each in wanted.categories
    )
    with pytest.raises(Invalid) as refusal:
        check_definition(wanted.model_copy(update={"categories": categories}))
    assert (refusal.value.field or "").endswith(field), refusal.value.message
