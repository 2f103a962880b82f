"""What the engine relies on, the same for the stores in memory and for PostgreSQL 15, 17, 18 and SeaweedFS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tenant_retention.domain.durations import RESOLUTION, Period, cutoff, end_of_period
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import (
    CategoryRun,
    Claim,
    GuardState,
    ObjectLock,
    PartitionStep,
    PartitionStepKind,
)
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.enforcement_in_memory import InMemoryArchive
from tests.support.enforcement import archive

Tenant = Any
"""A ``LiveArchive`` or an ``InMemoryArchive``: both have what these tests use."""


@contextmanager
def session(tenant: Tenant) -> Iterator[Any]:
    database = tenant.enforcer()
    try:
        yield database
    finally:
        database.close()


def begin(
    database: Any,
    tenant: Tenant,
    *,
    mode: Mode = Mode.ENFORCE,
    run_id: UUID | None = None,
    clock: datetime | None = None,
) -> tuple[UUID, dict[str, CategoryRun]]:
    run_id = run_id or uuid4()
    runs = database.begin_run(run_id, mode, tenant.definition.rules_digest(), clock or datetime.now(UTC))
    return run_id, {run.category: run for run in runs}


def take_all(database: Any, run_id: UUID, category: str) -> int:
    return sum(take(database, run_id, step) for step in database.partition_steps(run_id, category))


def take(database: Any, run_id: UUID, step: PartitionStep) -> int:
    if step.kind is not PartitionStepKind.RANGE:
        return int(database.expire_months(run_id, [step], 0).deleted)
    deleted: int = 0
    after = None
    while True:
        batch = database.expire_range(run_id, step, after, 2)
        deleted += int(batch.deleted)
        after = batch.resume_after
        if after is None:
            return deleted


class EnforcementContract:
    """The contract; subclasses say which tenant."""

    def test_a_run_removes_births_up_to_its_cutoff_to_the_microsecond__X9(self, tenant: Tenant) -> None:
        clock = datetime.now(UTC) - timedelta(seconds=5)
        bound = cutoff(clock, Period.parse("P180D"))
        tenant.call("at", bound, "requests", "surveys")
        tenant.call("after", bound + RESOLUTION, "requests", "surveys")
        tenant.call("before", bound - RESOLUTION, "requests", "surveys")
        with session(tenant) as database:
            run_id, runs = begin(database, tenant, clock=clock)
            assert runs["general-information"].remove_through == bound
            assert runs["general-information"].candidates == 4
            assert runs["general-information"].total == 6
            assert take_all(database, run_id, "general-information") == 4
        assert tenant.left() == {"requests:after", "surveys:after"}

    def test_the_counts_at_the_start_are_of_what_is_there_and_due(self, tenant: Tenant) -> None:
        tenant.call("oldest", days_ago(200), "requests")
        tenant.call("held", days_ago(190), "requests")
        tenant.call("young", days_ago(1), "requests")
        tenant.hold("held")
        with session(tenant) as database:
            _, runs = begin(database, tenant)
        seen = runs["general-information"]
        assert (seen.total, seen.candidates, seen.held, seen.surplus, seen.overdue) == (3, 1, 1, 0, 0)
        assert seen.guard is GuardState.CLEAR
        assert seen.oldest is not None
        assert abs(seen.oldest - days_ago(200)) < timedelta(minutes=1)

    def test_a_category_counts_from_the_clock_that_its_event_starts(self, tenant: Tenant) -> None:
        tenant.call("closed-long-ago", days_ago(400), "cases", closed_at=days_ago(367))
        tenant.call("closed-lately", days_ago(400), "cases", closed_at=days_ago(364))
        tenant.call("open", days_ago(400), "cases")
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            assert runs["cases"].candidates == 1
            steps = database.partition_steps(run_id, "cases")
            assert [step.kind for step in steps] == [PartitionStepKind.RANGE]
            assert take_all(database, run_id, "cases") == 1
        assert tenant.left() == {"cases:closed-lately", "cases:open"}

    def test_what_says_it_was_closed_before_it_was_born_counts_from_its_birth__M8(self, tenant: Tenant) -> None:
        tenant.call("backdated", days_ago(5), "cases", closed_at=days_ago(500))
        tenant.call("old-and-backdated", days_ago(400), "cases", closed_at=days_ago(500))
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            assert runs["cases"].candidates == 1
            take_all(database, run_id, "cases")
        assert tenant.left() == {"cases:backdated"}

    def test_the_steps_of_a_dry_run_are_those_of_the_real_run_and_none_can_be_taken__X7(self, tenant: Tenant) -> None:
        for day in (181, 200, 250, 300):
            tenant.call(f"call-{day}", days_ago(day), "requests", "surveys", "chat_logs", "recordings")
        with session(tenant) as database:
            dry, dry_runs = begin(database, tenant, mode=Mode.DRY_RUN)
            planned = {name: database.partition_steps(dry, name) for name in dry_runs}
            for step in planned["chat-logs"]:
                with pytest.raises(Invalid) as refusal:
                    take(database, dry, step)
                assert refusal.value.reason == "DryRun"
            database.finish_run(dry)
            run_id, runs = begin(database, tenant)
            assert {name: database.partition_steps(run_id, name) for name in runs} == planned
            counts = ("candidates", "total", "held", "surplus", "remove_through")
            for name, run in runs.items():
                same = [getattr(dry_runs[name], field) == getattr(run, field) for field in counts[:4]]
                assert all(same), name
        assert len(tenant.left()) == 16

    def test_a_plan_for_other_rules_is_refused(self, tenant: Tenant) -> None:
        with session(tenant) as database, pytest.raises(Invalid) as refusal:
            database.begin_run(uuid4(), Mode.ENFORCE, "sha256:" + "0" * 64, datetime.now(UTC))
        assert refusal.value.reason == "RulesChanged"

    @pytest.mark.parametrize("seconds", [-61, 75])
    def test_clocks_that_differ_by_over_a_minute_stop_the_run(self, tenant: Tenant, seconds: int) -> None:
        with session(tenant) as database, pytest.raises(NotReady) as refusal:
            begin(database, tenant, clock=datetime.now(UTC) + timedelta(seconds=seconds))
        assert refusal.value.reason == "ClockSkew"

    @pytest.mark.parametrize("seconds", [-75, 75])
    def test_a_clock_that_the_operators_contradicts_stops_the_run_until_they_agree__M8(
        self, tenant: Tenant, seconds: int
    ) -> None:
        assert tenant.operator_looks(datetime.now(UTC) + timedelta(seconds=45))
        with session(tenant) as database:
            database.finish_run(begin(database, tenant)[0])
            assert not tenant.operator_looks(datetime.now(UTC) + timedelta(seconds=seconds))
            tenant.approve(1, datetime.now(UTC) + timedelta(hours=1))
            with pytest.raises(NotReady) as refusal:
                begin(database, tenant)
            assert refusal.value.reason == "ClockSkew"
            begin(database, tenant, mode=Mode.DRY_RUN)
            assert tenant.operator_looks(datetime.now(UTC))
            begin(database, tenant)

    def test_clocks_that_all_jumped_ahead_by_over_a_week_delete_nothing_until_somebody_approves__M8(
        self, tenant: Tenant
    ) -> None:
        tenant.operator_looks(datetime.now(UTC))
        with session(tenant) as database:
            database.finish_run(begin(database, tenant)[0])
            tenant.let_pass(timedelta(days=7, minutes=-1))
            database.finish_run(begin(database, tenant)[0])
            tenant.let_pass(timedelta(days=7, minutes=1))
            for _ in range(2):
                with pytest.raises(NotReady) as refusal:
                    begin(database, tenant)
                assert refusal.value.reason == "ClockJumped"
                # The operator may stand in the same node: its word alone does not end the doubt, nor does a dry run.
                assert tenant.operator_looks(datetime.now(UTC))
                database.finish_run(begin(database, tenant, mode=Mode.DRY_RUN)[0])
            tenant.approve(1, datetime.now(UTC) - timedelta(seconds=1))
            with pytest.raises(NotReady):
                begin(database, tenant)
            tenant.approve(1, datetime.now(UTC) + timedelta(hours=1))
            database.finish_run(begin(database, tenant)[0])
            tenant.approve(1, datetime.now(UTC) - timedelta(seconds=1))
            database.finish_run(begin(database, tenant)[0])

    def test_the_operators_looks_and_the_nightly_runs_each_keep_the_clock_believed(self, tenant: Tenant) -> None:
        tenant.operator_looks(datetime.now(UTC))
        with session(tenant) as database:
            for _ in range(3):
                tenant.let_pass(timedelta(days=5))
                database.finish_run(begin(database, tenant)[0])
            for _ in range(3):
                tenant.let_pass(timedelta(days=5))
                assert tenant.operator_looks(datetime.now(UTC))
            begin(database, tenant)

    def test_a_clock_that_was_put_back_behind_the_last_run_asks(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            database.finish_run(begin(database, tenant)[0])
            tenant.operator_looks(datetime.now(UTC))
            tenant.let_pass(timedelta(seconds=-30))
            database.finish_run(begin(database, tenant)[0])
            tenant.let_pass(timedelta(days=-2))
            with pytest.raises(NotReady) as refusal:
                begin(database, tenant)
            assert refusal.value.reason == "ClockJumped"

    def test_where_no_operator_looks_a_run_a_month_from_the_shell_is_no_jump(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            database.finish_run(begin(database, tenant)[0])
            tenant.let_pass(timedelta(days=30))
            begin(database, tenant)

    def test_two_sessions_are_never_in_a_run_at_once(self, tenant: Tenant) -> None:
        with session(tenant) as first, session(tenant) as second:
            begin(first, tenant)
            with pytest.raises(NotReady) as refusal:
                begin(second, tenant)
            assert refusal.value.reason == "RunInProgress"

    def test_beginning_a_run_again_after_a_lost_reply_gives_the_same_answer(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(200), "requests")
        clock = datetime.now(UTC)
        with session(tenant) as database:
            run_id, runs = begin(database, tenant, clock=clock)
            assert begin(database, tenant, run_id=run_id, clock=clock) == (run_id, runs)

    def test_the_run_of_a_session_that_ended_is_marked_interrupted_by_the_next_one__X6(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            first, _ = begin(database, tenant)
        with session(tenant) as database:
            second, _ = begin(database, tenant)
            with pytest.raises(Invalid) as refusal:
                database.partition_steps(first, "chat-logs")
            assert refusal.value.reason == "RunNotOpen"
            link = database.finish_run(second)
        assert link.sequence == 2, "the interrupted run is the link before"

    def test_finishing_again_gives_the_same_evidence_and_links_hold_on_to_each_other__X6(self, tenant: Tenant) -> None:
        links = []
        with session(tenant) as database:
            for _ in range(3):
                run_id, runs = begin(database, tenant)
                for name in runs:
                    take_all(database, run_id, name)
                links.append(database.finish_run(run_id))
                assert database.finish_run(run_id) == links[-1]
        assert [link.sequence for link in links] == [1, 2, 3]
        assert [link.previous_digest for link in links[1:]] == [link.digest for link in links[:-1]]
        assert [link.outcome for link in links] == ["Succeeded"] * 3

    def test_an_object_is_claimed_until_it_is_proven_gone(self, tenant: Tenant) -> None:
        for name in ("one", "two", "three"):
            tenant.call(name, days_ago(20), "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            first = database.claim_content(run_id, "recordings", 2)
            assert len(first) == 2
            assert {claim.key for claim in first} < {"audio/one", "audio/two", "audio/three"}
            assert all(claim.version for claim in first)
            assert len(tenant.left()) == 3, "claiming deletes nothing"
            assert database.confirm_claims(run_id, [claim.claim_id for claim in first]) == 2
            (last,) = database.claim_content(run_id, "recordings", 2)
            assert database.confirm_claims(run_id, [last.claim_id]) == 1
            assert database.confirm_claims(run_id, [last.claim_id]) == 0, "a lost reply makes it come twice"
            assert database.claim_content(run_id, "recordings", 2) == ()
        assert tenant.left() == set()

    def test_claims_whose_reply_was_lost_are_given_again(self, tenant: Tenant) -> None:
        tenant.call("one", days_ago(20), "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            lost = database.claim_content(run_id, "recordings", 10)
            assert database.claim_content(run_id, "recordings", 10) == lost

    @pytest.mark.parametrize("young", ["v", None])
    def test_an_object_that_a_young_row_names_too_stays_and_only_the_old_row_goes__M8(
        self, tenant: Tenant, young: str | None
    ) -> None:
        tenant.call_with_object_of("shared", "old", days_ago(20), "v")
        tenant.call_with_object_of("shared", "young", days_ago(3), young)
        tenant.call_with_object_of("shared", "another-version", days_ago(20), "w")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            claims = database.claim_content(run_id, "recordings", 10)
            assert [claim.version for claim in claims] == ([] if young is None else ["w"])
            database.confirm_claims(run_id, [claim.claim_id for claim in claims])
            assert database.claim_content(run_id, "recordings", 10) == ()
        assert tenant.left() == {"recordings:young"}

    def test_a_row_that_means_every_version_waits_for_the_young_row_of_one_of_them__M8(self, tenant: Tenant) -> None:
        tenant.call_with_object_of("shared", "old", days_ago(20), None)
        tenant.call_with_object_of("shared", "young", days_ago(3), "v")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert database.claim_content(run_id, "recordings", 10) == ()
        assert tenant.left() == {"recordings:old", "recordings:young"}

    def test_a_database_that_shares_the_bucket_is_told_what_staying_rows_name__M8_X3(self, tenant: Tenant) -> None:
        tenant.call_with_object_of("young", "young", days_ago(3), "v")
        tenant.call_with_object_of("whole", "whole", days_ago(3), None)
        tenant.call_with_object_of("due", "due", days_ago(20), "v")
        tenant.call_with_object_of("held", "held", days_ago(20), "v")
        tenant.hold("held")
        names = [("young", "v"), ("young", "w"), ("young", None), ("whole", "v"), ("whole", None), ("due", "v")]
        names += [("due", None), ("held", "v"), ("nobody", None)]
        asked = [ObjectRow(f"audio/{key}", version) for key, version in names]
        expected = [(0, False), (2, True), (3, False), (4, False), (7, False)]
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            found = database.objects_named_here(run_id, asked)
            assert [(each.place, each.in_part) for each in found] == expected
            assert database.objects_named_here(run_id, []) == ()
            database.finish_run(run_id)
            assert database.objects_named_here(run_id, asked) == found, "also after its own part of the run ended"

    def test_a_database_that_is_not_in_the_run_says_nothing_of_its_objects__M8(self, tenant: Tenant) -> None:
        asked = [ObjectRow("audio/one", "v")]
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            with pytest.raises(Invalid) as refused:
                database.objects_named_here(uuid4(), asked)
            assert refused.value.reason == "RunNotOpen"
            tenant.release()
            with pytest.raises(NotReady) as released:
                database.objects_named_here(run_id, asked)
            assert released.value.reason == "Suspended"

    def test_a_claim_is_dropped_where_a_young_row_names_its_object_by_now__M8(self, tenant: Tenant) -> None:
        tenant.call_with_object_of("shared", "old", days_ago(20), "v")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert len(database.claim_content(run_id, "recordings", 10)) == 1
        tenant.call_with_object_of("shared", "young", days_ago(3), "v")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert database.claim_content(run_id, "recordings", 10) == ()

    def test_a_row_that_names_another_object_since_it_was_claimed_is_claimed_anew(self, tenant: Tenant) -> None:
        tenant.call_with_object_of("one", "one", days_ago(20), None)
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            (claim,) = database.claim_content(run_id, "recordings", 10)
            tenant.name_version("one", "uploaded-since")
            assert database.confirm_claims(run_id, [claim.claim_id]) == 0
            (again,) = database.claim_content(run_id, "recordings", 10)
            assert (again.key, again.version) == ("audio/one", "uploaded-since")
            assert database.confirm_claims(run_id, [again.claim_id]) == 1
        assert tenant.left() == set()

    def test_a_claim_that_failed_waits_for_the_next_run(self, tenant: Tenant) -> None:
        tenant.call("one", days_ago(20), "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            (claim,) = database.claim_content(run_id, "recordings", 10)
            database.release_claims(run_id, [(claim.claim_id, "AccessDenied")])
            assert database.claim_content(run_id, "recordings", 10) == ()
            evidence = database.finish_run(run_id)
            assert evidence.outcome == "Failed"
            assert {each.category: each.failed for each in evidence.categories}["recordings"] == 1
            run_id, _ = begin(database, tenant)
            (again,) = database.claim_content(run_id, "recordings", 10)
            assert (again.key, again.version) == (claim.key, claim.version)

    def test_claims_of_a_session_that_ended_come_first_in_the_next_run(self, tenant: Tenant) -> None:
        tenant.call("one", days_ago(20), "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            (left_over,) = database.claim_content(run_id, "recordings", 1)
        tenant.call("older", days_ago(30), "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            (first,) = database.claim_content(run_id, "recordings", 1)
        assert first.key == left_over.key

    def test_a_record_waits_for_the_content_of_its_session__P4(self, tenant: Tenant) -> None:
        tenant.call("with-content", days_ago(200), "requests", "recordings")
        tenant.call("without", days_ago(200), "requests")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            take_all(database, run_id, "general-information")
        assert tenant.left() == {"requests:with-content", "recordings:with-content"}

    def test_a_hold_that_comes_between_plan_and_step_keeps_its_rows__X3(self, tenant: Tenant) -> None:
        tenant.call("held", days_ago(250), "chat_logs")
        tenant.call("free", days_ago(250), "chat_logs")
        tenant.call("closed-and-held", days_ago(400), "cases", closed_at=days_ago(390))
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            steps = {name: database.partition_steps(run_id, name) for name in runs}
            tenant.hold("held")
            tenant.hold("closed-and-held")
            for name in ("chat-logs", "cases"):
                for step in steps[name]:
                    take(database, run_id, step)
        assert tenant.left() == {"chat_logs:held", "cases:closed-and-held"}

    def test_a_row_of_content_that_names_no_object_goes_by_steps_and_not_by_claims(self, tenant: Tenant) -> None:
        tenant.call("whole", days_ago(20), "recordings")
        tenant.call_without_object("never-stored", days_ago(20))
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            assert runs["recordings"].candidates == 2
            (claim,) = database.claim_content(run_id, "recordings", 10)
            assert claim.key == "audio/whole"
            assert take_all(database, run_id, "recordings") == 1
            assert tenant.left() == {"recordings:whole"}, "its object is not proven gone yet"
            database.confirm_claims(run_id, [claim.claim_id])
            (done,) = [each for each in database.finish_run(run_id).categories if each.category == "recordings"]
            assert (done.acted, done.objects) == (2, 1)

    def test_a_hold_keeps_an_object_from_being_claimed__X3(self, tenant: Tenant) -> None:
        tenant.call("held", days_ago(20), "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            tenant.hold("held")
            assert database.claim_content(run_id, "recordings", 10) == ()

    def test_the_guard_holds_back_what_the_last_executed_rules_would_not_remove(self, tenant: Tenant) -> None:
        tenant.define(archive_like(tenant, guard_percent=10))
        for day in range(1, 61):
            tenant.call(f"call-{day}", days_ago(day), "chat_logs")
        for day in (31, 45, 60):
            tenant.call(f"again-{day}", days_ago(day), "chat_logs")
        with session(tenant) as database:
            _, runs = begin(database, tenant)
            tripped = runs["chat-logs"]
            assert (tripped.guard, tripped.surplus, tripped.candidates) == (GuardState.TRIPPED, 34, 0)
            assert tripped.remove_through is None
        tenant.approve(33, datetime.now(UTC) + timedelta(hours=1))
        with session(tenant) as database:
            assert begin(database, tenant)[1]["chat-logs"].guard is GuardState.TRIPPED
        tenant.approve(34, datetime.now(UTC) + timedelta(hours=1))
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            approved = runs["chat-logs"]
            assert (approved.guard, approved.surplus, approved.candidates) == (GuardState.APPROVED, 0, 34)
            assert take_all(database, run_id, "chat-logs") == 34
            database.finish_run(run_id)
            tenant.call("late", days_ago(31), "chat_logs")
            _, runs = begin(database, tenant)
            assert runs["chat-logs"].guard is GuardState.CLEAR, "these rules were executed"

    def test_in_an_unapproved_first_night_a_record_stays_with_its_content_and_one_without_goes_by_its_own_share__P4(
        self, tenant: Tenant
    ) -> None:
        tenant.define(archive_like(tenant, guard_percent=25))
        for number in range(90):
            tenant.call(f"young-{number}", days_ago(2), "requests")
        for number in range(12):
            tenant.call(f"whole-{number}", days_ago(200), "requests", "chat_logs")
            tenant.call(f"bare-{number}", days_ago(200), "requests")
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            assert runs["chat-logs"].guard is GuardState.TRIPPED
            assert runs["general-information"].guard is GuardState.CLEAR
            assert take_all(database, run_id, "chat-logs") == 0
            assert take_all(database, run_id, "general-information") == 12
            database.finish_run(run_id)
        left = {row for row in tenant.left() if "young" not in row}
        assert left == {f"{table}:whole-{number}" for table in ("requests", "chat_logs") for number in range(12)}

    def test_what_a_killed_run_removed_under_an_approval_is_spent(self, tenant: Tenant) -> None:
        tenant.define(archive_like(tenant, guard_percent=10))
        for day in (31, 32, 100, 200, 300):
            for number in range(4):
                tenant.call(f"call-{day}-{number}", days_ago(day), "chat_logs")
        tenant.approve(20, datetime.now(UTC) + timedelta(hours=1))
        with session(tenant) as database:
            run_id, runs = begin(database, tenant)
            assert runs["chat-logs"].guard is GuardState.APPROVED
            removed = take(database, run_id, database.partition_steps(run_id, "chat-logs")[0])
            assert 0 < removed < 20
        with session(tenant) as database:
            assert begin(database, tenant)[1]["chat-logs"].guard is GuardState.APPROVED, "the rest has room still"
        tenant.call("one-more", days_ago(40), "chat_logs")
        with session(tenant) as database:
            stopped = begin(database, tenant)[1]["chat-logs"]
            assert (stopped.guard, stopped.surplus) == (GuardState.TRIPPED, 21 - removed)

    def test_a_run_that_passed_over_what_was_due_has_not_succeeded(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert database.finish_run(run_id).outcome == "Incomplete", "it touched nothing at all"
            tenant.call("due", days_ago(31), "chat_logs")
            run_id, _ = begin(database, tenant)
            database.partition_steps(run_id, "recordings")
            assert database.finish_run(run_id).outcome == "Incomplete"

    def test_a_run_that_was_limited_to_some_categories_is_judged_by_them_and_its_evidence_says_so(
        self, tenant: Tenant
    ) -> None:
        tenant.call("due", days_ago(31), "chat_logs")
        tenant.call("old", days_ago(200), "requests", "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            for wrong in ([], ["no-such-category"]):
                with pytest.raises(Invalid) as refused:
                    database.limit_run(run_id, wrong)
                assert refused.value.reason == "CategoryUnknown"
            for _ in range(2):
                (only,) = database.limit_run(run_id, ["chat-logs"])
            assert (only.category, only.candidates) == ("chat-logs", 1)
            with pytest.raises(Invalid):
                database.claim_content(run_id, "recordings", 10)
            take_all(database, run_id, "chat-logs")
            evidence = database.finish_run(run_id)
        assert (evidence.outcome, evidence.limited_to) == ("Succeeded", ("chat-logs",))
        assert [(each.category, each.acted, each.residue) for each in evidence.categories] == [("chat-logs", 1, 0)]
        assert {"requests:old", "recordings:old"} <= tenant.left()
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert database.finish_run(run_id).limited_to == ()

    def test_a_record_waits_for_content_that_the_run_is_not_to_touch__P4(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(400), "requests", "recordings")
        tenant.call("alone", days_ago(400), "requests")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            database.limit_run(run_id, ["general-information"])
            take_all(database, run_id, "general-information")
            (record,) = database.finish_run(run_id).categories
        assert (record.acted, record.residue) == (1, 1)
        assert tenant.left() == {"requests:old", "recordings:old"}

    def test_a_run_that_left_what_it_was_limited_to_is_incomplete(self, tenant: Tenant) -> None:
        tenant.call("due", days_ago(31), "chat_logs")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            database.limit_run(run_id, ["chat-logs"])
            assert database.finish_run(run_id).outcome == "Incomplete"

    def test_nobody_else_ends_a_run_that_is_under_way_or_tells_of_failures_in_it(self, tenant: Tenant) -> None:
        with session(tenant) as first, session(tenant) as second:
            run_id, _ = begin(first, tenant)
            attempts: list[Callable[[], object]] = [
                lambda: second.finish_run(run_id),
                lambda: second.record_failure(run_id, "cases", "Unforeseen"),
                lambda: second.objects_to_lock(run_id, "recordings", None, 1),
                lambda: second.record_locks(run_id, "recordings", []),
                lambda: second.claim_content(run_id, "recordings", 1),
                lambda: second.confirm_claims(run_id, []),
                lambda: second.release_claims(run_id, []),
                lambda: second.partition_steps(run_id, "cases"),
                lambda: second.ensure_partitions(run_id),
                lambda: second.finish_detached(run_id),
            ]
            for attempt in attempts:
                with pytest.raises(NotReady) as refusal:
                    attempt()
                assert refusal.value.reason == "RunInProgress"
            take_all(first, run_id, "cases")
            assert first.finish_run(run_id).outcome == "Succeeded"

    def test_the_enforcers_login_sees_what_the_server_bears_without_any_privilege(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            seen = database.pressure()
            assert seen.wal_bytes >= 0
            assert seen.largest_wal > 0
            assert seen.lag_bytes is None, "there is no standby"
            later = database.pressure()
        assert later.wal_bytes >= seen.wal_bytes

    def test_statistics_are_left_alone_where_a_run_took_little(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(200), "chat_logs")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            assert take_all(database, run_id, "chat-logs") == 1
            assert database.refresh_statistics(run_id, "chat-logs", ["chat_logs"]) == 0

    def test_what_failed_is_remembered_in_the_evidence(self, tenant: Tenant) -> None:
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            database.record_failure(run_id, "cases", "LockTimeout")
            evidence = database.finish_run(run_id)
        assert evidence.outcome == "Failed"
        assert {each.category: each.failed for each in evidence.categories}["cases"] == 1

    def test_evidence_counts_what_was_done_and_what_is_left__X6(self, tenant: Tenant) -> None:
        for day in (31, 100, 250):
            tenant.call(f"call-{day}", days_ago(day), "chat_logs")
        tenant.call("young", days_ago(3), "chat_logs")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            steps = database.partition_steps(run_id, "chat-logs")
            take(database, run_id, steps[0])
            half = database.finish_run(run_id)
            assert half.outcome == "Incomplete"
            counted = {each.category: each for each in half.categories}["chat-logs"]
            assert (counted.candidates, counted.acted, counted.residue) == (3, 1, 2)
            run_id, _ = begin(database, tenant)
            take_all(database, run_id, "chat-logs")
            whole = {each.category: each for each in database.finish_run(run_id).categories}["chat-logs"]
        assert (whole.candidates, whole.acted, whole.residue) == (2, 2, 0)
        assert whole.oldest_left is not None
        assert abs(whole.oldest_left - days_ago(3)) < timedelta(minutes=1)

    def test_young_objects_are_asked_for_until_their_lock_is_recorded__M8(self, tenant: Tenant) -> None:
        tenant.define(archive_like(tenant, recordings_min="P7D"))
        born = days_ago(3)
        tenant.call("young", born, "recordings")
        tenant.call("refused", born, "recordings")
        tenant.call("past-min", days_ago(8), "recordings")
        tenant.call_without_object("never-stored", born)
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            locks = {lock.key: lock for lock in database.objects_to_lock(run_id, "recordings", None, 10).locks}
            assert {key: lock.until for key, lock in locks.items()} == {
                f"audio/{name}": end_of_period(born, Period.parse("P7D")) for name in ("young", "refused")
            }
            again = database.objects_to_lock(run_id, "recordings", None, 10).locks
            assert {lock.key for lock in again} == set(locks), "nothing was recorded yet"
            ids = {lock.key: lock.lock_id for lock in again}
            outcomes = [(ids["audio/young"], None), (ids["audio/refused"], "AccessDenied")]
            database.record_locks(run_id, "recordings", outcomes)
            assert database.objects_to_lock(run_id, "recordings", None, 10).locks == ()
            evidence = database.finish_run(run_id)
            counted = {each.category: each for each in evidence.categories}["recordings"]
            assert (evidence.outcome, counted.locked, counted.failed) == ("Failed", 1, 1)
            run_id, _ = begin(database, tenant)
            (again,) = database.objects_to_lock(run_id, "recordings", None, 10).locks
            assert again.key == "audio/refused"

    def test_without_a_min_nothing_is_locked(self, tenant: Tenant) -> None:
        tenant.call("young", days_ago(3), "recordings")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            nothing = database.objects_to_lock(run_id, "recordings", None, 10)
            assert (nothing.locks, nothing.resume_from) == ((), None)

    def test_a_bucket_refuses_to_delete_what_it_was_told_to_keep__M8(self, tenant: Tenant) -> None:
        version = tenant.put("audio/young")
        bucket = tenant.content_bucket()
        until = datetime.now(UTC) + timedelta(days=1)
        for _ in range(2):
            (done,) = bucket.retain_objects([ObjectLock(lock_id=3, key="audio/young", version=version, until=until)])
            assert (done.lock_id, done.error) == (3, None)
        (kept,) = bucket.delete_objects([Claim(claim_id=1, key="audio/young", version=version)])
        assert kept.error is not None
        assert tenant.keys() == {"audio/young"}

    def test_a_bucket_deletes_the_version_it_is_told_and_nothing_else(self, tenant: Tenant) -> None:
        first, second = tenant.put("audio/twice"), tenant.put("audio/twice")
        other = tenant.put("audio/twice-more")
        bucket = tenant.content_bucket()
        (done,) = bucket.delete_objects([Claim(claim_id=1, key="audio/twice", version=first)])
        assert (done.claim_id, done.error) == (1, None)
        assert tenant.objects() == {("audio/twice", second), ("audio/twice-more", other)}

    def test_a_bucket_deletes_every_version_where_none_is_named(self, tenant: Tenant) -> None:
        for _ in range(3):
            tenant.put("audio/many")
        other = tenant.put("audio/many-more")
        (done,) = tenant.content_bucket().delete_objects([Claim(claim_id=7, key="audio/many", version=None)])
        assert (done.claim_id, done.error) == (7, None)
        assert tenant.objects() == {("audio/many-more", other)}

    def test_an_object_that_is_missing_counts_as_gone(self, tenant: Tenant) -> None:
        gone = tenant.put("audio/gone")
        bucket = tenant.content_bucket()
        claims = [Claim(claim_id=1, key="audio/gone", version=gone), Claim(claim_id=2, key="audio/never", version=None)]
        for _ in range(2):
            assert [done.error for done in bucket.delete_objects(claims)] == [None, None]
        assert tenant.objects() == set()

    def test_a_released_database_begins_no_run_and_goes_on_with_none__X5(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(200), "requests")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            (step,) = database.partition_steps(run_id, "general-information")
            tenant.release()
            for act in (lambda: take(database, run_id, step), lambda: begin(database, tenant)):
                with pytest.raises(NotReady) as refused:
                    act()
                assert refused.value.reason == "Suspended"
        assert tenant.left() == {"requests:old"}
        with session(tenant) as database:
            _, runs = begin(database, tenant, mode=Mode.DRY_RUN)
            assert runs["general-information"].candidates == 1

    def test_while_a_backup_is_restored_no_run_deletes_but_the_restores_own__M8_T6(self, tenant: Tenant) -> None:
        tenant.call("old", days_ago(200), "requests")
        with session(tenant) as database:
            run_id, _ = begin(database, tenant)
            (step,) = database.partition_steps(run_id, "general-information")
            with tenant.restoring():
                for act in (lambda: take(database, run_id, step), lambda: begin(database, tenant)):
                    with pytest.raises(NotReady) as refused:
                        act()
                    assert refused.value.reason == "RestoreUnderWay"
        assert tenant.left() == {"requests:old"}
        replay = uuid4()
        with tenant.restoring(replay), session(tenant) as database:
            begin(database, tenant, run_id=replay)
            assert take_all(database, replay, "general-information") == 1


class TestInMemory(EnforcementContract):
    """The twins that the engine's unit tests run on."""

    @pytest.fixture
    def tenant(self) -> InMemoryArchive:
        return InMemoryArchive()


@pytest.mark.every_postgres
class TestRealStores(EnforcementContract):
    """PostgreSQL 15, 17 and 18, and SeaweedFS."""

    @pytest.fixture
    def tenant(self, acme: LiveArchive) -> LiveArchive:
        return acme


def archive_like(tenant: Tenant, **choices: Any) -> Any:
    """Another policy of the same tenant."""
    facts = {"installation": tenant.definition.installation}
    return archive(back="P15M", generation=2, **choices).model_copy(update=facts)
