"""A night's backup on real stores: what is in it, when old ones go, and what a database that is written to meanwhile does to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tenant_retention.adapters.postgres.copying import PostgresBackupSource
from tenant_retention.domain.backups import FileKind, Frequency, StoredCopy, manifest_key, new_backup_id
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.ports.backups import BackupBucket, BackupSource, Part
from tenant_retention.enforcement.backing_up import ATTEMPTS, BackupStores
from tenant_retention.enforcement.backup_results import backup_document
from tenant_retention.enforcement.opening_backups import open_backup_stores
from tenant_retention.enforcement.results import Outcome
from tests.stores.backed_up import KEY, BackedUp
from tests.stores.enforcement_archive import days_ago
from tests.stores.test_database_profiles import definition_of

pytestmark = pytest.mark.oldest_and_newest

REPLACE = b"""DO $$
DECLARE
    month text := (SELECT c.relname FROM public.surveys AS s JOIN pg_class AS c ON c.oid = s.tableoid LIMIT 1);
    bound text := (SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = month);
BEGIN
    EXECUTE format('CREATE TABLE public.anew (LIKE public.%I INCLUDING ALL)', month);
    EXECUTE format('INSERT INTO public.anew SELECT * FROM public.%I', month);
    EXECUTE format('ALTER TABLE public.surveys DETACH PARTITION public.%I', month);
    EXECUTE format('ALTER TABLE public.%I RENAME TO %I', month, 'gone_' || txid_current());
    EXECUTE format('ALTER TABLE public.anew RENAME TO %I', month);
    EXECUTE format('ALTER TABLE public.surveys ATTACH PARTITION public.%I %s', month, bound);
