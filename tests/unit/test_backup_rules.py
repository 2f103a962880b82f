"""How long backups may be kept: refused where a copy would outlive a bound, with the field and the longest keep (M10, T6)."""

from __future__ import annotations

import copy
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.domain.backup_rules import BackupRules, agreed, check_backups, check_request
from tenant_retention.domain.copies import margin
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.profile_check import check_profile

CATALOGUE: dict[str, Any] = {
    "categories": [
        {"name": "calls", "default": "P30D", "max": "P5Y", "clock": {"event": "Created"}, "tables": ["calls"]},
    ],
    "tables": [
        {
            "name": "calls",
            "primaryKey": ["id"],
            "bornAt": "started_at",
            "columns": [{"name": "id", "type": "Uuid", "nullable": False}],
        }
    ],
}


def profile(**category: str) -> RetentionProfileSpec:
    catalogue = copy.deepcopy(CATALOGUE)
    deadlines = {word: category.pop(word) for word in ("request", "termination") if word in category}
    catalogue["categories"][0].update(category)
    return RetentionProfileSpec.from_object(catalogue | ({"deadlines": deadlines} if deadlines else {}))


def rules(keep: str, schedule: Any = "Daily", name: str = "pg") -> BackupRules:
    return BackupRules(name, keep, schedule)


@pytest.mark.parametrize(
    ("bounds", "longest", "what"),
    [
        ({}, 26, "deadlines.request P30D"),
        ({"request": "P45D"}, 26, "deadlines.termination P30D"),
        ({"request": "P90D", "termination": "P90D", "max": "P60D"}, 55, "max P60D of category calls"),
        ({"max": "P30D", "default": "P20D"}, 25, "max P30D of category calls"),
        ({"max": "P30D", "default": "P20D", "min": "P20D"}, 6, "min P20D and max P30D of category calls"),
        (
            {"max": "P2M", "default": "P2M", "min": "P1M", "request": "P1Y", "termination": "P1Y"},
            24,
            "min P1M and max P2M",
        ),
    ],
)
def test_backups_may_be_kept_so_long_that_every_copy_is_gone_in_time_and_no_day_longer__M10(
    bounds: dict[str, str], longest: int, what: str
) -> None:
    check_backups(profile(**bounds), rules(f"P{longest}D"))
    check_profile(profile(**bounds), margin(rules(f"P{longest}D").life))
    with pytest.raises(Invalid) as refused:
        check_backups(profile(**bounds), rules(f"P{longest + 1}D"))
    told = refused.value
    assert (told.reason, told.field) == ("ClassInvalid", "spec.backup.keep")
    assert what in told.message
    assert f"kept P{longest + 1}D" in told.message
    assert "DataStoreClass pg" in told.message
    assert told.message.endswith(f"write P{longest}D or shorter there")


def test_a_profile_without_room_for_backups_says_so_and_not_a_keep_of_zero_days__M10() -> None:
    with pytest.raises(Invalid) as refused:
        check_backups(profile(max="P5D", default="P1D"), rules("P1D"))
    assert "leave spec.backup out there" in refused.value.message


def test_a_keep_in_months_counts_as_the_longest_months_there_are__M10() -> None:
    check_backups(profile(request="P35D", termination="P35D"), rules("P1M"))
    with pytest.raises(Invalid):
        check_backups(profile(request="P34D", termination="P35D"), rules("P1M"))


def test_backups_that_end_bind_nothing_that_leaves_from_then_on__M10() -> None:
    ended = rules("P300D").ended()
    check_backups(profile(), ended)
    assert ended.life == timedelta(0)
    assert rules("P300D").life == timedelta(days=302)


def test_two_classes_of_one_policy_must_say_the_same_of_backups__T6() -> None:
    same = {"pg": rules("P7D"), "pg-apac": rules("P7D", name="pg-apac")}
    assert agreed(same, None) == rules("P7D")
    with pytest.raises(Invalid) as refused:
        agreed(same | {"pg-apac": rules("P14D", name="pg-apac")}, None)
    assert refused.value.reason == "ClassInvalid"
    assert "DataStoreClass pg-apac" in refused.value.message


def test_backups_that_no_class_asks_for_any_more_still_go_in_time_by_what_held_last__T6() -> None:
    assert agreed({}, None) is None
    assert agreed({}, rules("P7D")) == rules("P7D", None)
    assert agreed({"pg": rules("P3D")}, rules("P7D")) == rules("P3D")


def test_a_store_for_backups_that_nobody_makes_is_refused_with_the_field_to_set__T6() -> None:
    wanted: Any = SimpleNamespace(stores=(SimpleNamespace(purpose="Backups"),))
    with pytest.raises(Invalid) as refused:
        check_request(wanted, None)
    assert refused.value.field == "spec.stores[Backups].purpose"
    check_request(wanted, rules("P7D"))
