"""An API server's view of an object, without one: defaults from the schema, then every CEL rule where it stands."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cel


@dataclass(frozen=True)
class Refusal:
    """One broken rule and the path of the field that it names."""

    path: str
    message: str


def refusals(schema: dict[str, Any], document: dict[str, Any], old: dict[str, Any] | None = None) -> list[Refusal]:
    """Every rule of `schema` that `document`, as a change of `old`, breaks."""
    before = None if old is None else defaulted(schema, old)
    return list(_walk(schema, defaulted(schema, document), before, ""))


def defaulted(schema: dict[str, Any], value: Any) -> Any:
    """A copy of `value` with the schema's defaults filled in, as structural defaulting does it."""
    if isinstance(value, list):
        return [defaulted(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for name, child in schema.get("properties", {}).items():
        if name not in result and "default" in child:
            result[name] = copy.deepcopy(child["default"])
        if name in result:
            result[name] = defaulted(child, result[name])
    return result


def evaluate(expression: str, values: dict[str, Any]) -> Any:
    """The value of a CEL expression; adds the string and list functions that Kubernetes has and the package has not."""
    context = cel.Context(values)
    context.add_function("substring", lambda text, start, end: text[start:end])
    context.add_function("join", lambda items, separator="": separator.join(items))
    context.add_function("flatten", lambda items: [inner for item in items for inner in item])
    return _program(expression).execute(context)


@lru_cache(maxsize=512)
def _program(expression: str) -> Any:
    return cel.compile(expression)


def _walk(schema: dict[str, Any], value: Any, old: Any, path: str) -> Iterator[Refusal]:
    for rule in schema.get("x-kubernetes-validations", ()):
        transition = "oldSelf" in rule["rule"]
        if transition and old is None:
            continue
        values = {"self": _escaped(value)} | ({"oldSelf": _escaped(old)} if transition else {})
        if not evaluate(rule["rule"], values):
            yield Refusal((path + rule.get("fieldPath", "")).lstrip("."), rule["message"])
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                before = old.get(name) if isinstance(old, dict) else None
                yield from _walk(child, value[name], before, f"{path}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(schema["items"], item, None, f"{path}[{index}]")


def _escaped(value: Any) -> Any:
    """Kubernetes serves a field whose name is a reserved word of CEL between double underscores."""
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _escaped(item) for name, item in value.items()}
    return {**inner, "__namespace__": inner["namespace"]} if "namespace" in inner else inner
