"""Whole months are written anew by two sessions while their connections die: the same night takes the person out, once.

On one PostgreSQL: what a cut leaves is a matter of the protocol, and test_database_anonymizing writes months anew on the others.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive
from tests.stores.proxy import Proxy, Side, cut_along
from tests.stores.test_anonymizing_contract import RECORDS
from tests.stores.test_anonymizing_kills import arrange, halves, write_every_month_anew, written_anew
from tests.stores.test_enforcement_contract import archive_like
from tests.stores.test_enforcement_cuts import database_proxy

__all__ = ["database_proxy"]


@pytest.mark.parametrize("side", Side)
def test_a_connection_that_dies_before_or_after_any_commit_of_a_rewrite_is_made_good_in_the_same_night__X1_X6_X3(
    acme: LiveArchive, database_proxy: Proxy, side: Side
) -> None:
    acme.define(archive_like(acme, anonymize_after="P90D"))
    write_every_month_anew(acme)
    now = datetime.now(UTC)
    acme.call("young", now - timedelta(days=89, hours=12), "requests")
    acme.call("held", now - timedelta(days=100), "requests")
    acme.hold("held")
    arrange(acme, now, 0)
    database_proxy.counts[side] = 0
    assert acme.run().outcome is Outcome.SUCCEEDED
    assert written_anew(acme) >= 2
    for turn, where in cut_along(database_proxy, side, database_proxy.counts[side], 13):
        rows, due = len(acme.left()), arrange(acme, now, turn + 1)
        done = acme.run(patient=True)
        assert done.outcome is Outcome.SUCCEEDED, f"{where}: {done} {acme.around.told}"
        assert acme.callers() == {"young", "held"}, where
        assert len(acme.left()) == rows + len(due), f"the rows stay: {where}"
        (link,) = acme.observer().evidence(1)
        (found,) = (each for each in link.categories if each.category == RECORDS)
        assert found.anonymized == len(due), f"each row is told once: {where}"
        assert halves(acme) == 0, where
    assert acme.observer().observe().chain_intact
