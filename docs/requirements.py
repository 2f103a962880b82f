"""The page of requirements: every id, what it asks for, and the tests that carry it in their names."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from docs.real_stores import RealStores

REQUIREMENTS = {
    "M1": "Call detail records: kept 1 year at least and 5 at most, no early deletion.",
    "M2": "Call interaction records: 1 to 5 years, early deletion on request; fields are open-ended.",
    "M3": "Call recording media: 1 to 5 years, no early deletion.",
    "M4": "Panel interaction records: 1 to 5 years, no early deletion.",
    "M5": "System transaction logs, often files: 6 months to 2 years, early deletion on request.",
    "M6": "Account configuration: 6 months to 1 year after it was replaced, withdrawn or terminated, never while in use.",
    "M7": "IVR media: 1 to 5 years after its end; a voice artist's is quarantined until the customer approves it.",
    "M8": "Nothing younger than its min is deleted by the schedule, whoever asks.",
    "M9": "A request for data below min is carried out only where early deletion is allowed, else deferred to min, visibly.",
    "M10": "Everything is gone by max, in every copy, whatever the policy says now.",
    "M11": "A new category or column is a change of configuration alone and harms no data.",
    "M12": "Data of a paying customer stays through its life cycle, inside the bounds.",
    "T1": "Agents' and administrators' data stays until the feature ends or a request, then goes within 30 days; cache included.",
    "T2": "Call data is kept for 6 months; recordings in object storage, the rest relational.",
    "T3": "Call analytics, their free text and recordings included, are kept for 6 months.",
    "T4": "Configuration stays until termination, then goes within 30 days; a block outlives an erasure only as a keyed hash.",
    "T5": "Longer storage that a tenant bought ends on its date, and that is announced before.",
    "T6": "A deadline counts for every copy: database, cache, bucket, versions, archives, backups.",
    "T7": "Age, termination and request each start a clock of their own; the earliest wins, min and holds permitting.",
    "T8": "Data is encrypted in transit and at rest.",
    "T9": "A request is a person's or the tenant's own; termination may concern one feature alone.",
    "P1": "A tenant sets three keep times: general information, recordings, chat logs.",
    "P2": "Every night everything older than its keep time goes by itself.",
    "P3": "When content goes its record stays readable.",
    "P4": "Content never outlives its record.",
    "P5": "Phone and chat have content and a survey; e-mail and e-task are records alone.",
    "P6": "A survey is a score of 0 to 10, a comment and its session.",
    "P7": "Whoever plays, views, downloads or deletes content leaves an audit entry, support marked as such.",
    "P8": "Audit entries go with the general information of their session.",
    "P9": "Administrators who may can read the audit log; the night's removal is evidence instead.",
    "P10": "Without consent no recording and no chat log is stored, while the record stays.",
    "P11": "Digits entered in a masked menu are stored nowhere.",
    "P12": "Anonymization by number or address clears a person's identity and free text in every record and survey.",
    "P13": "After it a search by that number or address finds nothing, other searches still find the record.",
    "P14": "A request may anonymize records, delete content, or do both.",
    "P15": "Administrators search the archive and act on what they found: download, export, delete content.",
    "P16": "A search reaches back as far as general information is kept.",
    "P17": "A copy of general information elsewhere is a copy under T6.",
    "D1": "A customer's data lies in stores of its own, in its namespace or on its servers.",
    "D2": "Call records go to an analytical database, messages to a second one as soon as dialogue is used.",
    "D3": "Further databases: per region, for the archive, private ones for units, shareable by named units.",
    "D4": "One or hundreds of units are managed from one place, each with its own settings.",
    "D5": "What is read from a customer's own systems to be shown is never stored.",
    "D6": "The customer owns databases, connectivity and sizing: the operator says, checks and reports.",
    "D7": "The guarantee holds while the store can take the load; each condition of it is probed, nothing is pretended.",
    "X1": "min <= keep <= max and its kin are refused at apply with the category and the bound; defaults come from the profile.",
    "X2": "Platform and tenant decide apart; no tenant reaches another's stores, secrets or jobs.",
    "X3": "A hold beats everything, then min; data goes once eligible, and in time for every copy's deadline.",
    "X4": "Data past its deadline is deletion debt: counted, shown and alarmed, whatever is suspended.",
    "X5": "Deleting policy, operator, chart or definitions deletes no customer data.",
    "X6": "Every run leaves evidence without personal data.",
    "X7": "One rule decides in the dry run and in the real run.",
    "X8": "Records without a usable time are never deleted by age; they are counted, told and alarmed.",
    "X9": "One calendar rule for every period: UTC, missing days end with their month.",
}
"""What each id asks for, in a line."""

_GROUPS = ("unit", "stores", "chart", "cluster")
_OF_REQUESTS = frozenset(
    ["M9", "T1", "T2", "T3", "T4", "T7", "T9", "P7", "P9", "P12", "P13", "P14", "P15", "P16", "X3", "X8"]
)
"""What a person's request does, which this version has not: a test that carries one shows a part of it."""
_OF_TERMINATION = frozenset(["T1", "T4", "T7", "T9", "X3", "X5", "X8"])
"""What a declared termination does, which this version has not either."""


