"""Every category of the four vendors' profiles at its max, to the second: what no night took is debt from that instant on (M10, X4),
also where longer storage was bought (T5). The servers' clock is set; births are those of test_category_boundaries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.domain.definition import CategoryState, RetentionDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.results import Outcome
from tests.stores.servers.postgres import PostgresProcess
from tests.stores.servers.s3 import S3Server
from tests.stores.simulated_tenant import SimulatedTenant, Written, simulated_tenant
from tests.stores.tenant_databases import TenantDatabases
from tests.stores.test_category_boundaries import BIRTHS, SECOND, Case, cases_of, clocked, databases
from tests.stores.test_rule_boundaries import rules_of
from tests.support.api_cases import example_profile
from tests.support.calendar_model import model_end

__all__ = ["clocked", "databases"]

PROFILES = ("dialogue-cloud", "myoperator", "puzzel-archive", "tencent-ccc")
OFFERING = ("dialogue-cloud", "tencent-ccc")
"""Those with longer storage to buy."""
UNTIL = datetime(2026, 9, 15, 12, tzinfo=UTC)
"""An end of bought time: some births are past the longer max before it, some past their own max after it, the others between."""


def as_long_as_it_may_be(profile: str, *, bought: bool = False, until: datetime | None = None) -> RetentionDefinition:
    """What a policy means whose every keep is the category's max, and that bought all that the profile offers."""
    categories = RetentionProfile.from_object(example_profile(profile)).spec.categories
    time = {"until": f"{until:%Y-%m-%dT%H:%M:%SZ}"} if until else {}
    offers = {each.name: each.extended_max for each in categories if each.extended_max} if bought else {}
    return rules_of(
        profile,
        retention=[{"category": each.name, "keep": each.max} for each in categories if each.max],
        extendedStorage=[{"category": name, "keep": longest, **time} for name, longest in offers.items()],
    )


@dataclass(frozen=True)
class Owed(Case):
    """A row that has to be gone by its max, and by the longer one that was bought while that lasts."""

    @property
    def gone_by(self) -> datetime:
        """Nobody may delete it before the bought time is over: that is a margin, the time a night needs, before it is debt."""
        own, extended = super().gone_by, self.category.extended
        if extended is None:
            return own
        longest = model_end(self.counted_from, extended.maximum)
        return min(longest, max(own, extended.until + self.margin)) if extended.until else longest


def with_a_max(tenant: SimulatedTenant) -> Iterator[Owed]:
    """A row in every table of every category, and a file of each category that has files, for each birth; all written."""
    rules = tenant.rules
    rows = [Owed(**vars(case)) for case in cases_of(rules)]
    tenant.write(case.row for case in rows)
    yield from (case for case in rows if case.category.state is CategoryState.ENFORCED)
    for category in (each for each in rules.categories if each.files):
        for born in BIRTHS:
            file = Written("", f"logs/{born:%F}", born)
            tenant.write_file(file.name, born)
            yield Owed(category, file, born, timedelta(seconds=rules.margin_seconds))


def overdue(tenant: SimulatedTenant) -> dict[str, int]:
    """What the operator reads, by category, in all databases."""
    found: dict[str, int] = {}
    for database in tenant.databases.values():
        for each in database.observer().observe().categories:
            found[each.category] = found.get(each.category, 0) + each.overdue
    return found


def debt_grows_at_each_end(tenant: SimulatedTenant) -> list[Owed]:
    """Nobody takes anything until the last max is over by a second."""
    cases = list(with_a_max(tenant))
    assert {case.category.name for case in cases} == {each.name for each in tenant.rules.categories if each.maximum}
    if any(case.category.files for case in cases):
        # Of files the database knows what a run counted.
        assert tenant.night(Mode.DRY_RUN).outcome is Outcome.SUCCEEDED
    for at in sorted({case.gone_by + step for case in cases for step in (-SECOND, timedelta(), SECOND)}):
        tenant.clock.set(at)
        owed = dict.fromkeys((each.name for each in tenant.rules.categories), 0)
        for case in cases:
            owed[case.category.name] += case.gone_by <= at
        assert overdue(tenant) == owed, at
    return cases


@pytest.mark.parametrize("profile", PROFILES)
def test_what_no_night_took_is_debt_from_its_max_on_and_goes_in_the_next_night__M10_X4_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, profile: str
) -> None:
    assert clocked.clock is not None
    with simulated_tenant(as_long_as_it_may_be(profile), databases, clocked.clock, seaweedfs) as tenant:
        cases = debt_grows_at_each_end(tenant)
        assert tenant.night().outcome is Outcome.SUCCEEDED
        assert set(overdue(tenant).values()) == {0}
        assert tenant.left().isdisjoint({(case.row.table, case.row.identity) for case in cases})
        assert tenant.keys() == set()


@pytest.mark.parametrize("profile", OFFERING)
def test_what_was_bought_is_debt_from_the_longer_max_on__T5_M10_X4_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, profile: str
) -> None:
    assert clocked.clock is not None
    rules = as_long_as_it_may_be(profile, bought=True)
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        debt_grows_at_each_end(tenant)


@pytest.mark.parametrize("profile", OFFERING)
def test_what_only_bought_time_kept_is_debt_a_margin_after_its_end__T5_M10_X4_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, profile: str
) -> None:
    assert clocked.clock is not None
    rules = as_long_as_it_may_be(profile, bought=True, until=UNTIL)
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        ends = {case.gone_by for case in debt_grows_at_each_end(tenant)}
    after = UNTIL + timedelta(seconds=rules.margin_seconds)
    assert after in ends
    assert {end < after for end in ends} == {True, False}
