"""What anonymization leaves of a row: the methods that the profile gives its columns, seen in the rows themselves."""

from __future__ import annotations

import json

from demo.customers import Customer
from demo.kubectl import DemoFailure
from demo.pods import Application, run_pod
from demo.story import Story

AGE = "18 months"
"""The policy's anonymizeAfter, as PostgreSQL writes it."""
_LOOK = """
import json, psycopg, sys
told = {}
for uri in sys.argv[2:]:
    with psycopg.connect(open(uri).read()) as database:
        calls = "SELECT started_at::text, caller, called, caller_name, result FROM call_records WHERE started_at "
        older, younger = f"< now() - interval '{sys.argv[1]}' - interval '1 day'", f"> now() - interval '{sys.argv[1]}'"
        one = lambda edge, order: database.execute(calls + edge + " ORDER BY started_at " + order + " LIMIT 1").fetchone()
        telling = " AND (caller IS NOT NULL OR called IS NOT NULL OR caller_name <> 'removed')"
        agents = "SELECT DISTINCT agent FROM call_legs WHERE agent IS NOT NULL AND started_at "
        told[uri] = {
            "younger": one(younger, "ASC"),
            "older": one(older, "DESC"),
            "telling": database.execute("SELECT count(*) FROM call_records WHERE started_at " + older + telling).fetchone()[0],
            "agents": sorted(agent for (agent,) in database.execute(agents + older)),
        }
print(json.dumps(told))
"""
"""In each database: a call on either side of the age, older calls that still tell of a person, and the agents of older calls."""


def look(story: Story, customer: Customer) -> None:
    """Calls before and after they lost the person; DemoFailure where one still tells, or one agent has two pseudonyms."""
    paths = {"archive": customer.bindings()["Archive"]}
    paths |= {place.name: customer.bindings(place)["Analytical"] for place in customer.further}
    places, bindings = tuple(paths), tuple(path.removeprefix("/bindings/") for path in paths.values())
    command = ["python3", "-c", _LOOK, AGE, *(f"{path}/uri" for path in paths.values())]
    application = Application(customer.namespace, customer.name, bindings)
    told = json.loads(run_pod(story.kubectl, application, "persons", command, 120))
    pseudonyms = []
    for place, found in zip(places, told.values(), strict=True):
        print(f"      {place}:")
        for side in ("younger", "older"):
            born, caller, called, name, result = found[side]
            print(f"        {born}  caller {caller}, called {called}, name {name}, result {result}")
        pseudonyms.append(set(found["agents"]))
        if found["telling"] or not all(agent.startswith("hmac:") for agent in found["agents"]):
            raise DemoFailure(f"older calls of {place} still tell of a person: {found['telling']}")
    common = set.intersection(*pseudonyms)
    print(
        f"      agents: {len(set.union(*pseudonyms))} pseudonyms, {len(common)} of them in all {len(places)} databases,"
    )
    print(f"        such as {min(common, default='none')}")
    if len(set.union(*pseudonyms)) > len(max(pseudonyms, key=len)):
        raise DemoFailure("an agent has another pseudonym in another database")
