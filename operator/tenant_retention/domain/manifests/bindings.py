"""Binding Secrets (servicebinding.io): everything an application needs, in the forms that its drivers read unchanged."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import PolicyRef, PostgresCredentials, RedisCredentials, S3Credentials
from tenant_retention.domain.manifests.metadata import GROUP, Manifest, binding_name, labels, place_labels, secret
from tenant_retention.domain.names import Place

COMPONENT: Final = "binding"
ROLE_LABEL: Final = f"{GROUP}/role"
MOUNT: Final = "/bindings"
"""Where applications mount bindings by convention: ``/bindings/<secret>``; paths inside the Secret point there."""
SSL_MODE: Final = "verify-full"
SYSTEM_AUTHORITIES: Final = "system"
"""libpq's word for the system's own list of certificate authorities."""


def postgres_binding(
    policy: PolicyRef, place: Place | str, role: str, credentials: PostgresCredentials, store: str = ""
) -> Manifest:
    """The Secret of one role in one database, in the tenant's namespace, not owned by the policy (X5)."""
    place = place if isinstance(place, Place) else Place(place)
    name = binding_name(policy, place, role)
    labelled = labels(policy, COMPONENT, purpose=place.purpose, store=store) | place_labels(place) | {ROLE_LABEL: role}
    keys = postgres_keys(credentials, f"{MOUNT}/{name}")
    return secret(name, policy.namespace, labelled, "servicebinding.io/postgresql", keys)


def s3_binding(policy: PolicyRef, purpose: str, role: str, credentials: S3Credentials, store: str = "") -> Manifest:
    """The Secret of one role in one bucket, in the tenant's namespace, not owned by the policy (X5)."""
    name = binding_name(policy, purpose, role)
    labelled = labels(policy, COMPONENT, purpose=purpose, store=store) | {ROLE_LABEL: role}
    keys = s3_keys(credentials, f"{MOUNT}/{name}")
    return secret(name, policy.namespace, labelled, "servicebinding.io/s3", keys)


def redis_binding(
    policy: PolicyRef, purpose: str, role: str, credentials: RedisCredentials, store: str = ""
) -> Manifest:
    """The Secret of one role in one cache, in the tenant's namespace, not owned by the policy (X5)."""
    name = binding_name(policy, purpose, role)
    labelled = labels(policy, COMPONENT, purpose=purpose, store=store) | {ROLE_LABEL: role}
    return secret(name, policy.namespace, labelled, "servicebinding.io/redis", redis_keys(credentials))


def redis_keys(credentials: RedisCredentials) -> dict[str, str]:
    """The keys of a cache's binding. ``prefix``: what every key must begin with, else the server refuses it."""
    user, password = (quote(text, safe="") for text in (credentials.username, credentials.password))
    keys = {
        "type": "redis",
        "provider": credentials.provider,
        "host": credentials.host,
        "port": str(credentials.port),
        "username": credentials.username,
        "password": credentials.password,
        "prefix": credentials.prefix,
        "uri": f"rediss://{user}:{password}@{_url_host(credentials.host)}:{credentials.port}/0",
    }
    return keys if credentials.ca is None else keys | {"ca.crt": credentials.ca}


def postgres_keys(credentials: PostgresCredentials, directory: str) -> dict[str, str]:
    """The keys of a PostgreSQL binding that is mounted at ``directory``; without ``ca.crt`` if the system's list counts.

    Raises Invalid (SecretInvalid) for a user or password with control characters: no ``pgpass`` line can hold them.
    """
    if not (credentials.username + credentials.password).isprintable():
        raise Invalid("a user name or password has control characters; choose another one", reason="SecretInvalid")
    authorities = f"{directory}/ca.crt" if credentials.ca is not None else SYSTEM_AUTHORITIES
    keys = {
        "type": "postgresql",
        "provider": credentials.provider,
        "host": credentials.host,
        "port": str(credentials.port),
        "database": credentials.database,
        "username": credentials.username,
        "password": credentials.password,
        "uri": _uri(credentials, authorities),
        "jdbc-uri": _jdbc_uri(credentials, authorities),
        "pgpass": _pgpass(credentials),
        "sslmode": SSL_MODE,
        "sslrootcert": authorities,
    }
    return keys if credentials.ca is None else keys | {"ca.crt": credentials.ca}


def s3_keys(credentials: S3Credentials, directory: str) -> dict[str, str]:
    """The keys of a bucket's binding that is mounted at ``directory``: COSI's names, which boto3 reads unchanged.

    Without ``ca.crt`` and ``AWS_CA_BUNDLE`` if the system's list counts: images keep that list in different places.
    """
    keys = {
        "type": "s3",
        "provider": credentials.provider,
        "BUCKET_NAME": credentials.bucket,
        "AWS_ENDPOINT_URL": credentials.endpoint,
        "AWS_DEFAULT_REGION": credentials.region,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
    }
    if credentials.ca is None:
        return keys
    return keys | {"AWS_CA_BUNDLE": f"{directory}/ca.crt", "ca.crt": credentials.ca}


def _uri(credentials: PostgresCredentials, authorities: str) -> str:
    user, password, database = (
        quote(text, safe="") for text in (credentials.username, credentials.password, credentials.database)
    )
    query = urlencode({"sslmode": SSL_MODE, "sslrootcert": authorities}, safe="/", quote_via=quote)
    return f"postgresql://{user}:{password}@{_url_host(credentials.host)}:{credentials.port}/{database}?{query}"


def _jdbc_uri(credentials: PostgresCredentials, authorities: str) -> str:
    options = {"user": credentials.username, "password": credentials.password, "sslmode": SSL_MODE}
    if authorities == SYSTEM_AUTHORITIES:
        options["sslfactory"] = "org.postgresql.ssl.DefaultJavaSSLFactory"
    else:
        options["sslrootcert"] = authorities
    database = quote(credentials.database, safe="")
    query = urlencode(options, safe="/", quote_via=quote)
    return f"jdbc:postgresql://{_url_host(credentials.host)}:{credentials.port}/{database}?{query}"


def _pgpass(credentials: PostgresCredentials) -> str:
    fields = (
        credentials.host,
        str(credentials.port),
        credentials.database,
        credentials.username,
        credentials.password,
    )
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields) + "\n"


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
