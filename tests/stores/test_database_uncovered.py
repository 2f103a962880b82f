"""What somebody made in a tenant's database and the profile does not know: told by name, never touched (M11)."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.observation import Uncovered
from tests.stores.tenant_databases import TenantDatabases, category, days_ago, definition, records, run, table, text

RULES = records()


def test_tables_and_columns_that_the_profile_does_not_know_are_told_by_name_and_never_touched__M11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(RULES) as made:
        assert made.observer().observe().uncovered == Uncovered()
        with made.as_owner() as owner:
            owner.execute("CREATE TABLE public.notes (id integer, at timestamptz)")
            owner.execute("INSERT INTO public.notes VALUES (1, now() - interval '9 years')")
            owner.execute("CREATE SCHEMA crm")
            owner.execute("CREATE TABLE crm.leads (at date) PARTITION BY RANGE (at)")
            owner.execute(
                "CREATE TABLE crm.leads_1 PARTITION OF crm.leads FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"
            )
            owner.execute("ALTER TABLE public.calls ADD COLUMN remark text")
        made.write("INSERT INTO calls (id, session_id, started_at) VALUES (1, 's1', %s)", days_ago(100))
        found = made.observer().observe().uncovered
        assert (found.tables, found.columns) == (2, 1)
        assert found.names == ("crm.leads", "public.notes", "calls.remark")
        made.apply(RULES)
        assert run(made, RULES).outcome == "Succeeded"
        assert made.rows("SELECT id FROM public.notes") == [(1,)]
        assert made.observer().observe().uncovered == found
        assert (
            made.value(
                "SELECT count(*) FROM information_schema.role_table_grants WHERE table_name = 'notes' AND grantee <> current_user"
            )
            == 0
        )


def test_what_left_the_profile_with_its_rows_is_told_there_and_not_as_unknown__M11(
    tenant_databases: TenantDatabases,
) -> None:
    wide = definition(
        [table("calls", text("caller", "PhoneNumber"), text("remark")), table("notes")],
        [category("records", "calls"), category("notes", "notes")],
    )
    with tenant_databases.having(wide) as made:
        made.apply(RULES)
        found = made.observer().observe()
        assert (found.uncovered.tables, found.uncovered.names) == (0, ("calls.remark",))


def test_a_month_that_a_run_is_writing_anew_is_known__M11_X3(tenant_databases: TenantDatabases) -> None:
    with tenant_databases.having(RULES) as made:
        with made.as_owner() as owner:
            owner.execute("CREATE TABLE public.calls_copy (id bigint)")
        enforcement, run_id = made.enforcer(), uuid4()
        enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
        with made.as_owner() as owner:
            owner.execute(
                "INSERT INTO retention.rewrite (partition, table_name, category, copy, run_id, relation, filenode, blocks, due)"
                " VALUES ('calls_p202601', 'calls', 'records', 'calls_copy', %s, 0, 0, 0, 0)",
                [run_id],
            )
        assert made.observer().observe().uncovered.names == ()
        enforcement.close()
