"""LegalHold on a person over fakes: by a Secret of its own, in every database, for as long as it is in force, and never told who (X3)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tenant_retention.domain.ports.cluster import HOLD, SECRET, Manifest
from tenant_retention.domain.subject_secrets import HOLD_ANNOTATION
from tests.support.operator_world import NAMESPACE, Operator, condition, policy
from tests.unit.test_reconcile_holds import NAME, hold, live, ready, ready_of, release, step

SUBJECT = {"secretRef": {"name": NAME}}
REGION = {"phoneDefaultRegion": "NL"}


def secret(phones: str = "06 12345678\n", **changes: Any) -> Manifest:
    meta = {"name": NAME, "namespace": NAMESPACE, "annotations": {HOLD_ANNOTATION: NAME}, **changes.pop("metadata", {})}
    data = {"phones": base64.b64encode(phones.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "immutable": True, "data": data, **changes}


def of_a_person(**spec: Any) -> Manifest:
    found = hold(subject=SUBJECT, **spec)
    del found["spec"]["select"]
    return found


async def placed(*policies: Manifest) -> Operator:
    """A hold on a person that is in force in the databases of these."""
    operator = await ready(*(policies or (policy(**REGION),)))
    operator.cluster.put(of_a_person())
    operator.cluster.put(secret())
    assert ready_of(await step(operator)) == ("True", "HoldPlaced")
    return operator


async def kept_secret(operator: Operator) -> Manifest | None:
    return await operator.cluster.get(SECRET, NAME, NAMESPACE)


async def test_every_database_is_told_digests_alone_and_the_secret_goes_with_the_hold__X3_X2() -> None:
    operator = await placed(policy("acme", **REGION), policy("globex", **REGION))
    first, second = ({key for key, _ in kept.live.items()} for kept in operator.stores.holds.values())
    assert all(person is not None for _, _, _, person, _, _ in first | second)
    assert not first & second, "of two databases nobody can tell that it is one person"
    found = await operator.cluster.get(HOLD, NAME, NAMESPACE) or {}
    (owner,) = (await kept_secret(operator) or {})["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("LegalHold", found["metadata"]["uid"])
    told = json.dumps([found, operator.objects("Event")])
    assert "12345678" not in told
    assert secret()["data"]["phones"] not in told


async def test_a_number_without_a_country_is_placed_where_the_policy_has_a_region_and_told_elsewhere__X3() -> None:
    operator = await ready(policy("acme"), policy("globex", **REGION))
    operator.cluster.put(of_a_person())
    operator.cluster.put(secret())
    found = await step(operator)
    assert ready_of(found) == ("False", "SubjectInvalid")
    assert "of policy acme: phones, line 1: has no country" in condition(found, "Ready")["message"]
    assert (found["status"]["databases"], len(live(operator))) == ("1/2", 1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "SecretNotFound"),
        (secret(immutable=False), "SecretNotUsable"),
        (secret(metadata={"annotations": {HOLD_ANNOTATION: "another"}}), "SecretNotUsable"),
        (secret("anonymous"), "SubjectInvalid"),
    ],
)
async def test_a_secret_that_is_not_the_holds_own_or_names_nobody_places_nothing_and_no_night_is_made_up_for__X3_X2(
    given: Manifest | None, reason: str
) -> None:
    operator = await ready(policy(**REGION))
    operator.cluster.put(of_a_person())
    if given is not None:
        operator.cluster.put(given)
    assert ready_of(await step(operator)) == ("False", reason)
    assert live(operator) == {}
    stores = (await operator.policy())["status"]["stores"]
    assert [store["reason"] for store in stores if store["purpose"] == "Analytical"] == [reason]


async def test_without_its_secret_it_stays_in_force_where_it_is_and_is_not_ready__X3() -> None:
    operator = await placed()
    before = (await operator.cluster.get(HOLD, NAME, NAMESPACE) or {})["status"]
    await operator.cluster.delete(SECRET, NAME, NAMESPACE)
    found = await step(operator)
    assert ready_of(found) == ("False", "SecretNotFound")
    assert found["status"]["stores"] == before["stores"], "what was told of the databases stands"
    assert all(live(operator).values())
    operator.cluster.put(secret())
    assert ready_of(await step(operator)) == ("True", "HoldPlaced")


async def test_the_secret_goes_once_every_database_has_released_the_hold__X3() -> None:
    operator = await placed()
    operator.stores.away.add(f"acme-postgresql.{NAMESPACE}.svc")
    await release(operator)
    await step(operator)
    assert await kept_secret(operator) is not None
    operator.stores.away.clear()
    assert ready_of(await step(operator)) == ("True", "HoldReleased")
    assert await kept_secret(operator) is None
    assert ready_of(await step(operator)) == ("True", "HoldReleased"), "a release needs no Secret"


async def test_a_hold_that_selects_too_much_for_a_database_is_refused_whole__X3() -> None:
    operator = await ready(policy(**REGION))
    operator.cluster.put(hold(subject=SUBJECT, select={"sessions": [str(number) for number in range(9000)]}))
    operator.cluster.put(secret())
    found = await step(operator)
    assert ready_of(found) == ("False", "SpecInvalid")
    assert "make several LegalHolds" in condition(found, "Ready")["message"]
    assert live(operator) == {}
