"""One person has one hash in all databases of a policy: who gets whose key, and what a destroyed key means (P12)."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.hash_keys import HashKeyPlan, HashKeyState, plan_hash_keys
from tenant_retention.domain.ports.cluster import Manifest
from tenant_retention.domain.ports.stores import DatabaseOutcome, DatabaseRequest
from tests.support.operator_world import NAMESPACE, Operator, operator_with, policy, profile


def needing(key: str | None = None, *destroyed: str) -> HashKeyState:
    return HashKeyState(True, key, frozenset(destroyed))


IDLE = HashKeyState()


@pytest.mark.parametrize(
    "states, whole, expected",
    [
        ([needing(), needing(), IDLE], True, HashKeyPlan(source="0", targets=("1",))),
        ([needing(), needing()], False, HashKeyPlan()),
        ([needing(), needing("k"), needing()], False, HashKeyPlan(source="1", targets=("0", "2"), first="1")),
        ([needing("k"), needing("k")], True, HashKeyPlan(first="0")),
        ([needing("k"), IDLE], True, HashKeyPlan(first="0")),
        ([IDLE, IDLE], True, HashKeyPlan()),
        ([needing("k"), needing("own")], True, HashKeyPlan(first="0", apart=("1",))),
        (
            [needing("k"), needing("own"), needing()],
            True,
            HashKeyPlan(source="0", targets=("2",), first="0", apart=("1",)),
        ),
        ([needing("k"), needing(None, "k")], True, HashKeyPlan(destroy=("0",), source="0", targets=("1",))),
        ([needing("k"), needing("new", "k")], True, HashKeyPlan(destroy=("0",), source="1", targets=("0",), first="1")),
    ],
    ids=[
        "none has one: the first makes it",
        "one that is away may have it",
        "those that lack it get it of whoever has it",
        "all have it",
        "nobody else needs it",
        "nobody needs one",
        "keys from before are kept",
        "a new database gets the first one's",
        "destroyed in one, destroyed in all, and made anew",
        "destroyed in one that has a new one since",
    ],
)
def test_every_database_of_a_policy_gets_the_one_key__P12(
    states: list[HashKeyState], whole: bool, expected: HashKeyPlan
) -> None:
    assert plan_hash_keys({str(place): state for place, state in enumerate(states)}, whole=whole) == expected


def hashing() -> Manifest:
    """A profile whose callers are hashed."""
    found = profile("dialogue-cloud")
    for table in found["spec"]["tables"]:
        for column in table.get("columns", ()):
            if table["name"] == "call_records" and column.get("role") == "PhoneNumber":
                column["anonymize"] = {"method": "Hash"}
    return found


async def archived(**more: Any) -> Operator:
    """A policy whose calls lie in two databases, live and archived."""
    rule = {"category": "call-records", "keep": "P3Y", "archiveAfter": "P1Y", "anonymizeAfter": "P18M"}
    operator = await operator_with(policy(profile="dialogue-cloud", retention=[rule], **more), hashing())
    await operator.settled()
    return operator


def keys(operator: Operator) -> dict[str, str | None]:
    """By purpose."""
    databases = operator.stores.databases
    return {kept.purpose: operator.stores.hash_keys.get(name) for name, kept in databases.items()}


async def test_the_archive_hashes_with_the_key_of_the_live_database__P12_D3() -> None:
    operator = await archived()
    found = keys(operator)
    assert found["Archive"] == found["Analytical"] is not None
    assert found["Dialogue"] is None, "it hashes nothing"


async def test_a_key_destroyed_in_one_database_is_destroyed_in_all_and_one_new_one_is_made__P12() -> None:
    operator = await archived()
    before = keys(operator)["Analytical"]
    (archive,) = [name for name, kept in operator.stores.databases.items() if kept.purpose == "Archive"]
    operator.stores.destroyed_hash_keys[archive] = {operator.stores.hash_keys.pop(archive)}
    await operator.settled()
    after = keys(operator)
    assert after["Archive"] == after["Analytical"] not in (None, before)


async def test_a_key_from_before_is_kept_and_told_where_it_is__P12() -> None:
    operator = await archived()
    (archive,) = [name for name, kept in operator.stores.databases.items() if kept.purpose == "Archive"]
    operator.stores.hash_keys[archive] = "of before"
    found = await operator.settled()
    assert keys(operator)["Archive"] == "of before"
    (row,) = [each for each in found["status"]["stores"] if each["purpose"] == "Archive"]
    assert "another hash here than in Analytical" in row["message"]


async def test_a_database_that_is_away_keeps_nobody_from_working_and_gets_the_key_later__P12() -> None:
    operator = await archived()
    (archive,) = [name for name, kept in operator.stores.databases.items() if kept.purpose == "Archive"]
    key = operator.stores.hash_keys.pop(archive)
    operator.stores.away.add(f"acme-postgresql.{NAMESPACE}.svc")
    await operator.settled()
    operator.stores.away.clear()
    await operator.settled()
    assert operator.stores.hash_keys[archive] == key


async def test_a_database_that_was_never_made_keeps_the_others_from_no_key__P12() -> None:
    operator = await archived()
    operator.stores.hash_keys.clear()
    (archive,) = [name for name, kept in operator.stores.databases.items() if kept.purpose == "Archive"]
    (entry,) = [found for found in operator.objects("DataStore") if found["spec"].get("name") == archive]
    del operator.stores.databases[archive]
    entry["status"]["phase"] = "Pending"
    prepare = operator.stores.prepare_database

    def never(request: DatabaseRequest) -> DatabaseOutcome:
        if request.name == archive:
            raise Unavailable("it never answered", reason="ServerUnreachable")
        return prepare(request)

    operator.stores.prepare_database = never  # type: ignore[method-assign]
    await operator.policy()
    assert keys(operator)["Analytical"] is not None
