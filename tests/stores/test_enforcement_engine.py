"""The engine on real PostgreSQL and SeaweedFS: exactly what is due goes, whatever comes in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive, days_ago


def test_exactly_what_is_due_goes_and_a_second_run_finds_nothing__P2(acme: LiveArchive) -> None:
    minute = timedelta(minutes=1)
    now = datetime.now(UTC)
    acme.call("old", now - timedelta(days=180), "requests", "surveys", "recordings", "chat_logs")
    acme.call("very-old", now - timedelta(days=400), "requests", "surveys", "recordings", "chat_logs")
    acme.call("record-lives", now - timedelta(days=180) + minute, "requests", "surveys", "recordings", "chat_logs")
    acme.call("recording-younger", now - timedelta(days=14) + minute, "requests", "recordings")
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
    assert sum(category.removed for store in again.stores for category in store.categories) == 0
    assert acme.observer().observe().chain_intact
