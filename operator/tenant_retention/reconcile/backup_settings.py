"""What the classes of a policy's databases say of backups, as they say it now (T6)."""

from __future__ import annotations

from collections.abc import Mapping

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy
from tenant_retention.domain.backup_rules import BackupRules, agreed
from tenant_retention.domain.backups import Frequency
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.cluster import STORE, STORE_CLASS
from tenant_retention.domain.topology import WantedStore, wanted_stores
from tenant_retention.reconcile.world import World, parse


async def backup_rules(
    world: World, policy: TenantRetentionPolicy, needed: Mapping[str, str], before: BackupRules | None
) -> BackupRules | None:
    """What holds for the backups of a policy's databases at home. A class that is gone, or cannot be read, asks for what it
    asked for ``before``; a policy whose classes say nothing of backups, and never did, has none.
    ``needed``: the types of its stores at home, by purpose.

    Raises Invalid (ClassInvalid) where two of them say different things.
    """
    asked: dict[str, BackupRules] = {}
    for store in wanted_stores(needed, policy.spec):
        name = await _class_of(world, policy, store) if store.type == "PostgreSQL" else None
        if name is None or name in asked:
            continue
        try:
            found = await world.cluster.get(STORE_CLASS, name)
            backup = parse(DataStoreClass, found, Reason.CLASS_INVALID).spec.backup if found is not None else None
        except Invalid:
            found = backup = None
        if backup is not None:
            asked[name] = BackupRules(name, backup.keep, Frequency(backup.schedule))
        elif found is None and before is not None and before.class_name == name:
            asked[name] = before
    return agreed(asked, before)


async def _class_of(world: World, policy: TenantRetentionPolicy, store: WantedStore) -> str | None:
    """The class that a store was made from, or is going to be; None where that is not decided yet. Raises Invalid
    (StoreConflict) naming a ledger entry that cannot be read."""
    identity = StoreIdentity(world.installation, policy.metadata.namespace or "", policy.metadata.name, store.purpose)
    entry = await world.cluster.get(STORE, identity.store_id())
    if entry is not None:
        try:
            return parse(DataStore, entry, Reason.STORE_CONFLICT).spec.class_name
        except Invalid as broken:
            told = f"DataStore {entry['metadata']['name']}: {broken.message}"
            raise Invalid(told, reason=broken.reason, field=broken.field) from broken
    if store.request is not None and store.request.class_name is not None:
        return store.request.class_name
    classes = await world.cluster.list(STORE_CLASS)
    defaults = [
        found["metadata"]["name"]
        for found in classes
        if found["spec"].get("default") and found["spec"].get("type") == "PostgreSQL"
    ]
    return str(defaults[0]) if len(defaults) == 1 else None
