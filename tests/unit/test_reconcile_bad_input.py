"""Bad input, seen by the whole reconcile over fakes: the field and the next step are named, nothing goes, nobody else suffers."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.adapters.fakes.stores import KeptDatabase
from tenant_retention.domain.errors import Invalid, RetentionError, Unavailable
from tenant_retention.domain.manifests.inputs import Image
from tenant_retention.domain.ports.cluster import NAMESPACE as NAMESPACE_KIND
from tenant_retention.domain.ports.cluster import POLICY, PROFILE, STORE, Manifest
from tenant_retention.reconcile.dispatch import Reconcile
from tests.support.operator_world import (
    NAMESPACE,
    OPERATOR,
    Operator,
    condition,
    namespace,
    policy,
    profile,
)

NEIGHBOUR = "customer-globex"
HOST = "pg.acme.example"
RETENTION = [{"category": "general-information", "keep": "P180D"}, {"category": "recordings", "keep": "P14D"}]
STORES = [{"purpose": "Analytical", "className": "acme-pg"}]


def own_class(name: str = "acme-pg", host: str = HOST, **spec: Any) -> Manifest:
    """A class for a server that belongs to the customer."""
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataStoreClass",
        "metadata": {"name": name},
        "spec": {
            "type": "PostgreSQL",
            "provisioner": "Existing",
            "existing": {"host": host, "adminSecretRef": {"name": "acme-pg"}},
            **spec,
        },
    }


def administrator(name: str = "acme-pg", **values: str) -> Manifest:
    """The Secret that the class names."""
    kept = values or {"username": "operator", "password": "kept-secret"}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in kept.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": OPERATOR},
        "data": data,
    }


async def world_of(*objects: Manifest) -> Operator:
    """A neighbour that is ready, and whatever else a test puts beside it."""
    operator = Operator(
        namespace(NAMESPACE),
        namespace(NEIGHBOUR),
        profile(),
        policy(where=NEIGHBOUR, retention=RETENTION),
    )
    # The default classes come first, as on a cluster: the operator makes them at its start.
    await operator.start()
    for each in (own_class(), administrator(), *objects):
        operator.cluster.put(each)
    await operator.settled(where=NEIGHBOUR)
    return operator


def acme(**spec: Any) -> Manifest:
    """The policy that things happen to."""
    return policy(**{"retention": RETENTION, **spec})


def neighbours_world(operator: Operator) -> list[Any]:
    """Everything that is the neighbour's: objects, database and bucket."""
    objects = [found for (_, where, _), found in operator.cluster.objects.items() if where == NEIGHBOUR]
    databases = {name: repr(kept) for name, kept in operator.stores.databases.items() if "globex" in name}
    buckets = {name: repr(kept) for name, kept in operator.stores.buckets.items() if "globex" in name}
    return [objects, databases, buckets]


def acmes_database(operator: Operator) -> KeptDatabase:
    """The only database of the policy that things happen to."""
    (found,) = [kept for name, kept in operator.stores.databases.items() if name.startswith("customer_acme")]
    return found


async def looked_at(operator: Operator, name: str = "acme") -> Manifest:
    """Reconciles the policy until it rests, and checks that the neighbour noticed nothing."""
    before = neighbours_world(operator)
    found = await operator.settled(name)
    await operator.settled(where=NEIGHBOUR)
    assert neighbours_world(operator) == before
    (globex,) = operator.objects("TenantRetentionPolicy", NEIGHBOUR)
    assert condition(globex, "Ready")["status"] == "True"
    return found


def what_holds_data(operator: Operator) -> list[Any]:
    """What must never go by bad input: stores, volumes' owners, credentials, the schedule."""
    kinds = ("StatefulSet", "Secret", "CronJob", "ConfigMap", "DataStore")
    objects = [
        (kind, found["metadata"]["name"], found.get("spec")) for kind in kinds for found in operator.objects(kind)
    ]
    return [objects, sorted(operator.stores.databases), sorted(operator.stores.buckets)]


