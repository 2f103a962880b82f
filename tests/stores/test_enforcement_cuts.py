"""Connections that die at any reply and stores that go away in mid-run: the run repeats, or the next one finishes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.proxy import Proxy, Side, proxy_to


@pytest.fixture
def database_proxy(acme: LiveArchive) -> Iterator[Proxy]:
    """Stands between engine and database."""
    port = acme.directory / "acme-analytical-enforcer" / "port"
    original = port.read_text()
    with proxy_to("127.0.0.1", int(original)) as proxy:
        port.write_text(str(proxy.port))
        yield proxy
        port.write_text(original)


@pytest.fixture
def bucket_proxy(acme: LiveArchive) -> Iterator[Proxy]:
    """Stands between engine and bucket."""
    url = acme.directory / "acme-content-enforcer" / "AWS_ENDPOINT_URL"
    original = url.read_text()
    with proxy_to("127.0.0.1", int(original.rpartition(":")[2])) as proxy:
        url.write_text(f"https://localhost:{proxy.port}")
        yield proxy
        url.write_text(original)


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
    whole = database_proxy.counts[side]
    # A call is three of each, BEGIN, the function and COMMIT: the stride meets them all.
    for turn, number in enumerate(range(1, whole + 1, 5), start=1):
        arrange(acme, turn)
        database_proxy.counts[side], database_proxy.cut, cuts = 0, (side, number), database_proxy.cuts
        result = acme.run(patient=True)
        # Some nights end a few earlier: what is sent in two pieces once comes in one at another time. The last pieces are the goodbye.
        last = number > whole - 7
        assert database_proxy.cuts == cuts + 1 or last, f"{side} {number} of about {whole} never came"
        assert result.outcome is Outcome.SUCCEEDED, f"cut at {side} {number}: {result} {acme.around.told}"
        assert acme.left() == staying, f"cut at {side} {number}"
        assert acme.keys() == {"audio/young"}
        (link,) = acme.observer().evidence(1)
        assert sum(each.acted for each in link.categories) == rows, f"cut at {side} {number}: {link}"
        told = {event for event in acme.around.events() if event == "waiting" or event.endswith(".failed")}
        assert told or last, f"cut at {side} {number}: {acme.around.events()}"
    facts = acme.observer().observe()
    assert facts.chain_intact


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
