"""How the plugin reaches the cluster: by the user's kubeconfig, context and rights; it has none of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.cluster import POLICY, Cluster, Kind, Manifest

Answer = TypeVar("Answer")
FIELD_MANAGER = "kubectl-retention"
"""Under which name the plugin changes fields of users' objects."""


@dataclass(frozen=True)
class Target:
    """Which cluster and namespace a command is for. ``namespace`` None: that of the context. ``rehearse``: the server judges
    every write and keeps none."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False
    rehearse: bool = False


@dataclass(frozen=True)
class Reached:
    """The cluster, and the namespace to work in; None: all of them."""

    cluster: Cluster
    namespace: str | None

    async def policies(self, name: str | None = None) -> tuple[Manifest, ...]:
        """All policies there, or the one called ``name``. Raises Invalid if that is not there."""
        if name is None:
            return await self.cluster.list(POLICY, self.namespace)
        return (await self.one(POLICY, name),)

    async def one(self, kind: Kind, name: str) -> Manifest:
        """The object of that name. Raises Invalid if it is not there, or if no single namespace was named."""
        found = await self.cluster.get(kind, name, self.home())
        if found is None:
            raise Invalid(
                f"{kind.name} {name} is not in namespace {self.home()}; kubectl get {kind.plural} -A lists all",
                reason="Usage",
            )
        return found

    def home(self) -> str:
        """The one namespace to work in. Raises Invalid where it is all of them."""
        if self.namespace is None:
            raise Invalid("-A: with a name, say its namespace with -n", reason="Usage", field="all-namespaces")
        return self.namespace


Reach = Callable[[Target], AbstractAsyncContextManager[Reached]]


@dataclass(frozen=True)
class Session:
    """What a command needs of the world. ``pause``: waits so many seconds."""

    reach: Reach
    now: Callable[[], datetime]
    pause: Callable[[float], Awaitable[None]]

    def answer(self, target: Target, act: Callable[[Reached], Awaitable[Answer]]) -> Answer:
        """What ``act`` says of the cluster, which is left afterwards."""

        async def go() -> Answer:
            async with self.reach(target) as reached:
                return await act(reached)

        return asyncio.run(go())


@asynccontextmanager
async def reach(target: Target) -> AsyncIterator[Reached]:
    """The cluster of the user's kubeconfig. Raises Invalid where there is none, or no such context."""
    # Imported here: --help and completion need no client.
    from kubernetes.aio.client import ApiClient

    from tenant_retention.adapters.kubernetes.client import KubernetesCluster
    from tenant_retention.adapters.kubernetes.session import api_client, context_namespace

    namespace = context_namespace(target.kubeconfig, target.context)
    api: ApiClient
    async with api_client(target.kubeconfig, in_cluster=False, context=target.context) as api:
        cluster = KubernetesCluster(api, FIELD_MANAGER, field_manager=FIELD_MANAGER, rehearse=target.rehearse)
        yield Reached(cluster, None if target.all_namespaces else target.namespace or namespace)
