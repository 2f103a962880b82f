"""Binding Secrets: exact keys, and that real drivers read them whatever is in the password."""

from __future__ import annotations

import socket
import struct
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from tenant_retention.adapters.bindings import read_postgres_binding, read_s3_binding
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests import bindings, operator_secrets
from tenant_retention.domain.manifests.metadata import Manifest
from tests.unit.manifest_examples import OPERATOR, PASSWORD, POLICY, POSTGRES_CREDENTIALS, S3_CREDENTIALS

printable = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60)


def values(secret: Manifest) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in secret["data"].items()}


POSTGRES = bindings.postgres_binding(POLICY, "Analytical", "app", POSTGRES_CREDENTIALS)
S3 = bindings.s3_binding(POLICY, "Content", "enforcer", S3_CREDENTIALS)


def test_a_database_binding_has_exactly_the_documented_keys() -> None:
    assert POSTGRES["metadata"]["name"] == "acme-analytical-app"
    assert POSTGRES["type"] == "servicebinding.io/postgresql"
    found = values(POSTGRES)
    assert set(found) == {
        "type", "provider", "host", "port", "database", "username", "password", "uri", "jdbc-uri", "pgpass", "sslmode",
        "sslrootcert", "ca.crt",
    }  # fmt: skip
    assert found["password"] == PASSWORD
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "/bindings/acme-analytical-app/ca.crt")


def test_a_bucket_binding_has_exactly_the_documented_keys() -> None:
    assert S3["metadata"]["name"] == "acme-content-enforcer"
    assert S3["type"] == "servicebinding.io/s3"
    found = values(S3)
    assert set(found) == {
        "type", "provider", "BUCKET_NAME", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY", "AWS_CA_BUNDLE", "ca.crt",
    }  # fmt: skip
    assert found["AWS_CA_BUNDLE"] == "/bindings/acme-content-enforcer/ca.crt"
    assert found["AWS_ENDPOINT_URL"] == "https://acme-s3.customer-acme.svc:8333"


def test_a_server_with_a_public_certificate_needs_no_ca_file() -> None:
    found = bindings.postgres_keys(replace(POSTGRES_CREDENTIALS, ca=None), "/bindings/x")
    assert found["sslrootcert"] == "system"
    assert "ca.crt" not in found
    assert conninfo_to_dict(found["uri"])["sslrootcert"] == "system"
    assert parse_qs(urlsplit(found["jdbc-uri"].removeprefix("jdbc:")).query)["sslfactory"] == [
        "org.postgresql.ssl.DefaultJavaSSLFactory"
    ]
    assert {"AWS_CA_BUNDLE", "ca.crt"}.isdisjoint(bindings.s3_keys(replace(S3_CREDENTIALS, ca=None), "/bindings/x"))


@given(password=printable, username=printable)
def test_psycopg_reads_the_uri_whatever_is_in_the_password(password: str, username: str) -> None:
    keys = bindings.postgres_keys(replace(POSTGRES_CREDENTIALS, password=password, username=username), "/bindings/x")
    assert conninfo_to_dict(keys["uri"]) == {
        "host": keys["host"],
        "port": "5432",
        "dbname": "acme_db",
        "user": username,
        "password": password,
        "sslmode": "verify-full",
        "sslrootcert": "/bindings/x/ca.crt",
    }


@given(password=printable)
def test_the_jdbc_url_is_a_url_of_pgjdbcs_shape(password: str) -> None:
    keys = bindings.postgres_keys(replace(POSTGRES_CREDENTIALS, password=password), "/bindings/x")
    assert keys["jdbc-uri"].startswith("jdbc:postgresql://acme-postgresql.customer-acme.svc:5432/acme_db?")
    url = urlsplit(keys["jdbc-uri"].removeprefix("jdbc:"))
    assert "+" not in url.query, "pgjdbc decodes %20; a plus sign would be taken for a space"
    options = {name: unquote(value) for name, value in (pair.split("=", 1) for pair in url.query.split("&"))}
    assert options == {
        "user": "acme_db_app_1",
        "password": password,
        "sslmode": "verify-full",
        "sslrootcert": "/bindings/x/ca.crt",
    }


