"""The chapters of the demo, in order. Each does what a platform engineer or a customer would do, and checks what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from demo import (
    checks,
    cloudnativepg,
    consent,
    copies,
    counts,
    failover,
    masks,
    ownership,
    persons,
    refusals,
    requirements,
    runs,
    servers,
)
from demo.commands import OPERATOR_NAMESPACE, RELEASE
from demo.customers import CUSTOMERS, EXAMPLES, Customer
from demo.kubectl import DemoFailure
from demo.pods import deliver_loader, run_loader
from demo.policy_changes import announced, bad_policy, bound_again, switched_off, tightened
from demo.story import Story

OTHERS_SERVERS = {
    servers.INITECH: EXAMPLES / "classes/initech.yaml",
    servers.APAC: EXAMPLES / "classes/apac.yaml",
    servers.UMBRELLA: EXAMPLES / "classes/redis.yaml",
}
"""The classes for servers that the platform does not own."""
LOCATION = ("tenantretention.io/region", "-L", "tenantretention.io/unit")
CONDITIONS = ("Compliant", "IsolationVerified", "EncryptionVerified", "StoresHealthy", "DebtForeseen")
"""What is tried at the stores; docs/readiness.md says what Unknown means for a server's disks."""
NOT_SHOWN = (
    "What a demo cannot show, and tests on real stores do (M5, D7 in the table that follows):",
    "- Log files never become due here. A bucket tells their age by when they were stored, and that was today; all of them stay.",
    "- The limits of readiness (disk, connections, latency, replication lag, clock skew) are measured, and StoresHealthy tells",
    "  of them; the demo does not fill a disk or slow a server to provoke one.",
)
SITE = ownership.Site(
    namespaces=(*(customer.namespace for customer in CUSTOMERS), *(site.namespace for site in servers.SITES)),
    operator_namespace=OPERATOR_NAMESPACE,
    release=RELEASE,
    secrets=tuple(name for site in servers.SITES for name in site.administration),
    catalogue=(EXAMPLES / "profiles", *OTHERS_SERVERS.values(), cloudnativepg.CLASS, copies.CLASS),
)


def clear(story: Story) -> None:
    """What an earlier demo left is removed; if anything else stands in the way, nothing is touched"""
    ownership.refuse_what_others_made(story.kubectl, SITE)
    ownership.remove_what_an_earlier_demo_made(story.kubectl, SITE)


def install(story: Story) -> None:
    """The operator is installed with Helm, with no value set"""
    chart = str(story.root / "charts/tenant-retention-operator")
    done = story.kubectl.program(
        "helm", "upgrade", "--install", RELEASE, chart, "-n", OPERATOR_NAMESPACE, "--create-namespace", "--wait",
        "--timeout", "180s",
    )  # fmt: skip
    if done.returncode:
        raise DemoFailure(f"helm upgrade --install: {done.stderr.strip()}")
    deployment = ("-n", OPERATOR_NAMESPACE, f"deployment/{RELEASE}")
    if "has been upgraded" in done.stdout:
        # The image's name stays the same while the code changes: an operator of an earlier demo starts anew.
        story.kubectl.run("rollout", "restart", *deployment)
    story.kubectl.run("rollout", "status", *deployment, "--timeout=180s")
    story.kubectl.show("-n", OPERATOR_NAMESPACE, "get", "pods")


def platform(story: Story) -> None:
    """The platform offers four vendors' profiles and a class with backups, and labels the customers' namespaces"""
    print(f"      what the demo makes carries the label {ownership.MARK}: the next demo removes that, and nothing else")
    for folder in (EXAMPLES / "profiles", EXAMPLES / "namespaces", copies.CLASS):
        ownership.create_marked(story.kubectl, ownership.documents(folder))
        story.kubectl.show("apply", "-f", str(folder))
    story.kubectl.show("get", "namespaces", "-l", "tenantretention.io/tenant=true")


def own_servers(story: Story) -> None:
    """Servers that the platform does not own: a customer's PostgreSQL and S3, another's cache, a further region's PostgreSQL"""
    for site, classes in OTHERS_SERVERS.items():
        servers.start(story.kubectl, OPERATOR_NAMESPACE, site)
        ownership.create_marked(story.kubectl, ownership.documents(classes))
        story.kubectl.show("apply", "-f", str(classes))


def highly_available(story: Story) -> None:
    """One customer's database is to survive a node: CloudNativePG is installed, the platform writes a class for it"""
    if not cloudnativepg.install(story.kubectl, story.root):
        story.customers = tuple(found for found in story.customers if not cloudnativepg.needed_by(found))
        print("      this cluster has no CloudNativePG (docs/cloudnativepg.md): told without customer Umbrella")
        return
    cloudnativepg.offer(story.kubectl)


def policies(story: Story) -> None:
    """Policies are applied; dedicated databases and buckets appear in the customers' namespaces"""
    for customer in story.customers:
        story.kubectl.show("apply", "-f", str(customer.policy_file))
        story.policies[customer.namespace] = customer.policy
    for customer in story.customers:
        place = ("-n", customer.namespace, f"trp/{customer.name}")
        story.kubectl.run("wait", "--for=condition=Ready", *place, "--timeout=300s")
    story.kubectl.show("get", "trp", "-A")
    story.kubectl.show("-n", story.customers[0].namespace, "get", "statefulsets,cronjobs,secrets,networkpolicies")
    several = story.customers[-1]
    story.kubectl.show("get", "dst", "-l", f"tenantretention.io/namespace={several.namespace}", "-L", *LOCATION)


