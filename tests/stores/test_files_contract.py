"""What a run relies on for files by last modification (M5), the same in memory and on PostgreSQL 15, 17 and 18."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import CategoryRun, GuardState
from tenant_retention.domain.ports.files import FileCount, FileSpan, StoredFile
from tests.stores.enforcement_archive import Stencil, days_ago
from tests.stores.enforcement_in_memory import InMemoryArchive
from tests.support.log_files import LOGS, archive_with_logs

Tenant = Any
SECOND = timedelta(seconds=1)


def file(name: str, modified: datetime) -> StoredFile:
    return StoredFile(key=f"logs/{name}", version="v", modified=modified)


def begin(database: Any, tenant: Tenant, mode: Mode = Mode.ENFORCE) -> tuple[UUID, CategoryRun]:
    run_id = uuid4()
    runs = database.begin_run(run_id, mode, tenant.definition.rules_digest(), datetime.now(UTC))
    return run_id, next(each for each in runs if each.category == LOGS)


def spans(run: CategoryRun, *modified: datetime) -> list[FileSpan]:
    counted = FileCount(run.file_edges)
    for each in modified:
        counted.add(each)
    return list(counted.spans())


def count(database: Any, run_id: UUID, run: CategoryRun, *modified: datetime) -> CategoryRun:
    found: CategoryRun = database.count_files(run_id, LOGS, datetime.now(UTC), spans(run, *modified))
    return found


@contextmanager
def session(tenant: Tenant) -> Iterator[Any]:
    database = tenant.enforcer()
    try:
        yield database
    finally:
        database.close()


class FilesContract:
    """The contract; subclasses say which tenant."""

    def test_files_go_by_the_runs_one_cutoff_to_the_microsecond__M5_X9(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            assert start.files_through is not None
            at = start.files_through
            assert abs(at - cutoff(datetime.now(UTC), Period.parse("P1Y"))) < timedelta(minutes=1)
            after = at + timedelta(microseconds=1)
            counted = count(database, run_id, start, at, after, at - SECOND, days_ago(1))
            assert (counted.total, counted.candidates, counted.held, counted.surplus) == (4, 2, 0, 0)
            listed = [file("at", at), file("after", after), file("before", at - SECOND)]
            assert database.claim_files(run_id, LOGS, listed, 0) == (0, 2)

    def test_a_lie_about_the_cutoff_or_the_place_helps_nobody__M5_M8(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            count(database, run_id, start, days_ago(400))
            young = [file("young", days_ago(300)), StoredFile(key="audio/1", version="v", modified=days_ago(400))]
            assert database.claim_files(run_id, LOGS, young, 0) == ()

    def test_nothing_goes_that_was_not_counted__M5(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert database.claim_files(run_id, LOGS, [file("old", days_ago(500))], 0) == ()

    def test_an_object_that_a_row_names_is_never_the_prefixs__M5(self, tenant: Tenant) -> None:
        tenant.call("of-a-call", days_ago(1), "recordings")
        tenant.call_with_object_of("of-a-call", "second", days_ago(1), None)
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            count(database, run_id, start, days_ago(400))
            tenant.write_log_row("logs/named")
            listed = [file("named", days_ago(400)), file("free", days_ago(400))]
            assert database.claim_files(run_id, LOGS, listed, 0) == (1,)

    def test_a_hold_on_the_category_keeps_every_file_also_one_that_came_meanwhile__M5_X3(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            count(database, run_id, start, days_ago(400))
            tenant.hold_category(LOGS)
            assert database.claim_files(run_id, LOGS, [file("old", days_ago(400))], 0) == ()
            database.recount_files(run_id, LOGS, spans(start, days_ago(400)))
        with session(tenant) as database:
            run_id, start = begin(database, tenant, Mode.DRY_RUN)
            counted = count(database, run_id, start, days_ago(400), days_ago(800))
            assert (counted.candidates, counted.held, counted.overdue) == (0, 2, 0)

    def test_a_clock_of_the_store_that_is_off_by_over_a_minute_stops_the_category__M5(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            for clock in (None, datetime.now(UTC) + 70 * SECOND, datetime.now(UTC) - 70 * SECOND):
                with pytest.raises(NotReady) as refused:
                    database.count_files(run_id, LOGS, clock, spans(start, days_ago(400)))
                assert refused.value.reason == "ClockSkew"
            assert database.claim_files(run_id, LOGS, [file("old", days_ago(400))], 0) == ()

    def test_many_newly_due_files_wait_for_an_approval__M5(self, tenant: Tenant) -> None:
        tenant.define(
            archive_with_logs(guard_percent=25).model_copy(update={"installation": tenant.definition.installation})
        )
        old = [days_ago(400 + number) for number in range(20)]
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            stopped = count(database, run_id, start, *old)
            assert (stopped.guard, stopped.surplus, stopped.candidates) == (GuardState.TRIPPED, 20, 0)
            assert stopped.files_through is None
            assert count(database, run_id, start, *old) == stopped, "asked twice it answers the same"
            assert database.claim_files(run_id, LOGS, [file("old", old[0])], 0) == ()
        tenant.approve(25, datetime.now(UTC) + timedelta(hours=1))
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            assert count(database, run_id, start, *old).guard is GuardState.APPROVED
            assert database.claim_files(run_id, LOGS, [file("old", old[0])], 0) == (0,)

    def test_the_evidence_says_what_was_there_what_went_and_what_is_left__M5_X6(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            count(database, run_id, start, days_ago(400), days_ago(500), days_ago(600), days_ago(1))
            listed = [file("a", days_ago(400)), file("b", days_ago(500)), file("c", days_ago(600))]
            assert database.claim_files(run_id, LOGS, listed, 0) == (0, 1, 2)
            database.confirm_files(run_id, LOGS, 2, 0)
            database.confirm_files(run_id, LOGS, 2, 0)
            database.recount_files(run_id, LOGS, spans(start, days_ago(1)))
            for each in tenant.definition.categories:
                database.partition_steps(run_id, each.name)
            evidence = database.finish_run(run_id)
        found = next(each for each in evidence.categories if each.category == LOGS)
        assert found.files is not None
        assert (found.files.before, found.files.acted, found.files.unconfirmed) == (4, 2, 1)
        assert (found.files.left, found.files.residue) == (1, 0)
        assert (found.candidates, found.acted, found.objects, found.residue) == (3, 2, 2, 0)
        assert evidence.outcome == "Succeeded"

    def test_a_run_that_never_counted_its_files_is_incomplete_and_executed_nothing__M5(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            for each in tenant.definition.categories:
                database.partition_steps(run_id, each.name)
            assert database.finish_run(run_id).outcome == "Incomplete"
        tenant.define(
            archive_with_logs(guard_percent=25).model_copy(update={"installation": tenant.definition.installation})
        )
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            old = [days_ago(400 + number) for number in range(20)]
            assert count(database, run_id, start, *old).guard is GuardState.TRIPPED

    def test_young_files_are_locked_until_last_modification_and_min__M5_M8(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            assert start.files_young_after is not None
            young = start.files_young_after + SECOND
            listed = [file("young", young), file("of-age", start.files_young_after - SECOND)]
            (lock,) = database.files_to_lock(run_id, LOGS, listed)
            assert (lock.key, lock.version) == ("logs/young", "v")
            assert lock.until > datetime.now(UTC) - timedelta(minutes=1)
            database.record_locks(run_id, LOGS, [(lock.lock_id, None)])
            assert database.files_to_lock(run_id, LOGS, listed) == ()

    def test_a_store_that_calls_the_locking_a_modification_makes_no_file_younger__M5_M10(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            assert start.files_young_after is not None
            young = start.files_young_after + SECOND
            database.files_to_lock(run_id, LOGS, [file("young", young)])
            later = file("young", young + timedelta(days=100))
            (own,) = database.own_files(run_id, LOGS, [later])
            assert own.modified == young
            other = later.model_copy(update={"version": "another"})
            assert database.own_files(run_id, LOGS, [other]) == (other,)

    def test_a_released_store_lets_no_file_go__M5_X5(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant)
            count(database, run_id, start, days_ago(400))
            tenant.release()
            with pytest.raises(NotReady, match="suspended"):
                database.claim_files(run_id, LOGS, [file("old", days_ago(400))], 0)

    def test_a_dry_run_counts_as_the_real_one_and_lets_nothing_go__M5_X7(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, start = begin(database, tenant, Mode.DRY_RUN)
            counted = count(database, run_id, start, days_ago(400), days_ago(300))
            assert (counted.total, counted.candidates) == (2, 1)
            with pytest.raises(Invalid):
                database.claim_files(run_id, LOGS, [file("old", days_ago(400))], 0)


class TestFilesInMemory(FilesContract):
    @pytest.fixture
    def tenant(self) -> Tenant:
        made = InMemoryArchive()
        made.define(archive_with_logs())
        return made


@pytest.mark.every_postgres
class TestFilesOnRealStores(FilesContract):
    @pytest.fixture
    def tenant(self, logs_stencil: Stencil) -> Tenant:
        return logs_stencil.fresh()
