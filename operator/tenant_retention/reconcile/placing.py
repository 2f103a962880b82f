"""Which stores a policy works on now: those it asks for at home, those of its units, and those that it left with rows (D2-D4)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.ledger import Claimant, place_of
from tenant_retention.domain.left_behind import LeftStore
from tenant_retention.domain.names import Place
from tenant_retention.domain.placement import HomeStore, further_stores, needs_placing
from tenant_retention.domain.ports.cluster import STORE
from tenant_retention.domain.topology import WantedStore
from tenant_retention.reconcile.claims import Claims, claim, identity_for, unasked_databases
from tenant_retention.reconcile.rules import Rules
from tenant_retention.reconcile.tenancy import Home
from tenant_retention.reconcile.world import World, parse


async def claim_all(
    world: World, claimant: Claimant, home: Home, rules: Rules, nothing_left: TenantRetentionPolicySpec | None
) -> tuple[Rules, Claims, tuple[LeftStore, ...], TenantRetentionPolicySpec | None]:
    """Claims the home stores, then those that follow from them. The rules with all of them (see ``placed``), the claims, what
    left the profile, and the next ``nothing_left``: the spec for which a search of the ledger found nothing that was left."""
    claims = await claim(world, claimant, home, rules.stores)
    spec = rules.policy
    look_back = spec is None or spec != nothing_left or needs_placing(spec)
    known, left = await placed(world, claimant, rules, look_back=look_back)
    further = await claim(world, claimant, home, known.stores[len(rules.stores) :])
    claims.claimed += further.claimed
    claims.refused += further.refused
    claims.problem = claims.problem or further.problem
    known = entered(known, claims.unentered | further.unentered)
    if look_back:
        # While anything is left, the ledger is searched each time.
        nothing_left = None if left or any(store.leaving for store in known.stores) else spec
    return known, claims, left, nothing_left


async def placed(
    world: World, claimant: Claimant, rules: Rules, *, look_back: bool = True
) -> tuple[Rules, tuple[LeftStore, ...]]:
    """``rules``, which have a definition, with the databases of the units and those that go on expiring: part of the plan,
    and asked before an object of a shared bucket goes. Beside them, what left the profile and is only counted (M10).

    The home stores are claimed first: only their ledger entries say which region is a further one. ``look_back`` False: the
    ledger was searched since the spec changed, and nothing was left.
    """
    assert rules.definition is not None
    asked = (*rules.stores, *await _of_units(world, claimant, rules))
    unasked = await unasked_databases(world, claimant, asked, look_back=look_back)
    used = {category.database for category in rules.definition.categories if category.tables}
    leaving = (_leaving(entry) for entry in unasked if entry.spec.purpose in used)
    left = (
        LeftStore(entry.metadata.name, place_of(entry.spec).name, entry.status.overdue)
        for entry in unasked
        if entry.spec.purpose not in used
    )
    stores = (*asked, *leaving)
    return entered(replace(rules, stores=stores), set()), tuple(left)


def entered(rules: Rules, unentered: AbstractSet[Place]) -> Rules:
    """``rules``, which have a definition, with the databases that the ledger knows: one that was never made holds no row, and
    nothing waits for it (M8, M10). ``unentered``: places without an entry."""
    assert rules.definition is not None
    known = (store.place for store in rules.stores if store.type == "PostgreSQL" and store.place not in unentered)
    return replace(rules, definition=rules.definition.placed_in(place.name for place in known))


def _leaving(entry: DataStore) -> WantedStore:
    place = place_of(entry.spec)
    return WantedStore(place.purpose, entry.spec.type, None, True, place.region, place.unit)


async def _of_units(world: World, claimant: Claimant, rules: Rules) -> tuple[WantedStore, ...]:
    if rules.policy is None or not needs_placing(rules.policy):
        return ()
    homes: dict[str, HomeStore] = {}
    for store in rules.stores:
        found = await world.cluster.get(STORE, identity_for(world, claimant, store.place).store_id())
        if store.type == "PostgreSQL" and found is not None:
            spec = parse(DataStore, found, Reason.STORE_CONFLICT).spec
            homes[store.purpose] = HomeStore(spec.region, spec.class_name)
    return further_stores(rules.policy, homes)
