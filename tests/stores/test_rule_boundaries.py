"""The four profiles' rules beside keep and max at each of their bounds, to the second: when the person goes (X1), when a row
moves to the archive (D3), what bought time keeps (T5), what waits for its approval (M7), the age of log files (M5), the lives of
cached keys (T6). The servers' clock is set; births are those of test_category_boundaries."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import (
    ARCHIVE,
    CacheDefinition,
    CategoryDefinition,
    CategoryState,
    RetentionDefinition,
)
from tenant_retention.domain.rules import Subject, define
from tenant_retention.enforcement.results import Outcome
from tests.stores.cache_servers import FakeSite, cache_of
from tests.stores.servers.postgres import PostgresProcess
from tests.stores.servers.s3 import S3Server
from tests.stores.simulated_tenant import SimulatedTenant, Written, simulated_tenant
from tests.stores.tenant_databases import TenantDatabases, category, definition, table
from tests.stores.test_category_boundaries import BIRTHS, SECOND, Case, cases_of, clocked, databases, expected
from tests.support.api_cases import example_profile
from tests.support.calendar_model import model_end

__all__ = ["clocked", "databases"]

BOUGHT_UNTIL = datetime(2024, 9, 30, 12, tzinfo=UTC)
FORGETTING = {
    "dialogue-cloud": {"call-records": "P90D", "dialogues": "P6M"},
    # At its very min.
    "myoperator": {"call-detail-records": "P1Y", "panel-interactions": "P13M"},
    "puzzel-archive": {"general-information": "P3M"},
    "tencent-ccc": {"call-data": "P1M", "call-analytics": "P45D"},
}

ARCHIVED = [
    ("dialogue-cloud", "call-records", "P6M"),
    # At its very min, which a leap day reaches on the first of March.
    ("myoperator", "call-detail-records", "P1Y"),
    ("puzzel-archive", "general-information", "P1M"),
]


def rules_of(profile: str, **choices: object) -> RetentionDefinition:
    """What a policy with these choices means; no night asks, and few months are looked at."""
    spec = RetentionProfile.from_object(example_profile(profile)).spec
    policy = TenantRetentionPolicySpec.from_object(
        {"profileRef": {"name": profile}, "guard": {"maxDeletedPercent": 100}, **choices}
    )
    rules = define(spec, policy, Subject("installation", "customer", "acme", "uid", 1, 1))
    tables = tuple(table.model_copy(update={"back": "P15M"}) for table in rules.tables)
    return rules.model_copy(update={"tables": tables})


def with_persons(rules: RetentionDefinition, row: Written) -> Written:
    """The row with a number in every column that has one."""
    columns = [each.name for each in rules.table(row.table).columns if each.role == "PhoneNumber"]
    return replace(row, more=dict.fromkeys(columns, "+4712345678"))


def telling(rules: RetentionDefinition, cases: list[Case], at: datetime) -> set[tuple[str, str]]:
    """The rows that still say who called after a night at this instant: a record waits for content of its session (X1)."""
    there = expected(cases, at)
    heard = {
        case.row.session for case in cases if case.category.content_of and (case.row.table, case.row.identity) in there
    }
    found = set()
    for case in cases:
        identity, after = (case.row.table, case.row.identity), case.category.anonymize_after
        told = any(each.role == "PhoneNumber" for each in rules.table(case.row.table).columns)
        forgotten = after is not None and model_end(case.counted_from, after) <= at and case.row.session not in heard
        if told and identity in there and not forgotten:
            found.add(identity)
    return found


def night(tenant: SimulatedTenant, at: datetime) -> None:
    """One at this instant, which succeeds."""
    tenant.clock.set(at)
    result = tenant.night()
    assert result.outcome is Outcome.SUCCEEDED, (at, result)


@pytest.mark.parametrize(("profile", "ages"), FORGETTING.items())
def test_a_row_loses_the_person_at_its_age_to_the_second_and_stays__X1_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, profile: str, ages: Mapping[str, str]
) -> None:
    spec = RetentionProfile.from_object(example_profile(profile)).spec
    keeps = {each.name: each.default for each in spec.categories}
    chosen = [{"category": name, "keep": keeps[name], "anonymizeAfter": age} for name, age in ages.items()]
    rules = rules_of(profile, retention=chosen)
    assert clocked.clock is not None
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        cases = [
            replace(case, row=with_persons(rules, case.row))
            for case in cases_of(rules, BIRTHS[1:4])
            if {case.category.name, case.category.content_of} & ages.keys()
        ]
        tenant.write(case.row for case in cases)
        assert tenant.persons() == telling(rules, cases, BIRTHS[0])
        ends = {
            model_end(case.counted_from, case.category.anonymize_after)
            for case in cases
            if case.category.anonymize_after
        }
        for at in sorted({*ends, *(end - SECOND for end in ends)}):
            night(tenant, at)
            assert (tenant.left(), tenant.persons()) == (expected(cases, at), telling(rules, cases, at)), at


@pytest.mark.parametrize(("profile", "name", "after"), ARCHIVED)
def test_a_row_moves_to_the_archive_at_its_age_to_the_second_and_goes_there_at_its_keep__D3_T5_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, profile: str, name: str, after: str
) -> None:
    spec = RetentionProfile.from_object(example_profile(profile)).spec
    (keep,) = (each.default for each in spec.categories if each.name == name)
    rules = rules_of(profile, retention=[{"category": name, "keep": keep, "archiveAfter": after}])
    assert clocked.clock is not None
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        cases = [case for case in cases_of(rules, BIRTHS[:3]) if case.category.name == name]
        tenant.write(case.row for case in cases)
        moves = {(case.row.table, case.row.identity): model_end(case.counted_from, after) for case in cases}
        ends = {*moves.values(), *(case.goes for case in cases if case.goes)}
        for at in sorted({*ends, *(end - SECOND for end in ends)}):
            night(tenant, at)
            there = expected(cases, at)
            moved = {row for row in there if moves[row] <= at}
            assert (tenant.left(ARCHIVE), tenant.left(cases[0].category.database)) == (moved, there - moved), at


@dataclass(frozen=True)
class BoughtCase(Case):
    """A row of a category whose tenant bought a year."""

    @property
    def goes(self) -> datetime | None:
        """At a year, or when the bought time is over and its own keep was over before."""
        own, bought = super().goes, model_end(self.counted_from, "P1Y")
        assert own is not None
        return bought if bought < BOUGHT_UNTIL else max(own, BOUGHT_UNTIL)


def test_bought_time_keeps_what_it_says_until_its_own_end_to_the_second__T5_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server
) -> None:
    names = ("call-data", "call-recordings")
    until = f"{BOUGHT_UNTIL:%Y-%m-%dT%H:%M:%SZ}"
    rules = rules_of(
        "tencent-ccc", extendedStorage=[{"category": name, "keep": "P1Y", "until": until} for name in names]
    )
    assert clocked.clock is not None
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        cases: list[Case] = [BoughtCase(**vars(case)) for case in cases_of(rules) if case.category.name in names]
        tenant.write(case.row for case in cases)
        ends = {case.goes for case in cases if case.goes}
        assert BOUGHT_UNTIL in ends
        assert len(ends) >= 3
        for at in sorted({*ends, *(end - SECOND for end in ends)}):
            night(tenant, at)
            assert tenant.left() == expected(cases, at), at


def test_media_that_nobody_approved_is_found_at_its_time_to_the_second_and_gone_after_the_next_night__M7_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server
) -> None:
    rules = rules_of("myoperator")
    (keep,) = (each.quarantine.keep for each in rules.categories if each.quarantine)
    assert clocked.clock is not None
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        rows = [Written("ivr_media", f"{born:%F}", born, more={"source": "artist"}) for born in BIRTHS]
        tenant.write(rows)
        there = {(row.table, row.identity) for row in rows}
        for row in rows:
            end = model_end(row.born, keep)
            for at in (end - SECOND, end - SECOND, end):
                night(tenant, at)
                assert tenant.left() == there, at
            night(tenant, end)
            there.remove((row.table, row.identity))
            assert tenant.left() == there, end
        assert tenant.keys() == set()


@pytest.mark.parametrize("keep", ["P6M", "P1Y", "P2Y"])
def test_log_files_are_locked_until_their_min_and_go_at_their_keep_to_the_second__M5_M8_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server, keep: str
) -> None:
    rules = rules_of("myoperator", retention=[{"category": "system-log-files", "keep": keep}])
    (category,) = (each for each in rules.categories if each.files)
    assert category.minimum is not None
    assert clocked.clock is not None
    with simulated_tenant(rules, databases, clocked.clock, seaweedfs) as tenant:
        versions, files, nights = {}, {}, set()
        for born in BIRTHS:
            key = f"logs/{born:%F}"
            put = tenant.storage.client.put_object(tenant.bucket, key, io.BytesIO(b"log"), 3)
            case = Case(category, Written("", key, born), born, timedelta(seconds=rules.margin_seconds))
            assert case.goes is not None
            assert case.min_reached is not None
            versions[key], files[key], tenant.content.modified[key] = put.version_id, case, born
            nights |= {born + SECOND}
            nights |= {end - step for end in (case.min_reached, case.goes) for step in (timedelta(), SECOND)}
        for at in sorted(nights):
            night(tenant, at)
            assert tenant.keys() == {key for key, case in files.items() if case.goes and at < case.goes}, at
            locked = {key for key, version in versions.items() if tenant.content.locked(key, version)}
            assert locked == {
                key for key, case in files.items() if case.min_reached and case.row.born <= at < case.min_reached
            }, at
        assert tenant.keys() == set()


def test_a_cached_key_ends_at_its_keep_and_never_past_its_max_to_the_second__T6_T1_X9(
    clocked: PostgresProcess, databases: TenantDatabases, seaweedfs: S3Server
) -> None:
    bounds = {"short": ("P1M", "P1Y"), "half": ("P6M", "P6M"), "year": ("P1Y", "P2Y")}
    rules = definition(
        [table("calls")],
        [
            category("records", "calls"),
            *(
                CategoryDefinition(
                    name=name,
                    state=CategoryState.NOT_ENFORCED,
                    keep=keep,
                    maximum=maximum,
                    cache=CacheDefinition(prefix=name),
                )
                for name, (keep, maximum) in bounds.items()
            ),
        ],
        guard_percent=100,
    )
    wanted, site = cache_of("acme"), FakeSite()
    clock = clocked.clock
    assert clock is not None
    site.server.now = clock.now
    provision_cache(site.administration, wanted)
    with simulated_tenant(rules, databases, clock, seaweedfs) as tenant:
        tenant.caches["Cache"] = site.enforcer(wanted)
        for seen in BIRTHS:
            ends = {
                wanted.prefix.encode() + name.encode() + b":1": min(
                    model_end(seen, keep), model_end(seen, maximum) - timedelta(seconds=rules.margin_seconds)
                )
                for name, (keep, maximum) in bounds.items()
            }
            clock.set(seen)
            for key in ends:
                site.write(key)
            night(tenant, seen)
            for at in sorted({*ends.values(), *(end - SECOND for end in ends.values())}):
                clock.set(at)
                assert site.living().keys() == {key for key, end in ends.items() if at < end}, (seen, at)
