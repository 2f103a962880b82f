"""A customer's server that is older than the oldest one supported, on a real PostgreSQL 13: told, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import DATABASE_ROLES, DatabaseRequest, DatabaseServer
from tests.stores.servers.install import TOO_OLD
from tests.stores.servers.postgres import PostgresProcess, running_postgres
from tests.stores.servers.whole_server import everything
from tests.stores.tenant_databases import records


@pytest.fixture(scope="module")
def old_server() -> Iterator[PostgresProcess]:
    with running_postgres(TOO_OLD) as process:
        yield process


def test_a_real_server_that_is_too_old_is_told_with_what_it_is_what_is_needed_and_the_next_step_and_stays_as_it_was(
    old_server: PostgresProcess, tmp_path: Path
) -> None:
    access = old_server.administrator
    server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
    passwords = {role: f"password of {role}" for role in DATABASE_ROLES}
    identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Analytical")
    request = DatabaseRequest(server, identity, "uid-1", records(), passwords)
    stores = RealTenantStores(tmp_path)
    before = everything(old_server)
    for act in (lambda: stores.check(server), lambda: stores.prepare_database(request)):
        with pytest.raises(Invalid) as refused:
            act()
        assert refused.value.reason == "ServerTooOld"
        assert refused.value.message.startswith(f"PostgreSQL at localhost:{server.port}, ")
        assert refused.value.message.endswith(
            " is PostgreSQL 13; at least 15 is needed: upgrade it or choose another class"
        )
    assert everything(old_server) == before
