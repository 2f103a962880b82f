"""The cases of tests/unit/api/cases: what must be accepted and what refused, for the offline and the real API server."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "unit" / "api" / "cases"
KIND_FILES = (
    "retentionprofile",
    "tenantretentionpolicy",
    "datastoreclass",
    "datastore",
    "retentionrun",
    "legalhold",
    "datasubjectrequest",
)


@dataclass(frozen=True)
class Case:
    """One object that is accepted, or refused with `message` at `field`; with `old`, an update of that object."""

    name: str
    object: dict[str, Any]
    old: dict[str, Any] | None = None
    message: str | None = None
    field: str = ""
    rules: tuple[str, ...] = ()
    offline: bool = True
    """False where only an API server can tell: list keys, formats."""

    @property
    def id(self) -> str:
        """What pytest prints."""
        verb = "changed" if self.old is not None else "written"
        return f"{self.object['kind']} {verb}: {self.name}"


def kind_cases() -> list[Case]:
    """All cases of all kinds."""
    return [case for name in KIND_FILES for case in _cases(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))]


def bounds_cases() -> Iterator[tuple[dict[str, Any], dict[str, Any], str | None]]:
    """Profile, changed by ``set``, policy and the expected message (None: accepted) for the admission policy on bounds."""
    document = yaml.safe_load((FOLDER / "bounds.yaml").read_text())
    for case in (*document["accepted"], *document["refused"]):
        choice = {field: case[field] for field in ("retention", "extendedStorage", "stores") if field in case}
        policy = {
            "apiVersion": "tenantretention.io/v1alpha1",
            "kind": "TenantRetentionPolicy",
            "metadata": {"name": "trial", "namespace": "default"},
            "spec": {"profileRef": {"name": case["profile"]}, **choice},
        }
        yield changed(example_profile(case["profile"]), case.get("set", {})), policy, case.get("message")


def example_profile(name: str) -> dict[str, Any]:
    """A profile of examples/profiles as it is written there."""
    profile: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "profiles" / f"{name}.yaml").read_text())
    return profile


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` with values set at dotted paths; None removes, the index after the last appends."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        holder: Any = result
        for step in parents:
            holder = holder.setdefault(step, {}) if isinstance(holder, dict) else holder[step]
        if value is None:
            del holder[last]
        elif isinstance(holder, list) and last == len(holder):
            holder.append(copy.deepcopy(value))
        else:
            holder[last] = copy.deepcopy(value)
    return result


def _cases(document: dict[str, Any]) -> Iterator[Case]:
    base = document["base"]
    for group in ("accepted", "refused", "changes"):
        for case in document.get(group, ()):
            yield Case(
                name=case["name"],
                object=changed(base, case.get("set", {})),
                old=changed(base, case.get("before", {})) if group == "changes" else None,
                message=case.get("message"),
                field=case.get("field", ""),
                rules=tuple(case.get("rules", ())),
                offline=case.get("offline", True),
            )
