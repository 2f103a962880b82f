"""Consent in the database (P10): content is refused for a session whose record denies it, or did not accept forced recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from tenant_retention.domain.definition import (
    ColumnDefinition,
    ConsentDefinition,
    ObjectsDefinition,
    RetentionDefinition,
)
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    archive,
    category,
    days_ago,
    definition,
    table,
    text,
)

pytestmark = pytest.mark.oldest_and_newest

CONSENT = ConsentDefinition(table="calls", refused_column="denied", forced_column="forced", accepted_column="accepted")


def flag(name: str) -> ColumnDefinition:
    return ColumnDefinition(name=name, type="Boolean", role="Consent")


def consenting(
    consent: ConsentDefinition | None = CONSENT, guard_percent: int = 100, **content: object
) -> RetentionDefinition:
    """Calls with recordings (objects) and chat lines (rows only) as their content, each with its own flags."""
    objects = ObjectsDefinition(
        bucket="Content", table="recordings", key_column="object_key", version_column="object_version"
    )
    return definition(
        [
            table(
                "calls", text("caller", "PhoneNumber"), flag("denied"), flag("forced"), flag("accepted"), flag("no_log")
            ),
            table("recordings", text("object_key", "ObjectKey"), text("object_version")),
            table("lines", text("body", "FreeText")),
        ],
        [
            category("recordings", "recordings", content_of="records", objects=objects, consent=consent, **content),
            category(
                "lines",
                "lines",
                content_of="records",
                consent=ConsentDefinition(table="calls", refused_column="no_log") if consent else None,
            ),
            category("records", "calls", keep="P180D"),
        ],
        guard_percent=guard_percent,
    )


RULES = consenting()


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive whose content needs consent."""
    with tenant_databases.having(RULES) as made:
        yield made


def call(database: TenantDatabase, number: int, born: datetime | None = None, **flags: bool) -> None:
    """A call with these flags."""
    database.write(
        "INSERT INTO calls (id, session_id, started_at, caller, denied, forced, accepted, no_log)"
        " VALUES (%s, %s, %s, '+31612345678', %s, %s, %s, %s)",
        number,
        f"s{number}",
        born or days_ago(1),
        *(flags.get(name) for name in ("denied", "forced", "accepted", "no_log")),
    )


RECORDING = "INSERT INTO {} (id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, %s, 'v1')"


def record(
    database: TenantDatabase, number: int, part: int = 0, born: datetime | None = None, into: str = "recordings"
) -> None:
    """A recording of that call."""
    session = f"s{number}"
    database.write(RECORDING.format(into), number * 10 + part, session, born or days_ago(1), f"{session}/{part}")


def line(database: TenantDatabase, number: int) -> None:
    """What was written in that call's chat."""
    database.write(
        "INSERT INTO lines (id, session_id, started_at, body) VALUES (%s, %s, %s, 'hello')",
        number,
        f"s{number}",
        days_ago(1),
    )


def refused(write: Callable[[], None]) -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.Error) as caught:
        write()
    assert (caught.value.sqlstate, caught.value.diag.message_detail) == ("RTG00", "ConsentRefused")
    return caught.value.diag


def count(database: TenantDatabase, name: str) -> int:
    statement = sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(name))
    with database.as_owner() as owner:
        return int(owner.execute(statement).fetchall()[0][0])


@pytest.mark.parametrize(
    ("flags", "stored"),
    [
        ({}, True),
        ({"denied": False}, True),
        ({"denied": True}, False),
        ({"forced": True}, False),
        ({"forced": True, "accepted": False}, False),
        ({"forced": True, "accepted": True}, True),
        ({"forced": False, "accepted": False}, True),
        ({"forced": True, "accepted": True, "denied": True}, False),
        ({"no_log": True}, True),
    ],
)
def test_a_recording_is_stored_unless_the_caller_denied_it_or_did_not_accept_a_forced_one__P10(
    database: TenantDatabase, flags: dict[str, bool], stored: bool
) -> None:
    call(database, 1, None, **flags)
    if stored:
        record(database, 1)
    else:
        refused(lambda: record(database, 1))
    assert (count(database, "recordings"), count(database, "calls")) == (int(stored), 1)


def test_the_refusal_names_tables_and_the_next_step_and_no_personal_data__P10(database: TenantDatabase) -> None:
    call(database, 1, denied=True)
    said = refused(lambda: record(database, 1))
    told = " ".join(str(part) for part in (said.message_primary, said.message_hint, said.message_detail, said.context))
    assert "recordings" in told
    assert "calls.denied" in told
    assert "s1" not in told
    assert "+31612345678" not in told


def test_a_chat_that_declined_storage_has_no_log_and_may_still_have_a_recording__P10(database: TenantDatabase) -> None:
    call(database, 1, no_log=True)
    refused(lambda: line(database, 1))
    record(database, 1)
    call(database, 2, denied=True)
    line(database, 2)
    assert (count(database, "lines"), count(database, "recordings")) == (1, 1)


