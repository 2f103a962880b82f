"""Connections that die at any reply and stores that go away in mid-run: the run repeats, or the next one finishes.

On one PostgreSQL: what a cut leaves is a matter of the protocol, and each function runs on all of them in the contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.proxy import Proxy, Side, cut_along, proxied


@pytest.fixture
def database_proxy(acme: LiveArchive) -> Iterator[Proxy]:
    """Stands between engine and database."""
    with proxied(acme.directory / "acme-analytical-enforcer" / "port") as proxy:
        yield proxy


@pytest.fixture
def bucket_proxy(acme: LiveArchive) -> Iterator[Proxy]:
    """Stands between engine and bucket."""
    with proxied(acme.directory / "acme-content-enforcer" / "AWS_ENDPOINT_URL") as proxy:
        yield proxy


def arrange(acme: LiveArchive, turn: int) -> None:
    """Work of every kind, and one call that stays."""
    acme.old_month("chat_logs", days_ago(900))
    acme.call(f"beyond-{turn}", days_ago(900), "chat_logs")
    acme.call(f"old-{turn}", days_ago(250), "requests", "surveys", "recordings", "chat_logs")
    acme.call(f"boundary-{turn}", days_ago(180) - timedelta(hours=12), "requests")
    acme.call(f"case-{turn}", days_ago(400), "cases", closed_at=days_ago(370))


@pytest.mark.parametrize("side", Side)
def test_a_connection_that_dies_before_or_after_any_commit_is_made_good_in_the_same_run_and_nothing_counts_twice__X6(
    acme: LiveArchive, database_proxy: Proxy, side: Side
) -> None:
    acme.call("young", days_ago(3), "requests", "recordings")
    staying = acme.left()
    arrange(acme, 0)
    rows = len(acme.left() - staying)
    assert acme.run().outcome is Outcome.SUCCEEDED
    quiet = 0
    for turn, where in cut_along(database_proxy, side, database_proxy.counts[side], 10):
        arrange(acme, turn + 1)
        result = acme.run(patient=True)
        assert result.outcome is Outcome.SUCCEEDED, f"{where}: {result} {acme.around.told}"
        assert acme.left() == staying, where
        assert acme.keys() == {"audio/young"}, where
        (link,) = acme.observer().evidence(1)
        assert sum(each.acted for each in link.categories) == rows, f"{where}: {link}"
        quiet += not any(event == "waiting" or event.endswith(".failed") for event in acme.around.events())
    assert quiet <= 1, "each run says that it was cut off, but for one that was saying goodbye"
    facts = acme.observer().observe()
    assert facts.chain_intact


def test_a_database_that_answers_slowly_makes_the_night_longer_and_no_other__P2_P4_X6(
    acme: LiveArchive, database_proxy: Proxy
) -> None:
    acme.call("young", days_ago(3), "requests", "recordings")
    staying = acme.left()
    arrange(acme, 0)
    rows = len(acme.left() - staying)
    database_proxy.delay = 0.03
    assert acme.run(patient=True).outcome is Outcome.SUCCEEDED
    assert database_proxy.counts[Side.REPLIES] > 50, "every one of them was late"
    assert (acme.left(), acme.keys()) == (staying, {"audio/young"})
    (link,) = acme.observer().evidence(1)
    assert sum(each.acted for each in link.categories) == rows


def test_a_database_that_goes_away_in_the_middle_is_unreachable_and_the_next_run_finishes(
    acme: LiveArchive, database_proxy: Proxy
) -> None:
    for day in range(40, 340, 30):
        acme.call(f"call-{day}", days_ago(day), "requests", "recordings", "chat_logs")

    def hook(name: str, number: int) -> None:
        if name == "expire_months" and number == 2:
            database_proxy.go_away()

    result = acme.run(hook=hook)
    assert (result.outcome, result.outcome.exit_code()) == (Outcome.UNREACHABLE, 3)
    left = acme.left()
    assert left
    database_proxy.away = False
    assert acme.run(patient=True).outcome is Outcome.SUCCEEDED
    assert acme.left() == {f"requests:call-{day}" for day in range(40, 180, 30)}
    outcomes = [link.outcome for link in acme.observer().evidence(10)]
    assert outcomes == ["Succeeded", "Interrupted"]


def test_a_bucket_that_goes_away_in_the_middle_keeps_rows_and_their_records_until_it_is_back__P4(
    acme: LiveArchive, bucket_proxy: Proxy
) -> None:
    for day in (200, 210, 220):
        acme.call(f"call-{day}", days_ago(day), "requests", "recordings")
        acme.call(f"chat-{day}", days_ago(day), "requests", "chat_logs")
    before = acme.keys()

    def hook(name: str, number: int) -> None:
        if name == "delete_objects":
            bucket_proxy.go_away()

    result = acme.run(hook=hook)
    assert result.outcome is Outcome.INCOMPLETE
    failures = {each.start.category: each.failure for each in result.stores[0].categories}
    assert failures["recordings"]
    assert failures["chat-logs"] is None
    assert acme.left() == {f"{table}:call-{day}" for day in (200, 210, 220) for table in ("requests", "recordings")}
    assert acme.keys() == before
    bucket_proxy.away = False
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert acme.left() == set()
    assert acme.keys() == set()


def test_a_wrong_password_is_bad_configuration_and_touches_nothing(acme: LiveArchive) -> None:
    acme.call("old", days_ago(200), "requests")
    password = acme.directory / "acme-analytical-enforcer" / "password"
    original = password.read_text()
    password.write_text("not-this-one")
    try:
        result = acme.run()
    finally:
        password.write_text(original)
    assert (result.outcome, result.outcome.exit_code()) == (Outcome.INVALID, 1)
    assert result.stores[0].reason == "AuthenticationFailed"
    assert "not-this-one" not in repr(result)
    assert acme.left() == {"requests:old"}
