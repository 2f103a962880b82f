"""A class whose endpoint is away, slow, has a wrong certificate or a wrong key: said in the closed list's words, without a key."""

from __future__ import annotations

import logging
import socket
import ssl
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.adapters.iam.aws import AwsIdentities, iam_address
from tenant_retention.adapters.s3.connection import Patience, S3Connection
from tenant_retention.adapters.s3.probe import S3Probe
from tenant_retention.adapters.s3.tenant_buckets import S3TenantBuckets
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import BucketRequest, BucketServer
from tests.stores.servers.certificates import ThrowawayAuthority
from tests.stores.servers.s3 import S3Server

HASTY = Patience(connect=2, read=2, retries=1, backoff=0.01)


def request(server: BucketServer) -> BucketRequest:
    """A bucket that nobody has yet."""
    return BucketRequest(
        server, StoreIdentity(str(uuid4()), "ns", "acme", "Content"), str(uuid4()), "uid of acme", False, {}
    )


def refusal(server: BucketServer) -> RetentionError:
    """What the reconcile hears."""
    with pytest.raises(RetentionError) as refused:
        S3TenantBuckets(patience=HASTY).prepare_bucket(request(server))
    return refused.value


def test_a_server_that_is_away_is_unavailable() -> None:
    error = refusal(BucketServer("https://localhost:1", "eu-test-1", Iam.AWS, AccessKey("a", "b" * 40)))
    assert isinstance(error, Unavailable)
    assert error.reason == "ServerUnreachable"


def test_a_server_that_never_answers_is_unavailable_within_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}"
        error = refusal(BucketServer(url, "eu-test-1", Iam.AWS, AccessKey("a", "b" * 40)))
    assert isinstance(error, Unavailable)
    assert "does not answer in time" in error.message
    assert "look at its load" in error.message


def test_a_certificate_of_another_authority_is_invalid_and_names_the_field(s3_server: S3Server) -> None:
    server = s3_server.bucket_server()
    stranger = ThrowawayAuthority.create("somebody else").pem().decode()
    error = refusal(BucketServer(server.url, server.region, server.iam, server.administrator, stranger))
    assert (error.reason, error.field) == ("CertificateInvalid", "spec.existing.tls.caSecretRef")


def test_the_systems_authorities_do_not_vouch_for_a_private_server(seaweedfs: S3Server) -> None:
    server = seaweedfs.bucket_server()
    error = refusal(BucketServer(server.url, server.region, server.iam, server.administrator, None))
    assert error.reason == "CertificateInvalid"


def test_a_certificate_for_another_name_is_invalid(s3_server: S3Server) -> None:
    server = s3_server.bucket_server()
    elsewhere = server.url.replace("localhost", "127.0.0.1")
    error = refusal(BucketServer(elsewhere, server.region, server.iam, server.administrator, server.ca))
    assert error.reason == "CertificateInvalid"


def test_the_identity_api_checks_the_certificate_too(seaweedfs: S3Server) -> None:
    endpoint = seaweedfs.endpoint
    stranger = ThrowawayAuthority.create("somebody else").pem().decode()
    with S3Connection(type(endpoint)(endpoint.url, endpoint.region, stranger), seaweedfs.administrator) as connection:
        with pytest.raises(Invalid) as refused:
            AwsIdentities(connection).observe(["anybody"])
    assert refused.value.reason == "CertificateInvalid"


def test_a_wrong_administrator_key_is_invalid(s3_server: S3Server) -> None:
    server = s3_server.bucket_server()
    for wrong in (AccessKey(server.administrator.key_id, "w" * 40), AccessKey("AKNOBODY", "w" * 40)):
        error = refusal(BucketServer(server.url, server.region, server.iam, wrong, server.ca))
        assert isinstance(error, Invalid)
        assert error.reason == "AuthenticationFailed"


def test_an_administrator_that_may_not_administrate_is_said_to_lack_privileges(seaweedfs: S3Server) -> None:
    server = seaweedfs.bucket_server()
    ordinary = request(server)
    app = S3TenantBuckets().prepare_bucket(ordinary).keys[BucketRole.APP]
    error = refusal(BucketServer(server.url, server.region, server.iam, app, server.ca))
    assert error.reason in {"PrivilegesMissing", "StoreConflict"}


def test_an_address_that_is_no_https_url_names_the_field() -> None:
    for url in ("http://localhost:9000", "https://localhost/bucket", "localhost", ""):
        error = refusal(BucketServer(url, "eu-test-1", Iam.AWS, AccessKey("a", "b" * 40)))
        assert (error.reason, error.field) == ("ClassInvalid", "spec.existing.endpoint")


def test_a_ca_that_is_no_certificate_names_the_field() -> None:
    error = refusal(BucketServer("https://localhost:1", "eu-test-1", Iam.AWS, AccessKey("a", "b" * 40), "not PEM"))
    assert (error.reason, error.field) == ("CertificateInvalid", "spec.existing.tls.caSecretRef")


def test_a_web_server_that_is_no_object_store_is_unavailable(seaweedfs: S3Server) -> None:
    with web_server() as (url, ca):
        error = refusal(BucketServer(url, "eu-test-1", Iam.AWS, AccessKey("a", "b" * 40), ca))
    assert isinstance(error, Unavailable)


def test_a_key_that_does_not_become_known_is_not_verified_yet(s3_server: S3Server) -> None:
    buckets = S3TenantBuckets()
    ordinary = request(s3_server.bucket_server())
    buckets.prepare_bucket(ordinary)
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        with pytest.raises(NotReady) as refused:
            S3Probe(connection, wait=0.5).verify_access(
                ordinary.name, {BucketRole.APP: AccessKey("AKNOBODY", "x" * 40)}
            )
    assert refused.value.reason == "NotYetVerified"


def test_no_key_appears_in_messages_representations_tracebacks_or_logs(
    s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    server = s3_server.bucket_server()
    buckets = S3TenantBuckets(patience=HASTY)
    told: list[str] = []
    with caplog.at_level(logging.INFO):
        ordinary = request(server)
        done = buckets.prepare_bucket(ordinary)
        told += [*done.changes, *buckets.probe_bucket(ordinary, done.keys, "").breaches, repr(done), repr(ordinary)]
        for key in (AccessKey(server.administrator.key_id, "wrongwrongwrongwrong"), *done.keys.values()):
            wrong = BucketServer(server.url, server.region, server.iam, key, server.ca)
            try:
                buckets.prepare_bucket(request(wrong))
            except RetentionError as error:
                told += [str(error), "".join(traceback.format_exception(error))]
    told.append(caplog.text)
    secrets = [server.administrator.secret, "wrongwrongwrongwrong", *(key.secret for key in done.keys.values())]
    assert not [secret for secret in secrets for text in told if secret in text]


def test_awss_identity_service_has_an_address_of_its_own() -> None:
    assert iam_address("https://s3.eu-central-1.amazonaws.com", "eu-central-1") == (
        "https://iam.amazonaws.com/",
        "us-east-1",
    )
    assert iam_address("https://store.example.com:8333", "eu-1") == ("https://store.example.com:8333/", "eu-1")


@contextmanager
def web_server() -> Iterator[tuple[str, str]]:
    """An HTTPS server that answers every request with a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    authority = ThrowawayAuthority.create()
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = authority.issue(["localhost"])
        (Path(directory) / "chain").write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(directory) / "chain")
        server = HTTPServer(("127.0.0.1", 0), Page)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://localhost:{server.server_address[1]}", authority.pem().decode()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
