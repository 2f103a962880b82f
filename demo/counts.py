"""What is left at every customer, counted on the cluster and held against what should be left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from demo import checks, runs
from demo.customers import Customer
from demo.kubectl import DemoFailure, wait
from demo.pods import run_loader
from demo.story import Story

Stage = Literal["Written", "Asked", "Deleted"]
"""Nothing but dry runs has run; a night has run and the guard asked; a run has deleted what was due."""


def check(story: Story, stage: Stage, *customers: Customer, told: str = "") -> None:
    """Raises DemoFailure with the table if one count is not as expected at this stage, of these customers or of all. Shows the
    lines about ``told``."""
    lines = lines_of(story, stage, *customers)
    wrong = [line for line in lines if not line.same]
    if wrong:
        checks.show(lines)
        raise DemoFailure(f"{len(wrong)} of {len(lines)} counts are not as expected")
    if told:
        checks.show(line for line in lines if told in line.what)
    left = sum(line.actual for line in lines)
    whose = f" of {', '.join(customer.namespace for customer in customers)}" if customers else ""
    print(f"      checked: {len(lines)} counts and checksums{whose} as expected, {left} items in all")


def lines_of(story: Story, stage: Stage, *customers: Customer) -> list[checks.Line]:
    """The lines of these customers, or of all, each counted by a pod of its own."""

    def one(customer: Customer) -> list[checks.Line]:
        loaded = story.jobs[customer.namespace]
        # The customer's own night may come while the story is told; it is no mistake, and it is counted.
        jobs = f"the jobs of {customer.namespace} to end"
        wait(jobs, 600, lambda: not runs.at_work(story, customer), tell=False)
        actual = run_loader(story.kubectl, customer.application(), "count", "counter")
        deletion = runs.last_clock(story, customer) if stage == "Deleted" else None
        night = deletion or (datetime.now(UTC) if stage == "Asked" else None)
        clocks = checks.Clocks(deletion, night)
        return checks.compare(customer, loaded, actual, clocks, story.policies[customer.namespace])

    counting = "counting what is left, a pod of each customer"
    return [line for lines in story.all_customers(counting, one, *customers) for line in lines]
