"""``tenant-retention erase``: a person's request from a shell: looked at, asked about, done, and never told who (T7, P14, X6)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.test_engine_cli import Done, run_in
from tests.stores.test_requests_contract import ALL, with_people

CALLER, DIGITS = "+31612345678", "612345678"


@pytest.fixture
def acme_with_people(acme: LiveArchive) -> LiveArchive:
    """Two people called; one of them asks."""
    acme.define(with_people(acme.definition.installation))
    acme.call("1", days_ago(2), *ALL)
    acme.call("2", days_ago(2), *ALL)
    with acme.owner() as owner:
        owner.execute("UPDATE public.requests SET caller = '+31 6 1234-5678' WHERE id = '1'")
    return acme


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    """Says who asks."""
    (tmp_path / "phones").write_text("06 12345678\n")
    return tmp_path


def erase(acme: LiveArchive, subject: Path, *arguments: str) -> Done:
    """The command in the archive's directory."""
    options = ("--plan", "plan.json", "--administrator-binding", "administrator", "--region", "NL")
    done = run_in(acme.directory, "erase", *options, "--subject", str(subject), *arguments)
    assert DIGITS not in done.stdout + done.stderr
    return done


def test_a_dry_run_shows_the_rows_and_leaves_no_trace_of_the_request__T7_X7(
    acme_with_people: LiveArchive, subject: Path
) -> None:
    acme = acme_with_people
    done = erase(acme, subject, "--action", "Erase", "--dry-run", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["done"], told["outcome"]) == (False, "DryRun")
    rows = {each["table"]: (each["act"], each["left"]) for each in told["databases"][0]["categories"]}
    assert rows == dict.fromkeys(ALL, ("Delete", 1))
    with acme.owner() as owner:
        assert owner.execute("SELECT count(*) FROM retention.request").fetchone() == (0,)
        assert owner.execute("SELECT count(*) FROM retention.request_row").fetchone() == (0,)
    assert len(acme.left()) == 8


def test_what_was_asked_is_done_after_a_yes_and_the_rest_is_untouched__T7_P14(
    acme_with_people: LiveArchive, subject: Path
) -> None:
    acme = acme_with_people
    refused = erase(acme, subject, "--action", "Erase")
    assert (refused.returncode, "say --yes" in refused.stderr) == (1, True)
    assert len(acme.left()) == 8
    done = erase(acme, subject, "--action", "Erase", "--yes")
    assert done.returncode == 0, done.stderr
    assert (acme.left(), acme.keys()) == ({f"{name}:2" for name in ALL}, {"audio/2"})


def test_what_a_hold_keeps_is_told_by_the_exit_code_and_goes_with_the_next_night__X3(
    acme_with_people: LiveArchive, subject: Path
) -> None:
    acme = acme_with_people
    acme.hold("1")
    done = erase(acme, subject, "--action", "Erase", "--yes")
    assert done.returncode == 2, done.stderr
    assert [line.split()[2:6] for line in done.stdout.splitlines()[1:]] == [
        ["chat_logs", "Delete", "1", "1"],
        ["requests", "Delete", "1", "1"],
        ["surveys", "Delete", "1", "1"],
        ["recordings", "Delete", "1", "1"],
    ]
    with acme.owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    acme.run()
    assert acme.left() == {f"{name}:2" for name in ALL}


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("phones", "anonymous\n", "phones, line 1"),
        ("phones", "12\n", "phones, line 1"),
        ("emails", "%@example.org\n", "emails, line 1"),
        ("names", "Anna\n", "a key is none of"),
    ],
)
def test_what_could_be_anybody_is_refused_before_anything_is_asked__P12(
    acme_with_people: LiveArchive, subject: Path, file: str, content: str, words: str
) -> None:
    (subject / "phones").unlink()
    (subject / file).write_text(content)
    done = erase(acme_with_people, subject, "--action", "Anonymize", "--yes")
    assert (done.returncode, words in done.stderr) == (1, True)
    assert (len(acme_with_people.left()), acme_with_people.callers()) == (8, {"1", "2"})


def test_a_directory_that_is_none_is_named__P12(acme_with_people: LiveArchive, subject: Path) -> None:
    done = erase(acme_with_people, subject / "nowhere", "--action", "Anonymize", "--yes")
    assert (done.returncode, "is no directory" in done.stderr) == (1, True)
