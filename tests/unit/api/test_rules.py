"""Bad input is refused with the field's name, without an API server: models for shapes, CEL for what belongs together."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tenant_retention.api.v1alpha1.admission import bounds_policy
from tenant_retention.api.v1alpha1.crd import KINDS, object_schema
from tenant_retention.api.v1alpha1.durations import cel_never_longer
from tenant_retention.domain.durations import Period
from tests.support.api_cases import ROOT, Case, bounds_cases, kind_cases
from tests.support.cel_rules import defaulted, evaluate, refusals

KIND = {kind.resource.kind: kind for kind in KINDS}
CASES = [case for case in kind_cases() if case.offline]


def model_errors(document: dict[str, Any]) -> list[str]:
    """The paths that the model of the kind refuses."""
    try:
        KIND[document["kind"]].from_object(document)
    except ValidationError as error:
        return [_path(detail["loc"]) for detail in error.errors()]
    return []


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")


def rule_messages(schema: dict[str, Any]) -> set[str]:
    """The messages of all rules below a schema."""
    found = {rule["message"] for rule in schema.get("x-kubernetes-validations", ())}
    children = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return found.union(*(rule_messages(child) for child in children))


@pytest.mark.parametrize("case", [case for case in CASES if case.message is None], ids=lambda case: case.id)
def test_what_is_right_is_accepted__X1(case: Case) -> None:
    assert model_errors(case.object) == []
    assert refusals(object_schema(KIND[case.object["kind"]]), case.object, case.old) == []


@pytest.mark.parametrize("case", [case for case in CASES if case.message is not None], ids=lambda case: case.id)
def test_what_is_wrong_is_refused_with_the_name_of_the_field__X1(case: Case) -> None:
    schema = object_schema(KIND[case.object["kind"]])
    if case.message in rule_messages(schema):
        found = refusals(schema, case.object, case.old)
        assert case.message in {refusal.message for refusal in found}
        assert any(case.field in (refusal.path, *refusal.message.split()) for refusal in found)
    else:
        assert any(path == case.field for path in model_errors(case.object)), model_errors(case.object)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_every_rule_has_a_case_that_meets_it_and_one_that_breaks_it(kind: Any) -> None:
    own = [case for case in CASES if case.object["kind"] == kind.resource.kind]
    rules = rule_messages(object_schema(kind))
    assert rules - {rule for case in own if case.message is None for rule in case.rules} == set()
    assert rules - {case.message for case in own} == set()
    named = {rule for case in own for rule in case.rules}
    assert named - rules == set(), "a case names a rule that is gone"


NUMBERS = {
    "D": "1 28 29 31 59 62 181 184 365 366 1460 1461 1826 1827 9999",
    "W": "1 4 9 52 53 1428",
    "M": "1 2 6 11 12 13 60 120 9999",
    "Y": "1 4 5 100 9999",
}
PERIODS = tuple(f"P{number}{unit}" for unit, numbers in NUMBERS.items() for number in numbers.split())


def test_no_pair_of_periods_that_some_birthday_breaks_gets_through__X1_X9() -> None:
    expression = cel_never_longer("self.a", "self.b")
    wrong, stricter = [], []
    for shorter, longer in itertools.product(PERIODS, PERIODS):
        accepted = evaluate(expression, {"self": {"a": shorter, "b": longer}})
        true = Period.parse(shorter).never_longer_than(Period.parse(longer))
        if accepted and not true:
            wrong.append((shorter, longer))
        if true and not accepted:
            stricter.append((shorter, longer))
    assert wrong == []
    # The bound on leap days errs on the safe side; where a tenant would notice, it does not err at all.
    noticed = [pair for pair in stricter if not any(period[-1] in "MY" and _months(period) > 120 for period in pair)]
    assert noticed == []


def _months(period: str) -> int:
    return int(period[1:-1]) * (12 if period[-1] == "Y" else 1)


def admission_messages(profile: dict[str, Any], policy: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """What the admission policy on bounds says, one text a broken validation; none where it does not apply."""
    values: dict[str, Any] = {
        "object": defaulted(object_schema(KIND["TenantRetentionPolicy"]), policy),
        "oldObject": old,
        "params": defaulted(object_schema(KIND["RetentionProfile"]), profile),
        "variables": {},
    }
    spec = bounds_policy()
    if not all(evaluate(condition["expression"], values) for condition in spec["matchConditions"]):
        return []
    for variable in spec["variables"]:
        values["variables"][variable["name"]] = evaluate(variable["expression"], values)
    return [
        evaluate(validation["messageExpression"], values)
        for validation in spec["validations"]
        if not evaluate(validation["expression"], values)
    ]


@pytest.mark.parametrize(
    "profile, policy, message", list(bounds_cases()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_keep_outside_the_bounds_names_category_value_and_bound__X1(
    profile: dict[str, Any], policy: dict[str, Any], message: str | None
) -> None:
    field = "extendedStorage" if "extendedStorage" in policy["spec"] else "retention"
    expected = [] if message is None else [f"spec.{field}: {message}"]
    assert admission_messages(profile, policy) == expected


def test_a_profile_that_changed_later_stops_nobody_from_suspending__X1() -> None:
    profile, policy, message = next(case for case in bounds_cases() if case[2] is not None)
    suspended = {**policy, "spec": {**policy["spec"], "suspend": True}}
    assert message is not None
    assert admission_messages(profile, suspended, old=policy) == []
    assert admission_messages(profile, suspended) != []


def test_a_policy_is_held_against_its_own_profile_only__X2() -> None:
    profiles = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "examples" / "profiles").glob("*.yaml"))]
    _, policy, message = next(case for case in bounds_cases() if case[2] is not None)
    assert message is not None
    assert [bool(admission_messages(profile, policy)) for profile in profiles].count(True) == 1
