"""The four vendors' profiles say what DOMAIN says: categories, bounds, early deletion, clocks, identity, content."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tenant_retention.api.v1alpha1.crd import object_schema
from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfile, RetentionProfileSpec
from tests.support.api_cases import ROOT, example_profile
from tests.support.cel_rules import refusals

FILES = sorted((ROOT / "examples" / "profiles").glob("*.yaml"))
IDENTITIES = {"PhoneNumber", "EmailAddress", "ChatIdentity", "PersonName", "FreeText", "MaskedDigits"}
every_profile = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def spec_of(name: str) -> RetentionProfileSpec:
    return RetentionProfile.from_object(example_profile(name)).spec


def category_of(name: str, category: str) -> Category:
    found = spec_of(name).category(category)
    assert found is not None
    return found


def roles_of(name: str, *tables: str) -> set[str]:
    spec = spec_of(name)
    return {column.role for table in spec.tables if table.name in tables for column in table.columns if column.role}


def test_there_is_one_profile_for_each_of_the_four_vendors() -> None:
    assert [path.stem for path in FILES] == ["dialogue-cloud", "myoperator", "puzzel-archive", "tencent-ccc"]


@every_profile
def test_a_profile_breaks_no_rule__X1(path: Path) -> None:
    assert refusals(object_schema(RetentionProfile), yaml.safe_load(path.read_text())) == []


@every_profile
def test_every_table_belongs_to_a_category(path: Path) -> None:
    spec = spec_of(path.stem)
    assert {table.name for table in spec.tables} == {name for category in spec.categories for name in category.tables}


@every_profile
def test_every_column_that_names_a_person_says_how_it_is_anonymized__P12(path: Path) -> None:
    columns = [column for table in spec_of(path.stem).tables for column in table.columns]
    assert [column.name for column in columns if column.role in IDENTITIES and column.anonymize is None] == []


@every_profile
def test_content_and_record_share_a_session__P4(path: Path) -> None:
    spec = spec_of(path.stem)
    sessions = {table.name for table in spec.tables if any(column.role == "SessionId" for column in table.columns)}
    for category in spec.categories:
        if category.content_of is not None:
            record = spec.category(category.content_of)
            assert record is not None
            assert set(category.tables) <= sessions
            assert set(record.tables) & sessions


@every_profile
def test_every_object_is_named_by_a_row_with_key_and_version__P3(path: Path) -> None:
    spec = spec_of(path.stem)
    for category in spec.categories:
        if category.objects is not None and category.objects.table is not None:
            table = spec.table(category.objects.table)
            assert table is not None
            assert {category.objects.key_column, category.objects.version_column} <= {
                column.name for column in table.columns
            }


@pytest.mark.parametrize(
    "category, minimum, maximum, early_deletion",
    [
        pytest.param("call-detail-records", "P1Y", "P5Y", "Refused", id="M1"),
        pytest.param("call-interactions", "P1Y", "P5Y", "Allowed", id="M2"),
        pytest.param("call-recordings", "P1Y", "P5Y", "Refused", id="M3"),
        pytest.param("panel-interactions", "P1Y", "P5Y", "Refused", id="M4"),
        pytest.param("system-logs", "P6M", "P2Y", "Allowed", id="M5"),
        pytest.param("system-log-files", "P6M", "P2Y", "Allowed", id="M5-files"),
        pytest.param("account-configuration", "P6M", "P1Y", "Allowed", id="M6"),
        pytest.param("ivr-media", "P1Y", "P5Y", "Refused", id="M7"),
    ],
)
def test_myoperator_has_the_bounds_of_its_policy__M1_M7(
    category: str, minimum: str, maximum: str, early_deletion: str
) -> None:
    found = category_of("myoperator", category)
    assert (found.min, found.max, found.early_deletion) == (minimum, maximum, early_deletion)
    assert (found.ground is not None) == (early_deletion == "Refused")


def test_configuration_in_use_has_no_age__M6_M7() -> None:
    for name in ("account-configuration", "ivr-media"):
        assert category_of("myoperator", name).clock.column == "ended_at"


def test_tencent_keeps_calls_six_months_and_the_rest_until_termination__T1_T4() -> None:
    spec = spec_of("tencent-ccc")
    for name in ("call-data", "call-recordings", "call-analytics", "voicemails"):
        category = category_of("tencent-ccc", name)
        assert (category.min, category.max) == (None, "P6M")
        assert category.extended_max is not None
    for name in ("agent-information", "configuration"):
        assert category_of("tencent-ccc", name).clock.event == "Terminated"
    assert (spec.deadlines.request, spec.deadlines.termination) == ("P30D", "P30D")


def test_a_block_lives_on_as_a_keyed_hash_after_an_erasure__T4() -> None:
    table = spec_of("tencent-ccc").table("blocked_numbers")
    assert table is not None
    number = next(column for column in table.columns if column.name == "number")
    assert number.anonymize is not None
    assert number.anonymize.method == "Hash"


def test_puzzel_has_three_separate_keep_times__P1() -> None:
    defaults = {category.name: category.default for category in spec_of("puzzel-archive").categories}
    assert defaults == {"general-information": "P180D", "recordings": "P14D", "chat-logs": "P30D"}


def test_calls_and_chats_have_content_and_emails_and_tasks_are_records_alone__P5() -> None:
    spec = spec_of("puzzel-archive")
    contents = {category.name: category for category in spec.categories if category.content_of}
    assert {name: tuple(found.tables) for name, found in contents.items()} == {
        "recordings": ("recordings",),
        "chat-logs": ("chat_logs",),
    }
    assert {found.content_of for found in contents.values()} == {"general-information"}
    # Nothing else has objects: an e-mail's attachment has no place to be stored in.
    assert {category.name for category in spec.categories if category.objects} == set(contents)
    assert {table.name for table in spec.tables} == {"requests", "surveys", "access_log", "recordings", "chat_logs"}
    assert spec.channels is not None
    assert list(spec.channels.default) == ["Phone", "Chat", "Email", "Task"]
    requests = spec.table("requests")
    assert requests is not None
    roles = {column.name: column.role for column in requests.columns}
    # From-address, subject, agent, waiting time and the queued item's URL are all there is of an e-mail or a task.
    assert {name: roles.get(name, "no such column") for name in ("email", "subject", "agent", "url")} == {
        "email": "EmailAddress", "subject": "FreeText", "agent": "Agent", "url": "FreeText",
    }  # fmt: skip
    assert "waiting_seconds" in roles


def test_surveys_and_the_access_log_go_with_their_request__P6_P8() -> None:
    assert set(category_of("puzzel-archive", "general-information").tables) == {"requests", "surveys", "access_log"}
    assert {"SessionId", "FreeText"} <= roles_of("puzzel-archive", "surveys")
    assert {"SessionId", "StaffId"} <= roles_of("puzzel-archive", "access_log")


def test_a_request_can_be_searched_by_who_where_and_with_whom__P10_P15() -> None:
    assert roles_of("puzzel-archive", "requests") >= {
        "PhoneNumber", "EmailAddress", "ChatIdentity", "PersonName", "Queue", "Agent", "Consent", "FreeText",
    }  # fmt: skip


def test_messages_lie_in_a_database_of_their_own__D2() -> None:
    spec = spec_of("dialogue-cloud")
    databases = {category.name: spec.database_of(category) for category in spec.categories}
    assert databases["call-records"] == "Analytical"
    assert {databases[name] for name in ("dialogues", "messages", "attachments")} == {"Dialogue"}


def test_call_records_name_their_unit__D4() -> None:
    assert "Unit" in roles_of("dialogue-cloud", "call_records")
