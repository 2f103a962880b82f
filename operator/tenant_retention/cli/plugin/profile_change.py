"""``kubectl retention plan --profile-file``: what another version of a profile would mean for the policies that name it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy
from tenant_retention.domain.definition import CategoryDefinition, RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.cluster import Manifest
from tenant_retention.domain.rules import Subject, define

_COMPARED = (
    ("minimum", "min"),
    ("keep", "keep"),
    ("maximum", "max"),
    ("anonymize_after", "anonymizeAfter"),
    ("archive_after", "archiveAfter"),
    ("early_deletion", "early deletion"),
)


@dataclass(frozen=True)
class Effect:
    """What would become of one policy. ``problem``: why it would be Stalled; None: it would not."""

    namespace: str
    policy: str
    changes: tuple[str, ...]
    problem: str | None = None


def read_profile(path: Path) -> RetentionProfile:
    """The profile of a file, YAML or JSON. Raises Invalid naming the file, and the field that cannot be."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise _invalid(path, f"cannot be read: {type(problem).__name__}") from problem
    if not isinstance(document, dict) or document.get("kind") != RetentionProfile.resource.kind:
        raise _invalid(path, "is no RetentionProfile")
    try:
        return RetentionProfile.from_object(document)
    except ValidationError as problem:
        raise _invalid(path, _first(problem)) from problem


def effects(
    before: RetentionProfileSpec | None,
    after: RetentionProfile,
    policies: Iterable[Manifest],
    labels: Mapping[str, Mapping[str, str]],
) -> tuple[Effect, ...]:
    """What would become of each policy that names the profile. ``before``: as it is now; None: it is not there yet.
    ``labels``: of the namespaces that one may read."""
    name = after.metadata.name
    named = [each for each in policies if each["spec"].get("profileRef", {}).get("name") == name]
    return tuple(_allowed(before, after, _effect(before, after.spec, each), labels) for each in named)


def parsed(manifest: Manifest) -> RetentionProfileSpec:
    """The profile as the cluster has it. Raises Invalid if this version of the plugin does not know a field of it."""
    try:
        return RetentionProfile.from_object({name: value for name, value in manifest.items() if name != "status"}).spec
    except ValidationError as problem:
        raise Invalid(
            f"the profile in the cluster cannot be judged by this version of the plugin: {_first(problem)}",
            reason="Usage",
        ) from problem


def lines(effect: Effect) -> tuple[tuple[str, str], ...]:
    """What to print of it: one word and one line each."""
    if effect.problem is not None:
        return (("Stalled", effect.problem),)
    return tuple(("Changed", change) for change in effect.changes) or (("Unchanged", "-"),)


def document(effect: Effect) -> dict[str, Any]:
    """The effect for programs."""
    return {
        "namespace": effect.namespace,
        "policy": effect.policy,
        "changes": list(effect.changes),
        "problem": effect.problem,
    }


def _allowed(
    before: RetentionProfileSpec | None,
    after: RetentionProfile,
    effect: Effect,
    labels: Mapping[str, Mapping[str, str]],
) -> Effect:
    """The effect, and what the selector of namespaces adds to it."""
    selector, known = after.spec.allowed_namespaces, labels.get(effect.namespace)
    if selector is None or effect.problem is not None:
        return effect
    if known is None:
        unknown = "allowedNamespaces: changes; the namespace's labels could not be read"
        same = before is not None and before.allowed_namespaces == selector
        return effect if same else replace(effect, changes=(*effect.changes, unknown))
    if selector.matches(dict(known)):
        return effect
    what = f"profile {after.metadata.name} would not allow namespace {effect.namespace} (spec.allowedNamespaces)"
    return replace(effect, changes=(), problem=what)


def _effect(before: RetentionProfileSpec | None, after: RetentionProfileSpec, manifest: Manifest) -> Effect:
    meta = manifest["metadata"]
    namespace, policy = meta["namespace"], meta["name"]
    try:
        wanted = _definition(after, manifest)
    except Invalid as problem:
        return Effect(namespace, policy, (), problem.message)
    except ValidationError as problem:
        # Written by a newer version, whose fields this one does not know.
        return Effect(namespace, policy, (), f"cannot be judged by this version of the plugin: {_first(problem)}")
    try:
        now = _definition(before, manifest) if before else None
    except Invalid:
        # It is Stalled today: what matters is that it would not be any more.
        return Effect(namespace, policy, ("would be valid again",))
    return Effect(namespace, policy, tuple(_changes(now, wanted)) if now else ("would be valid",))


def _definition(profile: RetentionProfileSpec, manifest: Manifest) -> RetentionDefinition:
    meta = manifest["metadata"]
    kept = {name: value for name, value in manifest.items() if name != "status"}
    policy = TenantRetentionPolicy.from_object(kept)
    generation = int(meta.get("generation") or 1)
    return define(profile, policy.spec, Subject("", meta["namespace"], meta["name"], "", generation, 1))


def _changes(now: RetentionDefinition, wanted: RetentionDefinition) -> list[str]:
    old = {category.name: category for category in now.categories}
    new = {category.name: category for category in wanted.categories}
    changes = [f"{name}: new category" for name in new if name not in old]
    changes += [f"{name}: leaves the profile; its rows stay and count on" for name in old if name not in new]
    for name in new:
        if name in old:
            changes += [f"{name}: {change}" for change in _category_changes(old[name], new[name])]
    tables = {table.name: table for table in now.tables}
    for table in wanted.tables:
        if table.name in tables:
            had = {column.name for column in tables[table.name].columns}
            changes += [f"{table.name}: new column {c.name}" for c in table.columns if c.name not in had]
        else:
            changes.append(f"{table.name}: new table")
    return changes


def _category_changes(old: CategoryDefinition, new: CategoryDefinition) -> list[str]:
    found: list[str] = []
    for attribute, word in _COMPARED:
        was, becomes = getattr(old, attribute), getattr(new, attribute)
        if was != becomes:
            found.append(f"{word} {_told(was)} -> {_told(becomes)}")
    return found


def _told(value: Any) -> str:
    return "none" if value is None else str(value)


def _first(problem: ValidationError) -> str:
    first = problem.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _invalid(path: Path, what: str) -> Invalid:
    return Invalid(f"--profile-file {path}: {what}", reason="Usage", field="profile-file")
