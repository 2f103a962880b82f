"""A whole operator over fakes: cluster, stores, clock and entropy that a test holds in its hands."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from tenant_retention.adapters.fakes.cluster import FakeCluster
from tenant_retention.adapters.fakes.stores import FakeTenantStores
from tenant_retention.domain.manifests.inputs import Image, OperatorRef
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cluster import POLICY, STORE, Kind, Manifest
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.readiness import Measurements
from tenant_retention.reconcile.catalogue import make_default_classes
from tenant_retention.reconcile.dispatch import Reconcile
from tenant_retention.reconcile.world import Applier, Images, StoreCalls, World

NAMESPACE = "customer-acme"
OPERATOR = "tenant-retention"
START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROFILES = Path(__file__).parents[2] / "examples" / "profiles"


class Killed(BaseException):
    """The operator's process is gone: nothing may catch this."""


@dataclass
class Silent:
    """Metrics that nobody reads."""

    released: dict[str, int | None] = field(default_factory=dict)
    deadlines: dict[str, datetime | None] = field(default_factory=dict)
    successes: dict[str, datetime | None] = field(default_factory=dict)
    ready: dict[str, bool] = field(default_factory=dict)
    stores_ready: dict[str, bool | None] = field(default_factory=dict)
    measured: dict[str, Measurements | None] = field(default_factory=dict)
    requests: dict[str, Manifest] = field(default_factory=dict)

    def policy(self, namespace: str, name: str, status: Manifest, latest_success: datetime | None) -> None:
        """See ``Shown``."""
        self.successes[name] = latest_success
        self.ready[name] = any(
            (found["type"], found["status"]) == ("Ready", "True") for found in status.get("conditions", ())
        )

    def forget_policy(self, namespace: str, name: str) -> None:
        """See ``Shown``."""

    def released_store(self, store: str, overdue: int | None) -> None:
        """See ``Shown``."""
        self.released[store] = overdue

    def released_deadline(self, store: str, deadline: datetime | None) -> None:
        """See ``Shown``."""
        self.deadlines[store] = deadline

    def store_ready(self, namespace: str, policy: str, store: str, ready: bool | None) -> None:
        """See ``Shown``."""
        self.stores_ready[store] = ready

    def store_measured(self, namespace: str, policy: str, store: str, measured: Measurements | None) -> None:
        """See ``Shown``."""
        self.measured[store] = measured

    def request(self, namespace: str, name: str, status: Manifest) -> None:
        """See ``Shown``."""
        self.requests[name] = status


@dataclass
class Clock:
    """A clock that only a test moves."""

    now: datetime = START

    def __call__(self) -> datetime:
        """The time now, UTC."""
        return self.now

    def forward(self, by: timedelta) -> None:
        """Lets time pass."""
        self.now += by


class Counter:
    """Counts effects, and kills the process before the ``deadly``-th one."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.deadly: int | None = None

    def __call__(self, effect: str) -> None:
        """Called before every effect."""
        if self.deadly is not None and len(self.effects) >= self.deadly:
            raise Killed(effect)
        self.effects.append(effect)


def server_controllers(manifest: Manifest) -> None:
    """What a real cluster's controllers do: a StatefulSet gets ready."""
    if manifest["kind"] == "StatefulSet":
        manifest.setdefault("status", {})["readyReplicas"] = 1


def namespace(name: str, uid: str | None = None, **labels: str) -> Manifest:
    """A namespace; ``tenant=true`` unless a label says otherwise."""
    wanted = {"tenantretention.io/tenant": "true", **labels}
    meta: dict[str, Any] = {"name": name, "labels": {key: value for key, value in wanted.items() if value}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta | ({"uid": uid} if uid else {})}


def policy(name: str = "acme", where: str = NAMESPACE, profile: str = "puzzel-archive", **spec: Any) -> Manifest:
    """A policy as a user writes it."""
    return {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.name,
        "metadata": {"name": name, "namespace": where},
        "spec": {"profileRef": {"name": profile}, **spec},
    }


def profile(name: str = "puzzel-archive") -> Manifest:
    """One of the example profiles."""
    return dict(yaml.safe_load((PROFILES / f"{name}.yaml").read_text(encoding="utf-8")))


