"""Which reconcile a key belongs to: one level-triggered entry for create, update, resume, timer, child events, deletion."""

from __future__ import annotations

from datetime import timedelta

from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.cluster import HOLD, POLICY, PROFILE, REQUEST, RUN, STORE, STORE_CLASS
from tenant_retention.reconcile.catalogue import reconcile_class, reconcile_profile
from tenant_retention.reconcile.holds import HoldReconciler
from tenant_retention.reconcile.policy import PolicyReconciler
from tenant_retention.reconcile.released import StoreReconciler, release
from tenant_retention.reconcile.requests import RequestReconciler
from tenant_retention.reconcile.runs import RunReconciler
from tenant_retention.reconcile.servers import Authorities
from tenant_retention.reconcile.telling import tell_failure
from tenant_retention.reconcile.world import World

_KINDS = {kind.name: kind for kind in (POLICY, RUN, HOLD, REQUEST, STORE, PROFILE, STORE_CLASS)}


class Reconcile:
    """The reconcile of every kind over one world."""

    def __init__(self, world: World) -> None:
        authorities = Authorities()
        self._world = world
        self._policies = PolicyReconciler(world, authorities)
        self._stores = StoreReconciler(world, authorities)
        self._runs = RunReconciler(world, authorities)
        self._holds = HoldReconciler(world, authorities)
        self._requests = RequestReconciler(world, authorities)

    async def __call__(self, kind: str, namespace: str, name: str) -> timedelta | None:
        """Reconciles one object; when to look again, None: when something happens.

        Whatever is raised is in the object's status before it is raised: the caller logs it and tries again.
        """
        try:
            return await self._reconcile(kind, namespace, name)
        except Exception as problem:
            # Whatever it is: a status that went on saying Ready would be a lie. It is raised again below.
            try:
                await tell_failure(self._world, _KINDS[kind], namespace, name, problem)
            except RetentionError as silent:
                # Where the API server does not answer, nothing can be told; the first error is the one to log.
                problem.add_note(f"its status could not be written: {silent.message}")
            raise

    async def _reconcile(self, kind: str, namespace: str, name: str) -> timedelta | None:
        if kind == POLICY.name:
            return await self._policy(namespace, name)
        if kind == RUN.name:
            return await self._runs.reconcile(namespace, name)
        if kind == HOLD.name:
            return await self._holds.reconcile(namespace, name)
        if kind == REQUEST.name:
            return await self._requests.reconcile(namespace, name)
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
