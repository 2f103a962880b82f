"""Buckets whose endpoint does not do its part, and stores that two want: the next step is named, nothing goes, nobody else
suffers."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.domain.bucket_identities import BucketRole
from tenant_retention.domain.errors import Invalid, RetentionError, Unavailable
from tenant_retention.domain.ports.cluster import SECRET, STORE, Manifest
from tenant_retention.domain.ports.stores import BucketOutcome, BucketRequest
from tests.support.operator_world import NAMESPACE, OPERATOR, Operator, condition
from tests.unit.test_reconcile_bad_input import (
    NEIGHBOUR,
    acme,
    administrator,
    looked_at,
    own_class,
    said_of,
    what_holds_data,
    world_of,
)

URL = "https://s3.acme.example:9000"
STORES = [{"purpose": "Content", "className": "acme-s3"}]
KEYS = {"AWS_ACCESS_KEY_ID": "operator", "AWS_SECRET_ACCESS_KEY": "kept-secret"}
PROBLEMS: dict[str, RetentionError] = {
    "away": Unavailable("cannot look at the bucket: connection refused", reason="ServerUnreachable"),
    "too slow": Unavailable("cannot look at the bucket: it does not answer in time", reason="ServerTooSlow"),
    "wrong certificate": Invalid("spec.existing.tls.caSecretRef: another authority", reason="CertificateInvalid"),
    "wrong key": Invalid("the store refuses the key; put the right one into the Secret", reason="AuthenticationFailed"),
    "no right to create": Invalid("the identity lacks a privilege; allow it", reason="PrivilegesMissing"),
    "a bucket that is not ours": Invalid("bucket x has data and not our marker; rename it", reason="StoreConflict"),
    "a setting that is not kept": Invalid("versioning is not kept; name another class", reason="SettingNotKept"),
}


def s3_class(**existing: Any) -> Manifest:
    """A class for an endpoint that belongs to the customer."""
    endpoint = {"endpoint": URL, "iam": "AWS", "adminSecretRef": {"name": "acme-s3"}, **existing}
    return own_class("acme-s3", type="S3", existing=endpoint)


async def world_with_bucket(**existing: Any) -> Operator:
    """Acme's content lies on the customer's own endpoint."""
    return await world_of(s3_class(**existing), administrator("acme-s3", **KEYS), acme(stores=STORES))


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
@pytest.mark.parametrize("when", ["from the beginning", "later"])
async def test_an_endpoint_that_does_not_do_its_part_is_named_and_nothing_goes__D7_X2(
    problem: RetentionError, when: str
) -> None:
    operator = await world_with_bucket()
    if when == "later":
        assert condition(await operator.settled(), "Ready")["status"] == "True"
    before = what_holds_data(operator)
    operator.stores.refusals[URL] = problem

    found = await looked_at(operator)

    ready, buckets = condition(found, "Ready"), condition(found, "BucketsReady")
    assert (ready["status"], buckets["status"]) == ("False", "False")
    said = said_of(problem, "spec.existing.endpoint", "acme-s3")
    assert (buckets["reason"], buckets["message"]) == (problem.reason, f"Content: {said}")
    assert condition(found, "DatabasesReady")["status"] == "True"
    (row,) = [store for store in found["status"]["stores"] if store["purpose"] == "Content"]
    assert (row["ready"], row["reason"], row["message"]) == (False, problem.reason, said)
    turn = "Stalled" if isinstance(problem, Invalid) else "Reconciling"
    assert (condition(found, turn)["status"], condition(found, turn)["reason"]) == ("True", problem.reason)
    if when == "later":
        assert what_holds_data(operator) == before
    else:
        # Records wait for their content; whatever has none must not outlive its max meanwhile (M10).
        assert len(operator.objects("CronJob", NAMESPACE)) == 1
        (plan,) = [
            each["data"]["plan.json"]
            for each in operator.objects("ConfigMap", NAMESPACE)
            if "plan.json" in each["data"]
        ]
        assert '"awaited":["Content"]' in plan

    operator.stores.refusals.clear()
    healed = await looked_at(operator)
    assert (condition(healed, "Ready")["status"], condition(healed, "Stalled")["status"]) == ("True", "False")


@pytest.mark.parametrize("role", ["App", "Reader", "Enforcer"])
@pytest.mark.parametrize("damage", ["no Secret", "no key"])
async def test_an_identity_made_by_hand_that_is_not_there_is_asked_for_by_field__X2(role: str, damage: str) -> None:
    names = {each: f"acme-{each.lower()}" for each in ("App", "Reader", "Enforcer")}
    static = [{"role": each, "secretRef": {"name": name}} for each, name in names.items()]
    operator = await world_with_bucket(iam="Static", staticCredentials=static)
    for each, name in names.items():
        values = {"AWS_ACCESS_KEY_ID": each} if (each, damage) == (role, "no key") else KEYS
        if (each, damage) != (role, "no Secret"):
            operator.cluster.put(administrator(name, **values))
    stalled = condition(await looked_at(operator), "Stalled")
    reason = "SecretNotFound" if damage == "no Secret" else "SecretInvalid"
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    assert f"spec.existing.staticCredentials[{role}].secretRef.name" in stalled["message"]
    assert names[role] in stalled["message"]
    assert ("create it" if damage == "no Secret" else "add it") in stalled["message"]
    assert "kept-secret" not in stalled["message"]


async def test_of_two_policies_that_want_one_store_the_first_keeps_it_and_the_other_is_told__X2() -> None:
    """The ledger names another policy's store: by a slip of an administrator, or by a restored backup."""
    operator = await world_of(acme())
    await operator.settled()
    before = what_holds_data(operator)
    (neighbours, mine) = (
        next(
            found
            for found in operator.objects("DataStore")
            if (found["spec"]["namespace"], found["spec"]["type"]) == (where, "PostgreSQL")
        )
        for where in (NEIGHBOUR, NAMESPACE)
    )
    claim = dict(neighbours["spec"]["claimRef"])

    def take(found: Manifest) -> None:
        found["spec"]["claimRef"] = {"namespace": NEIGHBOUR, "name": "acme"}

    await operator.edit(STORE, mine["metadata"]["name"], None, take)

    stalled = condition(await looked_at(operator), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StoreReleased")
    for word in ("spec.claimRef", mine["metadata"]["name"], "kubectl patch datastore", NAMESPACE):
        assert word in stalled["message"]
    assert [row for row in what_holds_data(operator)[0] if row[0] != "DataStore"] == [
        row for row in before[0] if row[0] != "DataStore"
    ]
    assert what_holds_data(operator)[1:] == before[1:]
    entries = {found["metadata"]["name"]: found for found in operator.objects("DataStore")}
    assert entries[neighbours["metadata"]["name"]]["spec"]["claimRef"] == claim

    await operator.edit(STORE, mine["metadata"]["name"], None, _give_back)
    assert condition(await looked_at(operator), "Ready")["status"] == "True"


def _give_back(found: Manifest) -> None:
    found["spec"]["claimRef"] = {"namespace": NAMESPACE, "name": "acme"}


async def test_an_entry_that_somebody_else_wrote_a_moment_ago_is_looked_at_before_anything_is_made__X5() -> None:
    operator = await world_of()
    taken: list[str] = []
    create = operator.cluster.create

    async def lost_race(manifest: Manifest) -> Manifest | None:
        made = await create(manifest)
        if manifest["kind"] == STORE.name and manifest["metadata"]["name"] not in taken:
            taken.append(manifest["metadata"]["name"])
            return None
        return made

    operator.cluster.create = lost_race  # type: ignore[method-assign]  # the other one is faster by a moment
    operator.cluster.put(acme())
    found = await operator.policy()
    assert condition(found, "Reconciling")["status"] == "True"
    assert "looking again" in condition(found, "Reconciling")["message"]
    assert [name for name in operator.stores.databases if "acme_acme" in name] == []
    assert condition(await looked_at(operator), "Ready")["status"] == "True"
    assert len(taken) == 2


async def test_no_secret_of_a_class_ever_leaves_the_operators_namespace__X2() -> None:
    operator = await world_with_bucket()
    await operator.settled()
    assert await operator.cluster.get(SECRET, "acme-s3", OPERATOR) is not None
    for found in operator.objects("Secret"):
        if found["metadata"]["namespace"] != OPERATOR:
            assert "a2VwdC1zZWNyZXQ=" not in found["data"].values(), found["metadata"]


def app_secret(operator: Operator) -> Any:
    """What the application of the bucket is given."""
    (found,) = [
        each for each in operator.objects("Secret", NAMESPACE) if each["metadata"]["name"] == "acme-content-app"
    ]
    return found["data"]


@pytest.mark.parametrize("problem", [PROBLEMS["away"], PROBLEMS["a setting that is not kept"]])
async def test_a_bucket_that_is_left_unfinished_after_a_key_was_issued_is_not_ready_and_the_key_is_kept__D7(
    problem: RetentionError, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await world_with_bucket()
    whole = operator.stores.prepare_bucket
    unfinished: list[str] = []

    def half(request: BucketRequest) -> BucketOutcome:
        done = whole(request)
        if unfinished or request.server.url != URL:
            return done
        unfinished.append(request.name)
        return BucketOutcome({BucketRole.APP: done.keys[BucketRole.APP]}, done.changes, problem)

    monkeypatch.setattr(operator.stores, "prepare_bucket", half)
    for _ in range(5):
        found = await operator.policy()
        if unfinished:
            break
    for name in ("Ready", "BucketsReady"):
        assert (condition(found, name)["status"], condition(found, name)["reason"]) == ("False", problem.reason)
    issued = app_secret(operator)
    assert condition(await looked_at(operator), "Ready")["status"] == "True"
    assert app_secret(operator) == issued, "the same key, handed out at once"
