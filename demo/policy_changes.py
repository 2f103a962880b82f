"""Chapters in which a policy changes: out of bounds, tightened, with less bought, with a unit less, deleted and bound again."""

from __future__ import annotations

import json
from typing import Any

from demo import bought, counts, runs, units
from demo.kubectl import DemoFailure, wait
from demo.story import Story
from demo.units import changed


def announced(story: Story) -> None:
    """Bought storage that ends in three weeks is announced now; nothing of it goes before that day"""
    if customer := story.customer("umbrella"):
        bought.announce(story, customer)
    else:
        print("      told without customer Umbrella")


def switched_off(story: Story) -> None:
    """A unit is switched off and on again: its database drops nothing, goes on expiring, and is bound again as it is"""
    print("      Hooli switches off beds, and ward-7, which shares its database; its application keeps its login.")
    print(
        "      Call records are kept for 33 months instead of 3 years from now on, so that the night finds some that are due."
    )
    print(
        "      Rows are left in it, so it is not Released: that comes when the last one has expired (docs/placement.md)."
    )
    units.switch_off_and_on(story, story.customers[-1], "beds", "call-records", "P33M")


def bad_policy(story: Story) -> None:
    """A policy outside the profile's bounds is refused when it is applied, with the category and the bound named"""
    customer = story.customers[1]
    category = customer.profile["categories"][0]
    spec = {**customer.policy["spec"], "retention": [{"category": category["name"], "keep": "P1D"}]}
    bad = {**customer.policy, "metadata": {**customer.policy["metadata"], "name": "too-short"}, "spec": spec}
    done = story.kubectl.attempt("-n", customer.namespace, "apply", "-f", "-", text=json.dumps(bad))
    if done.returncode == 0 or category["name"] not in done.stderr or category["min"] not in done.stderr:
        raise DemoFailure(f"a keep under the minimum was not refused by name: {done.stdout}{done.stderr}")
    print(f"      {done.stderr.strip()}")


def tightened(story: Story) -> None:
    """A tightened keep time: the guard stops it, an approval lets it through"""
    customer = story.customers[0]
    tighter = changed(story.policies[customer.namespace], "general-information", "P90D")
    story.policies[customer.namespace] = tighter
    story.kubectl.run("apply", "-f", "-", text=json.dumps(tighter))
    story.kubectl.run(
        "wait", "--for=condition=Ready", "-n", customer.namespace, f"trp/{customer.name}", "--timeout=120s"
    )
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Stopped")
    runs.approve(story, customer)
    counts.check(story, "Deleted", customer)


def bound_again(story: Story) -> None:
    """A policy is deleted and bound again: the stores stay, nothing is lost"""
    customer = story.customers[0]
    place = ("-n", customer.namespace)
    story.kubectl.run(*place, "delete", "trp", customer.name, "--timeout=60s")

    def released() -> list[Any]:
        mine = [s for s in story.kubectl.get("dst")["items"] if s["spec"]["namespace"] == customer.namespace]
        done = [s for s in mine if s.get("status", {}).get("phase") == "Released"]
        return mine if mine and len(done) == len(mine) else []

    stores = wait("the stores to be Released", 120, released)
    story.kubectl.show("get", "dst")
    story.kubectl.run("apply", "-f", "-", text=json.dumps(story.policies[customer.namespace]))
    uid = story.policy(customer)["metadata"]["uid"]
    claim = {"namespace": customer.namespace, "name": customer.name, "uid": uid}
    for store in stores:
        patch = json.dumps({"spec": {"claimRef": claim}})
        story.kubectl.run("patch", "dst", store["metadata"]["name"], "--type=merge", "-p", patch)
    story.kubectl.run("wait", "--for=condition=Ready", *place, f"trp/{customer.name}", "--timeout=180s")
    counts.check(story, "Deleted", customer)
