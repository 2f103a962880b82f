"""The list of reasons is closed: nothing is said that is not in it, and nothing is in it that is never said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tenant_retention.adapters.postgres.failures import _REASONS as SQLSTATE_REASONS
from tenant_retention.api.v1alpha1.conditions import Reason

PACKAGE = Path(__file__).parents[2] / "operator" / "tenant_retention"
LISTS = tuple(PACKAGE / "api" / "v1alpha1" / name for name in ("conditions.py", "reason_groups.py"))
KNOWN = {reason.value for reason in Reason}
OF_A_COMMAND_LINE = "Usage"
"""A wrong kubeconfig or context is an option of a command line, also where the adapter finds it."""


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Every module but the lists themselves. A wrong option of a command line is told on standard error, not in a status."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path not in LISTS and "cli" not in path.relative_to(PACKAGE).parts:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def raised_in_python() -> Iterator[tuple[str, str]]:
    """Every ``reason="..."`` with its place."""
    for path, tree in modules():
        for node in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
            for keyword in node.keywords:
                if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value), f"{path.relative_to(PACKAGE)}:{node.lineno}"


def raised_in_sql() -> Iterator[tuple[str, str]]:
    """Every DETAIL of an exception in the database's functions."""
    for path in sorted(PACKAGE.rglob("*.sql")):
        for word in re.findall(r"DETAIL\s*=\s*'(\w+)'", path.read_text(encoding="utf-8")):
            yield word, str(path.relative_to(PACKAGE))


def named_in_python() -> Iterator[str]:
    """Every reason that a module names, as text or as a member."""
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in KNOWN:
                yield str(node.value)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
                yield Reason[node.attr].value


def test_every_reason_that_is_said_is_in_the_documented_list() -> None:
    raised = [*raised_in_python(), *raised_in_sql(), *((word, "failures.py") for word in SQLSTATE_REASONS.values())]
    assert len(raised) > 100
    assert [found for found in raised if found[0] not in KNOWN | {OF_A_COMMAND_LINE}] == []


def test_every_documented_reason_is_said_somewhere() -> None:
    said = {*named_in_python(), *(word for word, _ in raised_in_sql())}
    assert sorted(KNOWN - said) == []
