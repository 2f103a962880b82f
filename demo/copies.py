"""What lies elsewhere than in the live stores: the archive searched, backups made, lost databases brought back from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from demo.births import age_ago
from demo.commands import on_cluster
from demo.customers import EXAMPLES, Customer
from demo.kubectl import wait
from demo.story import Story

CLASS = EXAMPLES / "classes/backed-up.yaml"
"""For databases of which a backup is made every night."""
COLUMNS = "custom-columns=POLICY:.metadata.name," + ",".join(
    f"{name}:.status.{path}"
    for name, path in (
        ("BACKUPS", "backups.number"),
        ("BYTES", "backups.bytes"),
        ("KEEP", "backups.keep"),
        ("CATEGORY", "categories[1].name"),
        ("LEAVES-DATABASE", "categories[1].leavesLiveStore"),
        ("LAST-COPY-GONE", "categories[1].lastCopyGone"),
    )
)
"""The two dates are those of the oldest item of one category."""
_READY = "made tonight"
"""What BackupsCurrent says once nothing that must be gone can get into a backup."""
_RESTORE = ("restore", "--plan", "plan.json", "--administrator-binding", "administrator", "--quiet")


def search(story: Story, customer: Customer, *span: str) -> None:
    """The oldest archived records, as an administrator finds them; ``span``: further words of the command."""
    _archive(story, customer, "search", "--limit", "3", *span)


def bring_back(story: Story, customer: Customer) -> None:
    """Brings one day's files back into their tables for a month: its rows have left the archive then, the next run removes
    the files."""
    (job,) = story.jobs[customer.namespace]
    age = customer.archived()[next(iter(customer.archived()))]
    # A month older than what is archived: a day on which nothing moves any more.
    day = age_ago(datetime.fromisoformat(job["anchor"]), age).date() - timedelta(days=31)
    span = ("--from", day.isoformat(), "--to", (day + timedelta(days=1)).isoformat())
    search(story, customer, *span)
    _archive(story, customer, "restore", "--for", "P30D", *span)
    job["broughtBack"] = [day.isoformat()]


def _archive(story: Story, customer: Customer, command: str, *words: str) -> None:
    category = next(iter(customer.archived()))
    plan = ("archive", command, "--plan", "plan.json", "--category", category)
    for line in on_cluster(story.kubectl, customer.namespace, customer.name, *plan, *words).splitlines():
        print(f"        {line[:120]}", flush=True)


def back_up(story: Story, customer: Customer) -> None:
    """Starts the backup's CronJob by hand, as soon as a backup may be made, and waits until the policy tells of it."""
    place, job = ("-n", customer.namespace), f"{customer.name}-backup"

    def current() -> Any:
        conditions = story.policy(customer)["status"]["conditions"]
        return next(each for each in conditions if each["type"] == "BackupsCurrent")

    wait(f"the backup of {customer.namespace} to be due", 180, lambda: _READY in current()["message"])
    story.kubectl.run(*place, "create", "job", "first-backup", f"--from=cronjob/{job}")
    story.kubectl.run(*place, "wait", "--for=condition=Complete", "job/first-backup", "--timeout=300s")
    wait(f"the backup of {customer.namespace} to be told", 180, lambda: current()["status"] == "True")


def lose(story: Story, customer: Customer) -> None:
    """Drops the customer's databases as nobody but the server's superuser can; returns when they are there again, empty."""
    stores = databases(story, customer)
    server = ("-n", customer.namespace, "exec", f"{customer.name}-postgresql-0", "--", "psql", "-qd", "postgres")
    for store in stores:
        story.kubectl.run(*server, "-c", f'DROP DATABASE "{store["spec"]["name"]}" WITH (FORCE)')

    def empty() -> bool:
        categories = story.policy(customer)["status"].get("categories", [])
        return not any(category.get("rows") for category in categories)

    wait("the operator to make the databases anew", 180, empty)
    place = ("-n", customer.namespace, f"trp/{customer.name}")
    story.kubectl.run("wait", "--for=condition=Ready", *place, "--timeout=300s")


def restore(story: Story, customer: Customer) -> None:
    """The newest backup into the empty databases; then the evidence, which is in no backup, is accepted as begun anew."""
    said = on_cluster(story.kubectl, customer.namespace, customer.name, *_RESTORE)
    for line in said.splitlines():
        print(f"        {line}", flush=True)
    for store in databases(story, customer):
        anew = ("--subresource=status", "--type=merge", "-p", '{"status":{"evidenceHead":null}}')
        story.kubectl.run("patch", "dst", store["metadata"]["name"], *anew)


def databases(story: Story, customer: Customer) -> list[dict[str, Any]]:
    """The ledger entries of the customer's databases."""
    mine = f"tenantretention.io/namespace={customer.namespace},tenantretention.io/policy={customer.name}"
    found: list[dict[str, Any]] = story.kubectl.get("dst", "-l", mine)["items"]
    return [store for store in found if store["spec"]["type"] == "PostgreSQL"]
