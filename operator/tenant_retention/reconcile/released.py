"""Stores without a policy: the claim ends, the jobs go, the data stays, debt is counted on (X4, X5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import IN_NAMESPACE
from tenant_retention.domain import ledger
from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import MANAGED_BY, POLICY_LABEL
from tenant_retention.domain.names import Place
from tenant_retention.domain.ports.cluster import CRON_JOB, JOB, POLICY, STORE, Happening, Manifest
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.ports.stores import BucketServer, DatabaseServer
from tenant_retention.domain.store_status import next_deadline
from tenant_retention.reconcile.backup_state import BackupState
from tenant_retention.reconcile.observing import count, observer
from tenant_retention.reconcile.rules import forget
from tenant_retention.reconcile.servers import Authorities, Server, Servers
from tenant_retention.reconcile.telling import tell_store
from tenant_retention.reconcile.tenancy import enter, look_home
from tenant_retention.reconcile.world import World, parse


async def release(world: World, namespace: str, name: str) -> None:
    """What is left of a policy that is gone: its claims end, its CronJob and Jobs go, its series end."""
    world.shown.forget_policy(namespace, name)
    entries = await world.cluster.list(STORE, labels=ledger.selector(namespace, name))
    for found in entries:
        claim = (found.get("spec") or {}).get("claimRef")
        # A claim without a UID is an administrator's word about a policy that is still to come.
        if claim is not None and claim.get("uid"):
            await world.cluster.merge(STORE, found["metadata"]["name"], None, ledger.release())
            note = f"policy {namespace}/{name} is gone: data and debt counting stay, nothing is deleted any more"
            await world.cluster.tell(Happening(found, "StoreReleased", note))
    if entries:
        await _end_jobs(world, namespace, name, entries)
    else:
        # It never had a store: its last good choice is of no use to anybody.
        await forget(world, PolicyRef(namespace, name, ""))


async def _end_jobs(world: World, namespace: str, name: str, entries: Sequence[Manifest]) -> None:
    """CronJob and Jobs go. They are owned by the policy, too: where we may not act any more, Kubernetes removes them.

    ``entries``: the policy's of the ledger. The jobs of a namespace that was made anew went with the one before.
    """
    try:
        home = await look_home(world, namespace)
        if home.uid not in {(found.get("spec") or {}).get("namespaceUid") for found in entries}:
            return
        await enter(world, home, entries[0])
    except Invalid:
        return
    labels = f"app.kubernetes.io/managed-by={MANAGED_BY},{POLICY_LABEL}={name}"
    for kind in (CRON_JOB, JOB):
        for found in await world.cluster.list(kind, namespace, labels):
            await world.cluster.delete(kind, found["metadata"]["name"], namespace, found["metadata"]["uid"])


class StoreReconciler:
    """Looks after the ledger entries that no live policy has."""

    def __init__(self, world: World, authorities: Authorities) -> None:
        self._world = world
        self._authorities = authorities

    async def reconcile(self, name: str) -> timedelta | None:
        """Counts the debt of a released store; None where a policy looks after the entry, or it is gone."""
        world = self._world
        manifest = await world.cluster.get(STORE, name)
        if manifest is None:
            world.shown.released_store(name, None)
            world.shown.store_measured("", "", name, None)
            world.shown.store_ready("", "", name, None)
            return None
        entry = parse(DataStore, manifest, "StoreConflict")
        policy = await self._claimant(entry)
        used = _purposes_of(policy)
        if policy is not None and (not used or (entry.spec.purpose in used and entry.status.phase != "Released")):
            world.shown.released_store(name, None)
            return None
        facts: DatabaseFacts | None = None
        backups: Manifest | None = None
        problem: RetentionError | None = None
        refusing: RetentionError | None = None
        reference = _reference(entry)
        try:
            if await world.cluster.get(POLICY, reference.name, reference.namespace) is None:
                # Whatever runs on without its policy: a deletion that orphaned its dependents, a kill in mid-release.
                await _end_jobs(world, reference.namespace, reference.name, [manifest])
            server, problem = await self._server(
                entry, manifest, used, confirmed=policy is not None or _is_confirmed(entry)
            )
            if isinstance(server, DatabaseServer):
                refusing = await self._refuse_runs(name, server)
                facts = await count(world, entry, await observer(world, entry, reference, server))
            elif isinstance(server, BucketServer) and entry.spec.purpose == BACKUPS:
                backups = await BackupState(world, reference).left(server, entry)
        except RetentionError as caught:
            problem = problem or caught
        problem = problem or refusing
        empty = entry.status.empty is True if facts is None else facts.rows() == 0
        # A live policy's store that it asks for no more is Released once it is empty, and its claim stays: asked for again,
        # it is bound at once.
        # With rows again it stays so until the policy has taken it, and says so: nobody else would count it meanwhile (M10).
        bound = policy is not None and not empty and entry.spec.purpose not in used
        status = await tell_store(world, name, bound, facts, problem, None, backups=backups) or {}
        # Never counted is not zero: such a store has no series (D7).
        world.shown.released_store(name, status.get("overdue"))
        if "overdue" in status:
            # Of a store that is away the last count stands, also in a new process.
            world.shown.released_deadline(name, next_deadline(status))
        return timedelta(seconds=max(world.resync_seconds, 20.0))

    async def _claimant(self, entry: DataStore) -> Manifest | None:
        """The live policy that has the claim."""
        claim = ledger.holder(entry.spec)
        if claim is None:
            return None
        policy = await self._world.cluster.get(POLICY, claim.name, claim.namespace)
        return policy if policy is not None and claim.uid in (None, policy["metadata"]["uid"]) else None

    async def _server(
        self, entry: DataStore, manifest: Manifest, used: frozenset[str], *, confirmed: bool
    ) -> tuple[Server | None, RetentionError | None]:
        """Keeps the server of ours up and its certificate fresh; where its namespace is not served, why it is left as it is.

        A server that the customer owns is asked whatever became of the namespace.
        """
        servers = Servers(self._world, self._authorities, _reference(entry), manifest)
        if entry.spec.provisioner not in IN_NAMESPACE:
            return await servers.of([entry]), None
        try:
            home = await look_home(self._world, entry.spec.namespace)
            if not confirmed and home.uid != entry.spec.namespace_uid:
                raise ledger.made_anew(entry)
            await enter(self._world, home, manifest)
        except Invalid as unserved:
            return await servers.as_left(entry), unserved
        return await servers.of(await self._housemates(entry, used)), None

    async def _refuse_runs(self, name: str, server: DatabaseServer) -> RetentionError | None:
        """A database that nobody has refuses runs by itself: an old Job, or one made by hand, deletes nothing (X5).

        The entry is read afresh: a policy that has been bound meanwhile has just allowed them.
        """
        manifest = await self._world.cluster.get(STORE, name)
        if manifest is None:
            return None
        entry = parse(DataStore, manifest, "StoreConflict")
        if await self._claimant(entry) is not None:
            return None
        spec = entry.spec
        identity = ledger.identity_of(spec)
        try:
            await self._world.call(
                server.host, self._world.stores.release_database, server, identity, spec.namespace_uid
            )
        except RetentionError as problem:
            # The debt is counted all the same.
            return problem
        return None

    async def _housemates(self, entry: DataStore, used: frozenset[str]) -> list[DataStore]:
        """All stores in the entry's embedded server, in the one order that the policy's own reconcile has, too.

        The server is made from the first one's class as it was: two that each made it from their own would restart it in
        turns.
        """
        spec = entry.spec
        found = await self._world.cluster.list(STORE, labels=ledger.selector(spec.namespace, spec.policy_ref.name))
        stores = [parse(DataStore, each, "StoreConflict") for each in found]
        mine = [each for each in stores if (each.spec.type, each.spec.class_name) == (spec.type, spec.class_name)]

        def order(each: DataStore) -> tuple[bool, bool, Place]:
            place = ledger.place_of(each.spec)
            return (place.purpose not in used, place != Place(place.purpose), place)

        return sorted(mine or [entry], key=order)


def _reference(entry: DataStore) -> PolicyRef:
    return PolicyRef(entry.spec.namespace, entry.spec.policy_ref.name, entry.spec.policy_ref.uid or "")


def _is_confirmed(entry: DataStore) -> bool:
    """Whether an administrator has named the policy that is to have the store, be it there or still to come."""
    claim = ledger.holder(entry.spec)
    return claim is not None and claim.uid is None


def _purposes_of(policy: Manifest | None) -> frozenset[str]:
    """What the stores that a live policy looks after are for; empty while it is coming up. One that its profile has no use
    for any more, or that it has left empty, is counted like a released one (X4)."""
    rows = ((policy or {}).get("status") or {}).get("storeCounts") or ()
    return frozenset(str(row["purpose"]) for row in rows)