def load(story: Story) -> None:
    """Applications write records and recordings, seven years of them, with the credentials they were given"""
    anchor = datetime.now(UTC).replace(microsecond=0)

    def write(customer: Customer) -> dict[str, Any]:
        jobs = customer.jobs(anchor)
        story.jobs[customer.namespace] = jobs
        deliver_loader(story.kubectl, customer.application(), jobs)
        return run_loader(story.kubectl, customer.application(), "load", "loader")

    writing = "writing rows and objects, a pod of each customer"
    for customer, written in zip(story.customers, story.all_customers(writing, write), strict=True):
        rows = written["rows"]
        print(f"      {customer.namespace}: {sum(rows.values())} rows in {len(rows)} tables")
    counts.check(story, "Written")


def dry_run(story: Story) -> None:
    """A dry run says what a real run would remove, and removes nothing"""
    found = story.all_customers(
        "a dry run of each customer", lambda customer: runs.carry_out(story, customer, {"mode": "DryRun"}, "Succeeded")
    )
    for customer, run in zip(story.customers, found, strict=True):
        runs.tell_dry_run(customer, run)
    counts.check(story, "Written")


def first_night(story: Story) -> None:
    """The night's CronJobs run: over years of old data the guard stops and asks; what may not be stored goes all the same"""
    for customer in story.customers:
        namespace = ("-n", customer.namespace)
        story.kubectl.run(
            *namespace, "create", "job", "first-night", f"--from=cronjob/{runs.cron_job(story, customer)}"
        )
    for customer in story.customers:
        place = ("-n", customer.namespace)
        story.kubectl.run("wait", "--for=condition=Complete", *place, "job/first-night", "--timeout=300s")
        story.kubectl.run("wait", "--for=condition=ApprovalRequired", *place, f"trp/{customer.name}", "--timeout=180s")
    story.kubectl.show("get", "trp", "-A")
    counts.check(story, "Asked")


def approval(story: Story) -> None:
    """An administrator approves; exactly what is due goes, everything else stays"""
    story.all_customers("an approved run of each customer", lambda customer: runs.approve(story, customer))
    counts.check(story, "Deleted")


def second_night(story: Story) -> None:
    """The next run finds nothing left to do but the minutes that have passed"""
    story.all_customers(
        "a run of each customer", lambda customer: runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    )
    counts.check(story, "Deleted")


def primary_lost(story: Story) -> None:
    """The highly available database loses its primary while a night runs: nothing is lost, and nothing is done twice"""
    if customer := story.customer("umbrella"):
        failover.lose_primary_in_a_night(story, customer)
        runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
        counts.check(story, "Deleted", customer)
    else:
        print("      told without customer Umbrella")


def nameless(story: Story) -> None:
    """Old calls have lost the person and stay for statistics: emptied, replaced by a constant, or a pseudonym for each agent"""
    persons.look(story, story.customers[-1])


def archived(story: Story) -> None:
    """What is old has moved to an archive database, where its keep, max and holds go on; one command finds it"""
    copies.search(story, story.customers[1])


def archived_in_files(story: Story) -> None:
    """Another customer's archive is a bucket of Parquet files: the same command finds rows in them and brings a day back"""
    customer = story.customers[2]
    copies.bring_back(story, customer)
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    counts.check(story, "Deleted", customer, told=", archived")


def backed_up(story: Story) -> None:
    """Backups: the night's second job makes one, sealed; each category's status says when its last copy will be gone"""
    for customer in story.customers:
        if customer.backup_days():
            copies.back_up(story, customer)
    story.kubectl.show("get", "trp", "-A", "-o", copies.COLUMNS)


def brought_back(story: Story) -> None:
    """A customer's databases are lost with all that is in them; they are made anew, and one command brings the rows back"""
    customer = story.customers[1]
    copies.lose(story, customer)
    copies.restore(story, customer)
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    counts.check(story, "Deleted", customer)


def refused(story: Story) -> None:
    """The database itself refuses: deleting early, a recording that the caller did not consent to, digits of a masked menu"""
    for role in ("app", "enforcer"):
        refusals.deleting(story, story.customers[0], role)
    refusals.recording(story, story.customers[-1])
    refusals.digits(story, story.customers[1])
    counts.check(story, "Deleted", story.customers[0], story.customers[1])


def against_consent(story: Story) -> None:
    """A caller's refusal becomes known after the recording was stored: a run finds it, the next one takes it away"""
    consent.deny_later(story, story.customers[0])


def masked_later(story: Story) -> None:
    """Digits from before their menu was masked: a run finds them, the next one blanks them, and the record stays"""
    masks.mask_later(story, story.customers[1])


def proof(story: Story) -> None:
    """The proof: expected and actual counts per customer and category, by an independent query"""
    lines = counts.lines_of(story, "Deleted")
    if not checks.show(lines):
        raise DemoFailure("at least one count is not as expected; see the lines marked NO")
    story.kubectl.show("get", "trp", "-A")
    story.kubectl.show("get", "dst")
    columns = [f'{kind.upper()}:.status.conditions[?(@.type=="{kind}")].status' for kind in CONDITIONS]
    story.kubectl.show("get", "trp", "-A", "-o", f"custom-columns=POLICY:.metadata.name,{','.join(columns)}")
    for line in NOT_SHOWN:
        print(f"      {line}")


def requirements_table(story: Story) -> None:
    """The requirements, each with the tests that carry its id (docs/requirements.md)"""
    requirements.show(story.root)


CHAPTERS: tuple[Callable[[Story], None], ...] = (
    clear,
    install,
    platform,
    own_servers,
    highly_available,
    policies,
    load,
    dry_run,
    first_night,
    approval,
    second_night,
    announced,
    primary_lost,
    nameless,
    archived,
    archived_in_files,
    backed_up,
    brought_back,
    refused,
    against_consent,
    masked_later,
    bad_policy,
    tightened,
    switched_off,
    bound_again,
    proof,
    requirements_table,
)
