"""The ledger at work: every store of a policy has an entry before it is made, and an entry has one claimant (X5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tenant_retention.api.v1alpha1.common import ApiObject
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import IN_NAMESPACE, DataStoreClass
from tenant_retention.api.v1alpha1.tenantretentionpolicy import StoreRequest
from tenant_retention.domain import ledger
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, StoreReleased
from tenant_retention.domain.ledger import Claimant, Standing
from tenant_retention.domain.names import Place, StoreIdentity
from tenant_retention.domain.policy_report import StoreReport
from tenant_retention.domain.ports.cluster import STORE, STORE_CLASS, Manifest
from tenant_retention.domain.topology import (
    DATABASE_PURPOSES,
    WantedStore,
    choose_class,
    of_class,
    pinned_class,
    refuse_second_server,
)
from tenant_retention.reconcile.tenancy import Home
from tenant_retention.reconcile.world import World, parse

_Model = TypeVar("_Model", bound=ApiObject)
LEAVING = "the policy asks for it no more: its rows go on expiring, and when it is empty it is Released"


@dataclass(frozen=True)
class ClaimedStore:
    """A store that the policy has, by its ledger entry. ``warning``: what is worth knowing and keeps it from nothing."""

    wanted: WantedStore
    identity: StoreIdentity
    entry: DataStore
    warning: str | None = None

    def report(self, problem: RetentionError | None = None, warnings: tuple[str, ...] = ()) -> StoreReport:
        """The store's row of the status."""
        return StoreReport(
            purpose=self.wanted.purpose,
            place=self.wanted.place,
            leaving=self.wanted.leaving,
            type=self.wanted.type,
            class_name=self.entry.spec.class_name,
            data_store=self.entry.metadata.name,
            region=self.entry.spec.region,
            problem=problem,
            warnings=(*warnings, self.warning) if self.warning else warnings,
        )

    def at_its_server(self, problem: RetentionError) -> RetentionError:
        """``problem``, with the class's field that leads to it where the server is not ours."""
        spec = self.entry.spec
        return of_class(problem, spec.class_name, spec.type) if spec.provisioner == "Existing" else problem

    def confirmed_uids(self) -> frozenset[str]:
        """The UIDs of before, of namespace and policy, in the entry of a store that an administrator bound again; an entry
        that was written anew has none."""
        spec = self.entry.spec
        return frozenset(uid for uid in (spec.namespace_uid, spec.policy_ref.uid) if uid)


@dataclass
class Claims:
    """The stores that the policy has, what stands in the way of the others, and a wish that a store cannot follow.
    ``unentered``: places of which the ledger surely has no entry, so that no store was ever made there."""

    claimed: list[ClaimedStore] = field(default_factory=list)
    refused: list[StoreReport] = field(default_factory=list)
    problem: RetentionError | None = None
    unentered: set[Place] = field(default_factory=set)


async def claim(world: World, claimant: Claimant, home: Home, wanted: tuple[WantedStore, ...]) -> Claims:
    """Claims every wanted store: an entry of the ledger is found, confirmed or written; one that is refused is reported.

    Entries are read by name: with thousands of policies nobody lists the whole ledger at every resync.
    """
    claims = Claims()
    classes: dict[str, str | None] = {}
    for store in wanted:
        identity = identity_for(world, claimant, store.place)
        known: DataStore | None = None
        warning: str | None = None
        try:
            found = await world.cluster.get(STORE, identity.store_id())
            if found is None and store.leaving:
                continue
            if found is None:
                claims.unentered.add(store.place)
                chosen = await _choose(world, claimant, home, store)
                # From here on somebody may have written it, whatever the answer is.
                claims.unentered.discard(store.place)
                known = await _enter(world, identity, claimant, chosen, store)
            else:
                known = _read(DataStore, found, Reason.STORE_CONFLICT)
                known = await _take(world, known, claimant)
                claims.problem = claims.problem or moved(store, known)
                name = known.spec.class_name
                if name not in classes:
                    classes[name] = await _classless(world, known)
                warning = classes[name]
            claims.claimed.append(ClaimedStore(store, identity, known, LEAVING if store.leaving else warning))
        except RetentionError as problem:
            claims.refused.append(_refusal(store, known, problem))
    return claims


def identity_for(world: World, claimant: Claimant, place: Place) -> StoreIdentity:
    """The identity of a policy's store."""
    return StoreIdentity(
        world.installation, claimant.namespace, claimant.policy, place.purpose, place.region, place.unit
    )


async def follow_marker(
    world: World, store: ClaimedStore, claimant: Claimant, problem: RetentionError | None
) -> RetentionError | None:
    """What the ledger learns from the store's own marker; the problem that remains.

    An entry that was lost and written anew says that the store is this namespace's, but the marker knows better: the entry
    becomes what it was, Released, so that an administrator can confirm it like any other (PROVISIONING.md section 5).
    """
    name = store.entry.metadata.name
    if isinstance(problem, StoreReleased):
        await world.cluster.merge(STORE, name, None, ledger.rewrite(problem))
        return ledger.refuse_released(store.entry, claimant)
    if problem is None and not ledger.is_settled(store.entry.spec, claimant):
        await world.cluster.merge(STORE, name, None, ledger.settle(claimant))
    return problem


