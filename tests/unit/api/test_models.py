"""What the models read and write: camelCase outside, frozen inside, unknown fields refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tenant_retention.api.v1alpha1.common import LabelSelector
from tenant_retention.api.v1alpha1.crd import KINDS
from tenant_retention.api.v1alpha1.profile_tables import Table
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy, TenantRetentionPolicySpec
from tests.support.api_cases import ROOT

KIND = {kind.resource.kind: kind for kind in KINDS}
EXAMPLES = [
    pytest.param(document, id=f"{path.relative_to(ROOT)}: {document['kind']}")
    for path in sorted((ROOT / "examples").rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document.get("kind") in KIND
]


def without_defaults(written: Any, read: Any) -> bool:
    """Whether everything that was written is still there."""
    if isinstance(written, dict):
        return all(key in read and without_defaults(value, read[key]) for key, value in written.items())
    if isinstance(written, list):
        return len(written) == len(read) and all(map(without_defaults, written, read))
    return bool(written == read)


@pytest.mark.parametrize("document", EXAMPLES)
def test_every_example_is_read_and_written_again_without_loss(document: dict[str, Any]) -> None:
    metadata = {"name": "generated", **document["metadata"]}
    read = KIND[document["kind"]].from_object({**document, "metadata": metadata})
    assert without_defaults(document["spec"], read.to_object()["spec"])
    assert KIND[document["kind"]].from_object(read.to_object()) == read


def test_the_shortest_policy_has_the_documented_defaults() -> None:
    spec = TenantRetentionPolicySpec.from_object({"profileRef": {"name": "puzzel-archive"}})
    assert (spec.mode, spec.suspend, spec.time_zone) == ("Enforce", False, "Etc/UTC")
    assert (spec.window.start, spec.window.duration) == ("01:00", "PT4H")
    assert (spec.guard.max_deleted_percent, spec.deletion_policy) == (25, "Retain")


def test_a_typing_error_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        TenantRetentionPolicySpec.from_object({"profileRef": {"name": "p"}, "retension": []})
    assert caught.value.errors()[0]["loc"] == ("retension",)


def test_a_model_cannot_be_changed() -> None:
    spec = TenantRetentionPolicySpec.from_object({"profileRef": {"name": "p"}})
    with pytest.raises(ValidationError):
        setattr(spec, "mode", "DryRun")  # noqa: B010  # as somebody would who does not run mypy


def test_a_status_that_another_version_wrote_is_still_read() -> None:
    document = {
        "kind": "TenantRetentionPolicy",
        "metadata": {"name": "acme", "managedFields": []},
        "spec": {"profileRef": {"name": "p"}},
        "status": {"observedGeneration": 4, "fromTheFuture": {"a": 1}},
    }
    assert TenantRetentionPolicy.from_object(document).status.observed_generation == 4


def test_a_policy_that_was_never_looked_at_says_so() -> None:
    document = {"kind": "TenantRetentionPolicy", "metadata": {"name": "acme"}, "spec": {"profileRef": {"name": "p"}}}
    assert TenantRetentionPolicy.from_object(document).status.observed_generation == -1


@pytest.mark.parametrize(
    "selector, labels, selected",
    [
        ({}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchLabels": {"a": "b"}}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
    ],
)
def test_labels_select_as_in_kubernetes__X2(selector: dict[str, Any], labels: dict[str, str], selected: bool) -> None:
    assert LabelSelector.from_object(selector).matches(labels) is selected


def test_the_partition_key_is_always_a_column_and_part_of_the_primary_key() -> None:
    table = Table.from_object(
        {
            "name": "calls",
            "primaryKey": ["id"],
            "bornAt": "started_at",
            "columns": [{"name": "id", "type": "Uuid"}, {"name": "caller", "type": "Text"}],
        }
    )
    assert table.full_primary_key == ("id", "started_at")
    assert [(column.name, column.type, column.nullable) for column in table.all_columns] == [
        ("started_at", "Timestamp", False),
        ("id", "Uuid", False),
        ("caller", "Text", True),
    ]


def test_content_lies_where_its_record_lies() -> None:
    spec = RetentionProfileSpec.from_object(
        {
            "categories": [
                {"name": "dialogues", "database": "Dialogue", "default": "P1Y", "max": "P1Y", "clock": {"event": "Created"}},
                {"name": "messages", "contentOf": "dialogues", "default": "P1D", "max": "P1Y", "clock": {"event": "Created"}},
                {"name": "calls", "default": "P1Y", "max": "P1Y", "clock": {"event": "Created"}},
            ]
        }
    )  # fmt: skip
    assert [spec.database_of(category) for category in spec.categories] == ["Dialogue", "Dialogue", "Analytical"]
