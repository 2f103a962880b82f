"""Servers that already run: looked up by the class, with the administrator from the operator's namespace."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastoreclass import CaSecretRef, Existing
from tenant_retention.domain.bucket_identities import AccessKey, Iam
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.caches import CacheServer
from tenant_retention.domain.ports.cluster import SECRET
from tenant_retention.domain.ports.stores import BucketServer, DatabaseServer
from tenant_retention.reconcile.world import World, secret_values

_S3_STATIC_REGION = "us-east-1"


async def existing_server(world: World, type_: str, existing: Existing) -> DatabaseServer | BucketServer | CacheServer:
    """A server that already runs, with the administrator from the operator's namespace.

    Raises Invalid (SecretNotFound, SecretInvalid) naming the class's field.
    """
    administrator = await _own_secret(world, existing.admin_secret_ref.name, "existing.adminSecretRef")
    authority = await _existing_authority(world, existing.tls.ca_secret_ref)
    if type_ == "PostgreSQL":
        user, password = _keys(administrator, existing.admin_secret_ref.name, "username", "password")
        return DatabaseServer(existing.host or "", existing.port, user, password, authority)
    if type_ == "Redis":
        user, password = _keys(administrator, existing.admin_secret_ref.name, "username", "password")
        return CacheServer(existing.host or "", existing.port, user, password, authority)
    key, secret = _keys(administrator, existing.admin_secret_ref.name, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return BucketServer(
        url=existing.endpoint or "",
        region=existing.s3_region or _S3_STATIC_REGION,
        iam=Iam(existing.iam or Iam.AWS),
        administrator=AccessKey(key, secret),
        ca=authority,
    )


async def _existing_authority(world: World, reference: CaSecretRef | None) -> str | None:
    if reference is None:
        return None
    values = await _own_secret(world, reference.name, "existing.tls.caSecretRef")
    return _keys(values, reference.name, reference.key)[0]


async def _own_secret(world: World, name: str, field: str) -> dict[str, str]:
    found = await world.cluster.get(SECRET, name, world.operator.namespace)
    if found is None:
        raise Invalid(
            f"spec.{field}.name: there is no Secret {name} in namespace {world.operator.namespace}; create it",
            reason=Reason.SECRET_NOT_FOUND,
            field=f"spec.{field}.name",
        )
    return secret_values(found)


def _keys(values: dict[str, str], secret: str, *keys: str) -> list[str]:
    missing = [key for key in keys if not values.get(key)]
    if missing:
        raise Invalid(
            f"Secret {secret} in the operator's namespace lacks the key {missing[0]}; add it",
            reason=Reason.SECRET_INVALID,
            field=missing[0],
        )
    return [values[key] for key in keys]
