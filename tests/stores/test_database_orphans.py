"""The look for orphans inside a tenant database: who may call it, what the observer sees, and that an upgrade adds it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.domain.orphans import StoredObject
from tenant_retention.domain.ports.orphans import OrphanKind, OrphanPage
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, archive, days_ago, definition, run

RULES = archive()
WITHOUT_RECORDINGS = definition(RULES.tables[:2], RULES.categories[1:], guard_percent=100)
"""The recordings left the profile; their table stays with its rows."""
CALLS = (
    "SELECT retention.orphan_place('MissingObjects', 'recordings')",
    "SELECT retention.unnamed_objects('[]')",
    "SELECT retention.rows_naming_objects('recordings', NULL, now(), 10)",
    "SELECT retention.record_orphans('MissingObjects', 'recordings', NULL, NULL, 1, 1)",
)


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """Records with recordings."""
    with tenant_databases.having(RULES) as made:
        yield made


def recording(database: TenantDatabase, number: int, key: str | None, version: str | None = "v") -> None:
    database.write(
        "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (%s, 's', %s, %s, %s)",
        number,
        days_ago(3),
        key,
        version,
    )


def unnamed(database: TenantDatabase, *objects: tuple[str, str | None]) -> set[str]:
    enforcement = database.enforcer()
    found = enforcement.unnamed_objects([StoredObject(key, version, None) for key, version in objects])
    enforcement.close()
    return {objects[place][0] for place in found}


def told(database: TenantDatabase) -> dict[tuple[str, str], tuple[int, int, bool]]:
    return {
        (each.kind.value, each.name): (each.looked_at, each.found, each.finished_at is not None)
        for each in database.observer().observe().orphans
    }


def page(begins_at: str | None, goes_on_at: str | None, looked_at: int, found: int) -> OrphanPage:
    return OrphanPage(
        kind=OrphanKind.UNNAMED_OBJECTS,
        name="Content",
        begins_at=None if begins_at is None else [begins_at, ""],
        goes_on_at=None if goes_on_at is None else [goes_on_at, ""],
        looked_at=looked_at,
        found=found,
    )


@pytest.mark.parametrize("call", CALLS)
def test_only_the_enforcer_may_look__M8(database: TenantDatabase, call: str) -> None:
    for group in ("app", "reader", "observer", "auditor", "backup"):
        with database.connect(group) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(call.encode())
    with database.connect("enforcer") as connection:
        connection.execute(call.encode())
        for statement in (b"SELECT FROM retention.orphan_pass", b"DELETE FROM retention.orphan_pass"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_awkward_keys_are_compared_as_they_are__X6(database: TenantDatabase) -> None:
    keys = ["+49 30 1", "größe-日本語-🎧", "x' OR '1'='1", "percent/%00", "tab\tand\rreturn", " "]
    for number, key in enumerate(keys):
        recording(database, number, key)
    recording(database, 100, None)
    recording(database, 101, "", None)
    assert unnamed(database, *((key, "v") for key in keys), ("", "v"), ("%", "v")) == {"%"}


def test_rows_of_a_category_that_left_the_profile_still_name_their_objects__M10(database: TenantDatabase) -> None:
    recording(database, 1, "named")
    database.apply(WITHOUT_RECORDINGS)
    assert unnamed(database, ("named", "v"), ("lost", "v")) == {"lost"}
    assert told(database) == {}


def test_the_observer_sees_the_last_whole_pass_or_the_one_under_way_if_it_found_more(database: TenantDatabase) -> None:
    name = ("UnnamedObjects", "Content")
    enforcement = database.enforcer()
    seen = []
    for each in (
        page(None, "k", 10, 0),
        page("k", None, 5, 2),
        page(None, "j", 10, 1),
        page("j", "m", 10, 4),
        page("m", None, 3, 0),
        page(None, None, 20, 0),
    ):
        enforcement.record_orphans(each)
        seen.append(told(database)[name])
    enforcement.close()
    assert seen == [(10, 0, False), (15, 2, True), (15, 2, True), (20, 5, True), (23, 5, True), (20, 0, True)]


def test_no_key_gets_into_the_evidence_or_what_the_observer_reads__X6(database: TenantDatabase) -> None:
    enforcement = database.enforcer()
    enforcement.record_orphans(page(None, "+49 30 12345678", 10, 1))
    enforcement.close()
    evidence = run(database, RULES)
    # Long enough that no digest or time has it by chance.
    assert "12345678" not in evidence.model_dump_json() + database.observer().observe().model_dump_json()


def test_a_database_of_before_gets_it_with_the_next_look_of_the_operator_and_keeps_everything_else(
    database: TenantDatabase,
) -> None:
    recording(database, 1, "named")
    before = run(database, RULES)
    with database.as_owner() as owner:
        owner.execute("DROP FUNCTION retention.observe(), retention.orphan_counts()")
        owner.execute("DROP VIEW retention.orphan_subject")
        owner.execute("DROP TABLE retention.orphan_pass")
        for name in ("orphan_place", "unnamed_objects", "rows_naming_objects", "record_orphans"):
            owner.execute(f"DROP FUNCTION retention.{name}".encode())
            owner.execute("DELETE FROM retention.installed_function WHERE signature LIKE %s", [f"%{name}%"])
        owner.execute("UPDATE retention.component SET source_digest = 'of before'")
    assert "functions updated" in database.apply(RULES)
    assert unnamed(database, ("named", "v"), ("lost", "v")) == {"lost"}
    assert database.observer().observe().latest_run == before
    assert database.apply(RULES) == ()


def test_ended_uploads_are_kept_for_the_observer_also_in_a_database_of_before(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute(
            "ALTER TABLE retention.orphan_pass ADD CONSTRAINT orphan_pass_kind_check "
            "CHECK (kind IN ('UnnamedObjects', 'MissingObjects'))"
        )
        owner.execute("UPDATE retention.component SET source_digest = 'of before'")
    database.apply(RULES)
    enforcement = database.enforcer()
    for ended in (3, 0, 2):
        seen = {"kind": OrphanKind.UNFINISHED_UPLOADS, "looked_at": ended, "found": ended}
        enforcement.record_orphans(page(None, None, 0, 0).model_copy(update=seen))
    enforcement.close()
    assert told(database)[("UnfinishedUploads", "Content")] == (2, 2, True)


def test_looking_needs_no_run_and_leaves_one_that_is_open_alone(database: TenantDatabase) -> None:
    enforcement = database.enforcer()
    assert enforcement.orphan_place(OrphanKind.UNNAMED_OBJECTS, "Content") is None
    enforcement.record_orphans(page(None, str(uuid4()), 1, 0))
    assert database.rows("SELECT FROM retention.run") == []
    enforcement.close()
