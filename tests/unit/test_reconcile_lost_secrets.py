"""The operator's own Secrets lost or edited: nothing becomes unreadable, what can be made anew is made anew (X5)."""

from __future__ import annotations

import base64
from typing import Any

from tenant_retention.adapters.postgres.passwords import is_verifier_of
from tenant_retention.domain.ports.cluster import SECRET, VOLUME_CLAIM, Manifest
from tests.support.operator_world import NAMESPACE, OPERATOR, Operator, condition, operator_with, policy

SHORTEST: dict[str, Any] = {"retention": [{"category": "recordings", "keep": "P14D"}]}
SERVER_SECRET = "acme-s3-admin"
KEK = "WEED_S3_SSE_KEK"


async def ready() -> Operator:
    operator = await operator_with(policy(**SHORTEST))
    await operator.settled()
    return operator


def own(operator: Operator, what: str) -> Manifest:
    (found,) = [each for each in operator.objects("Secret", OPERATOR) if f"-{what}-" in each["metadata"]["name"]]
    return found


def lose_everything_of_the_operator(operator: Operator) -> None:
    for secret in operator.objects("Secret", OPERATOR):
        operator.cluster.remove(SECRET, secret["metadata"]["name"], OPERATOR)
    operator.restart()


def text(secret: Manifest, key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def server_kek(operator: Operator) -> str:
    return text(operator.cluster.objects[("Secret", NAMESPACE, SERVER_SECRET)], KEK)


async def test_an_operator_that_was_removed_with_its_namespace_leaves_the_objects_readable__X5() -> None:
    operator = await ready()
    before = server_kek(operator)
    lose_everything_of_the_operator(operator)
    found = await operator.settled()
    assert condition(found, "Ready")["status"] == "True"
    assert server_kek(operator) == before
    assert text(own(operator, "s3-admin"), "kek") == before


async def test_no_other_encryption_key_is_made_where_objects_are_and_their_key_is_lost__X5() -> None:
    operator = await ready()
    claim = {"metadata": {"name": "data-acme-s3-0", "namespace": NAMESPACE}, "spec": {"volumeName": "pv-1"}}
    operator.cluster.put({"apiVersion": VOLUME_CLAIM.api_version, "kind": VOLUME_CLAIM.name, **claim})
    lose_everything_of_the_operator(operator)
    operator.cluster.remove(SECRET, SERVER_SECRET, NAMESPACE)
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "SecretNotFound")
    assert "put the key back" in stalled["message"]
    assert ("Secret", NAMESPACE, SERVER_SECRET) not in operator.cluster.objects
    assert not [each for each in operator.objects("Secret", OPERATOR) if "s3-admin" in each["metadata"]["name"]]


async def test_an_edited_administrators_password_reaches_the_server() -> None:
    operator = await ready()
    name = own(operator, "postgresql-admin")["metadata"]["name"]

    def edited(secret: Manifest) -> None:
        secret["data"]["password"] = base64.b64encode(b"another one").decode()

    await operator.edit(SECRET, name, OPERATOR, edited)
    await operator.settled()
    kept = own(operator, "postgresql-admin")
    assert text(kept, "password") == "another one"
    assert is_verifier_of(text(kept, "verifier"), "another one")
    server = operator.cluster.objects[("Secret", NAMESPACE, "acme-postgresql-verifier")]
    assert text(server, "scram-verifier") == text(kept, "verifier")


async def test_a_password_that_no_client_could_type_is_made_anew() -> None:
    operator = await ready()
    name = own(operator, "analytical-logins")["metadata"]["name"]

    def broken(secret: Manifest) -> None:
        secret["data"]["app"] = base64.b64encode(b"two\nlines").decode()

    await operator.edit(SECRET, name, OPERATOR, broken)
    assert condition(await operator.settled(), "Ready")["status"] == "True"
    (database,) = operator.stores.databases.values()
    assert database.passwords["app"] == text(own(operator, "analytical-logins"), "app") != "two\nlines"
