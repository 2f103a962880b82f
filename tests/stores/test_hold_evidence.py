"""LegalHolds in the chain of evidence: who asked for what, when, and how much it kept; whose rows is nowhere in it (X3, X6)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tenant_retention.domain.ports.evidence import ActEvidence, ActKind, HoldEvidence, RunEvidence
from tests.stores.archiving import LIVE
from tests.stores.servers.postgres import PostgresProcess
from tests.stores.tenant_databases import days_ago
from tests.stores.test_held_persons import ANNA, CASE, person
from tests.stores.test_legal_holds import Customer

UID = "0f4c2b9e-2d4e-4a51-9a5e-8d0f0c1b2a3d"
WANTED = replace(CASE, uid=UID, units=("clinic",), categories=("records", "notes"), born_from=days_ago(900))


@pytest.fixture
def customer(postgres_process: PostgresProcess, tmp_path: Path) -> Customer:
    return Customer(postgres_process, tmp_path)


def chain(customer: Customer, latest: int = 100) -> tuple[RunEvidence, ...]:
    """The newest links, oldest first, of a chain that is whole."""
    login = customer.observer()
    assert customer.stores.observe_database(login).chain_intact
    return tuple(reversed(customer.stores.evidence(login, latest)))


def acts(customer: Customer) -> list[ActEvidence]:
    return [link.act for link in chain(customer) if link.act is not None]


def test_what_is_placed_and_released_is_in_the_evidence_once_and_says_how_much_and_not_whose__X3_X6(
    customer: Customer,
) -> None:
    stores, place = customer.stores, customer.place()
    added = stores.place_hold(place, WANTED).added
    stores.place_hold(place, WANTED)
    (placed,) = acts(customer)
    select = HoldEvidence(
        sessions=0, categories=("records", "notes"), units=1, born_from=WANTED.born_from, born_to=None, person=True
    )
    told = {"hold": WANTED.name, "uid": UID, "combinations": added}
    assert placed == ActEvidence(kind=ActKind.HOLD_PLACED, select=select, **told)
    assert placed.describe().startswith("case-19: 1 units, a person, of records, notes, born from ")
    for _ in range(2):
        stores.release_hold(place, WANTED.name, UID, {"records": 2, "notes": 1})
    assert acts(customer)[1:] == [
        ActEvidence(kind=ActKind.HOLD_RELEASED, held={"records": 2, "notes": 1}, **told),
    ]
    assert acts(customer)[1].describe() == "case-19: 3 rows"
    with customer.owner(LIVE) as owner:
        bodies = str(owner.execute("SELECT body FROM retention.evidence").fetchall())
    assert not [each.value for each in person(ANNA).spellings if each.value in bodies]
    assert "clinic" not in bodies, "a unit may be one person's practice"


def test_hundreds_of_holds_push_no_run_out_of_sight__X3_X6(customer: Customer) -> None:
    customer.night()
    for number in range(5):
        customer.stores.place_hold(customer.place(), replace(CASE, name=f"case-{number}"))
    newest = chain(customer, latest=1)
    assert [link.act is None for link in newest] == [True, *[False] * 5]
