"""Log files (M5): what a profile may say of them, how a run counts them, and that nobody takes them for orphans."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import TenantServer
from tenant_retention.adapters.s3.connection import Answer
from tenant_retention.adapters.s3.files import _clock, _file
from tenant_retention.adapters.s3.uploads import parsed
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.category_status import Counts, category_rows
from tenant_retention.domain.definition import CategoryState
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.evidence import CategoryEvidence
from tenant_retention.domain.ports.files import FileCount
from tenant_retention.domain.ports.observation import CategoryObservation
from tenant_retention.domain.profile_check import check_profile
from tenant_retention.domain.topology import needed_stores
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome, RunResult
from tenant_retention.enforcement.world import Stores
from tests.support.enforcement import NOW, RecordedWorld, plan_of
from tests.support.log_files import LOGS, archive_with_logs

DAY = timedelta(days=1)


def files(name: str, prefix: str, **more: object) -> dict[str, object]:
    rule = {"default": "P1Y", "max": "P2Y", "clock": {"event": "ObjectLastModified"}}
    return {"name": name, **rule, "objects": {"prefix": prefix}, **more}


def profile(*categories: dict[str, object]) -> RetentionProfileSpec:
    return RetentionProfileSpec.from_object({"categories": list(categories)})


def test_files_alone_need_a_database_that_decides_and_a_bucket__M5() -> None:
    policy = TenantRetentionPolicySpec.from_object({"profileRef": {"name": "logs"}})
    assert needed_stores(profile(files("logs", "logs/")), policy) == {"Analytical": "PostgreSQL", "Content": "S3"}


@pytest.mark.parametrize(
    "categories, words",
    [
        ((files("logs", "logs/"), files("api", "logs/api/")), "prefix logs/api/ overlaps logs/ of category logs"),
        ((files("api", "logs/api/"), files("logs", "logs/")), "prefix logs/ overlaps logs/api/ of category api"),
        ((files("logs", "logs/", clock={"event": "Created"}),), "the event must be ObjectLastModified"),
        (
            (files("records", "r/"), files("logs", "logs/", contentOf="records")),
            "no record that they could be content of",
        ),
    ],
)
def test_a_prefix_is_one_categorys_alone__M5_X1(categories: tuple[dict[str, object], ...], words: str) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        check_profile(profile(*categories))
    assert refused.value.reason == "ProfileInvalid"


def test_prefixes_beside_each_other_are_fine__M5() -> None:
    check_profile(profile(files("logs", "logs/"), files("more", "logs-more/")))


@given(st.lists(st.integers(0, 400 * 86400), max_size=60), st.lists(st.integers(0, 400 * 86400), max_size=4))
def test_counts_up_to_an_edge_are_exact__M5(ages: list[int], edges: list[int]) -> None:
    at = [NOW - timedelta(seconds=edge) for edge in edges]
    counted = FileCount(at)
    modified = [NOW - timedelta(seconds=age) for age in ages]
    for each in modified:
        counted.add(each)
    spans = counted.spans()
    assert sum(span.files for span in spans) == len(modified)
    for edge in at:
        assert sum(span.files for span in spans if span.newest <= edge) == sum(each <= edge for each in modified)
        assert all(span.newest <= edge or span.oldest > edge for span in spans)


def test_what_a_store_cut_off_its_times_makes_no_file_older__M5_M8() -> None:
    def modified(text: str) -> datetime:
        body = f"<R><Version><Key>logs/a</Key><LastModified>{text}</LastModified></Version></R>"
        return _file(parsed(Answer(200, body), "list")[0], encoded=False).modified

    assert modified("2026-11-22T01:37:00Z") == datetime(2026, 11, 22, 1, 37, 0, 999_999, UTC)
    assert modified("2026-11-22T01:37:00.123Z") == datetime(2026, 11, 22, 1, 37, 0, 123_999, UTC)
    assert modified("2026-11-22T01:37:00.123456Z") == datetime(2026, 11, 22, 1, 37, 0, 123_456, UTC)
    assert _clock("Sun, 22 Nov 2026 01:37:00 GMT") == datetime(2026, 11, 22, 1, 37, tzinfo=UTC)
    assert _clock("yesterday") is None
    assert _clock(None) is None


def night(bucket: InMemoryContentBucket, server: TenantServer | None = None) -> RunResult:
    rules = archive_with_logs()
    made = server or TenantServer(rules, "Analytical", lambda: NOW)
    bucket.now = lambda: NOW
    stores = Stores({"Analytical": InMemoryEnforcementDatabase(made)}, {"Content": bucket})
    return expire(plan_of(rules), stores, uuid4(), replace(RecordedWorld().world(), now=lambda: NOW))


def told(result: RunResult) -> CategoryEvidence:
    (store,) = result.stores
    assert store.evidence is not None
    return next(each for each in store.evidence.categories if each.category == LOGS)


@pytest.mark.parametrize(
    "age, goes",
    [
        # A year before 2026-11-22 01:37 is 365 days before it.
        (timedelta(days=365), True),
        (timedelta(days=365) - timedelta(seconds=1), False),
        (timedelta(days=183), False),
        (timedelta(days=729), True),
    ],
)
def test_a_file_goes_at_its_keep_to_the_second__M5_X9(age: timedelta, goes: bool) -> None:
    bucket = InMemoryContentBucket({("logs/a", "v1")}, modified={"logs/a": NOW - age})
    assert told(night(bucket)).acted == goes
    assert (not bucket.objects) == goes


def test_a_marker_outlives_the_version_that_the_store_would_not_delete__M5() -> None:
    bucket = InMemoryContentBucket({("logs/a", "v1"), ("logs/a", "v2")}, markers={("logs/a", "v2")})
    bucket.modified["logs/a"] = NOW - 400 * DAY
    bucket.retained[("logs/a", "v1")] = NOW + DAY
    result = night(bucket)
    assert result.outcome is Outcome.INCOMPLETE
    assert bucket.objects == {("logs/a", "v1"), ("logs/a", "v2")}, "else the deleted file would be back"
    found = told(result)
    assert (found.failed, found.acted, found.residue) == (1, 0, 2)


def test_log_files_are_nobodys_orphans__M5() -> None:
    long_ago = NOW - 30 * DAY
    bucket = InMemoryContentBucket({("logs/a", "v1"), ("lost", "v1")}, modified={"logs/a": long_ago, "lost": long_ago})
    (tidied,) = night(bucket).buckets
    assert tidied.orphans is not None
    assert tidied.orphans.unnamed_objects == 1


def test_the_status_shows_rows_and_files_apart_and_when_they_were_counted__M5_X4() -> None:
    rules = archive_with_logs()
    counts = CategoryObservation(
        category=LOGS,
        rows=5,
        oldest=NOW,
        due=3,
        overdue=1,
        held=0,
        anomalies=0,
        anomalies_since=None,
        next_deadline=None,
        files=7,
        files_counted_at=NOW,
    )
    rows = category_rows(None, rules, Counts({LOGS: counts}), counted_only=False, now=NOW)
    row = next(each for each in rows if each["name"] == LOGS)
    assert (row["rows"], row["objects"], row["objectsCountedAt"]) == (5, 7, "2026-11-22T01:37:00Z")
    assert (row["due"], row["overdue"], row["state"]) == (3, 1, CategoryState.ENFORCED.value)
