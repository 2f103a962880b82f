"""``Cluster`` over ``kubernetes.aio.dynamic``: server-side apply, whole replacement, merge patches, Events.

The typed ``*V1Api`` classes are not used (they cost 23 MiB and a second at start), nor is discovery: the kinds are known.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.resource import Resource

from tenant_retention.domain.errors import Forbidden, Invalid, NotReady, RetentionError, Unavailable
from tenant_retention.domain.ports.cluster import (
    EVENT,
    FIELD_MANAGER,
    REPLACED_WHOLE,
    STATEFUL_SET,
    Applied,
    Happening,
    Kind,
    Manifest,
    kind_of,
    replacement,
    revision,
)

_TIMEOUT_SECONDS = 30
_ATTEMPTS = 4
_LOG = logging.getLogger(__name__)


def error_of(problem: ApiException) -> RetentionError:
    """Translates the API server's answer into what the reader must do next."""
    message = f"Kubernetes API: {_told(problem).get('message') or problem.reason or 'error'} ({problem.status})"
    if problem.status == 403 and "being terminated" in message:
        return NotReady(message, reason="NamespaceTerminating")
    if problem.status in (404, 409, 410):
        return NotReady(message, reason="Unavailable")
    if problem.status in (400, 422):
        return Invalid(message, reason="ClassInvalid")
    if problem.status == 403:
        return Forbidden(message, reason="Unavailable")
    return Unavailable(message, reason="Unavailable")


