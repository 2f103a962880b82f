"""docs/requirements.md follows from the names of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.requirements import REQUIREMENTS, carrying_tests, requirements_page, state_of


def write_test(root: Path, group: str, name: str, needs: str = "") -> None:
    folder = root / "tests" / group
    folder.mkdir(parents=True, exist_ok=True)
    text = f"class Scope:\n    def {name}(self{needs}) -> None: ...\n"
    (folder / "test_some.py").write_text(text, encoding="utf-8")
    servers = root / "tests" / "stores" / "servers"
    servers.mkdir(parents=True, exist_ok=True)
    (servers / "postgres.py").write_text("HOST = 'localhost'\ndef process(): ...\n", encoding="utf-8")
    (root / "tests" / "stores" / "benches.py").write_text(
        "from tests.stores.servers.postgres import HOST, process\n"
        "def named(): return HOST\n"
        "def database(process): ...\n",
        encoding="utf-8",
    )
    (root / "tests" / "stores" / "conftest.py").write_text(
        "from tests.stores.benches import database, named\n", encoding="utf-8"
    )


def test_a_test_counts_for_every_id_in_its_name(tmp_path: Path) -> None:
    write_test(tmp_path, "stores", "test_a_recording_younger_than_its_minimum_stays__M8_X3")
    found = carrying_tests(tmp_path)
    assert {identifier: [test.group for test in tests] for identifier, tests in found.items()} == {
        "M8": ["stores"],
        "X3": ["stores"],
    }


def test_an_id_that_is_no_requirement_is_refused(tmp_path: Path) -> None:
    write_test(tmp_path, "unit", "test_something__M99")
    with pytest.raises(ValueError, match="carries M99"):
        carrying_tests(tmp_path)


@pytest.mark.parametrize(
    ("group", "needs", "state"),
    [
        ("unit", ", database", "shown on models and fakes"),
        ("chart", "", "shown on models and fakes"),
        ("cluster", "", "shown on real stores"),
        ("stores", ", database", "shown on real stores"),
        ("stores", ", named", "shown on models and fakes"),
        ("stores", "", "shown on models and fakes"),
    ],
)
def test_only_a_test_that_needs_a_real_store_shows_it_there(tmp_path: Path, group: str, needs: str, state: str) -> None:
    write_test(tmp_path, group, "test_something__P2", needs)
    tests = carrying_tests(tmp_path)
    assert state_of("P2", tests["P2"]) == state
    assert state_of("P3", tests["P3"]) == "**no test yet**"


def test_what_belongs_to_requests_or_termination_is_never_called_shown(tmp_path: Path) -> None:
    write_test(tmp_path, "stores", "test_something__P12_T1_X5", ", database")
    tests = carrying_tests(tmp_path)
    assert state_of("P12", tests["P12"]) == "in part, without requests"
    assert state_of("T1", tests["T1"]) == "in part, without requests and termination"
    assert state_of("X5", tests["X5"]) == "in part, without termination"
    assert state_of("P13", tests["P13"]) == "**not built yet**: requests"


def test_every_requirement_is_on_the_page_with_or_without_tests(tmp_path: Path) -> None:
    rows = [line for line in requirements_page(tmp_path) if line.startswith("| ") and "yet**" in line]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == list(REQUIREMENTS)
