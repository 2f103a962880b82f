"""What only a real PostgreSQL can show: TLS, logs, sessions, ownership, kills, and what a superuser did."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tenant_retention.adapters.postgres import roles
from tenant_retention.adapters.postgres.administration import PostgresAdministration
from tenant_retention.adapters.postgres.connections import Timeouts, connect
from tenant_retention.adapters.postgres.passwords import scram_sha_256
from tenant_retention.domain.database_plan import plan_removal, warnings_of
from tenant_retention.domain.database_steps import CreateLogin
from tenant_retention.domain.databases import DEFAULT_LIMITS, Group, Login, WantedDatabase, want_database
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.servers import SYSTEM_AUTHORITIES, ServerAccess
from tests.stores.servers.certificates import ThrowawayAuthority
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.servers.reconcile_and_die import wanted_of
from tests.stores.servers.sites import RealSite, bring_about, is_as_wanted, look, passwords_of

pytestmark = pytest.mark.oldest_and_newest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(postgres_process: PostgresProcess) -> RealSite:
    """A real server."""
    return RealSite(postgres_process)


@pytest.fixture
def wanted() -> WantedDatabase:
    """A tenant's database of its own for each test."""
    return want_database(StoreIdentity(str(uuid.uuid4()), "customer-acme", "acme", "Analytical"), "uid-1")


def as_login(site: RealSite, wanted: WantedDatabase, login: Login, database: str | None = None) -> ServerAccess:
    role = wanted.roles().login(login)
    return replace(site.server, user=role, password=passwords_of(wanted)[role], database=database or wanted.name)


