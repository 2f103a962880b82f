"""Whose a column is, by the profile's word or by its role: what a request of one person clears, and what it leaves (P12)."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.column_persons import persons_of
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.rules import Subject, define
from tests.support.api_cases import example_profile

ROLES = {
    "phone": "PhoneNumber", "other": "PhoneNumber", "email": "EmailAddress", "chat": "ChatIdentity", "name": "PersonName",
    "staff": "StaffId", "agent": "Agent", "person": "StaffId", "text": "FreeText", "queue": "Queue", "session": "SessionId",
    "digits": "MaskedDigits",
}  # fmt: skip


def profile(*columns: dict[str, Any]) -> RetentionProfileSpec:
    """A profile with one table of these columns."""
    records = {"name": "records", "default": "P1Y", "max": "P5Y", "clock": {"event": "Created"}, "tables": ["calls"]}
    table = {"name": "calls", "primaryKey": ["id"], "bornAt": "started_at"}
    key = {"name": "id", "type": "Uuid"}
    return RetentionProfileSpec.from_object(
        {"categories": [records], "tables": [{**table, "columns": [key, *columns]}]}
    )


def written(text: str) -> list[dict[str, Any]]:
    """Columns by name, each with the role of ROLES, and its person after a colon."""
    parts = [each.partition(":") for each in text.split()]
    columns = [(name, {"role": ROLES.get(name), "person": person or None}) for name, _, person in parts]
    return [{"name": name, "type": "Text", **{k: v for k, v in more.items() if v}} for name, more in columns]


def defined(spec: RetentionProfileSpec, name: str = "small") -> RetentionDefinition:
    policy = TenantRetentionPolicySpec.from_object({"profileRef": {"name": name}})
    return define(spec, policy, Subject("installation", "customer-acme", "acme", "uid", 1, 1))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("phone email chat name text", {**dict.fromkeys(["phone", "email", "chat", "name"], "person"), "text": ""}),
        ("phone other name text", {"phone": "phone", "other": "other", "name": "", "text": ""}),
        ("phone other email", {"phone": "phone", "other": "other", "email": "email"}),
        ("phone:caller other name", {"phone": "caller", "other": "person", "name": "person"}),
        ("phone:caller other:called name:caller", {"phone": "caller", "other": "called", "name": "caller"}),
        ("name text", {"name": "", "text": ""}),
        ("phone staff agent", {"phone": "person", "staff": "staff", "agent": "agent"}),
        ("phone name:staff staff", {"phone": "person", "name": "staff", "staff": "staff"}),
        # Somebody of the staff whose column has that name is not who called.
        ("phone person", {"phone": "person", "person": "person_"}),
        ("queue session digits plain", dict.fromkeys(["queue", "session", "digits", "plain"])),
        ("queue:agent plain:agent text:agent", dict.fromkeys(["queue", "plain", "text"], "agent")),
    ],
)
def test_a_column_is_whose_the_profile_says_or_its_role__P12(columns: str, expected: dict[str, str | None]) -> None:
    (table,) = profile(*written(columns)).tables
    assert persons_of(table) == {"id": None, "started_at": None, **expected}


def test_whose_a_column_is_stands_in_the_definition_and_decides_no_deletion__P12_X7() -> None:
    plain, said = (defined(profile(*written(columns))) for columns in ("phone staff", "phone:caller staff:agent"))
    assert [column.person for column in plain.table("calls").columns] == [None, "person", "staff"]
    assert [column.person for column in said.table("calls").columns] == [None, "caller", "agent"]
    assert said.rules_digest() == plain.rules_digest()
    assert RetentionDefinition.model_validate_json(said.model_dump_json(by_alias=True)) == said


@pytest.mark.parametrize(
    ("name", "table", "expected"),
    [
        ("dialogue-cloud", "call_records", "caller:caller called:called caller_name:caller agent:agent"),
        ("dialogue-cloud", "call_legs", "number:person agent:agent"),
        ("dialogue-cloud", "dialogues", "number:person email:person chat_id:person name:person subject: agent:agent"),
        ("dialogue-cloud", "messages", "sender:person body:"),
        ("dialogue-cloud", "unit_agents", "staff_id:agent name:agent"),
        ("myoperator", "call_detail_records", "caller:caller dialed:dialed users_connected:users_connected"),
        (
            "myoperator",
            "panel_interactions",
            "actor:actor address:actor contact_name:contact contact_number:contact notes: details:",
        ),
        (
            "puzzel-archive",
            "requests",
            "caller:person name:person email:person chat_id:person agent:agent subject: url: remarks:",
        ),
        ("puzzel-archive", "surveys", "comment: phone:person email:person"),
        ("puzzel-archive", "access_log", "actor:actor"),
        ("tencent-ccc", "agents", "staff_id:agent phone:agent email:agent name:agent nickname:agent"),
        ("tencent-ccc", "agent_devices", "staff_id:agent network:agent"),
        ("tencent-ccc", "service_records", "caller:caller called:called remarks: agent:agent"),
        ("tencent-ccc", "voicemails", "caller:person"),
        ("tencent-ccc", "permissions", "staff_id:staff_id"),
    ],
)
def test_the_vendors_columns_are_each_of_one_person__P12(name: str, table: str, expected: str) -> None:
    spec = RetentionProfile.from_object(example_profile(name)).spec
    columns = defined(spec, name).table(table).columns
    found = {column.name: column.person for column in columns if column.person is not None}
    assert found == {column: person for column, _, person in (each.partition(":") for each in expected.split())}
