"""Object locks set by the nightly run: what has not reached its min is refused by the bucket too (M8), and nothing waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.domain.definition import ClockEvent, RetentionDefinition
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import ObjectLock
from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive, keep_young, refused
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, archive, category, days_ago, definition, run

RULES = archive(content_keep="P60D", minimum="P30D")


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An archive whose recordings live 30 days at least and 60 at most."""
    with tenant_databases.having(RULES) as made:
        yield made


def recording(
    database: TenantDatabase, number: int, born: datetime, key: str | None, version: str | None = "v"
) -> None:
    database.write(
        "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (%s, 's', %s, %s, %s)",
        number,
        born,
        key,
        version,
    )


def asked(
    database: TenantDatabase,
    rules: RetentionDefinition = RULES,
    *,
    limit: int = 1000,
    record: bool = True,
    refused: frozenset[str] = frozenset(),
) -> dict[str, datetime]:
    """Every lock that one run asks for, by key; answered for unless ``record`` is False, which is a kill before that."""
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
    found: list[ObjectLock] = []
    resume_from = None
    while True:
        batch = enforcement.objects_to_lock(run_id, "recordings", resume_from, limit)
        assert len(batch.locks) <= limit
        found += batch.locks
        if record:
            outcomes = [(lock.lock_id, "AccessDenied" if lock.key in refused else None) for lock in batch.locks]
            for _ in range(2):  # a lost reply makes it come twice
                enforcement.record_locks(run_id, "recordings", outcomes)
        resume_from = batch.resume_from
        if resume_from is None:
            break
    enforcement.close()
    assert len({lock.key for lock in found}) == len(found), "each once"
    return {lock.key: lock.until for lock in found}


def test_young_objects_are_locked_to_the_microsecond_of_birth_and_min_and_asked_for_once__M8(
    database: TenantDatabase,
) -> None:
    births = {f"k{age}": days_ago(age) for age in (0, 3, 29, 29.99)}
    for number, (key, born) in enumerate(births.items()):
        recording(database, number, born, key)
    recording(database, 10, days_ago(30.01), "old enough")
    recording(database, 11, days_ago(1), None)
    assert asked(database, limit=2) == {key: end_of_period(born, Period.parse("P30D")) for key, born in births.items()}
    assert asked(database) == {}
    recording(database, 12, days_ago(20), "written late")
    assert set(asked(database)) == {"written late"}


def test_equal_births_in_many_batches_are_all_locked(database: TenantDatabase) -> None:
    born = days_ago(3)
    for number in range(7):
        recording(database, number, born, f"k{number}")
    assert len(asked(database, limit=2)) == 7


def test_a_kill_between_lock_and_record_makes_the_same_lock_be_asked_for_again__M8(database: TenantDatabase) -> None:
    recording(database, 1, days_ago(3), "young")
    first = asked(database, record=False)
    assert asked(database) == first


def test_a_raised_min_makes_locks_longer_and_a_lowered_one_leaves_them__M8(database: TenantDatabase) -> None:
    born = days_ago(3)
    recording(database, 1, born, "young")
    asked(database)
    longer = archive(content_keep="P60D", minimum="P40D")
    database.apply(longer)
    assert asked(database, longer) == {"young": end_of_period(born, Period.parse("P40D"))}
    database.apply(RULES)
    assert asked(database) == {}


def test_an_object_that_two_rows_name_is_locked_for_the_younger_one__M8(database: TenantDatabase) -> None:
    younger = days_ago(2)
    recording(database, 1, days_ago(29), "shared")
    recording(database, 2, younger, "shared")
    recording(database, 3, days_ago(2), "shared", "another version")
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    last: dict[str | None, datetime] = {}
    resume_from = None
    while True:
        batch = enforcement.objects_to_lock(run_id, "recordings", resume_from, 10)
        last |= {lock.version: lock.until for lock in batch.locks}
        enforcement.record_locks(run_id, "recordings", [(lock.lock_id, None) for lock in batch.locks])
        resume_from = batch.resume_from
        if resume_from is None:
            break
    enforcement.close()
    assert last["v"] == end_of_period(younger, Period.parse("P30D"))
    assert set(last) == {"v", "another version"}


def test_what_the_bucket_would_not_lock_is_counted_once_and_asked_for_by_the_next_run(database: TenantDatabase) -> None:
    for number in range(3):
        recording(database, number, days_ago(3), f"k{number}")
    assert len(asked(database, refused=frozenset({"k1"}))) == 3
    failed, locked = database.rows(
        "SELECT failed, locked FROM retention.run_category WHERE category = 'recordings' ORDER BY locked DESC"
    )[0]
    assert (failed, locked) == (1, 2)
    assert set(asked(database)) == {"k1"}


def test_a_dry_run_locks_nothing__X7(database: TenantDatabase) -> None:
    recording(database, 1, days_ago(3), "young")
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.DRY_RUN, RULES.rules_digest(), datetime.now(UTC))
    with pytest.raises(Exception, match="dry run"):
        enforcement.objects_to_lock(run_id, "recordings", None, 10)
    enforcement.close()


