"""Bad input on real PostgreSQL and S3: names, tables, rows and objects that nobody should have made, and what stays of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.definition import ColumnDefinition, RetentionDefinition
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import DATABASE_ROLES, DatabaseRequest, DatabaseServer
from tenant_retention.enforcement.results import Outcome
from tests.stores.enforcement_archive import LiveArchive
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    cases,
    category,
    days_ago,
    definition,
    records,
    run,
    table,
    text,
)

HOSTILE = [
    'o"brien',
    "o'brien",
    "a; DROP TABLE calls; --",
    "two\nlines",
    "%s {0} %(x)s",
    "日本",
    "SELECT",
    "back\\slash",
]
ALIKE = "a_table_with_a_name_as_long_as_postgresql_lets_a_table_be_name"


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """A database with one category of calls."""
    with tenant_databases.having(records()) as made:
        yield made


def refused_rules(database: TenantDatabase, rules: RetentionDefinition) -> RetentionError:
    """What the database's rules are refused with."""
    with pytest.raises(RetentionError) as refused:
        database.apply(rules)
    return refused.value


def insert(database: TenantDatabase, name: str, number: int, age_in_days: float) -> None:
    """One row of a table of any name, as the application."""
    # Literals, not parameters: a name may hold what would be taken for a placeholder.
    values = [sql.Literal(value) for value in (number, f"s{number}", days_ago(age_in_days))]
    query = sql.SQL("INSERT INTO public.{} (id, session_id, started_at) VALUES ({})")
    with database.connect("app") as app:
        app.execute(query.format(sql.Identifier(name), sql.SQL(", ").join(values)))


def numbers(database: TenantDatabase, name: str) -> set[int]:
    """The rows that are left."""
    with database.as_owner() as owner:
        found = owner.execute(sql.SQL("SELECT id FROM public.{}").format(sql.Identifier(name))).fetchall()
    return {row[0] for row in found}


def test_tables_columns_and_categories_of_any_name_are_only_names__P2(tenant_databases: TenantDatabases) -> None:
    rules = definition(
        [table(name, *(text(f"{name}-{other}") for other in HOSTILE)) for name in HOSTILE],
        [category(f"category {name}", name) for name in HOSTILE],
        guard_percent=100,
    )
    with tenant_databases.having(rules) as made:
        for name in HOSTILE:
            insert(made, name, 1, 100)
            insert(made, name, 2, 80)
        evidence = run(made, rules)
        assert evidence.outcome == "Succeeded"
        assert {name: numbers(made, name) for name in HOSTILE} == {name: {2} for name in HOSTILE}
        assert {row.category for row in made.observer().observe().categories} == {
            f"category {name}" for name in HOSTILE
        }


def test_two_tables_whose_months_have_equal_names_after_cutting_stay_apart__X2(
    tenant_databases: TenantDatabases,
) -> None:
    assert len(f"{ALIKE}1".encode()) == 63
    rules = definition(
        [table(f"{ALIKE}1"), table(f"{ALIKE}2")],
        [category("short", f"{ALIKE}1", keep="P30D"), category("long", f"{ALIKE}2", keep="P90D")],
        guard_percent=100,
    )
    with tenant_databases.having(rules) as made:
        for name in (f"{ALIKE}1", f"{ALIKE}2"):
            insert(made, name, 1, 45)
            insert(made, name, 2, 20)
        run(made, rules)
        assert numbers(made, f"{ALIKE}1") == {2}
        assert numbers(made, f"{ALIKE}2") == {1, 2}


