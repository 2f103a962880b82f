"""``kubectl retention plan``, ``run`` and ``approve``: a RetentionRun is made, watched until it ends, and told."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TextIO

from tenant_retention.api.v1alpha1.common import API_VERSION
from tenant_retention.cli.output import table, visible
from tenant_retention.cli.plugin.policies import condition, seen
from tenant_retention.cli.plugin.reaching import Reached, Session
from tenant_retention.cli.plugin.waiting import Waiting, wait_for
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.cluster import RUN, Manifest

_ENDED = frozenset({"Succeeded", "Failed", "Stopped"})
_POLL_SECONDS = 1.0
_HEADS = ("CATEGORY", "DUE", "REMOVED", "ANONYMIZED", "ARCHIVED", "HELD", "SKIPPED", "FAILED", "LEFT")


def next_run_counts(policy: Manifest) -> str:
    """What the next run would do to a policy, by its status: for the question before it."""
    due: list[str] = []
    for each in policy.get("status", {}).get("categories", ()):
        due += [f"{each['due']} of {each['name']}"] if each.get("due") else []
        due += [f"{each['anonymizeDue']} of {each['name']} to anonymize"] if each.get("anonymizeDue") else []
    told = ", ".join(due) if due else "nothing that the status knows of"
    return told if seen(policy) else f"not known since the last edit; before it {told}"


def wanted_run(policy: Manifest, mode: str, approval: Mapping[str, Any] | None = None) -> Manifest:
    """A RetentionRun of a policy, with a name of its own."""
    meta = policy["metadata"]
    spec = {"policyRef": {"name": meta["name"]}, "mode": mode, **({"approves": dict(approval)} if approval else {})}
    word = "approved" if approval else mode.lower()
    return {
        "apiVersion": API_VERSION,
        "kind": RUN.name,
        "metadata": {"name": f"{meta['name']}-{word}-{secrets.token_hex(3)}", "namespace": meta["namespace"]},
        "spec": spec,
    }


def wanted_approval(policy: Manifest, *, max_rows: int | None, hours: float, now: datetime) -> dict[str, Any] | None:
    """The approval of what the guard asks now; None where it asks nothing. Raises Invalid on a ceiling that is none, NotReady
    where what it asks is about rules from before the last edit."""
    if not 0 < hours <= 24 * 30:
        raise Invalid("--hours: must be more than 0 and at most 720", reason="Usage", field="hours")
    asked = policy.get("status", {}).get("approval")
    if not seen(policy):
        raise NotReady(
            f"TenantRetentionPolicy {policy['metadata']['name']}: the status is from before the last edit; look at what the guard "
            "asks once the operator has seen it",
            reason="Unavailable",
        )
    if asked is None:
        return None
    rows = asked["rows"] if max_rows is None else max_rows
    if rows < max(1, asked["rows"]):
        raise Invalid(
            f"--max-rows: {rows} is less than the {asked['rows']} items that wait: the guard would stop again",
            reason="Usage",
            field="max-rows",
        )
    return {"rulesDigest": asked["rulesDigest"], "maxRows": rows, "until": instant(now + timedelta(hours=hours))}


async def make(reached: Reached, wanted: Manifest) -> Manifest:
    """The run as the server stored it. Raises Invalid or Unavailable as the server says."""
    made = await reached.create(wanted)
    if made is None:
        raise NotReady(f"a RetentionRun {wanted['metadata']['name']} is there already; try again", reason="Unavailable")
    return made


async def ended(
    session: Session, reached: Reached, run: Manifest, seconds: float, tell: Callable[[str], None]
) -> Manifest:
    """The run once it has ended; ``tell`` hears its phase. Raises NotReady when ``seconds`` have passed: the run goes on."""
    meta = run["metadata"]
    follow = f"kubectl -n {meta['namespace']} get rrun {meta['name']} -w"
    return await wait_for(
        session,
        Waiting(f"RetentionRun {meta['name']}", follow, seconds, _POLL_SECONDS),
        lambda: reached.cluster.get(RUN, meta["name"], meta["namespace"]),
        lambda found: _phase(found) in _ENDED,
        _phase,
        tell,
    )


def succeeded(run: Manifest) -> bool:
    """Whether a run that ended did its work."""
    return bool(run["status"]["phase"] == "Succeeded")


def print_run(run: Manifest, stream: TextIO) -> None:
    """What a run did, by category, and what to do next where it did not succeed."""
    status = run.get("status", {})
    rows = [
        (
            each["name"],
            each.get("candidates", 0),
            each.get("acted", 0),
            each.get("anonymized"),
            each.get("archived"),
            each.get("held", 0),
            each.get("skipped", 0),
            each.get("failed", 0),
            each.get("residue"),
        )
        for each in status.get("categories", ())
    ]
    if rows:
        table(_HEADS, rows, stream)
    meta, mode = run["metadata"], run["spec"].get("mode", "DryRun")
    would = " (nothing was removed)" if mode == "DryRun" else ""
    stream.write(f"{visible(mode)} run {visible(meta['name'])}: {visible(status.get('phase', 'Pending'))}{would}\n")
    told = condition(run, "Ready")
    if told and told["status"] != "True" and told.get("message"):
        stream.write(f"{visible(told['message'])}\n")


def rehearsed(run: Manifest) -> str:
    """What a server dry run answers of a run that was not kept."""
    return f"the server would take this run: {json.dumps(run['spec'], sort_keys=True)}"


def _phase(run: Manifest) -> str:
    return str(run.get("status", {}).get("phase") or "Pending")
