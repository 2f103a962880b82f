"""Bringing a backup back: whole, into closed databases, and nothing of it that today's rules take away is ever readable."""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.adapters.postgres.restoring import PostgresRestoreTarget
from tenant_retention.cli import backups
from tenant_retention.cli.engine import main
from tenant_retention.domain.backups import HOLD_COLUMNS, FileKind, RestoreProgress, key_of
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.plan_document import Mode, PlanDocument, Task
from tenant_retention.domain.ports.evidence import ActKind
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.restoring import Restored
from tenant_retention.enforcement.results import Outcome
from tests.stores.backed_up import KEY, BackedUp
from tests.stores.enforcement_archive import (
    LiveArchive,
    Stencil,
    days_ago,
    drop_database,
    real_world,
)
from tests.stores.servers.postgres import connect_as
from tests.stores.test_enforcement_findings import consenting, deny
from tests.support.enforcement import archive

STAYING = {"requests:call-1", "recordings:call-1", "chat_logs:call-1", "requests:call-20", "chat_logs:call-20"}
HELD = {"requests:held", "recordings:held"}


@dataclass
class Disaster:
    """A backup, and the database that was lost after it."""

    backed_up: BackedUp
    stencil: Stencil
    backup_id: str

    @property
    def acme(self) -> LiveArchive:
        """The archive."""
        return self.backed_up.acme

    def lose(self) -> None:
        """Nothing but an empty database with the rules is there, as the operator makes it."""
        with connect_as(self.stencil.made.server) as connection:
            drop_database(connection, self.stencil.original)
            self.stencil._copy(connection, f"{self.stencil.original[:40]}_stencil", self.stencil.original)
        self.install()

    def install(self) -> None:
        """What the operator does again and again."""
        self.backed_up.define(self.acme.definition)

    def plan(self) -> PlanDocument:
        """The plan that all commands share."""
        return self.backed_up.plan().model_copy(update={"task": Task.EXPIRE})

    def restore(self, backup_id: str | None = None, **options: bool) -> Restored:
        """The command, in this process."""
        directory = self.acme.directory
        administrator = directory / "administrator"
        return backups.bring_back(self.plan(), directory, administrator, backup_id, (), real_world(), **options)

    def command(self) -> str:
        """The command as the documentation gives it; what it tells."""
        stdout, before = io.StringIO(), Path.cwd()
        os.chdir(self.acme.directory)
        try:
            with contextlib.redirect_stdout(stdout), pytest.raises(SystemExit) as end:
                main(["restore", "--plan", "plan.json", "--administrator-binding", "administrator", "--quiet"])
        finally:
            os.chdir(before)
        assert end.value.code in (0, None)
        return stdout.getvalue()

    def asked(self, group: str = "app") -> str:
        """What a login hears that asks for rows."""
        with self.acme.login(group) as connection:
            try:
                return str(connection.execute("SELECT count(*) FROM public.requests").fetchall()[0][0])
            except psycopg.errors.InsufficientPrivilege:
                return "refused"

    def state(self) -> tuple[set[str], str]:
        """Rows and what the application hears."""
        return self.acme.left(), self.asked()


@pytest.fixture
def disaster(backed_up: BackedUp, backups_stencil: Stencil) -> Disaster:
    """Calls young and old, one of them held; a backup before the night's run, and then the database is gone."""
    acme = backed_up.acme
    facts = {"installation": acme.definition.installation}
    backed_up.define(archive(back="P15M", guard_percent=1, generation=2).model_copy(update=facts))
    for day in (1, 20, 200):
        acme.call(f"call-{day}", days_ago(day), "requests", "recordings", "chat_logs")
    acme.call("held", days_ago(300), "requests", "recordings")
    acme.hold("held")
    made = backed_up.run().made
    assert made is not None
    found = Disaster(backed_up, backups_stencil, made.backup_id)
    found.lose()
    assert found.state() == (set(), "0")
    return found