PROBLEMS: dict[str, RetentionError] = {
    "away": Unavailable(f"PostgreSQL at {HOST}:5432: connection refused", reason="ServerUnreachable"),
    "too slow": Unavailable(f"PostgreSQL at {HOST}:5432: timeout; the server took too long", reason="ServerTooSlow"),
    "too old": Invalid(f"{HOST} is PostgreSQL 14; at least 15 is needed: upgrade it", reason="ServerTooOld"),
    "wrong certificate": Invalid(f"{HOST}: certificate; check the CA of the class", reason="CertificateInvalid"),
    "wrong password": Invalid(f"{HOST}: refused; check the Secret", reason="AuthenticationFailed"),
    "no right to create": Invalid(f"{HOST}: needs CREATEDB", reason="PrivilegesMissing"),
    "a store that is not ours": Invalid("database x exists without marker; rename it", reason="StoreConflict"),
}


FIELDS = {
    "CertificateInvalid": "spec.existing.tls.caSecretRef",
    "AuthenticationFailed": "spec.existing.adminSecretRef",
    "PrivilegesMissing": "spec.existing.adminSecretRef",
}


def said_of(problem: RetentionError, address: str, class_name: str) -> str:
    """What the user reads: the server's word and the class's field that leads to it."""
    field = address if problem.reason.startswith("Server") else FIELDS.get(problem.reason)
    return f"{problem.message} ({field} of DataStoreClass {class_name})" if field else problem.message


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
@pytest.mark.parametrize("when", ["from the beginning", "later"])
async def test_a_server_that_does_not_do_its_part_is_named_and_nothing_goes__D7_X2(
    problem: RetentionError, when: str
) -> None:
    operator = await world_of(acme(stores=STORES))
    if when == "later":
        await operator.settled()
    before = what_holds_data(operator)
    operator.stores.refusals[HOST] = problem

    found = await looked_at(operator)

    ready, databases = condition(found, "Ready"), condition(found, "DatabasesReady")
    assert (ready["status"], databases["status"]) == ("False", "False")
    assert databases["reason"] == problem.reason
    assert databases["message"] == f"Analytical: {said_of(problem, 'spec.existing.host', 'acme-pg')}"
    (row,) = [store for store in found["status"]["stores"] if store["purpose"] == "Analytical"]
    assert (row["ready"], row["reason"], row["message"]) == (
        False,
        problem.reason,
        said_of(problem, "spec.existing.host", "acme-pg"),
    )
    turn = "Stalled" if isinstance(problem, Invalid) else "Reconciling"
    assert (condition(found, turn)["status"], condition(found, turn)["reason"]) == ("True", problem.reason)
    assert condition(found, "Compliant")["status"] != "True"
    if when == "later":
        assert what_holds_data(operator) == before

    operator.stores.refusals.clear()
    healed = await looked_at(operator)
    assert condition(healed, "Ready")["status"] == "True"
    assert condition(healed, "Stalled")["status"] == "False"


