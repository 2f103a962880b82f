"""A backup bucket that fails in every way that real ones do, and a restore whose stores hang up: what has a manifest is whole,
old backups go with every copy, and nobody reads a row before the restore is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.evidence import ActKind
from tenant_retention.enforcement.results import Outcome
from tests.stores.backed_up import BackedUp
from tests.stores.faulty_s3 import INSIDE_200, Fault, Faults, deletes, faulty_binding, gets, lists, puts
from tests.stores.proxy import Side, cut_along, proxied
from tests.stores.test_backups_cut import arrange, complete
from tests.stores.test_restoring import HELD, STAYING, Disaster, disaster

__all__ = ["disaster"]

MANIFEST = "manifest.json"
LOST = (Fault.UNAVAILABLE_AFTER, Fault.CUT_AFTER)
WRITER, REMOVER = "acme-backups-app", "acme-backups-enforcer"
REQUESTS = {
    "storing rows": (WRITER, puts(), (Fault.UNAVAILABLE_BEFORE, Fault.SLOW, *LOST)),
    "storing the manifest": (WRITER, puts(MANIFEST), LOST),
    "listing": (REMOVER, lists, (Fault.TRUNCATED, Fault.UNAVAILABLE_BEFORE)),
    "removing": (REMOVER, deletes, (Fault.TRUNCATED, *LOST, *INSIDE_200)),
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_an_answer_that_comes_late_broken_or_not_at_all_leaves_whole_backups_alone_and_no_copy_too_many__T6_X6(
    backed_up: BackedUp, tmp_path: Path, request_: str
) -> None:
    binding, chooses, faults = REQUESTS[request_]
    rows = arrange(backed_up)
    with faulty_binding(backed_up.acme.s3, backed_up.acme.directory / binding, tmp_path) as store:
        for fault in faults:
            backed_up.wipe()
            old = backed_up.run(20).made
            assert old is not None
            store.faults = Faults(fault, chooses)
            done = backed_up.run()
            assert store.faults.spoiled == 1, fault
            # The old one is past its time: where its manifest cannot go, its data does.
            whole = [each for each in complete(backed_up) if each != old.backup_id]
            assert all(backed_up.ids(each) == rows for each in whole), fault
            if done.outcome is not Outcome.SUCCEEDED:
                assert backed_up.run().outcome is Outcome.SUCCEEDED, fault
            (made,) = complete(backed_up)
            assert backed_up.ids(made) == rows, fault
            left = {key for key in backed_up.stored_keys() if not key.startswith(f"backups/{made}/")}
            assert not left, f"a copy of what is past its time: {fault}"


def test_a_bucket_that_takes_nothing_loses_its_old_backups_all_the_same_and_the_run_says_so__T6_M10_X6(
    backed_up: BackedUp, tmp_path: Path
) -> None:
    rows = arrange(backed_up)
    assert backed_up.run(20).made is not None
    with faulty_binding(backed_up.acme.s3, backed_up.acme.directory / WRITER, tmp_path) as store:
        store.faults = Faults(Fault.UNAVAILABLE_BEFORE, puts(), left=10_000)
        done = backed_up.run()
        assert (done.outcome is Outcome.SUCCEEDED, done.made) == (False, None)
        assert complete(backed_up) == []
        store.faults = None
        assert backed_up.run().outcome is Outcome.SUCCEEDED
    (made,) = complete(backed_up)
    assert backed_up.ids(made) == rows


def rows_of_a_backup(method: str, path: str) -> bool:
    """Reading one of its files, not its manifest."""
    return gets()(method, path) and not path.endswith(MANIFEST)


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        ("at its manifest", Fault.UNAVAILABLE_AFTER),
        ("while it is verified", Fault.CUT_AFTER),
        ("while it is loaded", Fault.TRUNCATED),
    ],
)
def test_a_restore_whose_backup_comes_broken_opens_nothing_and_the_same_command_goes_on__T6_T8(
    disaster: Disaster, tmp_path: Path, when: str, fault: Fault
) -> None:
    acme, files = disaster.acme, len(disaster.backed_up.manifest(disaster.backup_id).files)
    assert files > 2
    passing = {"at its manifest": 0, "while it is verified": 1, "while it is loaded": files + 1}[when]
    chooses = gets(MANIFEST) if when == "at its manifest" else rows_of_a_backup
    with faulty_binding(acme.s3, acme.directory / WRITER, tmp_path) as store:
        store.faults = Faults(fault, chooses, left=10_000, passing=passing)
        with pytest.raises(Unavailable):
            disaster.restore()
        assert store.faults.spoiled >= 1
        rows, heard = disaster.state()
        assert heard == "refused" if when == "while it is loaded" else (rows, heard) == (set(), "0")
        store.faults = None
        comes_back_once(disaster, when)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("file", ["administrator/port", "acme-analytical-enforcer/port"])
def test_a_restore_that_is_cut_anywhere_opens_nothing_early_and_the_same_command_goes_on__T6_X6(
    disaster: Disaster, file: str, side: Side
) -> None:
    with proxied(disaster.acme.directory / file) as proxy:
        disaster.restore()
        whole = proxy.counts[side]
        disaster.lose()
        for _, where in cut_along(proxy, side, whole, whole // 3 | 1):
            try:
                disaster.restore()
            except Unavailable:
                rows, heard = disaster.state()
                assert heard == "refused" or (rows, heard) in ((set(), "0"), (STAYING | HELD, "3")), where
            proxy.cut = None
            comes_back_once(disaster, where)
            disaster.lose()


def comes_back_once(disaster: Disaster, where: str) -> None:
    """Whatever came back already: the same command ends it, and the evidence says so once."""
    if disaster.asked() != "3":
        disaster.restore()
    assert disaster.state() == (STAYING | HELD, "3"), where
    acts = [(act.kind, act.backup) for act in disaster.backed_up.acts()]
    assert acts == [(kind, disaster.backup_id) for kind in (ActKind.RESTORE_BEGUN, ActKind.RESTORE_ENDED)], where
    assert disaster.backed_up.acts()[-1].rows == 11, f"each row is told once: {where}"
