"""The removal run over in-memory stores: what goes, what stays, in which order, and what one failure does to the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Approval, Hold, Row, TenantServer
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid, RetentionError, Unavailable
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import Claim, ObjectDeletion
from tenant_retention.domain.ports.orphans import ObjectPage, Place
from tenant_retention.enforcement.awaited import AwaitedStore
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome, RunResult, summarize
from tenant_retention.enforcement.world import Stores
from tests.support.enforcement import NOW, RecordedWorld, archive, plan_of


@dataclass
class Archive:
    """One tenant: its server, its bucket, and a way to run the engine on both."""

    definition: RetentionDefinition = field(default_factory=archive)
    around: RecordedWorld = field(default_factory=RecordedWorld)
    bucket: InMemoryContentBucket = field(default_factory=InMemoryContentBucket)

    def __post_init__(self) -> None:
        self.server = TenantServer(self.definition, "Analytical", lambda: self.around.at)

    def call(self, name: str, born_at: datetime, *tables: str, closed_at: datetime | None = None) -> None:
        """Inserts one call into each of these tables; a recording gets its object too."""
        for table in tables:
            key = f"audio/{name}" if table == "recordings" else None
            clocks = {"closed_at": closed_at} if table == "cases" else {}
            self.server.rows.append(
                Row(f"{table}:{name}", table, born_at, clocks, session=name, key=key, version="v1" if key else None)
            )
            if key:
                self.bucket.objects.add((key, "v1"))

    def run(
        self, *, mode: Mode = Mode.ENFORCE, categories: tuple[str, ...] = (), run_id: UUID | None = None, **wrapped: Any
    ) -> RunResult:
        database = wrapped.get("database") or InMemoryEnforcementDatabase(self.server)
        stores = Stores({"Analytical": database}, {"Content": wrapped.get("bucket") or self.bucket})
        plan = plan_of(self.server.definition, mode=mode, categories=categories)
        return expire(plan, stores, run_id or uuid4(), self.around.world())

    def left(self) -> set[str]:
        return {row.identity for row in self.server.rows}


@pytest.fixture
def acme() -> Archive:
    return Archive()


def days(number: float) -> datetime:
    return NOW - timedelta(days=number)


def test_exactly_what_is_due_goes_and_a_second_run_finds_nothing__P2(acme: Archive) -> None:
    second = timedelta(seconds=1)
    acme.call("old", days(180), "requests", "surveys", "recordings", "chat_logs")
    acme.call("record-lives", days(180) + second, "requests", "surveys", "recordings", "chat_logs")
    acme.call("recording-at-its-end", days(14), "requests", "recordings")
    acme.call("recording-a-second-younger", days(14) + second, "requests", "recordings")
    acme.call("case-closed-long-ago", days(900), "cases", closed_at=days(366))
    acme.call("case-closed-lately", days(900), "cases", closed_at=days(364))
    acme.call("case-still-open", days(4000), "cases")

    result = acme.run()

    assert result.outcome is Outcome.SUCCEEDED
    assert acme.left() == {
        "requests:record-lives",
        "surveys:record-lives",
        "requests:recording-at-its-end",
        "requests:recording-a-second-younger",
        "recordings:recording-a-second-younger",
        "cases:case-closed-lately",
        "cases:case-still-open",
    }
    assert acme.bucket.objects == {("audio/recording-a-second-younger", "v1")}
    again = acme.run()
    assert again.outcome is Outcome.SUCCEEDED
    assert sum(category.removed for store in again.stores for category in store.categories) == 0


def test_a_dry_run_counts_what_the_real_run_removes_and_removes_nothing__X7(acme: Archive) -> None:
    for day in range(0, 400, 7):
        acme.call(f"call-{day}", days(day), "requests", "surveys", "recordings", "chat_logs")
    before = acme.left()

    planned = acme.run(mode=Mode.DRY_RUN)

    assert acme.left() == before
    assert len(acme.bucket.objects) == 58
    done = acme.run()
    for dry, real in zip(planned.stores[0].categories, done.stores[0].categories, strict=True):
        assert dry.start == real.start
        assert real.removed == dry.start.candidates
        if dry.start.category != "recordings":  # objects go by claims, not by steps
            assert sum(step.rows for step in dry.steps) == real.removed
    evidence = acme.server.evidence
    assert [link.mode for link in evidence] == [Mode.DRY_RUN, Mode.ENFORCE]


def test_content_goes_before_the_record_that_names_it__P4(acme: Archive) -> None:
    acme.call("old", days(200), "requests", "recordings", "chat_logs")
    acme.run()
    order = [facts["category"] for event, facts in acme.around.told if event == "category.started"]
    assert order.index("recordings") < order.index("general-information")
    assert order.index("chat-logs") < order.index("general-information")
    assert acme.left() == set()


def test_a_record_waits_while_its_object_cannot_be_deleted_and_goes_once_it_can__P4(acme: Archive) -> None:
    acme.call("old", days(200), "requests", "recordings")
    acme.call("other", days(200), "requests", "recordings")
    acme.bucket.errors["audio/old"] = "AccessDenied"

    first = acme.run()

    assert first.outcome is Outcome.INCOMPLETE
    assert first.outcome.exit_code() == 2
    assert acme.left() == {"requests:old", "recordings:old"}
    acme.bucket.errors.clear()
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == set()
    assert acme.bucket.objects == set()


def test_a_run_limited_to_one_category_touches_no_other(acme: Archive) -> None:
    acme.call("old", days(200), "requests", "recordings", "chat_logs")
    result = acme.run(categories=("chat-logs",))
    assert acme.left() == {"requests:old", "recordings:old"}
    assert result.outcome is Outcome.SUCCEEDED, "it is judged by what it was limited to"
    assert acme.server.evidence[-1].limited_to == ("chat-logs",)


def test_a_held_call_stays_whole_and_is_counted__X3(acme: Archive) -> None:
    acme.call("held", days(200), "requests", "recordings")
    acme.call("free", days(200), "requests", "recordings")
    acme.server.holds.append(Hold(session="held"))
    result = acme.run()
    assert result.outcome is Outcome.SUCCEEDED
    assert acme.left() == {"requests:held", "recordings:held"}
    assert {c.start.category: c.start.held for c in result.stores[0].categories}["recordings"] == 1


def test_the_guard_stops_only_the_surplus_and_an_approval_lets_it_through() -> None:
    acme = Archive(archive(guard_percent=50))
    for day in (*range(200, 230), 10):
        acme.call(f"call-{day}", days(day), "requests")
    stopped = acme.run()
    assert stopped.outcome is Outcome.APPROVAL_REQUIRED
    assert stopped.outcome.exit_code() == 0
    assert len(acme.left()) == 31
    acme.server.approvals.append(Approval(acme.definition.rules_digest(), 29, NOW + timedelta(days=1)))
    assert acme.run().outcome is Outcome.APPROVAL_REQUIRED, "an approval of fewer rows is none"
    acme.server.approvals.append(Approval(acme.definition.rules_digest(), 30, NOW + timedelta(days=1)))
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == {"requests:call-10"}


def test_a_tripped_category_goes_on_by_the_rules_it_ran_under_before() -> None:
    acme = Archive(archive(guard_percent=10))
    for day in range(180):
        acme.call(f"call-{day}", days(day), "requests")
    assert acme.run().outcome is Outcome.SUCCEEDED
    acme.server.definition = archive(guard_percent=10, records="P30D", recordings="P14D", generation=2)
    acme.around.at += timedelta(days=5)
    result = acme.run()
    assert result.outcome is Outcome.APPROVAL_REQUIRED
    assert min(row.born_at for row in acme.server.rows) > acme.around.at - timedelta(days=180)
    assert len(acme.left()) == 175


class Faulty:
    """Passes calls on, after (or before) the failures that the test wants; counts the calls by name."""

    def __init__(self, inner: object, fail: Callable[[str, int, bool, tuple[Any, ...]], RetentionError | None]) -> None:
        self._inner, self._fail = inner, fail
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            number = self.calls.count(name)
            if error := self._fail(name, number, False, arguments):
                raise error
            answer = getattr(self._inner, name)(*arguments, **named)
            if error := self._fail(name, number, True, arguments):
                raise error
            return answer

        return call


def faulty(acme: Archive, fail: Callable[[str, int, bool, tuple[Any, ...]], RetentionError | None]) -> Faulty:
    return Faulty(InMemoryEnforcementDatabase(acme.server), fail)


CALLS = [
    "begin_run",
    "ensure_partitions",
    "finish_detached",
    "partition_steps",
    "expire_months",
    "expire_range",
    "claim_content",
    "confirm_claims",
    "objects_to_lock",
    "record_locks",
    "finish_run",
]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "reply-lost"])
def test_a_connection_cut_at_any_call_is_made_good_by_asking_again(name: str, after: bool) -> None:
    acme = Archive(archive(recordings_min="P7D"))
    acme.call("old", days(300), "requests", "surveys", "recordings", "chat_logs")
    acme.call("older", days(3000), "requests", "surveys", "recordings", "chat_logs")
    acme.call("young", days(1), "requests", "recordings")
    acme.call("older", days(3000), "cases", closed_at=days(500))

    def cut(called: str, number: int, is_after: bool, _: tuple[Any, ...]) -> RetentionError | None:
        lost = called == name and number == 1 and is_after == after
        return Unavailable("the connection was cut", reason="ConnectionLost") if lost else None

    wrapped = faulty(acme, cut)
    result = acme.run(database=wrapped)
    assert wrapped.calls.count(name) >= 2
    assert result.outcome is Outcome.SUCCEEDED
    assert acme.left() == {"requests:young", "recordings:young"}
    assert acme.bucket.objects == {("audio/young", "v1")}


def test_one_category_that_fails_does_not_stop_the_others_and_the_exit_code_says_so(acme: Archive) -> None:
    acme.call("old", days(200), "requests", "chat_logs")
    acme.call("old", days(2000), "cases", closed_at=days(500))

    def refuse(called: str, _: int, after: bool, arguments: tuple[Any, ...]) -> RetentionError | None:
        if called == "partition_steps" and arguments[1] == "chat-logs" and not after:
            return RetentionError("permission denied", reason="Refused")
        return None

    result = acme.run(database=faulty(acme, refuse))
    failures = {category.start.category: category.failure for category in result.stores[0].categories}
    assert failures == {"recordings": None, "chat-logs": "Refused", "general-information": None, "cases": None}
    assert result.outcome is Outcome.INCOMPLETE
    # The record waits for its chat log (P4), the case does not.
    assert acme.left() == {"requests:old", "chat_logs:old"}
    assert acme.server.evidence[-1].outcome == "Failed"


def test_a_partition_locked_for_long_is_given_up_without_stopping_the_other_categories(acme: Archive) -> None:
    acme.call("old", days(300), "chat_logs")
    acme.call("old", days(2000), "cases", closed_at=days(500))

    def locked(called: str, _: int, after: bool, arguments: tuple[Any, ...]) -> RetentionError | None:
        if called == "expire_months" and arguments[1][0].table == "chat_logs":
            return Unavailable("the partition is locked", reason="LockTimeout")
        return None

    result = acme.run(database=faulty(acme, locked))
    assert {c.start.category: c.failure for c in result.stores[0].categories}["chat-logs"] == "LockTimeout"
    assert acme.left() == {"chat_logs:old"}
    assert acme.around.pauses == sorted(acme.around.pauses), "it waits longer from time to time"
    assert sum(acme.around.pauses) > 20


def test_a_statement_that_took_too_long_is_not_waited_for_again(acme: Archive) -> None:
    acme.call("old", days(300), "chat_logs")

    def slow(called: str, *_: object) -> RetentionError | None:
        return Unavailable("too long", reason="StatementTimeout") if called == "expire_months" else None

    wrapped = faulty(acme, slow)
    assert acme.run(database=wrapped).outcome is Outcome.INCOMPLETE
    assert wrapped.calls.count("expire_months") == 1


@pytest.mark.parametrize("name", ["ensure_partitions", "finish_detached"])
def test_a_failure_to_make_or_drop_partitions_never_stops_the_removal(acme: Archive, name: str) -> None:
    acme.call("old", days(200), "requests")
    wrapped = faulty(acme, lambda called, *_: RetentionError("no", reason="Refused") if called == name else None)
    assert acme.run(database=wrapped).outcome is Outcome.SUCCEEDED
    assert acme.left() == set()
    assert any(event.endswith(".failed") for event in acme.around.events())


def test_a_database_that_stays_away_is_unreachable_and_the_next_one_is_served_all_the_same() -> None:
    acme = Archive()
    acme.call("old", days(200), "requests")
    definition = acme.definition
    away = Faulty(InMemoryEnforcementDatabase(acme.server), lambda *_: Unavailable("no route", reason="Unreachable"))
    stores = Stores(
        {"Transactional": away, "Analytical": InMemoryEnforcementDatabase(acme.server)},
        {"Content": acme.bucket},
    )
    result = expire(plan_of(definition), stores, uuid4(), acme.around.world())
    assert [store.outcome for store in result.stores] == [Outcome.UNREACHABLE, Outcome.SUCCEEDED]
    assert result.outcome.exit_code() == 3
    assert acme.left() == set()


def test_a_database_that_goes_away_in_the_middle_leaves_a_run_that_the_next_one_finishes(acme: Archive) -> None:
    acme.call("old", days(200), "requests", "recordings", "chat_logs")
    gone = {"away": False}

    def die(called: str, _: int, after: bool, __: tuple[Any, ...]) -> RetentionError | None:
        gone["away"] = gone["away"] or called == "confirm_claims"
        return Unavailable("no route", reason="Unreachable") if gone["away"] else None

    session = InMemoryEnforcementDatabase(acme.server)
    first = acme.run(database=Faulty(session, die))
    assert first.outcome is Outcome.UNREACHABLE
    assert "recordings:old" in acme.left(), "the claimed row is still there: its deletion was never confirmed"
    session.close()
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == set()
    assert [link.outcome for link in acme.server.evidence] == ["Interrupted", "Succeeded"]


class AwayBucket:
    """A bucket that does not answer."""

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        raise Unavailable("the bucket does not answer", reason="BucketUnreachable")

    def abort_unfinished_uploads(self, older_than: timedelta) -> int:
        raise Unavailable("the bucket does not answer", reason="BucketUnreachable")

    def list_objects(self, begins_at: Place, limit: int) -> ObjectPage:
        raise Unavailable("the bucket does not answer", reason="BucketUnreachable")


@pytest.mark.parametrize("bucket", [AwayBucket(), AwaitedStore("Content")], ids=["away", "not there yet"])
def test_a_bucket_that_is_away_keeps_its_rows_and_their_records_and_nothing_else__M10(
    acme: Archive, bucket: AwayBucket | AwaitedStore
) -> None:
    acme.call("old", days(200), "requests", "recordings")
    acme.call("chat", days(200), "requests", "chat_logs")
    result = acme.run(bucket=bucket)
    assert result.outcome is Outcome.INCOMPLETE
    assert acme.left() == {"requests:old", "recordings:old"}
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == set()


class SilentBucket(InMemoryContentBucket):
    """A bucket that answers for the first object only."""

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        return super().delete_objects(claims[:1])


def test_an_object_the_store_did_not_answer_for_is_never_taken_for_gone(acme: Archive) -> None:
    acme.call("one", days(200), "recordings")
    acme.call("two", days(200), "recordings")
    silent = SilentBucket(acme.bucket.objects)
    assert acme.run(bucket=silent).outcome is Outcome.INCOMPLETE
    assert len(acme.left()) == len(silent.objects) == 1


def test_asked_to_stop_the_run_finishes_its_batch_and_leaves_the_rest_to_the_next_run(acme: Archive) -> None:
    for day in range(40, 400, 20):
        acme.call(f"call-{day}", days(day), "chat_logs")

    def stop(called: str, number: int, after: bool, _: tuple[Any, ...]) -> None:
        if called.startswith("expire_") and number == 3:
            acme.around.stop = True

    session = InMemoryEnforcementDatabase(acme.server)
    result = acme.run(database=Faulty(session, stop))
    assert result.outcome is Outcome.INTERRUPTED
    assert result.outcome.exit_code() == 2
    assert 0 < len(acme.left()) < 18
    session.close()
    acme.around.stop = False
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == set()


def test_a_second_session_in_the_same_database_waits_for_another_day(acme: Archive) -> None:
    other = InMemoryEnforcementDatabase(acme.server)
    other.begin_run(uuid4(), Mode.ENFORCE, acme.definition.rules_digest(), NOW)
    result = acme.run()
    assert result.outcome is Outcome.NOT_READY
    assert result.stores[0].reason == "RunInProgress"


def test_a_clock_that_is_off_by_over_a_minute_stops_the_run(acme: Archive) -> None:
    acme.call("old", days(200), "requests")
    acme.server.now = lambda: NOW + timedelta(seconds=61)
    result = acme.run()
    assert (result.outcome, result.stores[0].reason) == (Outcome.NOT_READY, "ClockSkew")
    assert acme.left() == {"requests:old"}


def test_the_run_goes_by_the_earlier_of_the_two_clocks(acme: Archive) -> None:
    acme.call("at-the-boundary", days(180), "requests")
    acme.server.now = lambda: NOW - timedelta(seconds=1)
    acme.run()
    assert acme.left() == {"requests:at-the-boundary"}


def test_a_plan_made_for_other_rules_is_refused_and_nothing_is_touched(acme: Archive) -> None:
    acme.call("old", days(200), "requests")
    stale = plan_of(archive(records="P200D"))
    stores = Stores({"Analytical": InMemoryEnforcementDatabase(acme.server)}, {"Content": acme.bucket})
    result = expire(stale, stores, uuid4(), acme.around.world())
    assert (result.outcome, result.stores[0].reason) == (Outcome.NOT_READY, "RulesChanged")
    assert result.outcome.exit_code() == 2, "a Job tries again, and by then its plan is the new one"
    assert acme.left() == {"requests:old"}


@pytest.mark.parametrize(
    ("change", "field_name"),
    [
        ({"rules_digest": "sha256:other"}, "rulesDigest"),
        ({"categories": ("voicemail",)}, "categories"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused_with_the_name_of_its_field(
    acme: Archive, change: dict[str, object], field_name: str
) -> None:
    plan = plan_of(acme.definition).model_copy(update=change)
    stores = Stores({"Analytical": InMemoryEnforcementDatabase(acme.server)}, {"Content": acme.bucket})
    with pytest.raises(Invalid) as refusal:
        expire(plan, stores, uuid4(), acme.around.world())
    assert refusal.value.field == field_name


def test_a_plan_without_the_bucket_of_its_recordings_is_refused(acme: Archive) -> None:
    stores = Stores({"Analytical": InMemoryEnforcementDatabase(acme.server)}, {})
    with pytest.raises(Invalid) as refusal:
        expire(plan_of(acme.definition), stores, uuid4(), acme.around.world())
    assert refusal.value.field == "buckets"


def test_nothing_a_run_tells_names_an_object_or_a_person__X6(acme: Archive) -> None:
    acme.call("secret-number", days(200), "requests", "recordings", "chat_logs")
    acme.bucket.errors["audio/secret-number"] = "AccessDenied"
    acme.run()
    assert "secret-number" not in repr(acme.around.told)
    assert "secret-number" not in repr(acme.server.evidence)


def test_long_work_tells_how_far_it_is(acme: Archive) -> None:
    for number in range(2500):
        acme.call(f"call-{number}", days(40) + timedelta(seconds=number), "chat_logs")

    def slow(called: str, _: int, after: bool, __: tuple[Any, ...]) -> None:
        if called == "expire_range" and after:
            acme.around.seconds += 6

    acme.run(database=faulty(acme, slow))
    progress = [facts for event, facts in acme.around.told if event == "category.progress"]
    assert [facts["of"] for facts in progress] == [2500] * len(progress)
    assert len(progress) >= 2


def test_every_link_of_the_evidence_holds_on_to_the_one_before__X6(acme: Archive) -> None:
    for _ in range(3):
        acme.run()
    links = acme.server.evidence
    assert [link.previous_digest for link in links[1:]] == [link.digest for link in links[:-1]]
    assert len({link.digest for link in links}) == 3
    assert links[0].started_at == datetime(2026, 11, 22, 1, 37, tzinfo=UTC)


def test_uploads_that_nobody_completes_go_after_two_days_and_are_counted_but_not_in_a_dry_run(acme: Archive) -> None:
    acme.bucket.now = lambda: acme.around.at
    acme.bucket.uploads = {"audio/died": days(3), "audio/goes-on": days(1)}
    assert acme.run(mode=Mode.DRY_RUN).buckets == ()
    assert set(acme.bucket.uploads) == {"audio/died", "audio/goes-on"}
    result = acme.run()
    assert [(each.purpose, each.uploads_aborted, each.failure) for each in result.buckets] == [("Content", 1, None)]
    assert '"uploadsAborted":1' in summarize(result)
    assert set(acme.bucket.uploads) == {"audio/goes-on"}


def test_no_upload_is_ended_where_every_database_refused_the_run__X5(acme: Archive) -> None:
    """Suspended or released since the plan was written: the bucket cannot know."""
    acme.bucket.now = lambda: acme.around.at
    acme.bucket.uploads = {"audio/died": days(3)}
    acme.server.suspended = True
    assert acme.run().buckets == ()
    assert set(acme.bucket.uploads) == {"audio/died"}


def test_uploads_that_cannot_be_ended_stop_no_deletion_and_leave_the_run_incomplete(acme: Archive) -> None:
    class Stubborn(InMemoryContentBucket):
        def abort_unfinished_uploads(self, older_than: timedelta) -> int:
            raise Unavailable("2 of 3 could not be ended", reason="UploadsLeft")

    acme.call("old", days(20), "recordings")
    result = acme.run(bucket=Stubborn(acme.bucket.objects))
    assert acme.left() == set()
    assert result.outcome is Outcome.INCOMPLETE
    assert [each.failure for each in result.buckets] == ["UploadsLeft"]
