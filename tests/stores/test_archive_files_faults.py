"""An archive bucket that fails in every way that real ones do, while rows move into files and files go: each row is in one place,
nothing is deleted before its file was read back, and the run says what happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenant_retention.domain.archive_files import MANIFEST_SUFFIX
from tenant_retention.enforcement.results import Outcome, RunResult
from tests.stores.enforcement_archive import LiveArchive
from tests.stores.faulty_s3 import Chooses, Fault, Faults, FaultyS3, deletes, faulty_binding, gets, lists, puts
from tests.stores.file_archive import RECORDS, SeenArchive, filed
from tests.stores.test_archive_files_kills import arrange, arrange_young, in_one_place, make_due, told_once

__all__ = ["filed"]

FILE = ".parquet"
LOST = (Fault.UNAVAILABLE_AFTER, Fault.CUT_AFTER)
REQUESTS = {
    "storing a file": (puts(FILE), (Fault.UNAVAILABLE_BEFORE, *LOST)),
    "storing its manifest": (puts(MANIFEST_SUFFIX), LOST),
    "reading a file back": (gets(FILE), (Fault.TRUNCATED, Fault.CUT_AFTER, Fault.SLOW)),
    "reading its manifest back": (gets(MANIFEST_SUFFIX), (Fault.TRUNCATED, Fault.UNAVAILABLE_BEFORE)),
    "deleting files": (deletes, (Fault.TRUNCATED, *LOST, Fault.ERRORS_IN_200)),
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


def reason(done: RunResult) -> str | None:
    """Why the records' category failed, as the run says."""
    (found,) = (each.failure for each in done.stores[0].categories if each.start.category == RECORDS)
    return found
