"""Voice-artist media waits for an approval (M7), and what is in use is never removed (M6, T4), inside the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import (
    CategoryState,
    ColumnDefinition,
    ObjectsDefinition,
    QuarantineDefinition,
    RetentionDefinition,
)
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.rules import Subject, define
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, category, days_ago, definition, table, text
from tests.stores.test_database_consent import count
from tests.stores.test_database_findings import night, of
from tests.support.api_cases import example_profile

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def rules_of(profile: str) -> RetentionDefinition:
    """What the shortest policy means under an example profile."""
    spec = RetentionProfile.from_object(example_profile(profile)).spec
    policy = TenantRetentionPolicySpec.from_object(
        {"profileRef": {"name": profile}, "guard": {"maxDeletedPercent": 100}}
    )
    return define(spec, policy, Subject("test", "customer-acme", "acme", "1", 1, 1))


RULES = rules_of("myoperator")


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty database of the cloud-telephony vendor's profile."""
    with tenant_databases.having(RULES) as made:
        yield made


def media(
    database: TenantDatabase,
    name: str,
    born: datetime,
    *,
    source: str = "artist",
    approved: datetime | None = None,
    ended: datetime | None = None,
) -> None:
    database.write(
        "INSERT INTO ivr_media (id, created_at, source, approved_at, ended_at, object_key, object_version)"
        " VALUES (%s, %s, %s, %s, %s, %s, 'v1')",
        uuid4(),
        born,
        source,
        approved,
        ended,
        name,
    )


def left(database: TenantDatabase) -> list[str]:
    return sorted(row[0] for row in database.rows("SELECT object_key FROM public.ivr_media"))


def test_artist_media_without_approval_is_removed_after_its_time_and_nothing_else_is__M7(
    database: TenantDatabase,
) -> None:
    now = datetime.now(UTC)
    media(database, "waits", now - 30 * DAY + 10 * MINUTE)
    media(database, "too-late", now - 30 * DAY - SECOND)
    media(database, "approved", now - 300 * DAY, approved=now - 290 * DAY)
    media(database, "upload", now - 300 * DAY, source="upload")
    media(database, "speech", now - 300 * DAY, source="speech")
    first = of(night(database, RULES), "ivr-media")
    assert (first.unapproved, first.cleared) == (1, 0)
    told = {each.category: each.unapproved for each in database.observer().observe().categories}
    assert told["ivr-media"] == 1
    second = of(night(database, RULES), "ivr-media")
    assert (second.unapproved, second.cleared) == (0, 1)
    assert left(database) == ["approved", "speech", "upload", "waits"]


def test_an_approval_between_two_nights_keeps_the_media__M7(database: TenantDatabase) -> None:
    media(database, "a", datetime.now(UTC) - 40 * DAY)
    assert of(night(database, RULES), "ivr-media").unapproved == 1
    database.write("UPDATE ivr_media SET approved_at = now()")
    second = of(night(database, RULES), "ivr-media")
    assert (second.unapproved, second.cleared, left(database)) == (0, 0, ["a"])


def test_an_approval_is_given_once_and_never_taken_back__M7(database: TenantDatabase) -> None:
    media(database, "a", datetime.now(UTC) - DAY, approved=datetime.now(UTC))
    with pytest.raises(psycopg.Error, match="is written once"):
        database.write("UPDATE ivr_media SET approved_at = NULL")


def test_media_is_locked_in_the_bucket_only_once_it_is_approved__M7_M8(database: TenantDatabase) -> None:
    media(database, "waits", datetime.now(UTC) - DAY)
    media(database, "approved", datetime.now(UTC) - DAY, approved=datetime.now(UTC))
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    locks = enforcement.objects_to_lock(run_id, "ivr-media", None, 10).locks
    enforcement.close()
    assert [lock.key for lock in locks] == ["approved"]


def test_the_clock_of_approved_media_starts_when_it_is_withdrawn__M7(database: TenantDatabase) -> None:
    now = datetime.now(UTC)
    approved = now - 900 * DAY
    media(database, "in-use", now - 900 * DAY, approved=approved)
    media(database, "below-min", now - 900 * DAY, approved=approved, ended=now - 365 * DAY + 10 * MINUTE)
    media(database, "kept-its-year", now - 900 * DAY, approved=approved, ended=now - 366 * DAY - SECOND)
    for _ in range(2):
        night(database, RULES)
    assert left(database) == ["below-min", "in-use"]


def test_account_configuration_counts_from_its_replacement_and_never_goes_while_in_use__M6(
    database: TenantDatabase,
) -> None:
    now = datetime.now(UTC)
    insert = "INSERT INTO account_configuration (id, created_at, ended_at, kind) VALUES (%s, %s, %s, %s)"
    for kind, ended in (
        ("in use", None),
        ("replaced lately", now - 180 * DAY),
        ("replaced long ago", now - 185 * DAY),
        ("replaced beyond max", now - 400 * DAY),
    ):
        database.write(insert, uuid4(), now - 2000 * DAY, ended, kind)
    night(database, RULES)
    kinds = database.rows("SELECT kind FROM public.account_configuration ORDER BY kind")
    assert kinds == [("in use",), ("replaced lately",)]


def test_configuration_that_acts_until_termination_is_never_removed_by_age__T4_T1(
    tenant_databases: TenantDatabases,
) -> None:
    rules = rules_of("tencent-ccc")
    assert rules.category("configuration").state is CategoryState.NOT_ENFORCED
    with tenant_databases.having(rules) as made:
        born = datetime.now(UTC) - 2000 * DAY
        made.write("INSERT INTO keywords (id, created_at, keyword) VALUES (%s, %s, 'hello')", uuid4(), born)
        made.write(
            "INSERT INTO blocked_numbers (id, created_at, number) VALUES (%s, %s, '+31201234567')", uuid4(), born
        )
        made.write("INSERT INTO agents (id, created_at, staff_id) VALUES (%s, %s, 'a1')", uuid4(), born)
        night(made, rules)
        for kept in ("keywords", "blocked_numbers", "agents"):
            assert count(made, kept) == 1


