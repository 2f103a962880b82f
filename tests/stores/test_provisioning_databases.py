"""The contract of database administration, on PostgreSQL 15 and 18 as a non-superuser and on the twin in memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from tenant_retention.domain.database_plan import Claim, claim_of, plan_database, plan_removal, rotation
from tenant_retention.domain.databases import PUBLIC, Group, Login, WantedDatabase, want_database
from tenant_retention.domain.errors import Invalid, NotReady, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.store_marker import StoreMarker
from tests.stores.servers.sites import (
    MemorySite,
    RealSite,
    Site,
    bring_about,
    is_as_wanted,
    logins_of,
    look,
    passwords_of,
)


@pytest.fixture(params=["memory", "postgres15", "postgres18"])
def site(request: pytest.FixtureRequest) -> Site:
    """A server: in memory, or real."""
    if request.param == "memory":
        return MemorySite.create()
    return RealSite(request.getfixturevalue(f"{request.param}_process"))


@pytest.fixture
def installation() -> str:
    """An installation of its own for each test, so that no name is anybody else's."""
    return str(uuid.uuid4())


@pytest.fixture
def wanted(installation: str) -> WantedDatabase:
    """The database of one tenant."""
    return want_database(StoreIdentity(installation, "customer-acme", "acme", "Analytical"), "uid-1")


@pytest.fixture
def neighbour(installation: str) -> WantedDatabase:
    """A policy of the same name in another namespace."""
    return want_database(StoreIdentity(installation, "customer-bolt", "acme", "Analytical"), "uid-2")


def test_an_empty_server_gets_a_dedicated_database_with_a_login_for_each_group__D1(
    site: Site, wanted: WantedDatabase
) -> None:
    assert claim_of(wanted, look(site, wanted)) is Claim.CREATE

    bring_about(site, wanted)

    observed = look(site, wanted)
    assert claim_of(wanted, observed) is Claim.ADOPT
    assert observed.data is not None
    assert observed.data.owner == wanted.roles().owner
    assert sorted(name for name, role in observed.roles.items() if role.login) == sorted(
        f"{wanted.name}_{group}_1" for group in Group
    )
    assert all(site.databases.verify_password(site.server, login) for login in logins_of(wanted, passwords_of(wanted)))


def test_a_second_look_at_a_finished_database_finds_nothing_to_do(site: Site, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)

    assert bring_about(site, wanted) == ()


@pytest.mark.parametrize("cut_after", [1, 4, 7, 8, 9, 10, 11, 14, 16])
def test_work_that_was_cut_off_after_a_step_is_continued_to_the_same_end(
    site: Site, wanted: WantedDatabase, cut_after: int
) -> None:
    steps = plan_database(wanted, look(site, wanted))
    assert cut_after < len(steps)
    for step in steps[:cut_after]:
        site.databases.apply(site.server, step, passwords_of(wanted))

    continued = bring_about(site, wanted)

    assert len(continued) == len(steps) - cut_after
    assert is_as_wanted(site, wanted)


def test_a_step_that_is_done_twice_ends_as_one_that_is_done_once_or_says_to_look_again(
    site: Site, wanted: WantedDatabase
) -> None:
    for step in plan_database(wanted, look(site, wanted)):
        site.databases.apply(site.server, step, passwords_of(wanted))
        if step.describe().startswith("create"):
            with pytest.raises(Unavailable, match="already exists"):
                site.databases.apply(site.server, step, passwords_of(wanted))
        else:
            site.databases.apply(site.server, step, passwords_of(wanted))

    assert is_as_wanted(site, wanted)


@pytest.mark.parametrize("suffix", ["owner", "app", "enforcer_1"])
def test_a_role_of_our_name_without_our_marker_is_a_conflict_and_is_not_touched(
    site: Site, wanted: WantedDatabase, suffix: str
) -> None:
    site.create_role(f"{wanted.name}_{suffix}")
    before = look(site, wanted)

    with pytest.raises(Invalid, match=wanted.name) as conflict:
        bring_about(site, wanted)

    assert conflict.value.reason == "StoreConflict"
    assert look(site, wanted) == before


def test_a_database_of_our_name_that_somebody_else_made_is_a_conflict_and_is_not_touched(
    site: Site, wanted: WantedDatabase
) -> None:
    site.create_database(wanted.name)
    before = look(site, wanted)

    with pytest.raises(Invalid, match=wanted.name) as conflict:
        bring_about(site, wanted)

    assert conflict.value.reason == "StoreConflict"
    assert look(site, wanted) == before


