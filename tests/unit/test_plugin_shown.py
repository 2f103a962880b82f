"""``kubectl retention`` for one who may not see all, one who waits at a terminal, and one who presses the tabulator."""

from __future__ import annotations

import asyncio
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.cli.plugin import completing, naming
from tenant_retention.cli.plugin.reaching import Session
from tenant_retention.domain.errors import Forbidden, Invalid, RetentionError, Unavailable
from tenant_retention.domain.ports.cluster import NAMESPACE, POLICY, Kind, Manifest
from tests.support.operator_world import profile
from tests.unit.test_plugin import FINE, HOME, Plugin, ending, holding, stored

REFUSED = Forbidden("Kubernetes API: tenantretentionpolicies is forbidden (403)", reason="Unavailable")
AWAY = Unavailable("Kubernetes API does not answer: TimeoutError", reason="Unavailable")


def with_rights(plugin: Plugin, refused: dict[tuple[Kind, str | None], RetentionError]) -> Plugin:
    """Lets listings of a kind in a namespace (None: of all) fail."""
    listing = plugin.cluster.list

    async def partly(kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        if (kind, namespace) in refused:
            raise refused[kind, namespace]
        return await listing(kind, namespace, labels)

    plugin.cluster.list = partly  # type: ignore[method-assign]
    return plugin


@pytest.mark.parametrize("problem", [REFUSED, AWAY], ids=["refused", "away"])
def test_who_may_read_some_namespaces_sees_their_policies_and_a_word_on_the_others_and_leaves_with_3(
    problem: RetentionError, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored(), stored("globex", "customer-globex"))
    with_rights(plugin, {(POLICY, None): REFUSED, (POLICY, "customer-globex"): problem})
    assert plugin("status", "-A") == 3
    told = capsys.readouterr()
    assert [line.split()[:2] for line in told.out.splitlines()] == [["NAMESPACE", "NAME"], [HOME, "acme"]]
    assert "could not be read: policies in customer-globex" in told.err
    assert plugin("status", "-A", "-o", "json") == 3
    document = json.loads(capsys.readouterr().out)
    assert [each["metadata"]["name"] for each in document["items"]] == ["acme"]
    assert document["unread"] == ["customer-globex"]


def test_what_is_known_to_be_wrong_is_not_hidden_by_what_is_unknown() -> None:
    plugin = Plugin(stored(status={}), stored("globex", "customer-globex"))
    assert with_rights(plugin, {(POLICY, None): REFUSED, (POLICY, "customer-globex"): REFUSED})("status", "-A") == 2


@pytest.mark.parametrize(
    "refused", [{(NAMESPACE, None): REFUSED}, {(POLICY, HOME): REFUSED, (POLICY, "customer-globex"): REFUSED}]
)
def test_who_may_read_nothing_is_told_so_and_leaves_with_3(
    refused: dict[tuple[Kind, str | None], RetentionError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert with_rights(Plugin(stored()), {(POLICY, None): REFUSED, **refused})("status", "-A") == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert "is forbidden (403)" in told.err


def test_a_namespace_without_policies_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert Plugin(stored())("status", "-n", "customer-globex") == 0
    assert capsys.readouterr().out == "No policies found in namespace customer-globex.\n"


def test_a_plan_of_a_profile_for_fewer_namespaces_tells_who_would_be_stalled__X2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = profile()
    document["spec"]["allowedNamespaces"] = {"matchLabels": {"tier": "gold"}}
    path = tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    plugin = Plugin(stored(), stored("globex", "customer-globex"))
    plugin.cluster.objects[NAMESPACE.name, None, HOME]["metadata"]["labels"] = {"tier": "gold"}
    assert plugin("plan", "--profile-file", str(path), "-A") == 2
    out = capsys.readouterr().out
    assert re.search("acme +Unchanged", out)
    assert re.search("globex +Stalled +profile puzzel-archive would not allow namespace customer-globex", out)
    with_rights(plugin, {(NAMESPACE, None): REFUSED})
    assert plugin("plan", "--profile-file", str(path), "-A") == 0
    assert re.search("globex +Changed +allowedNamespaces: changes", capsys.readouterr().out)


def complete(
    words: list[str], plugin: Plugin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list[str], str]:
    """What kubectl is offered, and what stands on the terminal beside it."""
    monkeypatch.setattr("sys.argv", ["kubectl_complete-retention", *words])
    for name in ("_KUBECTL_RETENTION_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        monkeypatch.setenv(name, "")
    completing.main(Session(plugin._reach, plugin._now, plugin._pause))
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == ":4"
    return told.out.splitlines()[:-1], told.err


def test_names_of_policies_and_of_holds_that_can_be_released_are_completed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = {"name": "case-1", "since": "2026-11-01T00:00:00Z", "objectMissing": True}
    plugin = Plugin(
        stored(status={**FINE, "holds": [gone]}), stored("other"), stored("globex", "customer-globex"), settle=holding
    )
    for name in ("case-17", "case-18"):
        assert plugin("hold", name, "--reference", "case", "--session", "7f3a") == 0
    assert plugin("release", "case-18", "--reason", "closed", "--yes") == 0
    capsys.readouterr()

    def offered(*words: str) -> list[str]:
        return complete(list(words), plugin, monkeypatch, capsys)[0]

    assert offered("run", "") == ["acme", "other"]
    assert offered("run", "ac") == ["acme"]
    assert offered("status", "-n", "customer-globex", "") == ["globex"]
    assert offered("hold", "case-19", "--policy", "o") == ["other"]
    assert offered("release", "") == ["case-1", "case-17"]


@pytest.mark.parametrize(
    "problem", [AWAY, REFUSED, Invalid("kubeconfig: there is none", reason="Usage"), None], ids=lambda it: str(it)[:9]
)
def test_a_cluster_without_an_answer_has_no_names_and_leaves_the_line_clean(
    problem: RetentionError | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored())

    async def away(kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        if problem is None:
            await asyncio.Event().wait()
        raise problem or AWAY

    plugin.cluster.list = away  # type: ignore[method-assign]
    monkeypatch.setattr(naming, "_DEADLINE_SECONDS", 0.01)
    assert complete(["run", ""], plugin, monkeypatch, capsys) == ([], "")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=lambda it: "".join(it) or "all")
def test_who_waits_at_a_terminal_sees_state_and_time_in_one_line(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": "200", **environment}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    plugin = Plugin(stored(), settle=ending("Running"))
    assert plugin("plan", "acme", "--timeout", "61") == 2
    shown = terminal.getvalue()
    assert "Running" in shown
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)) == (not environment)
    if "TERM" in environment:
        assert "\x1b" not in shown
        assert shown.count(": Running\n") == 1
    else:
        assert "0:01:01" in shown
    assert "follow it with" in shown


def test_who_waits_elsewhere_sees_a_line_for_each_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    plugin = Plugin(stored(), settle=ending("Running"))
    waits: list[Any] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 5:
            for found in plugin.cluster.objects.values():
                if found["kind"] == "RetentionRun":
                    found["status"]["phase"] = "Succeeded"

    plugin._pause = pause  # type: ignore[method-assign]
    assert plugin("plan", "acme") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["Running", "Succeeded"]
    assert "\x1b" not in "".join(lines)
