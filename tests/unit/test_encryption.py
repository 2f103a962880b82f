"""What the operator says of encryption: what was tried, what was found in the clear, and what nobody can see (T8)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tenant_retention.domain.ports.cluster import STORE_CLASS, Manifest
from tests.support.operator_world import NAMESPACE, Operator, condition, operator_with, policy

LOOK = timedelta(minutes=16)


async def declared(operator: Operator) -> None:
    """The platform states that the volumes of the embedded servers are encrypted."""

    def declare(found: Manifest) -> None:
        found["spec"]["encryptionAtRest"] = "Declared"

    await operator.edit(STORE_CLASS, "embedded-postgresql", None, declare)


async def told(operator: Operator) -> tuple[str, str, str]:
    """Status, reason and message of the condition."""
    found: dict[str, Any] = condition(await operator.settled(), "EncryptionVerified")
    return found["status"], found["reason"], found["message"]


async def test_with_declared_volumes_and_every_store_tried_encryption_is_verified__T8() -> None:
    operator = await operator_with(policy())
    await declared(operator)
    status, reason, _ = await told(operator)
    assert (status, reason) == ("True", "Verified")
    assert set(operator.stores.encryption_probes) == {*operator.stores.databases, *operator.stores.buckets}


async def test_at_rest_nothing_is_pretended_of_a_database_whose_class_does_not_declare_it__T8_D7() -> None:
    operator = await operator_with(policy())
    status, reason, message = await told(operator)
    assert (status, reason) == ("Unknown", "AtRestUnknown")
    assert "Analytical" in message
    assert "spec.encryptionAtRest: Declared" in message
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    await declared(operator)
    operator.clock.forward(LOOK)
    assert (await told(operator))[0] == "True"


async def test_a_store_is_tried_once_in_a_quarter_of_an_hour_and_not_at_every_reconcile__T8() -> None:
    operator = await operator_with(policy())
    await operator.settled()
    stores = len(operator.stores.encryption_probes)
    for _ in range(3):
        await operator.settled()
    assert len(operator.stores.encryption_probes) == stores
    operator.clock.forward(LOOK)
    await operator.settled()
    assert len(operator.stores.encryption_probes) == 2 * stores


async def test_what_is_found_in_the_clear_is_told_once_and_over_restarts_until_it_is_mended__T8() -> None:
    operator = await operator_with(policy())
    await declared(operator)
    await operator.settled()
    (database,) = operator.stores.databases
    operator.stores.in_the_clear = {database: ("pg.example.com lets acme_app_1 in without TLS: write hostssl",)}
    operator.clock.forward(LOOK)
    for _ in range(3):
        assert (await told(operator))[:2] == ("False", "EncryptionMissing")
        assert "write hostssl" in (await told(operator))[2]
        operator.clock.forward(LOOK)
    assert len(operator.told("EncryptionMissing")) == 1
    operator.stores.away = {f"acme-postgresql.{NAMESPACE}.svc"}
    operator.restart()
    assert (await told(operator))[:2] == ("False", "EncryptionMissing"), "nobody has looked again yet"
    operator.stores.away = set()
    operator.stores.in_the_clear = {}
    assert (await told(operator))[0] == "True"


async def test_a_store_that_gives_no_answer_is_not_called_encrypted__T8_D7() -> None:
    operator = await operator_with(policy())
    operator.stores.away = {f"acme-postgresql.{NAMESPACE}.svc"}
    status, reason, message = await told(operator)
    assert (status, reason) == ("Unknown", "NotYetVerified")
    assert "Analytical" in message


async def test_a_store_that_went_away_is_called_encrypted_for_an_hour_at_most__T8_D7() -> None:
    operator = await operator_with(policy())
    await declared(operator)
    await operator.settled()
    operator.stores.away = {f"acme-postgresql.{NAMESPACE}.svc"}
    operator.clock.forward(timedelta(minutes=59))
    assert (await told(operator))[0] == "True"
    operator.clock.forward(timedelta(minutes=1))
    status, reason, message = await told(operator)
    assert (status, reason) == ("Unknown", "NotYetVerified")
    assert "Analytical" in message
