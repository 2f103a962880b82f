"""The engine on real PostgreSQL and SeaweedFS: exactly what is due goes, whatever comes in between."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.results import Outcome, RunResult
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.support.enforcement import archive

MINUTE = timedelta(minutes=1)


def removed(result: RunResult) -> dict[str, int]:
    """Rows that went, by category."""
    return {category.start.category: category.removed for store in result.stores for category in store.categories}


def changed(acme: LiveArchive, **choices: object) -> None:
    """The policy of this tenant changes."""
    facts = {"installation": acme.definition.installation}
    acme.define(archive(back="P15M", generation=2, **choices).model_copy(update=facts))  # type: ignore[arg-type]


def test_exactly_what_is_due_goes_and_a_second_run_finds_nothing__P2(acme: LiveArchive) -> None:
    now = datetime.now(UTC)
    acme.call("old", now - timedelta(days=180), "requests", "surveys", "recordings", "chat_logs")
    acme.call("very-old", now - timedelta(days=400), "requests", "surveys", "recordings", "chat_logs")
    acme.call("record-lives", now - timedelta(days=180) + MINUTE, "requests", "surveys", "recordings", "chat_logs")
    acme.call("recording-younger", now - timedelta(days=14) + MINUTE, "requests", "recordings")
    acme.call("case-closed-long-ago", days_ago(400), "cases", closed_at=days_ago(367))
    acme.call("case-closed-lately", days_ago(400), "cases", closed_at=days_ago(364))
    acme.call("case-still-open", days_ago(400), "cases")

    result = acme.run()

    assert result.outcome is Outcome.SUCCEEDED, acme.around.told
    assert acme.left() == {
        "requests:record-lives",
        "surveys:record-lives",
        "requests:recording-younger",
        "recordings:recording-younger",
        "cases:case-closed-lately",
        "cases:case-still-open",
    }
    assert acme.keys() == {"audio/recording-younger"}
    again = acme.run()
    assert again.outcome is Outcome.SUCCEEDED
    assert set(removed(again).values()) == {0}
    assert acme.observer().observe().chain_intact


def test_of_many_rows_at_any_age_the_run_takes_those_that_an_independent_count_calls_due__X7(acme: LiveArchive) -> None:
    dice = random.Random(20261122)
    now = datetime.now(UTC)
    keeps = {"requests": 180, "surveys": 180, "chat_logs": 30, "recordings": 14}
    expected: dict[str, set[str]] = {}
    for table, keep in keeps.items():
        births = [now - timedelta(seconds=dice.uniform(60, 440 * 86_400)) for _ in range(4_000)]
        # Boundaries to the minute, month ends and starts; none so near that the run's own clock would decide.
        births += [now - timedelta(days=keep) + step * MINUTE for step in (-3, -2, 2, 3)]
        births += [
            _month_end(now, months) + step for months in range(1, 14) for step in (timedelta(0), -timedelta(seconds=1))
        ]
        births = [birth for birth in births if abs(birth - (now - timedelta(days=keep))) > MINUTE]
        rows = [(f"{number}", f"{table}-{number}", birth) for number, birth in enumerate(births)]
        acme.write(table, rows, ("id", "session_id", "started_at"))
        expected[table] = {
            f"{table}:{identity}" for identity, _, birth in rows if not birth <= now - timedelta(days=keep)
        }

    planned = acme.run(Mode.DRY_RUN)
    assert len(acme.left()) == sum(len(acme_rows) for acme_rows in expected.values()) + sum(
        category.start.candidates for category in planned.stores[0].categories
    ), "a dry run removes nothing"
    done = acme.run()

    assert done.outcome is Outcome.SUCCEEDED, acme.around.told
    assert acme.left() == set().union(*expected.values())
    for dry, real in zip(planned.stores[0].categories, done.stores[0].categories, strict=True):
        evidence = {each.category: each for each in done.stores[0].evidence.categories}  # type: ignore[union-attr]
        assert dry.start.candidates == real.start.candidates == evidence[real.start.category].acted
        assert evidence[real.start.category].residue == 0


def test_a_first_run_over_old_data_stops_and_asks_and_an_approval_lets_it_through(acme: LiveArchive) -> None:
    changed(acme, guard_percent=25)
    for day in range(30, 60):
        acme.call(f"call-{day}", days_ago(day), "chat_logs")
    acme.call("young", days_ago(1), "chat_logs")
    stopped = acme.run()
    assert (stopped.outcome, stopped.outcome.exit_code()) == (Outcome.APPROVAL_REQUIRED, 0)
    (asked,) = acme.observer().observe().guard_requests
    assert (asked.category, asked.surplus, asked.total) == ("chat-logs", 30, 31)
    assert asked.rules_digest == acme.definition.rules_digest()
    assert len(acme.left()) == 31
    acme.approve(30, datetime.now(UTC) + timedelta(hours=1))
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == {"chat_logs:young"}


def test_a_tightened_keep_waits_for_an_approval_while_the_old_keep_goes_on(acme: LiveArchive) -> None:
    changed(acme, guard_percent=25)
    for day in range(1, 30):
        acme.call(f"call-{day}", days_ago(day), "chat_logs")
    assert acme.run().outcome is Outcome.SUCCEEDED
    acme.call("due-under-the-old-keep", days_ago(31), "chat_logs")
    changed(acme, guard_percent=25, chat_logs="P10D", recordings="P10D")
    assert acme.run().outcome is Outcome.APPROVAL_REQUIRED
    assert acme.left() == {f"chat_logs:call-{day}" for day in range(1, 30)}
    acme.approve(20, datetime.now(UTC) + timedelta(hours=1))
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == {f"chat_logs:call-{day}" for day in range(1, 10)}


def test_an_approval_that_ends_in_the_middle_stops_the_rest(acme: LiveArchive) -> None:
    changed(acme, guard_percent=25)
    for day in range(31, 331, 10):
        acme.call(f"call-{day}", days_ago(day), "chat_logs")
    acme.approve(1000, datetime.now(UTC) + timedelta(hours=1))

    def hook(name: str, number: int) -> None:
        if name == "expire_months" and number == 4:
            acme.withdraw_approvals()

    result = acme.run(hook=hook)
    assert result.outcome is Outcome.INCOMPLETE
    assert 15 <= len(acme.left()) < 30
    assert acme.run().outcome is Outcome.APPROVAL_REQUIRED
    acme.approve(1000, datetime.now(UTC) + timedelta(hours=1))
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == set()


@pytest.mark.parametrize(
    "effect", ["claim_content", "delete_objects", "partition_steps", "expire_months", "expire_range"]
)
def test_a_hold_that_comes_in_the_middle_keeps_every_row_that_is_still_there__X3(
    acme: LiveArchive, effect: str
) -> None:
    for day in (250, 200, 185):
        acme.call(f"call-{day}", days_ago(day), "requests", "surveys", "chat_logs", "recordings")
        acme.call(f"case-{day}", days_ago(day + 200), "cases", closed_at=days_ago(370))
    seen: set[str] = set()

    def hook(name: str, number: int) -> None:
        if name == effect and number == 1:
            seen.update(acme.left())
            acme.hold("call-250")
            acme.hold("case-250")

    result = acme.run(hook=hook)
    assert result.outcome is Outcome.SUCCEEDED, acme.around.told
    of_held = {row for row in seen if row.endswith("-250")}
    assert acme.left() == of_held
    held = {each.category: each.held for each in result.stores[0].evidence.categories}  # type: ignore[union-attr]
    if effect == "delete_objects":
        # Claimed before the hold came: the object went, its row tells so, and the evidence counts it.
        assert held["recordings"] == 1
        assert acme.keys() == set()
    elif effect == "claim_content":
        assert acme.keys() == {"audio/call-250"}


def test_rules_that_change_in_the_middle_stop_the_run_and_the_next_plan_goes_on(acme: LiveArchive) -> None:
    for day in range(31, 331, 30):
        acme.call(f"call-{day}", days_ago(day), "chat_logs")
    before = acme.plan()

    def hook(name: str, number: int) -> None:
        if name == "expire_months" and number == 3:
            changed(acme, chat_logs="P170D")

    result = acme.run(hook=hook)
    assert result.outcome.exit_code() == 2
    assert before.rules_digest != acme.definition.rules_digest()
    left = acme.left()
    assert {f"chat_logs:call-{day}" for day in range(31, 170, 30)} <= left, "nothing that the new rules keep is gone"
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == {f"chat_logs:call-{day}" for day in range(31, 170, 30)}


def test_an_object_that_is_missing_and_a_row_without_an_object_stop_nothing(acme: LiveArchive) -> None:
    acme.call("whole", days_ago(20), "recordings")
    acme.call("object-missing", days_ago(20), "recordings")
    client = acme.client
    for key, version in acme.objects():
        if key == "audio/object-missing":
            client.remove_object(acme.bucket, key, version_id=version)
    acme.write("recordings", [("never-stored", "s", days_ago(20))], ("id", "session_id", "started_at"))
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == set()
    assert acme.keys() == set()


def test_an_object_that_was_overwritten_goes_in_the_version_that_its_row_names(acme: LiveArchive) -> None:
    acme.call("again", days_ago(20), "recordings")
    newer = acme.put("audio/again")
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.objects() == {("audio/again", newer)}


def test_rows_that_the_application_writes_during_the_run_stay_or_go_by_their_age_alone(acme: LiveArchive) -> None:
    for day in (300, 200):
        acme.call(f"call-{day}", days_ago(day), "chat_logs")

    def hook(name: str, number: int) -> None:
        if name == "expire_months" and number == 1:
            acme.call("late-writer", days_ago(300), "chat_logs")
            acme.call("fresh", days_ago(0), "chat_logs")

    assert acme.run(hook=hook).outcome is Outcome.SUCCEEDED
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == {"chat_logs:fresh"}


def test_a_month_beyond_back_is_detached_and_dropped_in_the_same_run(acme: LiveArchive) -> None:
    acme.old_month("chat_logs", days_ago(900))
    acme.call("ancient", days_ago(900), "chat_logs")
    result = acme.run()
    assert removed(result)["chat-logs"] == 1
    with acme.owner() as connection:
        name = f"public.chat_logs_p{days_ago(900):%Y%m}"
        assert connection.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,)


def test_a_locked_month_is_waited_for_outside_of_any_transaction(acme: LiveArchive) -> None:
    acme.call("old", days_ago(250), "chat_logs")
    with acme.login("app") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM public.chat_logs")

        def hook(name: str, number: int) -> None:
            if name == "expire_months" and number == 2:
                reader.execute("COMMIT")

        result = acme.run(hook=hook)
    assert result.outcome is Outcome.SUCCEEDED
    waited = [facts["reason"] for event, facts in acme.around.told if event == "waiting"]
    assert waited == ["LockTimeout"]
    assert acme.left() == set()


def _month_end(now: datetime, months: int) -> datetime:
    """The first instant of the month that many months ago."""
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)
