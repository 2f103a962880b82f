"""kill -9 and cut connections at every effect of a night that archives into files: nothing lost, nothing twice, nothing left over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tenant_retention.domain.errors import Unavailable
from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive
from tests.stores.file_archive import RECORDS, FileCustomer, SeenArchive, file_customer, file_rules, filed
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import TenantDatabases
from tests.stores.test_enforcement_kills import KILLED, Engine, engine

__all__ = ["engine", "filed"]


def test_killed_at_any_effect_each_row_is_in_one_place_after_the_next_run__T5_X6(
    acme: LiveArchive, filed: SeenArchive, engine: Engine
) -> None:
    staying = arrange_young(acme)
    arrange(acme, 0)
    status, _ = engine.run("never")
    assert status == 0, (acme.directory / "engine.log").read_text()
    assert (acme.left(), filed.archived()) == (staying, expected(0))
    make_due(acme)
    arrange(acme, 1)
    status, calls = engine.run("never")
    assert status == 0, (acme.directory / "engine.log").read_text()
    assert (acme.left(), filed.archived()) == (staying, expected(1))
    points = [(1, "before"), *((number, "after") for number in range(1, calls + 1))]
    assert calls >= 25, "naming, storing, deleting rows, deleting files"
    for turn, (number, when) in enumerate(points, start=2):
        make_due(acme)
        old, new = filed.archived(), arrange(acme, turn)
        told = acme.observer().evidence(1)[0].sequence
        status, _ = engine.run(f"{number} {when}")
        assert status == KILLED, f"effect {number} of {calls} was never reached"
        in_one_place(acme, filed, staying, old, new, f"{number} {when}")
        status, _ = engine.run("never")
        assert status == 0, f"after {number} {when}: {(acme.directory / 'engine.log').read_text()[-4000:]}"
        assert (acme.left(), filed.archived()) == (staying, new), f"after {number} {when}"
        filed.tidy()
        told_once(acme, told, old, new, f"{number} {when}")
    assert acme.observer().observe().chain_intact


def in_one_place(
    acme: LiveArchive, filed: SeenArchive, staying: set[str], old: set[str], new: set[str], where: str
) -> None:
    """Whatever became of a night in which ``old`` were due and ``new`` to move."""
    live, kept = acme.left(), filed.archived()
    assert staying <= live, f"early: {where}"
    assert new <= live | kept, f"lost: {new - live - kept} at {where}"
    assert not live & kept, f"in two places: {where}"
    assert kept <= old | new, where


def told_once(acme: LiveArchive, after: int, old: set[str], new: set[str], where: str) -> None:
    """By all evidence after this link together."""
    links = [link for link in acme.observer().evidence(1000) if link.sequence > after]
    counted = [each for link in links for each in link.categories if each.category == RECORDS]
    assert sum(each.archived or 0 for each in counted) == len(new), f"each row is told once: {where}"
    assert sum(each.acted for each in counted) == len(old), f"each row is told as gone once: {where}"


def arrange_young(acme: LiveArchive) -> set[str]:
    """What stays in the database."""
    now = datetime.now(UTC)
    acme.call("young", now - timedelta(days=89, hours=12), "requests", "surveys")
    acme.call("held", now - timedelta(days=100), "requests")
    acme.hold("held")
    return acme.left()


def arrange(acme: LiveArchive, turn: int) -> set[str]:
    """Rows that are to move, of two tables and two days."""
    now = datetime.now(UTC)
    acme.call(f"a-{turn}", now - timedelta(days=100), "requests", "surveys")
    acme.call(f"b-{turn}", now - timedelta(days=101), "requests")
    return expected(turn)


def expected(turn: int) -> set[str]:
    return {f"requests:a-{turn}", f"requests:b-{turn}", f"surveys:a-{turn}"}


def make_due(acme: LiveArchive) -> None:
    """What lies in files is past its keep: as if it had been born earlier."""
    with acme.owner() as owner:
        owner.execute(
            "UPDATE retention.archive_file SET born_from = born_from - interval '100 days', born_to = born_to - interval '100 days'"
        )


EFFECTS = {
    "name_archive_file",
    "keep_archive_file",
    "give_up_archive_file",
    "leaving_archive_files",
    "archive_files_gone",
    "archive_file_rows",
    "put_file",
    "read_file",
    "remove_files",
}


class Cut:
    """Between the engine and a store: at one of all calls that concern files the connection is cut, before or after the effect.
    ``forever``: and stays so."""

    def __init__(self, at: int | None = None, *, after: bool = False, forever: bool = False) -> None:
        self.calls = 0
        self._at, self._after, self._forever = at, after, forever

    def around(self, inner: Any) -> Any:
        """A store behind this."""
        return _Behind(inner, self)

    def call(self, effect: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Does it, or fails."""
        self.calls += 1
        cut = self._at is not None and (self.calls == self._at or (self._forever and self.calls > self._at))
        if cut and not self._after:
            raise Unavailable("the connection was cut", reason="ServerUnreachable")
        answer = effect(*arguments)
        if cut:
            raise Unavailable("the answer was lost", reason="ServerUnreachable")
        return answer


