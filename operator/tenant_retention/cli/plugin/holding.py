"""``kubectl retention hold`` and ``release``: a LegalHold is made and awaited; its one-way release is set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from tenant_retention.api.v1alpha1.common import API_VERSION
from tenant_retention.api.v1alpha1.legalhold import LegalHoldSpec
from tenant_retention.cli.plugin.policies import condition
from tenant_retention.cli.plugin.reaching import Reached, Session, refuse_no_name
from tenant_retention.cli.plugin.waiting import Waiting, wait_for
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.cluster import HOLD, POLICY, Manifest

_POLL_SECONDS = 0.5


def wanted_hold(
    name: str,
    namespace: str,
    reference: str,
    *,
    policies: Sequence[str] = (),
    sessions: Sequence[str] = (),
    categories: Sequence[str] = (),
    units: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    secret: str | None = None,
) -> Manifest:
    """The LegalHold of these selectors; ``secret`` says whose rows. Raises Invalid naming the field that cannot be."""
    select: dict[str, Any] = {
        key: value
        for key, value in (
            ("sessions", list(sessions)),
            ("categories", list(categories)),
            ("units", list(units)),
            ("from", since),
            ("to", until),
        )
        if value
    }
    if not select and secret is None:
        raise Invalid(
            "select something: --session, --category, --unit, --from, --to or --secret",
            reason="Usage",
            field="spec.select",
        )
    spec: dict[str, Any] = {"reference": reference}
    spec |= {"select": select} if select else {}
    spec |= {"subject": {"secretRef": {"name": secret}}} if secret is not None else {}
    if policies:
        spec["policyRefs"] = [{"name": policy} for policy in policies]
    try:
        LegalHoldSpec.from_object(spec)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in ("spec", *first["loc"]))
        raise Invalid(f"{field}: {first['msg']}", reason="Usage", field=field) from problem
    return _hold(name, namespace, spec)


async def place(reached: Reached, wanted: Manifest) -> Manifest:
    """The hold as the server stored it. Raises Invalid where one of that name is there: a hold is never changed."""
    made = await reached.create(wanted)
    if made is None:
        raise Invalid(
            f"LegalHold {wanted['metadata']['name']} is there already, and a hold is never changed; take another name",
            reason="Usage",
            field="metadata.name",
        )
    return made


async def releasable(reached: Reached, name: str) -> Manifest:
    """The hold of that name; for one whose object was deleted the object that releases it, without the reason. Raises Invalid
    if there is no such hold, or it is released already."""
    refuse_no_name(HOLD.name, name)
    namespace = reached.home()
    found = await reached.cluster.get(HOLD, name, namespace)
    if found is None:
        return await _without_object(reached, name, namespace)
    if given := found["spec"].get("release"):
        raise Invalid(f"LegalHold {name} was released before: {given['reason']}", reason="Usage")
    return found


async def release(reached: Reached, hold: Manifest, reason: str) -> Manifest:
    """Sets the release of exactly this hold, as ``releasable`` found it. Raises NotReady if another one has its name by now."""
    meta = hold["metadata"]
    if "uid" not in meta:
        return await place(reached, {**hold, "spec": {**hold["spec"], "release": {"reason": reason}}})
    # The server refuses a UID that is not the object's: a hold that was made anew meanwhile is not what somebody said yes to.
    patch = {"metadata": {"uid": meta["uid"]}, "spec": {"release": {"reason": reason}}}
    try:
        changed = await reached.cluster.merge(HOLD, meta["name"], meta["namespace"], patch)
    except (Invalid, NotReady) as problem:
        now = await reached.cluster.get(HOLD, meta["name"], meta["namespace"])
        if now is None or now["metadata"]["uid"] == meta["uid"]:
            raise
        raise NotReady(
            f"LegalHold {meta['name']} was made anew meanwhile and is another one: nothing was released",
            reason="Unavailable",
        ) from problem
    if changed is None:
        raise NotReady(
            f"LegalHold {meta['name']} went away meanwhile; look at the policy's status.holds", reason="Unavailable"
        )
    return changed


async def in_force_without_object(reached: Reached, name: str) -> str | None:
    """The reference of a hold that is in force in databases of the namespace though its object is gone; None: no such hold."""
    for policy in await reached.cluster.list(POLICY, reached.home()):
        for held in policy.get("status", {}).get("holds", ()):
            if held.get("name") == name and held.get("objectMissing"):
                return str(held.get("reference") or name)
    return None


async def settled(
    session: Session, reached: Reached, hold: Manifest, seconds: float, tell: Callable[[str], None]
) -> Manifest:
    """The hold once every database has it as its spec says. Raises NotReady when ``seconds`` have passed: it is tried on."""
    meta = hold["metadata"]
    follow = f"kubectl -n {meta['namespace']} wait --for=condition=Ready lhold/{meta['name']}"
    return await wait_for(
        session,
        Waiting(f"LegalHold {meta['name']}", follow, seconds, _POLL_SECONDS),
        lambda: reached.cluster.get(HOLD, meta["name"], meta["namespace"]),
        lambda found: condition(found, "Ready").get("status") == "True",
        lambda found: str(condition(found, "Ready").get("message") or "not yet as wanted in every database"),
        tell,
    )


async def _without_object(reached: Reached, name: str, namespace: str) -> Manifest:
    reference = await in_force_without_object(reached, name)
    if reference is None:
        raise Invalid(
            f"there is no LegalHold {name} in namespace {namespace}, and no policy's status shows one of that name",
            reason="Usage",
        )
    # What it selects does not matter: it releases all that is in force under its name.
    return _hold(name, namespace, {"select": {"sessions": [name]}, "reference": reference})


def _hold(name: str, namespace: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": HOLD.name,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
