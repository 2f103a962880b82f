"""The chapters of the demo, in order. Each does what a platform engineer or a customer would do, and checks what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from demo import checks, cloudnativepg, counts, ownership, runs, servers
from demo.customers import CUSTOMERS, EXAMPLES, Customer
from demo.kubectl import DemoFailure, wait
from demo.pods import Application, deliver_loader, run_loader, run_pod
from demo.progress import in_turn
from demo.story import Story

OPERATOR_NAMESPACE = "tenant-retention-system"
RELEASE = "tenant-retention-operator"
SITE = ownership.Site(
    namespaces=(*(customer.namespace for customer in CUSTOMERS), servers.NAMESPACE),
    operator_namespace=OPERATOR_NAMESPACE,
    release=RELEASE,
    secrets=servers.ADMINISTRATION,
    catalogue=(EXAMPLES / "profiles", EXAMPLES / "classes/initech.yaml", cloudnativepg.CLASS),
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
    """The platform offers four vendors' profiles, and labels the customers' namespaces"""
    print(f"      what the demo makes carries the label {ownership.MARK}: the next demo removes that, and nothing else")
    for folder in (EXAMPLES / "profiles", EXAMPLES / "namespaces"):
        ownership.create_marked(story.kubectl, ownership.documents(folder))
        story.kubectl.show("apply", "-f", str(folder))
    story.kubectl.show("get", "namespaces", "-l", "tenantretention.io/tenant=true")


def own_servers(story: Story) -> None:
    """The third customer runs its own PostgreSQL and S3 server; the platform writes classes for them"""
    servers.start(story.kubectl, OPERATOR_NAMESPACE)
    classes = EXAMPLES / "classes/initech.yaml"
    ownership.create_marked(story.kubectl, ownership.documents(classes))
    story.kubectl.show("apply", "-f", str(classes))


def highly_available(story: Story) -> None:
    """The fourth customer's database is to survive a node: CloudNativePG is installed, the platform writes a class for it"""
    if not cloudnativepg.install(story.kubectl, story.root):
        story.customers = tuple(found for found in story.customers if not cloudnativepg.needed_by(found))
        print("      this cluster has no CloudNativePG (docs/cloudnativepg.md): told without the fourth customer")
        return
    ownership.create_marked(story.kubectl, ownership.documents(cloudnativepg.CLASS))
    story.kubectl.show("apply", "-f", str(cloudnativepg.CLASS))


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


def load(story: Story) -> None:
    """Applications write records and recordings, seven years of them, with the credentials they were given"""
    anchor = datetime.now(UTC).replace(microsecond=0)

    def write(customer: Customer) -> dict[str, Any]:
        job = customer.job(anchor)
        story.jobs[customer.namespace] = job
        deliver_loader(story.kubectl, customer.application(), job)
        return run_loader(story.kubectl, customer.application(), "load", "loader")

    writing = "writing rows and objects, a pod of each customer"
    for customer, written in zip(story.customers, story.all_customers(writing, write), strict=True):
        rows = written["rows"]
        print(f"      {customer.namespace}: {sum(rows.values())} rows in {len(rows)} tables")
    counts.check(story, deleted=False)


def dry_run(story: Story) -> None:
    """A dry run says what a real run would remove, and removes nothing"""
    for customer in in_turn(story.customers):
        found = runs.carry_out(story, customer, {"mode": "DryRun"}, "Succeeded")
        runs.tell_dry_run(customer, found)
    counts.check(story, deleted=False)


def first_night(story: Story) -> None:
    """The night's CronJobs run: over years of old data the guard stops and asks"""
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
    counts.check(story, deleted=False)


def approval(story: Story) -> None:
    """An administrator approves; exactly what is due goes, everything else stays"""
    for customer in in_turn(story.customers):
        runs.approve(story, customer)
    counts.check(story, deleted=True)


def second_night(story: Story) -> None:
    """The next run finds nothing left to do but the minutes that have passed"""
    for customer in in_turn(story.customers):
        runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    counts.check(story, deleted=True)


def too_early(story: Story) -> None:
    """Deleting early is refused by the database itself, as the application and as the enforcement role"""
    customer = story.customers[0]
    table = customer.profile["tables"][0]["name"]
    for role in ("app", "enforcer"):
        binding = f"{customer.name}-analytical-{role}"
        program = (
            "import psycopg, sys\n"
            "from psycopg import sql\n"
            "connection = psycopg.connect(open(sys.argv[1]).read())\n"
            "try:\n"
            "    connection.execute(sql.SQL('DELETE FROM {}').format(sql.Identifier('public', sys.argv[2])))\n"
            "except psycopg.errors.InsufficientPrivilege as refusal:\n"
            "    print('refused:', str(refusal).splitlines()[0])\n"
        )
        application = Application(customer.namespace, customer.name, (binding,))
        command = ["python3", "-c", program, f"/bindings/{binding}/uri", table]
        said = run_pod(story.kubectl, application, f"early-{role}", command, 120).strip()
        if not said.startswith("refused:"):
            raise DemoFailure(f"the {role} role deleted rows of {table}: the database did not refuse")
        print(f"      {role}: {said}")
    counts.check(story, deleted=True)


def bad_policy(story: Story) -> None:
    """A policy outside the profile's bounds is refused when it is applied, with the category and the bound named"""
    customer = story.customers[1]
    category = customer.profile["categories"][0]
    bad = _changed(customer.policy, category["name"], "P1D")
    bad["metadata"]["name"] = "too-short"
    done = story.kubectl.attempt("-n", customer.namespace, "apply", "-f", "-", text=json.dumps(bad))
    if done.returncode == 0 or category["name"] not in done.stderr or category["min"] not in done.stderr:
        raise DemoFailure(f"a keep under the minimum was not refused by name: {done.stdout}{done.stderr}")
    print(f"      {done.stderr.strip()}")


def tightened(story: Story) -> None:
    """A tightened keep time: the guard stops it, an approval lets it through"""
    customer = story.customers[0]
    changed = _changed(story.policies[customer.namespace], "general-information", "P90D")
    story.policies[customer.namespace] = changed
    story.kubectl.run("apply", "-f", "-", text=json.dumps(changed))
    story.kubectl.run(
        "wait", "--for=condition=Ready", "-n", customer.namespace, f"trp/{customer.name}", "--timeout=120s"
    )
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Stopped")
    runs.approve(story, customer)
    counts.check(story, deleted=True)


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
    counts.check(story, deleted=True)


def proof(story: Story) -> None:
    """The proof: expected and actual counts per customer and category, by an independent query"""
    lines = counts.lines_of(story, deleted=True)
    if not checks.show(lines):
        raise DemoFailure("at least one count is not as expected; see the lines marked NO")
    story.kubectl.show("get", "trp", "-A")
    story.kubectl.show("get", "dst")


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
    too_early,
    bad_policy,
    tightened,
    bound_again,
    proof,
)


def _changed(policy: dict[str, Any], category: str, keep: str) -> dict[str, Any]:
    others = [item for item in policy["spec"].get("retention", []) if item["category"] != category]
    spec = {**policy["spec"], "retention": [*others, {"category": category, "keep": keep}]}
    return {**policy, "metadata": dict(policy["metadata"]), "spec": spec}
