"""What a Job that somebody asked for works on: a policy as it stands, its rules and its stores."""

from __future__ import annotations

from dataclasses import dataclass

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy
from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.ledger import Claimant, Standing, standing
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.ports.cluster import STORE, Manifest
from tenant_retention.reconcile.claims import ClaimedStore, identity_for
from tenant_retention.reconcile.placing import entered, placed
from tenant_retention.reconcile.rules import read_policy, resolve
from tenant_retention.reconcile.tenancy import Home, look_home
from tenant_retention.reconcile.world import World, parse


@dataclass(frozen=True)
class Scene:
    """All of it."""

    policy: TenantRetentionPolicy
    manifest: Manifest
    reference: PolicyRef
    home: Home
    definition: RetentionDefinition
    stores: tuple[ClaimedStore, ...]


async def scene_of(world: World, manifest: Manifest, *, settled: bool) -> Scene:
    """The scene of a policy. ``settled``: its databases must hold its rules of now. Raises NotReady until it is so."""
    meta = manifest["metadata"]
    name = meta["name"]
    reference = PolicyRef(meta["namespace"], name, meta.get("uid") or "")
    policy, unreadable = await read_policy(world, reference, manifest)
    home = await look_home(world, reference.namespace)
    rules = await resolve(world, reference, policy, home, unreadable)
    if rules.definition is None:
        raise NotReady(
            f"policy {name} has no rules yet: {rules.problem.message if rules.problem else 'waiting'}",
            reason=Reason.PENDING,
        )
    claimant = Claimant(reference.namespace, home.uid, name, reference.uid)
    rules, _, _ = await placed(world, claimant, rules)
    # The bucket of the backups is no store of a run.
    asked = [wanted for wanted in rules.stores if wanted.purpose != BACKUPS]
    entries = {}
    for wanted in asked:
        found = await world.cluster.get(STORE, identity_for(world, claimant, wanted.place).store_id())
        entries[wanted.place] = parse(DataStore, found, Reason.STORE_CONFLICT) if found is not None else None
    rules = entered(rules, {place for place, entry in entries.items() if entry is None})
    assert rules.definition is not None
    told = manifest.get("status") or {}
    written = (told.get("observedGeneration"), (told.get("enforced") or {}).get("rulesDigest"))
    if settled and written != (policy.metadata.generation, rules.definition.rules_digest()):
        # A plan for rules that the databases do not hold yet would only be refused there, and the run end as failed.
        raise NotReady(f"the stores do not hold the rules of policy {name} yet", reason=Reason.PENDING)
    stores = []
    for wanted in asked:
        identity, entry = identity_for(world, claimant, wanted.place), entries[wanted.place]
        if entry is None and wanted.type == "PostgreSQL":
            # As in the night: a database that was never made has no rows.
            continue
        if entry is None or standing(entry.spec, claimant) is not Standing.BOUND or entry.status.phase != "Bound":
            raise NotReady(f"the {wanted.place.name} store of policy {name} is not ready yet", reason=Reason.PENDING)
        stores.append(ClaimedStore(wanted, identity, entry))
    return Scene(policy, manifest, reference, home, rules.definition, tuple(stores))
