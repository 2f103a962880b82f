"""What a reconcile works with: the ports, the settings, the clock. Given from outside; nothing here is made at import."""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, ParamSpec, Protocol, TypeVar

from pydantic import ValidationError

from tenant_retention.api.v1alpha1.common import ApiObject
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.manifests.inputs import Image, OperatorRef
from tenant_retention.domain.manifests.metadata import encoded
from tenant_retention.domain.ports.cluster import SECRET, Applied, Cluster, Happening, Kind, Manifest, kind_of, revision
from tenant_retention.domain.ports.stores import TenantStores
from tenant_retention.domain.readiness import Measurements

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Model = TypeVar("_Model", bound=ApiObject)
_POLICY_REASONS = {
    "spec.timeZone": Reason.TIME_ZONE_UNKNOWN,
    "spec.window.start": Reason.INVALID_DURATION,
    "spec.window.duration": Reason.INVALID_DURATION,
    "metadata.name": Reason.INVALID_NAME,
    "metadata.namespace": Reason.INVALID_NAME,
}
_KEEP_STEP = "write one whole number from 1 to 9999 and one unit, such as P30D, P6M or P1Y"
_NEXT_STEPS = {
    "spec.timeZone": "write an IANA name such as Europe/Amsterdam",
    "spec.window.start": "write hours and minutes such as 01:00",
    "spec.window.duration": "write whole hours from PT1H to PT24H",
}


class Shown(Protocol):
    """Where numbers are shown (``telemetry.Telemetry``)."""

    def policy(self, namespace: str, name: str, status: Manifest, latest_success: datetime | None) -> None:
        """Shows one policy."""

    def forget_policy(self, namespace: str, name: str) -> None:
        """Ends the series of a policy that is gone."""

    def released_store(self, store: str, overdue: int | None) -> None:
        """Shows the debt of a store that no policy has; None ends its series."""

    def released_deadline(self, store: str, deadline: datetime | None) -> None:
        """Shows when the oldest item of a store that no policy has must be gone; None ends the series."""

    def store_ready(self, namespace: str, policy: str, store: str, ready: bool | None) -> None:
        """Shows whether a store of a policy is ready; None ends its series."""

    def store_measured(self, namespace: str, policy: str, store: str, measured: Measurements | None) -> None:
        """Shows what was measured at a store; None ends its series."""

    def request(self, namespace: str, name: str, status: Manifest) -> None:
        """Shows one request of a data subject, as its status says; {}: it is gone."""


QUIET_SECONDS = 15.0
"""For how long a server that does not answer is not asked again: shorter than the wait before the next look at it."""
SLOW_SECONDS = 3.0
"""A failure that took less time holds nobody up."""


@dataclass
class _Backend:
    """One server: its turns, how many calls in a row ran into its silence, and what the last one of them said, when."""

    turns: asyncio.Semaphore
    silent: int = 0
    said: Unavailable | None = None
    at: float = 0.0


