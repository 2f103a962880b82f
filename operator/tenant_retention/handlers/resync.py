"""The resync loop: everything is looked at again, jittered, and the ledger is compared with the live policies (X5).

At start it is what finds the policies that went while no operator was there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.cluster import (
    HOLD,
    POLICY,
    PROFILE,
    REQUEST,
    RUN,
    STORE,
    STORE_CLASS,
    Cluster,
    Kind,
    Manifest,
)
from tenant_retention.handlers.queue import Key, WorkQueue
from tenant_retention.handlers.seen import Seen
from tenant_retention.telemetry import Health

LOOP = "resync"
WATCH = "watch"
_LOG = logging.getLogger(__name__)
_KINDS = (POLICY, RUN, HOLD, REQUEST, PROFILE, STORE_CLASS, STORE)


class Resync:
    """Feeds the work queue from lists. ``spread``: 0 to 1, a draw for each object, so that they do not come all at once."""

    def __init__(
        self,
        cluster: Cluster,
        queue: WorkQueue,
        seen: Seen,
        health: Health,
        *,
        interval: float,
        namespaces: tuple[str, ...],
        spread: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._queue = queue
        self._seen = seen
        self._health = health
        self._interval = interval
        self._namespaces = frozenset(namespaces)
        self._spread = spread

    async def run(self) -> None:
        """Turns until cancelled; a round that fails is logged and the next one tries again."""
        first = True
        while True:
            try:
                await self.turn(at_once=first)
                first = False
                self._health.ready = True
                self._health.beat(LOOP, 3 * self._interval + 120)
            except RetentionError as problem:
                _LOG.warning("a resync round failed and is tried again", extra={"problem": problem.message})
            await asyncio.sleep(self._interval if not first else 2.0)

    async def turn(self, *, at_once: bool) -> None:
        """One round. ``at_once``: without jitter, for the first one after a start."""
        listed: dict[str, tuple[Manifest, ...]] = {}
        for kind in _KINDS:
            listed[kind.name] = tuple(found for found in await self._cluster.list(kind) if self._is_served(kind, found))
            for found in listed[kind.name]:
                self._ask(kind, found["metadata"].get("namespace", ""), found["metadata"]["name"], at_once=at_once)
        live = {(found["metadata"]["namespace"], found["metadata"]["name"]) for found in listed[POLICY.name]}
        for entry in listed[STORE.name]:
            claim = (entry.get("spec") or {}).get("claimRef")
            if claim is not None and (claim["namespace"], claim["name"]) not in live:
                self._ask(POLICY, claim["namespace"], claim["name"], at_once=at_once)
        lags = not at_once and self._seen.watch_lags(listed[POLICY.name])
        self._health.complain(WATCH, "policies that a list shows do not arrive" if lags else None)

    def _ask(self, kind: Kind, namespace: str, name: str, *, at_once: bool) -> None:
        delay = 0.0 if at_once else self._spread() * self._interval / 2
        self._queue.add_routine(Key(kind.name, namespace, name), delay)

    def _is_served(self, kind: Kind, found: Manifest) -> bool:
        if not self._namespaces:
            return True
        if kind is STORE:
            return (found.get("spec") or {}).get("namespace") in self._namespaces
        return not kind.namespaced or found["metadata"]["namespace"] in self._namespaces
