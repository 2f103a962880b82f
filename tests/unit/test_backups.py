"""Backups as values: when one is due, when it goes, what is one at all; and that a sealed file opens only as what it was."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest

from tenant_retention.adapters.sealing import seal, signed, unseal, verified
from tenant_retention.domain.backups import (
    UNFINISHED_AFTER,
    Frequency,
    StoredBackup,
    StoredCopy,
    expired,
    is_backup_id,
    is_due,
    key_id,
    manifest_key,
    new_backup_id,
    newest,
    overdue,
    stored_backups,
)
from tenant_retention.domain.copies import RUN_INTERVAL
from tenant_retention.domain.errors import Invalid
from tenant_retention.enforcement.backup_results import BackupResult, Problem, summarize_backup
from tenant_retention.enforcement.results import SUMMARY_BYTES, Outcome

TAKEN = datetime(2028, 1, 31, 2, 10, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY, OTHER = bytes(32), bytes([1]) * 32


def backup(taken: datetime = TAKEN, *, complete: bool = True, modified: datetime | None = None) -> StoredBackup:
    """What is stored of a backup."""
    name = new_backup_id(taken, b"abcd")
    keys = [f"backups/{name}/000000", *([manifest_key(name)] if complete else [])]
    (found,) = stored_backups([StoredCopy(key, None, modified or taken, 7) for key in keys], taken)
    return found


@pytest.mark.parametrize(
    "keep, end", [("P14D", TAKEN + timedelta(days=14)), ("P1M", datetime(2028, 3, 1, tzinfo=UTC))], ids=["P14D", "P1M"]
)
def test_a_backup_goes_at_the_end_of_its_time_and_not_a_second_before__M10_X9(keep: str, end: datetime) -> None:
    found = backup()
    assert not expired(found, keep, end - SECOND)
    assert expired(found, keep, end)
    assert not overdue(found, keep, end + RUN_INTERVAL - SECOND)
    assert overdue(found, keep, end + RUN_INTERVAL)


def test_what_has_no_manifest_goes_when_nobody_can_be_writing_it_any_more() -> None:
    found = backup(complete=False)
    assert newest([found]) is None
    assert not expired(found, "P14D", TAKEN + UNFINISHED_AFTER - SECOND)
    assert expired(found, "P14D", TAKEN + UNFINISHED_AFTER)


@pytest.mark.parametrize("name", ["", "x", "99999999T999999Z-00000000", "../20280131T021005Z-61626364", "a/b"])
def test_a_name_that_is_no_backup_is_removed_by_the_age_of_its_objects(name: str) -> None:
    assert not is_backup_id(name)
    found = stored_backups([StoredCopy(f"backups/{name}/manifest.json", None, TAKEN, 1)], TAKEN)[0]
    assert not found.complete
    assert not found.named
    assert expired(found, "P14D", TAKEN + UNFINISHED_AFTER)


def test_a_name_that_claims_to_be_younger_than_its_objects_lives_no_longer() -> None:
    found = backup(TAKEN + timedelta(days=300), modified=TAKEN)
    assert found.taken_at == TAKEN
    assert expired(found, "P14D", TAKEN + timedelta(days=14))


def test_a_manifest_that_was_deleted_makes_no_backup_even_where_a_marker_stays() -> None:
    name = new_backup_id(TAKEN, b"abcd")
    marker = StoredCopy(manifest_key(name), "2", TAKEN, 0, delete_marker=True)
    (found,) = stored_backups([StoredCopy(f"backups/{name}/000000", "1", TAKEN, 7), marker], TAKEN)
    assert not found.complete


@pytest.mark.parametrize("frequency, days", [(Frequency.DAILY, 1), (Frequency.WEEKLY, 7)])
def test_a_backup_is_due_every_day_or_week_whatever_the_minute_of_the_night(frequency: Frequency, days: int) -> None:
    assert is_due([], frequency, TAKEN)
    assert is_due([backup(complete=False)], frequency, TAKEN)
    assert not is_due([backup()], frequency, TAKEN + timedelta(days=days, hours=-13))
    assert is_due([backup()], frequency, TAKEN + timedelta(days=days, hours=-3))


def test_a_sealed_file_opens_as_it_was() -> None:
    size = 3_000_000
    for content in (b"", b"x", os.urandom(size), b"row\n" * size):
        blocks = [content[at : at + 100_000] for at in range(0, len(content), 100_000)]
        sealed = b"".join(seal(blocks, KEY, b"file 1"))
        pieces = [sealed[at : at + 70_001] for at in range(0, len(sealed), 70_001)]
        assert b"".join(unseal(pieces, KEY, b"file 1")) == content
        assert content[:50] not in sealed or len(content) < 50


def _broken(sealed: bytes) -> Iterator[tuple[str, bytes, bytes, bytes]]:
    chunk = 4 + int.from_bytes(sealed[36:40])
    first, second = sealed[36 : 36 + chunk], sealed[36 + chunk : 36 + 2 * chunk]
    yield "another key", sealed, OTHER, b"file 1"
    yield "another file", sealed, KEY, b"file 2"
    yield "cut in a chunk", sealed[:-1], KEY, b"file 1"
    yield "cut between chunks", sealed[: 36 + chunk], KEY, b"file 1"
    yield "longer", sealed + b"x", KEY, b"file 1"
    yield "empty", b"", KEY, b"file 1"
    yield "no magic", b"TRB2" + sealed[4:], KEY, b"file 1"
    yield "chunks changed places", sealed[:36] + second + first + sealed[36 + 2 * chunk :], KEY, b"file 1"
    yield "one bit", sealed[:500] + bytes([sealed[500] ^ 1]) + sealed[501:], KEY, b"file 1"


def test_what_was_cut_off_moved_changed_or_sealed_by_another_key_does_not_open__T8() -> None:
    sealed = b"".join(seal([os.urandom(3_000_000)], KEY, b"file 1"))
    cases = list(_broken(sealed))
    assert len(cases) == 9
    for what, content, key, context in cases:
        with pytest.raises(Invalid, match="choose another backup") as refused:
            list(unseal([content], key, context))
        assert refused.value.reason == "BackupBroken", what


def test_two_files_of_equal_content_look_different() -> None:
    assert b"".join(seal([b"same"], KEY, b"1")) != b"".join(seal([b"same"], KEY, b"1"))


def test_a_manifest_that_was_changed_or_signed_by_another_key_is_refused() -> None:
    content = signed('{"a":1}', KEY)
    assert verified(content, KEY) == '{"a":1}'
    for changed, key in ((content.replace(b"1", b"2", 1), KEY), (content, OTHER), (b"", KEY), (b"\n", KEY)):
        with pytest.raises(Invalid) as refused:
            verified(changed, key)
        assert refused.value.reason == "BackupBroken"


def test_a_fingerprint_is_of_one_key_alone() -> None:
    assert key_id(KEY) != key_id(OTHER)
    assert len(key_id(KEY)) == 16


def test_a_file_of_any_size_is_sealed_and_opened_in_little_memory() -> None:
    block = os.urandom(1 << 18)
    tracemalloc.start()
    try:
        rows = islice(iter(lambda: block, b""), 400)
        total = sum(len(piece) for piece in unseal(seal(rows, KEY, b"f"), KEY, b"f"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 400 * len(block)
    assert peak < 20_000_000, "a hundred megabytes went through"


def test_the_termination_message_of_a_backup_fits_and_tells_the_gravest_failure() -> None:
    problems = (Problem(Outcome.UNREACHABLE, "ServerUnreachable", "ä" * 5000), Problem(Outcome.INVALID, "Other", "x"))
    result = BackupResult(UUID(int=1), TAKEN, TAKEN, "P14D", None, 2, (backup(), backup(complete=False)), problems)
    text = summarize_backup(result)
    assert len(text) <= SUMMARY_BYTES
    assert '"outcome":"Unreachable","' in text
    assert '"reason":"ServerUnreachable"' in text
    assert '"made":null,"removed":2,"kept":1,"bytes":21,"oldest":"2028-01-31T02:10:05+00:00","newest":"2028' in text
