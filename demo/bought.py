"""The end of bought storage is announced before it comes (T5)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from demo.customers import Customer
from demo.story import Story

ENDS_IN = timedelta(days=20)
"""Within the thirty days in which the end is announced."""


def announce(story: Story, customer: Customer) -> None:
    """Gives what the customer bought an end in three weeks, and waits until the policy announces it."""
    until = (datetime.now(UTC) + ENDS_IN).strftime("%Y-%m-%dT%H:%M:%SZ")
    policy = story.policies[customer.namespace]
    bought = [{**item, "until": until} for item in policy["spec"]["extendedStorage"]]
    story.policies[customer.namespace] = policy = {**policy, "spec": {**policy["spec"], "extendedStorage": bought}}
    story.kubectl.run("apply", "-f", "-", text=json.dumps(policy))
    print(f"        spec.extendedStorage: {json.dumps(bought)}")
    place = ("-n", customer.namespace)
    story.kubectl.run("wait", "--for=condition=ExtendedStorageEnding", *place, f"trp/{customer.name}", "--timeout=180s")
    status = story.policy(customer)["status"]
    ending = next(each for each in status["conditions"] if each["type"] == "ExtendedStorageEnding")
    print(f"        ExtendedStorageEnding {ending['status']}, {ending['reason']}: {ending['message']}")
    names = {item["category"] for item in bought}
    for category in status["categories"]:
        if category["name"] in names:
            told = {name: category.get(name) for name in ("effectiveKeep", "extendedKeep", "extendedUntil")}
            print(f"        {category['name']}: {', '.join(f'{name} {value}' for name, value in told.items())}")
