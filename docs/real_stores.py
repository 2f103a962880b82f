"""Which tests in tests/stores reach a real server: those whose names lead, by fixtures and calls, to one that starts it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
SERVERS = frozenset({"servers.install", "servers.postgres", "servers.s3", "servers.valkey"})
"""The files that start servers; a test that needs nothing from them needs no store."""

_BY_TEXT = frozenset({"getfixturevalue", "usefixtures"})


@dataclass
class _Module:
    """What one file defines, and where its other names come from."""

    defined: dict[str, list[_Definition]] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)


class RealStores:
    """Every file below tests/stores, read once; nothing of it is run."""

    def __init__(self, stores: Path) -> None:
        self._modules = {
            ".".join(path.relative_to(stores).with_suffix("").parts): _module(path)
            for path in sorted(stores.rglob("*.py"))
        }
        self._reaching: dict[tuple[str, str], bool] = {}

    def reached_by(self, path: Path, test: str) -> bool:
        """Whether the test of that file (relative to tests/stores) needs a server."""
        return self._reaches(".".join(path.with_suffix("").parts), test)

    def _reaches(self, module: str, name: str) -> bool:
        key = (module, name)
        if key not in self._reaching:
            self._reaching[key] = False  # of a circle nothing is reached by itself
            self._reaching[key] = any(
                self._starts(place, needed) or self._reaches(place, needed)
                for each in self._modules[module].defined.get(name, ())
                for needed in _names(each)
                for place in self._places(module, needed)
            )
        return self._reaching[key]

    def _starts(self, module: str, name: str) -> bool:
        return module in SERVERS and name in self._modules[module].defined

    def _places(self, module: str, name: str) -> Iterator[str]:
        """The files that define a name: this one, the one that it is imported from, or for fixtures the shared ones."""
        here = self._modules[module]
        if name in here.defined:
            yield module
        elif name in here.imported:
            yield here.imported[name]
        elif (shared := self._modules.get("conftest")) and name in shared.imported:
            yield shared.imported[name]


def _names(definition: _Definition) -> set[str]:
    found = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
    functions = [node for node in ast.walk(definition) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found |= {argument.arg for each in functions for argument in each.args.args}
    # request.getfixturevalue("postgres15"), usefixtures("valkey")
    asked = [node for node in ast.walk(definition) if isinstance(node, ast.Call) and _called(node) in _BY_TEXT]
    return found | {str(each.value) for call in asked for each in call.args if isinstance(each, ast.Constant)}


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _module(path: Path) -> _Module:
    found = _Module()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.defined.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests.stores"):
            place = (node.module or "").removeprefix("tests.stores").removeprefix(".")
            found.imported |= {alias.asname or alias.name: place for alias in node.names}
    return found
