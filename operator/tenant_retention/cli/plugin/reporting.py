"""``kubectl retention report``: what a person who helps needs to see, as one zip; no Secret, and nothing that people wrote freely.

It is an allowlist: only the kinds and their fields named here are taken, so what a later version adds stays out until it is
added.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from tenant_retention.cli.plugin.reaching import Reached
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.errors import Forbidden, Invalid, RetentionError, Unavailable
from tenant_retention.domain.manifests.metadata import MANAGED_BY
from tenant_retention.domain.ports.cluster import (
    CRON_JOB,
    EVENT,
    HOLD,
    JOB,
    POD,
    POLICY,
    PROFILE,
    REQUEST,
    RUN,
    STATEFUL_SET,
    STORE,
    STORE_CLASS,
    VOLUME_CLAIM,
    Kind,
    Manifest,
)

_OURS = f"app.kubernetes.io/managed-by={MANAGED_BY}"
_MISSING = ((Forbidden, "not allowed"), (Unavailable, "no answer"), (RetentionError, "not there"))
_CONTAINER_STATES = ("waiting", "running", "terminated")


def _identity(manifest: Manifest) -> dict[str, Any]:
    """Which object it is. Annotations are left out: kubectl keeps whole specs there."""
    meta = manifest["metadata"]
    kept = ("name", "namespace", "uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp")
    return {name: meta[name] for name in (*kept, "ownerReferences", "finalizers") if name in meta}


TAKEN: dict[Kind, tuple[str, str]] = {
    POLICY: (
        "profileRef mode suspend timeZone window phoneDefaultRegion channels units stores retention extendedStorage guard "
        "deletionPolicy",
        "observedGeneration conditions enforced databases buckets overdue uncovered debtExpected lastRunTime nextRun "
        "schedule categories stores storeCounts jobs holds approval bindings backups binding",
    ),
    RUN: (
        "policyRef mode approves ttlSecondsAfterFinished",
        "observedGeneration phase conditions runId jobName rulesDigest started finished deletedRows deletedObjects "
        "categories",
    ),
    HOLD: ("policyRefs select", "observedGeneration conditions policies databases held categories stores"),
    REQUEST: (
        "policyRefs actions",
        "observedGeneration conditions policies databases deadline liveDeadline warnAt foundAt doneAt lastCopyGoneAt left "
        "held deferred deferredUntil categories stores",
    ),
    PROFILE: ("deadlines channels categories tables", "observedGeneration conditions categories policies"),
    STORE_CLASS: (
        "type provisioner region default limits encryptionAtRest thresholds embedded cloudNativePG existing backup",
        "observedGeneration conditions stores",
    ),
    STORE: (
        "installation type provisioner className classSnapshot namespace namespaceUid policyRef purpose region unit "
        "storeId name volumes reclaimPolicy claimRef",
        "observedGeneration phase conditions evidenceHead overdue empty debt countedAt version measurements rulesDigest",
    ),
}
"""Fields of spec and status that are taken. Never ``status.kopf``, which has whole specs, nor the namespaces that a profile or
class is for, which may name other tenants, nor what people say of a hold."""


def _taken(kind: Kind, manifest: Manifest) -> dict[str, Any]:
    kept = {
        part: {name: value for name, value in manifest.get(part, {}).items() if name in names.split()}
        for part, names in zip(("spec", "status"), TAKEN[kind], strict=True)
    }
    return {"metadata": _identity(manifest), **kept}


def _policy(manifest: Manifest) -> dict[str, Any]:
    found = _taken(POLICY, manifest)
    # References of holds are what people wrote.
    holds = [
        {name: each[name] for name in ("name", "since", "objectMissing") if name in each}
        for each in found["status"].get("holds", ())
    ]
    return {**found, "status": {**found["status"], "holds": holds}}


def _hold(manifest: Manifest) -> dict[str, Any]:
    """How much is selected, not what: sessions, references and reasons are people's own words."""
    found, spec = _taken(HOLD, manifest), manifest.get("spec", {})
    select = {name: value if name in ("from", "to") else len(value) for name, value in spec.get("select", {}).items()}
    return {**found, "spec": {**found["spec"], "select": select, "released": "release" in spec}}


_WORKLOAD_STATUS = (
    "observedGeneration active succeeded failed startTime completionTime lastScheduleTime lastSuccessfulTime conditions "
    "replicas readyReplicas availableReplicas updatedReplicas currentRevision updateRevision"
)


def _workload(manifest: Manifest) -> dict[str, Any]:
    spec, status = manifest.get("spec", {}), manifest.get("status", {})
    kept = {
        name: spec[name] for name in ("schedule", "timeZone", "suspend", "replicas", "backoffLimit") if name in spec
    }
    told = {name: status[name] for name in _WORKLOAD_STATUS.split() if name in status}
    return {"metadata": _identity(manifest), "spec": kept, "status": told}


def _pod(manifest: Manifest) -> dict[str, Any]:
    """How its containers fare; no messages, for a program's last words are its own."""
    status = manifest.get("status", {})
    containers = [
        {
            "name": each["name"],
            "ready": each.get("ready"),
            "restartCount": each.get("restartCount"),
            "state": {
                state: {name: value for name, value in each["state"][state].items() if name in ("reason", "exitCode")}
                for state in _CONTAINER_STATES
                if each.get("state", {}).get(state) is not None
            },
        }
        for each in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    ]
    conditions = [
        {name: each[name] for name in ("type", "status", "reason", "lastTransitionTime") if each.get(name)}
        for each in status.get("conditions", ())
    ]
    return {
        "metadata": _identity(manifest),
        "status": {"phase": status.get("phase"), "conditions": conditions, "containers": containers},
    }


