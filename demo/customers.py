"""The demo's customers, read from the files of ``examples/`` as they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from demo.pods import Application
from tenant_retention.domain.names import Place

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RECORDS = 200_010
CONTENTS = 2_000
FURTHER_RECORDS = 20_000
FURTHER_CONTENTS = 200
"""Of each place beside the home stores."""


@dataclass(frozen=True)
class Further:
    """Databases beside the home ones: a region's, or those that a unit has to itself."""

    purposes: tuple[str, ...]
    region: str = ""
    unit: str = ""

    @property
    def name(self) -> str:
        """What the tables of counts call it."""
        return self.unit or self.region.lower()


@dataclass(frozen=True)
class Customer:
    """One customer: its namespace, its policy's file, its profile's file, and its databases beside the home ones."""

    namespace: str
    policy_file: Path
    profile_file: Path
    further: tuple[Further, ...] = ()

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
        """Keep by category: what was bought, else the tenant's choice, else the profile's default; None where age removes
        nothing."""
        spec = (policy or self.policy)["spec"]
        entries = [*spec.get("retention", []), *spec.get("extendedStorage", [])]
        chosen = {item["category"]: item["keep"] for item in entries}
        acted_on = {"Created", "Closed"}
        return {
            category["name"]: chosen.get(category["name"], category.get("default"))
            if category["clock"]["event"] in acted_on
            else None
            for category in self.profile["categories"]
        }

    def bounds(self, policy: dict[str, Any] | None = None) -> dict[str, str | None]:
        """Max by category: the profile's, or its longer one where storage was bought."""
        bought = {item["category"] for item in (policy or self.policy)["spec"].get("extendedStorage", [])}
        return {
            category["name"]: category["extendedMax"] if category["name"] in bought else category.get("max")
            for category in self.profile["categories"]
        }

    def anonymized(self, policy: dict[str, Any] | None = None) -> dict[str, str]:
        """The age at which rows of a category lose the person, by category."""
        entries = (policy or self.policy)["spec"].get("retention", [])
        return {item["category"]: item["anonymizeAfter"] for item in entries if "anonymizeAfter" in item}

    def archived(self, policy: dict[str, Any] | None = None) -> dict[str, str]:
        """The age at which rows of a category move to the archive, by category."""
        entries = (policy or self.policy)["spec"].get("retention", [])
        return {item["category"]: item["archiveAfter"] for item in entries if "archiveAfter" in item}

    def backup_days(self) -> int:
        """How many days a backup of its databases is kept, as the classes that it names say; 0: there is none."""
        keeps = [spec["backup"]["keep"] for _, spec in self._named_classes() if "backup" in spec]
        return max((int(keep.strip("PD")) for keep in keeps), default=0)

    def archives_in_files(self) -> bool:
        """Whether its archive is a bucket of files, not a database: so says the class that it names."""
        return any(purpose == "Archive" and spec["type"] == "S3" for purpose, spec in self._named_classes())

    def _named_classes(self) -> list[tuple[str, dict[str, Any]]]:
        """Purpose and class of every store whose class it names."""
        files = (EXAMPLES / "classes").glob("*.yaml")
        classes = {found["metadata"]["name"]: found["spec"] for path in files for found in _documents(path)}
        stores = self.policy["spec"].get("stores", [])
        return [(store["purpose"], classes[store["className"]]) for store in stores if "className" in store]

    def databases(self) -> list[str]:
        """Purposes of the databases that the profile's tables live in."""
        found = {category.get("database") or "Analytical" for category in self.profile["categories"]}
        return sorted(found)

    def has_content(self) -> bool:
        """Whether any category has objects, behind its rows or below a prefix."""
        return any(category.get("objects") for category in self.profile["categories"])

    def has_cache(self) -> bool:
        """Whether the policy names a cache."""
        return any(store["purpose"] == "Cache" for store in self.policy["spec"].get("stores", []))

    def bindings(self, place: Further | None = None) -> dict[str, str]:
        """Directory of the app's binding by store purpose, as mounted in its pods: of the home stores, or of a place's."""
        further = place or Further(())
        labels = {
            purpose: Place(purpose, further.region, further.unit).label
            for purpose in (further.purposes if place else self.databases())
        }
        if self.archived() and place is None:
            labels["Archive"] = "archive"
        if self.has_content():
            labels["Content"] = "content"
        if self.has_cache():
            labels["Cache"] = "cache"
        found = {purpose: f"/bindings/{self.name}-{label}-app" for purpose, label in labels.items()}
        if "Archive" in found and self.archives_in_files():
            # Files are written by the night's run alone; an application reads.
            found["Archive"] = f"/bindings/{self.name}-archive-reader"
        return found

    def application(self) -> Application:
        """The customer's program: it holds the app bindings and nothing else."""
        paths = {path for place in (None, *self.further) for path in self.bindings(place).values()}
        return Application(self.namespace, self.name, tuple(path.removeprefix("/bindings/") for path in sorted(paths)))

    def jobs(self, anchor: datetime) -> list[dict[str, Any]]:
        """What the loader writes (families.py): into the home stores, and into those of every further place."""
        return [self._job(anchor, place) for place in (None, *self.further)]

    def _job(self, anchor: datetime, place: Further | None) -> dict[str, Any]:
        profile = self.profile
        databases = {category["name"]: category.get("database") for category in profile["categories"]}
        categories = [
            category
            for category in profile["categories"]
            if category.get("tables")
            and (
                place is None
                or (
                    (category.get("database") or databases[category["contentOf"]]) in place.purposes
                    and category["clock"]["event"] == "Created"
                )
            )
        ]
        prefixes = [c["objects"]["prefix"] for c in profile["categories"] if c.get("objects", {}).get("prefix")]
        return {
            "place": place.name if place else "",
            "seed": f"{self.namespace}/{place.name}" if place else self.namespace,
            "anchor": anchor.isoformat(),
            "records": FURTHER_RECORDS if place else RECORDS,
            # Seconds between births around a boundary: of few records most would lie there, and no guard would ask.
            "step": 60 if place else 1,
            "contents": FURTHER_CONTENTS if place else CONTENTS,
            "categories": categories,
            "tables": profile["tables"],
            "keeps": self.keeps(),
            "anonymized": self.anonymized(),
            # Rows of home databases alone: a unit's and a further region's stay where they are.
            "archived": {} if place else self.archived(),
            "archiveFiles": not place and self.archives_in_files(),
            # What chapters do beside the rules: content denied later, days brought back from an archive of files.
            "denied": {},
            "broughtBack": [],
            "bindings": self.bindings(place),
            "files": [] if place else prefixes,
            "cached": bool(not place and self.has_cache()),
        }


def _document(path: Path, kind: str) -> dict[str, Any]:
    return next(document for document in _documents(path) if document["kind"] == kind)


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


CUSTOMERS = (
    Customer("customer-acme", EXAMPLES / "policies/acme.yaml", EXAMPLES / "profiles/puzzel-archive.yaml"),
    Customer("customer-globex", EXAMPLES / "policies/globex.yaml", EXAMPLES / "profiles/myoperator.yaml"),
    Customer("customer-initech", EXAMPLES / "policies/initech.yaml", EXAMPLES / "profiles/puzzel-archive.yaml"),
    Customer("customer-umbrella", EXAMPLES / "policies/umbrella.yaml", EXAMPLES / "profiles/tencent-ccc.yaml"),
    Customer(
        "customer-hooli",
        EXAMPLES / "policies/hooli.yaml",
        EXAMPLES / "profiles/dialogue-cloud.yaml",
        (Further(("Analytical",), unit="beds"), Further(("Analytical", "Dialogue"), region="APAC")),
    ),
)
