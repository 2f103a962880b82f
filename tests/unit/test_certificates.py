"""Certificates of embedded servers: what is made, what is due, and that no client is ever left without trust."""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from tenant_retention.adapters.certificates import issue_server_certificate, make_authority, read_server_certificate
from tenant_retention.domain.certificates import (
    AUTHORITY_LIFETIME,
    OVERLAP,
    SERVER_LIFETIME,
    Authority,
    AuthorityState,
    AuthorityStep,
    CertificateFacts,
    RenewalReason,
    advance,
    authority_step,
    renewal_reason,
)
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import ServerCertificate
from tenant_retention.domain.manifests.operator_secrets import authority_secret, read_authority
from tests.unit.manifest_examples import OPERATOR

NOW = datetime(2026, 11, 22, 1, 37, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("acme-postgresql.customer-acme.svc", "acme-postgresql")


def fake_authority(now: datetime) -> Authority:
    return Authority(f"cert {now.isoformat()};", f"key {now.isoformat()}", now, now + AUTHORITY_LIFETIME)


def handshake(server: ServerCertificate, trusted: str, host: str, tmp_path: object) -> None:
    """A TLS handshake in memory, as verify-full does it; raises ssl.SSLError if the client refuses."""
    directory = str(tmp_path)
    for name, text in (("tls.crt", server.certificate), ("tls.key", server.key)):
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(f"{directory}/tls.crt", f"{directory}/tls.key")
    asking = ssl.create_default_context(cadata=trusted)
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=host)
    served = serving.wrap_bio(to_server, to_client, server_side=True)
    done: set[int] = set()
    for _ in range(10):
        for side in (client, served):
            try:
                side.do_handshake()
                done.add(id(side))
            except ssl.SSLWantReadError:
                continue
    assert len(done) == 2


@pytest.mark.parametrize("host", NAMES)
def test_a_client_that_verifies_everything_accepts_the_server(host: str, tmp_path: object) -> None:
    now = datetime.now(UTC)
    authority = make_authority(now)
    handshake(issue_server_certificate(authority, NAMES, now), authority.certificate, host, tmp_path)


def test_a_client_refuses_another_host_and_another_authority(tmp_path: object) -> None:
    now = datetime.now(UTC)
    authority = make_authority(now)
    server = issue_server_certificate(authority, NAMES, now)
    with pytest.raises(ssl.SSLError):
        handshake(server, authority.certificate, "evil.customer-acme.svc", tmp_path)
    with pytest.raises(ssl.SSLError):
        handshake(server, make_authority(now).certificate, NAMES[0], tmp_path)


def test_while_one_authority_takes_over_both_servers_are_accepted_with_one_bundle(tmp_path: object) -> None:
    now = datetime.now(UTC)
    old, new = make_authority(now - DAY), make_authority(now)
    bundle = AuthorityState(old, following=new).bundle()
    for signer in (old, new):
        handshake(issue_server_certificate(signer, NAMES, now), bundle, NAMES[0], tmp_path)


def test_a_server_certificate_ends_after_a_year_and_never_after_its_authority() -> None:
    authority = make_authority(NOW)
    long = x509.load_pem_x509_certificate(issue_server_certificate(authority, NAMES, NOW).certificate.encode())
    assert long.not_valid_after_utc == NOW + SERVER_LIFETIME
    late = NOW + AUTHORITY_LIFETIME - DAY
    short = x509.load_pem_x509_certificate(issue_server_certificate(authority, NAMES, late).certificate.encode())
    assert short.not_valid_after_utc == authority.expires


def test_the_authority_signs_servers_only() -> None:
    certificate = x509.load_pem_x509_certificate(make_authority(NOW).certificate.encode())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_a_certificate_as_wanted_stays() -> None:
    authority = make_authority(NOW)
    found = read_server_certificate(issue_server_certificate(authority, NAMES, NOW), authority)
    assert renewal_reason(found, NAMES, NOW) is None
    assert renewal_reason(found, tuple(reversed(NAMES)), NOW + 200 * DAY) is None


FACTS = CertificateFacts(NAMES, NOW, NOW + SERVER_LIFETIME, signed_by_current=True, key_matches=True)


@pytest.mark.parametrize(
    "found, names, now, reason",
    [
        (None, NAMES, NOW, RenewalReason.MISSING),
        (FACTS, NAMES, NOW + 242 * DAY, None),
        (FACTS, NAMES, NOW + 244 * DAY, RenewalReason.DUE),
        (FACTS, NAMES, NOW + 400 * DAY, RenewalReason.DUE),
        (FACTS, NAMES, NOW - DAY, RenewalReason.DUE),
        (FACTS, (*NAMES, "other"), NOW, RenewalReason.OTHER_NAMES),
        (FACTS, NAMES[:1], NOW, RenewalReason.OTHER_NAMES),
        (replace(FACTS, signed_by_current=False), NAMES, NOW, RenewalReason.OTHER_AUTHORITY),
        (replace(FACTS, key_matches=False), NAMES, NOW, RenewalReason.OTHER_KEY),
    ],
)
def test_a_certificate_is_renewed_for_a_reason(
    found: CertificateFacts | None, names: tuple[str, ...], now: datetime, reason: RenewalReason | None
) -> None:
    assert renewal_reason(found, names, now) == reason


