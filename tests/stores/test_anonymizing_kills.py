"""kill -9 of the engine at every effect point of a night that anonymizes: nothing early, nothing left, nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.stores.enforcement_archive import LiveArchive
from tests.stores.test_anonymizing_contract import RECORDS
from tests.stores.test_enforcement_contract import archive_like
from tests.stores.test_enforcement_kills import KILLED, Engine, engine

__all__ = ["engine"]


def test_killed_at_any_effect_the_next_run_takes_the_person_out_of_what_is_due_and_of_nothing_else__X6_X3(
    acme: LiveArchive, engine: Engine
) -> None:
    acme.define(archive_like(acme, anonymize_after="P90D"))
    write_every_month_anew(acme)
    now = datetime.now(UTC)
    acme.call("young", now - timedelta(days=89, hours=12), "requests")
    acme.call("held", now - timedelta(days=100), "requests")
    acme.hold("held")
    arrange(acme, now, 0)
    status, calls = engine.run("never")
    assert status == 0, (acme.directory / "engine.log").read_text()
    assert acme.callers() == {"young", "held"}
    assert written_anew(acme) >= 2
    points = [(1, "before"), *((number, "after") for number in range(1, calls + 1))]
    for turn, (number, when) in enumerate(points, start=1):
        rows = len(acme.left())
        due = arrange(acme, now, turn)
        told = acme.observer().evidence(1)[0].sequence
        status, _ = engine.run(f"{number} {when}")
        assert status == KILLED, f"effect {number} of {calls} was never reached"
        assert {"young", "held"} <= acme.callers() <= {"young", "held"} | due, f"early: {number} {when}"
        status, _ = engine.run("never")
        assert status == 0, f"after {number} {when}: {(acme.directory / 'engine.log').read_text()[-4000:]}"
        assert acme.callers() == {"young", "held"}, f"after {number} {when}"
        assert len(acme.left()) == rows + len(due), "the rows stay"
        links = [link for link in acme.observer().evidence(1000) if link.sequence > told]
        counted = sum(each.anonymized or 0 for link in links for each in link.categories if each.category == RECORDS)
        assert counted == len(due), f"each row is told once: {number} {when}"
    assert acme.observer().observe().chain_intact
    assert halves(acme) == 0


def write_every_month_anew(acme: LiveArchive) -> None:
    """Months without a held row are written anew, however few rows they have."""
    with acme.owner() as owner:
        owner.execute(
            "CREATE OR REPLACE FUNCTION retention.rewrite_floor() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"
        )


def written_anew(acme: LiveArchive) -> int:
    """The months of which that is proven."""
    with acme.owner() as owner:
        proven = "SELECT count(*) FROM retention.anonymized_month WHERE proven_at IS NOT NULL"
        return int(owner.execute(proven).fetchall()[0][0])


def halves(acme: LiveArchive) -> int:
    """Tables that a rewrite left over."""
    with acme.owner() as owner:
        left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname ~ '_(rewrite|before)$'"
        return int(owner.execute(left).fetchall()[0][0])


def arrange(acme: LiveArchive, now: datetime, turn: int) -> set[str]:
    """Due rows of the boundary month and of whole months, some with a recording that goes first."""
    names = {f"call-{turn}-{day}": now - timedelta(days=day) for day in (91, 130, 165)}
    for name, birth in names.items():
        acme.call(name, birth, "requests", *(["recordings"] if name.endswith("130") else []))
    return set(names)
