"""Which reconcile a key belongs to: one level-triggered entry for create, update, resume, timer, child events, deletion."""

from __future__ import annotations

from datetime import timedelta

from tenant_retention.domain.ports.cluster import POLICY, PROFILE, RUN, STORE, STORE_CLASS
from tenant_retention.reconcile.catalogue import reconcile_class, reconcile_profile
from tenant_retention.reconcile.policy import PolicyReconciler
from tenant_retention.reconcile.released import StoreReconciler, release
from tenant_retention.reconcile.runs import RunReconciler
from tenant_retention.reconcile.servers import Authorities
from tenant_retention.reconcile.world import World


class Reconcile:
    """The reconcile of every kind over one world."""

    def __init__(self, world: World) -> None:
        authorities = Authorities()
        self._world = world
        self._policies = PolicyReconciler(world, authorities)
        self._stores = StoreReconciler(world, authorities)
        self._runs = RunReconciler(world, authorities)

    async def __call__(self, kind: str, namespace: str, name: str) -> timedelta | None:
        """Reconciles one object; when to look again, None: when something happens."""
        if kind == POLICY.name:
            return await self._policy(namespace, name)
        if kind == RUN.name:
            return await self._runs.reconcile(namespace, name)
        if kind == STORE.name:
            return await self._stores.reconcile(name)
        if kind == PROFILE.name:
            return await reconcile_profile(self._world, name)
        if kind == STORE_CLASS.name:
            return await reconcile_class(self._world, name)
        raise KeyError(kind)

    async def _policy(self, namespace: str, name: str) -> timedelta | None:
        manifest = await self._world.cluster.get(POLICY, name, namespace)
        if manifest is None or manifest["metadata"].get("deletionTimestamp"):
            self._policies.forget(namespace, name)
            self._world.applier.forget(namespace, name)
            await release(self._world, namespace, name)
            return None
        return await self._policies.reconcile(manifest)
