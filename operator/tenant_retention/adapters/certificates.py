"""Certificates of embedded servers: making and reading them. What is due is decided in ``domain.certificates``."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenant_retention.domain.certificates import (
    AUTHORITY_LIFETIME,
    BACKDATED,
    SERVER_LIFETIME,
    Authority,
    CertificateFacts,
)
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import ServerCertificate

_COMMON_NAME_LIMIT = 64


def make_authority(now: datetime) -> Authority:
    """A new certificate authority (ECDSA P-256), valid from an hour before ``now`` for ten years.

    Its name carries the day: two authorities with one name would confuse clients that look issuers up by name.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    expires = (now + AUTHORITY_LIFETIME).replace(microsecond=0)
    name = _name(f"tenant-retention-operator {now:%Y-%m-%d %H:%M:%S}")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(expires)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(_text(certificate), _key_text(key), now, expires)


def issue_server_certificate(authority: Authority, dns_names: tuple[str, ...], now: datetime) -> ServerCertificate:
    """A key and a certificate for a server, valid for a year and never longer than ``authority`` itself.

    Raises Invalid (SecretInvalid) if the authority has no usable key.
    """
    issuer, issuer_key = _signer(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(dns_names[0][:_COMMON_NAME_LIMIT]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + SERVER_LIFETIME, authority.expires))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return ServerCertificate(_text(certificate), _key_text(key))


def read_server_certificate(found: ServerCertificate, authority: Authority) -> CertificateFacts | None:
    """What a server certificate says, seen from the authority that signs now; None if it cannot be read at all."""
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate.encode())
        key = load_pem_private_key(found.key.encode(), password=None)
        issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return None
    return CertificateFacts(
        dns_names=tuple(names.get_values_for_type(x509.DNSName)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        signed_by_current=_issued_by(certificate, issuer),
        key_matches=key.public_key() == certificate.public_key(),
    )


def _signer(authority: Authority) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate.encode())
        key = load_pem_private_key((authority.key or "").encode(), password=None)
    except (ValueError, TypeError) as error:
        raise Invalid(
            "the certificate authority's Secret cannot be read; put it back, or delete it to get a new authority",
            reason="SecretInvalid",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Invalid("the certificate authority's key is no elliptic curve key", reason="SecretInvalid")
    return certificate, key


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
