"""A reconcile as a process of its own over a world in a file: it makes some effects and then dies by SIGKILL.

``python -m tests.support.reconcile_process WORLD EFFECTS``: loads the world, reconciles until nothing changes; before the
effect after the last allowed one it kills itself, and nothing that was not yet in the file survives.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenant_retention.reconcile.dispatch import Reconcile
from tenant_retention.reconcile.world import StoreCalls
from tests.support.operator_world import NAMESPACE, Operator, namespace, policy, profile


class Inline(Executor):
    """Calls at once: one effect after the other, so that each one's world is whole."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished call."""
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as problem:  # noqa: BLE001  # handed to whoever waits
            done.set_exception(problem)
        return done


def save(operator: Operator, path: Path) -> None:
    """Writes the world, whole or not at all."""
    cluster, stores = operator.cluster, operator.stores
    world: dict[str, Any] = {
        "objects": cluster.objects,
        "applied": cluster._applied,
        "version": cluster._version,
        "databases": stores.databases,
        "buckets": stores.buckets,
        "keys": stores._keys,
        "drawn": operator._drawn,
    }
    draft = path.with_suffix(".draft")
    draft.write_bytes(pickle.dumps(world))
    draft.replace(path)


def load(path: Path) -> Operator:
    """A new process in the world of the file."""
    operator = Operator()
    world = pickle.loads(path.read_bytes())
    operator.cluster.objects, operator.cluster._applied = world["objects"], world["applied"]
    operator.cluster._version = world["version"]
    operator.stores.databases, operator.stores.buckets = world["databases"], world["buckets"]
    operator.stores._keys, operator._drawn = world["keys"], world["drawn"]
    return operator


def begin(path: Path) -> None:
    """A world with the shortest policy, before any operator has seen it."""
    retention = [{"category": "recordings", "keep": "P14D"}]
    save(Operator(namespace(NAMESPACE), profile(), policy(retention=retention)), path)


def main() -> None:
    """See the module's docstring."""
    path, allowed = Path(sys.argv[1]), int(sys.argv[2])
    operator = load(path)
    made = 0

    def effect(_: str) -> None:
        nonlocal made
        save(operator, path)
        if made == allowed:
            os.kill(os.getpid(), signal.SIGKILL)
        made += 1

    operator.effects = effect  # type: ignore[assignment]  # a counter that kills for real
    operator.cluster.on_effect = operator.stores.on_effect = effect
    operator.world = replace(operator.world, call=StoreCalls(Inline(), 1))
    operator.reconcile = Reconcile(operator.world)

    async def work() -> None:
        await operator.start()
        while True:
            before = made
            await operator.policy()
            if made == before:
                return

    asyncio.run(work())
    save(operator, path)
    print(operator.picture())


if __name__ == "__main__":
    main()
