"""Brings the key of method Hash from one database of a policy to the others (P12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.hash_keys import APART, plan_hash_keys
from tenant_retention.domain.names import Place
from tenant_retention.domain.ports.stores import DatabaseRequest
from tenant_retention.reconcile.databases import DatabaseResult
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World


async def share_hash_key(world: World, results: Sequence[Result]) -> None:
    """What stands in the way is in the results. A policy with one database has nothing to share: its night makes the key.

    A database whose night came before, while the others were away, has made one itself: what has to lose the person does not
    wait for a key.
    """
    databases = [each for each in results if isinstance(each, DatabaseResult)]
    if len(databases) < 2:
        return
    databases.sort(key=lambda each: each.store.wanted.place != Place(each.store.wanted.purpose))
    known = {each.request.name: each for each in databases if each.request is not None and each.hash_key is not None}
    states = {name: each.hash_key for name, each in known.items() if each.hash_key is not None}
    # What was never made has no key: a region whose server never answered must not keep the others from having one.
    made = [each for each in databases if each.store.entry.status.phase in ("Bound", "Released")]
    plan = plan_hash_keys(states, whole=all(each.hash_key is not None for each in made))
    for name in plan.apart:
        assert plan.first is not None
        first = known[plan.first].store.wanted.place.name
        known[name].warnings = (*known[name].warnings, APART.format(first=first))
    for name in plan.destroy:
        await _attempt(world, known[name], world.stores.destroy_hash_key)
    if plan.source is None:
        return
    source = known[plan.source]
    if await _attempt(world, source, lambda request: world.stores.share_hash_key(request, [])):
        for name in plan.targets:
            await _attempt(world, known[name], partial(_share, world, source))


def _share(world: World, source: DatabaseResult, target: DatabaseRequest) -> None:
    assert source.request is not None
    world.stores.share_hash_key(source.request, [target])


async def _attempt(world: World, result: DatabaseResult, act: Callable[[DatabaseRequest], None]) -> bool:
    """Whether it was done; what stands in the way is this database's problem."""
    assert result.request is not None
    try:
        await world.call(result.request.server.host, act, result.request)
    except RetentionError as problem:
        result.problem = result.problem or problem
        return False
    return True
