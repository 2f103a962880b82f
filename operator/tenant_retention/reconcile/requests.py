"""DataSubjectRequest: searched for in every database of its policies, and followed until nothing is left in any (T7, M9, X3).

Level-triggered: each look asks the databases how far it is, and begins what is missing. Nothing waits for the object's deletion: its
Job and its Secret go with it, what was not begun is taken back by the policies (``withdrawing``), and what was found goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest
from tenant_retention.domain.chosen_policies import concerns, unfinished
from tenant_retention.domain.conditions import moment
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError
from tenant_retention.domain.ledger import place_of
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.ports.cluster import POLICY, REQUEST, Happening, Manifest
from tenant_retention.domain.request_deadlines import RequestTerms
from tenant_retention.domain.subject_requests import (
    RequestReport,
    StoreRequest,
    is_done,
    policies_of,
    request_status,
    tellings,
)
from tenant_retention.reconcile.ledger_databases import (
    LedgerDatabase,
    PolicyDatabases,
    databases_of,
    entries_by_policy,
)
from tenant_retention.reconcile.rules import recall
from tenant_retention.reconcile.seeking import Seeking
from tenant_retention.reconcile.servers import Authorities
from tenant_retention.reconcile.telling import tell_status
from tenant_retention.reconcile.tenancy import look_home
from tenant_retention.reconcile.world import World, parse

LATER = timedelta(seconds=20)
"""When to look again at a search, or at what keeps one from being begun."""
REST = timedelta(minutes=15)
"""How often databases are asked what is left: nights, and what somebody released, show so soon."""
_BEGINS = NotReady("the databases of its policies are being asked", reason=Reason.PENDING)


@dataclass
class Memory:
    """Until when a request of which everything is found need not be looked at; nothing that a restart may not lose."""

    uid: str
    until: datetime


class RequestReconciler:
    """Carries DataSubjectRequests out."""

    def __init__(self, world: World, authorities: Authorities) -> None:
        self._world = world
        self._authorities = authorities
        self._memory: dict[tuple[str, str], Memory] = {}

    async def reconcile(self, namespace: str, name: str) -> timedelta | None:
        """Brings one request forward, and tells how far it is."""
        world, key = self._world, (namespace, name)
        manifest = await world.cluster.get(REQUEST, name, namespace)
        if manifest is None or manifest["metadata"].get("deletionTimestamp"):
            self._memory.pop(key, None)
            world.shown.request(namespace, name, {})
            return None
        request = parse(DataSubjectRequest, manifest, Reason.SPEC_INVALID)
        status = manifest.get("status") or {}
        if is_done(status):
            world.shown.request(namespace, name, status)
            return None
        rests = self._memory.get(key)
        if rests is not None and rests.uid == request.metadata.uid and world.now() < rests.until:
            return rests.until - world.now()
        self._memory.pop(key, None)
        try:
            report = await self._work(request, manifest, namespace)
        except RetentionError as problem:
            report = RequestReport(problems=(problem,))
        await self._tell(manifest, request, report)
        if report.done:
            return None
        again = self._again(report, manifest["status"])
        if not _is_open(report):
            self._memory[key] = Memory(request.metadata.uid or "", world.now() + again)
        return again

    async def _work(self, request: DataSubjectRequest, manifest: Manifest, namespace: str) -> RequestReport:
        world = self._world
        home = await look_home(world, namespace)
        there = {found["metadata"]["name"]: found for found in await world.cluster.list(POLICY, namespace)}
        policies, missing = policies_of(request, there)
        if policies and not request.status.policies:
            # Before anything is searched: a policy that is made later is not the request's.
            await self._tell(manifest, request, RequestReport(policies, problems=(_BEGINS,)))

        def concerned(policy: str) -> bool:
            """Its own policies, and those that are gone: the person is in their databases still."""
            return policy in policies or (policy not in there and concerns(request.spec.policy_refs, policy))

        entries = await entries_by_policy(world, namespace, concerned)
        chosen = [
            await databases_of(world, self._authorities, home, there[policy], entries.pop(policy, ()))
            for policy in policies
        ]
        unowned = [entry for gone in (*entries.values(), *(each.unowned for each in chosen)) for entry in gone]
        asked = [await self._ask(request, each) for each in chosen]
        stores = (*(store for found in asked for store in found), *map(_unowned, unowned))
        problems = [*missing]
        problems += [found for each in chosen if (found := unfinished(each.manifest, len(each.mine))) is not None]
        seeking = Seeking(world, request)
        problems += await seeking.go_on([each for each, found in zip(chosen, asked, strict=True) if _to_seek(found)])
        terms = await self._terms(chosen)
        # Without them nobody knows for how long backups have what is gone.
        problems += [
            NotReady(f"policy {name} has no rules yet", reason=Reason.PENDING) for name in policies if name not in terms
        ]
        report = RequestReport(policies, terms, stores, tuple(problems))
        if report.done:
            # Before the last word: a request that is done is not looked at any more.
            await seeking.end(chosen)
        return report

    async def _ask(self, request: DataSubjectRequest, policy: PolicyDatabases) -> list[StoreRequest]:
        """How far it is in the databases of one policy."""
        uid = UUID(request.metadata.uid or "")
        return await asyncio.gather(*(self._store(uid, policy.reference, database) for database in policy.mine))

    async def _store(self, uid: UUID, policy: PolicyRef, database: LedgerDatabase) -> StoreRequest:
        blank, where = StoreRequest(database.name, policy.name, database.place), database.where
        try:
            if isinstance(where, RetentionError):
                raise where
            progress = await self._world.call(where.server.host, self._world.stores.request_progress, where, uid)
            return replace(blank, progress=progress)
        except RetentionError as problem:
            return replace(blank, problem=problem)

    async def _terms(self, policies: list[PolicyDatabases]) -> Mapping[str, RequestTerms]:
        """By the last good rules: what a request may take does not change by a typing error."""
        known = {each.reference.name: await recall(self._world, each.reference) for each in policies}
        return {
            name: RequestTerms.of(last.profile, last.life())
            for name, last in known.items()
            if last is not None and last.profile is not None
        }

    async def _tell(self, manifest: Manifest, request: DataSubjectRequest, report: RequestReport) -> None:
        """The status, then what changed in it by Events; ``manifest`` has it afterwards."""
        previous = manifest.get("status") or {}
        status = request_status(request, report, previous, self._world.now())
        await tell_status(self._world, REQUEST, manifest, status)
        manifest["status"] = status
        meta = manifest["metadata"]
        self._world.shown.request(meta["namespace"], meta["name"], status)
        for change, type_ in tellings(previous, status):
            await self._world.cluster.tell(Happening(manifest, change.reason, change.message[:1000], type_))

    def _again(self, report: RequestReport, status: Manifest) -> timedelta:
        """When to look again; also at what moves by the clock alone."""
        now = self._world.now()
        clocks = [moment(status[word]) - now for word in ("warnAt", "liveDeadline") if status.get(word)]
        return min([LATER if _is_open(report) else REST, *(left for left in clocks if left > timedelta(0))])


def _to_seek(stores: list[StoreRequest]) -> bool:
    """Whether a policy's databases are all there, and one does not have all rows yet: half of a person is not erased."""
    return all(store.problem is None for store in stores) and any(not _is_found(store) for store in stores)


def _is_found(store: StoreRequest) -> bool:
    return store.progress is not None and store.progress.found_at is not None


def _is_open(report: RequestReport) -> bool:
    """Whether something is to be done by this reconcile, or by somebody; else nights go on alone."""
    return bool(report.problems) or not report.stores or not all(map(_is_found, report.stores))


def _unowned(entry: DataStore) -> StoreRequest:
    problem = Invalid(
        "no policy has the store, so nothing goes from it; bind it again (spec.claimRef of its DataStore), or remove it",
        reason=Reason.STORE_RELEASED,
    )
    return StoreRequest(entry.metadata.name, entry.spec.policy_ref.name, place_of(entry.spec).name, problem=problem)
