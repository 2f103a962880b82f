"""Bought storage (T5): what it means, what is refused (X1), that it is announced, and that it ends on its date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.api.v1alpha1.conditions import ConditionType
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.category_status import Counts, category_rows
from tenant_retention.domain.decisions import Extension, Ground, Item, Rule, Verdict, cutoffs, decide
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.durations import Period, cutoff, end_of_period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.extended_storage import extension_findings
from tenant_retention.domain.rules import Subject, define, inside_bounds
from tenant_retention.telemetry import Telemetry
from tests.support.enforcement import archive

NOW = datetime(2026, 11, 22, 1, 37, tzinfo=UTC)
END = NOW + timedelta(days=40)
MARGIN = timedelta(days=2)
SECOND = timedelta(seconds=1)


def profile(**changes: dict[str, Any]) -> RetentionProfileSpec:
    """The second vendor's own, with fields of categories changed; None takes a field away."""
    text = (Path(__file__).parents[2] / "examples" / "profiles" / "tencent-ccc.yaml").read_text()
    document = yaml.safe_load(text)["spec"]
    for category in document["categories"]:
        category |= changes.get(category["name"].replace("-", "_"), {})
        for field in [field for field, value in category.items() if value is None]:
            del category[field]
    return RetentionProfileSpec.from_object(document)


def policy(*bought: dict[str, Any], **spec: Any) -> TenantRetentionPolicySpec:
    """A policy that bought this."""
    return TenantRetentionPolicySpec.from_object(
        {"profileRef": {"name": "tencent-ccc"}, "extendedStorage": list(bought), **spec}
    )


def defined(*bought: dict[str, Any], **spec: Any) -> RetentionDefinition:
    """What the policy means."""
    return define(profile(), policy(*bought, **spec), SUBJECT)


SUBJECT = Subject("installation", "customer-acme", "acme", "uid", 3, 1)
CALLS = {"category": "call-data", "keep": "P2Y", "until": "2027-01-01T01:37:00Z"}
RECORDINGS = {"category": "call-recordings", "keep": "P1Y", "until": "2027-01-01T01:37:00Z"}


def rule(until: datetime | None = END) -> Rule:
    """Half a year without it, two of three years with it."""
    extension = Extension(Period.parse("P2Y"), Period.parse("P3Y"), until)
    deadline = Period.parse("P30D")
    half = Period.parse("P6M")
    return Rule(None, half, half, True, MARGIN, deadline, deadline, extension)


def test_bought_storage_lifts_keep_and_max_inside_extended_max__T5() -> None:
    found = defined(CALLS).category("call-data")
    assert (found.keep, found.maximum) == ("P6M", "P6M")
    assert found.extended is not None
    assert (found.extended.keep, found.extended.maximum, found.extended.until) == ("P2Y", "P3Y", END)


