"""Every category of the four vendors' profiles at each of its bounds, to the second, on the databases and buckets that they make.

The servers' clock is set; births lie on leap days, at the ends of months and in the nights in which Europe's clocks change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import yaml
from psycopg import sql

from tenant_retention.api.v1alpha1.common import LocalRef
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.tenantretentionpolicy import CategoryRetention, Guard, TenantRetentionPolicySpec
from tenant_retention.domain.definition import CategoryDefinition, CategoryState, ClockEvent, RetentionDefinition
from tenant_retention.domain.rules import Subject, define
from tenant_retention.enforcement.results import Outcome
from tests.stores.servers.install import NEWEST
from tests.stores.servers.postgres import SUMMER_TIME, PostgresProcess, connect_as, running_postgres
from tests.stores.servers.s3 import S3Server
from tests.stores.simulated_tenant import SimulatedTenant, Written, simulated_tenant
from tests.stores.tenant_databases import TenantDatabases
from tests.stores.test_database_profiles import EXAMPLES
from tests.support.calendar_model import model_end

SECOND = timedelta(seconds=1)
MADE_AT = datetime(2024, 10, 28, tzinfo=UTC)
"""When the tables are made: their months then reach over all births."""
BIRTHS = (
    datetime(2023, 8, 31, 23, 59, 59, tzinfo=UTC),  # six months on there is no 31st, in a leap year
    datetime(2024, 1, 30, 11, tzinfo=UTC),  # a month of clamped days would let this one go after the next
    datetime(2024, 2, 29, 12, tzinfo=UTC),  # a year on there is no such day
    datetime(2024, 3, 31, 1, 30, tzinfo=UTC),  # no such hour in Berlin
    datetime(2024, 10, 27, 0, 30, tzinfo=UTC),  # an hour that Berlin has twice
)


@pytest.fixture(scope="module")
def clocked() -> Iterator[PostgresProcess]:
    """The newest PostgreSQL, with a clock of its own, in a time zone with summer time."""
    with running_postgres(NEWEST, SUMMER_TIME, own_clock=True) as process:
        with connect_as(process.administrator) as connection:
            assert connection.execute("SHOW timezone").fetchone() == ("Europe/Berlin",)
        yield process


def rules_of(profile: str, choice: str) -> RetentionDefinition:
    """What a policy means that keeps everything as long as the profile says, or as long as it may."""
    catalogue = RetentionProfile.model_validate(yaml.safe_load((EXAMPLES / f"{profile}.yaml").read_text())).spec
    chosen = [each for each in catalogue.categories if each.max] if choice == "longest" else []
    retention = tuple(CategoryRetention(category=each.name, keep=each.max) for each in chosen)
    # A night over many years at once would ask; how that goes is shown elsewhere.
    policy = TenantRetentionPolicySpec(
        profile_ref=LocalRef(name=profile), retention=retention, guard=Guard(max_deleted_percent=100)
    )
    rules = define(catalogue, policy, Subject("installation", "customer", "acme", "uid", 1, 1))
    # Fewer months to look at, and data that is kept for years leaves months that are detached, not truncated.
    tables = tuple(table.model_copy(update={"back": "P15M"}) for table in rules.tables)
    return rules.model_copy(update={"tables": tables})


@dataclass(frozen=True)
class Case:
    """A row and its rule; what becomes of it and when follows from the words of DOMAIN alone."""

    category: CategoryDefinition
    row: Written
    counted_from: datetime
    margin: timedelta

    @property
    def min_reached(self) -> datetime | None:
        """Before it nobody may delete the row."""
        return model_end(self.counted_from, self.category.minimum) if self.category.minimum else None

    @property
    def goes(self) -> datetime | None:
        """The first instant at which a night takes it: its keep's end, or the last window before its max."""
        if self.category.state is not CategoryState.ENFORCED or self.category.keep is None:
            return None
        assert self.category.maximum is not None
        ends = (model_end(self.counted_from, self.category.keep), self.gone_by - self.margin)
        return max(min(ends), self.min_reached or min(ends))

    @property
    def gone_by(self) -> datetime:
        """Its max."""
        assert self.category.maximum is not None
        return model_end(self.counted_from, self.category.maximum)


def cases_of(rules: RetentionDefinition, births: tuple[datetime, ...] = BIRTHS) -> list[Case]:
    """A row in every table of every category for each birth; what counts from its end began weeks before, or never ends."""
    found = []
    for category in rules.categories:
        for table in category.tables:
            for number, at in enumerate(births):
                begun = at - timedelta(days=40) if category.clock_event.value == "Closed" else at
                # One session a birth and family: the content belongs to its record.
                session = f"{category.content_of or category.name}-{number}"
                row = Written(table, f"{table}-{number}", begun, session, clock=at)
                found.append(Case(category, row, at, timedelta(seconds=rules.margin_seconds)))
    return found


def expected(cases: list[Case], at: datetime) -> set[tuple[str, str]]:
    """What is left after a night at this instant: a record waits for content of its session (P4)."""
    staying = [case for case in cases if case.goes is None or case.goes > at]
    waited_for = {case.row.session for case in staying if case.category.content_of}
    return {
        (case.row.table, case.row.identity)
        for case in cases
        if case in staying or (not case.category.content_of and case.row.session in waited_for)
    }


