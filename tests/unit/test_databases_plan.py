"""Database names, markers and plans as pure values; any drift ends in one reconcile (on the twin in memory)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenant_retention.adapters.fakes.databases import InMemoryDatabases, PretendServer
from tenant_retention.domain.database_plan import (
    logins_with,
    plan_database,
    plan_removal,
    rotation,
    warnings_of,
)
from tenant_retention.domain.database_steps import (
    CreateDatabase,
    CreateOwner,
    DropDatabase,
    DropRole,
    SetDatabaseLimits,
    SetDatabasePrivileges,
)
from tenant_retention.domain.databases import (
    DEFAULT_LIMITS,
    PUBLIC,
    DatabaseRoles,
    Group,
    Login,
    Membership,
    ObservedDatabase,
    ObservedInterior,
    ObservedRole,
    WantedDatabase,
    want_database,
)
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.domain.store_marker import StoreMarker

NOTHING = ObservedDatabase("administrator", {}, frozenset(), None)
WANTED = want_database(StoreIdentity("installation", "customer-acme", "acme", "Analytical"), "uid-1")
ACCESS = ServerAccess("db.example", 5432, "administrator", "secret-of-the-administrator", Path("ca.crt"))
PASSWORDS = {role: f"secret-of-{role}" for role in WANTED.roles().logins()}


def finished() -> tuple[InMemoryDatabases, PretendServer]:
    """A server with the wanted database in place."""
    server = PretendServer(ACCESS.user, {ACCESS.user: ACCESS.password})
    databases = InMemoryDatabases({(ACCESS.host, ACCESS.port): server})
    reconcile(databases)
    return databases, server


def reconcile(databases: InMemoryDatabases, wanted: WantedDatabase = WANTED) -> None:
    """Observe, plan, apply."""
    for step in plan_database(wanted, databases.observe(ACCESS, wanted, PASSWORDS)):
        databases.apply(ACCESS, step, PASSWORDS)


@given(st.text(), st.text(), st.text(), st.text(), st.text())
def test_whatever_the_names_every_role_fits_postgresqls_63_bytes(
    namespace: str, policy: str, purpose: str, region: str, unit: str
) -> None:
    identity = StoreIdentity("installation", namespace, policy, purpose, region, unit)

    names = (identity.database(), *DatabaseRoles.of(identity.database()).all_names())

    assert max(len(name.encode()) for name in names) <= 63
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["", "Acme", "1acme", "a" * 49, 'a"b', "a;b", "a\0b", "a\nb", "a b", "ä", "a-b"])
def test_a_database_name_that_this_product_never_makes_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        DatabaseRoles.of(name)

    assert refused.value.field == "database"


@given(st.builds(StoreMarker, *[st.text()] * 8))
def test_a_marker_is_found_again_whatever_it_holds(marker: StoreMarker) -> None:
    assert marker.to_json().isascii()
    assert "\0" not in marker.to_json()
    assert StoreMarker.from_json(marker.to_json()) == marker


@pytest.mark.parametrize(
    "comment", [None, "", "managed by hand", "[]", "null", "{}", '{"installation": 1}', "{", "\\u0000"]
)
def test_a_comment_that_is_not_a_marker_is_no_marker(comment: str | None) -> None:
    assert StoreMarker.from_json(comment) is None


def test_a_marker_of_a_later_version_with_more_fields_is_still_understood() -> None:
    assert StoreMarker.from_json(WANTED.marker.to_json()[:-1] + ', "later": {"field": 1}}') == WANTED.marker


def test_nobody_may_connect_before_the_databases_privileges_are_set() -> None:
    kinds = [type(step) for step in plan_database(WANTED, NOTHING)]

    assert kinds[0] is CreateOwner
    assert kinds.index(CreateDatabase) < kinds.index(SetDatabasePrivileges) < kinds.index(SetDatabaseLimits)


def test_the_marker_goes_last_when_a_store_is_removed() -> None:
    databases, _ = finished()

    steps = plan_removal(WANTED.name, WANTED.marker, databases.observe(ACCESS, WANTED, {}))

    kinds = [type(step) for step in steps]
    assert kinds.index(DropDatabase) < kinds.index(DropRole)
    assert steps[-1] == DropRole(WANTED.roles().owner, WANTED.roles().owner, WANTED.marker)


def test_every_step_says_in_one_line_what_it_does_and_none_tells_a_password() -> None:
    databases, server = finished()
    server.passwords[WANTED.roles().login(Login(Group.APP))] = "changed"
    rotated = replace(WANTED, logins=tuple(Login(group, 2) for group in Group if group is not Group.APP))
    observed = databases.observe(ACCESS, WANTED, PASSWORDS)
    steps = (
        *plan_database(WANTED, NOTHING),
        *plan_database(WANTED, observed),
        *plan_database(rotated, observed),
        *plan_removal(WANTED.name, WANTED.marker, observed),
    )

    told = [(step.describe(), repr(step)) for step in steps]
    assert all("\n" not in line and WANTED.name in line for line, _ in told)
    assert not any("secret-of" in text for pair in told for text in pair)


MEDDLING = (
    "drop a login", "drop a group", "lock", "unlock the owner", "power", "limit", "expiry", "settings", "lost hold",
    "strange member", "lost member", "everybody connects", "administrator out", "closed", "open inside", "password",
)  # fmt: skip


def meddle(server: PretendServer, how: str, which: int) -> None:
    """Changes one thing by hand."""
    roles = WANTED.roles()
    login = sorted(name for name in server.roles if name in roles.logins())
    group = roles.groups()[which % len(roles.groups())]
    target = login[which % len(login)] if login else group
    data = server.data[WANTED.name]
    if target not in server.roles or group not in server.roles:
        return
    match how:
        case "drop a login":
            server.drop_role(target)
        case "drop a group":
            server.drop_role(group)
        case "lock":
            server.change_role(target, login=False)
        case "unlock the owner":
            server.change_role(roles.owner, login=True)
        case "power":
            server.change_role(target, powers=frozenset({"CREATEDB", "CREATEROLE"}))
        case "limit":
            server.change_role(target, connection_limit=which)
        case "expiry":
            server.change_role(target, expires=True, inherits=False)
        case "settings":
            server.change_role(target, settings=frozenset({("elsewhere", "role", "postgres")}))
        case "lost hold":
            server.change_role(group, at_hand=False)
        case "strange member":
            server.memberships.add((roles.owner, target))
        case "lost member":
            server.memberships = {each for each in server.memberships if each[1] != target}
        case "everybody connects":
            server.change_data(WANTED.name, grants=data.grants | {(PUBLIC, "CONNECT"), (target, "CREATE")})
        case "administrator out":
            server.change_data(WANTED.name, grants=frozenset(each for each in data.grants if each[0] != ACCESS.user))
        case "closed":
            server.change_data(WANTED.name, allows_connections=False, connection_limit=0)
        case "open inside":
            server.change_data(WANTED.name, interior=ObservedInterior(frozenset({"CREATE"}), which % 2 == 0))
        case "password":
            server.passwords[target] = "changed by hand"


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MEDDLING), st.integers(0, 11)), min_size=1, max_size=6))
def test_any_mixture_of_changes_by_hand_is_put_right_by_one_reconcile(changes: list[tuple[str, int]]) -> None:
    databases, server = finished()
    before = databases.observe(ACCESS, WANTED, PASSWORDS)
    for how, which in changes:
        meddle(server, how, which)

    reconcile(databases)

    assert databases.observe(ACCESS, WANTED, PASSWORDS) == before


@given(st.sets(st.sampled_from([Login(group, number) for group in Group for number in (1, 2)])))
def test_exactly_the_wanted_logins_exist_afterwards(logins: set[Login]) -> None:
    databases, server = finished()
    wanted = replace(WANTED, logins=tuple(sorted(logins, key=lambda login: (login.group, login.number))))

    reconcile(databases, wanted)

    roles = wanted.roles()
    assert {name for name in server.roles if name in roles.logins()} == {roles.login(login) for login in logins}


def test_a_rotation_overlaps_and_ends_with_the_other_login() -> None:
    assert rotation(Login(Group.APP, 2)) == ((Login(Group.APP, 2), Login(Group.APP, 1)), (Login(Group.APP, 1),))
    assert logins_with((Login(Group.APP, 1), Login(Group.APP, 2)))[-2:] == (Login(Group.APP, 1), Login(Group.APP, 2))
    assert len(logins_with((Login(Group.APP, 2),))) == len(Group)


def test_what_only_a_superuser_can_change_is_a_warning_and_no_step() -> None:
    databases, server = finished()
    app = WANTED.roles().login(Login(Group.APP))
    server.change_role(app, powers=frozenset({"SUPERUSER", "BYPASSRLS"}))
    observed = replace(
        databases.observe(ACCESS, WANTED, PASSWORDS),
        memberships=frozenset({*databases.observe(ACCESS, WANTED, {}).memberships})
        | {Membership(WANTED.roles().owner, "stranger", revocable=False)},
        open_databases=("postgres",),
    )

    messages = [warning.message for warning in warnings_of(WANTED, observed)]

    assert len(messages) == 4
    assert any(f'ALTER ROLE "{app}" NOSUPERUSER' in message for message in messages)
    assert any("stranger" in message and "REVOKE" in message for message in messages)
    assert any("postgres" in message and "FROM PUBLIC" in message for message in messages)
    assert plan_database(WANTED, observed) == ()


def test_a_command_to_paste_is_not_broken_open_by_a_strangers_name__X2() -> None:
    databases, _ = finished()
    observed = databases.observe(ACCESS, WANTED, {})
    hostile = Membership(WANTED.roles().owner, 'x"; DROP ROLE "y', revocable=False)
    observed = replace(observed, memberships=observed.memberships | {hostile})
    messages = [warning.message for warning in warnings_of(WANTED, observed)]
    assert any('FROM "x""; DROP ROLE ""y"' in message for message in messages), messages


def test_limits_are_whole_milliseconds_and_every_group_has_some() -> None:
    assert set(DEFAULT_LIMITS) == set(Group)
    assert DEFAULT_LIMITS[Group.OBSERVER].settings() == {
        "idle_in_transaction_session_timeout": "60000",
        "statement_timeout": "300000",
    }


def test_the_password_of_an_access_is_in_no_text_of_it() -> None:
    assert "secret" not in repr(ACCESS)
    assert "secret" not in str(ObservedRole("name", login=True))
