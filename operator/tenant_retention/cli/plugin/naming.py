"""Names for completion: asked of the cluster with the words so far, quickly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import typer

from tenant_retention.cli.plugin.reaching import Reached, Session, Target
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.cluster import HOLD, POLICY

_DEADLINE_SECONDS = 3.0
"""A person waits for a key; a cluster that takes longer has no names."""


def policy_names(asked: typer.Context, incomplete: str) -> list[str]:
    """Policies of the namespace that begin so."""
    return _names(asked, incomplete, _policies)


def hold_names(asked: typer.Context, incomplete: str) -> list[str]:
    """Holds of the namespace that begin so and can be released: those not released yet, and those whose object is gone."""
    return _names(asked, incomplete, _holds)


async def _policies(reached: Reached) -> set[str]:
    return {each["metadata"]["name"] for each in await reached.cluster.list(POLICY, reached.home())}


async def _holds(reached: Reached) -> set[str]:
    found = {
        each["metadata"]["name"]
        for each in await reached.cluster.list(HOLD, reached.home())
        if "release" not in each["spec"]
    }
    for policy in await reached.cluster.list(POLICY, reached.home()):
        held = policy.get("status", {}).get("holds", ())
        found |= {each["name"] for each in held if each.get("objectMissing") and each.get("name")}
    return found


def _names(asked: typer.Context, incomplete: str, look: Callable[[Reached], Awaitable[set[str]]]) -> list[str]:
    session: Session = asked.find_root().obj
    given = asked.params

    async def found_there() -> set[str]:
        async with session.reach(target) as reached:
            return await look(reached)

    async def soon() -> set[str]:
        return await asyncio.wait_for(found_there(), _DEADLINE_SECONDS)

    try:
        target = Target(given.get("kubeconfig"), given.get("context"), given.get("namespace"))
        found = asyncio.run(soon())
    except (RetentionError, TimeoutError):
        # No kubeconfig, no answer, no rights: there are no names to offer, and the shell's line stays clean.
        return []
    return sorted(name for name in found if name.startswith(incomplete))