def refused_by_hand(tenant: SimulatedTenant, case: Case) -> str | None:
    """What the database answers when its owner deletes the row; the row stays in any case."""
    owner, table = tenant.owners[case.category.database], tenant.rules.table(case.row.table)
    deletion = sql.SQL("DELETE FROM public.{} WHERE {} = %s").format(
        sql.Identifier(table.name), sql.Identifier(table.primary_key[0])
    )
    try:
        with owner.transaction(force_rollback=True):
            owner.execute(deletion, (case.row.identity,))
    except psycopg.errors.DatabaseError as refusal:
        return refusal.diag.message_detail
    return None


def live_through(tenant: SimulatedTenant, cases: list[Case]) -> None:
    """Every instant at which something may change, and the second before each: hands below min, then the night."""
    by_hand: dict[datetime, list[Case]] = {}
    nights = set()
    for case in cases:
        for at in (case.min_reached,) if case.min_reached else ():
            by_hand.setdefault(at, []).append(case)
            by_hand.setdefault(at - SECOND, []).append(case)
        nights |= {case.goes - SECOND, case.goes} if case.goes else set()
    for at in sorted(nights | by_hand.keys()):
        tenant.clock.set(at)
        there = tenant.left()
        for case in by_hand.get(at, ()):
            if (case.row.table, case.row.identity) in there:
                young = case.min_reached is not None and at < case.min_reached
                assert refused_by_hand(tenant, case) == ("YoungerThanMinimum" if young else None), (at, case)
        if at in nights:
            result = tenant.night()
            assert result.outcome is Outcome.SUCCEEDED, (at, result)
            wanted, found = expected(cases, at), tenant.left()
            assert found == wanted, f"{at}: too early {wanted - found}, too late {found - wanted}"
            objects = {case.row for case in cases if case.category.objects}
            assert tenant.keys() == {
                f"{row.table}/{row.name}" for row in objects if (row.table, row.identity) in found
            }, at


@pytest.fixture
def databases(clocked: PostgresProcess) -> Iterator[TenantDatabases]:
    """Databases on the server with a clock of its own, made when all births are not long ago."""
    assert clocked.clock is not None
    clocked.clock.set(MADE_AT)
    made = TenantDatabases(clocked)
    yield made
    made.close()


CHOICES = pytest.mark.parametrize("choice", ["default", "longest"])


def check(profile: str, choice: str, databases: TenantDatabases, clocked: PostgresProcess, s3: S3Server) -> None:
    """A tenant's whole life with this profile."""
    assert clocked.clock is not None
    rules = rules_of(profile, choice)
    with simulated_tenant(rules, databases, clocked.clock, s3) as tenant:
        cases = cases_of(rules, BIRTHS if choice == "default" else BIRTHS[::2])
        tenant.write(case.row for case in cases)
        live_through(tenant, cases)
        # What ends by termination or request alone is there still, and so is whatever never began to count.
        assert tenant.left() == {(case.row.table, case.row.identity) for case in cases if case.goes is None}


@CHOICES
def test_telephony_data_is_refused_to_every_hand_below_its_min_and_goes_at_its_keep_to_the_second__M1_M2_M3_M4_M5_M6_M7_M8_M12(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, choice: str
) -> None:
    check("myoperator", choice, databases, clocked, seaweedfs)


@CHOICES
def test_calls_and_analytics_of_a_contact_centre_go_in_time_for_six_months_and_configuration_stays__T1_T2_T3_T4(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, choice: str
) -> None:
    check("tencent-ccc", choice, databases, clocked, seaweedfs)


@CHOICES
def test_records_and_content_of_an_archive_each_go_at_their_own_keep_to_the_second__P1_P2_P4_P6_P8(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, choice: str
) -> None:
    check("puzzel-archive", choice, databases, clocked, seaweedfs)


@CHOICES
def test_call_records_and_dialogues_go_at_their_keep_each_from_a_database_of_its_own__D2_P2(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, choice: str
) -> None:
    check("dialogue-cloud", choice, databases, clocked, seaweedfs)


def test_what_a_paying_customer_has_stays_through_its_whole_life_cycle_and_none_of_it_past_its_max__M12_M10_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server
) -> None:
    rules = rules_of("myoperator", "longest")
    assert clocked.clock is not None
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        cases = cases_of(rules, BIRTHS[2:3])
        in_use = [
            Written(table, "in use", BIRTHS[2])
            for category in rules.categories
            if category.clock_event is ClockEvent.CLOSED
            for table in category.tables
        ]
        tenant.write([*(case.row for case in cases), *in_use])
        used = {(row.table, row.identity) for row in in_use}
        assert len(used) == 2
        for at in sorted({case.gone_by for case in cases}):
            clocked.clock.set(at)
            assert tenant.night().outcome is Outcome.SUCCEEDED, at
            kept = {(case.row.table, case.row.identity) for case in cases if case.gone_by > at}
            assert tenant.left() == kept | used, at


def test_what_a_reader_finds_reaches_back_as_far_as_general_information_is_kept__P16(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server
) -> None:
    rules = rules_of("puzzel-archive", "default")
    assert clocked.clock is not None
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        cases = cases_of(rules, BIRTHS[2:4])
        tenant.write(case.row for case in cases)
        end = min(model_end(BIRTHS[2], "P180D"), model_end(BIRTHS[3], "P180D"))
        with tenant.databases["Analytical"].connect("reader") as reader:
            for at, reaches_back_to in ((end - SECOND, BIRTHS[2]), (end, BIRTHS[3])):
                clocked.clock.set(at)
                assert tenant.night().outcome is Outcome.SUCCEEDED
                for table in ("requests", "surveys", "access_log"):
                    query = sql.SQL("SELECT min(started_at) FROM public.{}").format(sql.Identifier(table))
                    assert reader.execute(query).fetchone() == (reaches_back_to,), (table, at)
