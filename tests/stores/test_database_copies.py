"""Debt begins so long before max as copies live: what is still in the live store then outlives its max in a backup (X4, T6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tenant_retention.domain.copies import RUN_INTERVAL, life_of_backups, margin
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago
from tests.stores.test_database_left import AFTER, BEFORE, insert

MAX = 60
SOON = 10 / 1440
SETTLED = timedelta(minutes=5)


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Three tables in two categories."""
    with tenant_databases.having(BEFORE) as made:
        yield made


@pytest.mark.parametrize("keep", [None, "P1D", "P14D"])
def test_what_is_past_max_less_the_life_of_copies_is_debt_and_has_its_deadline_then__T6_X4(
    database: TenantDatabase, keep: str | None
) -> None:
    life = life_of_backups(keep)
    with_copies = BEFORE.model_copy(update={"margin_seconds": int(margin(life).total_seconds())})
    database.apply(with_copies)
    bound = MAX - life / timedelta(days=1)
    insert(database, "logs", 1, bound - SOON, bound + SOON)
    (seen,) = [each for each in database.observer().observe().categories if each.category == "logs"]
    assert (seen.rows, seen.overdue) == (3, 1)
    assert seen.next_deadline is not None
    assert abs(seen.next_deadline - (days_ago(bound + SOON) + timedelta(days=bound))) < SETTLED
    # The same of what left the profile.
    database.apply(AFTER.model_copy(update={"margin_seconds": with_copies.margin_seconds}))
    (left,) = [each for each in database.observer().observe().left if each.table == "logs"]
    assert (left.rows, left.overdue, left.next_deadline) == (3, 1, seen.next_deadline)


def test_the_database_and_the_operator_mean_the_same_run_interval__T6(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        for seconds, life in ((0, 0), (172800, 0), (172801, 1)):
            row = owner.execute("SELECT extract(epoch FROM retention.life_of_copies(%s))", (seconds,)).fetchone()
            assert row is not None
            assert int(row[0]) == life
    assert RUN_INTERVAL.total_seconds() == 172800
