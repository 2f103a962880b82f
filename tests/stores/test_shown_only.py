"""What agents are only shown, from a CRM, finds no place in a tenant's database; what each unit sets for itself does (D5, D4)."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
import yaml

from tenant_retention.api.v1alpha1.common import LocalRef
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.rules import Subject, define
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago, run
from tests.stores.test_database_profiles import EXAMPLES

PLACES = {
    "a table": "CREATE TABLE public.crm_customers (name text)",
    "a table from a question": "CREATE TABLE public.crm_customers AS SELECT 'Ann'::text AS name",
    "a schema": "CREATE SCHEMA crm",
    "a column": "ALTER TABLE public.call_records ADD COLUMN crm_name text",
    "a view": "CREATE VIEW public.crm_customers AS SELECT 'Ann'::text AS name",
    "a materialized view": "CREATE MATERIALIZED VIEW public.crm_customers AS SELECT 'Ann'::text AS name",
    "a function": "CREATE FUNCTION public.crm() RETURNS text LANGUAGE sql AS $$ SELECT 'Ann' $$",
    "another server": "CREATE EXTENSION postgres_fdw",
    "a file": "COPY (SELECT 'Ann') TO '/tmp/crm'",
    "a comment": "COMMENT ON TABLE public.call_records IS 'Ann'",
}


def rules() -> RetentionDefinition:
    """The dialogue cloud of the example, with a few months."""
    profile = RetentionProfile.model_validate(yaml.safe_load((EXAMPLES / "dialogue-cloud.yaml").read_text())).spec
    policy = TenantRetentionPolicySpec(profile_ref=LocalRef(name="dialogue-cloud"))
    found = define(profile, policy, Subject("installation", "customer", "acme", "uid", 1, 1))
    tables = tuple(table.model_copy(update={"back": "P3M"}) for table in found.tables)
    return found.model_copy(update={"tables": tables})


RULES = rules()


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """A customer's analytical database."""
    with tenant_databases.having(RULES) as made:
        yield made


@pytest.mark.parametrize("place", PLACES)
def test_no_login_of_the_application_makes_a_place_for_what_is_only_shown__D5(
    database: TenantDatabase, place: str
) -> None:
    for group in ("app", "reader"):
        with database.connect(group) as connection, pytest.raises(psycopg.Error) as caught:
            connection.execute(PLACES[place].encode())
        assert caught.value.sqlstate == "42501", f"{group}: {caught.value}"


def test_a_place_that_somebody_with_too_much_power_made_is_told_and_nobody_may_write_to_it__D5_M11(
    database: TenantDatabase,
) -> None:
    with database.as_owner() as owner:
        owner.execute("CREATE TABLE public.crm_customers (name text)")
    database.apply(RULES)
    assert database.observer().observe().uncovered.names == ("public.crm_customers",)
    for group in ("app", "reader"):
        with database.connect(group) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO public.crm_customers VALUES ('Ann')")


def test_each_unit_has_settings_of_its_own_in_the_customers_database_and_no_night_takes_them__D4_D1(
    database: TenantDatabase,
) -> None:
    for unit, settings in (("helpdesk", '{"greeting": "hello"}'), ("clinic", '{"greeting": "good day"}')):
        database.write(
            "INSERT INTO unit_settings (id, created_at, unit, settings) VALUES (%s, %s, %s, %s)",
            uuid4(),
            days_ago(80),
            unit,
            settings,
        )
    database.write("UPDATE unit_settings SET settings = '{\"greeting\": \"hi\"}' WHERE unit = 'helpdesk'")
    assert run(database, RULES).outcome == "Succeeded"
    assert database.rows("SELECT unit, settings ->> 'greeting' FROM public.unit_settings ORDER BY unit") == [
        ("clinic", "good day"),
        ("helpdesk", "hi"),
    ]
