"""Requests of data subjects whose object is gone: what was not begun is taken back, and what was found goes on (T7).

The databases tell what is placed there, so nothing has to wait for a DataSubjectRequest that is deleted, and none is forgotten
that was deleted while no operator was there.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.ports.cluster import REQUEST
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.world import World


async def withdraw_requests(world: World, reference: PolicyRef, databases: Sequence[DatabaseResult]) -> None:
    """Takes back, in a policy's databases, what no object asks for any more."""
    pending = [(result, each) for result in databases if result.facts for each in result.facts.pending_requests]
    if not pending:
        return
    # Listed after the databases were read: an object is there before it is placed.
    objects = [found["metadata"] for found in await world.cluster.list(REQUEST, reference.namespace)]
    alive = {meta["uid"] for meta in objects if not meta.get("deletionTimestamp")}
    for result, request in pending:
        store = result.request
        if store is None or str(request) in alive:
            continue
        place = DatabasePlace(store.server, store.identity, store.namespace_uid)
        try:
            await world.call(place.server.host, world.stores.withdraw_request, place, request)
        except RetentionError as problem:
            result.problem = result.problem or problem
