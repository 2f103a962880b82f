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
from tests.stores.tenant_databases import TenantDatabases, run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "profiles"


def definition_of(name: str) -> RetentionDefinition:
    """What the shortest policy with this profile means."""
    profile = RetentionProfile.model_validate(yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text()))
    policy = TenantRetentionPolicySpec(profile_ref=LocalRef(name=name))
    return define(profile.spec, policy, Subject("installation", "customer", "acme", "uid", 1, 1))


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
