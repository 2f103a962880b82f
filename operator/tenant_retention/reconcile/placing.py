"""Which stores a policy works on now: those it asks for at home, those of its units, and those that it left with rows (D2-D4)."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import ARCHIVE
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


@dataclass(frozen=True)
class NothingLeft:
    """A search of the ledger found nothing with rows that ``spec`` does not ask for. ``emptied``: the names of the databases of
    units and regions that it found without any; rows that come late into one must not be missed (M10)."""

    spec: TenantRetentionPolicySpec
    emptied: tuple[str, ...]


async def claim_all(
    world: World, claimant: Claimant, home: Home, rules: Rules, nothing_left: NothingLeft | None
) -> tuple[Rules, Claims, tuple[LeftStore, ...], NothingLeft | None]:
    """Claims the home stores, then those that follow from them. The rules with all of them (see ``placed``), the claims, what
    left the profile, and the next ``nothing_left``."""
    claims = await claim(world, claimant, home, rules.stores)
    spec = rules.policy
    names = None
    if nothing_left is not None and spec == nothing_left.spec and not needs_placing(spec):
        names = nothing_left.emptied
    known, left, emptied = await placed(world, claimant, rules, names)
    further = await claim(world, claimant, home, known.stores[len(rules.stores) :])
    claims.claimed += further.claimed
    claims.refused += further.refused
    claims.problem = claims.problem or further.problem
    known = entered(known, claims.unentered | further.unentered)
    # While anything is left, the ledger is searched each time.
    has_rows = spec is None or bool(left) or any(store.leaving for store in known.stores)
    return known, claims, left, None if spec is None or has_rows else NothingLeft(spec, emptied)


async def placed(
    world: World, claimant: Claimant, rules: Rules, names: Sequence[str] | None = None
) -> tuple[Rules, tuple[LeftStore, ...], tuple[str, ...]]:
    """``rules``, which have a definition, with the databases of the units and those that go on expiring: part of the plan,
    and asked before an object of a shared bucket goes. Beside them, what left the profile and is only counted (M10),
    and the names of what was emptied: not counted yet is not empty.

    The home stores are claimed first: only their ledger entries say which region is a further one. ``names``: of the emptied
    ones, where the ledger was searched since the spec changed and had nothing else; None: it is searched.
    """
    assert rules.definition is not None
    asked = (*rules.stores, *await _of_units(world, claimant, rules))
    found = await unasked_databases(world, claimant, asked, names)
    unasked = [entry for entry in found if not _is_given_up(entry)]
    emptied = tuple(entry.metadata.name for entry in found if _is_given_up(entry))
    categories = [category for category in rules.definition.categories if category.tables]
    # What lies in an archive that no category asks for any more goes on expiring there, also where none may be archived now.
    used = {category.database for category in categories} | ({ARCHIVE} if categories else set())
    leaving = (_leaving(entry) for entry in unasked if entry.spec.purpose in used)
    left = (
        LeftStore(entry.metadata.name, place_of(entry.spec).name, entry.status.overdue)
        for entry in unasked
        if entry.spec.purpose not in used
    )
    stores = (*asked, *leaving)
    return entered(replace(rules, stores=stores), set()), tuple(left), emptied


def entered(rules: Rules, unentered: AbstractSet[Place]) -> Rules:
    """``rules``, which have a definition, with the databases that the ledger knows: one that was never made holds no row, and
    nothing waits for it (M8, M10). ``unentered``: places without an entry."""
    assert rules.definition is not None
    known = (store.place for store in rules.stores if store.type == "PostgreSQL" and store.place not in unentered)
    return replace(rules, definition=rules.definition.placed_in(place.name for place in known))


def _is_given_up(entry: DataStore) -> bool:
    """Whether it was told that it is empty. Not before: a Job that is at work has it in its rules (``tell_stores``)."""
    return entry.status.empty is True and entry.status.phase == "Released"


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