@pytest.mark.parametrize("password", ["plain", PASSWORD, "a:b\\c", "\\", ":", "a\\:b", "with space "])
def test_libpq_reads_the_pgpass_line(password: str, tmp_path: Path) -> None:
    """libpq has no function that reads a password file, so it is asked to log in at a server that we play."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        credentials = replace(POSTGRES_CREDENTIALS, password=password, host="localhost", port=port)
        keys = bindings.postgres_keys(credentials, "/bindings/x")
        assert keys["pgpass"].count("\n") == 1
        file = tmp_path / "pgpass"
        file.write_text(keys["pgpass"], encoding="utf-8")
        file.chmod(0o600)
        with ThreadPoolExecutor() as pool:
            received = pool.submit(received_password, server)
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(
                    host="localhost",
                    hostaddr="127.0.0.1",
                    port=port,
                    dbname=credentials.database,
                    user=credentials.username,
                    passfile=str(file),
                    sslmode="disable",
                    gssencmode="disable",
                    connect_timeout=60,
                )
            assert received.result(60) == password


def received_password(server: socket.socket) -> str:
    """Plays a PostgreSQL server that asks one client for its password in clear text, and hangs up."""
    server.settimeout(60)
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as stream:
        (length,) = struct.unpack("!i", stream.read(4))
        stream.read(length - 4)
        connection.sendall(struct.pack("!cii", b"R", 8, 3))
        _, length = struct.unpack("!ci", stream.read(5))
        return stream.read(length - 4).rstrip(b"\0").decode()


def mounted(secret: Manifest, directory: Path) -> Path:
    """The Secret as the kubelet mounts it: one file per key."""
    directory.mkdir()
    for key, text in values(secret).items():
        (directory / key).write_text(text, encoding="utf-8")
    return directory


def test_the_engine_reads_the_mounted_bindings(tmp_path: Path) -> None:
    database = read_postgres_binding(mounted(POSTGRES, tmp_path / "pg"))
    assert (database.host, database.port, database.database) == ("acme-postgresql.customer-acme.svc", 5432, "acme_db")
    assert (database.username, database.password) == ("acme_db_app_1", PASSWORD)
    assert database.ca_file == tmp_path / "pg" / "ca.crt"
    bucket = read_s3_binding(mounted(S3, tmp_path / "s3"))
    assert (bucket.bucket, bucket.endpoint, bucket.region) == ("acme-bucket", S3_CREDENTIALS.endpoint, "us-east-1")
    assert (bucket.access_key, bucket.secret_key, bucket.ca) == ("AKIA1", "s3cr3t/+", "-----BEGIN CERTIFICATE-----")


def test_the_engine_reads_bindings_of_servers_with_public_certificates(tmp_path: Path) -> None:
    public = bindings.postgres_binding(POLICY, "Analytical", "app", replace(POSTGRES_CREDENTIALS, ca=None))
    assert read_postgres_binding(mounted(public, tmp_path / "pg")).ca_file is None
    bucket = bindings.s3_binding(POLICY, "Content", "app", replace(S3_CREDENTIALS, ca=None))
    assert read_s3_binding(mounted(bucket, tmp_path / "s3")).ca is None


@pytest.mark.parametrize("bad", ["a\nb", "a\x00b", "a\tb", "\x7f"])
def test_a_password_that_no_pgpass_line_can_hold_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(Invalid, match="control characters") as caught:
        bindings.postgres_keys(replace(POSTGRES_CREDENTIALS, password=bad), "/bindings/x")
    assert bad not in caught.value.message


def test_an_ipv6_host_is_written_in_brackets() -> None:
    keys = bindings.postgres_keys(replace(POSTGRES_CREDENTIALS, host="fd00::1"), "/bindings/x")
    assert conninfo_to_dict(keys["uri"])["host"] == "fd00::1"
    assert keys["pgpass"].startswith("fd00\\:\\:1:5432:")


def test_the_observers_and_administrators_secrets_lie_in_the_operators_namespace() -> None:
    observer = operator_secrets.observer_secret(OPERATOR, POLICY, "Analytical", POSTGRES_CREDENTIALS)
    administrator = operator_secrets.administrator_secret(
        OPERATOR, POLICY, "postgresql-admin", {"username": "tro_admin"}
    )
    for secret in (observer, administrator):
        assert secret["metadata"]["namespace"] == OPERATOR.namespace
        assert secret["metadata"]["labels"]["tenantretention.io/namespace"] == POLICY.namespace
    assert set(values(observer)) == set(values(POSTGRES))


def test_the_operator_is_bound_to_one_fixed_role() -> None:
    binding = operator_secrets.tenant_role_binding(OPERATOR, "customer-acme")
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "tenant-retention-operator-tenant",
    }
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "tenant-retention-operator", "namespace": "tenant-retention-system"}
    ]
