"""``kubectl retention`` over a cluster in memory: what people see, what is asked before, what it writes, its exit codes."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.adapters.fakes.cluster import FakeCluster
from tenant_retention.cli.plugin import completing
from tenant_retention.cli.plugin.program import main
from tenant_retention.cli.plugin.reaching import Reached, Session, Target
from tenant_retention.domain.errors import Forbidden, Unavailable
from tenant_retention.domain.ports.cluster import HOLD, POLICY, RUN, SECRET, Kind, Manifest
from tests.support.operator_world import namespace, policy, profile

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOME = "customer-acme"
DIGEST = "sha256:" + "a" * 64
CANARY = "+31 20 555 0199"


def told(kind: str, status: str, reason: str, message: str = "as wanted") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-22T09:00:00Z",
    }


FINE = {
    "conditions": [told("Ready", "True", "Enforcing"), told("Compliant", "True", "Compliant")],
    "databases": "2/2",
    "buckets": "1/1",
    "overdue": 0,
    "lastRunTime": "2026-11-23T02:00:00Z",
    "nextRun": "2026-11-24T01:37Z",
    "categories": [
        {"name": "general-information", "state": "Enforced", "effectiveKeep": "P180D", "rows": 200, "due": 0},
        {"name": "recordings", "state": "Enforced", "effectiveKeep": "P14D", "rows": 30, "objects": 30, "due": 12},
    ],
}


def stored(name: str = "acme", where: str = HOME, status: dict[str, Any] | None = None, **spec: Any) -> Manifest:
    return {**policy(name, where, **spec), "status": deepcopy(FINE if status is None else status)}


class Plugin:
    """The plugin in front of a cluster in memory; ``settle`` plays the operator, which sees every written object."""

    def __init__(self, *objects: Manifest, settle: Any = None) -> None:
        self.cluster = FakeCluster((namespace(HOME), namespace("customer-globex"), profile(), *objects), settle=settle)
        self.target = Target()
        self.waited = 0.0

    def __call__(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as left:
            main(arguments, Session(self._reach, self._now, self._pause))
        return int(left.value.code or 0)

    def one(self, kind: Kind) -> Manifest:
        (found,) = self.all(kind)
        return found

    def all(self, kind: Kind) -> list[Manifest]:
        return [found for (name, _, _), found in self.cluster.objects.items() if name == kind.name]

    @asynccontextmanager
    async def _reach(self, target: Target) -> AsyncIterator[Reached]:
        self.target = target
        yield Reached(self.cluster, None if target.all_namespaces else target.namespace or HOME)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(NOW.timestamp() + self.waited, UTC)

    async def _pause(self, seconds: float) -> None:
        self.waited += seconds


def ending(phase: str, **status: Any) -> Any:
    """An operator that ends every run so."""

    def settle(manifest: Manifest) -> None:
        if manifest["kind"] == RUN.name:
            word = "True" if phase == "Succeeded" else "False"
            ready = told("Ready", word, phase, "the guard asks: see status.approval of the policy")
            manifest["status"] = {"phase": phase, "conditions": [ready], **status}

    return settle


def holding(manifest: Manifest) -> None:
    """An operator that has every hold in force, or released, at once."""
    if manifest["kind"] == HOLD.name:
        reason = "HoldReleased" if "release" in manifest["spec"] else "HoldPlaced"
        generation = manifest["metadata"]["generation"]
        ready = {**told("Ready", "True", reason), "observedGeneration": generation}
        manifest["status"] = {"conditions": [ready], "held": 6}


def test_status_shows_each_policy_in_one_line_and_leaves_with_0_if_all_is_fine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Plugin(stored())("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.split(r"\s{2,}", lines[0]) == [
        "NAME",
        "READY",
        "STATUS",
        "COMPLIANT",
        "DATABASES",
        "BUCKETS",
        "OVERDUE",
        "LAST-RUN",
        "NEXT-RUN",
    ]
    assert lines[1].split() == ["acme", "True", "Enforcing", "True", "2/2", "1/1", "0", "7h", "2026-11-24T01:37Z"]
    assert len(lines) == 2


@pytest.mark.parametrize("kind", ["Ready", "Compliant"])
def test_status_says_what_is_wrong_and_leaves_with_2(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    bad = deepcopy(FINE)
    for each in bad["conditions"]:  # type: ignore[attr-defined]
        if each["type"] == kind:
            each.update(status="False", reason="Overdue", message="3 rows are past max; see kubectl describe")
    assert Plugin(stored(status=bad))("status") == 2
    assert f"{HOME}/acme: {kind}: 3 rows are past max; see kubectl describe" in capsys.readouterr().out


def test_a_status_from_before_the_last_edit_is_not_believed(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored())
    plugin.one(POLICY)["metadata"]["generation"] = 2
    assert plugin("status") == 2
    assert "Unknown" in capsys.readouterr().out


def test_status_of_all_tenants_names_their_namespaces(capsys: pytest.CaptureFixture[str]) -> None:
    assert Plugin(stored(), stored("globex", "customer-globex"))("status", "-A") == 0
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["NAMESPACE", "NAME"],
        [HOME, "acme"],
        ["customer-globex", "globex"],
    ]


def test_status_of_one_policy_shows_categories_and_how_to_approve(capsys: pytest.CaptureFixture[str]) -> None:
    asking = {**FINE, "approval": {"rulesDigest": DIGEST, "rows": 7, "categories": ["recordings"]}}
    assert Plugin(stored(status=asking))("status", "acme") == 0
    out = capsys.readouterr().out
    assert re.search(r"recordings +P14D +30 +30 +- +- +12", out)
    assert "7 items of recordings" in out
    assert f"kubectl retention approve acme -n {HOME}" in out


@pytest.mark.parametrize("form, read", [("json", json.loads), ("yaml", yaml.safe_load)])
def test_status_for_programs_is_the_objects_themselves(
    form: str, read: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Plugin(stored())("status", "-o", form) == 0
    (item,) = read(capsys.readouterr().out)["items"]
    assert item["status"] == FINE
    assert item["metadata"]["name"] == "acme"


def test_a_policy_that_is_not_there_is_named_with_its_namespace(capsys: pytest.CaptureFixture[str]) -> None:
    assert Plugin(stored())("status", "acne") == 1
    assert f"TenantRetentionPolicy acne is not in namespace {HOME}" in capsys.readouterr().err


def test_plan_makes_a_dry_run_and_shows_its_counts__X7(capsys: pytest.CaptureFixture[str]) -> None:
    counts = [{"name": "recordings", "candidates": 12, "acted": 12, "held": 1, "residue": 12}]
    plugin = Plugin(stored(), settle=ending("Succeeded", categories=counts))
    assert plugin("plan", "acme") == 0
    made = plugin.one(RUN)
    assert made["spec"] == {"policyRef": {"name": "acme"}, "mode": "DryRun"}
    out = capsys.readouterr().out
    assert re.search(r"recordings +12 +12 +- +- +1 +0 +0 +12", out)
    assert "Succeeded (nothing was removed)" in out


def test_a_run_without_a_yes_where_nobody_can_answer_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored())
    assert plugin("run", "acme") == 1
    assert plugin.all(RUN) == []
    message = capsys.readouterr().err
    assert "12 of recordings" in message
    assert "--yes" in message


def test_a_run_that_a_person_refuses_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer._click.termui.visible_prompt_func", lambda _: "n")
    assert plugin("run", "acme") == 1
    assert plugin.all(RUN) == []
    assert "nothing was changed" in capsys.readouterr().err


def test_a_run_that_the_guard_stops_leaves_with_2_and_says_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored(), settle=ending("Stopped"))
    assert plugin("run", "acme", "--yes") == 2
    assert plugin.one(RUN)["spec"]["mode"] == "Enforce"
    assert "the guard asks: see status.approval" in capsys.readouterr().out


def test_a_run_that_takes_longer_than_one_waits_goes_on_and_can_be_followed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plugin = Plugin(stored(), settle=ending("Running"))
    assert plugin("run", "acme", "--yes", "--timeout", "30") == 2
    name = plugin.one(RUN)["metadata"]["name"]
    assert f"kubectl -n {HOME} get rrun {name} -w" in capsys.readouterr().err
    assert 30 <= plugin.waited < 32


def test_a_run_that_nobody_waits_for_is_made_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored())
    assert plugin("run", "acme", "--yes", "--no-wait") == 0
    assert plugin.waited == 0
    assert "Pending" in capsys.readouterr().out


def test_a_run_with_dry_run_is_a_plan() -> None:
    plugin = Plugin(stored(), settle=ending("Succeeded"))
    assert plugin("run", "acme", "--dry-run") == 0
    assert plugin.one(RUN)["spec"]["mode"] == "DryRun"


def test_approve_copies_digest_and_count_from_the_status_and_ends_in_time() -> None:
    asking = {**FINE, "approval": {"rulesDigest": DIGEST, "rows": 7, "categories": ["recordings"]}}
    plugin = Plugin(stored(status=asking), settle=ending("Succeeded"))
    assert plugin("approve", "acme", "--yes", "--hours", "2") == 0
    assert plugin.one(RUN)["spec"] == {
        "policyRef": {"name": "acme"},
        "mode": "Enforce",
        "approves": {"rulesDigest": DIGEST, "maxRows": 7, "until": "2026-11-23T11:00:00Z"},
    }


@pytest.mark.parametrize("option, value", [("--max-rows", "6"), ("--hours", "0"), ("--hours", "721")])
def test_an_approval_that_could_not_work_is_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = {**FINE, "approval": {"rulesDigest": DIGEST, "rows": 7, "categories": ["recordings"]}}
    plugin = Plugin(stored(status=asking))
    assert plugin("approve", "acme", "--yes", option, value) == 1
    assert plugin.all(RUN) == []
    assert option in capsys.readouterr().err


def test_approve_where_nothing_waits_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored())
    assert plugin("approve", "acme", "--yes") == 0
    assert plugin.all(RUN) == []
    assert "the guard asks nothing" in capsys.readouterr().out


def test_suspend_and_resume_set_one_field_and_say_if_it_is_so_already(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored())
    assert plugin("suspend", "acme") == 0
    assert plugin.one(POLICY)["spec"] == {"profileRef": {"name": "puzzel-archive"}, "suspend": True}
    assert plugin("suspend", "acme") == 0
    assert plugin("resume", "acme") == 0
    assert plugin.one(POLICY)["spec"]["suspend"] is False
    assert capsys.readouterr().out.splitlines() == ["acme: suspended", "acme: is suspended already", "acme: resumed"]


def test_every_command_that_writes_asks_the_server_for_a_rehearsal_on_dry_run() -> None:
    asking = {**FINE, "approval": {"rulesDigest": DIGEST, "rows": 7, "categories": ["recordings"]}}
    lines: Sequence[tuple[str, ...]] = (
        ("suspend", "acme"),
        ("approve", "acme"),
        ("hold", "case-17", "--reference", "case 17", "--session", "7f3a"),
        ("release", "case-17", "--reason", "closed"),
    )
    plugin = Plugin(stored(status=asking))
    for line in lines:
        assert plugin(*line, "--dry-run") == 0
        assert plugin.target.rehearse


def test_hold_selects_what_was_asked_for_and_waits_until_it_is_in_force__X3(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plugin = Plugin(stored(), settle=holding)
    line = "--reference|case 17/2026|--session|7f3a|--session|9c11|--from|2026-01-01T00:00:00Z|--policy|acme|--secret|whose"
    assert plugin("hold", "case-17", *line.split("|")) == 0
    assert plugin.one(HOLD)["spec"] == {
        "policyRefs": [{"name": "acme"}],
        "subject": {"secretRef": {"name": "whose"}},
        "select": {"sessions": ["7f3a", "9c11"], "from": "2026-01-01T00:00:00Z"},
        "reference": "case 17/2026",
    }
    assert capsys.readouterr().out == "case-17: HoldPlaced, 6 rows held\n"


@pytest.mark.parametrize(
    "selectors, field",
    [((), "select something"), (("--from", "yesterday"), "spec.select.from"), (("--category", "A B"), "categories")],
)
def test_a_hold_that_selects_nothing_or_badly_is_refused_with_the_fields_name(
    selectors: tuple[str, ...], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored())
    assert plugin("hold", "case-17", "--reference", "case 17", *selectors) == 1
    assert plugin.all(HOLD) == []
    assert field in capsys.readouterr().err


def test_a_hold_of_a_name_that_is_taken_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored(), settle=holding)
    assert plugin("hold", "case-17", "--reference", "case 17", "--session", "7f3a") == 0
    assert plugin("hold", "case-17", "--reference", "case 18", "--session", "other") == 1
    assert plugin.one(HOLD)["spec"]["reference"] == "case 17"
    assert "take another name" in capsys.readouterr().err


def test_a_hold_that_is_not_in_force_everywhere_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    def away(manifest: Manifest) -> None:
        if manifest["kind"] == HOLD.name:
            manifest["status"] = {"conditions": [told("Ready", "False", "ServerUnreachable", "db does not answer")]}

    plugin = Plugin(stored(), settle=away)
    assert plugin("hold", "case-17", "--reference", "case 17", "--session", "7f3a") == 2
    assert "db does not answer" in capsys.readouterr().err


def test_release_asks_with_the_count_and_sets_the_reason_once(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored(), settle=holding)
    plugin("hold", "case-17", "--reference", "case 17", "--session", "7f3a")
    assert plugin("release", "case-17", "--reason", "closed") == 1
    assert "(6 rows)" in capsys.readouterr().err
    assert plugin("release", "case-17", "--reason", "closed", "--yes") == 0
    assert plugin.one(HOLD)["spec"]["release"] == {"reason": "closed"}
    assert plugin("release", "case-17", "--reason", "again", "--yes") == 1
    assert plugin.one(HOLD)["spec"]["release"] == {"reason": "closed"}
    assert "was released before: closed" in capsys.readouterr().err


def test_a_hold_whose_object_is_gone_is_released_by_an_object_of_its_name__X3() -> None:
    live = {"name": "case-17", "since": "2026-11-01T00:00:00Z", "reference": "case 17", "objectMissing": True}
    plugin = Plugin(stored(status={**FINE, "holds": [live]}), settle=holding)
    assert plugin("release", "case-17", "--reason", "closed", "--yes") == 0
    made = plugin.one(HOLD)
    assert (made["metadata"]["name"], made["spec"]["release"]) == ("case-17", {"reason": "closed"})


def test_a_hold_that_nobody_has_cannot_be_released(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored())
    assert plugin("release", "case-18", "--reason", "closed", "--yes") == 1
    assert plugin.all(HOLD) == []
    assert "there is no LegalHold case-18" in capsys.readouterr().err


def changed_profile(tmp_path: Path, **bounds: str) -> str:
    document = profile()
    document["spec"]["categories"][1].update(bounds)
    path = tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


def test_a_changed_profile_is_planned_for_every_policy_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = [{"category": "recordings", "keep": "P2Y"}]
    plugin = Plugin(stored(), stored("globex", "customer-globex", retention=strict))
    before = plugin.cluster.world()
    assert plugin("plan", "--profile-file", changed_profile(tmp_path, max="P1Y"), "-A") == 2
    out = capsys.readouterr().out
    assert re.search(rf"{HOME} +acme +Changed +recordings: max P5Y -> P1Y", out)
    assert re.search(r"globex +Stalled +.*recordings: keep P2Y is longer than max P1Y", out)
    assert plugin.cluster.world() == before


def test_a_profile_file_that_is_none_is_refused_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed_profile(tmp_path, max="for ever")
    assert Plugin(stored())("plan", "--profile-file", path) == 1
    assert "spec.categories.1.max" in capsys.readouterr().err
    assert Plugin(stored())("plan", "--profile-file", "nowhere.yaml") == 1
    assert "nowhere.yaml" in capsys.readouterr().err


def test_a_report_has_no_secret_and_nothing_that_people_wrote_or_other_tenants_have__X2(tmp_path: Path) -> None:
    hold = {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "LegalHold",
        "metadata": {
            "name": "case-17",
            "namespace": HOME,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY},
        },
        "spec": {
            "select": {"sessions": [CANARY]},
            "reference": CANARY,
            "release": {"reason": CANARY},
        },
    }
    secret = {
        "apiVersion": "v1",
        "kind": SECRET.name,
        "metadata": {"name": "acme-analytical-app", "namespace": HOME},
        "stringData": {"password": CANARY},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "acme-expire",
            "namespace": HOME,
            "labels": {"app.kubernetes.io/managed-by": "tenant-retention-operator"},
        },
        "spec": {"containers": [{"name": "expire", "args": [CANARY], "env": [{"name": "X", "value": CANARY}]}]},
        "status": {
            "phase": "Failed",
            "containerStatuses": [
                {"name": "expire", "state": {"terminated": {"exitCode": 2, "reason": "Error", "message": CANARY}}}
            ],
        },
    }
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "other", "namespace": HOME},
        "reportingController": "somebody-else",
        "note": CANARY,
    }
    live = {"name": "case-17", "since": "2026-11-01T00:00:00Z", "reference": CANARY}
    held = stored(status={**FINE, "holds": [live]})
    plugin = Plugin(held, stored("globex", "customer-globex"), hold, secret, pod, event)
    path = tmp_path / "report.zip"
    assert plugin("report", str(path)) == 0
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert CANARY not in "".join(files.values())
    assert "globex" not in "".join(files.values())
    assert json.loads(files["tenantretentionpolicies.json"])[0]["status"]["categories"] == FINE["categories"]
    assert json.loads(files["legalholds.json"])[0]["spec"]["select"] == {"sessions": 1}
    assert json.loads(files["pods.json"])[0]["status"]["containers"][0]["state"] == {
        "terminated": {"exitCode": 2, "reason": "Error"}
    }
    assert not any("secret" in name for name in files)


def test_a_report_never_overwrites_a_file_and_says_what_it_could_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.zip"
    path.write_text("mine")
    assert Plugin(stored())("report", str(path)) == 1
    assert path.read_text() == "mine"
    plugin = Plugin(stored())
    listing = plugin.cluster.list

    async def partly(kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        if kind.plural == "datastores":
            raise Forbidden('datastores is forbidden: User "jan@example.com" cannot list (403)', reason="Unavailable")
        return await listing(kind, namespace, labels)

    plugin.cluster.list = partly  # type: ignore[method-assign]
    assert plugin("report", str(tmp_path / "other.zip")) == 0
    assert "left out: datastores: not allowed" in capsys.readouterr().out
    assert b"jan@example.com" not in zipfile.ZipFile(tmp_path / "other.zip").read("report.json")


def test_a_cluster_that_does_not_answer_leaves_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(stored())

    async def away(kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        raise Unavailable("Kubernetes API does not answer: ClientConnectorError", reason="Unavailable")

    plugin.cluster.list = away  # type: ignore[method-assign]
    assert plugin("status") == 3
    assert capsys.readouterr().err == "kubectl-retention: Kubernetes API does not answer: ClientConnectorError\n"


@pytest.mark.parametrize("arguments", [("stauts",), ("status", "--bad"), ("plan",), ("release", "x")])
def test_a_line_that_is_none_leaves_with_1_and_one_sentence(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Plugin(stored())
    assert plugin(*arguments) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("words, wanted", [(["sus"], "suspend"), (["status", "--all-n"], "--all-namespaces")])
def test_kubectl_completes_the_plugins_words(
    words: list[str], wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["kubectl_complete-retention", *words])
    for name in ("_KUBECTL_RETENTION_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        monkeypatch.setenv(name, "")
    completing.main()
    assert capsys.readouterr().out.split() == [wanted, ":4"]