def _claim(manifest: Manifest) -> dict[str, Any]:
    spec, status = manifest.get("spec", {}), manifest.get("status", {})
    return {
        "metadata": _identity(manifest),
        "spec": {name: spec.get(name) for name in ("storageClassName", "resources", "volumeName")},
        "status": {name: status[name] for name in ("phase", "capacity", "conditions") if name in status},
    }


def _event(manifest: Manifest) -> dict[str, Any]:
    kept = ("eventTime", "reason", "type", "note", "reportingController", "regarding")
    return {name: manifest[name] for name in kept if name in manifest}


_TENANT: tuple[tuple[Kind, str, Callable[[Manifest], dict[str, Any]]], ...] = (
    (POLICY, "", _policy),
    (RUN, "", partial(_taken, RUN)),
    (HOLD, "", _hold),
    (REQUEST, "", partial(_taken, REQUEST)),
    (CRON_JOB, _OURS, _workload),
    (JOB, _OURS, _workload),
    (STATEFUL_SET, _OURS, _workload),
    (POD, _OURS, _pod),
    (VOLUME_CLAIM, _OURS, _claim),
    (EVENT, "", _event),
)
_CLUSTER: tuple[tuple[Kind, str, Callable[[Manifest], dict[str, Any]]], ...] = (
    (PROFILE, "", partial(_taken, PROFILE)),
    (STORE_CLASS, "", partial(_taken, STORE_CLASS)),
    (STORE, "", partial(_taken, STORE)),
)


async def gather(reached: Reached, now: datetime) -> dict[str, Any]:
    """The report by file name. What the user may not read, or what is not there, is named in ``report.json``. Raises what the
    server says where the policies cannot be read: without them there is nothing to help with."""
    listed: dict[str, list[Manifest]] = {POLICY.plural: list(await reached.policies())}
    missing: dict[str, str] = {}
    for kind, labels, _ in (*_TENANT[1:], *_CLUSTER):
        try:
            found = await reached.cluster.list(kind, reached.namespace if kind.namespaced else None, labels)
        except RetentionError as problem:
            # The server's own words have the user's name in them.
            missing[kind.plural] = next(word for of, word in _MISSING if isinstance(problem, of))
            continue
        listed[kind.plural] = [each for each in found if _is_ours(kind, each)]
    if reached.namespace is not None:
        _leave_out_other_tenants(listed, reached.namespace)
    files: dict[str, Any] = {
        f"{kind.plural}.json": [told(each) for each in listed[kind.plural]]
        for kind, _, told in (*_TENANT, *_CLUSTER)
        if kind.plural in listed
    }
    files["report.json"] = {
        "version": 1,
        "madeAt": instant(now),
        "namespace": reached.namespace,
        "files": sorted(files),
        "missing": missing,
    }
    return files


def write(files: Mapping[str, Any], path: Path) -> Iterable[str]:
    """Writes the zip; its lines say what is in it. Raises Invalid if the file is there, or cannot be written."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(name, json.dumps(content, indent=2, sort_keys=True) + "\n")
    try:
        with path.open("xb") as stream:
            _write_whole(stream, packed.getvalue(), path)
    except FileExistsError as problem:
        raise Invalid(f"{path} is there already; name another file", reason="Usage", field="output") from problem
    except OSError as problem:
        raise Invalid(f"{path} cannot be written: {problem.strerror}", reason="Usage", field="output") from problem
    counts = {name: len(content) for name, content in files.items() if isinstance(content, list)}
    lines = [f"{path}: " + ", ".join(f"{number} {name.removesuffix('.json')}" for name, number in counts.items())]
    return lines + [f"left out: {name}: {why}" for name, why in files["report.json"]["missing"].items()]


def _write_whole(stream: BinaryIO, content: bytes, path: Path) -> None:
    """Half a report is none: a full disk leaves nothing behind."""
    try:
        stream.write(content)
        stream.flush()
    except BaseException:
        path.unlink()
        raise


def _leave_out_other_tenants(listed: dict[str, list[Manifest]], namespace: str) -> None:
    """A report of one tenant shows its own stores, and the profiles and classes that it uses: names of others may be told by
    theirs (X2)."""
    policies = listed[POLICY.plural]
    stores = [
        each
        for each in listed.get(STORE.plural, ())
        if each.get("spec", {}).get("claimRef", {}).get("namespace") == namespace
    ]
    profiles = {each["spec"].get("profileRef", {}).get("name") for each in policies}
    classes = {each.get("spec", {}).get("className") for each in stores}
    used = {
        STORE.plural: stores,
        PROFILE.plural: [each for each in listed.get(PROFILE.plural, ()) if each["metadata"]["name"] in profiles],
        STORE_CLASS.plural: [
            each for each in listed.get(STORE_CLASS.plural, ()) if each["metadata"]["name"] in classes
        ],
    }
    listed.update({plural: kept for plural, kept in used.items() if plural in listed})


def _is_ours(kind: Kind, manifest: Manifest) -> bool:
    """Other products' Events may say anything."""
    return kind is not EVENT or str(manifest.get("reportingController", "")).startswith("tenantretention.io/")
