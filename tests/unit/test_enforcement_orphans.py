"""When the night looks for orphans, what it makes of several databases, and that it never fails a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.adapters.fakes.content_bucket import InMemoryContentBucket
from tenant_retention.adapters.fakes.enforcement import InMemoryEnforcementDatabase
from tenant_retention.adapters.fakes.tenant_server import Row, TenantServer
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.ports.orphans import ObjectPage, OrphanKind, OrphanPage, Place
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import OrphanResult, Outcome, RunResult, summarize
from tenant_retention.enforcement.world import Stores
from tests.support.enforcement import NOW, RecordedWorld, archive, plan_of


class Tenant:
    """One bucket and one database, or several, in memory."""

    def __init__(self, definition: RetentionDefinition | None = None, *purposes: str) -> None:
        self.definition = definition or archive()
        self.around = RecordedWorld()
        self.bucket: InMemoryContentBucket = InMemoryContentBucket()
        self.servers = {
            purpose: TenantServer(self.definition, purpose, lambda: self.around.at)
            for purpose in purposes or ("Analytical",)
        }

    def row(self, key: str, days: float, *, table: str = "recordings", purpose: str = "Analytical") -> None:
        """A row that names an object."""
        row = Row(f"{table}:{key}", table, NOW - timedelta(days=days), session=key, key=key, version="v1")
        self.servers[purpose].rows.append(row)

    def run(self, **wrapped: Any) -> RunResult:
        databases = {purpose: InMemoryEnforcementDatabase(server) for purpose, server in self.servers.items()}
        stores = Stores({**databases, **wrapped.get("databases", {})}, {"Content": wrapped.get("bucket", self.bucket)})
        return expire(plan_of(self.definition), stores, uuid4(), self.around.world())


@pytest.fixture
def acme() -> Tenant:
    return Tenant()


def orphans(result: RunResult) -> OrphanResult | None:
    return result.buckets[0].orphans


def test_an_upload_whose_row_is_still_to_come_is_no_orphan(acme: Tenant) -> None:
    acme.bucket.objects = {("audio/fresh", "v1"), ("audio/lost", "v1")}
    acme.bucket.modified = {"audio/fresh": NOW - timedelta(hours=23), "audio/lost": NOW - timedelta(hours=25)}
    assert orphans(acme.run()) == OrphanResult(1, 0)


def test_a_row_that_came_before_its_upload_is_left_a_day(acme: Tenant) -> None:
    acme.row("audio/fresh", 0.9)
    acme.row("audio/lost", 1.1)
    assert orphans(acme.run()) == OrphanResult(0, 1)


def test_the_look_comes_after_deletion_locks_and_evidence(acme: Tenant) -> None:
    acme.definition = acme.servers["Analytical"].definition = archive(recordings_min="P7D")
    acme.row("audio/old", 20)
    acme.row("audio/young", 2)
    acme.bucket.objects = {("audio/old", "v1"), ("audio/young", "v1")}
    evidence: list[int] = []

    class Watched(InMemoryContentBucket):
        def list_objects(self, begins_at: Place, limit: int) -> ObjectPage:
            evidence.append(len(acme.servers["Analytical"].evidence))
            assert self.objects == {("audio/young", "v1")}
            assert self.retained
            return super().list_objects(begins_at, limit)

    assert acme.run(bucket=Watched(acme.bucket.objects)).outcome is Outcome.SUCCEEDED
    assert evidence == [1]
    events = acme.around.events()
    assert events[-2:] == ["orphans.counted", "run.finished"]


def test_a_look_that_fails_fails_no_run_and_is_told(acme: Tenant) -> None:
    class Away(InMemoryContentBucket):
        def missing_objects(self, rows: Sequence[ObjectRow]) -> tuple[ObjectRow, ...]:
            raise Unavailable("the bucket does not answer", reason="BucketUnreachable")

    acme.row("audio/old", 20)
    acme.row("audio/young", 2)
    result = acme.run(bucket=Away({("audio/old", "v1")}))
    assert result.outcome is Outcome.SUCCEEDED
    assert [row.key for row in acme.servers["Analytical"].rows] == ["audio/young"]
    assert orphans(result) == OrphanResult(failure="BucketUnreachable")
    assert ("orphans.failed", {"bucket": "Content", "reason": "BucketUnreachable"}) in acme.around.told
    assert '"orphansFailure":"BucketUnreachable"' in summarize(result)


def test_a_kill_before_a_page_is_recorded_makes_the_next_night_look_at_it_again(acme: Tenant) -> None:
    acme.bucket.objects = {("audio/lost", "v1")}

    class Killed(BaseException):
        pass

    class Dying(InMemoryEnforcementDatabase):
        def record_orphans(self, page: OrphanPage) -> None:
            raise Killed

    server = acme.servers["Analytical"]
    with pytest.raises(Killed):
        acme.run(databases={"Analytical": Dying(server)})
    assert [link.outcome for link in server.evidence] == ["Succeeded"]
    assert orphans(acme.run()) == OrphanResult(1, 0)
    assert {found.last_found for found in server.orphans.values()} == {0, 1}


def test_the_uploads_that_a_night_ended_are_remembered_until_the_next_night_ends_some(acme: Tenant) -> None:
    server = acme.servers["Analytical"]
    acme.bucket.now = lambda: acme.around.at
    acme.bucket.uploads = {"audio/died": NOW - timedelta(days=3), "audio/too": NOW - timedelta(days=4)}

    def remembered() -> int | None:
        return server.orphans[(OrphanKind.UNFINISHED_UPLOADS, "Content")].last_found

    acme.run()
    assert remembered() == 2

    class Away(InMemoryContentBucket):
        def abort_unfinished_uploads(self, older_than: timedelta) -> int:
            raise Unavailable("the bucket does not answer", reason="BucketUnreachable")

    acme.run(bucket=Away())
    assert remembered() == 2, "nobody knows of another number"
    acme.run()
    assert remembered() == 0


def test_what_was_found_is_told_in_counts_and_never_by_key__X6(acme: Tenant) -> None:
    acme.bucket.objects = {("audio/+4930123", "v1")}
    acme.row("audio/+4930456", 3)
    result = acme.run()
    assert orphans(result) == OrphanResult(1, 1)
    assert '"unnamedObjects":1,"missingObjects":1' in summarize(result)
    assert "+4930" not in summarize(result) + repr(acme.around.told)


def test_an_object_is_unnamed_only_if_no_database_names_it() -> None:
    both = archive()
    voicemail = both.category("recordings").model_copy(update={"name": "voicemail", "database": "Operational"})
    split = both.model_copy(update={"categories": (*both.categories, voicemail)})
    tenant = Tenant(split, "Analytical", "Operational")
    tenant.bucket.objects = {("a", "v1"), ("o", "v1"), ("nobody's", "v1")}
    tenant.row("a", 3)
    tenant.row("o", 3, purpose="Operational")
    assert orphans(tenant.run()) == OrphanResult(1, 0)
    del tenant.servers["Operational"]
    assert orphans(tenant.run()) is None, "what is not seen wholly is not judged"


def test_a_run_that_was_asked_to_stop_looks_no_more(acme: Tenant) -> None:
    class Stopping(InMemoryContentBucket):
        def abort_unfinished_uploads(self, older_than: timedelta) -> int:
            acme.around.stop = True
            return 0

    assert orphans(acme.run(bucket=Stopping({("audio/lost", "v1")}, now=lambda: datetime.now(UTC)))) is None