class _Behind:
    def __init__(self, inner: Any, cut: Cut) -> None:
        self._inner, self._cut = inner, cut

    def __getattr__(self, name: str) -> Any:
        effect = getattr(self._inner, name)
        return (lambda *arguments: self._cut.call(effect, arguments)) if name in EFFECTS else effect


def a_night(customer: FileCustomer, cut: Cut) -> Outcome:
    """One run through it."""
    return customer.night(bucket=cut.around, database=cut.around).outcome


def test_cut_at_any_effect_the_run_or_the_next_one_ends_with_each_row_in_one_place__T5_T6(
    tenant_databases: TenantDatabases, seaweedfs: S3Server
) -> None:
    with file_customer(tenant_databases, seaweedfs, file_rules()) as customer:
        whole = Cut()
        fill(customer, 0)
        assert a_night(customer, whole) is Outcome.SUCCEEDED
        age(customer)
        fill(customer, 1)
        whole = Cut()
        assert a_night(customer, whole) is Outcome.SUCCEEDED
        assert whole.calls >= 12
        turn = 1
        for number in range(1, whole.calls + 1):
            for after, forever in ((False, False), (True, False), (False, True)):
                turn += 1
                age(customer)
                fill(customer, turn)
                where = f"{number} {after} {forever}"
                outcome = a_night(customer, Cut(number, after=after, forever=forever))
                live, kept = customer.live(), customer.archived()
                assert expected_calls(turn) <= live | kept, f"lost: {where}"
                assert not live & kept, f"in two places: {where}"
                if forever:
                    assert outcome is not Outcome.SUCCEEDED, where
                    assert a_night(customer, Cut()) is Outcome.SUCCEEDED, where
                else:
                    assert outcome is Outcome.SUCCEEDED, f"one cut is outlasted: {where}"
                assert (customer.live(), customer.archived()) == (set(), expected_calls(turn)), where
                if customer.seen.index() != [("Kept", 1)]:
                    # A name whose answer was lost is tidied away by the next night.
                    assert a_night(customer, Cut()) is Outcome.SUCCEEDED
                customer.seen.tidy()


def fill(customer: FileCustomer, turn: int) -> None:
    """A row that is to move."""
    customer.insert(turn, 100, "calls")


def expected_calls(turn: int) -> set[str]:
    return {f"calls:{turn}"}


def age(customer: FileCustomer) -> None:
    """What lies in files is past its keep."""
    with customer.database.as_owner() as owner:
        owner.execute(
            "UPDATE retention.archive_file SET born_from = born_from - interval '300 days', born_to = born_to - interval '300 days'"
        )
