"""tenant-retention archive search and restore, where the archive is a bucket with files (D3, T5, T6)."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.stores.enforcement_archive import LiveArchive
from tests.stores.file_archive import RECORDS, SeenArchive, filed
from tests.stores.test_engine_cli import Done, Shell

__all__ = ["filed"]


def command(acme: LiveArchive, name: str, *options: str) -> Done:
    """``tenant-retention archive <name>`` on the records of the plan."""
    return Shell(acme).run("archive", name, "--plan", "plan.json", "--category", RECORDS, *options)


@pytest.fixture
def archived(acme: LiveArchive, filed: SeenArchive) -> SeenArchive:
    """Two calls of one day a hundred days ago, and one of another day, lie in files."""
    noon = (datetime.now(UTC) - timedelta(days=100)).replace(hour=12)
    acme.call("one", noon, "requests", "surveys")
    acme.call("two", noon + timedelta(seconds=1), "requests")
    acme.call("three", noon - timedelta(days=20), "requests")
    acme.run()
    assert (len(filed.archived()), acme.left()) == (4, set())
    return filed


def test_what_lies_in_files_is_found_by_one_command_that_tells_nobody_whom_it_looks_for__D3_T5_X6(
    acme: LiveArchive, archived: SeenArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(archived.manifests()) == 3
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"+47two\n")))
    found = command(acme, "search", "--column", "caller", "--equals-from", "-")
    assert found.returncode == 0, found.stderr
    heads, row = (line.split("\t") for line in found.stdout.splitlines())
    assert dict(zip(heads, row, strict=True))["id"] == "two"
    since = (datetime.now(UTC) - timedelta(days=105)).isoformat()
    document = json.loads(command(acme, "search", "--from", since, "--limit", "1", "-o", "json").stdout)
    assert ([each["id"] for each in document["rows"]], document["more"]) == (["one"], True), "oldest first"


def test_what_lies_in_files_comes_back_for_a_time_and_is_then_in_one_place__D3_T5(
    acme: LiveArchive, archived: SeenArchive
) -> None:
    day = datetime.now(UTC) - timedelta(days=100)
    span = ("--from", (day - timedelta(days=1)).isoformat(), "--to", (day + timedelta(days=1)).isoformat())
    back = command(acme, "restore", *span, "--for", "P2D")
    assert (back.returncode, back.stdout) == (0, "restored 3 rows, refused 0\n"), back.stderr
    assert acme.left() == {"requests:one", "requests:two", "surveys:one"}
    assert acme.callers() == {"one", "two"}, "with everything that they said"
    assert archived.archived() == {"requests:three"}
    acme.run()
    assert len(acme.left()) == 3, "for two days no night takes them away again"
    assert (archived.archived(), len(archived.manifests())) == ({"requests:three"}, 1)
    archived.tidy()
    assert command(acme, "restore", *span).stdout == "restored 0 rows, refused 0\n"
    with acme.owner() as owner:
        owner.execute("UPDATE retention.archive_pause SET until = now()")
    acme.run()
    assert (acme.left(), len(archived.archived())) == (set(), 4)


def test_a_file_that_somebody_changed_or_whose_keys_are_used_again_stays_as_it_is__T6(
    acme: LiveArchive, archived: SeenArchive
) -> None:
    everything = ("--from", "2000-01-01", "--to", "2100-01-01")
    acme.call("three", archived.manifests()[0].born_from, "requests")
    again = command(acme, "restore", *everything)
    assert (again.returncode, again.stdout) == (2, "restored 3 rows, refused 1\n"), again.stderr
    assert archived.archived() == {"requests:three"}
    [(key,)] = archived.rows("SELECT key FROM retention.archive_file WHERE state = 'Kept'")
    archived.client.put_object(archived.bucket, key, io.BytesIO(b"no parquet"), 10)
    broken = command(acme, "search")
    assert broken.returncode == 1
    assert "a file of the archive is broken" in broken.stderr


def test_the_look_for_orphans_knows_the_files_of_the_archive__T6(acme: LiveArchive, archived: SeenArchive) -> None:
    clean = Shell(acme).run("orphans", "--plan", "plan.json", "-o", "json")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    buckets = {each["purpose"]: each for each in json.loads(clean.stdout)["buckets"]}
    assert (buckets["Archive"]["objects"], buckets["Archive"]["rows"]) == (6, 6), "files with their manifests"
    gone = archived.manifests()[0].key
    for key, version in archived.versions():
        if key == gone:
            archived.client.remove_object(archived.bucket, key, version)
    found = Shell(acme).run("orphans", "--plan", "plan.json", "-o", "json")
    assert found.returncode == 2
    buckets = {each["purpose"]: each for each in json.loads(found.stdout)["buckets"]}
    assert buckets["Archive"]["rowsWithoutObject"] == 1, "somebody deleted a file"
