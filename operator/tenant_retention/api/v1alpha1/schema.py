"""Renders a model as a structural OpenAPI v3 schema: no references, no nulls, CEL rules, a text on every field."""

import json
from functools import cache
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tenant_retention.api.v1alpha1.common import ApiModel, Rule

_DROPPED = {"title", "examples", "default", "x-unit", "const", "anyOf", "$ref", "description"}
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def openapi_schema(model: type[ApiModel]) -> dict[str, Any]:
    """Return the structural schema of `model`.

    Every property has a description that ends with its unit, default and example, where it has them.
    """
    properties: dict[str, Any] = {}
    required: list[str] = []
    raw = _raw(model)
    for name, field in model.model_fields.items():
        alias = field.alias or name
        properties[alias] = _property(raw["properties"][alias], raw.get("$defs", {}), _models(field), field)
        if field.is_required():
            required.append(alias)
    schema: dict[str, Any] = {"type": "object", "properties": dict(sorted(properties.items()))}
    if required:
        schema["required"] = required
    if model.rules:
        schema["x-kubernetes-validations"] = [validation(rule) for rule in model.rules]
    return schema


@cache
def _raw(model: type[ApiModel]) -> dict[str, Any]:
    """What pydantic makes of a model; only read, and slow enough to remember."""
    return model.model_json_schema(by_alias=True, mode="validation")


def validation(rule: Rule) -> dict[str, str]:
    """Return one entry of `x-kubernetes-validations`."""
    entry = {"rule": rule.rule, "message": rule.message, "reason": rule.reason}
    if rule.field_path:
        entry["fieldPath"] = rule.field_path
    return entry


def field_text(field: FieldInfo, unit: str | None) -> str:
    """Return a field's description with unit, default and example."""
    parts = [(field.description or "").rstrip(".") + "."]
    if unit:
        parts.append(f"Unit: {unit}.")
    default = default_of(field)
    if default is not None:
        parts.append(f"Default: {_compact(default)}.")
    if field.examples:
        parts.append(f"Example: {_compact(field.examples[0])}.")
    return " ".join(parts)


def default_of(field: FieldInfo) -> Any:
    """Return the JSON form of a field's default; None where there is none or where it says nothing (an empty list)."""
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value is None or value in ((), {}):
        return None
    if not isinstance(value, ApiModel):
        return value
    # Absent and empty lists mean the same, and a default should say only what it sets.
    return {name: inner for name, inner in value.to_object().items() if inner not in ([], {})}


def _compact(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _models(field: FieldInfo) -> type[ApiModel] | None:
    """Return the model inside a field's type (`Model`, `Model | None`, `tuple[Model, ...]`), or None."""
    pending: list[Any] = [field.annotation]
    while pending:
        candidate = pending.pop()
        if isinstance(candidate, type) and issubclass(candidate, ApiModel):
            return candidate
        pending.extend(getattr(candidate, "__args__", ()))
    return None


def _property(
    raw: dict[str, Any], definitions: dict[str, Any], model: type[ApiModel] | None, field: FieldInfo
) -> dict[str, Any]:
    branch = _without_null(raw)
    unit = branch.get("x-unit") or raw.get("x-unit")
    result: dict[str, Any] = {"description": field_text(field, unit)}
    default = default_of(field)
    if default is not None:
        result["default"] = default
    result.update(_body(branch, model))
    result.update({key: value for key, value in raw.items() if key.startswith("x-kubernetes-")})
    if result.get(_PRESERVE):
        result.pop("additionalProperties", None)
    return result


def _without_null(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the one branch that is not null: absence, not null, is how these fields are left out."""
    branches: list[dict[str, Any]] = [branch for branch in raw.get("anyOf", [raw]) if branch.get("type") != "null"]
    if len(branches) != 1:
        raise ValueError(f"not structural: {raw}")
    return branches[0]


def _body(branch: dict[str, Any], model: type[ApiModel] | None) -> dict[str, Any]:
    if "$ref" in branch:
        if model is None:
            raise ValueError(f"reference without a model: {branch}")
        return openapi_schema(model)
    body = {key: value for key, value in branch.items() if key not in _DROPPED}
    if "const" in branch:
        body["enum"] = [branch["const"]]
    if isinstance(body.get("items"), dict):
        body["items"] = _body(body["items"], model)
    if isinstance(body.get("additionalProperties"), dict):
        body["additionalProperties"] = _body(body["additionalProperties"], model)
    if body.get("type") == "integer":
        body["format"] = "int64"
    return body