@dataclass(frozen=True)
class CarryingTest:
    """A test whose name carries ids: ``test_what_a_user_would_say__M8_X3``."""

    group: str
    path: str
    name: str
    real: bool = False
    """Whether it needs a real store: a server that it reaches, or the cluster."""


def carrying_tests(root: Path) -> dict[str, list[CarryingTest]]:
    """The tests of each id. Raises ValueError if a test carries an id that is not a requirement."""
    found: dict[str, list[CarryingTest]] = defaultdict(list)
    servers = RealStores(root / "tests" / "stores")
    for group in _GROUPS:
        for path in sorted((root / "tests" / group).rglob("test_*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                    continue
                carried = re.search(r"__((?:[A-Z]\d+_?)+)$", node.name)
                for identifier in carried[1].split("_") if carried else ():
                    if identifier not in REQUIREMENTS:
                        raise ValueError(f"{path}: {node.name} carries {identifier}, which is no requirement")
                    place = path.relative_to(root / "tests" / group)
                    real = group == "cluster" or (group == "stores" and servers.reached_by(place, node.name))
                    found[identifier].append(CarryingTest(group, path.relative_to(root).as_posix(), node.name, real))
    return found


def state_of(identifier: str, tests: list[CarryingTest]) -> str:
    """How far an id is shown: on real stores, on models and fakes only, or by no test yet."""
    missing = [
        name for name, ids in (("requests", _OF_REQUESTS), ("termination", _OF_TERMINATION)) if identifier in ids
    ]
    if missing:
        return f"{'in part, without' if tests else '**not built yet**:'} {' and '.join(missing)}"
    if any(test.real for test in tests):
        return "shown on real stores"
    return "shown on models and fakes" if tests else "**no test yet**"


def requirements_page(root: Path) -> list[str]:
    """The page's lines: a table of all ids, then the tests of each."""
    tests = carrying_tests(root)
    lines = [
        "# Requirements and their tests",
        "",
        "Every requirement, how far it is shown, and how many tests carry its id in their names. A test shows what its name",
        "says: an id is met as a whole only when nothing of its line is left that no test says. On real stores runs a test that",
        "reaches a PostgreSQL, S3 or Valkey server by its fixtures and calls, or needs the cluster; such are in bold below.",
        "",
        "| id | what it asks for | state | on real stores | " + " | ".join(_GROUPS) + " |",
        "|---|---|---|---|" + "---|" * len(_GROUPS),
    ]
    for identifier, text in REQUIREMENTS.items():
        counts = [sum(test.group == group for test in tests[identifier]) for group in _GROUPS]
        shown = " | ".join(str(count or "") for count in counts)
        real = sum(test.real for test in tests[identifier])
        lines.append(f"| {identifier} | {text} | {state_of(identifier, tests[identifier])} | {real or ''} | {shown} |")
    for identifier in REQUIREMENTS:
        if tests[identifier]:
            lines += ["", f"## {identifier}", ""]
            lines += [_line(test) for test in tests[identifier]]
    return lines


def _line(test: CarryingTest) -> str:
    mark = "**" if test.real else ""
    return f"- {mark}[`{test.name}`](../{test.path}){mark}"
