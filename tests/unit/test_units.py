"""Units: which databases they ask for, and where the rows of each lie (D3, D4); pure."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import Place, StoreIdentity, purpose_of
from tenant_retention.domain.placement import HomeStore, check_units, further_stores, place_of_unit

HOMES = {"Analytical": HomeStore("EMEA", "pg-emea"), "Dialogue": HomeStore("EMEA", "pg-emea")}


def policy_of(*units: dict[str, str], stores: list[dict[str, str]] | None = None) -> TenantRetentionPolicySpec:
    spec: dict[str, Any] = {"profileRef": {"name": "dialogue-cloud"}, "units": list(units), "stores": stores or []}
    return TenantRetentionPolicySpec.from_object(spec)


HELPDESK = {"name": "helpdesk"}
LONDON = {"name": "london", "region": "EMEA", "database": "Shared"}
SYDNEY = {"name": "sydney", "region": "APAC", "database": "Shared"}
PERTH = {"name": "perth", "region": "APAC", "database": "Shared"}
CLINIC = {"name": "clinic", "region": "APAC", "database": "Dedicated"}
WARD = {"name": "ward", "sharedWith": "clinic"}
BEDS = {"name": "beds", "database": "Dedicated"}


@pytest.mark.parametrize(
    ("unit", "calls", "messages"),
    [
        (HELPDESK, "Analytical", "Dialogue"),
        (LONDON, "Analytical", "Dialogue"),
        (SYDNEY, "Analytical/APAC", "Dialogue/APAC"),
        (CLINIC, "Analytical/APAC:clinic", "Dialogue/APAC:clinic"),
        (WARD, "Analytical/APAC:clinic", "Dialogue/APAC:clinic"),
        (BEDS, "Analytical:beds", "Dialogue"),
    ],
)
def test_where_the_rows_of_a_unit_lie__D3(unit: dict[str, str], calls: str, messages: str) -> None:
    policy = policy_of(HELPDESK, LONDON, SYDNEY, CLINIC, WARD, BEDS)
    found = next(each for each in policy.units if each.name == unit["name"])
    places = [place_of_unit(policy, found, purpose, home).name for purpose, home in HOMES.items()]
    assert places == [calls, messages]


def test_one_database_a_region_and_one_for_each_dedicated_unit_each_once__D3() -> None:
    policy = policy_of(HELPDESK, LONDON, SYDNEY, PERTH, CLINIC, WARD, BEDS)
    assert [store.place.name for store in further_stores(policy, HOMES)] == [
        "Analytical:beds",
        "Analytical/APAC",
        "Analytical/APAC:clinic",
        "Dialogue/APAC",
        "Dialogue/APAC:clinic",
    ]


def test_units_that_name_nothing_need_nothing_further__D4() -> None:
    assert further_stores(policy_of(HELPDESK, LONDON), HOMES) == ()
    assert further_stores(policy_of(SYDNEY), {}) == (), "which region is a further one, only a home store says"


def test_a_further_store_comes_from_its_own_entry_else_its_regions_and_a_private_one_at_home_from_the_home_class__D3() -> (
    None
):
    stores = [
        {"purpose": "Analytical", "className": "pg-emea"},
        {"purpose": "Analytical", "region": "APAC", "className": "pg-apac"},
        {"purpose": "Analytical", "region": "APAC", "unit": "clinic", "className": "pg-clinic"},
    ]
    found = further_stores(policy_of(SYDNEY, CLINIC, BEDS, stores=stores), {"Analytical": HOMES["Analytical"]})
    assert {store.place.name: store.request and store.request.class_name for store in found} == {
        "Analytical:beds": "pg-emea",
        "Analytical/APAC": "pg-apac",
        "Analytical/APAC:clinic": "pg-clinic",
    }
    assert {store.place.name: store.request and store.request.region for store in found}["Analytical/APAC"] == "APAC"


@pytest.mark.parametrize("shared", ["nobody", "sydney", "ward"])
def test_a_unit_shares_only_a_database_that_a_named_unit_has_to_itself__D3(shared: str) -> None:
    policy = policy_of(SYDNEY, CLINIC, WARD, {"name": "office", "sharedWith": shared})
    with pytest.raises(Invalid, match=r"spec\.units\[office\]\.sharedWith") as refused:
        check_units(policy)
    assert refused.value.field == "spec.units[office].sharedWith"


def test_no_two_places_have_one_name_label_or_identity__D3_X2() -> None:
    places = [
        Place("Analytical"),
        Place("Analytical", "apac"),
        Place("Analytical", "", "apac"),
        Place("Analytical", "a-b", "c"),
        Place("Analytical", "a", "b-c"),
        Place("Analytical", "A", "b-c"),
    ]
    identities = [StoreIdentity("i", "ns", "p", each.purpose, each.region, each.unit) for each in places]
    for names in (
        {each.name for each in places},
        {each.label for each in places},
        {each.store_id() for each in identities},
        {each.database() for each in identities},
    ):
        assert len(names) == len(places)
    assert {purpose_of(each.name) for each in places} == {"Analytical"}
