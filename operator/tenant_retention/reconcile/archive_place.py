"""Whether a policy's archive is a database or a bucket with files: the class says it, and once there is one the ledger (D3)."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy
from tenant_retention.domain.archive_rules import DATABASE, FILES, has_archive
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.ledger import Claimant, Standing, standing
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.cluster import STORE, STORE_CLASS
from tenant_retention.reconcile.world import World, parse


async def archive_type(world: World, claimant: Claimant, policy: TenantRetentionPolicy) -> str:
    """``S3`` where the archive is a bucket, also one that nothing moves to any more: its files go on expiring; else ``PostgreSQL``.

    Raises Invalid (StoreConflict) for a ledger entry that cannot be read.
    """
    identity = StoreIdentity(world.installation, claimant.namespace, claimant.policy, ARCHIVE)
    entry = await world.cluster.get(STORE, identity.store_id())
    if entry is not None:
        spec = parse(DataStore, entry, Reason.STORE_CONFLICT).spec
        # One that an earlier policy of this name left is none of this one's, unless it asks for an archive.
        mine = has_archive(policy.spec) or standing(spec, claimant) is Standing.BOUND
        return spec.type if mine else DATABASE
    request = next((each for each in policy.spec.stores if each.purpose == ARCHIVE), None)
    if not has_archive(policy.spec) or request is None or request.class_name is None:
        return DATABASE
    chosen = await world.cluster.get(STORE_CLASS, request.class_name)
    return FILES if chosen is not None and chosen["spec"].get("type") == FILES else DATABASE
