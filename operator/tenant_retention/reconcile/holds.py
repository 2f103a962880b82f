"""LegalHold: placed in every database of its policies, also in those made later, until it is released (X3).

Level-triggered: each look places what is missing, or releases what is still in force. Deleting the object is neither: what it
placed stays in the databases, where every run asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.legalhold import LegalHold
from tenant_retention.domain.chosen_policies import chosen_policies, concerns, unfinished
from tenant_retention.domain.conditions import transitions
from tenant_retention.domain.errors import NotReady, RetentionError, Unavailable
from tenant_retention.domain.holds import (
    HoldReport,
    StoreHold,
    hold_status,
    wanted_hold,
)
from tenant_retention.domain.ledger import place_of
from tenant_retention.domain.ports.cluster import HOLD, POLICY, Happening, Manifest
from tenant_retention.domain.ports.holds import WantedHold
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.subject_secrets import hold_subject
from tenant_retention.reconcile.held_persons import identifiers_of, subject_in
from tenant_retention.reconcile.ledger_databases import LedgerDatabase, databases_of, entries_by_policy
from tenant_retention.reconcile.servers import Authorities
from tenant_retention.reconcile.subject_secrets import remove_secret
from tenant_retention.reconcile.telling import tell_status
from tenant_retention.reconcile.tenancy import Home, look_home
from tenant_retention.reconcile.world import World, parse

SOON = timedelta(seconds=5)
LATER = timedelta(seconds=20)
RECOUNT = timedelta(hours=1)
"""Counting reads every month that may be held; what is held does not go meanwhile."""
_UNOWNED = "no policy has the store, so nothing is deleted from it; once one has it again the hold is placed there"


@dataclass
class Memory:
    """What this process counted of a hold: by store, when, and what; nothing that a restart may not lose."""

    uid: str
    counts: dict[str, tuple[datetime, Mapping[str, int] | None]] = field(default_factory=dict)


class HoldReconciler:
    """Places and releases LegalHolds."""

    def __init__(self, world: World, authorities: Authorities) -> None:
        self._world = world
        self._authorities = authorities
        self._memory: dict[tuple[str, str], Memory] = {}

    async def reconcile(self, namespace: str, name: str) -> timedelta | None:
        """Brings every database to what the object says, and tells how far that is."""
        manifest = await self._world.cluster.get(HOLD, name, namespace)
        if manifest is None or manifest["metadata"].get("deletionTimestamp"):
            self._memory.pop((namespace, name), None)
            return None
        hold = parse(LegalHold, manifest, Reason.SPEC_INVALID)
        memory = self._memory.get((namespace, name))
        if memory is None or memory.uid != hold.metadata.uid:
            memory = Memory(hold.metadata.uid or "")
            self._memory[(namespace, name)] = memory
        try:
            report = await self._work(hold, namespace, memory)
            await self._end(hold, namespace, report)
        except RetentionError as problem:
            report = HoldReport(problems=(problem,), looked=False)
        await self._tell(manifest, hold, report)
        problems = [*report.problems, *(store.problem for store in report.stores)]
        if any(isinstance(problem, NotReady) for problem in problems):
            return SOON
        return LATER if any(isinstance(problem, Unavailable) for problem in problems) else None

    async def _work(self, hold: LegalHold, namespace: str, memory: Memory) -> HoldReport:
        home = await look_home(self._world, namespace)
        released = hold.spec.release is not None
        identifiers = None if released else await identifiers_of(self._world, hold, namespace)
        there = {found["metadata"]["name"]: found for found in await self._world.cluster.list(POLICY, namespace)}
        policies, missing = chosen_policies(HOLD.name, hold.spec.policy_refs, there)
        found_entries = await entries_by_policy(
            self._world, namespace, lambda policy: concerns(hold.spec.policy_refs, policy)
        )
        entries: dict[str, list[DataStore]] = {name: [] for name in policies} | found_entries
        stores: list[StoreHold] = []
        problems: list[RetentionError] = [*missing]
        for policy, databases in sorted(entries.items()):
            if policy not in there:
                stores += [_unowned(entry) for entry in databases]
                continue
            found_there, problem = await self._policy(hold, identifiers, home, there[policy], databases, memory)
            stores += found_there
            problems += [problem] if problem is not None else []
        return HoldReport(policies, tuple(stores), tuple(problems))

    async def _policy(
        self,
        hold: LegalHold,
        identifiers: Mapping[str, bytes] | None,
        home: Home,
        manifest: Manifest,
        databases: Sequence[DataStore],
        memory: Memory,
    ) -> tuple[list[StoreHold], RetentionError | None]:
        """The hold in all databases that the ledger has of one policy."""
        found = await databases_of(self._world, self._authorities, home, manifest, databases)
        try:
            subject = await subject_in(self._world, found.reference, manifest, identifiers)
            wanted: WantedHold | RetentionError = wanted_hold(hold, subject)
        except RetentionError as problem:
            wanted = problem
        policy = found.reference.name
        stores = await asyncio.gather(*(self._store(hold, wanted, policy, database, memory) for database in found.mine))
        return [*stores, *(_unowned(entry) for entry in found.unowned)], unfinished(manifest, len(found.mine))

    async def _store(
        self,
        hold: LegalHold,
        wanted: WantedHold | RetentionError,
        policy: str,
        database: LedgerDatabase,
        memory: Memory,
    ) -> StoreHold:
        blank = StoreHold(database.name, policy, database.place)
        try:
            if isinstance(database.where, RetentionError):
                raise database.where
            if hold.spec.release is not None:
                host, release = database.where.server.host, self._world.stores.release_hold
                _, kept = memory.counts.get(database.name, (None, None))
                await self._world.call(host, release, database.where, hold.metadata.name, memory.uid, kept)
                return replace(blank, counts={})
            if isinstance(wanted, RetentionError):
                raise wanted
            return await self._settle(wanted, database.where, blank, memory)
        except RetentionError as problem:
            return replace(blank, problem=problem)

    async def _settle(self, wanted: WantedHold, where: DatabasePlace, blank: StoreHold, memory: Memory) -> StoreHold:
        """The hold in force in one database."""
        world, host = self._world, where.server.host
        placed = await world.call(host, world.stores.place_hold, where, wanted)
        at, counts = memory.counts.get(blank.data_store, (None, None))
        if at is None or placed.added or world.now() - at >= RECOUNT:
            counts = await self._count(wanted.name, where)
            memory.counts[blank.data_store] = (world.now(), counts)
        return replace(blank, since=placed.since, counts=counts, unknown=frozenset(placed.unknown))

    async def _count(self, name: str, where: DatabasePlace) -> Mapping[str, int] | None:
        host, count = where.server.host, self._world.stores.count_hold
        try:
            return await self._world.call(host, count, where, name)
        except Unavailable:
            # In force all the same: that is what the status must not get wrong.
            return None

    async def _end(self, hold: LegalHold, namespace: str, report: HoldReport) -> None:
        """Once it is released everywhere nobody has to know whose rows it was on."""
        owner = hold_subject(hold)
        wrong = report.problems or any(store.problem is not None for store in report.stores)
        if hold.spec.release is not None and owner is not None and not wrong:
            await remove_secret(self._world, owner, namespace)

    async def _tell(self, manifest: Manifest, hold: LegalHold, report: HoldReport) -> None:
        previous = manifest.get("status") or {}
        status = hold_status(hold, report, previous, self._world.now())
        await tell_status(self._world, HOLD, manifest, status)
        for change in transitions(previous.get("conditions") or (), status["conditions"]):
            type_: Literal["Normal", "Warning"] = "Normal" if change.status == "True" else "Warning"
            await self._world.cluster.tell(Happening(manifest, change.reason, change.message[:1000], type_))


def _unowned(entry: DataStore) -> StoreHold:
    return StoreHold(entry.metadata.name, entry.spec.policy_ref.name, place_of(entry.spec).name, unowned=_UNOWNED)
