"""The CRDs as a reader of `kubectl explain`, a GitOps tool and an API server meet them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.api.v1alpha1 import generate
from tenant_retention.api.v1alpha1.common import ApiObject
from tenant_retention.api.v1alpha1.conditions import (
    ConditionType,
    Reason,
)
from tenant_retention.api.v1alpha1.crd import KINDS, custom_resource_definition, object_schema
from tenant_retention.api.v1alpha1.reason_texts import (
    CONDITION_TEXT,
    REASON_TEXT,
)
from tests.support.api_cases import ROOT

BYTES = 150_000
FREE_TEXT = "additionalProperties"
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
Kind = type[ApiObject]


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field below a schema, with its path."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"], f"{path}[]")


def own_fields(kind: Kind) -> list[tuple[str, dict[str, Any]]]:
    """Every field of spec and status."""
    schema = object_schema(kind)["properties"]
    return [
        (part + path, field)
        for part in ("spec", "status")
        for path, field in (("", schema[part]), *fields(schema[part]))
    ]


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and everything below it."""
    yield schema
    for child in schema.get("properties", {}).values():
        yield from subschemas(child)
    for key in ("items", FREE_TEXT):
        if isinstance(schema.get(key), dict):
            yield from subschemas(schema[key])


def test_generated_files_are_those_of_the_models() -> None:
    assert generate.main(["--check", "--root", str(ROOT)]) == 0


def test_a_change_of_the_models_is_noticed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--root", str(tmp_path)]) == 0
    assert generate.main(["--check", "--root", str(tmp_path)]) == 0
    stale = tmp_path / "crds" / "retentionruns.yaml"
    stale.write_text(stale.read_text().replace("maximum: 31536000", "maximum: 60"))
    capsys.readouterr()
    assert generate.main(["--check", "--root", str(tmp_path)]) == 1
    assert "crds/retentionruns.yaml differs from the models" in capsys.readouterr().out
    assert "maximum: 60" in stale.read_text()


@every_kind
def test_each_crd_is_under_150_kilobytes(kind: Kind) -> None:
    assert len(generate.crd_yaml(kind).encode()) < BYTES


@every_kind
def test_every_field_has_a_text(kind: Kind) -> None:
    assert [path for path, field in own_fields(kind) if len(field.get("description", "")) < 10] == []


@every_kind
def test_every_single_value_has_an_example(kind: Kind) -> None:
    scalars = {"string", "integer", "number", "boolean"}
    lacking = [
        path for path, field in own_fields(kind) if field["type"] in scalars and "Example: " not in field["description"]
    ]
    assert lacking == []


@every_kind
def test_every_default_stands_in_the_text(kind: Kind) -> None:
    lacking = [path for path, field in fields(object_schema(kind)["properties"]["spec"]) if "default" in field]
    texts = dict(fields(object_schema(kind)["properties"]["spec"]))
    assert [path for path in lacking if "Default: " not in texts[path]["description"]] == []


@every_kind
def test_every_period_says_its_unit(kind: Kind) -> None:
    periods = [(path, field) for path, field in own_fields(kind) if field.get("pattern", "").startswith("^P")]
    assert [path for path, field in periods if "Unit: " not in field["description"]] == []


@every_kind
def test_schemas_are_structural_and_bounded(kind: Kind) -> None:
    for schema in subschemas(object_schema(kind)):
        assert not {"anyOf", "oneOf", "allOf", "$ref", "nullable", "title", "x-unit"} & schema.keys()
        assert "type" in schema
        if schema["type"] == "array":
            assert "maxItems" in schema
        if FREE_TEXT in schema:
            assert "maxProperties" in schema


@every_kind
def test_every_text_that_a_user_writes_is_bounded(kind: Kind) -> None:
    strings = [schema for schema in subschemas(object_schema(kind)["properties"]["spec"]) if schema["type"] == "string"]
    assert [schema for schema in strings if not {"maxLength", "enum"} & schema.keys()] == []