class StoreCalls:
    """Synchronous store calls from the event loop: in a bounded pool, and only so many at once against one server.

    A server that let as many calls in a row run into its silence as may call at once is asked by one call at a time; the
    others are told the same at once. Else the policies of one dead server would hold every worker, and the other tenants
    would wait for its timeouts.
    """

    def __init__(self, executor: Executor, per_backend: int, clock: Callable[[], float] = monotonic) -> None:
        self._executor = executor
        self._per_backend = per_backend
        self._clock = clock
        self._backends: dict[str, _Backend] = {}

    async def __call__(
        self,
        backend: str,
        function: Callable[_Arguments, _Result],
        *arguments: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _Result:
        """Calls ``function`` in the pool; ``backend`` names the server it talks to. Raises what it raises."""
        known = self._backends.setdefault(backend, _Backend(asyncio.Semaphore(self._per_backend)))
        self._refuse_silent(known)
        async with known.turns:
            # Once more: it may have fallen silent while this call waited for its turn.
            self._refuse_silent(known)
            began = self._clock()
            # While this call tries again, the others hear what was heard last.
            known.at = began if known.silent >= self._per_backend else known.at
            try:
                loop = asyncio.get_running_loop()
                result = await loop.run_in_executor(self._executor, lambda: function(*arguments, **named))
            except Unavailable as problem:
                slow = self._clock() - began >= SLOW_SECONDS
                known.silent, known.said, known.at = known.silent + 1 if slow else 0, problem, self._clock()
                raise
            except Exception:
                # Whatever else it said, it answered: the backend is not silent. The error goes on to the caller.
                known.silent = 0
                raise
            known.silent = 0
            return result

    def _refuse_silent(self, known: _Backend) -> None:
        quiet = self._clock() - known.at < QUIET_SECONDS
        if known.said is not None and quiet and known.silent >= self._per_backend:
            raise Unavailable(known.said.message, reason=known.said.reason)


@dataclass(frozen=True)
class _Made:
    """An object as this process made it: for whom, by which manifest (digest), and what it looked like afterwards."""

    owner: tuple[str, str]
    wanted: str
    revision: tuple[Any, ...]


class Applier:
    """Applies objects and notices drift: what this process has made so before, and finds changed, is told once.

    What is still as this process left it is read, but not written again. A new process writes everything once: that an
    object looks right by the fields that we set says nothing about those that somebody added.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._made: dict[tuple[str, str, str], _Made] = {}

    async def apply(self, manifest: Manifest, regarding: Manifest) -> Applied:
        """Makes ``manifest`` so. ``regarding``: the object whose Events tell of drift."""
        meta = manifest["metadata"]
        key = (manifest["kind"], meta.get("namespace", ""), meta["name"])
        wanted = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        made = self._made.get(key)
        touched = False
        if made is not None:
            found = await self._cluster.get(kind_of(manifest), meta["name"], meta.get("namespace"))
            touched = found is None or revision(found) != made.revision
            if found is not None and not touched and made.wanted == wanted:
                return Applied(found, True, False)
        applied = await self._cluster.apply(manifest)
        owner = (regarding["metadata"].get("namespace", ""), regarding["metadata"]["name"])
        self._made[key] = _Made(owner, wanted, revision(applied.manifest))
        if applied.changed and touched:
            how = "changed by hand and is" if applied.existed else "deleted by hand and has been"
            note = f"{manifest['kind']} {meta['name']} was {how} put right"
            await self._cluster.tell(Happening(regarding, "DriftRepaired", note, "Warning"))
        return applied

    async def remove(self, kind: Kind, name: str, namespace: str) -> None:
        """Deletes an object that is wanted no more; making it again later repairs no drift."""
        self._made.pop((kind.name, namespace, name), None)
        if await self._cluster.get(kind, name, namespace) is not None:
            await self._cluster.delete(kind, name, namespace)

    def forget(self, namespace: str, policy: str) -> None:
        """Forgets what was made for a policy that is gone."""
        for key in [key for key, made in self._made.items() if made.owner == (namespace, policy)]:
            del self._made[key]


@dataclass(frozen=True)
class Images:
    """What embedded servers and jobs are run from where the class names nothing else."""

    job: Image
    postgresql: Image
    seaweedfs: Image


@dataclass(frozen=True)
class World:
    """The operator's whole surroundings. ``entropy``: so many unguessable bytes; ``grace_seconds``: how late a scheduled
    run may be; ``resync_seconds``: how often everything is looked at again; ``cloudnativepg_namespace``: where its operator
    runs."""

    cluster: Cluster
    stores: TenantStores
    call: StoreCalls
    applier: Applier
    shown: Shown
    operator: OperatorRef
    images: Images
    installation: str
    embedded_classes: bool
    grace_seconds: float
    resync_seconds: float
    now: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    cloudnativepg_namespace: str = "cnpg-system"

    def new_password(self) -> str:
        """A fresh password of 256 bits: letters, digits, ``-`` and ``_``."""
        return urlsafe_b64encode(self.entropy(32)).decode().rstrip("=")


def parse(model: type[_Model], manifest: Manifest, reason: str) -> _Model:
    """The object as its model. Raises Invalid naming the first field that is wrong, for what got past the CRD's schema."""
    try:
        return model.from_object(manifest)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{field}: {first['msg']}; {_next_step(field)}", reason=reason, field=field) from problem


def _next_step(field: str) -> str:
    return (
        _KEEP_STEP
        if field.endswith((".keep", ".anonymizeAfter", ".archiveAfter"))
        else _NEXT_STEPS.get(field, "correct it")
    )


def parse_policy(manifest: Manifest) -> TenantRetentionPolicy:
    """A policy as its model. Raises Invalid as ``parse`` does, with the reason that belongs to the field."""
    try:
        return parse(TenantRetentionPolicy, manifest, Reason.SPEC_INVALID)
    except Invalid as problem:
        field = problem.field or ""
        known = _POLICY_REASONS.get(field, Reason(problem.reason))
        reason = Reason.INVALID_DURATION if field.endswith((".keep", ".anonymizeAfter", ".archiveAfter")) else known
        raise Invalid(problem.message, reason=reason, field=field) from problem


def secret_values(secret: Manifest | None) -> dict[str, str]:
    """A Secret's values as text; what is not text is left out."""
    values: dict[str, str] = {}
    for key, value in ((secret or {}).get("data") or {}).items():
        try:
            values[key] = b64decode(value).decode()
        except ValueError:
            continue
    return values


def usable_password(text: str | None) -> str | None:
    """A password that every client and server takes alike: printable ASCII; None for one that somebody broke."""
    return text if text and text.isascii() and text.isprintable() else None


async def kept_secret(
    world: World, wanted: Manifest, fresh: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    """The values of a Secret in the operator's namespace, completed by ``fresh`` and written before anybody uses them.

    ``fresh`` takes what is there and returns what must be there; nothing that is there and good is made anew.
    """
    meta = wanted["metadata"]
    found = await world.cluster.get(SECRET, meta["name"], meta["namespace"])
    known = secret_values(found)
    values = fresh(dict(known))
    if found is None or values != known:
        await world.cluster.apply({**wanted, "data": encoded(values)})
    return values


def conditions_of(manifest: Manifest) -> list[dict[str, Any]]:
    """The conditions of an object's status; empty without one."""
    return list((manifest.get("status") or {}).get("conditions") or ())
