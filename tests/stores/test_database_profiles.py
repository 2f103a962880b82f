"""The four vendors' profiles as they are written in ``examples`` (M1 to M7, T2 to T4, P1, D2): every database of each is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tenant_retention.api.v1alpha1.common import LocalRef
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.rules import Subject, define
from tests.stores.servers.postgres import PostgresProcess
from tests.stores.tenant_databases import TenantDatabases, days_ago, run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "profiles"


def definition_of(name: str) -> RetentionDefinition:
    """What the shortest policy with this profile means."""
    profile = RetentionProfile.model_validate(yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text()))
    policy = TenantRetentionPolicySpec(profile_ref=LocalRef(name=name))
    return define(profile.spec, policy, Subject("installation", "customer", "acme", "uid", 1, 1))


RECORD = """
INSERT INTO requests (id, session_id, started_at, channel, caller, name, email, chat_id, queue, agent, subject, url, remarks,
    waiting_seconds, talk_seconds, closed_at)
VALUES (gen_random_uuid(), %(session)s, %(born)s, %(session)s, '+31201234567', 'Ann', 'ann@example.org', 'ann', 'sales', 'bob',
    'a bill', 'https://crm.example/1', 'calls again', 12, 340, now())"""
CONTENT = (
    "INSERT INTO recordings (id, session_id, started_at, object_key) VALUES (gen_random_uuid(), 'phone', %s, 'audio/1')",
    "INSERT INTO chat_logs (id, session_id, started_at, object_key) VALUES (gen_random_uuid(), 'chat', %s, 'chat/1')",
)


def test_content_that_goes_leaves_every_column_of_its_record_as_it_was__P3(tenant_databases: TenantDatabases) -> None:
    rules = definition_of("puzzel-archive")
    rules = rules.model_copy(update={"tables": tuple(t.model_copy(update={"back": "P1Y"}) for t in rules.tables)})
    with tenant_databases.having(rules) as database:
        with database.connect("app") as application:
            for session in ("phone", "chat"):
                application.execute(RECORD, {"session": session, "born": days_ago(40)})
        for content in CONTENT:
            database.write(content, days_ago(40))
        before = database.rows("SELECT * FROM requests ORDER BY id")
        assert run(database, rules).outcome == "Succeeded"
        assert database.rows("SELECT id FROM recordings UNION ALL SELECT id FROM chat_logs") == []
        assert (len(before), database.rows("SELECT * FROM requests ORDER BY id")) == (2, before)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_every_example_profile_makes_its_databases_and_a_run_finds_nothing_due(
    postgres17_process: PostgresProcess, name: str
) -> None:
    rules = definition_of(name)
    databases = TenantDatabases(postgres17_process)
    try:
        for purpose in sorted({category.database for category in rules.categories}):
            with databases.having(rules, purpose) as database:
                assert database.apply(rules, purpose) == ()
                tables = {table.name for table in rules.tables_of(purpose)}
                assert {found for (found,) in database.rows("SELECT name FROM retention.managed_table")} == tables
                assert run(database, rules, Mode.DRY_RUN).outcome == "Succeeded"
                assert run(database, rules).outcome == "Succeeded"
                facts = database.observer().observe()
                assert {each.category for each in facts.categories} == {
                    category.name for category in rules.categories if category.database == purpose
                }
    finally:
        databases.close()