async def test_while_one_of_two_databases_is_away_nobody_is_called_compliant__D7_X4() -> None:
    operator = await world_of(profile("dialogue-cloud"), policy("desk", profile="dialogue-cloud", stores=[
        {"purpose": "Dialogue", "className": "acme-pg"}]))  # fmt: skip
    await operator.settled("desk")
    operator.stores.refusals[HOST] = PROBLEMS["away"]

    found = await looked_at(operator, "desk")

    compliant = condition(found, "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("Unknown", "ServerUnreachable")
    assert "Dialogue" in compliant["message"]
    assert "overdue" not in found["status"]

    analytical = next(
        kept for name, kept in operator.stores.databases.items() if "analytical" in name and "desk" in name
    )
    analytical.overdue = 4
    found = await looked_at(operator, "desk")
    assert condition(found, "Compliant")["reason"] == "DeletionDebt"


async def test_a_chain_of_evidence_that_somebody_broke_is_never_compliant__X6() -> None:
    operator = await world_of(acme())
    await operator.settled()
    database = acmes_database(operator)
    database.chain_intact = False
    compliant = condition(await operator.settled(), "Compliant")
    assert (compliant["status"], compliant["reason"]) == ("False", "EvidenceBroken")
    assert "keep a copy of retention.evidence" in compliant["message"]


REFUSED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "keep above max": (
        {"retention": [{"category": "recordings", "keep": "P6Y"}]},
        "KeepOutOfBounds",
        "spec.retention[recordings].keep",
        "write P5Y or shorter",
    ),
    "content longer than its record": (
        {
            "retention": [
                {"category": "general-information", "keep": "P30D"},
                {"category": "recordings", "keep": "P31D"},
            ]
        },
        "ContentOutlivesRecord",
        "spec.retention[recordings].keep",
        "write P30D or shorter, or keep the record longer",
    ),
    "unknown category": (
        {"retention": [{"category": "shoes", "keep": "P30D"}]},
        "CategoryUnknown",
        "spec.retention[shoes].category",
        "it has chat-logs, general-information, recordings",
    ),
    "a duration that admission never saw": (
        {"retention": [{"category": "recordings", "keep": "P1Y6M"}]},
        "InvalidDuration",
        "spec.retention.0.keep",
        "such as P30D, P6M or P1Y",
    ),
    "a window longer than the day": (
        {"window": {"start": "01:00", "duration": "PT25H"}},
        "InvalidDuration",
        "spec.window.duration",
        "write whole hours from PT1H to PT24H",
    ),
    "a window that opens at no time": (
        {"window": {"start": "24:00", "duration": "PT4H"}},
        "InvalidDuration",
        "spec.window.start",
        "write hours and minutes such as 01:00",
    ),
    "a time zone that climbs out": (
        {"timeZone": "../../etc/passwd"},
        "TimeZoneUnknown",
        "spec.timeZone",
        "write an IANA name such as Europe/Amsterdam",
    ),
    "a time zone of nowhere": ({"timeZone": "Mars/Olympus"}, "TimeZoneUnknown", "spec.timeZone", "Europe/Amsterdam"),
    "a field of no kind": (
        {"guard": {"maxDeletedPercent": 0}},
        "SpecInvalid",
        "spec.guard.maxDeletedPercent",
        "correct it",
    ),
    "a store that the profile does not need": (
        {"stores": [{"purpose": "Dialogue", "className": "acme-pg"}]},
        "ClassInvalid",
        "spec.stores[Dialogue].purpose",
        "remove the entry",
    ),
    "a class of another type": (
        {"stores": [{"purpose": "Content", "className": "acme-pg"}]},
        "ClassInvalid",
        "spec.stores[Content].className",
        "name a class of that type",
    ),
    "a class of another region": (
        {"stores": [{"purpose": "Analytical", "className": "acme-pg", "region": "APAC"}]},
        "ClassInvalid",
        "spec.stores[Analytical].region",
        "name a class of that region",
    ),
}


