"""A restore where old rows lie in files of a bucket: the bucket is of today, the index as old as the backup (T6)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_retention.adapters.postgres.restoring import PostgresRestoreTarget
from tenant_retention.domain.archive_files import MANIFEST_SUFFIX
from tenant_retention.domain.errors import Unavailable
from tests.stores.backed_up import BackedUp
from tests.stores.enforcement_archive import LiveArchive, Stencil
from tests.stores.file_archive import RECORDS, SeenArchive, filing
from tests.stores.test_engine_cli import Shell
from tests.stores.test_restoring import Disaster

NOON = (datetime.now(UTC) - timedelta(days=100)).replace(hour=12)


class Loss:
    """A database with one row in a file, one that is to move, and a backup of it; then whatever a test does."""

    def __init__(self, backed_up: BackedUp, stencil: Stencil, seen: SeenArchive) -> None:
        self.acme: LiveArchive = backed_up.acme
        self.seen = seen
        backed_up.define(self.acme.definition)
        self.acme.call("archived", NOON, "requests")
        self.acme.run()
        self.acme.call("moving", NOON + timedelta(seconds=1), "requests")
        made = backed_up.run().made
        assert made is not None
        self.disaster = Disaster(backed_up, stencil, made.backup_id)

    def night(self, *calls: str) -> None:
        """These calls come in late, and the night moves what is old enough."""
        for call in calls:
            self.acme.call(call, NOON + timedelta(seconds=2), "requests")
        self.acme.run()
        assert self.acme.left() == set()

    def files(self) -> list[str]:
        """The files, without their manifests."""
        return [key for key in self.seen.files() if not key.endswith(MANIFEST_SUFFIX)]


@pytest.fixture
def loss(backed_up: BackedUp, backups_stencil: Stencil) -> Iterator[Loss]:
    with filing(backed_up.acme) as seen:
        yield Loss(backed_up, backups_stencil, seen)


def test_files_of_before_and_after_the_backup_are_known_again_and_no_row_is_in_two_places__T6_D3(loss: Loss) -> None:
    loss.night()
    loss.night("late")
    assert loss.seen.archived() == {"requests:archived", "requests:moving", "requests:late"}
    loss.disaster.lose()
    assert loss.seen.archived() == set(), "an empty database knows no file"
    done = loss.disaster.restore()
    assert (done.since.taken_back, done.since.left, done.since.lost) == (1, 0, 0), "one was in no table any more"
    assert loss.acme.left() == set()
    assert loss.seen.archived() == {"requests:archived", "requests:moving", "requests:late"}
    loss.seen.tidy()
    assert loss.disaster.asked() == "0", "open again"


def test_killed_between_two_files_the_same_command_ends_it_and_every_row_is_once__T6_X5(
    loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss.night()
    loss.night("late")
    loss.disaster.lose()
    taken: list[str] = []
    take = PostgresRestoreTarget.take_file_back

    def dies(self: PostgresRestoreTarget, file: Any, rows: Any) -> int:
        if taken:
            raise Unavailable("the connection is cut", reason="ServerUnreachable")
        taken.append(file.key)
        return take(self, file, rows)

    monkeypatch.setattr(PostgresRestoreTarget, "take_file_back", dies)
    with pytest.raises(Unavailable):
        loss.disaster.restore()
    assert loss.disaster.asked() == "refused"
    monkeypatch.undo()
    loss.disaster.restore()
    assert (loss.acme.left(), len(loss.seen.archived())) == (set(), 3)
    loss.seen.tidy()


def test_a_file_whose_rows_came_back_after_the_backup_is_forgotten_and_told__T6(loss: Loss) -> None:
    loss.night()
    span = ("--from", (NOON - timedelta(days=1)).isoformat(), "--to", (NOON + timedelta(days=1)).isoformat())
    back = Shell(loss.acme).run("archive", "restore", "--plan", "plan.json", "--category", RECORDS, *span)
    assert back.stdout == "restored 2 rows, refused 0\n", back.stderr
    loss.acme.run()
    assert loss.files() == []
    loss.disaster.lose()
    done = loss.disaster.restore()
    assert (done.since.taken_back, done.since.lost) == (0, 1)
    assert loss.seen.archived() == {"requests:moving"}
    loss.seen.tidy()


def test_a_file_that_cannot_be_read_stays_and_keeps_no_database_closed__T6(loss: Loss) -> None:
    before = set(loss.files())
    loss.night("late")
    (since,) = {key for key in loss.files() if key not in before}
    loss.seen.client.put_object(loss.seen.bucket, since, io.BytesIO(b"no parquet"), 10)
    loss.disaster.lose()
    done = loss.disaster.restore()
    assert (done.since.taken_back, done.since.left) == (0, 1)
    assert since in loss.files(), "doubt keeps the data"
    assert loss.seen.archived() == {"requests:archived", "requests:moving"}
    assert loss.disaster.asked() == "0"