END $$"""


def test_a_backup_has_every_row_and_hold_sealed_and_its_manifest_is_read_back__T6_T8(backed_up: BackedUp) -> None:
    acme = backed_up.acme
    for day in (1, 40, 200):
        acme.call(f"call-{day}", days_ago(day), "requests", "surveys", "recordings", "chat_logs")
    acme.call("case", days_ago(100), "cases", closed_at=days_ago(90))
    acme.hold("call-200")
    result = backed_up.run()
    assert result.outcome is Outcome.SUCCEEDED, result
    assert result.made is not None
    backup_id = result.made.backup_id
    assert backed_up.ids(backup_id) == acme.left()
    manifest = backed_up.manifest(backup_id)
    (holds,) = [file for file in manifest.files if file.kind is FileKind.HOLDS]
    assert [line.split("\t")[1] for line in backed_up.lines(backup_id, holds)] == ["call-200"]
    assert backed_up.stored_keys() == {manifest_key(backup_id)} | {
        f"backups/{backup_id}/{file.number:06d}" for file in manifest.files
    }
    with ExitStack() as closing:
        bucket = backed_up.bucket(closing)
        for each in bucket.objects():
            with bucket.read(each.key) as blocks:
                assert b"call-200" not in b"".join(blocks), "nothing of a person is readable in the bucket"
    assert [each.backup_id for each in result.complete()] == [backup_id]
    again = backed_up.run()
    assert (again.made, len(again.complete())) == (None, 1), "one a day is enough"


def test_what_is_known_of_agents_and_their_devices_is_in_the_backup_too__T1(backed_up: BackedUp) -> None:
    acme, theirs = backed_up.acme, definition_of("tencent-ccc")
    (agents,) = [each for each in theirs.categories if each.name == "agent-information"]
    tables = tuple(theirs.table(name).model_copy(update={"back": "P1Y"}) for name in agents.tables)
    backed_up.define(acme.definition.model_copy(update={"tables": tables, "categories": (agents,)}))
    for table in ("agents", "agent_devices"):
        acme.write(table, [(uuid4(), days_ago(200), "ann")], ("id", "created_at", "staff_id"))
    made = backed_up.run().made
    assert made is not None
    assert len(backed_up.ids(made.backup_id)) == 2
    assert backed_up.ids(made.backup_id) == acme.left()


@pytest.mark.parametrize("failing", ["database", "suspended", "nothing"])
def test_an_old_backup_goes_on_time_even_where_no_new_one_is_made__T6_M10(backed_up: BackedUp, failing: str) -> None:
    backed_up.acme.call("call", days_ago(1), "requests")
    (old, kept) = (backed_up.run(days) for days in (14.01, 13))
    assert old.made is not None
    assert kept.made is not None

    def away(stores: BackupStores) -> BackupStores:
        def refuse() -> object:
            raise Invalid("no", reason="AuthenticationFailed")

        return replace(stores, sources={"Analytical": PostgresBackupSource(refuse)})  # type: ignore[arg-type]

    frequency = None if failing == "suspended" else Frequency.DAILY
    result = backed_up.run(frequency=frequency, wrap=away if failing == "database" else lambda stores: stores)
    assert result.removed == 1
    left = {each.backup_id for each in result.complete()}
    assert old.made.backup_id not in left
    assert kept.made.backup_id in left
    assert not any(old.made.backup_id in key for key in backed_up.stored_keys()), "no version of it either"
    assert result.outcome is (Outcome.INVALID if failing == "database" else Outcome.SUCCEEDED)
    assert (result.made is not None) is (failing == "nothing")


def test_what_no_manifest_names_is_no_backup_and_goes_when_nobody_can_be_writing_it(backed_up: BackedUp) -> None:
    unfinished = new_backup_id(datetime.now(UTC), b"dead")
    with ExitStack() as closing:
        bucket = backed_up.bucket(closing)
        bucket.write(f"backups/{unfinished}/000000", iter([b"half"]))
        result = backed_up.run()
        assert result.made is not None
        assert [each.backup_id for each in result.complete()] == [result.made.backup_id]
        assert any(unfinished in key for key in backed_up.stored_keys()), "somebody may be writing it"

        def later(stores: BackupStores) -> BackupStores:
            return replace(stores, bucket=_Ahead(stores.bucket))  # type: ignore[arg-type]

        result = backed_up.run(-0.51, wrap=later)
    assert not any(unfinished in key for key in backed_up.stored_keys())
    assert result.outcome is Outcome.SUCCEEDED


def test_a_backup_that_cannot_go_keeps_no_other_one__T6(backed_up: BackedUp) -> None:
    stuck, other = (backed_up.run(days).made for days in (20, 18))
    assert stuck is not None
    assert other is not None

    def refusing(stores: BackupStores) -> BackupStores:
        return replace(stores, bucket=_Stuck(stores.bucket, stuck.backup_id))  # type: ignore[arg-type]

    result = backed_up.run(frequency=None, wrap=refusing)
    assert (result.removed, result.outcome, result.problems[0].reason) == (1, Outcome.INCOMPLETE, "BackupsLeft")
    assert not any(other.backup_id in key for key in backed_up.stored_keys())
    assert backed_up.run(frequency=None).removed == 1


class _Stuck:
    """The bucket, which lets the files of one backup not go."""

    def __init__(self, inner: BackupBucket, backup_id: str) -> None:
        self._inner, self._backup_id = inner, backup_id

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def remove(self, objects: Sequence[StoredCopy]) -> None:
        """As the bucket does, but for these."""
        if any(self._backup_id in each.key for each in objects):
            raise Unavailable("locked", reason="BackupsLeft")
        self._inner.remove(objects)


class _Ahead:
    """The bucket with a clock that says nothing: the job's own is what counts."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def clock(self) -> None:
        """Nothing."""


class _Between:
    """A database in which something happens in each view, before the first row of a table is read."""

    def __init__(self, inner: BackupSource, table: str, happens: Iterator[object]) -> None:
        self._inner, self._table, self._happens = inner, table, happens
        self._happened = False

    def begin(self) -> None:
        """As the source does."""
        self._happened = False
        self._inner.begin()

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def rows(self, part: Part, columns: Sequence[str]) -> Iterator[bytes]:
        """As the source does."""
        if part.table.name == self._table and not self._happened:
            self._happened = True
            next(self._happens, None)
        return self._inner.rows(part, columns)


def between(table: str, happens: Iterator[object]) -> object:
    """Stores in which this happens."""
    return lambda stores: replace(
        stores, sources={name: _Between(source, table, happens) for name, source in stores.sources.items()}
    )


def test_rows_of_one_database_are_all_of_one_instant(backed_up: BackedUp) -> None:
    acme = backed_up.acme
    acme.call("before", days_ago(1), "requests", "surveys")

    def written() -> Iterator[None]:
        acme.call("meanwhile", days_ago(1), "requests", "surveys")
        yield

    result = backed_up.run(wrap=between("surveys", written()))  # type: ignore[arg-type]
    assert result.made is not None
    assert backed_up.ids(result.made.backup_id) == {"requests:before", "surveys:before"}