def test_a_row_whose_object_is_locked_for_longer_than_today_s_min_waits_and_is_counted_not_failed(
    database: TenantDatabase,
) -> None:
    recording(database, 1, days_ago(20), "locked")
    recording(database, 2, days_ago(200), "old")
    asked(database)
    lowered = archive(content_keep="P10D", minimum="P5D", guard_percent=100)
    database.apply(lowered)
    evidence = run(database, lowered)
    content = evidence.categories[0]
    assert (evidence.outcome, content.acted, content.skipped, content.failed, content.residue) == (
        "Succeeded",
        1,
        1,
        0,
        1,
    )
    assert database.rows("SELECT id FROM public.recordings") == [(1,)]
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.object_lock SET locked_until = now(), asked_until = now()")
    assert run(database, lowered).categories[0].acted == 1


def test_locks_that_ended_are_forgotten(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute(
            "INSERT INTO retention.object_lock (category, object, asked_until, locked_until)"
            " VALUES ('recordings', 'gone', now(), now()), ('recordings', 'longer', now(), now() + interval '1 day')"
        )
    asked(database)
    assert database.rows("SELECT object FROM retention.object_lock") == [(b"longer",)]


MEDIA = definition(
    [
        archive()
        .table("recordings")
        .model_copy(
            update={
                "columns": (
                    *archive().table("recordings").columns,
                    archive()
                    .table("recordings")
                    .columns[0]
                    .model_copy(update={"name": "closed_at", "type": "Timestamp", "nullable": True}),
                ),
                "clock_columns": ("closed_at",),
            }
        )
    ],
    [
        category(
            "recordings",
            "recordings",
            keep="P60D",
            minimum="P30D",
            clock_event=ClockEvent.CLOSED,
            clock_column="closed_at",
            objects=archive().category("recordings").objects,
        )
    ],
)
"""Media in use: the clock starts when they are replaced (M7)."""


def test_media_in_use_are_locked_for_a_whole_min_from_now_and_again_when_half_of_it_is_gone__M7_M8(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(MEDIA) as database:
        recording(database, 1, days_ago(100), "in use")
        recording(database, 2, days_ago(-3), "from the future")
        whole = end_of_period(datetime.now(UTC), Period.parse("P30D"))
        first = asked(database, MEDIA)
        assert set(first) == {"in use", "from the future"}
        assert all(abs(until - whole) < timedelta(minutes=1) for until in first.values())
        assert asked(database, MEDIA) == {}
        with database.as_owner() as owner:
            owner.execute("UPDATE retention.object_lock SET locked_until = now() + interval '14 days'")
        assert set(asked(database, MEDIA)) == {"in use", "from the future"}
        replaced = datetime.now(UTC)
        database.write("UPDATE recordings SET closed_at = %s WHERE id = 1", replaced)
        assert asked(database, MEDIA) == {"in use": end_of_period(replaced, Period.parse("P30D"))}


# The engine with a real bucket.


def test_after_a_run_the_bucket_refuses_what_has_not_reached_its_min__M8(acme: LiveArchive) -> None:
    keep_young(acme)
    acme.call("due", days_ago(15), "recordings")
    acme.call("young", days_ago(3), "recordings")
    acme.call("past-min", days_ago(10), "recordings")
    result = acme.run()
    assert result.outcome is Outcome.SUCCEEDED, acme.around.told
    assert {each.category: each.locked for each in result.stores[0].evidence.categories}["recordings"] == 1  # type: ignore[union-attr]
    assert acme.left() == {"recordings:young", "recordings:past-min"}
    assert refused(acme) == {"audio/young"}


def test_a_category_that_the_guard_stopped_is_locked_all_the_same__M8(acme: LiveArchive) -> None:
    keep_young(acme, guard_percent=25)
    for day in range(20, 40):
        acme.call(f"due-{day}", days_ago(day), "recordings")
    acme.call("young", days_ago(3), "recordings")
    assert acme.run().outcome is Outcome.APPROVAL_REQUIRED
    assert len(acme.left()) == 21
    assert refused(acme) == {"audio/young"}


def test_a_dry_run_leaves_the_bucket_as_it_is__X7(acme: LiveArchive) -> None:
    keep_young(acme)
    acme.call("young", days_ago(3), "recordings")
    acme.run(Mode.DRY_RUN)
    assert refused(acme) == set()


def test_one_object_that_cannot_be_locked_stops_no_other_and_the_result_says_so(acme: LiveArchive) -> None:
    keep_young(acme)
    for name in ("one", "two", "three"):
        acme.call(name, days_ago(3), "recordings")
    acme.call("due", days_ago(15), "recordings")

    class Picky:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def retain_objects(self, locks: Any) -> Any:
            done = self._inner.retain_objects([lock for lock in locks if lock.key != "audio/two"])
            bad = [lock.lock_id for lock in locks if lock.key == "audio/two"]
            return (*done, *(done[0].model_copy(update={"lock_id": lock_id, "error": "SlowDown"}) for lock_id in bad))

    result = acme.run(wrap_bucket=Picky)
    assert result.outcome is Outcome.INCOMPLETE
    (content,) = (each for each in result.stores[0].categories if each.start.category == "recordings")
    assert (content.removed, content.failure) == (1, "SlowDown")
    assert result.stores[0].evidence is not None
    assert result.stores[0].evidence.outcome == "Failed"
    assert refused(acme) == {"audio/one", "audio/three"}