def test_a_table_that_somebody_made_by_hand_is_not_taken_over(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute("CREATE TABLE public.notes (id bigint, started_at timestamptz)")
        owner.execute("INSERT INTO public.notes VALUES (1, '2019-01-01')")
    rules = definition(
        [table("calls", text("caller", "PhoneNumber")), table("notes")],
        [category("records", "calls"), category("notes", "notes")],
    )
    error = refused_rules(database, rules)
    assert (type(error), error.reason) == (Invalid, "StoreConflict")
    assert "table notes exists and is not partitioned by started_at" in error.message
    assert "Rename it, or change the profile" in error.message
    assert numbers(database, "notes") == {1}


def test_a_column_that_has_another_type_is_not_changed(database: TenantDatabase) -> None:
    insert(database, "calls", 1, 10)
    rules = definition(
        [table("calls", ColumnDefinition(name="caller", type="Integer"))], [category("records", "calls")]
    )
    error = refused_rules(database, rules)
    assert (type(error), error.reason) == (Invalid, "StoreConflict")
    assert "column calls.caller is text, the profile says integer" in error.message
    assert numbers(database, "calls") == {1}


def test_a_database_of_a_newer_operator_is_left_as_it_is(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.settings SET format = 99")
    error = refused_rules(database, records(keep="P1D"))
    assert (type(error), error.reason) == (Invalid, "OperatorTooOld")
    assert "upgrade the operator" in error.message
    assert database.value("SELECT format FROM retention.settings") == 99
    assert database.value("SELECT keep FROM retention.category") == "P90D"


@pytest.mark.parametrize("closed", ["infinity", "-infinity"])
def test_a_case_that_was_closed_at_no_time_is_refused_and_an_open_one_is_kept__X8(
    tenant_databases: TenantDatabases, closed: str
) -> None:
    rules = cases()
    with tenant_databases.having(rules) as made:
        statement = "INSERT INTO cases (id, session_id, started_at, closed_at) VALUES (%s, 's', %s, %s)"
        made.write(statement, 1, days_ago(400), None)
        with pytest.raises(psycopg.errors.CheckViolation, match="retention_readable_closed_at"):
            made.write(statement, 2, days_ago(400), closed)
        with pytest.raises(psycopg.errors.CheckViolation), made.connect("app") as app:
            app.execute("UPDATE cases SET closed_at = %s", (closed,))
        run(made, rules)
        assert numbers(made, "cases") == {1}


def test_a_row_born_after_the_last_month_is_refused_by_the_database_and_harms_no_other_row__X8(
    database: TenantDatabase,
) -> None:
    insert(database, "calls", 1, 10)
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition of relation"):
        insert(database, "calls", 2, -3650)
    insert(database, "calls", 3, 9)
    assert numbers(database, "calls") == {1, 3}
    assert run(database, records()).outcome == "Succeeded"


def test_an_object_without_a_row_is_never_deleted_by_age(acme: LiveArchive) -> None:
    version = acme.put("audio/nobody-knows-it")
    acme.call("due", datetime.now(UTC) - timedelta(days=20), "requests", "recordings")

    result = acme.run()

    assert result.outcome is Outcome.SUCCEEDED, acme.around.told
    assert acme.objects() == {("audio/nobody-knows-it", version)}


class Tenant:
    """One policy's database on a server, through everything that the reconcile calls."""

    def __init__(self, process: PostgresProcess, directory: Path, installation: str, namespace: str) -> None:
        access = process.administrator
        self.process = process
        self.stores = RealTenantStores(directory)
        self.request = DatabaseRequest(
            server=DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text()),
            identity=StoreIdentity(installation, namespace, "acme", "Analytical"),
            namespace_uid=f"uid of {namespace}",
            definition=records(),
            passwords={role: f"{role}-of-{namespace}" for role in DATABASE_ROLES},
        )

    def refusal(self, **server: object) -> RetentionError:
        """What preparing the database is refused with, on a server that differs in this."""
        request = replace(self.request, server=replace(self.request.server, **server))  # type: ignore[arg-type]
        with pytest.raises(RetentionError) as refused:
            self.stores.prepare_database(request)
        assert self.request.server.password not in refused.value.message
        return refused.value

    def in_database(self, statement: str) -> list[tuple[object, ...]]:
        """What a superuser sees in the database of this name."""
        with connect_as(replace(self.process.superuser, database=self.request.name)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def test_a_store_that_is_there_without_our_marker_is_left_alone_and_its_neighbour_works__X2(
    postgres17_process: PostgresProcess, tmp_path: Path
) -> None:
    installation = str(uuid4())
    mine = Tenant(postgres17_process, tmp_path, installation, "customer-acme")
    neighbour = Tenant(postgres17_process, tmp_path, installation, "customer-globex")
    with connect_as(postgres17_process.superuser) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(mine.request.name)))
    mine.in_database("CREATE TABLE theirs AS SELECT 1 AS row")

    error = mine.refusal()
    assert (type(error), error.reason) == (Invalid, "StoreConflict")
    assert mine.request.name in error.message
    assert "remove or rename it, or choose another class or policy name" in error.message
    assert mine.in_database("SELECT row FROM theirs") == [(1,)]
    assert mine.in_database("SELECT nspname FROM pg_namespace WHERE nspname = 'retention'") == []

    assert neighbour.stores.prepare_database(neighbour.request).changes != ()
    assert neighbour.stores.prepare_database(neighbour.request).changes == ()
    report = neighbour.stores.probe_database(neighbour.request, mine.request.name[:-1])
    assert not [breach for breach in report.breaches if mine.request.name in breach]


def test_a_prepared_database_keeps_its_rows_whatever_goes_wrong_with_its_server_afterwards__D7(
    postgres17_process: PostgresProcess, tmp_path: Path
) -> None:
    tenant = Tenant(postgres17_process, tmp_path, str(uuid4()), "customer-acme")
    users = tenant.stores.prepare_database(tenant.request).usernames
    app = replace(
        postgres17_process.administrator,
        database=tenant.request.name,
        user=users["app"],
        password=tenant.request.passwords["app"],
    )
    with connect_as(app) as connection:
        connection.execute("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's', %s)", (days_ago(100),))
    wrong = {
        "ServerUnreachable": tenant.refusal(port=1),
        "AuthenticationFailed": tenant.refusal(password="somebody else's"),
        "CertificateInvalid": tenant.refusal(host="127.0.0.1"),
        "ClassInvalid": tenant.refusal(host="localhost,127.0.0.1"),
    }
    assert {reason: error.reason for reason, error in wrong.items()} == {reason: reason for reason in wrong}
    next_steps = {
        "ServerUnreachable": "check that the server runs and can be reached from here",
        "AuthenticationFailed": "check user and password in the Secret",
        "CertificateInvalid": "check the CA of the class and that the server's certificate names this host",
        "ClassInvalid": "write one, without spaces or commas",
    }
    for reason, error in wrong.items():
        assert next_steps[reason] in error.message
    assert tenant.in_database("SELECT id FROM calls") == [(1,)]
    assert tenant.stores.prepare_database(tenant.request).changes == ()


def test_what_a_class_shows_of_its_server_is_its_version_and_tls__D6(
    postgres_process: PostgresProcess, tmp_path: Path
) -> None:
    tenant = Tenant(postgres_process, tmp_path, str(uuid4()), "customer-acme")
    (said,) = tenant.stores.check(tenant.request.server)
    assert re.fullmatch(rf"PostgreSQL {postgres_process.version}\.\d+, TLSv1\.[23]", said)
