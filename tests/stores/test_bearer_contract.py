"""Whose a store is by its own marker, policy and namespace by UID: kept by the fake as by real servers (X5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from tenant_retention.adapters.fakes.stores import FakeTenantStores
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.tenant_buckets import identities
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam, wanted_identity
from tenant_retention.domain.bucket_steps import RemoveUser
from tenant_retention.domain.errors import StoreReleased
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import (
    DATABASE_ROLES,
    BucketRequest,
    BucketServer,
    DatabaseRequest,
    DatabaseServer,
    TenantStores,
)
from tenant_retention.domain.store_marker import StoreMarker
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import records


@dataclass
class Database:
    """A tenant's database, as the reconcile asks for it on behalf of one policy after the other."""

    stores: TenantStores
    server: DatabaseServer
    identity: StoreIdentity = field(
        default_factory=lambda: StoreIdentity(str(uuid4()), "customer-acme", "acme", "Analytical")
    )

    def bind(self, policy_uid: str, *confirmed: str) -> tuple[str, ...]:
        """Prepares it for the policy with this UID; what was changed."""
        passwords = {role: f"password of {role}" for role in DATABASE_ROLES}
        rules = records().model_copy(update={"policy_uid": policy_uid})
        request = DatabaseRequest(self.server, self.identity, "uid-1", rules, passwords, frozenset(confirmed))
        return self.stores.prepare_database(request).changes


@dataclass
class Bucket:
    """A tenant's bucket, in the same way."""

    stores: TenantStores
    server: BucketServer
    identity: StoreIdentity = field(
        default_factory=lambda: StoreIdentity(str(uuid4()), "customer-acme", "acme", "Content")
    )
    held: dict[BucketRole, AccessKey] = field(default_factory=dict)

    def bind(self, policy_uid: str, *confirmed: str) -> tuple[str, ...]:
        """Prepares it for the policy with this UID; what was changed."""
        request = BucketRequest(self.server, self.identity, "uid-1", policy_uid, False, self.held, frozenset(confirmed))
        made = self.stores.prepare_bucket(request)
        self.held = dict(made.keys)
        return made.changes


def real_database(process: PostgresProcess, directory: Path) -> Database:
    """On a real server."""
    access = process.administrator
    server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
    return Database(RealTenantStores(directory), server)


@pytest.fixture(params=["fake", "postgres15", "postgres18"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """One tenant's database."""
    if request.param == "fake":
        return Database(FakeTenantStores(), DatabaseServer("pg", 5432, "administrator", "secret"))
    return real_database(request.getfixturevalue(f"{request.param}_process"), tmp_path)


@pytest.fixture(params=["fake", "seaweedfs", "minio_server"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    """One tenant's bucket; its users go afterwards, because SeaweedFS gets slow with their number."""
    if request.param == "fake":
        yield Bucket(FakeTenantStores(), BucketServer("https://s3", "r", Iam.AWS, AccessKey("id", "secret")))
        return
    server: S3Server = request.getfixturevalue(request.param)
    made = Bucket(RealTenantStores(tmp_path), server.bucket_server())
    yield made
    with S3Connection(server.endpoint, server.administrator) as connection:
        driver = identities(connection, server.iam)
        for role in BucketRole:
            driver.apply(RemoveUser(wanted_identity(made.identity.bucket(), role).user))


def goes_to_another_policy_only_when_confirmed(store: Database | Bucket) -> None:
    """What both must do."""
    store.bind("policy-1")
    for _ in range(2):
        with pytest.raises(StoreReleased) as released:
            store.bind("policy-2")
        assert (released.value.namespace_uid, released.value.policy_uid) == ("uid-1", "policy-1")
    with pytest.raises(StoreReleased):
        store.bind("policy-2", "another policy of before")

    store.bind("policy-2", "policy-1")

    assert not [change for change in store.bind("policy-2") if "mark" in change], "it is marked once"
    with pytest.raises(StoreReleased):
        store.bind("policy-1")


def test_a_database_is_not_another_policys_of_the_same_name_before_it_is_confirmed__X5(database: Database) -> None:
    goes_to_another_policy_only_when_confirmed(database)


def test_a_bucket_is_not_another_policys_of_the_same_name_before_it_is_confirmed__X5(bucket: Bucket) -> None:
    goes_to_another_policy_only_when_confirmed(bucket)


def test_a_database_is_released_whichever_policy_had_it_and_keeps_its_marker__X5(database: Database) -> None:
    database.bind("policy-1")
    database.stores.release_database(database.server, database.identity, "uid-1")
    with pytest.raises(StoreReleased):
        database.bind("policy-2")


def test_a_database_whose_marker_names_no_policy_yet_is_adopted_and_names_it_from_then__M10(
    postgres17_process: PostgresProcess, tmp_path: Path
) -> None:
    database = real_database(postgres17_process, tmp_path)
    database.bind("policy-1")
    older = StoreMarker.of(database.identity, "uid-1").to_json().replace('"policy_uid": "", ', "")
    assert "policy_uid" not in older
    inside = replace(postgres17_process.administrator, database=database.identity.database())
    with connect_as(inside) as connection:
        owner = sql.Identifier(f"{database.identity.database()}_owner")
        connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(owner, sql.Literal(older)))

    assert any("policy UID policy-1" in change for change in database.bind("policy-1"))
    with pytest.raises(StoreReleased):
        database.bind("policy-2")
