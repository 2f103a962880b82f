"""An object store that fails in every way that real ones do: nothing is lost, nothing counts twice, and the run says what happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive, days_ago, keep_young, refused
from tests.stores.faulty_s3 import INSIDE_200, Chooses, Fault, Faults, FaultyS3, deletes, faulty_binding, lists, locks
from tests.stores.test_enforcement_findings import ask_for_consent, deny


@pytest.fixture
def store(acme: LiveArchive, tmp_path: Path) -> Iterator[FaultyS3]:
    """Stands between engine and bucket."""
    with faulty_binding(acme.s3, acme.directory / "acme-content-enforcer", tmp_path) as proxy:
        yield proxy


def arrange(acme: LiveArchive) -> set[str]:
    """Three calls that are due, one whose row names no version, and one that stays; what stays."""
    acme.call("young", days_ago(3), "requests", "recordings")
    staying = acme.left()
    for day in (200, 210, 220):
        acme.call(f"call-{day}", days_ago(day), "requests", "recordings")
    acme.call("many", days_ago(230), "requests")
    acme.put("audio/many")
    acme.put("audio/many")
    acme.call_with_object_of("many", "many", days_ago(230), None)
    return staying


@pytest.mark.parametrize(
    ("fault", "chooses"),
    # A listing has no errors inside its 200.
    [(fault, deletes) for fault in Fault] + [(fault, lists) for fault in Fault if fault not in INSIDE_200],
)
def test_an_answer_that_comes_late_broken_or_not_at_all_is_asked_for_again_and_no_object_counts_twice__X6_M10(
    acme: LiveArchive, store: FaultyS3, fault: Fault, chooses: Chooses
) -> None:
    staying = arrange(acme)
    rows = len(acme.left() - staying)
    store.faults = Faults(fault, chooses)
    results = [acme.run(patient=True)]
    assert store.faults.spoiled == 1
    if fault is Fault.SOME_ERRORS_IN_200:
        (content,) = (each for each in acme.observer().evidence(1)[0].categories if each.category == "recordings")
        assert (content.failed, acme.keys()) == (1, {"audio/young", "audio/call-200"}), "the others went"
    if results[0].outcome is not Outcome.SUCCEEDED:
        # What the store refused stays, with its row and its record, and the run says so.
        told = [each.failure for each in results[0].stores[0].categories]
        told += [each.failure for each in results[0].buckets]
        (link,) = acme.observer().evidence(1)
        assert any(told) or any(each.failed for each in link.categories), results[0]
        assert {f"audio/{name[11:]}" for name in acme.left() if name.startswith("recordings:")} <= acme.keys()
        results.append(acme.run(patient=True))
    assert results[-1].outcome is Outcome.SUCCEEDED, results
    assert acme.left() == staying
    assert acme.keys() == {"audio/young"}
    acted = [each.acted for link in acme.observer().evidence(10) for each in link.categories]
    assert sum(acted) == rows


@pytest.mark.parametrize("fault", Fault)
def test_content_without_consent_goes_once_however_the_store_answers__P10_X6(
    acme: LiveArchive, store: FaultyS3, fault: Fault
) -> None:
    ask_for_consent(acme)
    acme.call("agreed", days_ago(3), "requests", "recordings")
    acme.call("denied", days_ago(3), "requests", "recordings")
    deny(acme, "denied")
    assert acme.run(patient=True).outcome is Outcome.SUCCEEDED
    store.faults = Faults(fault, deletes)
    first = acme.run(patient=True)
    assert store.faults.spoiled == 1
    if first.outcome is not Outcome.SUCCEEDED:
        (link,) = acme.observer().evidence(1)
        assert any(each.failed for each in link.categories), first
        keys = acme.keys()
        assert "recordings:denied" in acme.left() or "audio/denied" not in keys
        assert acme.run(patient=True).outcome is Outcome.SUCCEEDED
    assert acme.left() == {"requests:agreed", "recordings:agreed", "requests:denied"}
    assert acme.keys() == {"audio/agreed"}
    assert sum(each.cleared for link in acme.observer().evidence(10) for each in link.categories) == 1


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE_BEFORE, Fault.TRUNCATED, Fault.CUT_AFTER, Fault.ERRORS_IN_200])
def test_a_store_that_fails_on_and_on_keeps_its_rows_until_a_night_in_which_it_answers__P4_X6(
    acme: LiveArchive, store: FaultyS3, fault: Fault
) -> None:
    staying = arrange(acme)
    before, rows = acme.left(), len(acme.left() - staying)
    store.faults = Faults(fault, deletes, left=1000)
    result = acme.run()
    assert result.outcome is Outcome.INCOMPLETE, result
    recordings = next(each for each in result.stores[0].categories if each.start.category == "recordings")
    (link,) = acme.observer().evidence(1)
    told = next(each for each in link.categories if each.category == "recordings")
    # The failure is in the evidence, and what it kept is there with its record.
    assert recordings.failure or told.failed, (result, link)
    assert acme.left() == before
    assert told.acted == 0
    store.faults = None
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == staying
    assert acme.keys() == {"audio/young"}
    acted = [each.acted for link in acme.observer().evidence(10) for each in link.categories]
    assert sum(acted) == rows


@pytest.mark.parametrize("left", [1, 1000], ids=["once", "all night"])
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE_BEFORE, Fault.UNAVAILABLE_AFTER, Fault.CUT_AFTER])
def test_a_lock_whose_answer_is_lost_is_set_that_night_or_the_next_and_stops_no_deletion__M8_X6(
    acme: LiveArchive, store: FaultyS3, fault: Fault, left: int
) -> None:
    keep_young(acme)
    acme.call("young", days_ago(3), "recordings")
    acme.call("due", days_ago(20), "recordings")
    store.faults = Faults(fault, locks, left)
    first = acme.run(patient=True)
    assert store.faults.spoiled >= 1
    assert acme.left() == {"recordings:young"}, "what is due does not wait for the locks"
    if left > 1:
        (link,) = acme.observer().evidence(1)
        failed = {each.category for each in link.categories if each.failed}
        assert (first.outcome, failed) == (Outcome.INCOMPLETE, {"recordings"})
        store.faults = None
        assert acme.run().outcome is Outcome.SUCCEEDED
    else:
        assert first.outcome is Outcome.SUCCEEDED
    assert refused(acme) == {"audio/young"}
    assert sum(each.locked or 0 for link in acme.observer().evidence(10) for each in link.categories) == 1
