"""Nights that take away what may not be stored and the person, cut off from their database at any effect: the same night makes it
good."""

from __future__ import annotations

import pytest

from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive
from tests.stores.proxy import Proxy, Side, cut_along
from tests.stores.test_enforcement_cuts import database_proxy
from tests.stores.test_findings_kills import arrange, arrange_denied, arrange_told, check

__all__ = ["database_proxy"]


@pytest.mark.parametrize("side", Side)
def test_a_connection_that_dies_before_or_after_any_commit_is_made_good_in_the_same_night__P10_X1_X6(
    acme: LiveArchive, database_proxy: Proxy, side: Side
) -> None:
    arrange(acme)
    for turn in (0, 1):
        arrange_denied(acme, turn)
        arrange_told(acme, turn)
        database_proxy.counts[side] = 0
        assert acme.run().outcome is Outcome.SUCCEEDED
        check(acme, turn, "undisturbed")
    whole = database_proxy.counts[side]
    for turn, where in cut_along(database_proxy, side, whole, 7):
        arrange_denied(acme, turn + 2)
        arrange_told(acme, turn + 2)
        result = acme.run(patient=True)
        assert result.outcome is Outcome.SUCCEEDED, f"{where}: {result} {acme.around.told}"
        check(acme, turn + 2, where)
    assert acme.observer().observe().chain_intact
