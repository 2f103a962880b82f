"""The documents say what is so: generated pages are current, every reason has a next step, every link leads somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs import attacks, generate
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.events import EVENTS
from tenant_retention.api.v1alpha1.reason_groups import REASON_GROUPS
from tenant_retention.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BY_HAND = [
    page for page in PAGES if not page.read_text().startswith(generate.HEADER) and page.parent.name != "reference"
]
NOTHING_TO_DO = ("All is as wanted", "What a tenant's database refuses")


def test_the_generated_pages_are_those_of_code_and_chart(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check", "--root", str(ROOT)]) == 0, capsys.readouterr().out


def test_a_change_of_the_chart_is_noticed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chart = tmp_path / generate.CHART
    for source in (generate.CHART / "values.yaml", generate.CHART / "values.schema.json", attacks.SOURCE):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_text((ROOT / source).read_text())
    assert generate.main(["--root", str(tmp_path)]) == 0
    assert generate.main(["--check", "--root", str(tmp_path)]) == 0
    values = (chart / "values.yaml").read_text().replace("logLevel: INFO", "logLevel: DEBUG")
    (chart / "values.yaml").write_text(values)
    capsys.readouterr()
    assert generate.main(["--check", "--root", str(tmp_path)]) == 1
    assert "docs/reference/values.md" in capsys.readouterr().out


def test_a_value_without_a_word_about_it_is_refused() -> None:
    schema = {"type": "object", "properties": {"level": {"type": "string"}}}
    with pytest.raises(ValueError, match="level has no comment"):
        generate.values_page("level: INFO\n", schema)


def test_every_reason_is_in_exactly_one_group() -> None:
    grouped = [reason for reasons in REASON_GROUPS.values() for reason in reasons]
    assert sorted(grouped) == sorted(Reason)


def test_every_metric_is_described_with_the_name_under_which_it_is_scraped() -> None:
    telemetry = Telemetry()
    scraped = {family.name: family for family in text_string_to_metric_families(telemetry.render(0).decode())}
    described = {metric.name.removesuffix("_total"): metric for metric in telemetry.described()}
    assert {name for name in scraped if not name.endswith("_created")} == set(described)
    assert {name: scraped[name].type for name in described} == {name: found.type for name, found in described.items()}


def test_every_event_that_a_module_names_is_in_the_reference() -> None:
    told = set()
    for path in sorted((ROOT / "operator" / "tenant_retention" / "reconcile").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Happening":
                told |= {word.value for word in node.args if isinstance(word, ast.Constant)} - {"Warning", "Normal"}
    assert told
    assert told <= {reason.value for event in EVENTS for reason in event.reasons}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+://", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file) if file else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
            }


@pytest.mark.parametrize("page", BY_HAND, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_short_and_names_only_files_that_exist(page: Path) -> None:
    text = page.read_text()
    assert len(text.splitlines()) <= 120
    for file in re.findall(r"\b(?:examples|charts|docs|devcluster)/[\w./-]+\.(?:yaml|md|py)\b", text):
        assert (ROOT / file).is_file(), file


def test_troubleshooting_has_a_next_step_for_every_reason_that_needs_one() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    known = {reason.value for reason in Reason}
    needed = {reason for title, reasons in REASON_GROUPS.items() if title not in NOTHING_TO_DO for reason in reasons}
    told = set(re.findall(r"`([A-Z][A-Za-z]+)`", text))
    assert sorted(needed - told) == []
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} <= known
