"""``kubectl retention`` where something changes meanwhile, fails, is hostile, or is not what one thinks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.cli.output import Format, write_document
from tenant_retention.domain.errors import Forbidden, NotReady, RetentionError, Unavailable
from tenant_retention.domain.ports.cluster import HOLD, POLICY, RUN, Kind
from tests.support.operator_world import profile
from tests.unit.test_plugin import DIGEST, FINE, HOME, Plugin, ending, holding, stored

ASKING = {**FINE, "observedGeneration": 1, "approval": {"rulesDigest": DIGEST, "rows": 7, "categories": ["recordings"]}}
HOLD_LINE = ("hold", "case-17", "--reference", "case 17", "--session", "7f3a")


def answering(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None], answer: str = "y") -> list[str]:
    """A person at the terminal who says ``answer`` after something happened ``meanwhile``; what was asked."""
    asked: list[str] = []

    def prompt(question: str) -> str:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        asked.append(question)
        meanwhile()
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer._click.termui.visible_prompt_func", prompt)
    return asked


def failing(plugin: Plugin, method: str, problem: RetentionError, *, times: int = 10**6, kind: Kind = RUN) -> None:
    """Lets so many calls about a kind fail."""
    honest, left = getattr(plugin.cluster, method), [times]

    async def call(of: Kind, *arguments: Any) -> Any:
        if of is kind and left[0]:
            left[0] -= 1
            raise problem
        return await honest(of, *arguments)

    setattr(plugin.cluster, method, call)


AWAY = Unavailable("Kubernetes API does not answer: ServerDisconnectedError", reason="Unavailable")
REFUSED = Forbidden('Kubernetes API: retentionruns is forbidden: User "jan" cannot get (403)', reason="Unavailable")


def test_a_hold_made_anew_while_a_person_is_asked_is_not_the_one_that_is_released__X3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored(), settle=holding)
    assert plugin(*HOLD_LINE) == 0

    def another() -> None:
        found = plugin.one(HOLD)
        plugin.cluster.remove(HOLD, "case-17", HOME)
        meta = {"name": "case-17", "namespace": HOME}
        plugin.cluster.put({**found, "metadata": meta, "spec": {**found["spec"], "reference": "case 18"}})

    answering(monkeypatch, another)
    assert plugin("release", "case-17", "--reason", "closed") == 2
    assert "release" not in plugin.one(HOLD)["spec"]
    assert "was made anew meanwhile and is another one: nothing was released" in capsys.readouterr().err


def test_a_hold_that_cannot_be_released_is_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, lambda: None)
    assert Plugin(stored())("release", "case-18", "--reason", "closed") == 1
    assert asked == []


def test_ctrl_c_at_a_question_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    plugin = Plugin(stored())
    answering(monkeypatch, interrupt)
    assert plugin("run", "acme") == 1
    assert plugin.all(RUN) == []
    assert "nothing was changed" in capsys.readouterr().err


def test_ctrl_c_while_waiting_leaves_with_2_and_says_that_the_run_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored(), settle=ending("Running"))

    async def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    plugin._pause = interrupt  # type: ignore[method-assign]
    assert plugin("run", "acme", "--yes") == 2
    assert "what was begun goes on" in capsys.readouterr().err
    assert len(plugin.all(RUN)) == 1


def test_what_the_guard_asked_before_the_last_edit_is_not_approved(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored(status=ASKING))
    plugin.one(POLICY)["metadata"]["generation"] = 2
    assert plugin("approve", "acme", "--yes") == 2
    assert plugin.all(RUN) == []
    assert "from before the last edit" in capsys.readouterr().err


def test_an_approval_is_of_the_rules_that_were_shown_whatever_the_guard_asks_by_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored(status=ASKING), settle=ending("Stopped"))

    def more() -> None:
        plugin.one(POLICY)["status"]["approval"] |= {"rulesDigest": "sha256:" + "b" * 64, "rows": 7000}

    answering(monkeypatch, more)
    assert plugin("approve", "acme") == 2
    assert "up to 7 items of recordings" in capsys.readouterr().err
    approves = plugin.one(RUN)["spec"]["approves"]
    assert (approves["rulesDigest"], approves["maxRows"]) == (DIGEST, 7)


def test_a_question_tells_both_what_goes_and_what_is_anonymized_and_that_it_may_be_old(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = deepcopy({**FINE, "observedGeneration": 1})
    status["categories"][1] |= {"due": 3, "anonymizeDue": 7}  # type: ignore[index]
    plugin = Plugin(stored(status=status))
    assert plugin("run", "acme") == 1
    assert "It is 3 of recordings, 7 of recordings to anonymize." in capsys.readouterr().err
    plugin.one(POLICY)["metadata"]["generation"] = 2
    assert plugin("run", "acme") == 1
    assert "not known since the last edit; before it 3 of recordings" in capsys.readouterr().err


def test_a_server_that_starts_anew_does_not_end_the_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored(), settle=ending("Succeeded"))
    failing(plugin, "get", AWAY, times=5)
    assert plugin("run", "acme", "--yes") == 0
    assert "ServerDisconnectedError" in capsys.readouterr().err


@pytest.mark.parametrize("problem", [AWAY, REFUSED], ids=["away", "refused"])
def test_a_run_that_cannot_be_looked_at_is_told_by_its_name_and_leaves_with_3(
    problem: Unavailable, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored(), settle=ending("Running"))
    failing(plugin, "get", problem)
    assert plugin("run", "acme", "--yes") == 3
    assert plugin.waited < 60
    assert f"get rrun {plugin.one(RUN)['metadata']['name']} -w" in capsys.readouterr().err


@pytest.mark.parametrize("line", [("status",), ("status", "acme"), ("run", "acme", "--yes")])
def test_a_cluster_without_the_operator_is_told_as_such_and_leaves_with_2(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin()
    plugin.cluster.unserved = frozenset({"tenantretention.io"})
    failing(plugin, "list", NotReady("Kubernetes API: 404 page not found (404)", reason="Unavailable"), kind=POLICY)
    assert plugin(*line) == 2
    assert "the operator is not installed" in capsys.readouterr().err


def test_a_namespace_that_is_not_there_is_a_mistake_of_the_one_who_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert Plugin(stored())(*HOLD_LINE, "-n", "customer-acne") == 1
    assert 'namespaces "customer-acne" not found' in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        ("status", ""),
        ("status", "acme/status"),
        ("suspend", "acme?dryRun=All"),
        ("run", "../../../secrets", "--yes"),
        ("release", "Case 17", "--reason", "closed", "--yes"),
        ("status", "-n", "../kube-system"),
        ("status", "-n", HOME, "-A"),
        ("status", "acme", "-A"),
        ("run", "acme", "--yes", "--timeout", "-1"),
        ("run", "acme", "--yes", "--timeout", "nan"),
        ("approve", "acme", "--yes", "--hours", "nan"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused_in_one_sentence_and_changes_nothing(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored(status=ASKING))
    assert plugin(*line) == 1
    assert plugin.cluster.writes == []
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_nothing_that_a_status_says_can_act_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "rec\x1b]0;owned\x07\u202egnp\x9b2J\nname: fine"
    status = deepcopy(ASKING)
    status["approval"]["categories"] = [hostile]  # type: ignore[index]
    status["conditions"][0] |= {"status": "False", "message": hostile, "reason": hostile}  # type: ignore[index]
    status["categories"][0] |= {"name": hostile, "state": hostile}  # type: ignore[index]
    plugin = Plugin(stored(status=status))
    asked = answering(monkeypatch, lambda: None, "n")
    assert plugin("approve", "acme") == 1
    assert plugin("status", "acme") == 2
    shown = "".join(capsys.readouterr()) + "".join(asked)
    assert "owned" in shown
    assert [sign for sign in shown if not sign.isprintable() and sign != "\n"] == []
    assert "\nname: fine" not in shown


@pytest.mark.parametrize("form, read", [(Format.JSON, json.loads), (Format.YAML, yaml.safe_load)])
def test_documents_keep_every_sign_and_none_acts_on_a_terminal(form: Format, read: Callable[[str], Any]) -> None:
    document, stream = {"said": "Zoë \x1b[2J \x9b2J \u202egnp \x7f"}, StringIO()
    write_document(document, form, stream)
    assert read(stream.getvalue()) == document
    assert [sign for sign in stream.getvalue() if not sign.isprintable() and sign != "\n"] == []


def test_a_policy_of_the_longest_name_and_a_clock_that_is_behind_are_no_trouble(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "a" * 40
    ahead = {**FINE, "lastRunTime": "2027-01-01T00:00:00Z"}
    plugin = Plugin(stored(name, status=ahead), settle=ending("Succeeded"))
    assert plugin("run", name, "--yes") == 0
    assert len(plugin.one(RUN)["metadata"]["name"]) <= 63
    assert plugin("status") == 0
    assert " 0s " in capsys.readouterr().out


def test_a_policy_that_this_plugin_cannot_read_is_told_beside_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump(profile()), encoding="utf-8")
    newer = stored("globex", "customer-globex", inventedLater=True)
    assert Plugin(stored(), newer)("plan", "--profile-file", str(path), "-A") == 2
    out = capsys.readouterr().out
    assert "Unchanged" in out
    assert "spec.inventedLater" in out