@pytest.mark.parametrize(
    "bought, words",
    [
        ({"category": "call-data", "keep": "P182D"}, ["call-data", "P182D", "default P6M"]),
        ({"category": "call-data", "keep": "P37M"}, ["call-data", "P37M", "extendedMax P3Y"]),
        ({"category": "configuration", "keep": "P1Y"}, ["configuration", "P1Y", "no extendedMax"]),
        ({"category": "shoes", "keep": "P1Y"}, ["shoes", "call-data", "tencent-ccc"]),
        ({"category": "call-recordings", "keep": "P1Y"}, ["call-recordings", "P1Y", "P6M of its record call-data"]),
        ({"category": "call-data", "keep": "P1Y", "until": "2027-02-30T00:00:00Z"}, ["until", "is no date"]),
    ],
)
def test_what_cannot_be_bought_is_refused_by_category_value_and_bound__T5_X1(
    bought: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        defined(bought)
    assert all(word in refused.value.message for word in words), refused.value.message
    assert refused.value.field is not None
    assert refused.value.field.startswith(f"spec.extendedStorage[{bought['category']}]")


def test_content_is_extended_no_longer_than_its_record__T5_X1_P4() -> None:
    assert defined(CALLS, RECORDINGS).category("call-recordings").extended is not None
    with pytest.raises(Invalid, match=r"until: category call-recordings.*ends after that of its record") as refused:
        defined(CALLS, {**RECORDINGS, "until": "2027-01-02T00:00:00Z"})
    assert refused.value.reason == "ContentOutlivesRecord"
    with pytest.raises(Invalid, match="longer than P2Y of its record"):
        defined(CALLS, {**RECORDINGS, "keep": "P30M"})
    with pytest.raises(Invalid, match="ends after that of its record"):
        defined(CALLS, {"category": "call-recordings", "keep": "P1Y"})


def test_content_cannot_be_bought_beyond_the_age_at_which_its_record_loses_the_person__X1_T5() -> None:
    early = [{"category": "call-data", "keep": "P6M", "anonymizeAfter": "P3M"}]
    assert defined(CALLS, retention=early).category("call-recordings").extended is None
    for keep in ("P1Y", "P4M"):
        bought = {**RECORDINGS, "keep": keep}
        with pytest.raises(Invalid, match=f"keep {keep} is longer than anonymizeAfter P3M of its record") as refused:
            define(profile(call_recordings={"default": "P1M"}), policy(CALLS, bought, retention=early), SUBJECT)
        assert refused.value.field == "spec.extendedStorage[call-recordings].keep"
        assert refused.value.reason == "ContentOutlivesRecord"
    just = {**RECORDINGS, "keep": "P3M"}
    found = define(profile(call_recordings={"default": "P1M"}), policy(CALLS, just, retention=early), SUBJECT)
    assert found.category("call-recordings").extended is not None


def test_bought_content_gives_way_where_the_last_good_choice_anonymizes_its_record_before__X1_M10() -> None:
    early = [{"category": "call-data", "keep": "P6M", "anonymizeAfter": "P3M"}]
    inside = inside_bounds(profile(), policy(CALLS, RECORDINGS, retention=early))
    assert [bought.category for bought in inside.extended_storage] == ["call-data"]


def test_what_the_profile_no_longer_offers_is_cut_and_what_has_no_room_goes__T5_M10() -> None:
    good = policy(CALLS, RECORDINGS)
    cut = inside_bounds(profile(call_data={"extendedMax": "P1Y"}), good)
    assert [bought.keep for bought in cut.extended_storage] == ["P1Y", "P1Y"]
    gone = inside_bounds(profile(call_data={"extendedMax": None}), good)
    assert gone.extended_storage == ()
    assert define(profile(call_data={"extendedMax": None}), gone, SUBJECT).category("call-data").extended is None


def test_a_policy_that_bought_nothing_has_the_digest_of_before__T5() -> None:
    without = defined()
    assert archive().rules_digest() == "sha256:2c1c4d1a9f608219dddd81df4401690902b18e2c00d72e5b8e81babc4cf4d5a3"
    digests = {without.rules_digest(), defined(CALLS).rules_digest()}
    digests |= {defined({**CALLS, "until": None}).rules_digest(), defined({**CALLS, "keep": "P1Y"}).rules_digest()}
    assert len(digests) == 4


@pytest.mark.parametrize("before_the_end", [timedelta(days=100), SECOND, timedelta(microseconds=1)])
def test_until_its_last_moment_the_bought_keep_is_the_keep__T5(before_the_end: timedelta) -> None:
    now = END - before_the_end
    bound = cutoff(now, Period.parse("P2Y"))
    assert decide(Item(bound), rule(), now).ground is Ground.KEEP_ENDED
    assert decide(Item(bound + timedelta(microseconds=1)), rule(), now).verdict is Verdict.KEEP
    assert cutoffs(rule(), now).remove == bound


@pytest.mark.parametrize("after_the_end", [timedelta(0), SECOND, timedelta(days=100)])
def test_from_its_end_on_the_own_keep_is_the_keep_again__T5(after_the_end: timedelta) -> None:
    now = END + after_the_end
    birth = END - timedelta(days=400)
    decision = decide(Item(birth), rule(), now)
    assert (decision.verdict, decision.eligible) == (Verdict.REMOVE, END)
    # Nobody may remove it before its end, so it is debt only when a run had the time to.
    assert decision.deadline == END + MARGIN
    assert (cutoffs(rule(), now).overdue or NOW) >= birth or now < END + MARGIN


def test_bought_storage_without_an_end_lasts__T5() -> None:
    birth = NOW - timedelta(days=700)
    assert decide(Item(birth), rule(None), NOW).verdict is Verdict.KEEP
    assert decide(Item(birth), rule(None), NOW).deadline == end_of_period(birth, Period.parse("P3Y"))


@given(st.integers(0, 3 * 366 * 86400), st.integers(-50 * 86400, 50 * 86400), st.booleans())
def test_a_runs_one_cutoff_decides_as_each_item_is_decided_around_the_end__T5_X7(
    age: int, after: int, endless: bool
) -> None:
    now = END + timedelta(seconds=after)
    birth = now - timedelta(seconds=age)
    terms = rule(None if endless else END)
    bounds, decision = cutoffs(terms, now), decide(Item(birth), terms, now)
    assert bounds.remove is not None
    assert bounds.overdue is not None
    assert (birth <= bounds.remove) == (decision.verdict is Verdict.REMOVE)
    assert decision.deadline is not None
    assert (birth <= bounds.overdue) == (decision.deadline <= now)


@pytest.mark.parametrize("days, told", [(31.0, False), (30.0, True), (0.1, True), (0.0, False), (-1.0, False)])
def test_the_end_is_announced_thirty_days_before_it_comes__T5(days: float, told: bool) -> None:
    (finding,) = extension_findings(defined(CALLS), END - timedelta(days=days))
    assert (finding.type, finding.holds) == (ConditionType.EXTENDED_STORAGE_ENDING, told)
    assert ("call-data on 2027-01-01T01:37:00Z" in finding.message) == told
    assert extension_findings(defined({**CALLS, "until": None}), END) == ()
    assert extension_findings(defined(), END) == ()


def test_the_status_says_which_keep_is_in_force_and_until_when__T5() -> None:
    def row(now: datetime) -> dict[str, Any]:
        rows = category_rows(profile(), defined(CALLS), Counts(), counted_only=False, now=now)
        return next(each for each in rows if each["name"] == "call-data")

    before, after = row(END - SECOND), row(END)
    assert (before["effectiveKeep"], before["extendedKeep"]) == ("P2Y", "P2Y")
    assert before["extendedUntil"] == "2027-01-01T01:37:00Z"
    assert "message" not in before
    assert after["effectiveKeep"] != "P2Y"
    told = Telemetry()
    told.policy("customer-acme", "acme", {"categories": [before]}, None)
    assert b"extended_storage_end_timestamp_seconds{" in told.render(0)
    told.policy("customer-acme", "acme", {"categories": [{"name": "call-data"}]}, None)
    assert b"extended_storage_end_timestamp_seconds{" not in told.render(0)
