"""The encryption probe on real PostgreSQL, SeaweedFS and MinIO: what travels or lies in the clear is found and named (T8)."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.adapters.postgres.encryption import admits_plain
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.encryption import answers_plainly
from tenant_retention.adapters.s3.tenant_buckets import S3TenantBuckets, identities
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, wanted_identity
from tenant_retention.domain.bucket_steps import RemoveUser
from tenant_retention.domain.errors import NotReady, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import DATABASE_ROLES, BucketRequest, DatabaseRequest, DatabaseServer
from tenant_retention.domain.servers import ServerAccess
from tests.stores.servers.install import NEWEST, OLDEST
from tests.stores.servers.postgres import PostgresProcess, connect_as, running_postgres
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import records
from tests.support.waiting import eventually


@pytest.fixture(scope="module", params=(OLDEST, NEWEST), ids=lambda version: f"postgres{version}")
def own_process(request: pytest.FixtureRequest) -> Iterator[PostgresProcess]:
    """A server whose rules of who may connect a test may change."""
    with running_postgres(request.param) as process:
        yield process


class Database:
    """A tenant's database as the reconcile makes it."""

    def __init__(self, process: PostgresProcess, directory: Path) -> None:
        self.access = access = process.administrator
        self.stores = RealTenantStores(directory)
        server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
        identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Analytical")
        passwords = {role: f"password of {role}" for role in DATABASE_ROLES}
        self.request = DatabaseRequest(server, identity, "uid-1", records(), passwords)
        self.users = self.stores.prepare_database(self.request).usernames

    def login(self, role: str) -> ServerAccess:
        """One of its logins."""
        password = self.request.passwords[role]
        return replace(self.access, database=self.request.name, user=self.users[role], password=password)

    def breaches(self) -> tuple[str, ...]:
        """What the probe finds."""
        return self.stores.probe_database_encryption(self.request)


@pytest.fixture
def database(own_process: PostgresProcess, tmp_path: Path) -> Database:
    """One customer's database."""
    return Database(own_process, tmp_path)


@contextmanager
def also_allowing(process: PostgresProcess, line: str) -> Iterator[None]:
    """The server with one more line in its pg_hba.conf."""
    file = process.log_file.parent / "data" / "cluster" / "pg_hba.conf"
    before = file.read_text()

    def load(text: str, plain: bool) -> None:
        file.write_text(text)
        with connect_as(process.superuser) as superuser:
            superuser.execute("SELECT pg_reload_conf()")
        eventually(lambda: admits_plain(process.superuser) is plain, "pg_hba.conf is loaded")

    load(before + line, True)
    try:
        yield
    finally:
        load(before, False)


def test_a_database_that_only_tls_reaches_has_nothing_in_the_clear__T8(database: Database) -> None:
    assert database.breaches() == ()


def test_a_server_that_lets_logins_in_without_tls_is_found_and_the_line_to_change_is_named__T8(
    database: Database, own_process: PostgresProcess
) -> None:
    with also_allowing(own_process, "host all all 127.0.0.1/32 scram-sha-256\n"):
        breaches = database.breaches()
    assert len(breaches) == len(DATABASE_ROLES)
    assert all("hostssl in place of host" in breach for breach in breaches), breaches
    assert database.breaches() == ()


def test_a_server_that_trusts_whoever_comes_without_tls_is_found_too__T8(
    database: Database, own_process: PostgresProcess
) -> None:
    with also_allowing(own_process, "hostnossl all all 127.0.0.1/32 trust\n"):
        assert any("without TLS" in breach for breach in database.breaches())


def test_an_application_that_is_connected_without_tls_is_named__T8(
    database: Database, own_process: PostgresProcess
) -> None:
    app = database.login("app")
    with also_allowing(own_process, "host all all 127.0.0.1/32 scram-sha-256\n"):
        plain = psycopg.connect(
            host=app.host, port=app.port, user=app.user, password=app.password, dbname=app.database, sslmode="disable"
        )
    with plain:
        (breach,) = database.breaches()
    assert breach == f"{app.user} is connected without TLS right now: set its sslmode to verify-full"


def test_a_password_never_travels_in_the_clear_to_find_out__T8(database: Database) -> None:
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            client, _ = listener.accept()
            with client:
                heard.extend(client.recv(10_000))
                # AuthenticationSASL, as a server that would go on says it.
                client.sendall(b"R" + (23).to_bytes(4) + (10).to_bytes(4) + b"SCRAM-SHA-256\0\0")

        thread = threading.Thread(target=listen)
        thread.start()
        app = replace(database.login("app"), host="127.0.0.1", port=listener.getsockname()[1])
        assert admits_plain(app) is True
        thread.join(10)
    assert app.user.encode() in heard
    assert app.password.encode() not in heard


