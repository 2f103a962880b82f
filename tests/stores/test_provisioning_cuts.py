"""Connections that die while a tenant's database is made, at any request or reply: the next reconcile ends as one that never was cut,
and nothing is called ready before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import DATABASE_ROLES, DatabaseOutcome, DatabaseRequest, DatabaseServer
from tests.stores.proxy import Proxy, Side, proxy_to
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.tenant_databases import records

STRIDE = 4
PLACES = 6
"""Of one undisturbed reconcile, from its beginning to its end."""
INSIDE = (
    "SELECT c.relnamespace::regnamespace::text, c.relname, c.relkind::text, c.relacl IS NULL FROM pg_class AS c "
    "WHERE c.relnamespace IN ('public'::regnamespace, to_regnamespace('retention')) AND c.relkind IN ('r', 'p', 'v', 'i', 'I')",
    "SELECT t.tgrelid::regclass::text, t.tgname, t.tgenabled::text FROM pg_trigger AS t WHERE NOT t.tgisinternal",
    "SELECT p.pronamespace::regnamespace::text, p.proname, p.prosecdef FROM pg_proc AS p "
    "WHERE p.pronamespace = to_regnamespace('retention')",
)


class Customer:
    """A database that is to be made on a server, seen by its superuser. ``proxy`` stands between it and the operator."""

    def __init__(self, process: PostgresProcess, directory: Path, proxy: Proxy, namespace: str) -> None:
        access = process.administrator
        self.process, self.proxy = process, proxy
        self.told: list[str] = []
        self.stores = RealTenantStores(directory)
        self.direct = DatabaseRequest(
            server=DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text()),
            identity=StoreIdentity(str(uuid4()), namespace, "acme", "Analytical"),
            namespace_uid=f"uid of {namespace}",
            definition=records(),
            passwords={role: f"{role}-of-{namespace}" for role in DATABASE_ROLES},
        )
        self.request = replace(self.direct, server=replace(self.direct.server, port=proxy.port))

    def made(self, cut: tuple[Side, int] | None = None) -> DatabaseOutcome | None:
        """One reconcile, cut off there; None: it did not come to its end, and said that it is tried again."""
        self.proxy.counts, self.proxy.cut = dict.fromkeys(Side, 0), cut
        try:
            return self.stores.prepare_database(self.request)
        except Unavailable as problem:
            self.told.append(problem.message)
            return None

    def roles(self) -> list[tuple[object, ...]]:
        """Roles of the database's name, without that name: what they may, who they belong to, whether they have a password."""
        name = self.direct.name
        with connect_as(self.process.superuser) as connection:
            return connection.execute(
                "SELECT replace(r.rolname, %(name)s, ''), r.rolcanlogin, r.rolconnlimit, r.rolpassword IS NOT NULL, "
                "ARRAY(SELECT replace(m.roleid::regrole::text, %(name)s, '') FROM pg_auth_members AS m "
                "WHERE m.member = r.oid ORDER BY 1), s.setconfig FROM pg_authid AS r "
                "LEFT JOIN pg_db_role_setting AS s ON s.setrole = r.oid "
                "WHERE r.rolname LIKE %(name)s || '\\_%%' ORDER BY 1",
                {"name": name},
            ).fetchall()

    def inside(self) -> list[list[tuple[object, ...]]]:
        """Tables, triggers and functions of the database."""
        with connect_as(replace(self.process.superuser, database=self.direct.name)) as connection:
            return [sorted(connection.execute(query.encode()).fetchall(), key=str) for query in INSIDE]

    def is_ready(self, like: Customer) -> None:
        """Everything is as in a database that nobody cut off, and every login works with the password that was kept for it."""
        again = self.stores.prepare_database(self.direct)
        assert again.changes == (), "nothing was left to do"
        assert self.roles() == like.roles(), "nothing doubled, nothing missing"
        assert self.inside() == like.inside()
        assert not any(password in said for said in self.told for password in self.direct.passwords.values())
        for role, user in again.usernames.items():
            login = replace(self.process.administrator, user=user, password=self.direct.passwords[role])
            connect_as(replace(login, database=self.direct.name)).close()


@pytest.mark.parametrize("side", Side)
def test_a_connection_that_dies_before_or_after_any_commit_leaves_a_database_that_the_next_reconcile_ends__D1_D7(
    postgres17_process: PostgresProcess, tmp_path: Path, side: Side
) -> None:
    with proxy_to("127.0.0.1", postgres17_process.administrator.port) as proxy:
        undisturbed = Customer(postgres17_process, tmp_path, proxy, "customer-undisturbed")
        assert undisturbed.made() is not None
        whole = proxy.counts[side]
        for number in range(whole // PLACES, whole, whole // PLACES):
            acme = Customer(postgres17_process, tmp_path, proxy, f"customer-{number}")
            cuts = proxy.cuts
            outcome = acme.made(cut=(side, number))
            # What was cut off was a goodbye, or came in fewer pieces this time.
            assert outcome is None or proxy.cuts == cuts + 1 or number > whole - 20, f"{side} {number} of {whole}"
            if outcome is None:
                assert acme.made() is not None, f"cut at {side} {number} of {whole}"
            acme.is_ready(like=undisturbed)


@pytest.mark.parametrize("side", Side)
def test_a_reconcile_that_is_cut_off_again_and_again_ends_as_one_that_never_was__D1_D7(
    postgres17_process: PostgresProcess, tmp_path: Path, side: Side
) -> None:
    with proxy_to("127.0.0.1", postgres17_process.administrator.port) as proxy:
        undisturbed = Customer(postgres17_process, tmp_path, proxy, "customer-undisturbed")
        assert undisturbed.made() is not None
        acme = Customer(postgres17_process, tmp_path, proxy, "customer-acme")
        cuts = 0
        # Each attempt may go some pieces further than the one before.
        for number in range(1, 1000, STRIDE):
            before = proxy.cuts
            outcome = acme.made(cut=(side, number))
            if proxy.cuts == before:
                break
            cuts += 1
            if outcome is not None:
                acme.is_ready(like=undisturbed)
        assert outcome is not None
        assert cuts >= 10
        acme.is_ready(like=undisturbed)
