"""The requirements' table that the demo ends with, made from the names of the tests as ``docs/requirements.md`` is."""

from __future__ import annotations

from pathlib import Path

from docs.requirements import REQUIREMENTS, carrying_tests, state_of


def show(root: Path) -> None:
    """Prints every requirement, how far it is shown and by how many tests."""
    tests = carrying_tests(root)
    print(f"\n      {'ID':<5}{'TESTS':>5}  {'STATE':<38}WHAT IT ASKS FOR")
    for identifier, text in REQUIREMENTS.items():
        carried = tests[identifier]
        print(f"      {identifier:<5}{len(carried):>5}  {state_of(identifier, carried).replace('**', ''):<38}{text}")
