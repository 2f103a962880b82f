"""Summaries that fit a termination message, exit codes, the size of batches, and the price of starting the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import CategoryRun, GuardState
from tenant_retention.enforcement.batches import FEWEST_ROWS, MOST_ROWS, BatchSize
from tenant_retention.enforcement.results import (
    SUMMARY_BYTES,
    CategoryResult,
    Outcome,
    RunResult,
    StoreResult,
    summarize,
)
from tests.support.enforcement import NOW, archive, plan_of

ROOT = Path(__file__).resolve().parents[2]


def category(name: str, removed: int, failure: str | None = None) -> CategoryResult:
    start = CategoryRun(
        category=name,
        remove_through=NOW,
        total=10,
        candidates=removed,
        surplus=0,
        held=0,
        overdue=0,
        anomalies=0,
        oldest=NOW,
        guard=GuardState.CLEAR,
    )
    return CategoryResult(start, (), removed, failure)


def result(*stores: StoreResult) -> RunResult:
    return RunResult(uuid4(), Mode.ENFORCE, NOW, NOW + timedelta(minutes=2), stores)


def test_a_small_summary_says_everything() -> None:
    run = result(StoreResult("Analytical", Outcome.SUCCEEDED, categories=(category("recordings", 7),)))
    said = json.loads(summarize(run))
    assert said["runId"] == str(run.run_id)
    assert (said["outcome"], said["removed"]) == ("Succeeded", 7)
    assert said["stores"][0]["categories"][0]["removed"] == 7


@given(st.lists(st.lists(st.tuples(st.text(max_size=63), st.integers(0, 10**12)), max_size=60), max_size=60))
def test_a_summary_fits_the_termination_message_whatever_the_run(stores: list[list[tuple[str, int]]]) -> None:
    run = result(
        *(
            StoreResult(f"Purpose{number}", Outcome.SUCCEEDED, categories=tuple(category(*each) for each in categories))
            for number, categories in enumerate(stores)
        )
    )
    text = summarize(run)
    assert len(text.encode()) <= SUMMARY_BYTES
    assert "\n" not in text
    said = json.loads(text)
    assert said["removed"] == sum(removed for categories in stores for _, removed in categories)
    assert said["outcome"] == "Succeeded"


def test_what_failed_is_said_before_what_went_well() -> None:
    quiet = [category(f"quiet-{number}", 0) for number in range(60)]
    run = result(StoreResult("Analytical", Outcome.INCOMPLETE, categories=(*quiet, category("cdr", 3, "LockTimeout"))))
    said = json.loads(summarize(run))
    assert [each["category"] for each in said["stores"][0]["categories"]] == ["cdr"]


@pytest.mark.parametrize(
    ("outcomes", "worst", "code"),
    [
        ((Outcome.SUCCEEDED,), Outcome.SUCCEEDED, 0),
        ((Outcome.SUCCEEDED, Outcome.APPROVAL_REQUIRED), Outcome.APPROVAL_REQUIRED, 0),
        ((Outcome.INCOMPLETE, Outcome.APPROVAL_REQUIRED), Outcome.INCOMPLETE, 2),
        ((Outcome.INVALID, Outcome.INCOMPLETE), Outcome.INVALID, 1),
        ((Outcome.UNREACHABLE, Outcome.INVALID), Outcome.UNREACHABLE, 3),
        ((Outcome.INTERRUPTED, Outcome.SUCCEEDED), Outcome.INTERRUPTED, 2),
    ],
)
def test_a_run_ends_as_its_gravest_store(outcomes: tuple[Outcome, ...], worst: Outcome, code: int) -> None:
    run = result(*(StoreResult("Any", outcome) for outcome in outcomes))
    assert run.outcome is worst
    assert run.outcome.exit_code() == code


def test_batches_grow_to_the_time_they_may_take_and_shrink_when_the_server_is_slow() -> None:
    size = BatchSize(0.15)
    for _ in range(20):
        size = size.after(size.rows, size.rows / 100_000)
    assert 13_000 <= size.rows <= 17_000, "100,000 rows a second make 15,000 in 150 ms"
    for _ in range(20):
        size = size.after(size.rows, size.rows / 2_000)
    assert 250 <= size.rows <= 350, "2,000 rows a second make 300"


def test_one_lucky_or_unlucky_batch_does_not_throw_the_size_about() -> None:
    size = BatchSize(0.15, 1_000)
    assert size.after(1_000, 0.000001).rows == 2_000
    assert size.after(1_000, 60.0).rows == 500
    assert size.after(1_000, 0.0).rows == 2_000


def test_a_batch_that_was_not_full_says_nothing_about_size() -> None:
    size = BatchSize(0.15, 1_000)
    assert size.after(3, 0.001) == size
    assert size.after(3, 10.0).rows == 500, "but a slow one does"


@given(st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 1000))))
def test_a_batch_always_stays_inside_its_bounds(history: list[tuple[int, float]]) -> None:
    size = BatchSize(0.15)
    for deleted, seconds in history:
        size = size.after(deleted, seconds)
        assert FEWEST_ROWS <= size.rows <= MOST_ROWS


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tenant_retention.enforcement", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_program_refuses_wrong_usage_and_a_bad_plan_with_1_so_that_a_job_does_not_try_again(tmp_path: Path) -> None:
    assert program().returncode == 1
    assert program("--surprise").returncode == 1
    summary = tmp_path / "termination-log"
    summary.touch()
    done = program("--plan", str(tmp_path / "missing.json"), "--termination-log", str(summary))
    assert done.returncode == 1
    line = json.loads(done.stderr.splitlines()[-1])
    assert (line["event"], line["level"], line["reason"]) == ("run.failed", "warning", "InvalidPlan")
    said = json.loads(summary.read_text())
    assert (said["outcome"], said["reason"]) == ("Invalid", "InvalidPlan")
    assert "missing.json" in said["message"]


def test_the_program_names_the_binding_that_is_not_mounted(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(plan_of(archive()).model_dump_json(by_alias=True).replace("/bindings/", f"{tmp_path}/"))
    done = program("--plan", str(plan))
    assert done.returncode == 1
    assert "acme-analytical-enforcer: is no directory" in done.stderr


def test_a_database_that_is_away_ends_the_program_with_3(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(plan_of(archive()).model_dump_json(by_alias=True).replace("/bindings/", f"{tmp_path}/"))
    analytical = {"type": "postgresql", "host": "127.0.0.1", "port": "1", "database": "acme", "username": "a"}
    content = {"type": "s3", "BUCKET_NAME": "b", "AWS_ENDPOINT_URL": "https://127.0.0.1:1", "AWS_DEFAULT_REGION": "r"}
    content |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s3cret-word"}
    for name, files in (
        ("acme-analytical-enforcer", analytical | {"password": "s3cret-word", "ca.crt": "none"}),
        ("acme-content-enforcer", content),
    ):
        (tmp_path / name).mkdir()
        for key, text in files.items():
            (tmp_path / name / key).write_text(text)
    summary = tmp_path / "termination-log"
    summary.touch()
    done = program("--plan", str(plan), "--termination-log", str(summary))
    assert done.returncode == 3, done.stderr
    assert json.loads(summary.read_text())["outcome"] == "Unreachable"
    assert "s3cret-word" not in done.stderr + summary.read_text()


def test_the_job_pays_for_nothing_that_it_does_not_use() -> None:
    watched = [
        "kopf",
        "kubernetes",
        "typer",
        "rich",
        "yaml",
        "cronsim",
        "prometheus_client",
        "cryptography",
        "phonenumbers",
    ]
    script = (
        "import re, sys, time\n"
        "from pathlib import Path\n"
        "import tenant_retention.enforcement.program\n"
        f"loaded = [name for name in {watched!r} if name in sys.modules]\n"
        # Not ru_maxrss: that one remembers the size of the process that forked this one.
        "peak = re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]\n"
        "print(time.process_time(), int(peak) // 1024, *loaded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, mebibytes, *loaded = done.stdout.split()
    assert loaded == []
    # Measured 0.9 s and 62 MiB on a busy machine; twice that would be somebody's new import.
    assert float(seconds) < 2.5
    assert int(mebibytes) < 100
