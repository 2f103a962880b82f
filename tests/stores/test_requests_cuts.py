"""An erasure whose connections to the database die: the same run makes it good, and nobody else loses anything (T7, X6)."""

from __future__ import annotations

import pytest

from tenant_retention.cli.erasing import erase
from tenant_retention.domain.ports.requests import RequestAction
from tests.stores.enforcement_archive import LiveArchive, days_ago, real_world
from tests.stores.proxy import Proxy, Side, cut_along
from tests.stores.test_enforcement_cuts import database_proxy
from tests.stores.test_requests_contract import ALL, person, with_people

__all__ = ["database_proxy"]


def erased(acme: LiveArchive, name: str) -> tuple[bool, int]:
    """The command, in this process, for who called here; whether nothing is left, and what the evidence counts."""
    acme.call(name, days_ago(2), *ALL)
    directory = acme.directory
    asked = (acme.plan(), directory, directory / "administrator", person(name), (RequestAction.ERASE,), real_world())
    done = erase(*asked, dry_run=False, yes=True).done
    (link,) = acme.observer().evidence(1)
    return done, sum(each.request_deleted for each in link.categories)


@pytest.mark.parametrize("side", Side)
def test_an_erasure_that_is_cut_off_before_or_after_any_commit_is_whole_and_counted_once__T7_X6(
    acme: LiveArchive, database_proxy: Proxy, side: Side
) -> None:
    acme.define(with_people(acme.definition.installation))
    acme.call("0", days_ago(2), *ALL)
    others = {f"{table}:0" for table in ALL}
    database_proxy.counts[side] = 0
    whole = erased(acme, "1")
    assert whole == (True, len(ALL))
    for turn, where in cut_along(database_proxy, side, database_proxy.counts[side], 31):
        assert erased(acme, str(turn + 2)) == whole, where
        assert (acme.left(), acme.keys(), acme.callers()) == (others, {"audio/0"}, {"0"}), where
    assert acme.observer().observe().chain_intact
