"""Which stores a policy works on now: those that it asks for, and those that it left with rows in them (D2, D3)."""

from __future__ import annotations

from dataclasses import replace

from tenant_retention.domain.ledger import Claimant
from tenant_retention.reconcile.claims import leaving_stores
from tenant_retention.reconcile.rules import Rules
from tenant_retention.reconcile.world import World


async def with_leaving(world: World, claimant: Claimant, rules: Rules) -> Rules:
    """``rules``, which have a definition, with the databases that go on expiring: part of the plan, and asked before an
    object of a shared bucket goes."""
    assert rules.definition is not None
    stores = (*rules.stores, *await leaving_stores(world, claimant, rules.stores, rules.definition))
    names = (store.purpose for store in stores if store.type == "PostgreSQL")
    return replace(rules, stores=stores, definition=rules.definition.placed_in(names))
