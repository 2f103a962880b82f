"""What the databases on both sides of an archive refuse, and that a database with rows gets all of it at its upgrade (D3, X2)."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta

import psycopg
import pytest

from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import Invalid, NotReady
from tests.stores.archiving import LIVE, RECORDS, RealCustomer, night, rules
from tests.stores.tenant_databases import TenantDatabases, days_ago


def test_a_database_with_rows_from_before_gets_the_archive_at_its_upgrade__M11_D3(
    tenant_databases: TenantDatabases,
) -> None:
    before, wanted = rules(None), rules()
    with tenant_databases.having(before) as live, tenant_databases.having(wanted, ARCHIVE) as archive:
        customer = RealCustomer(wanted, {LIVE: live, ARCHIVE: archive})
        customer.insert(1, 100, "calls", "surveys")
        with live.as_owner() as owner:
            # As an earlier version left it.
            owner.execute("DROP TABLE retention.archive_pause CASCADE")
            owner.execute(
                "ALTER TABLE retention.run_category DROP COLUMN archive_due, DROP COLUMN archived, DROP COLUMN archive_waiting"
            )
            owner.execute("UPDATE retention.component SET source_digest = 'older'")
        live.apply(wanted)
        night(customer)
        assert (customer.live(), customer.archived()) == (set(), {"calls:1", "surveys:1"})


def test_the_application_reads_the_archive_and_writes_nothing_into_it__X2(tenant_databases: TenantDatabases) -> None:
    with tenant_databases.having(rules(), ARCHIVE) as archive, archive.connect("app") as application:
        assert application.execute("SELECT count(*) FROM public.calls").fetchone() == (0,)
        for statement in (
            "INSERT INTO public.calls (id, session_id, started_at) VALUES (1, '1', now() - interval '100 days')",
            "UPDATE public.calls SET caller = 'x'",
            "DELETE FROM public.calls",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute(statement.encode())


def test_rows_come_back_only_into_their_pause_past_their_age_and_before_their_end__M8_M10_X2(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(rules()) as live, closing(live.enforcer()) as enforcer:

        def row(name: int, age: float) -> str:
            return _as_told(name, days_ago(age))

        assert enforcer.bring_back(RECORDS, "calls", [row(1, 100)]) == 0, "nobody asked for it"
        enforcer.pause_archiving(RECORDS, days_ago(800), days_ago(1), days_ago(-1))
        told = [row(2, 100), row(3, 80), row(4, 366), row(5, 801)]
        assert enforcer.bring_back(RECORDS, "calls", told) == 1
        assert live.rows("SELECT id FROM calls") == [(2,)], "3 is too young, 4 past its keep, 5 outside"
        with live.as_owner() as owner:
            owner.execute("UPDATE retention.archive_pause SET until = now() - interval '1 second'")
        assert enforcer.bring_back(RECORDS, "calls", [row(6, 100)]) == 0, "the pause is over"
        with pytest.raises(Invalid) as refusal:
            enforcer.pause_archiving("notes", days_ago(2), days_ago(1), days_ago(0) + timedelta(days=1))
        assert refusal.value.reason == "NotAnArchive"


def test_nothing_comes_back_from_the_archive_while_a_backup_is_restored__T6_M10(
    tenant_databases: TenantDatabases,
) -> None:
    """What comes back meanwhile would be loaded beside, or seen before the rules were applied to it."""
    with tenant_databases.having(rules()) as live, closing(live.enforcer()) as enforcer:
        enforcer.pause_archiving(RECORDS, days_ago(800), days_ago(1), days_ago(-1))
        told = [_as_told(1, days_ago(100))]
        with live.as_owner() as owner:
            owner.execute("INSERT INTO retention.restoring (backup_id) VALUES ('20260101T000000Z-00000000')")
            with pytest.raises(NotReady) as refusal:
                enforcer.bring_back(RECORDS, "calls", told)
            assert refusal.value.reason == "RestoreUnderWay"
            with live.connect("enforcer") as login, pytest.raises(psycopg.Error) as refused:
                login.execute("SELECT retention.restore_archive_file(1, '{}')")
            assert refused.value.diag.message_detail == "RestoreUnderWay"
            owner.execute("DELETE FROM retention.restoring")
        assert enforcer.bring_back(RECORDS, "calls", told) == 1


def _as_told(name: int, born: datetime) -> str:
    """A row as a database tells it. Whole seconds: PostgreSQL cuts the zeros off the end of a fraction and Python does not, and
    what is not told to the letter as it came in is not called the same (X6)."""
    return f'{{"id": {name}, "session_id": "{name}", "started_at": "{born.replace(microsecond=0).isoformat()}"}}'
