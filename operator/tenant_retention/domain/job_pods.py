"""What the pods of a Job say: the last words of those that ended, and why none is at work; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from tenant_retention.domain.conditions import moment
from tenant_retention.domain.ports.cluster import Manifest

LONGEST = timedelta(days=1)
"""No Job of ours may be at work for longer: a window has a day at most."""
PATIENCE = timedelta(minutes=2)
"""How long a Job may be without a pod at work before that is told: longer than it pauses between two attempts."""
_COMING_UP = frozenset({"ContainerCreating", "PodInitializing"})
_NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff"})


def ended_as(job: Manifest) -> Manifest | None:
    """The condition that says how a Job ended: Failed or Complete; None while it has not."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    holds = {condition["type"]: condition for condition in conditions if condition["status"] == "True"}
    return holds.get("Failed") or holds.get("Complete")


def is_at_work(job: Manifest, now: datetime) -> bool:
    """Whether a Job has not ended, nor is past its own deadline: Kubernetes ends ours at theirs. One that somebody put there without
    a deadline, or holds up (``suspend``), never ends, and nobody waits for it longer than for one of ours."""
    if ended_as(job) is not None:
        return False
    seconds = (job.get("spec") or {}).get("activeDeadlineSeconds")
    lasting = min(timedelta(seconds=seconds), LONGEST) if isinstance(seconds, int) else timedelta(0)
    return now < _made(job) + lasting + PATIENCE


def last_words(pods: Sequence[Manifest]) -> tuple[str, ...]:
    """The termination messages that are left, newest pod first."""
    return tuple(
        str(message)
        for pod in sorted(pods, key=_made, reverse=True)
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
        if (message := ((container.get("state") or {}).get("terminated") or {}).get("message"))
    )


def plain(words: str) -> str:
    """A termination message for people: what went wrong and why; what is not one of ours as it is."""
    try:
        told = json.loads(words)
        parts = [f"{told['reason']}: {told['message']}"] if told.get("message") else []
        parts += [
            f"{each['purpose']} {each.get('reason') or each['outcome']}"
            for each in told.get("stores", ())
            if each["outcome"] != "Succeeded"
        ]
        parts += [
            f"bucket {each['purpose']} {each['failure']}" for each in told.get("buckets", ()) if "failure" in each
        ]
        return "; ".join(parts) or str(told["outcome"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return words


def waits_for(job: Manifest, pods: Sequence[Manifest], now: datetime) -> str | None:
    """Why a Job that has not ended has had no pod at work for longer than ``PATIENCE``, and what to look at; else None."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    alive = [pod for pod in pods if _phase(pod) not in {"Succeeded", "Failed"}]
    if any(_phase(pod) == "Running" for pod in alive):
        return None
    since = max([_made(job), *(_ended(pod) for pod in pods if pod not in alive), *(_made(pod) for pod in alive)])
    if now - since < PATIENCE:
        return None
    if not alive:
        why = "no pod could be made (FailedCreate: a quota, or an admission rule)"
        return f"Job {name}: {why}; see kubectl -n {namespace} describe job {name}"
    pod = max(alive, key=_made)
    found = pod["metadata"]["name"]
    return f"Job {name}: its pod does not start ({_reason(pod)}); see kubectl -n {namespace} describe pod {found}"[
        :1024
    ]


def _reason(pod: Manifest) -> str:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _NO_IMAGE:
            # The kubelet's own text changes with every try.
            return f"ImagePullBackOff: {container.get('image')}"
        if waiting.get("reason") and waiting["reason"] not in _COMING_UP:
            return f"{waiting['reason']}: {waiting.get('message', '')}"[:512]
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason')}: {condition.get('message', '')}"[:512]
    return "ContainerCreating: a volume, a Secret or the network is not there"


def _phase(pod: Manifest) -> str | None:
    phase: str | None = (pod.get("status") or {}).get("phase")
    return phase


def _made(manifest: Manifest) -> datetime:
    return moment(manifest["metadata"]["creationTimestamp"])


def _ended(pod: Manifest) -> datetime:
    """When a pod ended; for one that does not say, when it was made."""
    ends = [
        terminated["finishedAt"]
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
        if (terminated := (container.get("state") or {}).get("terminated")) and terminated.get("finishedAt")
    ]
    return moment(max(ends)) if ends else _made(pod)