def test_several_recordings_of_one_call_stand_or_fall_together_and_no_other_call_with_them__P10(
    database: TenantDatabase,
) -> None:
    call(database, 1, forced=True, accepted=True)
    call(database, 2, denied=True)
    for part in range(3):
        record(database, 1, part)
        refused(lambda part=part: record(database, 2, part))  # type: ignore[misc]
    assert count(database, "recordings") == 3


def test_a_statement_with_one_denied_recording_stores_none_of_its_rows__P10(database: TenantDatabase) -> None:
    call(database, 1)
    call(database, 2, denied=True)
    both = RECORDING.format("recordings") + ", (%s, %s, %s, %s, 'v1')"
    refused(lambda: database.write(both, 10, "s1", days_ago(1), "s1/0", 20, "s2", days_ago(1), "s2/0"))
    assert count(database, "recordings") == 0


def test_content_that_is_sent_to_a_month_itself_is_refused_too__P10(database: TenantDatabase) -> None:
    born = days_ago(1)
    call(database, 1, born, denied=True)
    refused(lambda: _as_owner(database, RECORDING.format(f"recordings_p{born:%Y%m}"), 10, "s1", born, "s1/0"))


def _as_owner(database: TenantDatabase, statement: str, *parameters: object) -> None:
    with database.as_owner() as owner:
        owner.execute(statement.encode(), parameters)


def test_content_that_comes_before_its_record_is_stored_and_no_more_can_be_added_to_it_afterwards__P10(
    database: TenantDatabase,
) -> None:
    record(database, 1)
    line(database, 1)
    call(database, 1, denied=True, no_log=True)
    refused(lambda: record(database, 1, 1))
    refused(lambda: database.write("UPDATE lines SET body = 'more' WHERE session_id = 's1'"))
    assert (count(database, "recordings"), count(database, "lines")) == (1, 1)


def test_a_call_that_is_denied_while_it_goes_on_takes_no_more_recordings__P10(database: TenantDatabase) -> None:
    call(database, 1)
    record(database, 1)
    database.write("UPDATE calls SET denied = true WHERE id = 1")
    refused(lambda: record(database, 1, 1))
    database.write("UPDATE calls SET denied = false WHERE id = 1")
    record(database, 1, 1)
    assert count(database, "recordings") == 2


def test_content_born_over_the_month_s_end_is_refused_and_an_old_session_of_that_name_decides_nothing__P10(
    database: TenantDatabase,
) -> None:
    month = days_ago(1).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    call(database, 1, month - timedelta(seconds=1), denied=True)
    refused(lambda: record(database, 1, born=month + timedelta(seconds=1)))
    database.write("UPDATE calls SET denied = false WHERE id = 1")
    call(database, 2, days_ago(200), denied=True)
    record(database, 2)


def test_a_name_can_be_taken_from_content_that_was_denied_later__P10_P12(database: TenantDatabase) -> None:
    line(database, 1)
    call(database, 1, no_log=True)
    _as_owner(database, "UPDATE public.lines SET body = NULL")
    assert database.value("SELECT body FROM public.lines") is None


def test_a_profile_that_asks_for_consent_later_finds_its_rows_as_they_were__P10_M11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(consenting(consent=None)) as living:
        call(living, 1, denied=True)
        record(living, 1)
        told = living.apply(RULES)
        assert any("consent guards on recordings put in place" in line for line in told)
        assert living.apply(RULES) == ()
        refused(lambda: record(living, 1, 1))
        assert count(living, "recordings") == 1
        assert any("taken away" in line for line in living.apply(consenting(consent=None)))
        record(living, 1, 1)


def test_a_month_with_consent_guards_may_be_copied_and_has_them_afterwards__P10_X3(database: TenantDatabase) -> None:
    months = database.rows(
        "SELECT retention.can_be_copied(inhrelid) FROM pg_inherits WHERE inhparent = 'public.lines'::regclass"
    )
    assert set(months) == {(True,)}
    with database.as_owner() as owner:
        month = owner.execute("SELECT min(partition) FROM retention.partition WHERE table_name = 'lines'").fetchall()[
            0
        ][0]
        owner.execute(sql.SQL("DROP TRIGGER retention_consent_insert ON public.{}").format(sql.Identifier(month)))
        owner.execute("SELECT retention.guard_relation(%s, 'lines')", [month])
    assert [line for line in database.apply(RULES) if "consent" in line] == []


def test_a_guard_that_somebody_took_away_is_put_back__P10(database: TenantDatabase) -> None:
    with database.as_owner() as owner:
        owner.execute("DROP TRIGGER retention_consent_insert ON public.recordings")
        owner.execute("ALTER TABLE public.lines DISABLE TRIGGER retention_consent_update")
    assert [line for line in database.apply(RULES) if "consent" in line] == [
        "consent guards on lines put in place",
        "consent guards on recordings put in place",
    ]
    call(database, 1, denied=True)
    refused(lambda: record(database, 1))


def test_rules_that_use_no_consent_have_the_digest_that_they_always_had__P10_X1() -> None:
    # Another digest would ask every tenant for approvals anew.
    assert archive().rules_digest() == "sha256:b5215f2d99b8ca6873eb6be048a9a48f3ba48d4e516793150797a5e9541a926a"
    assert consenting(consent=None).rules_digest() != RULES.rules_digest()
