"""Where the data of each example profile lies, and which databases a policy has (D2, D5, T1, T2); pure."""

from __future__ import annotations

from typing import Any

import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.topology import needed_stores
from tenant_retention.enforcement.sharing import sharing
from tests.support.api_cases import example_profile
from tests.support.shared_bucket import two_databases

PLACES = {
    "puzzel-archive": {
        "general-information": "Analytical",
        "recordings": "Analytical, objects in Content",
        "chat-logs": "Analytical, objects in Content",
    },
    "tencent-ccc": {
        "agent-information": "Analytical",
        "call-data": "Analytical",
        "call-recordings": "Analytical, objects in Content",
        "call-analytics": "Analytical",
        "voicemails": "Analytical, objects in Content",
        "configuration": "Analytical",
    },
    "myoperator": {
        "call-detail-records": "Analytical",
        "call-interactions": "Analytical",
        "call-recordings": "Analytical, objects in Content",
        "panel-interactions": "Analytical",
        "system-logs": "Analytical, objects in Content",
        "account-configuration": "Analytical",
        "ivr-media": "Analytical, objects in Content",
    },
    "dialogue-cloud": {
        "call-records": "Analytical",
        "recordings": "Analytical, objects in Content",
        "dialogues": "Dialogue",
        "messages": "Dialogue",
        "attachments": "Dialogue, objects in Content",
        "unit-configuration": "Analytical",
    },
}


def profile_of(name: str) -> RetentionProfileSpec:
    return RetentionProfileSpec.from_object(example_profile(name)["spec"])


def policy_of(profile: str = "dialogue-cloud", **spec: Any) -> TenantRetentionPolicySpec:
    return TenantRetentionPolicySpec.from_object({"profileRef": {"name": profile}, **spec})


@pytest.mark.parametrize("name", PLACES)
def test_recordings_lie_in_object_storage_and_the_rest_is_relational__T1_T2_D2(name: str) -> None:
    profile = profile_of(name)
    found = {
        category.name: f"{profile.database_of(category)}"
        + (f", objects in {category.objects.bucket}" if category.objects else "")
        for category in profile.categories
        if category.tables
    }
    assert {place: found.get(place) for place in PLACES[name]} == PLACES[name]
    recorded = {
        category.name for category in profile.categories if "recording" in category.name or "voicemail" in category.name
    }
    assert recorded == {name for name in recorded if "objects" in found[name]}


@pytest.mark.parametrize("name", PLACES)
def test_nothing_that_is_only_shown_from_a_crm_has_a_table_or_a_column__D5(name: str) -> None:
    profile = profile_of(name)
    words = {table.name for table in profile.tables} | {
        column.name for table in profile.tables for column in table.all_columns
    }
    assert [word for word in sorted(words) if "crm" in word.split("_") or "customer_relation" in word] == []


@pytest.mark.parametrize(
    ("channels", "databases"),
    [
        (["Phone"], {"Analytical"}),
        (["Phone", "Task"], {"Analytical"}),
        (["Chat"], {"Analytical", "Dialogue"}),
        (["Phone", "WhatsApp"], {"Analytical", "Dialogue"}),
        (None, {"Analytical", "Dialogue"}),
    ],
)
def test_the_dialogue_database_is_there_as_soon_as_a_dialogue_channel_is_used__D2(
    channels: list[str] | None, databases: set[str]
) -> None:
    chosen = policy_of(channels=channels) if channels else policy_of()
    found = needed_stores(profile_of("dialogue-cloud"), chosen)
    assert {name for name, type_ in found.items() if type_ == "PostgreSQL"} == databases
    assert found["Content"] == "S3"


def test_a_profile_that_names_no_channels_needs_every_database_that_it_has_tables_for__D2() -> None:
    silent = profile_of("dialogue-cloud").model_copy(update={"channels": None})
    assert "Dialogue" in needed_stores(silent, policy_of())
    assert "Dialogue" not in needed_stores(silent, policy_of(channels=["Phone"]))


def test_objects_wait_for_the_databases_that_the_policy_has_and_for_no_other__M8_D2() -> None:
    whole = two_databases(None)
    assert sharing(whole, "Content", "Analytical") == ("Dialogue",)
    assert sharing(whole.placed_in(["Analytical"]), "Content", "Analytical") == ()
    assert whole.placed_in(["Analytical", "Dialogue"]) == whole