def artists(*, quarantine: bool = True, only: bool = True, keep: str = "P30D") -> RetentionDefinition:
    """Media with a minimum of a year; with ``quarantine`` it waits for an approval, ``only`` that of artists."""
    waiting = QuarantineDefinition(
        approved_column="approved_at",
        keep=keep,
        only_column="source" if only else None,
        only_value="artist" if only else None,
    )
    approved = (ColumnDefinition(name="approved_at", type="Timestamp"),) if quarantine else ()
    objects = ObjectsDefinition(
        bucket="Content", table="media", key_column="object_key", version_column="object_version"
    )
    columns = (text("source"), text("object_key", "ObjectKey"), text("object_version"), *approved)
    return definition(
        [table("media", *columns, clock_columns=("approved_at",) if quarantine else ())],
        [
            category(
                "ivr-media",
                "media",
                objects=objects,
                quarantine=waiting if quarantine else None,
                minimum="P1Y",
                keep="P2Y",
            )
        ],
        guard_percent=100,
    )


def put(database: TenantDatabase, number: int, source: str | None, age: float = 100) -> None:
    database.write(
        "INSERT INTO media (id, session_id, started_at, source, object_key, object_version) VALUES (%s, %s, %s, %s, %s, 'v1')",
        number,
        f"s{number}",
        days_ago(age),
        source,
        f"media/{number}",
    )


def test_media_in_use_before_its_profile_knew_approvals_counts_as_approved__M7_M8(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(artists(quarantine=False)) as living:
        for number in range(10):
            put(living, number, "artist")
        living.apply(artists())
        for _ in range(3):
            evidence = of(night(living, artists()), "ivr-media")
        assert (evidence.unapproved, evidence.cleared, count(living, "media")) == (0, 0, 10)
        with living.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
            owner.execute("DELETE FROM public.media")
        with living.as_owner() as owner:
            owner.execute("UPDATE retention.scanned_rule SET since = %s", [days_ago(50)])
        put(living, 11, "artist", 49)
        assert of(night(living, artists()), "ivr-media").unapproved == 1


def test_media_that_a_changed_rule_would_ask_an_approval_for_counts_as_approved_and_a_shorter_time_changes_nothing__M7(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(artists()) as living:
        put(living, 1, "artist", 20)
        put(living, 2, "upload", 100)
        shorter = artists(keep="P10D")
        living.apply(shorter)
        assert of(night(living, shorter), "ivr-media").unapproved == 1
        everything = artists(only=False)
        living.apply(everything)
        assert of(night(living, everything), "ivr-media").unapproved == 0
        night(living, everything)
        assert count(living, "media") == 2


def test_a_database_that_an_earlier_version_left_counts_its_media_as_approved__M7_M11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(artists()) as living:
        put(living, 1, "artist")
        with living.as_owner() as owner:
            owner.execute("DELETE FROM retention.scanned_rule")
        living.apply(artists())
        for _ in range(2):
            night(living, artists())
        assert count(living, "media") == 1
        assert living.apply(artists()) == ()


def test_media_cannot_be_made_an_artists_after_it_was_written__M7_M8(tenant_databases: TenantDatabases) -> None:
    with tenant_databases.having(artists()) as made:
        put(made, 1, "upload")
        put(made, 2, None)
        for _ in range(2):
            with pytest.raises(psycopg.Error, match="is written once"):
                made.write("UPDATE media SET source = 'artist' WHERE id = 1")
            with pytest.raises(psycopg.Error, match="is written once"):
                made.write("UPDATE media SET source = 'artist' WHERE id = 2")
            assert made.apply(artists()) == ()
        made.write("UPDATE media SET source = 'speech' WHERE id = 2")
        for _ in range(2):
            night(made, artists())
        assert count(made, "media") == 2


def test_media_whose_kind_nobody_wrote_is_locked_like_any_other__M7_M8(tenant_databases: TenantDatabases) -> None:
    with tenant_databases.having(artists()) as made:
        for number, source in enumerate((None, "speech", "artist")):
            put(made, number, source, 5)
        enforcement, run_id = made.enforcer(), uuid4()
        enforcement.begin_run(run_id, Mode.ENFORCE, artists().rules_digest(), datetime.now(UTC))
        locked, resume_from = set(), None
        while (batch := enforcement.objects_to_lock(run_id, "ivr-media", resume_from, 100)).resume_from:
            locked |= {lock.key for lock in batch.locks}
            resume_from = batch.resume_from
        locked |= {lock.key for lock in batch.locks}
        enforcement.close()
        assert locked == {"media/0", "media/1"}


def test_whether_the_time_for_an_approval_is_over_is_told_by_the_runs_own_clock__M7_X9(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(artists()) as made:
        put(made, 1, "artist", 30 + 1 / 48)
        for earlier, found in ((timedelta(hours=1), 0), (timedelta(0), 1)):
            enforcement, run_id = made.enforcer(), uuid4()
            enforcement.begin_run(run_id, Mode.ENFORCE, artists().rules_digest(), datetime.now(UTC))
            with made.as_owner() as owner:
                owner.execute("UPDATE retention.run SET clock = clock - %s WHERE run_id = %s", [earlier, run_id])
            assert enforcement.scan_findings(run_id, "ivr-media", "media", None).found == found
            enforcement.close()
