"""The administrators of embedded servers: kept in the operator's namespace, completed, never replaced where data depends on it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tenant_retention.adapters.postgres.passwords import SALT_BYTES, is_verifier_of, scram_sha_256
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests import postgresql, seaweedfs
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import server_name
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.ports.cluster import SECRET, VOLUME_CLAIM
from tenant_retention.reconcile.world import World, kept_secret, secret_values, usable_password

_KEK = re.compile(r"[0-9a-f]{64}")


async def postgresql_administrator(
    world: World, reference: PolicyRef, what: str = "postgresql-admin", authority: str | None = None
) -> dict[str, str]:
    """``username``, ``password``, ``verifier``. A password that somebody edited gets a verifier of its own.

    ``authority``: the server's certificate authority where it is not ours, kept as ``ca.crt``; None: what is there stays.
    """

    def fresh(known: dict[str, str]) -> dict[str, str]:
        password = usable_password(known.get("password")) or world.new_password()
        verifier = known.get("verifier", "")
        return {
            **({"ca.crt": authority} if authority else {name: known[name] for name in known if name == "ca.crt"}),
            "username": postgresql.ADMINISTRATOR,
            "password": password,
            "verifier": verifier
            if is_verifier_of(verifier, password)
            else scram_sha_256(password, world.entropy(SALT_BYTES)),
        }

    return await kept_secret(world, administrator_secret(world.operator, reference, what, {}), fresh)


async def s3_administrator(world: World, reference: PolicyRef, entries: Sequence[DataStore]) -> dict[str, str]:
    """``accessKey``, ``secretKey`` and ``kek``, the key without which no object of the server can be read again.

    A lost ``kek`` is taken back from the server's own Secret, so that an operator that was uninstalled with its namespace
    and installed again destroys nothing (X5). Raises Invalid (SecretNotFound) where data is there and the key nowhere.
    """
    wanted = administrator_secret(world.operator, reference, "s3-admin", {})
    meta = wanted["metadata"]
    kept = secret_values(await world.cluster.get(SECRET, meta["name"], meta["namespace"]))
    kek = kept.get("kek") or await _kek_of_server(world, reference, entries, meta["name"])

    def fresh(known: dict[str, str]) -> dict[str, str]:
        return {
            "accessKey": known.get("accessKey") or "TRO" + world.entropy(9).hex().upper(),
            "secretKey": usable_password(known.get("secretKey")) or world.new_password(),
            "kek": known.get("kek") or kek or world.entropy(32).hex(),
        }

    return await kept_secret(world, wanted, fresh)


async def _kek_of_server(world: World, reference: PolicyRef, entries: Sequence[DataStore], secret: str) -> str | None:
    """The key that the server runs with; None where there is no server yet."""
    server, namespace = server_name(reference, seaweedfs.COMPONENT), reference.namespace
    copy = secret_values(await world.cluster.get(SECRET, f"{server}-admin", namespace)).get(seaweedfs.KEK_KEY, "")
    if _KEK.fullmatch(copy):
        return copy
    volume = await world.cluster.get(VOLUME_CLAIM, f"data-{server}-0", namespace)
    if volume is None and not any(entry.spec.volumes for entry in entries):
        return None
    raise Invalid(
        f"Secret {secret} in namespace {world.operator.namespace} has lost the key kek, and Secret {server}-admin in "
        f"namespace {namespace} has none either: with another key no object of {server} could be read again, so none is "
        "made; put the key back from a backup",
        reason=Reason.SECRET_NOT_FOUND,
        field="kek",
    )
