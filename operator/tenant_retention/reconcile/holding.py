"""Legal holds before a policy's nights: a database that came new, or back, has them before any run can reach it (X3).

A LegalHold's own reconcile places it and tells of it; but nobody says which of the two looks first, and a missed night is made up
for, and a backup restored, as soon as the database is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.legalhold import LegalHold
from tenant_retention.domain.chosen_policies import concerns
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.holds import wanted_hold
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.ports.cluster import HOLD, Manifest
from tenant_retention.domain.ports.holds import WantedHold
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.held_persons import identifiers_of, subject_in
from tenant_retention.reconcile.world import World, parse


async def hold_before_nights(
    world: World, reference: PolicyRef, policy: Manifest, databases: Sequence[DatabaseResult]
) -> None:
    """Places what a database does not know yet by name; one that cannot take it is not as wanted, so no night is made up for."""
    for manifest in await world.cluster.list(HOLD, reference.namespace):
        hold = parse(LegalHold, manifest, Reason.SPEC_INVALID)
        if hold.spec.release is not None or not concerns(hold.spec.policy_refs, reference.name):
            continue
        without = [
            result
            for result in databases
            if result.facts is not None and all(kept.name != hold.metadata.name for kept in result.facts.holds)
        ]
        if not without:
            continue
        try:
            identifiers = await identifiers_of(world, hold, reference.namespace)
            wanted = wanted_hold(hold, await subject_in(world, reference, policy, identifiers))
        except RetentionError as problem:
            for result in without:
                result.problem = result.problem or problem
            continue
        for result in without:
            try:
                await _place(world, wanted, result)
            except RetentionError as problem:
                result.problem = result.problem or problem


async def _place(world: World, wanted: WantedHold, result: DatabaseResult) -> None:
    request = result.request
    assert request is not None, "who read its facts asked for it"
    place = DatabasePlace(request.server, request.identity, request.namespace_uid)
    await world.call(place.server.host, world.stores.place_hold, place, wanted)
