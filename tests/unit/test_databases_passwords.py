"""The SCRAM verifier against the RFC's own example, and the loader of named statements."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from tenant_retention.adapters.postgres.passwords import scram_sha_256
from tenant_retention.adapters.postgres.statements import statement, statements
from tenant_retention.domain.errors import Invalid


def test_the_verifier_accepts_the_proof_of_rfc_7677_and_signs_as_its_server_does() -> None:
    verifier = scram_sha_256("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    mechanism, iterations_and_salt, keys = verifier.split("$")
    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    exchange = ",".join(
        (
            "n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        )
    ).encode()
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, exchange, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))

    assert (mechanism, iterations_and_salt) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    assert hashlib.sha256(client_key).digest() == stored
    assert hmac.digest(server, exchange, "sha256") == base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize("password", ["", "pässword", "new\nline", "nul\0", "tab\t"])
def test_a_password_that_clients_might_normalize_is_refused_without_being_told(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        scram_sha_256(password, b"salt")

    assert refused.value.reason == "SecretInvalid"
    assert not password or password not in refused.value.message


def test_statements_are_found_by_name_and_hold_no_heading() -> None:
    found = statements("administration")

    assert found["create_role"] is statement("administration", "create_role")
    assert not any("-- name:" in text.as_string() for text in found.values())


def test_an_unknown_statement_or_folder_is_an_error() -> None:
    with pytest.raises(KeyError):
        statement("administration", "no such statement")
    with pytest.raises(FileNotFoundError):
        statements("no such folder")
