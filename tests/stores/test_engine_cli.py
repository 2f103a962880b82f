"""tenant-retention from a shell, without a cluster: install, plan, enforce, verify; what it prints and how it exits."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.adapters.s3.listing import stored_objects
from tenant_retention.cli import orphans
from tenant_retention.cli.engine import main
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.enforcement.opening import server_access
from tests.stores.enforcement_archive import LiveArchive, days_ago, drop_database
from tests.stores.servers.postgres import connect_as
from tests.support.enforcement import archive

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run_in(directory: Path, *arguments: str) -> Done:
    """Runs ``tenant-retention`` with these arguments, in this process: its start would cost more than its work."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = Path.cwd()
    os.chdir(directory)
    try:
        with (
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            pytest.raises(SystemExit) as end,
        ):
            main(arguments)
    finally:
        os.chdir(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Done(int(end.value.code or 0), stdout.getvalue(), stderr.getvalue())


@dataclass
class Shell:
    """A shell in the archive's directory."""

    acme: LiveArchive

    def run(self, *arguments: str) -> Done:
        """See ``run_in``."""
        return run_in(self.acme.directory, *arguments)

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-c", "from tenant_retention.cli.engine import main; main()", *arguments]

    def options(self, **environment: str) -> dict[str, Any]:
        """Where and how a process of its own runs."""
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        return {
            "cwd": self.acme.directory,
            "env": {**kept, "PYTHONPATH": str(ROOT / "operator"), "COLUMNS": "200", **environment},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }


@pytest.fixture
def shell(acme: LiveArchive) -> Shell:
    plan = json.loads(acme.plan().model_dump_json(by_alias=True))
    del plan["rulesDigest"]
    (acme.directory / "plan.yaml").write_text(yaml.safe_dump(plan))
    return Shell(acme)


def test_plan_shows_what_enforce_then_removes_and_verify_proves_it__X7(shell: Shell) -> None:
    acme = shell.acme
    for day in (10, 40, 200, 300):
        acme.call(f"call-{day}", days_ago(day), "requests", "surveys", "recordings", "chat_logs")

    planned = shell.run("plan", "--plan", "plan.yaml", "-o", "json")
    assert planned.returncode == 0, planned.stderr
    due = {each["category"]: each["candidates"] for each in json.loads(planned.stdout)["stores"][0]["categories"]}
    assert due == {"recordings": 3, "chat-logs": 3, "general-information": 4, "cases": 0}
    assert len(acme.left()) == 16

    table = shell.run("plan", "--plan", "plan.yaml")
    assert table.returncode == 0
    assert table.stdout.splitlines()[0].split()[:5] == ["STORE", "CATEGORY", "GUARD", "TOTAL", "DUE"]
    assert "Truncate chat_logs/chat_logs_p" in table.stdout
    assert "\x1b" not in table.stdout

    enforced = shell.run("enforce", "--plan", "plan.yaml", "-o", "yaml")
    assert enforced.returncode == 0, enforced.stderr
    result = yaml.safe_load(enforced.stdout)
    assert {each["category"]: each["removed"] for each in result["stores"][0]["categories"]} == due
    assert acme.left() == {
        "requests:call-10",
        "surveys:call-10",
        "recordings:call-10",
        "chat_logs:call-10",
        "requests:call-40",
        "surveys:call-40",
    }

    verified = shell.run("verify", "--plan", "plan.yaml")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert verified.stdout.splitlines()[-1] == "Compliant"
    chain = json.loads(shell.run("verify", "--plan", "plan.yaml", "-o", "json").stdout)
    assert chain["compliant"] is True
    assert [link["mode"] for link in chain["stores"][0]["evidence"]] == ["Enforce", "DryRun", "DryRun"]
    assert result["stores"][0]["evidence"]["digest"] == chain["stores"][0]["evidence"][0]["digest"]


def test_verify_says_2_when_data_is_past_its_deadline_or_the_chain_is_broken__X4(shell: Shell) -> None:
    acme = shell.acme
    assert shell.run("enforce", "--plan", "plan.yaml").returncode == 0
    acme.call("overdue", days_ago(400), "cases", closed_at=days_ago(390))
    assert shell.run("verify", "--plan", "plan.yaml").returncode == 0, "due, but not past its deadline"
    late = acme.definition.model_copy(
        update={
            "categories": tuple(
                each.model_copy(update={"maximum": "P1Y"}) if each.name == "cases" else each
                for each in acme.definition.categories
            )
        }
    )
    acme.define(late)
    done = shell.run("verify", "--plan", "plan.json")
    assert done.returncode == 2
    assert "cases: 1 rows are past their deadline" in done.stdout
    assert done.stdout.splitlines()[-1] == "NotCompliant"


def test_an_approval_that_is_needed_is_no_failure_but_verify_tells_it(shell: Shell) -> None:
    acme = shell.acme
    facts = {"installation": acme.definition.installation}
    acme.define(archive(back="P15M", guard_percent=25, generation=2).model_copy(update=facts))
    for day in range(40, 60):
        acme.call(f"call-{day}", days_ago(day), "chat_logs")
    done = shell.run("enforce", "--plan", "plan.json")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].endswith("ApprovalRequired")
    verified = shell.run("verify", "--plan", "plan.json")
    assert verified.returncode == 2
    assert f"chat-logs: 20 of 20 rows wait for an approval of {acme.definition.rules_digest()}" in verified.stdout
    approval = ["approve", "--plan", "plan.json", "--administrator-binding", "administrator", "--max-rows"]
    assert shell.run(*approval, "0").returncode == 1
    assert shell.run(*approval, "19").returncode == 0
    assert shell.run("enforce", "--plan", "plan.json").stdout.splitlines()[-1].endswith("ApprovalRequired")
    assert shell.run(*approval, "20", "--hours", "1").returncode == 0
    assert shell.run("enforce", "--plan", "plan.json").stdout.splitlines()[-1].endswith("Succeeded")
    assert acme.left() == set()