def test_a_database_marked_by_another_installation_is_a_conflict(site: Site, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    site.comment(wanted.roles().owner, replace(wanted.marker, installation="somebody else's").to_json())

    with pytest.raises(Invalid) as conflict:
        bring_about(site, wanted)

    assert conflict.value.reason == "StoreConflict"


def test_a_database_whose_marker_was_overwritten_is_a_conflict(site: Site, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    site.comment(wanted.roles().owner, "managed by hand")

    with pytest.raises(Invalid) as conflict:
        bring_about(site, wanted)

    assert conflict.value.reason == "StoreConflict"


def test_a_recreated_namespace_does_not_get_the_old_data_before_an_administrator_confirms__X5(
    site: Site, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)
    recreated = replace(wanted, marker=replace(wanted.marker, namespace_uid="uid-of-the-new-namespace"))

    with pytest.raises(Invalid, match="claimRef") as released:
        bring_about(site, recreated)
    assert released.value.reason == "StoreReleased"
    assert is_as_wanted(site, wanted)

    bring_about(site, replace(recreated, confirmed_uids=frozenset({"uid-1"})))

    assert is_as_wanted(site, recreated)
    assert claim_of(wanted, look(site, wanted)) is Claim.RELEASED


Meddling = Callable[[Site, WantedDatabase], None]


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(lambda site, wanted: site.let_connect(wanted.name, PUBLIC), id="everybody-may-connect"),
        pytest.param(lambda site, wanted: site.forbid_connections(wanted.name), id="nobody-may-connect"),
        pytest.param(
            lambda site, wanted: site.open_interior(wanted.name, wanted.roles().owner), id="everybody-inside-public"
        ),
        pytest.param(lambda site, wanted: site.change_login(f"{wanted.name}_app_1", "CREATEDB"), id="createdb"),
        pytest.param(lambda site, wanted: site.change_login(f"{wanted.name}_app_1", "CREATEROLE"), id="createrole"),
        pytest.param(lambda site, wanted: site.change_login(f"{wanted.name}_app_1", "NOLOGIN"), id="locked"),
        pytest.param(
            lambda site, wanted: site.change_login(f"{wanted.name}_app_1", "CONNECTION LIMIT 7"), id="connection-limit"
        ),
        pytest.param(
            lambda site, wanted: site.set_setting(f"{wanted.name}_app_1", "statement_timeout", "1"), id="timeout"
        ),
        pytest.param(
            lambda site, wanted: site.set_setting(f"{wanted.name}_app_1", "search_path", "elsewhere"), id="search-path"
        ),
        pytest.param(
            lambda site, wanted: site.grant_role(wanted.roles().owner, f"{wanted.name}_app_1"), id="app-is-owner"
        ),
        pytest.param(
            lambda site, wanted: site.grant_role(wanted.roles().enforcer, wanted.roles().app), id="app-is-enforcer"
        ),
        pytest.param(
            lambda site, wanted: site.revoke_role(wanted.roles().app, f"{wanted.name}_app_1"), id="app-not-in-its-group"
        ),
        pytest.param(lambda site, wanted: site.set_password(f"{wanted.name}_app_1", "changed by hand"), id="password"),
    ],
)
def test_what_somebody_changed_by_hand_is_put_right_by_one_reconcile(
    site: Site, wanted: WantedDatabase, meddle: Meddling
) -> None:
    bring_about(site, wanted)
    finished = look(site, wanted)
    meddle(site, wanted)
    assert not is_as_wanted(site, wanted), "the change must be seen"

    bring_about(site, wanted)

    assert look(site, wanted) == finished


def test_a_grant_to_a_stranger_is_taken_back_whatever_the_stranger_is_called(
    site: Site, wanted: WantedDatabase, installation: str
) -> None:
    bring_about(site, wanted)
    finished = look(site, wanted)
    stranger = f'x"; DROP ROLE "{installation[:8]}\n'
    site.create_role(stranger)
    site.let_connect(wanted.name, stranger)
    site.grant_role(wanted.roles().app, stranger)

    bring_about(site, wanted)

    assert look(site, wanted) == finished


def test_a_login_whose_stored_password_no_longer_works_gets_it_again_and_no_other_login_is_touched(
    site: Site, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)
    site.set_password(f"{wanted.name}_reader_1", "changed by hand")

    steps = bring_about(site, wanted)

    assert [step.describe() for step in steps] == [f"set the password of {wanted.name}_reader_1"]
    assert all(site.databases.verify_password(site.server, login) for login in logins_of(wanted, passwords_of(wanted)))