class Operator:
    """One installation over fakes. ``restart`` is a new process in the same world."""

    def __init__(self, *objects: Manifest) -> None:
        self.effects = Counter()
        self.clock = Clock()
        self.cluster = FakeCluster(
            (namespace(OPERATOR, uid="operator"), namespace("kube-system"), *copy.deepcopy(objects)),
            self.effects,
            server_controllers,
            self.clock,
        )
        self.stores = FakeTenantStores(self.effects)
        self.shown = Silent()
        self._drawn = 0
        self._pool = ThreadPoolExecutor(2)
        self.restart()

    def restart(self) -> None:
        """A new process: everything it only remembered is gone."""
        self.world = World(
            cluster=self.cluster,
            stores=self.stores,
            call=StoreCalls(self._pool, 2),
            applier=Applier(self.cluster),
            shown=self.shown,
            operator=OperatorRef(OPERATOR),
            images=Images(Image("job:1"), Image("postgres:1"), Image("weed:1")),
            installation="installation",
            embedded_classes=True,
            grace_seconds=600,
            resync_seconds=60,
            now=self.clock,
            entropy=self._entropy,
        )
        self.reconcile = Reconcile(self.world)

    async def start(self) -> None:
        """What the process does first."""
        await make_default_classes(self.world)

    async def policy(self, name: str = "acme", where: str = NAMESPACE) -> Manifest:
        """Reconciles a policy and returns it as it is then."""
        await self.reconcile(POLICY.name, where, name)
        found = await self.cluster.get(POLICY, name, where)
        return found or {}

    async def settled(self, name: str = "acme", where: str = NAMESPACE) -> Manifest:
        """Reconciles until nothing changes any more; fails after ten rounds."""
        for _ in range(10):
            before = len(self.effects.effects)
            found = await self.policy(name, where)
            for entry in await self.cluster.list(STORE):
                await self.reconcile(STORE.name, "", entry["metadata"]["name"])
            if len(self.effects.effects) == before:
                return found
        raise AssertionError(f"still changing: {self.effects.effects[-5:]}")

    def objects(self, kind: str, where: str | None = None) -> list[Manifest]:
        """All objects of a kind (in a namespace)."""
        return [
            found
            for (name, space, _), found in sorted(self.cluster.objects.items(), key=lambda item: str(item[0]))
            if name == kind and where in (None, space)
        ]

    async def edit(self, kind: Kind, name: str, where: str | None, change: Callable[[Manifest], None]) -> None:
        """What a user's ``kubectl edit`` does."""
        found = await self.cluster.get(kind, name, where)
        assert found is not None
        change(found)
        self.cluster.put(found)

    def told(self, reason: str) -> list[str]:
        """The notes of the Events with a reason."""
        return [event.note for event in self.cluster.events if event.reason == reason]

    def picture(self) -> str:
        """The world without what chance or time made: to compare two histories. Secrets are shown by their keys."""
        world = json.loads(self.cluster.world())
        for found in world.values():
            if found["kind"] == "Secret":
                found["data"] = sorted(found["data"])
            if found["kind"] == "StatefulSet":
                found["spec"]["template"]["metadata"]["annotations"] = {}
        databases = {
            name: (
                kept.namespace_uid,
                kept.policy_uid,
                kept.suspended,
                kept.definition.rules_digest() if kept.definition else None,
                sorted(kept.passwords),
            )
            for name, kept in sorted(self.stores.databases.items())
        }
        buckets = {
            name: (kept.namespace_uid, kept.policy_uid, sorted(kept.keys))
            for name, kept in sorted(self.stores.buckets.items())
        }
        return json.dumps([world, databases, buckets], sort_keys=True, indent=1, default=str)

    def _entropy(self, size: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(8, "big").rjust(size, b"x")[-size:]


def condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    """One condition of an object's status."""
    conditions: dict[str, dict[str, Any]] = {found["type"]: found for found in manifest["status"]["conditions"]}
    return conditions[kind]


def evidence(at: datetime, number: int = 1) -> RunEvidence:
    """What a run leaves that went well in everything it looked at; runs of one database have numbers of their own."""
    return RunEvidence(
        sequence=number,
        run_id=UUID(int=number),
        mode=Mode.ENFORCE,
        outcome="Succeeded",
        started_at=at,
        finished_at=at + timedelta(seconds=3),
        policy_generation=1,
        rules_digest="sha256:" + "0" * 64,
        categories=(),
        previous_digest="",
        digest="a" * 64,
    )


async def operator_with(*objects: Manifest) -> Operator:
    """An operator in a world with these objects, the puzzel profile and the tenant's namespace; started."""
    operator = Operator(namespace(NAMESPACE), profile(), *objects)
    await operator.start()
    # No wait: the tasks that it started have their first turn.
    await asyncio.sleep(0)
    return operator
