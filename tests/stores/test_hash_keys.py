"""The key of method Hash on its way from one database of a policy to another, in the fake as on real servers (P12)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.stores import FakeTenantStores
from tenant_retention.adapters.postgres.hash_keys import made_hash_key, take_hash_key
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.hash_keys import HashKeyState
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import DATABASE_ROLES, DatabaseRequest, DatabaseServer, TenantStores
from tests.stores.tenant_databases import TenantDatabases, category, days_ago, definition, table
from tests.stores.test_database_anonymizing import column, run


def hashing(after: str | None = "P30D") -> RetentionDefinition:
    """Callers are hashed after 30 days."""
    return definition(
        [table("calls", column("caller", "Hash", role="PhoneNumber"))],
        [category("records", "calls", keep="P1Y", anonymize_after=after)],
        guard_percent=100,
    )


class Units:
    """Databases of one policy, each of a unit."""

    def __init__(self, stores: TenantStores, server: DatabaseServer) -> None:
        self.stores = stores
        installation, passwords = str(uuid4()), {role: f"password of {role}" for role in DATABASE_ROLES}
        self.first, self.second, self.third = (
            DatabaseRequest(
                server,
                StoreIdentity(installation, "customer-acme", "acme", "Analytical", unit=unit),
                "uid-1",
                hashing(),
                passwords,
            )
            for unit in ("one", "two", "three")
        )

    def state(self, request: DatabaseRequest) -> HashKeyState:
        """What the database says, as every reconcile hears it."""
        return self.stores.prepare_database(request).hash_key


@pytest.fixture(params=["fake", "postgres15", "postgres18"])
def units(request: pytest.FixtureRequest, tmp_path: Path) -> Units:
    """Three databases that are there."""
    if request.param == "fake":
        made = Units(FakeTenantStores(), DatabaseServer("pg", 5432, "administrator", "secret"))
    else:
        access = request.getfixturevalue(f"{request.param}_process").administrator
        server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
        made = Units(RealTenantStores(tmp_path), server)
    for each in (made.first, made.second, made.third):
        assert made.state(each) == HashKeyState(needed=True), "a night or the operator makes it, not the rules"
    return made


def test_a_key_is_given_to_those_that_have_none_and_destroyed_ones_stay_away__P12(units: Units) -> None:
    stores = units.stores
    stores.share_hash_key(units.first, [units.second])
    key = units.state(units.first).fingerprint
    assert key is not None
    assert units.state(units.second).fingerprint == key
    assert units.state(replace(units.second, definition=hashing(after=None))) == HashKeyState(False, key)
    stores.share_hash_key(units.third, [])
    other = units.state(units.third).fingerprint
    stores.share_hash_key(units.first, [units.second, units.third])
    assert units.state(units.third).fingerprint == other != key, "a key that is there is never replaced"

    stores.destroy_hash_key(units.second)
    assert units.state(units.second) == HashKeyState(True, None, frozenset({str(key)}))
    stores.share_hash_key(units.first, [units.second])
    assert units.state(units.second).fingerprint is None, "what was destroyed here does not come back"
    stores.destroy_hash_key(units.first)
    stores.share_hash_key(units.first, [units.second])
    anew = units.state(units.second).fingerprint
    assert anew == units.state(units.first).fingerprint
    assert anew not in (None, key, other)


def test_one_number_has_one_hash_in_two_databases_that_share_the_key__P12(tenant_databases: TenantDatabases) -> None:
    rules, hashes = hashing(), []
    with tenant_databases.having(rules) as live, tenant_databases.having(rules) as archive:
        with live.as_administrator() as source, archive.as_administrator() as target:
            assert take_hash_key(target, archive.roles, made_hash_key(source, live.roles))
            assert not take_hash_key(target, archive.roles, made_hash_key(source, live.roles)), "told twice"
        for database, written in ((live, "+47 412-34-567"), (archive, "+4741234567")):
            database.write(
                "INSERT INTO calls (id, session_id, started_at, caller) VALUES (1, 's', %s, %s)", days_ago(40), written
            )
            assert run(database, rules).categories[0].anonymized == 1
            hashes.append(str(database.value("SELECT caller FROM public.calls")))
    assert hashes[0] == hashes[1]
    assert hashes[0].startswith("hmac:")
