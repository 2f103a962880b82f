"""``Cluster`` in memory: enough of an API server for the reconcile's tests, and a place to die at every effect.

Server-side apply is kept as: what this manager set before and does not set now goes, what others added stays.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.ports.cluster import (
    NAMESPACE,
    REPLACED_WHOLE,
    Applied,
    Happening,
    Kind,
    Manifest,
    kind_of,
    replacement,
)

_Key = tuple[str, str | None, str]
_WITHOUT_GENERATION = frozenset(
    {"Secret", "ConfigMap", "Service", "RoleBinding", "Namespace", "Event", "ServiceAccount"}
)


FIRST_DAY = datetime(2026, 11, 1, tzinfo=UTC)
"""When everything was made in a cluster without a clock of its own."""


def ignore_effect(_effect: str) -> None:
    """The hook of a cluster in which nobody dies."""


class FakeCluster:
    """Objects by kind, namespace and name. ``on_effect`` is called before every write with what it is about to do;
    an exception from it leaves the world as it was. ``settle`` sees every written object and may set its status,
    as the controllers of a real cluster would. ``writes``: every request to write, also one that changed nothing."""

    def __init__(
        self,
        objects: Iterable[Manifest] = (),
        on_effect: Callable[[str], None] = ignore_effect,
        settle: Callable[[Manifest], None] | None = None,
        now: Callable[[], datetime] = lambda: FIRST_DAY,
    ) -> None:
        self.objects: dict[_Key, Manifest] = {}
        self.events: list[Happening] = []
        self.writes: list[str] = []
        self.on_effect = on_effect
        self.settle = settle
        self.now = now
        self.unserved: frozenset[str] = frozenset()
        """API groups whose definitions are not installed."""
        self._applied: dict[_Key, Manifest] = {}
        self._version = 0
        for manifest in objects:
            self._store(copy.deepcopy(manifest))

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """See ``Cluster.get``."""
        if kind.group in self.unserved:
            raise NotReady("Kubernetes API: 404 page not found (404)", reason="Unavailable")
        return copy.deepcopy(self.objects.get((kind.name, namespace if kind.namespaced else None, name)))

    async def serves(self, kind: Kind) -> bool:
        """See ``Cluster.serves``."""
        return kind.group not in self.unserved

    async def list(self, kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        """See ``Cluster.list``; ``labels`` knows ``key=value`` and ``key``, joined by commas."""
        return tuple(
            copy.deepcopy(found)
            for (name, where, _), found in sorted(self.objects.items(), key=lambda item: str(item[0]))
            if name == kind.name and namespace in (None, where) and _selected(found, labels)
        )

    async def apply(self, manifest: Manifest) -> Applied:
        """See ``Cluster.apply``."""
        key = self._key(manifest)
        self.writes.append(f"apply {key}")
        self._refuse_terminating(manifest, key)
        before = self.objects.get(key)
        wanted = copy.deepcopy(manifest)
        if before is None:
            after = wanted
        elif wanted["kind"] in REPLACED_WHOLE:
            kept = {} if _frozen_part(before) != _frozen_part(wanted) else _identity(before)
            after = replacement(before, wanted) if kept else wanted
            after["metadata"] |= kept
            if kept and "status" in before:
                after["status"] = before["status"]
        else:
            after = _merged(_without(before, self._applied.get(key, {}), wanted), wanted)
        changed = before is None or _content(before) != _content(after)
        if changed:
            self.on_effect(f"apply {key}")
            self._store(after)
        self._applied[key] = copy.deepcopy(manifest)
        return Applied(copy.deepcopy(self.objects[key]), before is not None, changed)

    async def create(self, manifest: Manifest) -> Manifest | None:
        """See ``Cluster.create``."""
        key = self._key(manifest)
        self.writes.append(f"create {key}")
        self._refuse_terminating(manifest, key)
        if key in self.objects:
            return None
        self.on_effect(f"create {key}")
        self._store(copy.deepcopy(manifest))
        return copy.deepcopy(self.objects[key])

    async def delete(self, kind: Kind, name: str, namespace: str | None = None, uid: str | None = None) -> bool:
        """See ``Cluster.delete``."""
        key = (kind.name, namespace if kind.namespaced else None, name)
        self.writes.append(f"delete {key}")
        found = self.objects.get(key)
        if found is None or (uid and found["metadata"].get("uid") != uid):
            return False
        self.on_effect(f"delete {key}")
        del self.objects[key]
        self._applied.pop(key, None)
        return True

    async def merge(self, kind: Kind, name: str, namespace: str | None, patch: Manifest) -> Manifest | None:
        """See ``Cluster.merge``."""
        return self._patch((kind.name, namespace if kind.namespaced else None, name), patch)

    async def patch_status(self, kind: Kind, name: str, namespace: str | None, status: Manifest) -> Manifest | None:
        """See ``Cluster.patch_status``."""
        return self._patch((kind.name, namespace if kind.namespaced else None, name), {"status": status})

    async def tell(self, happening: Happening) -> None:
        """See ``Cluster.tell``."""
        self.on_effect(f"tell {happening.reason}")
        self.events.append(happening)

    def put(self, manifest: Manifest) -> Manifest:
        """What a user's ``kubectl apply`` does: stores the object as it is, keeping UID and status."""
        key = self._key(manifest)
        before = self.objects.get(key)
        after = copy.deepcopy(manifest)
        if before is not None:
            after["metadata"] = {**after["metadata"], **_identity(before)}
            if "status" in before:
                after.setdefault("status", before["status"])
        self._store(after)
        return copy.deepcopy(self.objects[key])

    def remove(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """What a user's ``kubectl delete`` does."""
        del self.objects[(kind.name, namespace if kind.namespaced else None, name)]

    def world(self) -> str:
        """All objects without versions and clocks, to compare two histories of the same world."""
        return json.dumps(
            {"|".join(map(str, key)): _content(found) for key, found in self.objects.items()}, sort_keys=True, indent=1
        )

    def _patch(self, key: _Key, patch: Manifest) -> Manifest | None:
        self.writes.append(f"patch {key}")
        before = self.objects.get(key)
        if before is None:
            return None
        if patch.get("metadata", {}).get("uid", before["metadata"]["uid"]) != before["metadata"]["uid"]:
            raise NotReady("Precondition failed: UID in precondition is not that of the object", reason="Unavailable")
        after = _merged(before, patch)
        if after != before:
            self.on_effect(f"patch {key}")
            self._store(after)
        return copy.deepcopy(self.objects[key])

    def _key(self, manifest: Manifest) -> _Key:
        kind = kind_of(manifest)
        return (kind.name, manifest["metadata"]["namespace"] if kind.namespaced else None, manifest["metadata"]["name"])

    def _store(self, manifest: Manifest) -> None:
        key = self._key(manifest)
        before = self.objects.get(key)
        self._version += 1
        meta = manifest["metadata"]
        meta["resourceVersion"] = str(self._version)
        meta.setdefault("uid", f"00000000-0000-4000-8000-{self._version:012d}")
        meta.setdefault("creationTimestamp", self.now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if manifest["kind"] not in _WITHOUT_GENERATION:
            generation = before["metadata"].get("generation", 0) if before else 0
            moved = before is None or before.get("spec") != manifest.get("spec")
            meta["generation"] = generation + 1 if moved else generation
        self.objects[key] = manifest
        if self.settle is not None:
            self.settle(manifest)

    def _refuse_terminating(self, manifest: Manifest, key: _Key) -> None:
        namespace = key[1]
        if namespace is None:
            return
        home = self.objects.get((NAMESPACE.name, None, namespace))
        if home is None:
            raise NotReady(f'namespaces "{namespace}" not found', reason="Unavailable")
        if home["metadata"].get("deletionTimestamp") and key not in self.objects:
            raise NotReady(
                f"unable to create new content in namespace {namespace} because it is being terminated",
                reason="NamespaceTerminating",
            )


def _identity(manifest: Manifest) -> Manifest:
    kept = ("uid", "creationTimestamp", "finalizers", "deletionTimestamp", "generation")
    return {name: manifest["metadata"][name] for name in kept if name in manifest["metadata"]}


def _frozen_part(manifest: Manifest) -> list[Any]:
    """What the API server lets nobody change: an object in which it differs is made anew."""
    frozen = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
    return [manifest["spec"].get(name) for name in frozen] if manifest["kind"] == "StatefulSet" else []


def _content(manifest: Manifest) -> Manifest:
    found = copy.deepcopy(manifest)
    for name in ("resourceVersion", "uid", "generation", "creationTimestamp"):
        found["metadata"].pop(name, None)
    return found


def _merged(before: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    after = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = _merged(after.get(name), value)
    return after


def _without(before: Any, previous: Any, wanted: Any) -> Any:
    """``before`` without what this manager set in ``previous`` and no longer sets in ``wanted``."""
    if not isinstance(before, dict) or not isinstance(previous, dict) or not isinstance(wanted, dict):
        return copy.deepcopy(before)
    after = {}
    for name, value in before.items():
        if name in previous and name not in wanted and name not in ("apiVersion", "kind"):
            continue
        after[name] = _without(value, previous.get(name, {}), wanted.get(name, {})) if name in wanted else value
    return after


def _selected(manifest: Manifest, selector: str) -> bool:
    labels = manifest["metadata"].get("labels", {})
    for requirement in filter(None, selector.split(",")):
        name, equals, value = requirement.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True