def test_a_password_changes_with_an_overlap_and_the_old_login_goes_cleanly(site: Site, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    others = tuple(login for login in wanted.logins if login.group is not Group.APP)
    overlap, after = rotation(Login(Group.APP))
    passwords = passwords_of(wanted)

    during = replace(wanted, logins=others + overlap)
    bring_about(site, during)
    both = [login for login in logins_of(during, passwords) if "_app_" in login.role]
    assert [site.databases.verify_password(site.server, login) for login in both] == [True, True]

    finally_wanted = replace(wanted, logins=others + after)
    bring_about(site, finally_wanted)

    assert is_as_wanted(site, finally_wanted)
    assert [site.databases.verify_password(site.server, login) for login in both] == [False, True]
    assert f"{wanted.name}_app_1" not in look(site, wanted).roles


def test_equal_policy_names_in_two_namespaces_get_two_databases_that_refuse_each_other__X2(
    site: Site, wanted: WantedDatabase, neighbour: WantedDatabase
) -> None:
    bring_about(site, wanted)
    bring_about(site, neighbour)

    assert wanted.name != neighbour.name
    for mine in (wanted, neighbour):
        logins = logins_of(mine, passwords_of(mine))
        report = site.databases.probe_isolation(site.server, logins, [wanted.name, neighbour.name, "postgres"])
        assert report.verified(), report.findings
        assert report.tried >= len(mine.logins) * 2


def test_a_tenant_that_gets_into_anothers_database_breaks_isolation__X2(
    site: Site, wanted: WantedDatabase, neighbour: WantedDatabase
) -> None:
    bring_about(site, wanted)
    bring_about(site, neighbour)
    entering = f"{wanted.name}_app_1"
    site.let_connect(neighbour.name, entering)

    # Into every database of the server, of which other tests leave many: as one login.
    logins = [login for login in logins_of(wanted, passwords_of(wanted)) if login.role == entering]
    report = site.databases.probe_isolation(site.server, logins)

    assert not report.verified()
    # Other tests may have left open databases on this server: only the neighbour's is this test's business.
    serious = [(finding.login, finding.what) for finding in report.findings if finding.serious]
    assert [found for found in serious if neighbour.name in found[1]] == [
        (entering, f"connects to database {neighbour.name}")
    ]


def test_a_login_that_can_become_the_owner_breaks_isolation__X2(site: Site, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    site.grant_role(wanted.roles().owner, f"{wanted.name}_reader_1")

    report = site.databases.probe_isolation(site.server, logins_of(wanted, passwords_of(wanted)), [wanted.name])

    assert any(f"become {wanted.roles().owner}" in finding.what for finding in report.findings if finding.serious)
    assert not report.verified()


def test_databases_that_are_nobodys_store_but_open_to_all_are_reported_and_are_no_breach(
    site: Site, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)

    logins = logins_of(wanted, passwords_of(wanted))
    report = site.databases.probe_isolation(site.server, logins, ["postgres"])

    assert report.verified()
    assert "connects to database postgres" in {finding.what for finding in report.findings}


def test_isolation_is_not_believed_of_a_login_that_cannot_even_reach_its_own_database__X2(
    site: Site, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)
    logins = logins_of(wanted, passwords_of(wanted, suffix="-wrong"))

    with pytest.raises(NotReady) as not_yet:
        site.databases.probe_isolation(site.server, logins, [wanted.name, "postgres"])

    assert not_yet.value.reason == "NotYetVerified"


@pytest.mark.parametrize(
    "hostile",
    [
        "o'brien",
        'say "hi"',
        "x; DROP DATABASE postgres; --",
        "nul\0byte",
        "two\nlines",
        "n" * 300,
        "日本",
        "%s{0}",
        "\\",
    ],
    ids=[
        "quote",
        "double-quote",
        "semicolon",
        "nul",
        "newline",
        "300-characters",
        "not-ascii",
        "placeholders",
        "backslash",
    ],
)
def test_a_hostile_name_harms_nothing_and_is_found_again_in_the_marker(
    site: Site, installation: str, hostile: str
) -> None:
    wanted = want_database(StoreIdentity(installation, hostile, hostile, hostile, unit=hostile), hostile)

    bring_about(site, wanted)

    assert is_as_wanted(site, wanted)
    assert [(each.name, each.marker) for each in site.databases.discover(site.server, installation)] == [
        (wanted.name, wanted.marker)
    ]


def test_two_names_that_are_equal_after_cutting_are_two_databases(site: Site, installation: str) -> None:
    long = "a-customer-with-a-name-longer-than-a-database-name-may-be"
    first, second = (
        want_database(StoreIdentity(installation, "ns", f"{long}-{which}", "Analytical"), "uid-1")
        for which in ("one", "two")
    )
    assert first.name[:30] == second.name[:30]

    bring_about(site, first)
    bring_about(site, second)

    assert is_as_wanted(site, first)
    assert is_as_wanted(site, second)
    assert {each.name for each in site.databases.discover(site.server, installation)} == {first.name, second.name}


def test_the_ledger_can_be_written_anew_from_the_markers_of_this_installation_alone(
    site: Site, wanted: WantedDatabase, neighbour: WantedDatabase
) -> None:
    foreign = want_database(StoreIdentity("another installation", wanted.marker.store, "acme", "Analytical"), "uid-9")
    for each in (wanted, neighbour, foreign):
        bring_about(site, each)

    found = {
        each.name: (each.marker, each.exists)
        for each in site.databases.discover(site.server, wanted.marker.installation)
    }

    assert found == {wanted.name: (wanted.marker, True), neighbour.name: (neighbour.marker, True)}


def test_removal_leaves_nothing_of_the_tenant_and_everything_of_its_neighbour(
    site: Site, wanted: WantedDatabase, neighbour: WantedDatabase
) -> None:
    bring_about(site, wanted)
    bring_about(site, neighbour)

    for step in plan_removal(wanted.name, wanted.marker, look(site, wanted)):
        site.databases.apply(site.server, step, {})

    gone = look(site, wanted)
    assert (gone.data, dict(gone.roles), gone.memberships) == (None, {}, frozenset())
    assert plan_removal(wanted.name, wanted.marker, gone) == ()
    assert is_as_wanted(site, neighbour)


@pytest.mark.parametrize("cut_after", [1, 6, 7, 8, 14, 19])
def test_removal_that_was_cut_off_after_a_step_is_continued(site: Site, wanted: WantedDatabase, cut_after: int) -> None:
    bring_about(site, wanted)
    steps = plan_removal(wanted.name, wanted.marker, look(site, wanted))
    assert cut_after < len(steps)
    for step in steps[:cut_after]:
        site.databases.apply(site.server, step, {})

    for step in plan_removal(wanted.name, wanted.marker, look(site, wanted)):
        site.databases.apply(site.server, step, {})

    assert look(site, wanted).roles == {}


def test_nothing_is_removed_under_another_marker_than_the_ledgers__X5(site: Site, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    planned = plan_removal(wanted.name, wanted.marker, look(site, wanted))
    other = replace(wanted.marker, namespace_uid="another namespace")
    with pytest.raises(Invalid) as refused:
        plan_removal(wanted.name, other, look(site, wanted))
    assert refused.value.reason == "StoreConflict"

    # The marker changed after the plan was made: the destructive steps read it anew.
    site.comment(wanted.roles().owner, other.to_json())
    for step in planned:
        if not step.describe().startswith("drop"):
            continue
        with pytest.raises(Invalid) as stopped:
            site.databases.apply(site.server, step, {})
        assert stopped.value.reason == "StoreConflict"

    observed = look(site, wanted)
    assert observed.data is not None
    assert StoreMarker.from_json(observed.roles[wanted.roles().owner].comment) == other


def test_a_wrong_administrator_password_is_named_without_being_told(site: Site, wanted: WantedDatabase) -> None:
    wrong = replace(site.server, password="wrong-but-secret")

    with pytest.raises(Invalid) as refused:
        site.databases.observe(wrong, wanted, {})

    assert refused.value.reason == "AuthenticationFailed"
    assert site.server.user in refused.value.message
    assert "wrong-but-secret" not in refused.value.message


def test_a_server_that_is_away_is_tried_again_later(site: Site, wanted: WantedDatabase) -> None:
    away = replace(site.server, port=1)

    with pytest.raises(Unavailable, match="localhost:1") as unreachable:
        site.databases.observe(away, wanted, {})

    assert unreachable.value.reason == "ServerUnreachable"


def test_a_server_that_is_too_old_is_named_with_its_version_and_the_one_needed(site: Site) -> None:
    demanding = site.with_minimum_version(990_000)

    with pytest.raises(Invalid, match=r"PostgreSQL 1[578]") as too_old:
        demanding.facts(site.server)

    assert too_old.value.reason == "ServerTooOld"


def test_what_a_server_says_of_itself_is_shown__D6(site: Site) -> None:
    facts = site.databases.facts(site.server)

    assert facts.version >= 150_000
    assert facts.tls.startswith("TLSv1.")
    assert (facts.can_create_database, facts.can_create_role, facts.superuser) == (True, True, False)
    assert facts.latency.total_seconds() > 0
