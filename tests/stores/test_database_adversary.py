"""What an application, or whoever holds the enforcer's login, may try to make rows and objects go early, or stay."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    cases,
    days_ago,
    run,
)

CASES = cases(minimum="P30D", keep="P90D", maximum="P5Y")


@pytest.fixture
def cases_database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Cases that live at least 30 days after they were closed."""
    with tenant_databases.having(CASES) as made:
        yield made


def test_a_case_that_says_it_was_closed_before_its_birth_counts_from_its_birth__M8(
    cases_database: TenantDatabase,
) -> None:
    insert = "INSERT INTO cases (id, session_id, started_at, closed_at) VALUES (%s, 's', %s, %s)"
    cases_database.write(insert, 1, days_ago(5), days_ago(4000))
    cases_database.write(insert, 2, days_ago(100), days_ago(4000))
    cases_database.write(insert, 3, days_ago(100), days_ago(95))
    cases_database.write(insert, 4, days_ago(100), days_ago(85))
    seen = cases_database.observer().observe().categories[0]
    assert (seen.rows, seen.due, seen.overdue) == (4, 2, 0)
    evidence = run(cases_database, CASES, batch=1)
    assert cases_database.rows("SELECT id FROM public.cases ORDER BY id") == [(1,), (4,)]
    assert (evidence.categories[0].candidates, evidence.categories[0].acted, evidence.outcome) == (2, 2, "Succeeded")
    for aim in ("cases", f"cases_p{days_ago(5):%Y%m}"):
        with cases_database.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
            owner.execute(sql.SQL("DELETE FROM public.{} WHERE id = 1").format(sql.Identifier(aim)))
