"""From profile and policy to the definition: bounds, defaults, links, the last good choice (X1, M8, M10, M11, P1, P4)."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import CategoryState, RetentionDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.profile_check import (
    check_profile,
)
from tenant_retention.domain.rules import (
    Subject,
    define,
    effective_keep,
    inside_bounds,
)
from tenant_retention.enforcement.plans import check_definition

PROFILES = Path(__file__).parents[2] / "examples" / "profiles"
SUBJECT = Subject("installation", "customer-acme", "acme", "uid", 3, 1)
TABLE: dict[str, Any] = {
    "primaryKey": ["id"],
    "bornAt": "started_at",
    "columns": [
        {"name": "id", "type": "Uuid", "nullable": False},
        {"name": "session_id", "type": "Text", "role": "SessionId"},
    ],
}
CATALOGUE: dict[str, Any] = {
    "categories": [
        {
            "name": "records",
            "min": "P1M",
            "default": "P6M",
            "max": "P5Y",
            "clock": {"event": "Created"},
            "tables": ["records"],
        },
        {
            "name": "recordings",
            "contentOf": "records",
            "default": "P14D",
            "max": "P5Y",
            "clock": {"event": "Created"},
            "tables": ["recordings"],
            "objects": {"table": "recordings", "keyColumn": "object_key", "versionColumn": "object_version"},
        },
    ],
    "tables": [{"name": "records", **TABLE}, {"name": "recordings", **TABLE}],
}


def catalogue(**changes: dict[str, Any]) -> RetentionProfileSpec:
    """The small catalogue with fields of its categories changed."""
    document = copy.deepcopy(CATALOGUE)
    for category in document["categories"]:
        category.update(changes.get(category["name"], {}))
    return RetentionProfileSpec.from_object(document)


def choice(**keeps: str) -> TenantRetentionPolicySpec:
    """A policy with these keep times."""
    retention = [{"category": name, "keep": keep} for name, keep in keeps.items()]
    return TenantRetentionPolicySpec.from_object({"profileRef": {"name": "small"}, "retention": retention})


def defined(profile: RetentionProfileSpec, policy: TenantRetentionPolicySpec) -> RetentionDefinition:
    return define(profile, policy, SUBJECT)


@pytest.mark.parametrize("name", [path.stem for path in sorted(PROFILES.glob("*.yaml"))])
def test_every_vendors_profile_gives_a_definition_with_its_own_defaults__M_T_P_D(name: str) -> None:
    document = yaml.safe_load((PROFILES / f"{name}.yaml").read_text(encoding="utf-8"))
    profile = RetentionProfileSpec.from_object(document["spec"])
    found = defined(profile, choice())
    assert {category.name for category in found.categories} == {category.name for category in profile.categories}
    for category in found.categories:
        if category.state is CategoryState.ENFORCED:
            assert (category.clock_column is not None) == bool(category.tables)
            assert category.keep == (profile.category(category.name) or pytest.fail("gone")).default


def test_an_omitted_category_gets_the_profiles_default__X1() -> None:
    found = defined(catalogue(), choice(recordings="P7D"))
    assert (found.category("records").keep, found.category("recordings").keep) == ("P6M", "P7D")


@pytest.mark.parametrize(
    "keep, bound",
    [("P3W", "min P1M"), ("P30D", "min P1M"), ("P61M", "max P5Y"), ("P1827D", "max P5Y"), ("P90Y", "max P5Y")],
)
def test_a_keep_outside_the_bounds_is_refused_by_category_value_and_bound__X1(keep: str, bound: str) -> None:
    with pytest.raises(Invalid) as refused:
        defined(catalogue(), choice(records=keep))
    assert refused.value.reason == "KeepOutOfBounds"
    assert refused.value.field == "spec.retention[records].keep"
    assert keep in refused.value.message
    assert bound in refused.value.message


def test_a_keep_for_what_has_no_age_is_refused_with_the_next_step__X1() -> None:
    ageless = catalogue(records={"clock": {"event": "Terminated"}, "min": None, "default": None, "max": None})
    with pytest.raises(Invalid, match="has no age; remove the entry") as refused:
        defined(ageless, choice(records="P1Y"))
    assert (refused.value.reason, refused.value.field) == ("KeepOutOfBounds", "spec.retention[records].keep")
    # What was chosen while it had one does not stop the rest.
    assert inside_bounds(ageless, choice(records="P1Y", recordings="P7D")).keep("records") is None
    assert inside_bounds(ageless, choice(records="P1Y", recordings="P7D")).keep("recordings") == "P7D"


def test_an_unknown_category_is_refused_by_name__X1() -> None:
    with pytest.raises(Invalid, match="no category faxes") as refused:
        defined(catalogue(), choice(faxes="P1M"))
    assert refused.value.reason == "CategoryUnknown"


def test_content_may_not_be_chosen_longer_than_its_record__P4() -> None:
    with pytest.raises(Invalid) as refused:
        defined(catalogue(), choice(records="P2M", recordings="P3M"))
    assert refused.value.reason == "ContentOutlivesRecord"
    assert "records" in refused.value.message


def test_content_that_nobody_chose_gives_way_to_the_shorter_record__P4_X1() -> None:
    found = defined(catalogue(recordings={"default": "P1Y"}), choice(records="P2M"))
    assert found.category("recordings").keep == "P2M"


def test_a_record_waits_for_its_contents_min__X1() -> None:
    found = defined(catalogue(recordings={"min": "P3M", "default": "P1Y"}), choice(records="P2M"))
    assert found.category("recordings").keep == "P3M"


def test_content_comes_before_its_record__P4() -> None:
    assert [category.name for category in defined(catalogue(), choice()).categories] == ["recordings", "records"]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"records": {"min": "P6Y"}}, "min P6Y"),
        ({"records": {"default": "P6Y"}}, "default P6Y is longer than max P5Y"),
        ({"records": {"default": "P3W"}}, "default P3W is shorter than min P1M"),
        ({"records": {"min": "P5Y", "default": "P5Y"}}, "leaves no room before max P5Y"),
        ({"recordings": {"default": "P1D", "max": "P2D"}}, "max P2D leaves no room for any keep"),
        ({"recordings": {"database": "Dialogue"}}, "in the database of its record records, which is Analytical"),
        ({"recordings": {"min": "P6Y", "default": "P7Y", "max": "P9Y"}}, "max P5Y of its record records"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused_by_field__X1(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_profile(catalogue(**change))
    assert refused.value.reason == "ProfileInvalid"
    assert words in refused.value.message
    assert (refused.value.field or "").startswith("spec.categories[")


def tables_named(*names: str) -> RetentionProfileSpec:
    """A catalogue that declares these tables."""
    return RetentionProfileSpec.from_object({**CATALOGUE, "tables": [{"name": name, **TABLE} for name in names]})


@pytest.mark.parametrize("names", [("logs", "logs_p202611"), ("logs_p202611", "logs"), ("a", "a_p1", "a_p1_p999912")])
def test_a_table_named_like_another_tables_month_is_refused_by_field__X1(names: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        check_profile(tables_named("records", "recordings", *names))
    month = max(names, key=len)
    assert (refused.value.reason, refused.value.field) == ("ProfileInvalid", f"spec.tables[{month}].name")
    assert f"{month} is what the database calls a month of table {month[:-8]}" in refused.value.message
    assert "give one of the two another name" in refused.value.message


def test_a_table_that_only_looks_like_a_month_is_no_mistake() -> None:
    check_profile(tables_named("records", "recordings", "logs", "logs_p2026", "logs_p2026110", "calls_p202611"))


def test_a_clock_this_version_does_not_act_on_is_not_enforced_and_never_called_so() -> None:
    found = defined(catalogue(records={"clock": {"event": "Terminated"}}), choice())
    assert found.category("records").state is CategoryState.NOT_ENFORCED
    assert found.category("records").clock_column is None


def test_a_category_counts_from_the_column_that_closes_it() -> None:
    closed = {"event": "Closed", "column": "closed_at"}
    document = copy.deepcopy(CATALOGUE)
    document["categories"][0]["clock"] = closed
    document["tables"][0]["columns"] = [*TABLE["columns"], {"name": "closed_at", "type": "Timestamp"}]
    found = defined(RetentionProfileSpec.from_object(document), choice())
    assert found.category("records").clock_column == "closed_at"
    assert found.table("records").clock_columns == ("closed_at",)


def test_a_keep_too_near_to_max_is_shortened_and_shown__X1_M10() -> None:
    day = timedelta(days=1)
    assert effective_keep("P5Y", "P5Y", day) == "P1824D"
    assert effective_keep("P6M", "P5Y", day) == "P6M"
    assert effective_keep("P59M", "P5Y", day) == "P59M"
    assert effective_keep("P1826D", "P5Y", day) == "P1824D"
    assert effective_keep(None, "P5Y", day) is None
    assert effective_keep("P14D", "P14D", timedelta(days=2)) == "P12D"
    # The shortest max that a profile may have leaves a day.
    shortest = catalogue(recordings={"default": "P3D", "max": "P3D"})
    check_profile(shortest)
    assert effective_keep("P3D", "P3D") == "P1D"


def test_the_last_good_choice_is_kept_inside_todays_bounds__M8_M10() -> None:
    tightened = catalogue(
        records={"min": "P7M", "default": "P8M", "max": "P1Y"}, recordings={"default": "P14D", "max": "P10D"}
    )
    kept = inside_bounds(tightened, choice(records="P6M", recordings="P14D", gone="P1Y"))
    assert {found.category: found.keep for found in kept.retention} == {"records": "P7M", "recordings": "P10D"}


UNITS = st.sampled_from("DWMY")
DURATIONS = st.builds(lambda number, unit: f"P{number}{unit}", st.integers(1, 400), UNITS)


@given(DURATIONS, DURATIONS, DURATIONS, DURATIONS, DURATIONS)
@settings(max_examples=150, deadline=None)
def test_whatever_was_chosen_once_can_be_enforced_inside_any_sound_profile__X1_M8_M10(
    shortest: str, default: str, longest: str, record: str, content: str
) -> None:
    profile = catalogue(
        records={"min": shortest, "default": default, "max": longest}, recordings={"default": default, "max": longest}
    )
    try:
        check_profile(profile)
    except Invalid:
        return
    found = defined(profile, inside_bounds(profile, choice(records=record, recordings=content)))
    for category in found.categories:
        assert category.keep is not None
        assert category.maximum is not None
        keep, maximum = Period.parse(category.keep), Period.parse(category.maximum)
        assert keep.never_longer_than(maximum) or category.keep == category.maximum
        if category.minimum is not None:
            assert Period.parse(category.minimum).never_longer_than(keep)


@given(DURATIONS, DURATIONS, DURATIONS, DURATIONS, DURATIONS, DURATIONS)
@settings(max_examples=150, deadline=None)
@example("P1M", "P1Y", "P5Y", "P3M", "P2M", "P14D")
def test_whatever_the_operator_defines_the_nightly_program_takes__X1_M10(
    shortest: str, default: str, longest: str, content_min: str, record: str, content: str
) -> None:
    """A record whose keep is shorter than its content's min waits: a plan that says so is no mistake."""
    profile = catalogue(
        records={"min": shortest, "default": default, "max": longest},
        recordings={"min": content_min, "default": default, "max": longest},
    )
    try:
        check_profile(profile)
    except Invalid:
        return
    for chosen in (choice(), choice(records=record), choice(records=record, recordings=content)):
        try:
            found = defined(profile, chosen)
        except Invalid:
            found = defined(profile, inside_bounds(profile, chosen))
        check_definition(found)


def test_the_digest_changes_with_what_decides_and_with_nothing_else__X7() -> None:
    digest = defined(catalogue(), choice(recordings="P14D")).rules_digest()
    assert digest == define(catalogue(), choice(recordings="P14D"), Subject("i", "n", "p", "u", 9, 9)).rules_digest()
    assert digest != defined(catalogue(), choice(recordings="P7D")).rules_digest()
