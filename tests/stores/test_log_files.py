"""System transaction logs (M5): rows, and files by their last modification, in whole nights on real stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.postgres.schema import apply_definition
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import CategoryEvidence
from tenant_retention.domain.ports.observation import CategoryObservation
from tenant_retention.domain.ports.stores import DATABASE_ROLES, DatabaseRequest, DatabaseServer
from tenant_retention.enforcement.results import Outcome, RunResult
from tests.stores.enforcement_archive import LiveArchive, Stencil, days_ago, refused
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.support.log_files import LOGS, Backdated, archive_with_logs

YEAR, LONG = timedelta(days=366), timedelta(days=700)
"""Past the keep of a year, and shortly before the max of two."""


@pytest.fixture
def acme(logs_stencil: Stencil) -> LiveArchive:
    return logs_stencil.fresh()


class Killed(Exception):
    """What ends the run at a line; not an error of the product, so nobody answers it."""


def night(acme: LiveArchive, ages: dict[Any, timedelta], mode: Mode = Mode.ENFORCE, **more: Any) -> RunResult:
    """A run at which these files are so much older than they are."""
    return acme.run(mode, wrap_bucket=lambda bucket: Backdated(bucket, ages), **more)


def told(result: RunResult) -> CategoryEvidence:
    (store,) = result.stores
    assert store.evidence is not None, store
    return next(each for each in store.evidence.categories if each.category == LOGS)


def seen(acme: LiveArchive) -> CategoryObservation:
    return next(each for each in acme.observer().observe().categories if each.category == LOGS)


def write_row(acme: LiveArchive, name: str, age: float) -> None:
    acme.write("logs", [(name, name, days_ago(age))], ("id", "session_id", "started_at"))


def test_a_night_removes_old_logs_as_rows_and_files_with_every_version_and_marker__M5_M8(acme: LiveArchive) -> None:
    write_row(acme, "old", 370)
    write_row(acme, "young", 360)
    first, second = acme.put("logs/api/over.gz"), acme.put("logs/api/over.gz")
    gone = acme.put("logs/deleted.gz")
    acme.client.remove_object(acme.bucket, "logs/deleted.gz")
    for name in ("logs/api/old.gz", "logs/api/young.gz", "other/old.gz"):
        acme.put(name)
    marker = next(version for key, version in acme.objects() if key == "logs/deleted.gz" and version != gone)
    ages: dict[Any, timedelta] = {
        "logs/api/old.gz": YEAR,
        ("logs/api/over.gz", first): YEAR,
        ("logs/deleted.gz", gone): LONG,
        ("logs/deleted.gz", marker): YEAR,
        "other/old.gz": YEAR,
    }
    result = night(acme, ages)
    assert result.outcome is Outcome.SUCCEEDED
    assert acme.objects() == {
        ("logs/api/over.gz", second),
        *((key, version) for key, version in acme.objects() if key in ("logs/api/young.gz", "other/old.gz")),
    }
    assert acme.keys() == {"logs/api/over.gz", "logs/api/young.gz", "other/old.gz"}
    assert acme.left() == {"logs:young"}
    found = told(result)
    assert found.files is not None
    assert (found.files.before, found.files.acted, found.files.left, found.files.residue) == (6, 4, 2, 0)
    assert (found.candidates, found.acted, found.residue, found.files.unconfirmed) == (5, 5, 0, 0)
    again = told(night(acme, ages))
    assert again.files is not None
    assert (again.candidates, again.files.before, again.files.left) == (0, 2, 2)


def test_an_object_that_a_row_names_is_left_to_its_rows_category__M5_P4(acme: LiveArchive) -> None:
    acme.put("logs/named")
    acme.write_log_row("logs/named")
    acme.put("logs/free")
    result = night(acme, {"logs/named": YEAR, "logs/free": YEAR})
    assert result.outcome is Outcome.SUCCEEDED
    assert acme.keys() == {"logs/named"}


def test_young_files_cannot_be_deleted_by_anybodys_key_before_their_min__M5_M8(acme: LiveArchive) -> None:
    acme.put("logs/young")
    acme.put("logs/of-age")
    result = night(acme, {"logs/of-age": timedelta(days=190)})
    assert told(result).locked == 1
    assert refused(acme) == {"logs/young"}
    assert told(night(acme, {"logs/of-age": timedelta(days=190)})).locked == 0, "once is enough"


def test_a_hold_keeps_the_files_and_its_release_lets_them_go__M5_X3(acme: LiveArchive) -> None:
    acme.put("logs/old")
    acme.hold_category(LOGS)
    held = told(night(acme, {"logs/old": YEAR}))
    assert (held.acted, held.held, held.residue) == (0, 1, 0)
    assert acme.keys() == {"logs/old"}
    with acme.owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    assert told(night(acme, {"logs/old": YEAR})).acted == 1
    assert acme.keys() == set()


def test_a_database_that_was_lost_and_made_anew_lets_no_files_go_until_its_chain_is_accepted__M5_X3(
    postgres_process: PostgresProcess, tmp_path: Path
) -> None:
    access, rules = postgres_process.administrator, archive_with_logs()
    stores, identity = RealTenantStores(tmp_path), StoreIdentity(str(uuid4()), "customer-acme", "acme", "Analytical")
    server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
    passwords = {role: f"password of {role}" for role in DATABASE_ROLES}
    request = DatabaseRequest(server, identity, "uid-1", rules, passwords)
    inside = replace(access, database=request.name)

    def prepared(anchor: str | None) -> tuple[object, bool]:
        """The prefix that the database decides about, and whether the operator is told that it forgot."""
        outcome = stores.prepare_database(replace(request, anchor=anchor))
        with connect_as(inside) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{request.name}_owner")))
            row = connection.execute("SELECT file_prefix FROM retention.category WHERE name = %s", (LOGS,)).fetchone()
        assert row is not None
        return row[0], any("made anew" in warning for warning in outcome.warnings)

    assert prepared(None) == ("logs/", False)
    user = stores.prepare_database(request).usernames["enforcer"]
    enforcer = replace(inside, user=user, password=passwords["enforcer"])
    session, run_id = PostgresEnforcementDatabase(lambda: connect_as(enforcer)), uuid4()
    session.begin_run(run_id, Mode.DRY_RUN, rules.rules_digest(), datetime.now(UTC))
    digest = session.finish_run(run_id).digest
    session.close()
    assert prepared(f"sha256:{digest}") == ("logs/", False)
    with connect_as(access) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(request.name)))
    assert prepared(f"sha256:{digest}") == (None, True)
    assert prepared(f"sha256:{digest}") == (None, True), "also at the next look"
    assert prepared(None) == ("logs/", False), "the administrator accepted the new chain"


def test_where_the_database_does_not_decide_about_files_a_night_leaves_all_of_them__M5_X3(acme: LiveArchive) -> None:
    acme.put("logs/old.gz")
    with connect_as(replace(acme.server, database=acme.identity.database())) as connection:
        apply_definition(connection, acme.definition, "Analytical", acme.roles, files=False)
    assert told(night(acme, {"logs/old.gz": LONG})).files is None
    assert acme.keys() == {"logs/old.gz"}


def test_a_hold_from_a_day_on_keeps_only_what_was_modified_since__M5_X3(acme: LiveArchive) -> None:
    acme.put("logs/before")
    acme.put("logs/since")
    with acme.owner() as owner:
        owner.execute("INSERT INTO retention.hold (category, born_from) VALUES (%s, %s)", [LOGS, days_ago(500)])
    found = told(night(acme, {"logs/before": LONG, "logs/since": YEAR}))
    assert (found.acted, found.held) == (1, 1)
    assert acme.keys() == {"logs/since"}


def test_a_dry_run_counts_the_same_and_deletes_nothing__M5_X7(acme: LiveArchive) -> None:
    acme.put("logs/old")
    acme.put("logs/young")
    write_row(acme, "old", 370)
    before = acme.objects()
    dry = night(acme, {"logs/old": YEAR}, Mode.DRY_RUN)
    assert (dry.outcome, acme.objects()) == (Outcome.SUCCEEDED, before)
    real = night(acme, {"logs/old": YEAR})
    assert told(dry).candidates == told(real).candidates == told(real).acted == 2


def test_a_store_whose_clock_is_off_keeps_its_files_and_the_others_go_on__M5(acme: LiveArchive) -> None:
    acme.put("logs/old")
    write_row(acme, "old", 370)
    acme.call("old", days_ago(200), "requests")
    skewed = timedelta(minutes=2)
    result = acme.run(wrap_bucket=lambda bucket: Backdated(bucket, {"logs/old": YEAR}, skewed))
    assert result.outcome is Outcome.INCOMPLETE
    (store,) = result.stores
    assert [each.failure for each in store.categories if each.start.category == LOGS] == ["ClockSkew"]
    assert acme.keys() == {"logs/old"}
    assert acme.left() == set()
    assert told(result).failed == 1


def test_the_operator_counts_debt_on_by_time_from_what_the_last_run_saw__M5_X4_M10(acme: LiveArchive) -> None:
    assert seen(acme).files_counted_at is None
    for name in ("logs/a", "logs/b", "logs/young"):
        acme.put(name)
    acme.hold_category(LOGS)
    night(acme, {"logs/a": LONG, "logs/b": YEAR})
    with acme.owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    now = seen(acme)
    assert (now.rows, now.files, now.due, now.overdue) == (0, 3, 2, 0)
    assert now.oldest is not None
    assert abs(now.oldest - (datetime.now(UTC) - LONG)) < timedelta(minutes=2)
    assert now.next_deadline is not None
    assert timedelta(days=28) < now.next_deadline - datetime.now(UTC) < timedelta(days=33)
    with acme.owner() as owner:
        owner.execute(
            "UPDATE retention.file_span SET oldest = oldest - interval '40 days', newest = newest - interval '40 days'"
        )
    later = seen(acme)
    assert (later.due, later.overdue) == (2, 1)
    assert acme.observer().observe().overdue() == 1


def test_files_whose_prefix_left_the_profile_stay_and_count_as_left__M5_M11_X4(acme: LiveArchive) -> None:
    acme.put("logs/old")
    acme.hold_category(LOGS)
    night(acme, {"logs/old": timedelta(days=740)})
    kept = [each for each in acme.definition.categories if each.name != LOGS]
    acme.define(acme.definition.model_copy(update={"categories": tuple(kept)}))
    assert acme.keys() == {"logs/old"}
    left = next(each for each in acme.observer().observe().left if each.table == f"files of {LOGS}")
    assert (left.category, left.rows, left.overdue) == (LOGS, 1, 0), "held: no debt"
    with acme.owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    left = next(each for each in acme.observer().observe().left if each.table == f"files of {LOGS}")
    assert left.overdue == 1


EFFECTS = (
    "count_files",
    "files_to_lock",
    "retain_objects",
    "claim_files",
    "delete_objects",
    "confirm_files",
    "recount_files",
)


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_kill_at_any_effect_is_finished_by_the_next_night__M5_X6(acme: LiveArchive, effect: str) -> None:
    for name in ("logs/old-1", "logs/old-2", "logs/young"):
        acme.put(name)
    ages: dict[Any, timedelta] = {"logs/old-1": YEAR, "logs/old-2": LONG}

    def kill(name: str, _: int) -> None:
        if name == effect:
            raise Killed

    with pytest.raises(Killed):
        night(acme, ages, hook=kill)
    assert {"logs/young"} <= acme.keys()
    result = night(acme, ages)
    assert result.outcome is Outcome.SUCCEEDED
    assert acme.keys() == {"logs/young"}
    gone = [each.files for link in acme.observer().evidence(2) for each in link.categories if each.category == LOGS]
    assert sum(each.acted + each.unconfirmed for each in gone if each is not None) >= 2


def test_many_files_are_removed_page_by_page__M5(acme: LiveArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenant_retention.enforcement.files.FILES_AT_ONCE", 7)
    names = [f"logs/{place % 3}/{place}" for place in range(40)]
    for name in names:
        acme.put(name)
    ages: dict[Any, timedelta] = dict.fromkeys(names[:30], YEAR)
    found = told(night(acme, ages))
    assert (found.acted, found.residue) == (30, 0)
    assert acme.keys() == set(names[30:])


def test_a_lowered_keep_asks_before_it_takes_the_files__M5(acme: LiveArchive) -> None:
    def rules(keep: str) -> Any:
        return archive_with_logs(keep, guard_percent=25).model_copy(
            update={"installation": acme.definition.installation}
        )

    acme.define(rules("P1Y"))
    names = [f"logs/{place}" for place in range(12)]
    for name in names:
        acme.put(name)
    ages: dict[Any, timedelta] = dict.fromkeys(names, timedelta(days=300))
    assert night(acme, ages).outcome is Outcome.SUCCEEDED
    acme.define(rules("P6M"))
    assert night(acme, ages).outcome is Outcome.APPROVAL_REQUIRED
    (asked,) = acme.observer().observe().guard_requests
    assert (asked.category, asked.surplus) == (LOGS, 12)
    assert acme.keys() == set(names)
    acme.approve(12, datetime.now(UTC) + timedelta(hours=1))
    assert night(acme, ages).outcome is Outcome.SUCCEEDED
    assert acme.keys() == set()
