"""A policy whose namespace is not served any more: its stores stay as they are, their debt is counted on (X4)."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ledger import Claimant
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cluster import STORE, Manifest
from tenant_retention.domain.ports.stores import DatabaseServer
from tenant_retention.domain.topology import WantedStore
from tenant_retention.reconcile.buckets import BucketResult
from tenant_retention.reconcile.caches import CacheResult
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.observing import count, newest_runs, night_of, observer
from tenant_retention.reconcile.placing import placed
from tenant_retention.reconcile.rules import Rules
from tenant_retention.reconcile.servers import Authorities, Servers
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World, parse

_LEFT = "left as it is while the namespace is not served"


async def count_unserved(
    world: World, authorities: Authorities, reference: PolicyRef, manifest: Manifest, rules: Rules
) -> list[Result]:
    """What the observers of the policy's databases read; a database that cannot be reached says so as its problem.

    Nothing in the namespace is read or written: logins and authority are kept in the operator's own.
    """
    if rules.policy is None:
        return []
    mode = Mode(rules.policy.mode)
    servers = Servers(world, authorities, reference, manifest)
    results: list[Result] = []
    if rules.definition is not None:
        rules, _, _ = await placed(world, Claimant(reference.namespace, "", reference.name, reference.uid), rules)
    for wanted in rules.stores:
        store = await _claimed(world, reference, wanted)
        if store is None:
            continue
        if wanted.type != "PostgreSQL":
            kind = CacheResult if wanted.type == "Redis" else BucketResult
            results.append(kind(store, warnings=(_LEFT,)))
            continue
        result = DatabaseResult(store, warnings=(_LEFT,))
        try:
            server = await servers.as_left(store.entry)
            assert isinstance(server, DatabaseServer)
            login = await observer(world, store.entry, reference, server)
            result.facts = await count(world, store.entry, login)
            result.runs = await newest_runs(world, login, result.facts, mode)
            result.night = night_of(result.runs, mode)
        except RetentionError as problem:
            result.problem = problem
        results.append(result)
    return results


async def _claimed(world: World, reference: PolicyRef, wanted: WantedStore) -> ClaimedStore | None:
    """The store, if the policy has it by the ledger."""
    place = wanted.place
    identity = StoreIdentity(
        world.installation, reference.namespace, reference.name, place.purpose, place.region, place.unit
    )
    found = await world.cluster.get(STORE, identity.store_id())
    if found is None:
        return None
    entry = parse(DataStore, found, Reason.STORE_CONFLICT)
    claim = entry.spec.claim_ref
    return ClaimedStore(wanted, identity, entry) if claim is not None and claim.uid == reference.uid else None