def test_orphans_are_reported_both_ways_and_nothing_is_deleted(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = shell.acme
    acme.call("whole", days_ago(3), "recordings")
    acme.call("object-missing", days_ago(3), "recordings")
    (lost,) = [each for each in acme.objects() if each[0] == "audio/object-missing"]
    acme.client.remove_object(acme.bucket, lost[0], version_id=lost[1])
    acme.put("audio/no-row-at-all")
    young = shell.run("orphans", "--plan", "plan.yaml", "-o", "json")
    assert young.returncode == 2
    (counted,) = json.loads(young.stdout)["buckets"]
    assert (counted["rowsWithoutObject"], counted["objectsWithoutRow"], counted["unsettled"]) == (1, 0, 1)
    monkeypatch.setattr("tenant_retention.cli.orphans.SETTLING", timedelta(days=-1))
    done = shell.run("orphans", "--plan", "plan.yaml", "-o", "json")
    (counted,) = json.loads(done.stdout)["buckets"]
    assert (counted["objects"], counted["rows"]) == (2, 2)
    assert (counted["rowsWithoutObject"], counted["objectsWithoutRow"]) == (1, 1)
    assert "audio/" not in done.stdout, "keys only where they are asked for"
    named = shell.run("orphans", "--plan", "plan.yaml", "--keys")
    assert named.returncode == 2
    assert "audio/no-row-at-all" in named.stdout
    assert "audio/object-missing" in named.stdout
    assert acme.keys() == {"audio/whole", "audio/no-row-at-all"}


def test_what_the_listing_or_the_reading_of_the_rows_lacks_is_asked_for_by_its_key(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = shell.acme
    for name in ("lost-by-the-listing", "row-came-late"):
        acme.call(name, days_ago(3), "recordings")
    monkeypatch.setattr("tenant_retention.cli.orphans.SETTLING", timedelta(days=-1))
    module = "tenant_retention.cli.orphans"
    listing, reading = stored_objects, orphans._rows_of
    monkeypatch.setattr(
        f"{module}.stored_objects", lambda *of: (each for each in listing(*of) if "lost-by" not in each.key)
    )
    monkeypatch.setattr(f"{module}._rows_of", lambda *of: (each for each in reading(*of) if "late" not in each.key))
    done = shell.run("orphans", "--plan", "plan.yaml", "-o", "json")
    (counted,) = json.loads(done.stdout)["buckets"]
    assert (counted["objects"], counted["rows"]) == (1, 1)
    assert (counted["rowsWithoutObject"], counted["objectsWithoutRow"]) == (0, 0)
    assert done.returncode == 0


def test_install_makes_a_database_ready_and_says_nothing_new_the_second_time(shell: Shell, tmp_path: Path) -> None:
    acme = shell.acme
    plan = json.loads(acme.plan().model_dump_json(by_alias=True))
    plan["definition"]["policy"] = "second"
    plan["databases"][0]["binding"] = "bindings/second-analytical-enforcer"
    (acme.directory / "second.yaml").write_text(yaml.safe_dump(plan))
    first = shell.run("install", "--plan", "second.yaml", "--administrator-binding", "administrator")
    assert first.returncode == 0, first.stderr
    assert "is ready" in first.stdout.splitlines()[-1]
    for group in ("enforcer", "app", "observer"):
        directory = acme.directory / "bindings" / f"second-analytical-{group}"
        assert stat.S_IMODE((directory / "password").stat().st_mode) == 0o600
        assert (directory / "password").read_text() not in first.stdout + first.stderr
    again = shell.run("install", "--plan", "second.yaml", "--administrator-binding", "administrator")
    assert again.returncode == 0
    assert len(again.stdout.splitlines()) == 1
    # The new tenant shares the bucket of the first here; only its tables matter.
    assert shell.run("enforce", "--plan", "second.yaml").returncode == 0


def test_a_database_of_another_plan_is_never_taken_over(shell: Shell) -> None:
    plan = json.loads(shell.acme.plan().model_dump_json(by_alias=True))
    plan["definition"]["policyUid"] = "00000000-0000-0000-0000-00000000000f"
    (shell.acme.directory / "thief.yaml").write_text(yaml.safe_dump(plan))
    done = shell.run("install", "--plan", "thief.yaml", "--administrator-binding", "administrator")
    assert done.returncode == 1
    assert shell.run("enforce", "--plan", "plan.yaml").returncode == 0, "and the owner's plan still works"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"keep": "30d"}, "definition.categories[0].keep: '30d' is not a duration"),
        ({"keep": "P6Y"}, "definition.categories[0].maximum"),
        ({"tables": ["nothing"]}, "there is no table 'nothing'"),
        ({"surprise": 1}, "definition.categories[0].surprise"),
    ],
)
def test_a_bad_plan_is_refused_with_the_name_of_its_field_and_nothing_changes(
    shell: Shell, change: dict[str, object], says: str
) -> None:
    acme = shell.acme
    acme.call("old", days_ago(300), "requests")
    plan = yaml.safe_load((acme.directory / "plan.yaml").read_text())
    plan["definition"]["categories"][0].update(change)
    (acme.directory / "bad.yaml").write_text(yaml.safe_dump(plan))
    for command in (["plan"], ["enforce"], ["verify"], ["install", "--administrator-binding", "administrator"]):
        done = shell.run(*command, "--plan", "bad.yaml")
        assert done.returncode == 1, done.stdout + done.stderr
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1, "one sentence, no traceback"
    assert acme.left() == {"requests:old"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["enforce"],
        ["enforce", "--plan"],
        ["enforce", "--plan", "nowhere.yaml"],
        ["enforce", "--plan", "a\tb.yaml"],
        ["enforce", "--plan", "plan.yaml", "-o", "xml"],
        ["destroy"],
        ["verify", "--plan", "plan.yaml", "--observer-binding", "nonsense"],
        ["install", "--plan", "plan.yaml", "--administrator-binding", "nowhere"],
    ],
)
def test_wrong_usage_ends_with_1_and_one_sentence(shell: Shell, arguments: list[str]) -> None:
    done = shell.run(*arguments)
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_help_names_every_command_and_the_exit_codes(shell: Shell) -> None:
    done = subprocess.run(shell.command("--help"), timeout=300, check=False, **shell.options(NO_COLOR="1"))
    assert done.returncode == 0
    for word in ("plan", "enforce", "verify", "install", "Exit codes"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout
    assert "--plan" in shell.run("enforce", "--help").stdout
    bare = shell.run()
    assert (bare.returncode, bare.stderr) == (1, ""), "help is the answer, and no complaint without words"
    assert "enforce" in bare.stdout


def test_a_server_that_is_away_is_said_with_3(shell: Shell) -> None:
    port = shell.acme.directory / "acme-analytical-enforcer" / "port"
    original = port.read_text()
    port.write_text("1")
    try:
        done = shell.run("enforce", "--plan", "plan.yaml")
    finally:
        port.write_text(original)
    assert done.returncode == 3
    assert "Unreachable" in done.stdout


def test_asked_to_stop_it_finishes_the_batch_and_the_next_start_goes_on(shell: Shell) -> None:
    acme = shell.acme
    for day in range(31, 421, 10):
        acme.call(f"call-{day}", days_ago(day), "chat_logs")
    # A reader's lock on one of the last months holds the run there until it was asked to stop.
    with acme.login("app") as reader:
        reader.execute("BEGIN")
        reader.execute(
            "SELECT count(*) FROM public.chat_logs WHERE started_at BETWEEN %s AND %s", [days_ago(75), days_ago(65)]
        )
        process = subprocess.Popen(shell.command("enforce", "--plan", "plan.yaml"), **shell.options())
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("waiting"):
                process.send_signal(signal.SIGTERM)
                break
        stdout, _ = process.communicate(timeout=300)
        reader.execute("COMMIT")
    assert process.returncode == 2
    assert "Interrupted" in stdout
    left = acme.left()
    assert left
    assert shell.run("enforce", "--plan", "plan.yaml").returncode == 0
    assert acme.left() == set()
    outcomes = [link.outcome for link in acme.observer().evidence(10)]
    assert outcomes == ["Succeeded", "Interrupted"]


def test_nothing_that_is_printed_names_a_person_an_object_or_a_secret__X6(shell: Shell) -> None:
    acme = shell.acme
    acme.call("secret-caller", days_ago(200), "requests", "recordings", "chat_logs")
    secrets = {
        (acme.directory / "acme-analytical-enforcer" / "password").read_text(),
        (acme.directory / "acme-content-enforcer" / "AWS_SECRET_ACCESS_KEY").read_text(),
        "secret-caller",
    }
    for arguments in (["plan", "-o", "json"], ["enforce", "-o", "json"], ["verify", "-o", "json"]):
        done = shell.run(*arguments, "--plan", "plan.yaml")
        assert done.returncode == 0
        assert not [secret for secret in secrets if secret in done.stdout + done.stderr]


def test_the_program_of_the_job_tells_json_lines_and_a_summary(shell: Shell) -> None:
    acme = shell.acme
    acme.call("old", days_ago(200), "requests", "recordings")
    summary = acme.directory / "termination-log"
    summary.touch()
    begun = datetime.now(UTC)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tenant_retention.enforcement",
            "--plan",
            "plan.json",
            "--termination-log",
            str(summary),
        ],
        timeout=300,
        check=False,
        **shell.options(),
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    said = json.loads(summary.read_text())
    assert {line["runId"] for line in lines} == {said["runId"]}
    assert (lines[0]["event"], lines[-1]["event"]) == ("run.started", "run.finished")
    assert (said["outcome"], said["removed"]) == ("Succeeded", 2)
    assert datetime.fromisoformat(said["startedAt"]) >= begun - timedelta(seconds=1)


