"""An archive bucket that fails in every way that real ones do, and a database that hangs up at any commit, while rows move
into files and out: each row is in one place, nothing is deleted before its file was read back, and the run says what happened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenant_retention.domain.archive_files import MANIFEST_SUFFIX
from tenant_retention.enforcement.results import Outcome, RunResult
from tests.stores.enforcement_archive import LiveArchive
from tests.stores.faulty_s3 import (
    INSIDE_200,
    Chooses,
    Fault,
    Faults,
    FaultyS3,
    deletes,
    faulty_binding,
    gets,
    lists,
    puts,
)
from tests.stores.file_archive import RECORDS, SeenArchive, filed
from tests.stores.proxy import Proxy, Side, cut_along
from tests.stores.test_archive_files_cli import archived, command
from tests.stores.test_archive_files_kills import arrange, arrange_young, expected, in_one_place, make_due, told_once
from tests.stores.test_enforcement_cuts import database_proxy

__all__ = ["archived", "database_proxy", "filed"]

FILE = ".parquet"
LOST = (Fault.UNAVAILABLE_AFTER, Fault.CUT_AFTER)
REQUESTS = {
    "storing a file": (puts(FILE), (Fault.UNAVAILABLE_BEFORE, *LOST)),
    "storing its manifest": (puts(MANIFEST_SUFFIX), LOST),
    "reading a file back": (gets(FILE), (Fault.TRUNCATED, Fault.CUT_AFTER, Fault.SLOW)),
    "reading its manifest back": (gets(MANIFEST_SUFFIX), (Fault.TRUNCATED, Fault.UNAVAILABLE_BEFORE)),
    "deleting files": (deletes, (Fault.TRUNCATED, *LOST, *INSIDE_200)),
    "listing them": (lists, (Fault.TRUNCATED, Fault.UNAVAILABLE_BEFORE)),
}


@pytest.fixture
def store(acme: LiveArchive, filed: SeenArchive, tmp_path: Path) -> Iterator[FaultyS3]:
    """Stands between engine and archive bucket."""
    with faulty_binding(acme.s3, acme.directory / "acme-archive-enforcer", tmp_path) as proxy:
        yield proxy


@pytest.mark.parametrize("request_", REQUESTS)
def test_an_answer_that_comes_late_broken_or_not_at_all_leaves_each_row_in_one_place_and_told_once__D3_T5_T6_X6(
    acme: LiveArchive, filed: SeenArchive, store: FaultyS3, request_: str
) -> None:
    chooses, faults = REQUESTS[request_]
    staying = arrange_young(acme)
    arrange(acme, 0)
    assert acme.run().outcome is Outcome.SUCCEEDED
    for turn, fault in enumerate(faults, start=1):
        make_due(acme)
        old, new = filed.archived(), arrange(acme, turn)
        told = acme.observer().evidence(1)[0].sequence
        store.faults = Faults(fault, chooses)
        first = acme.run(patient=True)
        assert store.faults.spoiled == 1, fault
        in_one_place(acme, filed, staying, old, new, fault)
        if first.outcome is not Outcome.SUCCEEDED:
            assert reason(first) is not None, (fault, first)
            assert acme.run(patient=True).outcome is Outcome.SUCCEEDED, fault
        assert (acme.left(), filed.archived()) == (staying, new), fault
        filed.tidy()
        told_once(acme, told, old, new, fault)
    assert acme.observer().observe().chain_intact


@pytest.mark.parametrize(
    ("fault", "chooses"),
    [(Fault.UNAVAILABLE_BEFORE, puts(FILE)), (Fault.TRUNCATED, gets(FILE)), (Fault.TRUNCATED, gets(MANIFEST_SUFFIX))],
)
def test_nothing_is_deleted_for_a_file_that_is_not_read_back_whole_and_the_next_night_ends_it__D3_T6_X6(
    acme: LiveArchive, filed: SeenArchive, store: FaultyS3, fault: Fault, chooses: Chooses
) -> None:
    staying, new = arrange_young(acme), arrange(acme, 0)
    store.faults = Faults(fault, chooses, left=10_000)
    done = acme.run()
    assert done.outcome is Outcome.INCOMPLETE
    assert reason(done) is not None
    assert (acme.left(), filed.archived()) == (staying | new, set())
    (link,) = acme.observer().evidence(1)
    (found,) = (each for each in link.categories if each.category == RECORDS)
    assert (found.archive_due, found.archived) == (3, 0)
    assert link.outcome == "Failed"
    store.faults = None
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert (acme.left(), filed.archived()) == (staying, new)
    filed.tidy()


@pytest.mark.parametrize("side", Side)
def test_a_connection_that_dies_before_or_after_any_commit_is_made_good_in_the_same_night__D3_T5_X6(
    acme: LiveArchive, filed: SeenArchive, database_proxy: Proxy, side: Side
) -> None:
    staying = arrange_young(acme)
    for turn in (0, 1):
        make_due(acme)
        arrange(acme, turn)
        database_proxy.counts[side] = 0
        assert acme.run().outcome is Outcome.SUCCEEDED
    for turn, where in cut_along(database_proxy, side, database_proxy.counts[side], 17):
        make_due(acme)
        old, new = filed.archived(), arrange(acme, turn + 2)
        told = acme.observer().evidence(1)[0].sequence
        done = acme.run(patient=True)
        assert done.outcome is Outcome.SUCCEEDED, f"{where}: {done} {acme.around.told}"
        assert (acme.left(), filed.archived()) == (staying, expected(turn + 2)), where
        told_once(acme, told, old, new, where)
    # A name whose answer was lost is tidied away by the next night.
    assert acme.run().outcome is Outcome.SUCCEEDED
    filed.tidy()
    assert acme.observer().observe().chain_intact


@pytest.mark.parametrize("side", Side)
def test_a_restore_that_is_cut_anywhere_is_given_again_and_each_row_is_in_one_place_all_the_time__D3_T5(
    acme: LiveArchive, archived: SeenArchive, database_proxy: Proxy, side: Side
) -> None:
    rows = archived.archived()
    database_proxy.counts[side] = 0
    bring_back(acme, rows)
    whole = database_proxy.counts[side]
    archive_again(acme, archived, rows)
    for _, where in cut_along(database_proxy, side, whole, 7):
        done = command(acme, "restore", *EVERYTHING)
        database_proxy.cut = None
        live, kept = acme.left(), archived.archived()
        assert (live | kept, live & kept) == (rows, set()), f"{where}: {done}"
        assert done.returncode in (0, 3), f"{where}: {done}"
        bring_back(acme, rows)
        archive_again(acme, archived, rows)


def test_a_restore_whose_file_comes_broken_changes_nothing_and_is_given_again__D3_T5_T6(
    acme: LiveArchive, archived: SeenArchive, tmp_path: Path
) -> None:
    rows = archived.archived()
    with faulty_binding(acme.s3, acme.directory / "acme-archive-enforcer", tmp_path) as store:
        for fault in (Fault.TRUNCATED, Fault.CUT_AFTER, Fault.UNAVAILABLE_AFTER):
            store.faults = Faults(fault, gets(FILE), left=10_000, passing=1)
            done = command(acme, "restore", *EVERYTHING)
            assert done.returncode == 3, (fault, done)
            live, kept = acme.left(), archived.archived()
            assert (live | kept, live & kept) == (rows, set()), fault
            assert kept, "the first file came back, the next one did not"
            store.faults = None
            bring_back(acme, rows)
            archive_again(acme, archived, rows)


def reason(done: RunResult) -> str | None:
    """Why the records' category failed, as the run says."""
    (found,) = (each.failure for each in done.stores[0].categories if each.start.category == RECORDS)
    return found


EVERYTHING = ("--from", "2000-01-01", "--to", "2100-01-01", "--for", "P2D")


def bring_back(acme: LiveArchive, rows: set[str]) -> None:
    """By the command, undisturbed."""
    done = command(acme, "restore", *EVERYTHING)
    assert done.returncode == 0, done.stderr
    assert acme.left() == rows


def archive_again(acme: LiveArchive, archived: SeenArchive, rows: set[str]) -> None:
    """What was brought back, in the night after its pause."""
    with acme.owner() as owner:
        owner.execute("UPDATE retention.archive_pause SET until = %s", [datetime.now(UTC)])
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert (acme.left(), archived.archived()) == (set(), rows)
