"""A reconcile in processes of its own over worlds in files: each makes some effects and then dies by SIGKILL.

``python -m tests.support.reconcile_process`` reads lines ``EFFECTS WORLD`` from standard input. For each it forks a process
that loads the world and reconciles until nothing changes; before the effect after the last allowed one that process kills
itself, and nothing that was not yet in the file survives. Answers one line of JSON each: ``status`` (the exit status), and
of a process that came to its end ``effects`` (how many it made) and ``picture``.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
import traceback
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


def live(path: Path, allowed: int) -> dict[str, Any]:
    """The whole life of one process."""
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
        for _ in range(20):
            before = made
            await operator.policy()
            if made == before:
                return
        raise AssertionError("still changing after 20 reconciles")

    asyncio.run(work())
    save(operator, path)
    return {"effects": made, "picture": operator.picture()}


def born(path: Path, allowed: int, answer: int) -> None:
    """What a forked process does; it never returns into its parent's code."""
    try:
        with open(answer, "w", encoding="utf-8") as pipe:
            json.dump(live(path, allowed), pipe)
    except BaseException:  # noqa: BLE001  # whatever it is: told by the exit status, and why in the log
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    """See the module's docstring."""
    for line in sys.stdin:
        allowed, path = line.rstrip("\n").split(" ", 1)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            born(Path(path), int(allowed), writing)
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"status": code, **(json.loads(told) if code == 0 else {})}), flush=True)


if __name__ == "__main__":
    main()