def test_a_certificate_that_somebody_edited_is_made_anew() -> None:
    authority = make_authority(NOW)
    good = issue_server_certificate(authority, NAMES, NOW)
    other = issue_server_certificate(make_authority(NOW), NAMES, NOW)
    assert read_server_certificate(ServerCertificate("garbage", good.key), authority) is None
    assert read_server_certificate(ServerCertificate(good.certificate, "garbage"), authority) is None
    mixed = read_server_certificate(ServerCertificate(good.certificate, other.key), authority)
    assert renewal_reason(mixed, NAMES, NOW) == RenewalReason.OTHER_KEY
    forged = read_server_certificate(other, authority)
    assert renewal_reason(forged, NAMES, NOW) == RenewalReason.OTHER_AUTHORITY


def test_an_authority_is_made_once_and_then_kept() -> None:
    state = advance(None, NOW, fake_authority)
    assert state == AuthorityState(fake_authority(NOW))
    assert advance(state, NOW + 2000 * DAY, fake_authority) is state


def test_a_successor_is_told_for_a_week_before_it_signs() -> None:
    due = NOW + AUTHORITY_LIFETIME * 2 / 3
    state = advance(AuthorityState(fake_authority(NOW)), due, fake_authority)
    assert state.current == fake_authority(NOW)
    assert state.following == fake_authority(due)
    assert state.bundle() == fake_authority(NOW).certificate + fake_authority(due).certificate
    assert advance(state, due + OVERLAP - timedelta(seconds=1), fake_authority) is state
    promoted = advance(state, due + OVERLAP, fake_authority)
    assert promoted.current == fake_authority(due)
    assert promoted.bundle() == fake_authority(due).certificate + fake_authority(NOW).certificate
    assert promoted.previous is not None
    assert promoted.previous.key is None


def test_no_client_with_a_bundle_of_last_week_meets_a_certificate_it_cannot_verify() -> None:
    state: AuthorityState | None = None
    told: list[str] = []
    for day in range(3 * 3650):
        state = advance(state, NOW + day * DAY, fake_authority)
        told.append(state.bundle())
        bundle_of_last_week = told[max(0, day - OVERLAP.days)]
        assert state.current.certificate in bundle_of_last_week
        assert state.current.key is not None
        assert state.current.expires > NOW + day * DAY
    assert len(told) - len(set(told)) > 0


def test_an_operator_that_slept_for_twenty_years_starts_with_a_new_authority() -> None:
    late = NOW + 2 * AUTHORITY_LIFETIME
    assert advance(AuthorityState(fake_authority(NOW)), late, fake_authority) == AuthorityState(fake_authority(late))
    with_successor = AuthorityState(fake_authority(NOW), following=fake_authority(NOW + 2500 * DAY))
    assert authority_step(with_successor, late) is AuthorityStep.PROMOTE
    assert advance(with_successor, late, fake_authority).current == fake_authority(late)


def test_the_authoritys_secret_is_read_back_as_written() -> None:
    state = AuthorityState(
        make_authority(NOW), following=make_authority(NOW), previous=replace(make_authority(NOW), key=None)
    )
    assert read_authority(authority_secret(OPERATOR, state)) == state
    alone = AuthorityState(make_authority(NOW))
    assert read_authority(authority_secret(OPERATOR, alone)) == alone


@pytest.mark.parametrize("lost", ["current.crt", "current.key", "current.made", "current.expires"])
def test_a_broken_authority_secret_says_what_to_do(lost: str) -> None:
    secret = authority_secret(OPERATOR, AuthorityState(make_authority(NOW)))
    del secret["data"][lost]
    with pytest.raises(Invalid, match="put it back, or delete it"):
        read_authority(secret)


@pytest.mark.parametrize("value", [b"\xff\xfe", b"2026-11-22T12:00:00"])
def test_an_authority_secret_with_a_value_that_cannot_be_read_says_what_to_do(value: bytes) -> None:
    secret = authority_secret(OPERATOR, AuthorityState(make_authority(NOW)))
    secret["data"]["current.made"] = b64encode(value).decode()
    with pytest.raises(Invalid, match="put it back, or delete it"):
        read_authority(secret)


def test_an_authority_without_its_key_signs_nothing() -> None:
    with pytest.raises(Invalid, match="authority"):
        issue_server_certificate(replace(make_authority(NOW), key=None), NAMES, NOW)
