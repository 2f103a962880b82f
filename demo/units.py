"""A unit of the customer is switched off and on again: its database stays, and what is in it goes on expiring (D3)."""

from __future__ import annotations

import json
from typing import Any

from demo import counts, runs
from demo.customers import Customer
from demo.kubectl import DemoFailure, wait
from demo.story import Story


def switch_off_and_on(story: Story, customer: Customer, unit: str, category: str, keep: str) -> None:
    """Without the unit, and whoever shares its database, a night runs with a shorter keep; then the unit is back."""
    before = _store(story, customer, unit)
    shorter = changed(story.policies[customer.namespace], category, keep)
    units = [each for each in shorter["spec"]["units"] if unit not in (each["name"], each.get("sharedWith"))]
    _apply(story, customer, {**shorter, "spec": {**shorter["spec"], "units": units}})
    wait("the store to be told as leaving", 180, lambda: _leaving(story, customer) == 1)
    story.kubectl.show("get", "dst", before["metadata"]["name"], "-L", "tenantretention.io/unit")
    _tell(story, customer)
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    counts.check(story, "Deleted", customer, told=f"({unit})")
    _apply(story, customer, shorter)
    wait("the store to be asked for again", 180, lambda: _leaving(story, customer) == 0)
    story.kubectl.run("wait", "--for=condition=Ready", *_place(customer), "--timeout=180s")
    _tell(story, customer)
    after = _store(story, customer, unit)
    if (after["metadata"]["uid"], after["status"]["phase"]) != (before["metadata"]["uid"], "Bound"):
        raise DemoFailure(f"the database of {unit} is not the one that it was: {after['metadata']}")


def changed(policy: dict[str, Any], category: str, keep: str) -> dict[str, Any]:
    """The policy with another keep for one category."""
    entries = {item["category"]: item for item in policy["spec"].get("retention", [])}
    entries[category] = {**entries.get(category, {}), "category": category, "keep": keep}
    spec = {**policy["spec"], "retention": list(entries.values())}
    return {**policy, "metadata": dict(policy["metadata"]), "spec": spec}


def _apply(story: Story, customer: Customer, policy: dict[str, Any]) -> None:
    story.policies[customer.namespace] = policy
    story.kubectl.run("apply", "-f", "-", text=json.dumps(policy))
    names = ", ".join(unit["name"] for unit in policy["spec"]["units"])
    print(f"        units now: {names}", flush=True)


def _place(customer: Customer) -> tuple[str, ...]:
    return ("-n", customer.namespace, f"trp/{customer.name}")


def _leaving(story: Story, customer: Customer) -> int:
    counted = story.policy(customer)["status"].get("storeCounts", [])
    return sum(group.get("leaving", 0) for group in counted)


def _tell(story: Story, customer: Customer) -> None:
    for group in story.policy(customer)["status"]["storeCounts"]:
        where = group.get("region", "home")
        print(f"        {group['purpose']}, {where}: {group['wanted']} stores, {group.get('leaving', 0)} leaving")


def _store(story: Story, customer: Customer, unit: str) -> dict[str, Any]:
    mine = f"tenantretention.io/namespace={customer.namespace},tenantretention.io/unit={unit}"
    (found,) = story.kubectl.get("dst", "-l", mine)["items"]
    return dict(found)
