"""A reconcile that is killed before any of its effects is continued by the next process, and ends in the same world."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.domain.ports.cluster import POLICY, STORE, Manifest
from tests.support.operator_world import NAMESPACE, Killed, Operator, operator_with, policy

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}


async def first_time() -> Operator:
    return await operator_with(policy(**SHORTEST))


async def after_an_edit() -> Operator:
    operator = await first_time()
    await operator.settled()

    def shorter(found: Manifest) -> None:
        found["spec"]["retention"] = [{"category": "recordings", "keep": "P7D"}]

    await operator.edit(POLICY, "acme", NAMESPACE, shorter)
    operator.restart()
    return operator


async def after_the_policy_went() -> Operator:
    operator = await first_time()
    await operator.settled()
    operator.cluster.remove(POLICY, "acme", NAMESPACE)
    operator.restart()
    return operator


async def bound_again_by_an_administrator() -> Operator:
    operator = await after_the_policy_went()
    await operator.settled()
    operator.cluster.put(policy(**SHORTEST))
    return await confirmed(operator)


async def after_the_ledger_was_lost() -> Operator:
    operator = await after_the_policy_went()
    await operator.settled()
    for entry in await operator.cluster.list(STORE):
        operator.cluster.remove(STORE, entry["metadata"]["name"])
    operator.cluster.put(policy(**SHORTEST))
    operator.restart()
    return operator


async def bound_again_with_a_ledger_written_anew() -> Operator:
    operator = await after_the_ledger_was_lost()
    await operator.settled()
    return await confirmed(operator)


async def confirmed(operator: Operator) -> Operator:
    for entry in await operator.cluster.list(STORE):

        def confirm(found: Manifest) -> None:
            found["spec"]["claimRef"] = {"namespace": NAMESPACE, "name": "acme"}

        await operator.edit(STORE, entry["metadata"]["name"], None, confirm)
    operator.restart()
    return operator


async def with_a_private_unit() -> Operator:
    return await operator_with(policy(units=[{"name": "beds", "database": "Dedicated"}], **SHORTEST))


async def after_a_unit_was_removed_from_its_empty_database() -> Operator:
    operator = await with_a_private_unit()
    await operator.settled()
    for kept in operator.stores.databases.values():
        kept.rows = 0
    await operator.edit(POLICY, "acme", NAMESPACE, lambda found: found["spec"].pop("units"))
    operator.restart()
    return operator


async def after_the_unit_came_back() -> Operator:
    operator = await after_a_unit_was_removed_from_its_empty_database()
    await operator.settled()

    def again(found: Manifest) -> None:
        found["spec"]["units"] = [{"name": "beds", "database": "Dedicated"}]

    await operator.edit(POLICY, "acme", NAMESPACE, again)
    operator.restart()
    return operator


SCENES = {
    "a private unit": with_a_private_unit,
    "a unit removed": after_a_unit_was_removed_from_its_empty_database,
    "the unit back": after_the_unit_came_back,
    "first time": first_time,
    "after an edit": after_an_edit,
    "after the policy went": after_the_policy_went,
    "bound again": bound_again_by_an_administrator,
    "the ledger lost": after_the_ledger_was_lost,
    "bound again, the ledger lost": bound_again_with_a_ledger_written_anew,
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
async def test_killed_before_any_effect_it_ends_in_the_same_world(scene) -> None:  # type: ignore[no-untyped-def]
    whole = await scene()
    begun = len(whole.effects.effects)
    await whole.settled()
    expected, effects = whole.picture(), len(whole.effects.effects) - begun
    assert effects > 3
    for deadly in range(effects):
        operator = await scene()
        operator.effects.deadly = len(operator.effects.effects) + deadly
        with pytest.raises(Killed):
            await operator.settled()
        operator.effects.deadly = None
        operator.restart()
        await operator.settled()
        assert operator.picture() == expected, f"killed before effect {deadly}: {whole.effects.effects[begun + deadly]}"


async def test_a_store_is_in_the_ledger_before_it_is_made__X5() -> None:
    operator = await first_time()
    await operator.settled()
    effects = operator.effects.effects
    for made in ("create database", "create bucket"):
        first = next(index for index, effect in enumerate(effects) if effect.startswith(made))
        assert any(effect.startswith("create ('DataStore'") for effect in effects[:first])


async def test_a_password_is_kept_before_a_role_gets_it() -> None:
    operator = await first_time()
    await operator.settled()
    effects = operator.effects.effects
    given = next(index for index, effect in enumerate(effects) if effect.startswith("password"))
    assert any("analytical-logins" in effect for effect in effects[:given])