def test_a_server_with_no_connection_left_proves_nothing__T8_D7(
    database: Database, own_process: PostgresProcess
) -> None:
    full = b"E" + (30).to_bytes(4) + b"SFATAL\0C53300\0Mtoo many\0\0"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(10_000)
                client.sendall(full)

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(Unavailable, match="53300"):
            admits_plain(replace(database.login("app"), host="127.0.0.1", port=listener.getsockname()[1]))
        thread.join(10)


CONTENT = ("Content", "Content with object lock")


@pytest.fixture(params=CONTENT)
def bucket(request: pytest.FixtureRequest, s3_server: S3Server) -> Iterator[BucketRequest]:
    """A tenant's bucket with its keys, of the purpose that is asked for; one of backups has none for readers."""
    purpose, _, lock = str(request.param).partition(" ")
    identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", purpose)
    wanted = BucketRequest(s3_server.bucket_server(), identity, str(uuid4()), "uid of acme", bool(lock), {})
    made = replace(wanted, held=S3TenantBuckets().prepare_bucket(wanted).keys)
    S3TenantBuckets().probe_bucket(made, made.held, "")
    yield made
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        for role in BucketRole:
            identities(connection, s3_server.iam).apply(RemoveUser(wanted_identity(made.name, role).user))


def versions(server: S3Server, bucket: str) -> list[str]:
    """Everything in the bucket."""
    with S3Connection(server.endpoint, server.administrator) as connection:
        found = connection.client.list_objects(bucket, recursive=True, include_version=True)
        return [entry.object_name or "" for entry in found]


@pytest.mark.parametrize("bucket", [*CONTENT, "Archive", "Backups"], indirect=True)
def test_what_is_written_to_a_bucket_lies_encrypted_until_that_is_switched_off_and_the_probe_leaves_nothing__T8(
    bucket: BucketRequest, s3_server: S3Server
) -> None:
    assert S3TenantBuckets().probe_encryption(bucket, bucket.held) == ()
    assert versions(s3_server, bucket.name) == []
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        connection.client.delete_bucket_encryption(bucket.name)
    (breach,) = S3TenantBuckets().probe_encryption(bucket, bucket.held)
    assert breach.startswith(f"an object written to bucket {bucket.name} lies there in the clear")
    assert versions(s3_server, bucket.name) == []


def test_a_key_that_the_store_does_not_know_yet_proves_nothing__T8_D7(bucket: BucketRequest) -> None:
    with pytest.raises(NotReady):
        S3TenantBuckets().probe_encryption(bucket, {BucketRole.APP: AccessKey("AKIANOBODY", "x" * 40)})


def test_an_address_that_also_answers_without_tls_is_found__T8(bucket: BucketRequest, s3_server: S3Server) -> None:
    with careless_gateway(s3_server) as url:
        behind = replace(bucket, server=replace(bucket.server, url=url))
        (breach,) = S3TenantBuckets().probe_encryption(behind, bucket.held)
    assert breach.startswith(url.replace("https:", "http:"))
    assert "aws:SecureTransport" in breach


@pytest.mark.parametrize(
    "answer",
    [
        "400 Bad Request\r\nContent-Length: 48\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        "301 Moved Permanently\r\nLocation: https://s3.example/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["speaks TLS alone", "sends on to https"],
)
def test_no_key_travels_in_the_clear_to_an_address_that_serves_nothing_without_tls__T8(answer: str) -> None:
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            client, _ = listener.accept()
            with client:
                heard.extend(client.recv(10_000))
                client.sendall(f"HTTP/1.1 {answer}".encode())

        thread = threading.Thread(target=listen)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/acme-content/nothing"
        assert answers_plainly(url, AccessKey("AKIAACME", "x" * 40), "eu-1") is False
        thread.join(10)
    assert heard.startswith(b"GET /acme-content/nothing")
    assert b"AKIAACME" not in heard
    assert b"Authorization" not in heard


@contextmanager
def careless_gateway(server: S3Server) -> Iterator[str]:
    """A gateway in front of the store that takes both TLS and clear text on one port; its https address."""
    address = urlsplit(server.endpoint.url)
    target = (address.hostname or "", address.port or 443)
    context = ssl.create_default_context(cadata=server.endpoint.ca)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with source, sink:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
            except OSError:
                return

    def serve(client: socket.socket) -> None:
        upstream = socket.create_connection(target)
        if client.recv(1, socket.MSG_PEEK) == b"\x16":
            threading.Thread(target=pump, args=(upstream, client), daemon=True).start()
            pump(client, upstream)
        else:
            # One thread alone may use a TLS session: the one question first, then the answer until nobody listens.
            with context.wrap_socket(upstream, server_hostname=target[0]) as encrypted:
                encrypted.sendall(client.recv(65536))
                pump(encrypted, client)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"https://{target[0]}:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
