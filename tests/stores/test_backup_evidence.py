"""Backups that came, went and were restored are in the database's chain of evidence, by id and without personal data (X6, T6)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tenant_retention.adapters.postgres.copying import PostgresBackupSource
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.evidence import ActKind
from tenant_retention.enforcement.backing_up import BackupStores
from tenant_retention.enforcement.results import Outcome
from tests.stores.backed_up import BackedUp
from tests.stores.enforcement_archive import days_ago


def test_a_backup_that_came_and_one_that_went_are_in_the_evidence_once__X6_T6(backed_up: BackedUp) -> None:
    backed_up.acme.call("call", days_ago(1), "requests")
    before = len(backed_up.acts())
    (old, kept) = (backed_up.run(days).made for days in (14.5, 13))
    assert old is not None
    assert kept is not None
    new = backed_up.run().made
    assert new is not None
    assert backed_up.run().made is None

    told = backed_up.acts()[before:]

    assert [(each.came, each.gone) for each in told] == [
        ((old.backup_id,), ()),
        ((kept.backup_id,), ()),
        ((new.backup_id,), (old.backup_id,)),
    ]
    assert "call" not in json.dumps([each.model_dump(mode="json") for each in told])


def test_what_a_database_that_was_away_did_not_hear_the_next_night_tells_it__X6(backed_up: BackedUp) -> None:
    old = backed_up.run(14.5).made
    assert old is not None

    class Away(PostgresBackupSource):
        def record(self, *_: Any) -> None:
            raise Unavailable("the server does not answer", reason="ServerUnreachable")

    def away(stores: BackupStores) -> BackupStores:
        found = {name: Away(source._connect) for name, source in stores.sources.items()}  # type: ignore[attr-defined]
        return replace(stores, sources=found)

    missed = backed_up.run(wrap=away)
    assert missed.outcome is Outcome.UNREACHABLE
    assert missed.made is not None
    assert missed.removed == 1, "a backup goes on its day, whoever hears of it"
    assert backed_up.acts()[-1].came == (old.backup_id,)

    assert backed_up.run().outcome is Outcome.SUCCEEDED
    assert (backed_up.acts()[-1].came, backed_up.acts()[-1].gone) == ((missed.made.backup_id,), (old.backup_id,))


def test_the_backup_login_can_add_to_the_evidence_only_names_of_backups__X2_X6(backed_up: BackedUp) -> None:
    before = len(backed_up.acts())
    with backed_up.acme.login("backup") as session:
        session.execute("SELECT retention.record_backups(ARRAY['jane@example.com', '../x'], NULL)")
        for refused in ("retention.append_act('{}')", "retention.append_link(gen_random_uuid(), '{}')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SELECT {refused}".encode())
    assert len(backed_up.acts()) == before


def test_the_backup_login_cannot_push_the_runs_out_of_the_evidence__X2_X6(backed_up: BackedUp) -> None:
    with backed_up.acme.login("backup") as session:
        for number in range(30):
            invented = [f"20260101T000000Z-{number:08x}"]
            session.execute("SELECT retention.record_backups(%s, %s)", (invented, invented))
    told = backed_up.acts()
    assert len(told) == 12
    assert told[-1].came == ("20260101T000000Z-0000000b",)


def test_what_is_recorded_beside_the_runs_proves_and_hides_no_night__X6(backed_up: BackedUp) -> None:
    backed_up.acme.run()
    observer = backed_up.acme.observer()
    success = observer.observe().latest_success
    backed_up.run()
    facts = observer.observe()
    assert facts.latest_success == success
    assert facts.latest_run is not None
    assert facts.latest_run.act is not None
    assert facts.latest_run.act.kind is ActKind.BACKUPS
    assert facts.latest_run.outcome == "Recorded"
