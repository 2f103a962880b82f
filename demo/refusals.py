"""What the database itself refuses, whoever asks: deleting early, storing what a caller did not consent to, and digits that a
menu masks (M8, P10, P11)."""

from __future__ import annotations

from demo.customers import Customer
from demo.kubectl import DemoFailure
from demo.pods import Application, run_pod
from demo.story import Story

_DELETE = """
import psycopg, sys
from psycopg import sql
connection = psycopg.connect(open(sys.argv[1]).read())
try:
    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("public", sys.argv[2])))
except psycopg.errors.InsufficientPrivilege as refusal:
    print("refused:", str(refusal).splitlines()[0])
"""
_RECORD = """
import psycopg, sys
connection = psycopg.connect(open(sys.argv[1]).read())
connection.execute("INSERT INTO call_records (id, started_at, session_id, recording_refused)"
    " VALUES (gen_random_uuid(), now(), 'refused', true)")
try:
    connection.execute("INSERT INTO recordings (id, started_at, session_id, object_key)"
        " VALUES (gen_random_uuid(), now(), 'refused', 'recordings/refused')")
except psycopg.Error as refusal:
    print("refused:", refusal.sqlstate, str(refusal).splitlines()[0])
connection.rollback()
"""
"""A call whose caller refuses, and its recording; the call is taken back, so that the counts stay as they were."""
_ENTER = """
import psycopg, sys
connection = psycopg.connect(open(sys.argv[1]).read())
enter = ("INSERT INTO call_interactions (id, started_at, session_id, caller_inputs)"
    " VALUES (gen_random_uuid(), now(), 'masked', %s)")
try:
    connection.execute(enter, ("4711",))
except psycopg.Error as refusal:
    print("refused:", refusal.sqlstate, refusal.diag.message_detail + ":", str(refusal).splitlines()[0])
connection.rollback()
"""
"""What a caller entered in a menu whose digits are masked."""


def deleting(story: Story, customer: Customer, role: str) -> None:
    """Tries to delete everything in the customer's first table by this role; DemoFailure if the database lets it."""
    table = customer.profile["tables"][0]["name"]
    _tried(story, customer, role, _DELETE, table)


def recording(story: Story, customer: Customer) -> None:
    """Tries to store the recording of a call whose caller refused it; DemoFailure if the database lets it."""
    _tried(story, customer, "app", _RECORD)


def digits(story: Story, customer: Customer) -> None:
    """Tries to store digits that were entered in a masked menu; DemoFailure if the database lets it, or repeats them."""
    if "4711" in _tried(story, customer, "app", _ENTER):
        raise DemoFailure("the refusal repeats the masked digits")


def _tried(story: Story, customer: Customer, role: str, program: str, *arguments: str) -> str:
    binding = f"{customer.name}-analytical-{role}"
    application = Application(customer.namespace, customer.name, (binding,))
    command = ["python3", "-c", program, f"/bindings/{binding}/uri", *arguments]
    said = run_pod(story.kubectl, application, f"early-{role}", command, 120).strip()
    if not said.startswith("refused:"):
        raise DemoFailure(f"the database of {customer.namespace} did not refuse the {role} role: {said}")
    print(f"      {customer.namespace}, {role}: {said}")
    return said
