"""Rows lose the person at an age and stay (X1, X3): the same in memory and on PostgreSQL 15, 17 and 18."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tenant_retention.domain.durations import RESOLUTION, Period, cutoff
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.anonymizing import AnonymizeStep
from tenant_retention.domain.ports.enforcement import GuardState
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.enforcement_in_memory import InMemoryArchive
from tests.stores.test_enforcement_contract import archive_like, begin, session, take_all

Tenant = Any
"""A ``LiveArchive`` or an ``InMemoryArchive``: both have what these tests use."""
RECORDS = "general-information"


def anonymize_all(database: Any, run_id: UUID, category: str = RECORDS) -> int:
    return sum(take(database, run_id, step) for step in database.anonymize_steps(run_id, category))


def take(database: Any, run_id: UUID, step: AnonymizeStep) -> int:
    changed: int = 0
    after = None
    while True:
        batch = database.anonymize_range(run_id, step, after, 2)
        changed += int(batch.anonymized)
        after = batch.resume_after
        if after is None:
            return changed


def take_whole_run(tenant: Tenant) -> tuple[int, Any]:
    with session(tenant) as database:
        run_id, runs = begin(database, tenant)
        for name in runs:
            take_all(database, run_id, name)
        changed = sum(anonymize_all(database, run_id, name) for name in runs)
        return changed, database.finish_run(run_id)


class AnonymizingContract:
    """The contract; subclasses say which tenant. Records are kept 180 days and lose the person after 90."""

    def test_a_row_loses_its_caller_at_the_age_to_the_microsecond_and_stays__X1_X9(self, tenant: Tenant) -> None:
        clock = datetime.now(UTC) - timedelta(seconds=5)
        bound = cutoff(clock, Period.parse("P90D"))
        for name, birth in (("at", bound), ("after", bound + RESOLUTION), ("before", bound - RESOLUTION)):
            tenant.call(name, birth, "requests", "surveys")
        with session(tenant) as database:
            run_id, runs = begin(database, tenant, clock=clock)
            assert runs[RECORDS].anonymize_due == 2
            assert anonymize_all(database, run_id) == 2
        assert tenant.callers() == {"after"}
        assert len(tenant.left()) == 6

    def test_what_is_deleted_anyway_is_not_counted_as_due_to_lose_the_person(self, tenant: Tenant) -> None:
        tenant.call("gone", days_ago(200), "requests")
        tenant.call("stays", days_ago(100), "requests")
        with session(tenant) as database:
            _, runs = begin(database, tenant)
            assert (runs[RECORDS].candidates, runs[RECORDS].anonymize_due) == (1, 1)
        changed, evidence = take_whole_run(tenant)
        assert (changed, evidence.outcome, tenant.left()) == (1, "Succeeded", {"requests:stays"})

    def test_a_held_row_keeps_its_caller_until_the_hold_is_gone__X3(self, tenant: Tenant) -> None:
        tenant.call("held", days_ago(100), "requests")
        tenant.call("free", days_ago(100), "requests")
        tenant.hold("held")
        changed, evidence = take_whole_run(tenant)
        assert (changed, evidence.outcome, tenant.callers()) == (1, "Succeeded", {"held"})

    def test_a_record_keeps_its_caller_as_long_as_content_of_its_session_is_there__X1(self, tenant: Tenant) -> None:
        tenant.call("both", days_ago(100), "requests", "recordings")
        tenant.call("alone", days_ago(100), "requests")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert anonymize_all(database, run_id) == 1
            assert tenant.callers() == {"both"}
            claims = database.claim_content(run_id, "recordings", 10)
            database.confirm_claims(run_id, [claim.claim_id for claim in claims])
            assert anonymize_all(database, run_id) == 1
        assert tenant.callers() == set()

    def test_the_months_of_a_dry_run_are_those_of_the_real_run_and_none_is_changed__X7(self, tenant: Tenant) -> None:
        for day in (91, 120, 150, 170):
            tenant.call(f"call-{day}", days_ago(day), "requests")
        with session(tenant) as database:
            dry, dry_runs = begin(database, tenant, mode=Mode.DRY_RUN)
            planned = database.anonymize_steps(dry, RECORDS)
            assert sum(step.rows for step in planned) == 4
            with pytest.raises(Invalid) as refusal:
                take(database, dry, planned[0])
            assert refusal.value.reason == "DryRun"
            database.finish_run(dry)
            run_id, runs = begin(database, tenant)
            assert database.anonymize_steps(run_id, RECORDS) == planned
            assert runs[RECORDS].anonymize_due == dry_runs[RECORDS].anonymize_due == 4
        assert len(tenant.callers()) == 4

    def test_the_evidence_counts_who_lost_the_person_and_what_is_left__X6(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(100), "requests")
        tenant.call("young", days_ago(10), "requests")
        _, evidence = take_whole_run(tenant)
        (found,) = (each for each in evidence.categories if each.category == RECORDS)
        assert (found.anonymize_due, found.anonymized, found.anonymize_residue) == (1, 1, 0)
        (other,) = (each for each in evidence.categories if each.category == "cases")
        assert (other.anonymized, other.anonymize_residue) == (None, None)

    def test_a_second_run_finds_nothing_and_a_row_that_comes_in_late_is_found__X6(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(100), "requests")
        assert [take_whole_run(tenant)[0] for _ in range(2)] == [1, 0]
        tenant.call("late", days_ago(100), "requests")
        assert [take_whole_run(tenant)[0] for _ in range(2)] == [1, 0]
        assert tenant.callers() == set()

    def test_a_run_that_leaves_due_rows_as_they_are_is_incomplete__X6(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(100), "requests")
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            for name in runs:
                database.partition_steps(run_id, name)
            assert database.finish_run(run_id).outcome == "Incomplete"

    def test_rows_that_a_new_age_makes_due_wait_for_an_approval__X7(self, tenant: Tenant) -> None:
        for number in range(20):
            tenant.call(f"call-{number}", days_ago(100), "requests")
        tenant.define(archive_like(tenant, guard_percent=25))
        take_whole_run(tenant)
        tenant.define(archive_like(tenant, guard_percent=25, anonymize_after="P90D"))
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            seen = runs[RECORDS]
            assert (seen.guard, seen.surplus, seen.anonymize_due) == (GuardState.TRIPPED, 20, 0)
            assert database.anonymize_steps(run_id, RECORDS) == ()
            for name in runs:
                database.partition_steps(run_id, name)
            assert database.finish_run(run_id).outcome == "ApprovalRequired"
        assert len(tenant.callers()) == 20
        tenant.approve(20, datetime.now(UTC) + timedelta(hours=1))
        changed, evidence = take_whole_run(tenant)
        assert (changed, evidence.outcome, tenant.callers()) == (20, "Succeeded", set())
        # From now on it is the passing of time alone that makes rows due.
        assert take_whole_run(tenant)[1].outcome == "Succeeded"

    def test_what_the_guard_keeps_loses_the_person_as_the_rules_of_before_say__X1_X7(self, tenant: Tenant) -> None:
        tenant.define(archive_like(tenant, guard_percent=25, anonymize_after="P90D"))
        take_whole_run(tenant)
        for number in range(20):
            tenant.call(f"late-{number}", days_ago(100), "requests")
        tenant.define(archive_like(tenant, guard_percent=25, anonymize_after="P90D", records="P95D"))
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            seen = runs[RECORDS]
            assert (seen.guard, seen.surplus, seen.anonymize_due) == (GuardState.TRIPPED, 20, 20)
            for name in runs:
                take_all(database, run_id, name)
            assert sum(anonymize_all(database, run_id, name) for name in runs) == 20
            assert database.finish_run(run_id).outcome == "ApprovalRequired"
        assert (len(tenant.left()), tenant.callers()) == (20, set())


class TestInMemory(AnonymizingContract):
    """The twin that the engine's unit tests run on."""

    @pytest.fixture
    def tenant(self) -> InMemoryArchive:
        made = InMemoryArchive()
        made.define(archive_like(made, anonymize_after="P90D"))
        return made


@pytest.mark.every_postgres
class TestRealStores(AnonymizingContract):
    """PostgreSQL 15, 17 and 18."""

    @pytest.fixture
    def tenant(self, acme: LiveArchive) -> LiveArchive:
        acme.define(archive_like(acme, anonymize_after="P90D"))
        return acme
