"""Runs of a customer's policy: one is asked for, approved, waited for; when the last one deleted."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.customers import Customer
from demo.kubectl import DemoFailure, wait
from demo.story import Story


def carry_out(story: Story, customer: Customer, spec: dict[str, Any], phase: str) -> Any:
    """Creates a RetentionRun and waits for its end; DemoFailure if it ends in another phase."""
    run = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "RetentionRun",
        "metadata": {"namespace": customer.namespace, "generateName": "demo-"},
        "spec": {"policyRef": {"name": customer.name}, **spec},
    }
    created = story.kubectl.run("create", "-f", "-", "-o", "name", text=json.dumps(run), show=False).strip()
    place = ("-n", customer.namespace, created)
    what = f"{customer.namespace} {spec['mode']}{' with approval' if 'approves' in spec else ''}"
    began = time.monotonic()

    def ended() -> Any:
        found = story.kubectl.get(*place)
        return found if found.get("status", {}).get("phase") in ("Succeeded", "Failed", "Stopped") else None

    found = wait(f"{created} in {customer.namespace}", 600, ended, tell=False)
    if found["status"]["phase"] != phase:
        messages = [condition.get("message") for condition in found["status"].get("conditions", [])]
        raise DemoFailure(
            f"{created} in {customer.namespace} ended {found['status']['phase']}, not {phase}: {messages}"
        )
    print(f"      {what}: {phase}, {time.monotonic() - began:.0f} s, {created.partition('/')[2]}", flush=True)
    return found


def tell_dry_run(customer: Customer, run: Any) -> None:
    """What the dry run found, by category: what would go at once, and what would wait for an approval."""
    for category in run["status"].get("categories", []):
        would, waits = category.get("acted", 0), category.get("skipped", 0)
        print(f"        {customer.namespace} {category['name']}: {would} would go, {waits} would wait for an approval")


def approve(story: Story, customer: Customer) -> None:
    """Waits for the guard's question and runs with the approval that it asks for."""

    def asked() -> Any:
        return story.policy(customer).get("status", {}).get("approval")

    request = wait(f"the guard's question in {customer.namespace}", 120, asked, tell=False)
    until = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    approves = {"rulesDigest": request["rulesDigest"], "maxRows": request["rows"] + 10_000, "until": until}
    carry_out(story, customer, {"mode": "Enforce", "approves": approves}, "Succeeded")


def at_work(story: Story, customer: Customer) -> bool:
    """Whether a job of the customer's policy runs now."""
    selector = f"tenantretention.io/policy={customer.name}"
    jobs = story.kubectl.get("-n", customer.namespace, "jobs", "-l", selector)["items"]
    return any(job.get("status", {}).get("active") for job in jobs)


def last_clock(story: Story, customer: Customer) -> datetime:
    """When the last run that deletes fixed its clock, in whole seconds: births are whole seconds, so this is exact."""
    runs = story.kubectl.get("-n", customer.namespace, "rrun")["items"]
    ended = [
        run["status"]["started"]
        for run in runs
        if run["spec"]["mode"] == "Enforce" and run.get("status", {}).get("phase") == "Succeeded"
    ]
    nights = story.policy(customer).get("status", {}).get("jobs", [])
    ended += [night["started"] for night in nights if (night["outcome"], night.get("mode")) == ("Succeeded", "Enforce")]
    if not ended:
        raise DemoFailure(f"no run of {customer.namespace} has succeeded")
    return datetime.fromisoformat(max(ended).replace("Z", "+00:00")).replace(microsecond=0)


def cron_job(story: Story, customer: Customer) -> str:
    """The name of the CronJob that runs the customer's nights."""
    selector = f"tenantretention.io/policy={customer.name},tenantretention.io/task=expire"
    found = story.kubectl.get("-n", customer.namespace, "cronjobs", "-l", selector)["items"]
    if len(found) != 1:
        raise DemoFailure(f"{customer.namespace} has {len(found)} CronJobs for {customer.name}, not one")
    return str(found[0]["metadata"]["name"])
