"""The comparison of objects and rows, against a model that looks everything up one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.definition import ARCHIVE, ClockEvent, ExtendedDefinition, RetentionDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.orphans import (
    SAMPLE,
    LongestStay,
    ObjectRow,
    StoredObject,
    find_orphans,
    longest_stay,
)
from tests.support.enforcement import archive

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = st.sampled_from(["a", "a/b", "k:1", "", "1:k"])
VERSIONS = st.sampled_from(["v1", "v2", "null"])
OBJECTS = st.lists(
    st.builds(
        StoredObject,
        KEYS,
        st.one_of(st.none(), VERSIONS),
        st.sampled_from([NOW - timedelta(days=1), NOW, None]),
        st.booleans(),
    ),
    unique_by=lambda stored: (stored.key, stored.version),
)
ROWS = st.lists(st.builds(ObjectRow, KEYS, st.one_of(st.none(), VERSIONS)), unique=True)


def named_by(stored: StoredObject, row: ObjectRow) -> bool:
    return stored.key == row.key and row.version in {None, stored.version}


@given(OBJECTS, ROWS)
def test_an_object_is_an_orphan_when_no_row_names_it_and_a_row_when_no_object_is_there(
    objects: list[StoredObject], rows: list[ObjectRow]
) -> None:
    report = find_orphans(objects, rows, NOW, unnamed=tuple, missing=tuple)
    live = [stored for stored in objects if not stored.delete_marker]
    unnamed = [stored for stored in live if not any(named_by(stored, row) for row in rows)]
    settled = [stored for stored in unnamed if stored.modified is not None and stored.modified < NOW]
    lost = [row for row in rows if not any(named_by(stored, row) for stored in live)]
    assert (report.objects, report.rows, report.delete_markers) == (len(live), len(rows), len(objects) - len(live))
    assert (report.objects_without_row, report.unsettled) == (len(settled), len(unnamed) - len(settled))
    assert set(report.object_sample) == set(settled)
    assert set(report.row_sample) == set(lost)
    assert report.rows_without_object == len(lost)


def test_a_report_counts_everything_but_carries_only_a_sample_of_keys() -> None:
    objects = [StoredObject(str(number), "v", NOW - timedelta(days=1)) for number in range(SAMPLE + 50)]
    rows = [ObjectRow(f"row-{number}", None) for number in range(SAMPLE + 20)]
    report = find_orphans(objects, rows, NOW, unnamed=tuple, missing=tuple)
    assert (report.objects_without_row, report.rows_without_object) == (SAMPLE + 50, SAMPLE + 20)
    assert (len(report.object_sample), len(report.row_sample)) == (SAMPLE, SAMPLE)


def test_what_answers_to_its_key_after_all_is_no_orphan_although_the_listing_or_the_first_reading_lacks_it() -> None:
    objects = [StoredObject(key, "v", NOW - timedelta(days=1)) for key in ("row came late", "no row")]
    rows = [ObjectRow(key, None) for key in ("lost by the listing", "no object")]
    report = find_orphans(
        objects,
        rows,
        NOW,
        unnamed=lambda asked: [each for each in asked if each.key == "no row"],
        missing=lambda asked: [each for each in asked if each.key == "no object"],
    )
    assert (report.objects_without_row, report.rows_without_object) == (1, 1)
    assert (report.object_sample, report.row_sample) == ((objects[1],), (rows[1],))


def test_only_what_seems_to_be_alone_is_asked_for_and_some_thousands_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenant_retention.domain.orphans._ASKED_AT_ONCE", 2)
    questions: list[list[str]] = []

    def alone(asked: Sequence[ObjectRow]) -> Sequence[ObjectRow]:
        questions.append([each.key for each in asked])
        return asked

    rows = [ObjectRow(key, None) for key in "abcde"]
    report = find_orphans([StoredObject("c", "v", NOW)], rows, NOW, unnamed=tuple, missing=alone)
    assert report.rows_without_object == 4
    assert questions == [["a", "b"], ["d", "e"]]


def test_the_rows_are_read_to_their_end_before_the_first_object_is() -> None:
    order: list[str] = []

    def rows() -> Iterator[ObjectRow]:
        yield ObjectRow("k", None)
        order.append("rows read")

    def objects() -> Iterator[StoredObject]:
        order.append("objects begun")
        yield StoredObject("k", "v", NOW)

    find_orphans(objects(), rows(), NOW, unnamed=tuple, missing=tuple)
    assert order == ["rows read", "objects begun"]


def with_recordings(**changes: object) -> RetentionDefinition:
    """An archive whose only category with objects is like this."""
    made = archive()
    changed = tuple(each.model_copy(update=changes) if each.objects else each for each in made.categories)
    return made.model_copy(update={"categories": changed})


FIVE, SEVEN = Period.parse("P5Y"), Period.parse("P7Y")


@pytest.mark.parametrize(
    ("changes", "stay"),
    [
        ({}, LongestStay((FIVE,), from_birth=True)),
        ({"extended": ExtendedDefinition(keep="P6Y", maximum="P7Y")}, LongestStay((SEVEN, FIVE), from_birth=True)),
        ({"clock_event": ClockEvent.CLOSED}, LongestStay((FIVE,), from_birth=False)),
        ({"maximum": None}, None),
        ({"objects": None}, None),
    ],
)
def test_a_bucket_keeps_nothing_longer_than_the_longest_max_of_the_categories_that_use_it__T6_M10(
    changes: dict[str, object], stay: LongestStay | None
) -> None:
    assert longest_stay(with_recordings(**changes), "Content") == stay
    assert longest_stay(archive(), "Other") is None
    of_files = longest_stay(archive(), ARCHIVE)
    assert of_files == LongestStay((FIVE,), from_birth=True), "files of the archive hold what may be archived"


@pytest.mark.parametrize(("seconds", "over"), [(-1, False), (0, True), (1, True)])
def test_a_stay_is_over_at_max_from_the_birth_or_where_it_may_be_in_use_from_its_replacement__T6_M7(
    seconds: int, over: bool
) -> None:
    born, replaced = datetime(2020, 2, 29, 10, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
    stored = StoredObject("k", "v1", born, replaced=replaced)
    stay, in_use = LongestStay((Period.parse("P1Y"), FIVE), from_birth=True), LongestStay((FIVE,), from_birth=False)
    moment = timedelta(seconds=seconds)
    assert stay.is_over(stored, datetime(2025, 3, 1, tzinfo=UTC) + moment) is over
    assert in_use.is_over(stored, datetime(2028, 1, 1, tzinfo=UTC) + moment) is over
    assert not in_use.is_over(StoredObject("k", "v1", born), datetime(2099, 1, 1, tzinfo=UTC)), "it may be in use"
    assert not stay.is_over(StoredObject("k", "v1", None), datetime(2099, 1, 1, tzinfo=UTC)), "its time is not known"