@pytest.mark.parametrize("times", [1, ATTEMPTS])
def test_a_month_that_is_replaced_while_it_is_read_makes_the_backup_begin_again(
    backed_up: BackedUp, times: int
) -> None:
    acme = backed_up.acme
    acme.call("call", days_ago(1), "requests", "surveys")

    def replaced() -> Iterator[None]:
        for _ in range(times):
            with acme.owner() as connection:
                connection.execute(REPLACE)
            yield

    result = backed_up.run(wrap=between("surveys", replaced()))  # type: ignore[arg-type]
    if times < ATTEMPTS:
        assert result.outcome is Outcome.SUCCEEDED, result
        assert result.made is not None
        assert backed_up.ids(result.made.backup_id) == {"requests:call", "surveys:call"}
        assert "backup.again" in backed_up.around.events()
    else:
        assert (result.made, result.outcome, result.problems[0].reason) == (None, Outcome.INCOMPLETE, "MonthChanged")
    assert len(backed_up.stored_keys()) == (3 if result.complete() else 0), "a failed attempt leaves nothing behind"


def test_a_backup_under_way_keeps_no_month_from_going(backed_up: BackedUp) -> None:
    acme = backed_up.acme
    acme.call("call", days_ago(1), "requests", "surveys")
    acme.old_month("chat_logs", days_ago(900))

    def dropped() -> Iterator[None]:
        with acme.owner() as connection:
            connection.execute("SET lock_timeout = '2s'")
            connection.execute(
                f"ALTER TABLE public.chat_logs DETACH PARTITION public.chat_logs_p{days_ago(900):%Y%m}".encode()
            )
        yield

    result = backed_up.run(wrap=between("surveys", dropped()))  # type: ignore[arg-type]
    assert result.outcome is Outcome.SUCCEEDED, result


def test_another_key_than_the_pinned_one_seals_nothing(backed_up: BackedUp) -> None:
    plan = backed_up.plan()
    assert plan.backup is not None
    other = plan.model_copy(update={"backup": plan.backup.model_copy(update={"key_id": "0" * 16})})
    with (
        pytest.raises(Invalid, match=f"{KEY}: this is another key") as refused,
        open_backup_stores(other, backed_up.acme.directory),
    ):
        raise AssertionError("opened")
    assert refused.value.reason == "BackupKeyWrong"


def test_old_backups_go_although_the_key_is_lost(backed_up: BackedUp) -> None:
    made = backed_up.run(20).made
    assert made is not None
    key = backed_up.acme.directory / KEY / "key"
    text = key.read_text()
    key.unlink()
    try:
        with pytest.raises(Invalid, match="key: is missing"):
            backed_up.run()
        result = backed_up.run(frequency=None)
    finally:
        key.write_text(text)
    assert (result.outcome, result.removed, result.left) == (Outcome.SUCCEEDED, 1, ())


def test_the_writer_cannot_delete_and_the_remover_cannot_write(backed_up: BackedUp) -> None:
    with ExitStack() as closing:
        bucket = backed_up.bucket(closing)
        bucket.write("backups/probe", iter([b"x"]))
        swapped = type(bucket)(bucket._content._connection, bucket._content._connection, bucket._bucket)
        with pytest.raises(Invalid) as refused:
            swapped.write("backups/other", iter([b"x"]))
    assert refused.value.reason == "PrivilegesMissing"


def test_a_table_that_is_not_there_yet_is_told_and_no_backup_lacks_it(backed_up: BackedUp) -> None:
    with backed_up.acme.owner() as connection:
        connection.execute("DROP TABLE public.surveys CASCADE")
    result = backed_up.run()
    assert (result.made, result.outcome) == (None, Outcome.NOT_READY)
    assert "table surveys is not in the database yet" in result.problems[0].message
    assert backed_up.stored_keys() == set()


def test_late_backups_are_counted(backed_up: BackedUp) -> None:
    made = backed_up.run(20).made
    assert made is not None
    result = backed_up.run(17.5, keep="P14D", frequency=None)
    assert result.left is not None
    assert backup_document(result)["overdue"] == 0
    late = replace(result, finished_at=datetime.now(UTC) - timedelta(days=3))
    assert backup_document(late)["overdue"] == 1
