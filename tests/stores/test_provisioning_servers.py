"""The test servers themselves are what the contract tests believe they are."""

from __future__ import annotations

import pytest

from tenant_retention.domain.servers import ServerAccess
from tests.stores.servers.postgres import PostgresProcess, connect_as

pytestmark = pytest.mark.oldest_and_newest


def test_the_administrator_of_the_test_server_is_never_a_superuser(postgres_server: ServerAccess) -> None:
    with connect_as(postgres_server) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, ssl FROM pg_roles, pg_stat_ssl"
            " WHERE rolname = current_user AND pid = pg_backend_pid()"
        ).fetchone()
    assert row == (False, True, True, True)


def test_the_test_server_has_the_version_its_fixture_names(postgres_process: PostgresProcess) -> None:
    with connect_as(postgres_process.administrator) as connection:
        assert connection.info.server_version // 10000 == postgres_process.version