def test_the_page_about_the_shell_works_as_it_is_written(acme: LiveArchive, tmp_path: Path) -> None:
    """Its commands, in their order, on the example's plan as it is; the two bindings that it asks for are written by hand."""
    directory = tmp_path / "shell"
    shutil.copytree(ROOT / "examples" / "shell", directory)
    shutil.copytree(acme.directory / "administrator", directory / "administrator")
    shutil.copytree(acme.directory / "acme-content-enforcer", directory / "bindings" / "archive-content-enforcer")
    shell = Shell(replace(acme, directory=directory))
    page = (ROOT / "docs" / "shell.md").read_text()
    lines = [line.split("#")[0].split() for line in page.splitlines() if line.startswith("tenant-retention ")]
    commands = {line[1]: line[1:] for line in lines}
    assert list(commands) == ["install", "plan", "enforce", "verify", "orphans", "approve"]
    try:
        installed = shell.run(*commands.pop("install"))
        assert installed.returncode == 0, installed.stderr
        written = {path.name for path in (directory / "bindings").iterdir()}
        assert written == {
            f"archive-{name}" for name in ("analytical-enforcer", "analytical-app", "analytical-observer")
        } | {"archive-content-enforcer"}
        with connect_as(server_access(read_postgres_binding(directory / "bindings" / "archive-analytical-app"))) as app:
            for name, days in (("old", 181), ("young", 179)):
                app.execute(
                    "INSERT INTO requests (id, session_id, started_at) VALUES (%s, %s, %s)",
                    (name, name, days_ago(days)),
                )
        for command in commands.values():
            done = shell.run(*command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        with connect_as(server_access(read_postgres_binding(directory / "bindings" / "archive-analytical-app"))) as app:
            assert app.execute("SELECT id FROM requests").fetchall() == [("young",)]
    finally:
        with connect_as(acme.server) as administrator:
            drop_database(administrator, StoreIdentity("my-server", "acme", "archive", "Analytical").database())