@pytest.mark.parametrize("spec, reason, field, advice", REFUSED.values(), ids=REFUSED.keys())
async def test_what_got_past_admission_stalls_with_the_field_and_the_next_step__X1(
    spec: dict[str, Any], reason: str, field: str, advice: str
) -> None:
    operator = await world_of(acme(**spec))
    stalled = condition(await looked_at(operator), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    assert field in stalled["message"]
    assert advice in stalled["message"]
    # A database that is there and in use waits neither for a bucket that cannot be made nor for a time zone (M10).
    begins = field == "spec.stores[Content].className" or spec == {"timeZone": "Mars/Olympus"}
    assert bool(operator.objects("CronJob", NAMESPACE)) == begins


@pytest.mark.parametrize("spec, reason, field, advice", REFUSED.values(), ids=REFUSED.keys())
async def test_an_edit_that_got_past_admission_takes_nothing_away__X1_M10(
    spec: dict[str, Any], reason: str, field: str, advice: str
) -> None:
    operator = await world_of(acme())
    await operator.settled()
    before = what_holds_data(operator)

    def worsen(found: Manifest) -> None:
        found["spec"].update(spec)

    await operator.edit(POLICY, "acme", NAMESPACE, worsen)
    stalled = condition(await looked_at(operator), "Stalled")
    # A store that is there does not move, whatever else is wrong with the class that is named now.
    moves = field.startswith("spec.stores[") and "Dialogue" not in field
    assert (stalled["status"], stalled["reason"]) == ("True", "StoreConflict" if moves else reason)
    assert what_holds_data(operator) == before


async def test_with_a_wrong_time_zone_the_nightly_run_still_follows_the_rules_in_the_database__M10() -> None:
    operator = await world_of(acme())
    await operator.settled()

    def edit(found: Manifest) -> None:
        found["spec"] |= {"timeZone": "Mars/Olympus", "retention": [{"category": "recordings", "keep": "P7D"}]}

    await operator.edit(POLICY, "acme", NAMESPACE, edit)
    found = await looked_at(operator)
    assert condition(found, "Stalled")["reason"] == "TimeZoneUnknown"
    database = acmes_database(operator)
    assert database.definition is not None
    (plan,) = [found for found in operator.objects("ConfigMap", NAMESPACE) if found["metadata"]["name"] == "acme-plan"]
    assert database.definition.rules_digest() in plan["data"]["plan.json"], "the run would be refused: RulesChanged"


async def test_with_a_wrong_window_an_upgraded_program_is_what_runs_at_the_time_of_before__M10() -> None:
    operator = await world_of(acme())
    await operator.settled()
    before = operator.objects("CronJob", NAMESPACE)[0]
    await operator.edit(POLICY, "acme", NAMESPACE, lambda found: found["spec"].update(timeZone="Mars/Olympus"))
    images = operator.world.images
    operator.restart()
    operator.world = replace(operator.world, images=replace(images, job=Image("job:2")))
    operator.reconcile = Reconcile(operator.world)
    assert condition(await operator.settled(), "Stalled")["reason"] == "TimeZoneUnknown"
    after = operator.objects("CronJob", NAMESPACE)[0]
    wanted = copy.deepcopy(before["spec"])
    wanted["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "job:2"
    assert after["spec"] == wanted, "a program of before refuses the plan of today"


@pytest.mark.parametrize(
    "name",
    ["o'brien", 'say-"hi"', "a; DROP TABLE b", "nul\0byte", "two\nlines", "n" * 300, "-", "Upper", "a/../b", "日本"],
    ids=["quote", "double quote", "semicolon", "NUL", "newline", "300", "hyphen", "upper", "path", "not ASCII"],
)
async def test_a_hostile_policy_name_is_refused_by_field_and_makes_nothing__X2(name: str) -> None:
    operator = await world_of(policy(name, retention=RETENTION))
    stalled = condition(await looked_at(operator, name), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidName")
    assert "metadata.name" in stalled["message"]
    assert len(operator.stores.databases) == 1
    assert operator.objects("Secret", NAMESPACE) == []


async def test_two_policies_whose_names_are_equal_after_cutting_share_nothing__X2() -> None:
    long = "a-name-as-long-as-a-name-is-allowed-to-"
    operator = await world_of(policy(f"{long}1", retention=RETENTION), policy(f"{long}2", retention=RETENTION))
    await looked_at(operator, f"{long}1")
    await looked_at(operator, f"{long}2")
    mine = [kept for name, kept in operator.stores.databases.items() if name.startswith("customer_acme")]
    assert len(mine) == 2
    assert set(mine[0].passwords.values()).isdisjoint(mine[1].passwords.values())
    jobs = [found["metadata"]["name"] for found in operator.objects("CronJob", NAMESPACE)]
    assert len(set(jobs)) == 2


async def test_a_class_that_the_namespace_may_not_use_makes_nothing_and_harms_nobody__X2() -> None:
    gold = own_class("gold", allowedNamespaces={"matchLabels": {"tier": "gold"}})
    operator = await world_of(gold, acme(stores=[{"purpose": "Analytical", "className": "gold"}]))
    stalled = condition(await looked_at(operator), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ClassNotAllowed")
    for word in ("spec.stores[Analytical].className", "gold", NAMESPACE, "label the namespace or name another class"):
        assert word in stalled["message"]
    assert not [name for name in operator.stores.databases if name.startswith("customer_acme")]


@pytest.mark.parametrize(
    "secret, reason",
    [(None, "SecretNotFound"), ({"username": "operator"}, "SecretInvalid")],
    ids=["no Secret", "no key"],
)
async def test_a_class_whose_secret_is_wrong_is_asked_for_by_field(secret: dict[str, str] | None, reason: str) -> None:
    other = own_class("other", existing={"host": HOST, "adminSecretRef": {"name": "other"}})
    objects = [] if secret is None else [administrator("other", **secret)]
    operator = await world_of(other, *objects, acme(stores=[{"purpose": "Analytical", "className": "other"}]))
    stalled = condition(await looked_at(operator), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    assert "Secret other" in stalled["message"]
    assert "kept-secret" not in stalled["message"]


@pytest.mark.parametrize("missing", ["profile", "class"])
async def test_what_is_missing_is_waited_for_and_then_asked_for_and_the_neighbour_goes_on(missing: str) -> None:
    spec: dict[str, Any] = {"stores": [{"purpose": "Analytical", "className": "later"}]} if missing == "class" else {}
    operator = await world_of(
        policy(profile="later" if missing == "profile" else "puzzel-archive", retention=RETENTION, **spec)
    )
    found = await looked_at(operator)
    assert condition(found, "Reconciling")["reason"] == f"WaitingFor{missing.capitalize()}"
    assert condition(found, "Stalled")["status"] == "False"
    operator.clock.forward(timedelta(minutes=5))
    found = await operator.settled()
    stalled = condition(found, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", f"{missing.capitalize()}NotFound")
    assert "later" in stalled["message"]
    assert "create it" in stalled["message"]


def broken_class() -> Manifest:
    found = own_class("broken")
    found["spec"]["existing"]["port"] = "many"
    return found


def broken_profile() -> Manifest:
    found = profile()
    found["metadata"]["name"] = "broken"
    found["spec"]["categories"][0]["max"] = "for ever"
    return found


def contradicting_profile() -> Manifest:
    found = profile()
    found["metadata"]["name"] = "contradicting"
    found["spec"]["categories"][0] |= {"min": "P6Y", "earlyDeletion": "Refused", "ground": "Statutory"}
    return found


@pytest.mark.parametrize("broken", [broken_class, broken_profile, contradicting_profile])
async def test_somebody_elses_broken_catalogue_entry_stops_nobody__X2(broken: Callable[[], Manifest]) -> None:
    entry = broken()
    operator = await world_of(entry, acme())
    assert condition(await looked_at(operator), "Ready")["status"] == "True"
    await operator.reconcile(entry["kind"], "", entry["metadata"]["name"])
    (told,) = [
        found for found in operator.objects(entry["kind"]) if found["metadata"]["name"] == entry["metadata"]["name"]
    ]
    ready = condition(told, "Ready")
    assert ready["status"] == "False"
    assert ready["reason"] in ("ClassInvalid", "ProfileInvalid")
    assert "spec." in ready["message"]


async def test_somebody_elses_broken_ledger_entry_stops_nobody__X2() -> None:
    operator = await world_of(acme())
    await operator.settled()
    entry = next(found for found in operator.objects("DataStore") if found["spec"]["namespace"] == NEIGHBOUR)

    def worsen(found: Manifest) -> None:
        found["spec"]["type"] = "Cards"

    await operator.edit(STORE, entry["metadata"]["name"], None, worsen)
    assert condition(await operator.policy(), "Ready")["status"] == "True"
    globex = await operator.policy(where=NEIGHBOUR)
    assert condition(globex, "Stalled")["reason"] == "StoreConflict"
    assert entry["metadata"]["name"] in condition(globex, "Stalled")["message"]


async def test_a_profile_whose_min_is_longer_than_its_max_keeps_the_last_good_rules_in_force__X1_M8() -> None:
    operator = await world_of(acme())
    await operator.settled()
    before = what_holds_data(operator)

    def contradict(found: Manifest) -> None:
        found["spec"]["categories"][0] |= {"min": "P6Y", "earlyDeletion": "Refused", "ground": "Statutory"}

    await operator.edit(PROFILE, "puzzel-archive", None, contradict)
    stalled = condition(await operator.settled(), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ProfileInvalid")
    assert "spec.categories[general-information]" in stalled["message"]
    assert "change the profile" in stalled["message"]
    assert what_holds_data(operator) == before


async def test_in_a_terminating_namespace_nothing_is_made_and_the_neighbour_goes_on() -> None:
    operator = await world_of(acme())
    await operator.settled()
    before = what_holds_data(operator)
    home = operator.cluster.objects[(NAMESPACE_KIND.name, None, NAMESPACE)]
    home["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    stalled = condition(await looked_at(operator), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "NamespaceTerminating")
    assert "metadata.namespace" in stalled["message"]
    assert "once the namespace is there again, or apply it in another one" in stalled["message"]
    assert what_holds_data(operator) == before
