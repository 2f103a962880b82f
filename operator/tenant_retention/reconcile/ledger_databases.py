"""The databases that the ledger has of a namespace's policies, for what is placed in all of them: holds (X3) and requests (T7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain import ledger
from tenant_retention.domain.errors import NotReady, RetentionError
from tenant_retention.domain.ledger import Claimant, Standing, place_of, standing
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.ports.cluster import STORE, Manifest
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.ports.stores import DatabaseServer
from tenant_retention.reconcile.servers import Authorities, Servers
from tenant_retention.reconcile.tenancy import Home
from tenant_retention.reconcile.world import World, parse


@dataclass(frozen=True)
class LedgerDatabase:
    """One of them. ``where``: how it is reached, or why it cannot be yet."""

    name: str
    place: str
    where: DatabasePlace | RetentionError


@dataclass(frozen=True)
class PolicyDatabases:
    """Those of one policy. ``unowned``: what the ledger has under its name, but no policy."""

    reference: PolicyRef
    manifest: Manifest
    mine: tuple[LedgerDatabase, ...]
    unowned: tuple[DataStore, ...]


async def entries_by_policy(
    world: World, namespace: str, concerned: Callable[[str], bool]
) -> dict[str, list[DataStore]]:
    """The entries of the databases of the policies that are ``concerned``, those that are gone included."""
    entries: dict[str, list[DataStore]] = {}
    for found in await world.cluster.list(STORE, labels=f"{ledger.NAMESPACE_LABEL}={namespace}"):
        entry = parse(DataStore, found, Reason.STORE_CONFLICT)
        if entry.spec.type == "PostgreSQL" and concerned(entry.spec.policy_ref.name):
            entries.setdefault(entry.spec.policy_ref.name, []).append(entry)
    return entries


async def databases_of(
    world: World, authorities: Authorities, home: Home, manifest: Manifest, entries: Sequence[DataStore]
) -> PolicyDatabases:
    """The databases of a policy that is there, with their servers as they are: none is made here."""
    meta = manifest["metadata"]
    reference = PolicyRef(home.name, meta["name"], meta["uid"])
    claimant = Claimant(home.name, home.uid, reference.name, reference.uid)
    mine = [entry for entry in entries if standing(entry.spec, claimant) is not Standing.RELEASED]
    servers = Servers(world, authorities, reference, manifest)
    known = {entry.spec.class_name: await _server(servers, entry) for entry in mine}
    return PolicyDatabases(
        reference,
        manifest,
        tuple(
            LedgerDatabase(
                entry.metadata.name, place_of(entry.spec).name, _where(entry, claimant, known[entry.spec.class_name])
            )
            for entry in mine
        ),
        tuple(entry for entry in entries if entry not in mine),
    )


async def _server(servers: Servers, entry: DataStore) -> DatabaseServer | RetentionError:
    """The server as it is: what is placed makes none, and needs nothing of the namespace."""
    try:
        server = await servers.as_left(entry)
    except RetentionError as problem:
        return problem
    assert isinstance(server, DatabaseServer)
    return server


def _where(
    entry: DataStore, claimant: Claimant, server: DatabaseServer | RetentionError
) -> DatabasePlace | RetentionError:
    if standing(entry.spec, claimant) is Standing.CONFIRMED or entry.status.phase in (None, "Pending"):
        return NotReady("the database is being made", reason=Reason.PENDING)
    if isinstance(server, RetentionError):
        return server
    return DatabasePlace(server, ledger.identity_of(entry.spec), entry.spec.namespace_uid)
