"""Which further databases the units of a policy ask for, and where a unit's rows lie (D3, D4); pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenant_retention.api.v1alpha1.tenantretentionpolicy import StoreRequest, TenantRetentionPolicySpec, Unit
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import Place
from tenant_retention.domain.topology import WantedStore

CALL_RECORDS = "Analytical"
"""What a Dedicated unit of the home region has to itself; in a further region it shares nothing."""


@dataclass(frozen=True)
class HomeStore:
    """The home database of one purpose, by its ledger entry: the region of its class, if it has one, and the class."""

    region: str | None
    class_name: str


def needs_placing(policy: TenantRetentionPolicySpec) -> bool:
    """Whether any unit may need more than the home stores."""
    return any(unit.region or unit.database == "Dedicated" for unit in policy.units)


def check_units(policy: TenantRetentionPolicySpec) -> None:
    """Raises Invalid (SpecInvalid) where a unit shares a database that nobody has to himself."""
    for unit in policy.units:
        _owner(policy, unit)


def place_of_unit(policy: TenantRetentionPolicySpec, unit: Unit, purpose: str, home: HomeStore | None) -> Place:
    """Where the rows of a unit lie. Raises Invalid as ``check_units`` does."""
    unit = _owner(policy, unit)
    dedicated = unit.database == "Dedicated"
    if unit.region and (home is None or unit.region != home.region):
        return Place(purpose, unit.region, unit.name if dedicated else "")
    return Place(purpose, "", unit.name) if dedicated and purpose == CALL_RECORDS else Place(purpose)


def further_stores(policy: TenantRetentionPolicySpec, homes: Mapping[str, HomeStore]) -> tuple[WantedStore, ...]:
    """Every database beside the home ones: one for each purpose and further region, and those of Dedicated units.

    ``homes``: the home databases by purpose; of a purpose without one nothing further is made yet. The archive is one.
    """
    live = {purpose: home for purpose, home in homes.items() if purpose != ARCHIVE}
    places = {place_of_unit(policy, unit, purpose, home) for unit in policy.units for purpose, home in live.items()}
    return tuple(
        _wanted(policy, place, homes[place.purpose]) for place in sorted(places - {Place(name) for name in homes})
    )


def _owner(policy: TenantRetentionPolicySpec, unit: Unit) -> Unit:
    """The unit whose databases it uses: itself, or the one that it names."""
    if unit.shared_with is None:
        return unit
    owner = next((each for each in policy.units if each.name == unit.shared_with), None)
    if owner is None or owner.database != "Dedicated":
        field = f"spec.units[{unit.name}].sharedWith"
        raise Invalid(
            f"{field}: {unit.shared_with} is no unit with database Dedicated; name one, or leave the field out",
            reason="SpecInvalid",
            field=field,
        )
    return owner


def _wanted(policy: TenantRetentionPolicySpec, place: Place, home: HomeStore) -> WantedStore:
    """The wish for one place: its own entry of ``spec.stores``, else its region's; at home the class of the home store."""
    by_place = {Place(str(each.purpose), each.region, each.unit): each for each in policy.stores}
    request = (
        by_place.get(place) or by_place.get(Place(place.purpose, place.region)) if place.region else by_place.get(place)
    )
    request = request or StoreRequest.from_object({"purpose": place.purpose})
    change = {"region": place.region, "unit": place.unit}
    if not place.region and request.class_name is None:
        change["class_name"] = home.class_name
    wish = request.model_copy(update=change)
    return WantedStore(place.purpose, "PostgreSQL", wish, region=place.region, unit=place.unit)