async def unasked_databases(
    world: World, claimant: Claimant, asked: Sequence[WantedStore], names: Sequence[str] | None
) -> list[DataStore]:
    """The databases that the policy has and asks for no more, those that were emptied too.

    Home stores are read by name. Those of units and regions that are gone have these ``names``; None: they are found by
    their labels.
    """
    places = {store.place for store in asked}
    homes = [Place(purpose) for purpose in sorted(DATABASE_PURPOSES) if Place(purpose) not in places]
    found = [await world.cluster.get(STORE, identity_for(world, claimant, place).store_id()) for place in homes]
    if names is None:
        found += await world.cluster.list(STORE, labels=ledger.selector(claimant.namespace, claimant.policy))
    else:
        found += [await world.cluster.get(STORE, name) for name in names]
    entries = {
        entry.metadata.name: entry
        for known in found
        if known is not None and (entry := parse(DataStore, known, Reason.STORE_CONFLICT)).spec.type == "PostgreSQL"
    }
    return [
        entry
        for entry in entries.values()
        if ledger.place_of(entry.spec) not in places and ledger.standing(entry.spec, claimant) is Standing.BOUND
    ]


async def _choose(world: World, claimant: Claimant, home: Home, store: WantedStore) -> DataStoreClass:
    """The class of a store that is not there yet; its limits count the namespace's entries of the ledger.

    Where the policy names none, a store comes from the class of the embedded server that the policy has already: a default
    that changed meanwhile must not harm a running tenant (M11).
    """
    entries = await world.cluster.list(STORE, labels=f"{ledger.NAMESPACE_LABEL}={home.name}")
    mine = [_read(DataStore, found, Reason.STORE_CONFLICT) for found in entries]
    siblings = [entry for entry in mine if entry.spec.policy_ref.name == claimant.policy]
    # Only home stores: a server of a further region is for that region alone.
    store = _beside(store, [entry for entry in siblings if ledger.place_of(entry.spec) == Place(entry.spec.purpose)])
    named = store.request.class_name if store.request else None
    classes = []
    for found in await world.cluster.list(STORE_CLASS):
        try:
            classes.append(_read(DataStoreClass, found, Reason.CLASS_INVALID))
        except Invalid:
            # A class that cannot be read is a matter of those who name it (X2).
            if found["metadata"]["name"] == named:
                raise
    chosen = choose_class(store, classes, namespace=home.name, namespace_labels=home.labels, ledger=mine)
    refuse_second_server(store, chosen, siblings)
    return chosen


def _beside(store: WantedStore, siblings: Sequence[DataStore]) -> WantedStore:
    """The wish with the class of the policy's own server of the same type, where it names none."""
    found = [each for each in siblings if each.spec.type == store.type and each.spec.provisioner in IN_NAMESPACE]
    if not found or (store.request and (store.request.class_name or store.request.region)):
        return store
    request = store.request or StoreRequest.from_object({"purpose": store.purpose})
    return replace(store, request=request.model_copy(update={"class_name": found[0].spec.class_name}))


def _read(model: type[_Model], found: Manifest, reason: Reason) -> _Model:
    """The object, or what is wrong with it by its name."""
    try:
        return parse(model, found, reason)
    except Invalid as problem:
        text = f"{found['kind']} {found['metadata']['name']}: {problem.message}"
        raise Invalid(text, reason=problem.reason, field=problem.field) from problem


def moved(store: WantedStore, known: DataStore) -> RetentionError | None:
    """What is wrong where the policy names another class than the store was made from; the store itself goes on."""
    try:
        pinned_class(store, known)
    except Invalid as problem:
        return problem
    return None


async def _classless(world: World, known: DataStore) -> str | None:
    """That a store's class is gone. The store goes on by what the ledger keeps of it, as a volume does without its class."""
    name = known.spec.class_name
    if await world.cluster.get(STORE_CLASS, name) is not None:
        return None
    return f"DataStoreClass {name} is gone: the store goes on as it was made, no other one can be made from it; create it again"


async def _enter(
    world: World, identity: StoreIdentity, claimant: Claimant, chosen: DataStoreClass, store: WantedStore
) -> DataStore:
    manifest = ledger.entry(identity, claimant, chosen)
    if store.request and store.request.storage and chosen.spec.provisioner in IN_NAMESPACE:
        # The volume's size is a fact of the store: an embedded server's claim cannot be changed afterwards.
        settings = "embedded" if chosen.spec.provisioner == "Embedded" else "cloudNativePG"
        manifest["spec"]["classSnapshot"].setdefault(settings, {})["storage"] = store.request.storage
    created = await world.cluster.create(manifest)
    if created is None:
        raise NotReady(
            f"DataStore {identity.store_id()} has just been written by somebody else; looking again",
            reason=Reason.PROVISIONING,
        )
    return parse(DataStore, created, Reason.STORE_CONFLICT)


async def _take(world: World, known: DataStore, claimant: Claimant) -> DataStore:
    how = ledger.standing(known.spec, claimant)
    if ledger.names_another(known.spec, claimant):
        # An administrator's word stays as it is written, so that it can be seen and put right.
        raise ledger.refuse_other(known, claimant)
    if how is Standing.RELEASED:
        if known.spec.claim_ref is not None and known.spec.claim_ref.uid is not None:
            # The policy with that UID is gone: another one has its name. Now only an administrator's word counts.
            await world.cluster.merge(STORE, known.metadata.name, None, ledger.release())
        raise ledger.refuse_released(known, claimant)
    if how is Standing.CONFIRMED:
        patched = await world.cluster.merge(STORE, known.metadata.name, None, ledger.bind(claimant))
        if patched is None:
            raise NotReady(f"DataStore {known.metadata.name} has just gone; looking again", reason=Reason.PROVISIONING)
        return parse(DataStore, patched, Reason.STORE_CONFLICT)
    return known


def _refusal(store: WantedStore, known: DataStore | None, problem: RetentionError) -> StoreReport:
    return StoreReport(
        purpose=store.purpose,
        place=store.place,
        type=store.type,
        class_name=known.spec.class_name if known else None,
        data_store=known.metadata.name if known else None,
        region=known.spec.region if known else None,
        problem=problem,
    )
