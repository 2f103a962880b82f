"""Digits from before their menu was masked: a run finds them, the next one blanks them, and the record stays (P11)."""

from __future__ import annotations

import itertools
import json

from demo import counts, runs
from demo.customers import Customer
from demo.kubectl import DemoFailure, wait
from demo.pods import Application, run_pod
from demo.story import Story

_TABLE, _COLUMN = "call_interactions", "caller_inputs"
_FOUND = "DigitsUnmasked"
_ENTER = """
import psycopg, sys
with psycopg.connect(open(sys.argv[1]).read()) as database:
    youngest = "SELECT id, started_at FROM call_interactions ORDER BY started_at DESC LIMIT 1"
    change = "UPDATE call_interactions AS c SET caller_inputs = %s FROM (" + youngest + ") AS y"
    try:
        print(database.execute(change + " WHERE (c.id, c.started_at) = (y.id, y.started_at)", [sys.argv[2]]).rowcount)
    except psycopg.DatabaseError as refusal:
        print(refusal.diag.message_detail)
"""
_LOOK = """
import psycopg, sys
with psycopg.connect(open(sys.argv[1]).read()) as database:
    print(database.execute("SELECT count(*) FROM call_interactions WHERE caller_inputs IS NOT NULL").fetchone()[0])
"""


def mask_later(story: Story, customer: Customer) -> None:
    """The platform's profile shows four digits for a while: what a caller enters then is blanked once they are masked again."""
    binding = f"{customer.name}-analytical-app"
    application = Application(customer.namespace, customer.name, (binding,))

    def ask(program: str, *words: str) -> str:
        command = ["python3", "-c", program, f"/bindings/{binding}/uri", *words]
        return run_pod(story.kubectl, application, "digits", command, 120).strip()

    def expect(expected: str, what: str) -> None:
        said = ask(_LOOK)
        print(f"      {what}: {said}", flush=True)
        if said != expected:
            raise DemoFailure(f"{what} in {customer.namespace}: {said}, not {expected}")

    # Other digits each time: a change that leaves a value as it is shows nothing new, and is let through.
    digits = itertools.count(4711)
    _show(story, customer, 4)
    wait("the database to take four digits", 300, lambda: ask(_ENTER, str(next(digits))) == "1")
    _show(story, customer, 0)
    wait("the database to refuse them again", 300, lambda: ask(_ENTER, str(next(digits))) == _FOUND)
    expect("1", "records with digits from before the menu was masked")
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    wait("the policy to tell what the run found", 180, lambda: story.compliance(customer)["reason"] == _FOUND)
    print(
        f"        Compliant {story.compliance(customer)['status']}, {_FOUND}: {story.compliance(customer)['message']}"
    )
    runs.carry_out(story, customer, {"mode": "Enforce"}, "Succeeded")
    expect("0", "records with digits after the next run")
    counts.check(story, "Deleted", customer, told=_TABLE)
    wait("the policy to be compliant again", 180, lambda: story.compliance(customer)["reason"] != _FOUND)


def _show(story: Story, customer: Customer, digits: int) -> None:
    """Edits the profile as the platform would: how many digits of a caller's input may be stored."""
    name = customer.policy["spec"]["profileRef"]["name"]
    tables = story.kubectl.get("retentionprofile", name)["spec"]["tables"]
    (place,) = (number for number, table in enumerate(tables) if table["name"] == _TABLE)
    (column,) = (number for number, each in enumerate(tables[place]["columns"]) if each["name"] == _COLUMN)
    path = f"/spec/tables/{place}/columns/{column}/mask/visibleDigits"
    patch = json.dumps([{"op": "replace", "path": path, "value": digits}])
    story.kubectl.run("patch", "retentionprofile", name, "--type=json", "-p", patch)
    print(f"      {name}: {_COLUMN} of {_TABLE} may show {digits} digits")
