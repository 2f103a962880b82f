"""How the plugin reaches the cluster: by the user's kubeconfig, context and rights; it has none of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tenant_retention.api.v1alpha1.common import DNS_NAME_PATTERN
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.cluster import POLICY, Cluster, Kind, Manifest

Answer = TypeVar("Answer")
FIELD_MANAGER = "kubectl-retention"
"""Under which name the plugin changes fields of users' objects."""


@dataclass(frozen=True)
class Target:
    """Which cluster and namespace a command is for. ``namespace`` None: that of the context. ``rehearse``: the server judges
    every write and keeps none. Raises Invalid where both one namespace and all are asked for."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False
    rehearse: bool = False

    def __post_init__(self) -> None:
        if self.namespace is not None:
            if self.all_namespaces:
                raise Invalid("-n and -A: say one of them", reason="Usage", field="all-namespaces")
            refuse_no_name("--namespace", self.namespace)


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
        refuse_no_name(kind.name, name)
        found = await self.cluster.get(kind, name, self.home())
        if found is None:
            raise Invalid(
                f"{kind.name} {name} is not in namespace {self.home()}; kubectl get {kind.plural} -A lists all",
                reason="Usage",
            )
        return found

    async def create(self, wanted: Manifest) -> Manifest | None:
        """The object as the server stored it; None if one of that name is there. Raises Invalid if its namespace is not there,
        or is going."""
        try:
            return await self.cluster.create(wanted)
        except NotReady as problem:
            if not await self.cluster.serves(POLICY):
                raise
            raise Invalid(problem.message, reason="Usage", field="namespace") from problem

    def home(self) -> str:
        """The one namespace to work in. Raises Invalid where it is all of them."""
        if self.namespace is None:
            raise Invalid("-A: a name is of one namespace; say which with -n", reason="Usage", field="all-namespaces")
        return self.namespace


Reach = Callable[[Target], AbstractAsyncContextManager[Reached]]


class Conversation:
    """One connection for several questions to the cluster. Between them nothing runs: so a person can be asked in the middle,
    and Ctrl-C is heard then."""

    def __init__(self, runner: asyncio.Runner, reached: Reached) -> None:
        self._runner = runner
        self._reached = reached

    def __call__(self, act: Callable[[Reached], Awaitable[Answer]]) -> Answer:
        """What ``act`` says of the cluster. Raises NotReady where the operator is not installed, and on Ctrl-C."""
        try:
            return self._runner.run(self._tried(act))
        except KeyboardInterrupt as problem:
            raise NotReady("no longer waiting; what was begun goes on", reason="Unavailable") from problem

    async def _tried(self, act: Callable[[Reached], Awaitable[Answer]]) -> Answer:
        try:
            return await act(self._reached)
        except NotReady as problem:
            if await self._reached.cluster.serves(POLICY):
                raise
            raise NotReady(
                f"this cluster has no {POLICY.plural}: the operator is not installed there, or this is another context "
                "than you mean",
                reason="Unavailable",
            ) from problem


@dataclass(frozen=True)
class Session:
    """What a command needs of the world. ``pause``: waits so many seconds."""

    reach: Reach
    now: Callable[[], datetime]
    pause: Callable[[float], Awaitable[None]]

    @contextmanager
    def opened(self, target: Target) -> Iterator[Conversation]:
        """The cluster, left afterwards. Raises Invalid and Unavailable as ``reach``."""
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            reached = runner.run(stack.enter_async_context(self.reach(target)))
            try:
                yield Conversation(runner, reached)
            finally:
                runner.run(stack.aclose())

    def answer(self, target: Target, act: Callable[[Reached], Awaitable[Answer]]) -> Answer:
        """What ``act`` says of the cluster: a conversation of one question."""
        with self.opened(target) as ask:
            return ask(act)


@asynccontextmanager
async def reach(target: Target) -> AsyncIterator[Reached]:
    """The cluster of the user's kubeconfig. Raises Invalid where there is none, or no such context."""
    # Imported here: --help and completion of words need no client.
    from tenant_retention.adapters.kubernetes.client import KubernetesCluster
    from tenant_retention.adapters.kubernetes.session import api_client, chosen_context

    chosen = chosen_context(target.kubeconfig, target.context)
    async with api_client(target.kubeconfig, in_cluster=False, context=chosen.context) as api:
        cluster = KubernetesCluster(api, FIELD_MANAGER, field_manager=FIELD_MANAGER, rehearse=target.rehearse)
        yield Reached(cluster, None if target.all_namespaces else target.namespace or chosen.namespace)


def refuse_no_name(what: str, name: str) -> None:
    """Raises Invalid for what cannot be a name: it becomes part of an address, and would mean something else there."""
    if len(name) > 253 or not re.fullmatch(DNS_NAME_PATTERN, name):
        raise Invalid(f"{what}: {name!r} is no name of an object", reason="Usage", field="name")