def _told(problem: ApiException) -> Manifest:
    """The ``Status`` object of an answer; empty where the answer is none."""
    try:
        told = json.loads(problem.body or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


class KubernetesCluster:
    """The API server of the cluster that ``api`` is configured for; ``now`` is the clock of Events. ``field_manager``: who owns
    the fields that it writes. ``rehearse``: the server judges every write and keeps none (``dryRun: All``)."""

    def __init__(
        self,
        api: ApiClient,
        instance: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        field_manager: str = FIELD_MANAGER,
        rehearse: bool = False,
    ) -> None:
        self._dynamic: Any = DynamicClient(api)  # type: ignore[no-untyped-call]  # the package is partly typed
        self._instance = instance
        self._now = now
        self._writing = {"field_manager": field_manager, **({"dry_run": "All"} if rehearse else {})}

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """See ``Cluster.get``."""
        try:
            return await self._call("get", self._path(kind, name, namespace))
        except ApiException as problem:
            # Only an answer about this very object says that it is gone. A kind that is not served (its definition is being
            # replaced, an aggregated API is away) is no reason to release anything.
            if problem.status == 404 and (_told(problem).get("details") or {}).get("name") == name:
                return None
            raise error_of(problem) from problem

    async def list(self, kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        """See ``Cluster.list``; read in chunks of 500. A kind that the cluster does not know has no objects."""
        found: list[Manifest] = []
        token: str | None = None
        while True:
            try:
                page = await self._call(
                    "get", self._path(kind, None, namespace), label_selector=labels or None, limit=500, _continue=token
                )
            except ApiException as problem:
                raise error_of(problem) from problem
            for item in page.get("items", []):
                found.append({"apiVersion": kind.api_version, "kind": kind.name, **item})
            token = page.get("metadata", {}).get("continue")
            if not token:
                return tuple(found)

    async def serves(self, kind: Kind) -> bool:
        """See ``Cluster.serves``: every service account may read what a group has."""
        try:
            found = await self._call("get", f"/apis/{kind.api_version}")
        except ApiException as problem:
            if problem.status == 404:
                return False
            raise error_of(problem) from problem
        return any(resource.get("name") == kind.plural for resource in found.get("resources", ()))

    async def apply(self, manifest: Manifest) -> Applied:
        """See ``Cluster.apply``. ``changed`` compares generations where there are any: status moves the version too."""
        kind = kind_of(manifest)
        name, namespace = manifest["metadata"]["name"], manifest["metadata"].get("namespace")
        if kind.name in REPLACED_WHOLE:
            return await self._replace(kind, name, namespace, manifest)
        before = await self.get(kind, name, namespace)
        try:
            after = await self._call(
                "patch",
                self._path(kind, name, namespace),
                body=manifest,
                content_type="application/apply-patch+yaml",
                **self._writing,
                force_conflicts=True,
            )
        except ApiException as problem:
            if before is not None and _is_frozen(problem, before, manifest):
                return await self._make_anew(kind, before, manifest)
            raise error_of(problem) from problem
        return Applied(after, before is not None, before is None or revision(before) != revision(after))

    async def create(self, manifest: Manifest) -> Manifest | None:
        """See ``Cluster.create``."""
        kind = kind_of(manifest)
        try:
            return await self._call(
                "post",
                self._path(kind, None, manifest["metadata"].get("namespace")),
                body=manifest,
                **self._writing,
            )
        except ApiException as problem:
            if problem.status == 409:
                return None
            raise error_of(problem) from problem

    async def delete(self, kind: Kind, name: str, namespace: str | None = None, uid: str | None = None) -> bool:
        """See ``Cluster.delete``."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if "dry_run" in self._writing:
            options["dryRun"] = [self._writing["dry_run"]]
        try:
            await self._call("delete", self._path(kind, name, namespace), body=options)
        except ApiException as problem:
            if problem.status in (404, 409):
                return False
            raise error_of(problem) from problem
        return True

    async def merge(self, kind: Kind, name: str, namespace: str | None, patch: Manifest) -> Manifest | None:
        """See ``Cluster.merge``."""
        return await self._merge(self._path(kind, name, namespace), patch)

    async def patch_status(self, kind: Kind, name: str, namespace: str | None, status: Manifest) -> Manifest | None:
        """See ``Cluster.patch_status``."""
        return await self._merge(self._path(kind, name, namespace) + "/status", {"status": status})

    async def tell(self, happening: Happening) -> None:
        """See ``Cluster.tell``; Events of cluster-wide objects are kept in ``default``, as Kubernetes does."""
        meta = happening.regarding["metadata"]
        namespace = meta.get("namespace") or "default"
        event = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"name": f"{meta['name'][:230]}.{uuid4().hex[:16]}", "namespace": namespace},
            "eventTime": self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "tenantretention.io/operator",
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "reason": happening.reason,
            "type": happening.type,
            "note": happening.note[:1024],
            "regarding": {
                "apiVersion": happening.regarding["apiVersion"],
                "kind": happening.regarding["kind"],
                "name": meta["name"],
                "namespace": meta.get("namespace"),
                "uid": meta.get("uid"),
            },
        }
        told = {"event_reason": happening.reason, "object": happening.regarding["kind"], "name_": meta["name"]}
        _LOG.info(happening.note, extra={**told, "namespace": meta.get("namespace"), "uid": meta.get("uid")})
        try:
            await self.create(event)
        except RetentionError as problem:
            _LOG.warning(
                "an Event could not be told", extra={"event_reason": happening.reason, "problem": str(problem)}
            )

    async def _replace(self, kind: Kind, name: str, namespace: str | None, manifest: Manifest) -> Applied:
        for attempt in range(_ATTEMPTS):
            before = await self.get(kind, name, namespace)
            if before is None:
                created = await self.create(manifest)
                if created is not None:
                    return Applied(created, False, True)
                continue
            wanted = _without_empty_lists(replacement(before, manifest))
            wanted["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
            try:
                after = await self._call("put", self._path(kind, name, namespace), body=wanted, **self._writing)
            except ApiException as problem:
                if problem.status in (404, 409) and attempt + 1 < _ATTEMPTS:
                    continue
                if _is_frozen(problem, before, manifest):
                    return await self._make_anew(kind, before, manifest)
                raise error_of(problem) from problem
            return Applied(after, True, revision(before) != revision(after))
        raise NotReady(f"Kubernetes API: {kind.name} {name} keeps changing while it is written", reason="Unavailable")

    async def _make_anew(self, kind: Kind, before: Manifest, manifest: Manifest) -> Applied:
        """Deletes the object that cannot be changed any more, and makes it as it must be."""
        meta = before["metadata"]
        await self.delete(kind, meta["name"], meta.get("namespace"), meta["uid"])
        created = await self.create(manifest)
        if created is None:
            raise NotReady(f"Kubernetes API: {kind.name} {meta['name']} is still there", reason="Unavailable")
        return Applied(created, True, True)

    async def _merge(self, path: str, patch: Manifest) -> Manifest | None:
        try:
            return await self._call(
                "patch", path, body=patch, content_type="application/merge-patch+json", **self._writing
            )
        except ApiException as problem:
            if problem.status == 404:
                return None
            raise error_of(problem) from problem

    def _path(self, kind: Kind, name: str | None, namespace: str | None) -> str:
        resource: Any = Resource(  # type: ignore[no-untyped-call]  # the package is partly typed
            prefix="apis" if kind.group else "api",
            group=kind.group,
            api_version=kind.version,
            kind=kind.name,
            namespaced=kind.namespaced,
            name=kind.plural,
            client=self._dynamic,
        )
        return str(resource.path(name=name, namespace=namespace))

    async def _call(self, method: str, path: str, **arguments: Any) -> Manifest:
        try:
            answer = await self._dynamic.request(
                method,
                path,
                serializer=lambda _client, data: data,
                _request_timeout=_TIMEOUT_SECONDS,
                query_params=[],
                header_params={},
                **arguments,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise Unavailable(
                f"Kubernetes API does not answer: {type(problem).__name__}", reason="Unavailable"
            ) from problem
        return dict(answer)


def _is_frozen(problem: ApiException, before: Manifest, wanted: Manifest) -> bool:
    """Whether somebody made a Secret or ConfigMap of ours immutable, put one of another type in its place, or made a
    StatefulSet of our name with a selector or volumes that are not ours."""
    if problem.status != 422:
        return False
    if before["kind"] == STATEFUL_SET.name:
        causes = (_told(problem).get("details") or {}).get("causes") or ()
        return any((cause.get("reason"), cause.get("field")) == ("FieldValueForbidden", "spec") for cause in causes)
    return before.get("immutable") is True or before.get("type") != wanted.get("type", before.get("type"))


def _without_empty_lists(value: Any) -> Any:
    """An empty list is stored as none at all; sent again it would count as a change of the spec at every resync."""
    if isinstance(value, dict):
        return {name: _without_empty_lists(found) for name, found in value.items() if found != []}
    return [_without_empty_lists(found) for found in value] if isinstance(value, list) else value