@every_kind
def test_no_pod_spec_is_embedded_anywhere(kind: Kind) -> None:
    names = {path.rsplit(".", 1)[-1] for path, _ in own_fields(kind)}
    assert not names & {"containers", "podTemplate", "initContainers", "securityContext", "tolerations"}


@every_kind
def test_enumerated_words_are_camel_case(kind: Kind) -> None:
    # verify-full is libpq's own word; expire is the name of the task in CronJobs and on the command line.
    words = {word for schema in subschemas(object_schema(kind)) for word in schema.get("enum", ())}
    assert {word for word in words if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", word)} <= {"verify-full", "expire"}


@every_kind
def test_a_never_reconciled_object_is_not_healthy(kind: Kind) -> None:
    status = object_schema(kind)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["conditions"]["items"]["properties"]["observedGeneration"]["default"] == -1


@every_kind
def test_every_list_of_named_things_merges_by_its_key(kind: Kind) -> None:
    for path, field in own_fields(kind):
        if field["type"] == "array":
            assert "x-kubernetes-list-type" in field or field["items"]["type"] == "string" or "matchExpr" in path, path
        keys = field.get("x-kubernetes-list-map-keys", ())
        assert all(key in field["items"]["required"] or "default" in field["items"]["properties"][key] for key in keys)


@every_kind
def test_columns_end_with_the_age_and_names_follow_the_group(kind: Kind) -> None:
    document = custom_resource_definition(kind)
    version = document["spec"]["versions"][0]
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"
    assert document["spec"]["names"]["categories"] == ["tenantretention"]
    assert document["spec"]["names"]["shortNames"] == [kind.resource.short_name]
    assert version["subresources"] == {"status": {}}


def test_short_names_are_those_of_the_documents() -> None:
    assert {kind.resource.kind: kind.resource.short_name for kind in KINDS} == {
        "TenantRetentionPolicy": "trp",
        "RetentionProfile": "rprof",
        "DataStoreClass": "dsc",
        "DataStore": "dst",
        "RetentionRun": "rrun",
        "LegalHold": "lhold",
        "DataSubjectRequest": "dsr",
    }


@every_kind
def test_every_printed_and_selectable_path_leads_to_a_field(kind: Kind) -> None:
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    known = {path for path, _ in own_fields(kind)}
    printed = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    selectable = [field["jsonPath"] for field in version.get("selectableFields", ())]
    for path in (*printed, *selectable):
        plain = re.sub(r"\[\?\(.*?\)\]", "[]", path).lstrip(".")
        assert plain in known or plain == "metadata.creationTimestamp", path


@every_kind
def test_every_rule_names_its_field(kind: Kind) -> None:
    for schema in subschemas(object_schema(kind)):
        for rule in schema.get("x-kubernetes-validations", ()):
            named = "fieldPath" in rule or rule["message"].startswith(("spec ", "metadata.name "))
            assert named, rule
            if "oldSelf" in rule["rule"]:
                assert "immutable" in rule["message"]


def test_chart_templates_differ_from_the_crds_in_metadata_and_switches_only() -> None:
    for kind in KINDS:
        template = generate.chart_crd(kind)
        assert "{{- if .Values.crds.enabled }}" in template
        assert "helm.sh/resource-policy: keep" in template
        plain = "\n".join(line for line in template.splitlines() if "{{" not in line)
        assert yaml.safe_load(plain)["spec"] == custom_resource_definition(kind)["spec"]


def test_conditions_and_reasons_are_closed_lists_with_texts() -> None:
    assert set(CONDITION_TEXT) == set(ConditionType)
    assert set(REASON_TEXT) == set(Reason)
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    for name in (*ConditionType, *Reason):
        assert f"`{name}`" in page


def test_the_reference_names_every_field_and_every_refusal() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    for kind in KINDS:
        for path, _ in own_fields(kind):
            assert f"`{path}`" in page, path
        for schema in subschemas(object_schema(kind)):
            for rule in schema.get("x-kubernetes-validations", ()):
                assert rule["message"] in page
