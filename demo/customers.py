"""The demo's four customers, read from the files of ``examples/`` as they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from demo.pods import Application

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RECORDS = 200_000
CONTENTS = 2_000


@dataclass(frozen=True)
class Customer:
    """One customer: its namespace, its policy's file and its profile's file."""

    namespace: str
    policy_file: Path
    profile_file: Path

    @property
    def policy(self) -> dict[str, Any]:
        """The TenantRetentionPolicy as written in the example."""
        return _document(self.policy_file, "TenantRetentionPolicy")

    @property
    def name(self) -> str:
        """The policy's name."""
        return str(self.policy["metadata"]["name"])

    @property
    def profile(self) -> dict[str, Any]:
        """The profile's spec."""
        spec: dict[str, Any] = _document(self.profile_file, "RetentionProfile")["spec"]
        return spec

    def keeps(self, policy: dict[str, Any] | None = None) -> dict[str, str | None]:
        """Keep by category: the tenant's choice, else the profile's default; None where age removes nothing."""
        chosen = {item["category"]: item["keep"] for item in (policy or self.policy)["spec"].get("retention", [])}
        acted_on = {"Created", "Closed"}
        return {
            category["name"]: chosen.get(category["name"], category.get("default"))
            if category["clock"]["event"] in acted_on
            else None
            for category in self.profile["categories"]
        }

    def databases(self) -> list[str]:
        """Purposes of the databases that the profile's tables live in."""
        found = {category.get("database") or "Analytical" for category in self.profile["categories"]}
        return sorted(found)

    def has_content(self) -> bool:
        """Whether any category has objects behind its rows."""
        return any((category.get("objects") or {}).get("table") for category in self.profile["categories"])

    def bindings(self) -> dict[str, str]:
        """Directory of the app's binding by store purpose, as mounted in its pods."""
        purposes = [*self.databases(), *(["Content"] if self.has_content() else [])]
        return {purpose: f"/bindings/{self.name}-{purpose.lower()}-app" for purpose in purposes}

    def application(self) -> Application:
        """The customer's program: it holds the app bindings and nothing else."""
        secrets = tuple(path.removeprefix("/bindings/") for path in self.bindings().values())
        return Application(self.namespace, self.name, secrets)

    def job(self, anchor: datetime) -> dict[str, Any]:
        """What the loader writes (families.py)."""
        profile = self.profile
        return {
            "seed": self.namespace,
            "anchor": anchor.isoformat(),
            "records": RECORDS,
            "contents": CONTENTS,
            "categories": [c for c in profile["categories"] if c.get("tables")],
            "tables": profile["tables"],
            "keeps": self.keeps(),
            "bindings": self.bindings(),
        }


def _document(path: Path, kind: str) -> dict[str, Any]:
    return next(document for document in yaml.safe_load_all(path.read_text()) if document["kind"] == kind)


CUSTOMERS = (
    Customer("customer-acme", EXAMPLES / "policies/acme.yaml", EXAMPLES / "profiles/puzzel-archive.yaml"),
    Customer("customer-globex", EXAMPLES / "policies/globex.yaml", EXAMPLES / "profiles/myoperator.yaml"),
    Customer("customer-initech", EXAMPLES / "policies/initech.yaml", EXAMPLES / "profiles/puzzel-archive.yaml"),
    Customer("customer-umbrella", EXAMPLES / "policies/umbrella.yaml", EXAMPLES / "profiles/tencent-ccc.yaml"),
)
