"""LegalHolds on a person: whatever is written of that person stays, and no database has anything by which it can be read (X3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.ports.holds import WantedHold
from tenant_retention.domain.subjects import Subject, parse_subject
from tests.stores.archiving import LIVE
from tests.stores.servers.postgres import PostgresProcess
from tests.stores.test_legal_holds import Bench, Customer, kept  # noqa: F401

ANNA, BERT = "+31612345678", "+31687654321"


def person(number: str) -> Subject:
    return parse_subject({"phones": number.encode()}, "NL")


CASE = WantedHold("case-19", "case 19/2026", subject=person(ANNA))


@pytest.fixture
def customer(postgres_process: PostgresProcess, tmp_path: Path) -> Customer:
    """One customer whose rows are past every keep time in both databases: Anna's, written in two ways, and Bert's."""
    made = Customer(postgres_process, tmp_path)
    made.write(LIVE, 1, 400, "calls", "surveys", "notes", caller=ANNA)
    made.write(LIVE, 2, 400, "calls", "surveys", "notes", caller=BERT)
    made.write(ARCHIVE, 3, 400, "calls", "surveys", caller="06-1234 5678")
    made.write(ARCHIVE, 4, 400, "calls", "surveys", caller=BERT)
    return made


def test_placed_twice_it_is_there_once_beside_one_on_somebody_else__X3(kept: Bench) -> None:  # noqa: F811
    stores, place = kept.stores, kept.place()
    first = stores.place_hold(place, CASE)
    assert first.added == len(person(ANNA).spellings)
    other = WantedHold("case-20", "case 20/2026", subject=person(BERT))
    assert stores.place_hold(place, other).added == len(person(BERT).spellings)
    again = stores.place_hold(place, CASE)
    assert (again.added, again.since) == (0, first.since)
    assert [stores.release_hold(place, CASE.name) for _ in range(2)] == [first.added, 0]
    assert stores.place_hold(place, other).added == 0


def test_a_night_takes_nothing_of_the_person_however_written_and_whenever_until_it_is_released__X3(
    customer: Customer,
) -> None:
    assert customer.hold(CASE) == {LIVE: {"records": 2, "notes": 1}, ARCHIVE: {"records": 2}}
    customer.write(LIVE, 5, 400, "calls", "notes", caller="0031 6 12345678")
    customer.night()
    live, archived = {"calls:1", "surveys:1", "notes:1", "calls:5", "notes:5"}, {"calls:3", "surveys:3"}
    assert (customer.rows(LIVE), customer.rows(ARCHIVE)) == (live, archived)
    customer.release(CASE)
    customer.night()
    assert (customer.rows(LIVE), customer.rows(ARCHIVE)) == (set(), set())


def test_every_selector_beside_the_person_must_match_too__X3(customer: Customer) -> None:
    assert customer.hold(replace(CASE, sessions=("2",)))[LIVE] == {}
    assert customer.hold(replace(CASE, name="case-21", sessions=("1", "2")))[LIVE] == {"records": 2, "notes": 1}


def test_no_two_databases_can_be_compared_and_none_says_who_it_is_nor_knows_it_after_the_release__X2_X3(
    customer: Customer,
) -> None:
    customer.hold(CASE)
    told = {}
    for name in (LIVE, ARCHIVE):
        with customer.owner(name) as owner:
            told[name] = owner.execute("SELECT salt, person FROM retention.hold").fetchall()
            shown = str(owner.execute("SELECT h::text FROM retention.hold AS h").fetchall())
        assert not {each.value for each in person(ANNA).spellings if each.value in shown}
    assert not {salt for salt, _ in told[LIVE]} & {salt for salt, _ in told[ARCHIVE]}
    assert not {digest for _, digest in told[LIVE]} & {digest for _, digest in told[ARCHIVE]}
    customer.release(CASE)
    with customer.owner() as owner:
        assert set(owner.execute("SELECT salt, person FROM retention.hold").fetchall()) == {(None, None)}