@pytest.mark.oldest_and_newest
def test_a_lost_database_comes_back_by_one_command_without_what_is_past_its_time__T6_M10_X3(disaster: Disaster) -> None:
    acme = disaster.acme
    told = disaster.command()
    assert acme.left() == STAYING | HELD
    assert disaster.asked() == "3"
    assert acme.keys() == {"audio/call-1", "audio/held"}, "content that is past its time went from the bucket, too"
    assert f"restored Analytical from {disaster.backup_id}: 11 rows and 1 holds" in told
    assert "removed 4 of them and anonymized 0; open to applications again" in told
    assert "release those again that were released since" in told
    with acme.owner() as connection:
        assert connection.execute("SELECT count(*) FROM retention.approval WHERE until > now()").fetchall() == [(0,)]
        target = PostgresRestoreTarget(connection, acme.identity.database(), "Analytical", (), beside=False)
        assert target.progress(disaster.backup_id) is RestoreProgress.OPENED
    facts = acme.observer().observe()
    assert {each.category: each.due for each in facts.categories if each.due} == {}
    assert disaster.asked("backup") == "3", "backups go on"


def test_what_may_not_be_stored_and_who_called_are_gone_again_before_a_restored_database_opens__T6_P10_X1(
    backed_up: BackedUp, backups_stencil: Stencil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup is of before the night that would have found the recording, and of before anonymizeAfter was chosen."""
    acme = backed_up.acme
    backed_up.define(consenting(acme.definition.installation))
    for name, age in (("agreed", 2), ("denied", 2)):
        acme.call(name, days_ago(age), "requests", "recordings")
    acme.call("old", days_ago(100), "requests")
    deny(acme, "denied")
    made = backed_up.run().made
    assert made is not None
    assert len(backed_up.ids(made.backup_id)) == 5
    disaster = Disaster(backed_up, backups_stencil, made.backup_id)
    acme.definition = consenting(acme.definition.installation, anonymize_after="P90D")
    disaster.lose()
    seen = []
    opens = PostgresRestoreTarget.open_to_applications

    def look_first(target: PostgresRestoreTarget) -> None:
        seen.append((disaster.asked(), acme.left(), acme.callers(), acme.keys()))
        opens(target)

    monkeypatch.setattr(PostgresRestoreTarget, "open_to_applications", look_first)
    told = disaster.command()
    left = {"requests:agreed", "recordings:agreed", "requests:denied", "requests:old"}
    assert seen == [("refused", left, {"agreed", "denied"}, {"audio/agreed"})]
    assert "5 rows and 0 holds" in told
    assert "removed 1 of them and anonymized 1; open to applications again" in told
    assert disaster.state() == (left, "3")


@pytest.mark.parametrize("columns", [HOLD_COLUMNS, HOLD_COLUMNS[:-3]], ids=["a backup of now", "one of before"])
def test_a_hold_comes_back_by_its_name_and_from_an_older_backup_without_one__X3_T6(
    backed_up: BackedUp, backups_stencil: Stencil, monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...]
) -> None:
    assert HOLD_COLUMNS[-3:] == ("name", "salt", "person")
    held = ("held", "case-17", None, None)
    of_a_person = ("other", "case-19", b"a salt of 16 bytes or more", b"digest")
    placed = (held, of_a_person) if columns == HOLD_COLUMNS else (held,)
    monkeypatch.setattr("tenant_retention.enforcement.backing_up.HOLD_COLUMNS", columns)
    acme = backed_up.acme
    acme.call("held", days_ago(300), "requests")
    with acme.owner() as connection:
        connection.cursor().executemany(
            "INSERT INTO retention.hold (session, name, salt, person) VALUES (%s, %s, %s, %s)", placed
        )
    made = backed_up.run().made
    assert made is not None
    lost = Disaster(backed_up, backups_stencil, made.backup_id)
    lost.lose()
    lost.restore()
    with acme.owner() as connection:
        found = connection.execute(
            "SELECT session, name, salt, person FROM retention.hold WHERE released_at IS NULL ORDER BY 1"
        ).fetchall()
    assert found == ([*placed] if columns == HOLD_COLUMNS else [("held", None, None, None)])
    assert acme.left() == {"requests:held"}


def test_nobody_reads_or_writes_a_row_before_todays_rules_were_applied__T6(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def looked(*arguments: Any) -> Any:
        heard.append((len(disaster.acme.left()), disaster.asked("app"), disaster.asked("backup")))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            disaster.acme.call("new", days_ago(0), "requests")
        disaster.install()
        heard.append((len(disaster.acme.left()), disaster.asked("app"), disaster.asked("backup")))
        return expire(*arguments)

    monkeypatch.setattr(backups, "expire", looked)
    disaster.restore()
    assert heard == [(11, "refused", "refused")] * 2, "also while the operator puts right what it finds"
    assert disaster.state() == (STAYING | HELD, "3")


def test_where_the_rules_cannot_be_applied_the_database_stays_closed_until_they_are__T6(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(plan: PlanDocument, stores: Any, run_id: Any, world: Any) -> Any:
        return expire(plan.model_copy(update={"mode": Mode.DRY_RUN}), stores, run_id, world)

    with monkeypatch.context() as patched:
        patched.setattr(backups, "expire", stopped)
        with pytest.raises(NotReady, match="the databases stay closed") as refused:
            disaster.restore()
    assert refused.value.reason == "RestoreIncomplete"
    assert disaster.asked() == "refused"
    assert len(disaster.acme.left()) == 11
    again = disaster.restore()
    assert (again.rows, again.removed) == (0, 4), "it went on where it stopped"
    assert disaster.state() == (STAYING | HELD, "3")


class _Killed(BaseException):
    pass


def _deadly(monkeypatch: pytest.MonkeyPatch, number: int, when: str) -> Counter[str]:
    """Every effect of a restore counts; the one of this number is the last."""
    seen: Counter[str] = Counter()

    def wrapped(effect: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            seen[effect.__name__] += 1
            dies = sum(seen.values()) == number
            if dies and when == "before":
                raise _Killed
            answer = effect(*arguments, **named)
            if dies:
                raise _Killed
            return answer

        return call

    for name in ("close_to_applications", "load", "approve", "open_to_applications"):
        monkeypatch.setattr(PostgresRestoreTarget, name, wrapped(getattr(PostgresRestoreTarget, name)))
    return seen


def test_killed_at_any_effect_the_same_command_goes_on_nothing_was_readable_and_the_evidence_says_it_once__T6_X6(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        seen = _deadly(patched, 0, "never")
        disaster.restore()
    effects = sum(seen.values())
    # Loading is the same effect again and again; right before one is right after the one before it.
    points = [
        (1, "before"),
        *((number, "after") for number in range(1, effects + 1) if number < 4 or number > effects - 3),
    ]
    assert set(seen) == {"close_to_applications", "load", "approve", "open_to_applications"}
    for number, when in points:
        disaster.lose()
        with monkeypatch.context() as patched:
            _deadly(patched, number, when)
            with pytest.raises(_Killed):
                disaster.restore()
        rows, heard = disaster.state()
        if number == effects:
            assert (rows, heard) == (STAYING | HELD, "3")
        else:
            assert heard == ("0" if when == "before" else "refused"), (number, when)
            disaster.restore()
            assert disaster.state() == (STAYING | HELD, "3"), (number, when)
        begun, ended = disaster.backed_up.acts()
        assert (begun.kind, begun.backup) == (ActKind.RESTORE_BEGUN, disaster.backup_id)
        assert (ended.kind, ended.backup, ended.rows) == (ActKind.RESTORE_ENDED, disaster.backup_id, 11), (number, when)


def _first_rows(disaster: Disaster) -> str:
    files = disaster.backed_up.manifest(disaster.backup_id).files
    return key_of(disaster.backup_id, next(file.number for file in files if file.kind is FileKind.ROWS))


@pytest.mark.parametrize("broken", ["changed", "swapped", "missing", "manifest", "key", "no backup", "no id"])
def test_a_backup_that_is_not_what_it_was_changes_nothing__T8(disaster: Disaster, broken: str) -> None:
    acme, key = disaster.acme, _first_rows(disaster)
    bucket = replace(acme.identity, purpose="Backups").bucket()
    client = acme.client
    chosen = None
    secret = acme.directory / KEY / "key"
    text = secret.read_text()
    content = client.get_object(bucket, key).read()

    def put(name: str, body: bytes) -> None:
        client.put_object(bucket, name, io.BytesIO(body), len(body))

    if broken == "changed":
        put(key, content[:-1] + bytes([content[-1] ^ 1]))
    elif broken == "swapped":
        put(key, client.get_object(bucket, key_of(disaster.backup_id, 0)).read())
    elif broken == "missing":
        (version,) = [each.version_id for each in client.list_objects(bucket, prefix=key, include_version=True)]
        client.remove_object(bucket, key, version_id=version)
    elif broken == "manifest":
        manifest = f"backups/{disaster.backup_id}/manifest.json"
        put(manifest, client.get_object(bucket, manifest).read().replace(b'"size":', b'"size":1', 1))
    elif broken == "key":
        secret.write_text("ab" * 32)
    elif broken == "no backup":
        chosen = "20200101T000000Z-00000000"
    else:
        chosen = "../../etc/passwd"
    try:
        with pytest.raises(Invalid) as refused:
            disaster.restore(chosen)
    finally:
        secret.write_text(text)
    assert refused.value.reason == ("RestoreRefused" if chosen else "BackupBroken")
    assert disaster.state() == (set(), "0")


@pytest.mark.parametrize("reason", ["rows", "dry run", "suspended", "other rules", "another restore"])
def test_a_database_that_is_not_empty_or_lets_nothing_go_is_not_restored_into(disaster: Disaster, reason: str) -> None:
    acme, plan = disaster.acme, disaster.plan()
    before = disaster.state()
    if reason == "rows":
        acme.call("new", days_ago(0), "requests")
        before = disaster.state()
    elif reason == "dry run":
        with acme.owner() as connection:
            connection.execute("UPDATE retention.settings SET mode = 'DryRun'")
    elif reason == "suspended":
        acme.release()
    elif reason == "other rules":
        with acme.owner() as connection:
            connection.execute("UPDATE retention.settings SET rules_digest = 'sha256:other'")
    else:
        with acme.owner() as connection:
            connection.execute("INSERT INTO retention.restoring (backup_id) VALUES ('20200101T000000Z-00000000')")
    with pytest.raises(Invalid) as refused:
        disaster.restore()
    assert refused.value.reason == "RestoreRefused"
    assert refused.value.message.startswith("Analytical: the database "), plan
    assert disaster.state() == before


def test_rows_that_would_be_refused_today_come_back_and_go_by_the_rules(disaster: Disaster) -> None:
    """A trigger that refuses every INSERT stands for consent, masked digits and ranges that came later."""
    acme = disaster.acme
    with acme.owner() as connection:
        connection.execute(
            "CREATE FUNCTION retention.refuse_all() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION ''refused''; END'"
        )
        connection.execute(
            "CREATE TRIGGER refuse_all AFTER INSERT ON public.requests FOR EACH ROW EXECUTE FUNCTION retention.refuse_all()"
        )
    disaster.restore()
    assert acme.left() == STAYING | HELD
    with pytest.raises(psycopg.errors.RaiseException):
        acme.call("new", days_ago(0), "requests")


def test_only_the_databases_that_are_named_are_restored(disaster: Disaster) -> None:
    with pytest.raises(Invalid, match="--database: the plan has no 'Dialogue', only Analytical"):
        backups.bring_back(
            disaster.plan(),
            disaster.acme.directory,
            disaster.acme.directory / "administrator",
            None,
            ("Dialogue",),
            real_world(),
        )


def test_a_record_that_waits_for_its_content_as_in_any_night_keeps_no_database_closed__P4_T6(
    backed_up: BackedUp, backups_stencil: Stencil
) -> None:
    acme = backed_up.acme
    facts = {"installation": acme.definition.installation}
    backed_up.define(archive(recordings="P180D", guard_percent=100, generation=2).model_copy(update=facts))
    acme.call("waiting", days_ago(180.1), "requests")
    acme.call("waiting", days_ago(179.9), "recordings")
    made = backed_up.run().made
    assert made is not None
    disaster = Disaster(backed_up, backups_stencil, made.backup_id)
    disaster.lose()
    disaster.restore()
    assert disaster.state() == ({"requests:waiting", "recordings:waiting"}, "1")


def test_rows_without_a_value_in_a_column_that_is_required_since_then_come_back__M11_T6(disaster: Disaster) -> None:
    """The lost database had let them be; a new one has the column as the profile says."""
    with disaster.acme.owner() as connection:
        connection.execute("ALTER TABLE public.chat_logs ALTER COLUMN text SET NOT NULL")
    disaster.restore()
    assert disaster.acme.left() == STAYING | HELD


def _killed_after(disaster: Disaster, monkeypatch: pytest.MonkeyPatch, effects: int) -> None:
    with monkeypatch.context() as patched:
        _deadly(patched, effects, "after")
        with pytest.raises(_Killed):
            disaster.restore()


def test_no_run_of_the_night_deletes_while_a_restore_is_not_over__M8_T6(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the tables are in: an object that only a row names which is still to come would go."""
    acme, earlier = disaster.acme, uuid4()
    begun = acme.enforcer()
    (category, *_) = begun.begin_run(earlier, Mode.ENFORCE, acme.definition.rules_digest(), datetime.now(UTC))
    _killed_after(disaster, monkeypatch, 3)
    rows, keys = acme.left(), acme.keys()
    with pytest.raises(NotReady) as refused:
        begun.partition_steps(earlier, category.category)
    begun.close()
    assert refused.value.reason == "RestoreUnderWay", "also a run that began before"
    (store,) = acme.run().stores
    assert (store.outcome, store.reason) == (Outcome.NOT_READY, "RestoreUnderWay")
    assert "tenant-retention restore" in (store.message or "")
    assert (acme.left(), acme.keys()) == (rows, keys)
    disaster.restore()
    assert disaster.state() == (STAYING | HELD, "3")
    (store,) = acme.run().stores
    assert store.outcome is Outcome.SUCCEEDED


def test_rows_that_a_check_of_today_refuses_come_back_as_a_living_database_keeps_them__M11_T6(
    disaster: Disaster,
) -> None:
    acme = disaster.acme
    with acme.owner() as connection:
        connection.execute(
            "ALTER TABLE public.chat_logs ADD CONSTRAINT retention_readable_later CHECK (coalesce(text, '') = 'never')"
        )
    disaster.restore()
    assert acme.left() == STAYING | HELD
    with pytest.raises(psycopg.errors.CheckViolation):
        acme.call("new", days_ago(0), "chat_logs")


def test_rows_that_applications_wrote_after_the_loss_stay_beside_what_comes_back__T6(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = disaster.acme
    acme.call("after", days_ago(0), "requests", "chat_logs")
    with pytest.raises(Invalid, match="give --beside-rows: they stay") as refused:
        disaster.restore()
    assert refused.value.reason == "RestoreRefused"
    with monkeypatch.context() as patched:
        _deadly(patched, 3, "after")
        with pytest.raises(_Killed):
            disaster.restore(beside=True)
    assert disaster.asked() == "refused"
    disaster.restore()
    assert disaster.state() == (STAYING | HELD | {"requests:after", "chat_logs:after"}, "4")


def test_a_row_with_a_key_that_is_used_again_stays_as_it_is_now__T6(disaster: Disaster) -> None:
    """All rows of the backup are there already, as after an alarm that was none."""
    disaster.restore()
    again = disaster.restore(beside=True)
    assert again.removed == 4, "only what had gone came in, and went again"
    assert again.rows == 4
    assert disaster.state() == (STAYING | HELD, "3")


def test_the_newest_backup_is_not_taken_where_it_may_be_of_the_emptied_database__T6(
    backed_up: BackedUp, backups_stencil: Stencil
) -> None:
    acme = backed_up.acme
    for day in (1, 20):
        acme.call(f"call-{day}", days_ago(day), "requests", "chat_logs")
    full = backed_up.run(days_ago=2).made
    assert full is not None
    disaster = Disaster(backed_up, backups_stencil, full.backup_id)
    disaster.lose()
    assert backed_up.run().made is not None
    with pytest.raises(Invalid, match="with --backup; there are: ") as refused:
        disaster.restore()
    assert refused.value.reason == "RestoreRefused"
    assert disaster.state() == (set(), "0")
    disaster.restore(disaster.backup_id)
    assert disaster.asked() == "2"