def test_no_password_is_ever_part_of_a_statement_or_of_the_servers_log(
    site: RealSite, wanted: WantedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is, without what makes the other tests quick.
    monkeypatch.setattr(roles, "scram_sha_256", scram_sha_256)
    bring_about(site, wanted)
    changed = passwords_of(wanted, suffix="-changed")
    bring_about(site, wanted, changed)
    bring_about(site, replace(wanted, logins=tuple(Login(group, 2) for group in Group)), changed)

    # log_statement is "all" on the test servers: what is in pg_stat_activity is in the log, and stays there.
    log = site.process.log()
    assert f'CREATE ROLE "{wanted.name}_app_1" LOGIN' in log
    assert "SCRAM-SHA-256$4096:" in log
    secrets = {*passwords_of(wanted).values(), *changed.values(), site.server.password}
    assert [secret for secret in secrets if secret in log] == []


def test_an_error_quotes_neither_the_statement_nor_a_password_verifier(site: RealSite, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    roles = wanted.roles()
    again = CreateLogin(roles.login(Login(Group.APP)), roles.app, DEFAULT_LIMITS[Group.APP])

    with pytest.raises(Unavailable) as error:
        site.databases.apply(site.server, again, passwords_of(wanted))

    assert "already exists" in error.value.message
    assert "SCRAM" not in error.value.message
    assert error.value.__cause__ is None


def test_a_certificate_of_another_authority_is_refused(site: RealSite, tmp_path: Path) -> None:
    other = tmp_path / "ca.crt"
    other.write_bytes(ThrowawayAuthority.create("somebody else").pem())

    with pytest.raises(Invalid, match="certificate verify failed") as refused:
        site.databases.facts(replace(site.server, ca_file=other))

    assert refused.value.reason == "CertificateInvalid"


def test_a_certificate_for_another_host_is_refused(site: RealSite) -> None:
    with pytest.raises(Invalid, match="does not match host name") as refused:
        site.databases.facts(replace(site.server, host="127.0.0.1"))

    assert refused.value.reason == "CertificateInvalid"


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"], ids=["missing", "empty", "garbage"])
def test_without_a_usable_authority_there_is_no_connection(
    site: RealSite, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(Invalid) as refused:
        site.databases.facts(replace(site.server, ca_file=file))

    assert refused.value.reason == "CertificateInvalid"


def test_a_class_without_an_authority_of_its_own_believes_those_of_the_machine(
    postgres17: ServerAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    anybody = replace(postgres17, ca_file=SYSTEM_AUTHORITIES)
    with pytest.raises(Invalid) as unknown:
        PostgresAdministration().facts(anybody)
    assert unknown.value.reason == "CertificateInvalid"

    monkeypatch.setenv("SSL_CERT_FILE", str(postgres17.ca_file))

    assert PostgresAdministration().facts(anybody).tls.startswith("TLSv1.")


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A port where something that is no PostgreSQL accepts one connection; it sends ``answer``, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            held.append(peer)
            if answer is not None:
                peer.recv(8)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for peer in held:
                peer.close()


def test_a_server_without_tls_gets_no_password(postgres17: ServerAccess) -> None:
    with listening(answer=b"N") as port, pytest.raises(Invalid, match="SSL") as refused:
        PostgresAdministration().facts(replace(postgres17, port=port))

    assert refused.value.reason == "CertificateInvalid"


def test_a_server_that_never_answers_is_too_slow_and_is_tried_again(postgres17: ServerAccess) -> None:
    impatient = PostgresAdministration(timeouts=Timeouts(connect=timedelta(seconds=2)))

    with listening(answer=None) as port, pytest.raises(Unavailable) as slow:
        impatient.facts(replace(postgres17, port=port))

    assert slow.value.reason == "ServerTooSlow"


def test_a_lock_that_is_not_had_in_time_is_tried_again(site: RealSite, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    impatient = PostgresAdministration(timeouts=Timeouts(lock=timedelta(milliseconds=200)))

    with connect_as(site.process.superuser) as other, other.transaction():
        other.execute("LOCK TABLE pg_shdescription IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable) as slow:
            impatient.observe(site.server, wanted, {})

    assert slow.value.reason == "ServerTooSlow"


@pytest.mark.parametrize("host", ["one.example,two.example", "/var/run/postgresql", "@socket", "", "a b", "host'x"])
def test_a_host_that_libpq_would_understand_otherwise_is_refused(postgres17: ServerAccess, host: str) -> None:
    with pytest.raises(Invalid, match="one host") as refused:
        PostgresAdministration().facts(replace(postgres17, host=host))

    assert refused.value.field == "host"


def test_a_database_name_that_looks_like_a_connection_string_is_only_a_name(postgres17: ServerAccess) -> None:
    with pytest.raises(Unavailable, match='database "host=elsewhere port=1 sslmode=disable" does not exist'):
        connect(replace(postgres17, database="host=elsewhere port=1 sslmode=disable"), application_name="test")


@pytest.mark.parametrize("secret", ["", "nul\0inside"])
def test_an_unusable_password_is_refused_before_anything_is_sent(postgres17: ServerAccess, secret: str) -> None:
    with pytest.raises(Invalid) as refused:
        PostgresAdministration().facts(replace(postgres17, password=secret))

    assert refused.value.reason == "AuthenticationFailed"


def test_an_administrators_session_looks_names_up_in_the_catalog_alone(postgres17: ServerAccess) -> None:
    with connect(postgres17, application_name="test") as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog",)
        assert connection.execute("SHOW lock_timeout").fetchone() == ("10s",)


def test_the_owner_and_the_groups_cannot_log_in(site: RealSite, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    owner = wanted.roles().owner
    site.set_password(owner, "a password")

    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        connect_as(replace(site.server, user=owner, password="a password", database=wanted.name))


def test_the_limits_of_a_login_are_in_force_from_its_first_statement(site: RealSite, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)

    with connect_as(as_login(site, wanted, Login(Group.OBSERVER))) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("5min",)
        assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("1min",)


def test_what_the_owner_makes_is_closed_to_everybody_until_it_is_granted(
    site: RealSite, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)
    owner = wanted.roles().owner
    site.superuser("CREATE SCHEMA made_later AUTHORIZATION {}", owner, database=wanted.name)
    with connect_as(replace(site.server, database=wanted.name)) as connection, connection.transaction():
        connection.execute(f'SET LOCAL ROLE "{owner}"')
        connection.execute("CREATE FUNCTION made_later.answer() RETURNS integer LANGUAGE sql AS 'SELECT 42'")
        connection.execute(f'GRANT USAGE ON SCHEMA made_later TO "{wanted.roles().app}"')

    with (
        connect_as(as_login(site, wanted, Login(Group.APP))) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="function answer"),
    ):
        connection.execute("SELECT made_later.answer()")


def test_a_tenants_login_gets_neither_into_a_neighbours_database_nor_around_its_own_limits__X2(
    site: RealSite, wanted: WantedDatabase
) -> None:
    neighbour = want_database(StoreIdentity(wanted.marker.installation, "customer-bolt", "acme", "Analytical"), "uid-2")
    bring_about(site, wanted)
    bring_about(site, neighbour)
    for login in wanted.logins:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect_as(as_login(site, wanted, login, database=neighbour.name))
        with connect_as(as_login(site, wanted, login)) as connection:
            for forbidden in (
                "CREATE TABLE public.mine (id int)",
                "CREATE TEMP TABLE mine (id int)",
                "CREATE SCHEMA mine",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)


def test_rotation_ends_the_old_logins_sessions_and_loses_nothing_that_it_owned(
    site: RealSite, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)
    with connect_as(as_login(site, wanted, Login(Group.APP))) as old_session:
        row = old_session.execute("SELECT lo_from_bytea(0, 'a voice message')").fetchone()
        assert row is not None
        others = tuple(login for login in wanted.logins if login.group is not Group.APP)

        rotated = replace(wanted, logins=(*others, Login(Group.APP, 2)))
        bring_about(site, rotated)

        with pytest.raises(psycopg.OperationalError):
            old_session.execute("SELECT 1")
    assert is_as_wanted(site, rotated)
    kept = site.superuser(
        "SELECT pg_get_userbyid(lomowner), convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata",
        database=wanted.name,
    )
    assert kept == [(wanted.roles().owner, "a voice message")]


def test_a_login_that_left_something_in_another_database_can_still_be_rotated_and_removed(
    site: RealSite, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)
    with connect_as(as_login(site, wanted, Login(Group.APP), database="postgres")) as astray:
        astray.execute("SELECT lo_from_bytea(0, 'left here')")

    rotated = replace(wanted, logins=(Login(Group.APP, 2),))
    bring_about(site, rotated)
    for step in plan_removal(wanted.name, wanted.marker, look(site, rotated)):
        site.databases.apply(site.server, step, {})

    assert look(site, wanted).roles == {}
    assert site.superuser("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]


def test_a_database_is_removed_although_clients_are_still_connected(site: RealSite, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    with connect_as(as_login(site, wanted, Login(Group.APP))) as client:
        for step in plan_removal(wanted.name, wanted.marker, look(site, wanted)):
            site.databases.apply(site.server, step, {})
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")

    assert look(site, wanted).data is None


def test_a_database_whose_sessions_cannot_all_be_ended_stays_and_its_removal_is_tried_again(
    site: RealSite, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)

    # Autovacuum, too, is a superuser's session; unlike a person's the server ends it by itself.
    def remove() -> None:
        for step in plan_removal(wanted.name, wanted.marker, look(site, wanted)):
            site.databases.apply(site.server, step, {})

    with connect_as(replace(site.process.superuser, database=wanted.name)):
        with pytest.raises(Unavailable):
            remove()
        assert look(site, wanted).data is not None
    remove()
    assert look(site, wanted).data is None


def test_databases_that_everybody_may_enter_are_reported_until_their_owner_closes_them(
    site: RealSite, wanted: WantedDatabase
) -> None:
    def open_to_everybody() -> set[str]:
        told = [warning.message for warning in warnings_of(wanted, look(site, wanted))]
        lists = [m.removeprefix("everybody may connect to ").partition(", this tenant")[0] for m in told]
        return {name for names in lists for name in names.split(", ")}

    bring_about(site, wanted)
    # Other tests may have left databases of their own on this server.
    assert open_to_everybody() >= {"postgres", "template1"}

    administrator = site.server.user
    try:
        site.superuser("GRANT CONNECT ON DATABASE postgres TO {}", administrator)
        site.superuser("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
        assert "postgres" not in open_to_everybody()
        assert is_as_wanted(site, wanted)
    finally:
        site.superuser("GRANT CONNECT ON DATABASE postgres TO PUBLIC")
        site.superuser("REVOKE CONNECT ON DATABASE postgres FROM {}", administrator)


def test_a_membership_that_only_a_superuser_can_take_back_is_reported_with_what_to_type(
    site: RealSite, wanted: WantedDatabase
) -> None:
    bring_about(site, wanted)
    login = f"{wanted.name}_reader_1"
    site.superuser("GRANT pg_read_all_data TO {}", login)
    if site.process.version < 16:
        # CREATEROLE could still take it back then: it is put right.
        bring_about(site, wanted)
        assert is_as_wanted(site, wanted)
        assert not any(login in warning.message for warning in warnings_of(wanted, look(site, wanted)))
        return

    bring_about(site, wanted)

    messages = [warning.message for warning in warnings_of(wanted, look(site, wanted))]
    assert any(f'REVOKE "pg_read_all_data" FROM "{login}"' in message for message in messages), messages


def test_what_a_login_passed_on_by_a_superusers_grant_is_taken_back(site: RealSite, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    stranger = f"a_stranger_{wanted.name[-10:]}"
    site.create_role(stranger)
    site.superuser("GRANT {} TO {} WITH ADMIN OPTION", wanted.roles().reader, f"{wanted.name}_app_1")
    with connect_as(as_login(site, wanted, Login(Group.APP))) as login:
        login.execute(f'GRANT "{wanted.roles().reader}" TO "{stranger}"')

    bring_about(site, wanted)

    assert stranger not in {each.member for each in look(site, wanted).memberships}


def test_a_login_that_was_made_superuser_is_reported(site: RealSite, wanted: WantedDatabase) -> None:
    bring_about(site, wanted)
    login = f"{wanted.name}_app_1"
    site.superuser("ALTER ROLE {} SUPERUSER", login)
    try:
        messages = [warning.message for warning in warnings_of(wanted, look(site, wanted))]
    finally:
        site.superuser("ALTER ROLE {} NOSUPERUSER", login)

    assert any("NOSUPERUSER" in message for message in messages), messages


def test_an_administrator_without_createrole_is_told_what_is_missing(site: RealSite, wanted: WantedDatabase) -> None:
    site.superuser("ALTER ROLE {} NOCREATEROLE", site.server.user)
    try:
        assert not site.databases.facts(site.server).can_create_role
        with pytest.raises(Invalid, match="CREATEROLE") as refused:
            bring_about(site, wanted)
    finally:
        site.superuser("ALTER ROLE {} CREATEROLE", site.server.user)

    assert refused.value.reason == "PrivilegesMissing"


def test_a_reconcile_that_is_killed_again_and_again_ends_as_one_that_never_was(site: RealSite) -> None:
    installation = str(uuid.uuid4())
    kills = 0
    for number in (1, 2):
        wanted = wanted_of(installation, number)
        # Each attempt may go some statements further than the one before, so that every statement is died at or near.
        for statements in range(6, 200):
            outcome = _reconcile_and_die(site.server, installation, number, statements)
            if outcome == 0:
                break
            assert outcome == -signal.SIGKILL
            kills += 1
        else:
            raise AssertionError("it never came to an end")
        assert is_as_wanted(site, wanted), number
    assert kills >= 10


def _reconcile_and_die(server: ServerAccess, installation: str, number: int, statements: int) -> int:
    told = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "ca_file": str(server.ca_file),
        "installation": installation,
        "number": number,
        "statements": statements,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.servers.reconcile_and_die"],
        input=json.dumps(told),
        text=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"},
        timeout=120,
        check=False,
    )
    assert done.stderr == "", done.stderr
    return done.returncode
