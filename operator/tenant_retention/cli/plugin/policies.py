"""``kubectl retention status``: is it fine, since when, why not; one policy with its categories, stores, runs and holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from tenant_retention.cli.output import table, visible
from tenant_retention.domain.conditions import moment
from tenant_retention.domain.ports.cluster import Manifest

_HEADS = ("READY", "STATUS", "COMPLIANT", "DATABASES", "BUCKETS", "OVERDUE", "LAST-RUN", "NEXT-RUN")
_TELLING = ("Ready", "Compliant")
"""Conditions that must be True for a policy to be fine."""


def condition(manifest: Manifest, kind: str) -> Mapping[str, Any]:
    """A condition of the status, as old as the spec; empty where there is none yet that is."""
    generation = manifest["metadata"].get("generation")
    for found in manifest.get("status", {}).get("conditions", ()):
        if found["type"] == kind:
            return found if found.get("observedGeneration", generation) == generation else {}
    return {}


def seen(manifest: Manifest) -> bool:
    """Whether the status is about the spec as it is now."""
    generation = manifest["metadata"].get("generation")
    return bool(manifest.get("status", {}).get("observedGeneration", generation) == generation)


def fine(manifest: Manifest) -> bool:
    """Whether a policy is ready and compliant, by a status that has seen its latest edit."""
    return all(condition(manifest, kind).get("status") == "True" for kind in _TELLING)


def print_policies(
    policies: Sequence[Manifest], now: datetime, stream: TextIO, *, namespaces: bool, where: str | None = None
) -> None:
    """One line for each policy; below it, for those that are not fine, what is so and the next step. ``where``: the one
    namespace that was looked into."""
    if not policies:
        stream.write(f"No policies found{'' if where is None else f' in namespace {visible(where)}'}.\n")
        return
    rows = [
        ((each["metadata"]["namespace"],) if namespaces else ()) + (each["metadata"]["name"], *_cells(each, now))
        for each in policies
    ]
    table((("NAMESPACE",) if namespaces else ()) + ("NAME", *_HEADS), rows, stream)
    for each in policies:
        for kind in _TELLING:
            found = condition(each, kind)
            if found and found["status"] != "True":
                why = found.get("message") or found.get("reason")
                stream.write(f"{visible(_title(each))}: {visible(kind)}: {visible(why)}\n")
        if not all(condition(each, kind) for kind in _TELLING):
            stream.write(f"{visible(_title(each))}: the operator has not told of it since its last edit\n")


def print_policy(policy: Manifest, now: datetime, stream: TextIO) -> None:
    """One policy at length."""
    status = policy.get("status", {})
    print_policies((policy,), now, stream, namespaces=True)
    _section("conditions", ("CONDITION", "STATUS", "REASON", "SINCE"), _conditions(policy, now), stream)
    _section(
        "categories",
        ("CATEGORY", "KEEP", "ROWS", "OBJECTS", "OLDEST", "NEXT-DEADLINE", "DUE", "OVERDUE", "HELD", "STATE"),
        [
            (
                each["name"],
                each.get("effectiveKeep") or each.get("keep"),
                each.get("rows"),
                each.get("objects"),
                each.get("oldest"),
                each.get("nextDeadline"),
                each.get("due"),
                each.get("overdue"),
                each.get("held"),
                each.get("state"),
            )
            for each in status.get("categories", ())
        ],
        stream,
    )
    _section(
        "stores",
        ("STORE", "REGION", "UNIT", "CLASS", "READY", "MESSAGE"),
        [
            (
                each["purpose"],
                each.get("region"),
                each.get("unit"),
                each.get("className"),
                str(each.get("ready", False)),
                each.get("message"),
            )
            for each in status.get("stores", ())
        ],
        stream,
    )
    _section(
        "last run",
        ("TASK", "OUTCOME", "MODE", "FINISHED", "ROWS", "OBJECTS", "RUN"),
        [
            (
                each.get("task"),
                each["outcome"],
                each.get("mode"),
                each.get("finished"),
                each.get("deletedRows", 0),
                each.get("deletedObjects", 0),
                each.get("runId"),
            )
            for each in status.get("jobs", ())
        ],
        stream,
    )
    _section(
        "holds in force",
        ("HOLD", "SINCE", "REFERENCE", "OBJECT"),
        [
            (
                each.get("name"),
                each["since"],
                each.get("reference"),
                "missing" if each.get("objectMissing") else "there",
            )
            for each in status.get("holds", ())
        ],
        stream,
    )
    if approval := status.get("approval"):
        meta = policy["metadata"]
        categories = visible(", ".join(approval.get("categories", ())))
        stream.write(
            f"\nThe guard asks: {approval['rows']} items of {categories} would be newly deleted. "
            f"If that is meant: kubectl retention approve {visible(meta['name'])} -n {visible(meta['namespace'])}\n"
        )


def age(since: datetime, now: datetime) -> str:
    """How long ago, as kubectl writes it."""
    seconds = max(0, int((now - since).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _title(policy: Manifest) -> str:
    return f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"


def _cells(policy: Manifest, now: datetime) -> tuple[object, ...]:
    status = policy.get("status", {})
    ready, last = condition(policy, "Ready"), status.get("lastRunTime")
    return (
        ready.get("status", "Unknown"),
        ready.get("reason", "NotYetSeen"),
        condition(policy, "Compliant").get("status", "Unknown"),
        status.get("databases"),
        status.get("buckets"),
        status.get("overdue"),
        age(moment(last), now) if last else None,
        status.get("nextRun"),
    )


def _conditions(policy: Manifest, now: datetime) -> list[tuple[object, ...]]:
    return [
        (each["type"], each["status"], each["reason"], age(moment(each["lastTransitionTime"]), now))
        for each in policy.get("status", {}).get("conditions", ())
    ]


def _section(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO) -> None:
    if rows:
        stream.write(f"\n{title}:\n")
        table(heads, rows, stream)
