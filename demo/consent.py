"""A caller's refusal becomes known when the recording is there: a run finds it, the next one takes it away (P10)."""

from __future__ import annotations

from demo import counts, runs
from demo.customers import Customer
from demo.families import plan
from demo.kubectl import DemoFailure, wait
from demo.pods import Application, run_pod
from demo.story import Story

_FOUND = "ContentAgainstConsent"
_DENY = """
import psycopg, sys
with psycopg.connect(open(sys.argv[1]).read()) as database:
    denied = database.execute('UPDATE requests SET deny_recording = true WHERE session_id = %s', (sys.argv[2],))
    print(denied.rowcount)
"""
_LOOK = """
import psycopg, sys
with psycopg.connect(open(sys.argv[1]).read()) as database:
    print(database.execute('SELECT count(*) FROM recordings WHERE session_id = %s', (sys.argv[2],)).fetchone()[0])
"""


def deny_later(story: Story, customer: Customer) -> None:
    """The application notes the refusal of the youngest recorded call; two runs later its recording and object are gone."""
    (job,) = story.jobs[customer.namespace]
    youngest = next(table for table in plan(job) if table.table["name"] == "recordings").rows[-1]
    binding = f"{customer.name}-analytical-app"
    application = Application(customer.namespace, customer.name, (binding,))

    def ask(program: str, expected: str, what: str) -> None:
        words = ["python3", "-c", program, f"/bindings/{binding}/uri", f"general-information-{youngest.session}"]
        said = run_pod(story.kubectl, application, "consent", words, 120).strip()
        print(f"      {what}: {said}", flush=True)
        if said != expected:
            raise DemoFailure(f"{what} in {customer.namespace}: {said}, not {expected}")

    ask(_DENY, "1", "calls whose caller denied the recording after it was stored")
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    wait("the policy to tell what the run found", 180, lambda: story.compliance(customer)["reason"] == _FOUND)
    print(
        f"        Compliant {story.compliance(customer)['status']}, {_FOUND}: {story.compliance(customer)['message']}"
    )
    ask(_LOOK, "1", "recordings of that call after the run that found it")
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    ask(_LOOK, "0", "recordings of that call after the next run")
    job["denied"] = {"recordings": [youngest.session]}
    counts.check(story, "Deleted", customer, told="recordings")
    wait("the policy to be compliant again", 180, lambda: story.compliance(customer)["reason"] != _FOUND)
