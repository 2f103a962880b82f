"""The search of a DataSubjectRequest: its Secret, and a Job for each policy that lists the rows and does what can be done now (T7).

The Secret is read where a search begins and nowhere else; databases are told digests, pods mount it, nothing else has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest
from tenant_retention.domain.conditions import moment
from tenant_retention.domain.errors import NotReady, RetentionError
from tenant_retention.domain.job_pods import ended_as, is_at_work, last_words, plain, waits_for
from tenant_retention.domain.manifests.inputs import RequestRef
from tenant_retention.domain.manifests.jobs import SUBJECT_MOUNT, plan_name, request_job_name
from tenant_retention.domain.plan_document import Mode, SubjectSource, Task
from tenant_retention.domain.ports.cluster import CONFIG_MAP
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.ports.requests import PlacedRequest, RequestAction, SoughtSubject
from tenant_retention.domain.schedule import DEFAULT_WINDOW_SECONDS
from tenant_retention.domain.subject_requests import may_seek
from tenant_retention.domain.subject_secrets import request_subject
from tenant_retention.domain.subjects import constants_of, parse_subject
from tenant_retention.reconcile.ledger_databases import PolicyDatabases
from tenant_retention.reconcile.scenes import Scene, scene_of
from tenant_retention.reconcile.schedules import Schedules
from tenant_retention.reconcile.subject_secrets import remove_secret, take_secret
from tenant_retention.reconcile.world import World

FIRST_PAUSE = timedelta(minutes=5)
"""Between a Job that ended without having found everything and the next one; twice as long after each further one."""
_MOST_DOUBLINGS = 8


@dataclass(frozen=True)
class Search:
    """What is begun in one policy."""

    policy: PolicyDatabases
    scene: Scene
    sought: SoughtSubject


class Seeking:
    """Works on the searches of one request."""

    def __init__(self, world: World, request: DataSubjectRequest) -> None:
        meta = request.metadata
        self._world = world
        self._request = request
        self._namespace = meta.namespace or ""
        self._owner = RequestRef(meta.name, meta.uid or "", request.spec.subject.secret_ref.name)
        self._subject = request_subject(request)

    async def go_on(self, policies: Sequence[PolicyDatabases]) -> list[RetentionError]:
        """Sees to it that these policies have a Job that looks for the person; what keeps that from happening."""
        problems: list[RetentionError] = []
        unsought: list[PolicyDatabases] = []
        for policy in policies:
            try:
                unsought += [] if await self._is_sought(policy) else [policy]
            except NotReady as problem:
                problems.append(problem)
        if not unsought:
            return problems
        searches: list[Search] = []
        try:
            data = await take_secret(self._world, self._subject, self._namespace)
            for policy in unsought:
                try:
                    searches.append(await self._prepared(policy, data))
                except RetentionError as problem:
                    # What is refused for one policy is begun with in none.
                    if problem.reason == Reason.SUBJECT_INVALID:
                        raise
                    problems.append(problem)
        except RetentionError as problem:
            return [*problems, problem]
        for search in searches:
            try:
                await self._begin(search)
            except RetentionError as problem:
                problems.append(problem)
        return problems

    async def end(self, policies: Sequence[PolicyDatabases]) -> None:
        """Nobody is looked for any more: the Secret goes, and the plans."""
        await remove_secret(self._world, self._subject, self._namespace)
        for policy in policies:
            await self._world.cluster.delete(CONFIG_MAP, plan_name(policy.reference, self._owner), self._namespace)

    async def _is_sought(self, policy: PolicyDatabases) -> bool:
        """Whether a Job of the policy looks for the person, or has just ended. Raises NotReady with what keeps it from it."""
        schedules = Schedules(self._world, policy.reference, policy.manifest)
        jobs = await schedules.asked_by(self._owner)
        if not jobs:
            return False
        newest, name = jobs[0], jobs[0]["metadata"]["name"]
        pods = await schedules.pods(name)
        ended = ended_as(newest)
        if ended is None:
            if not is_at_work(newest, self._world.now()):
                # None of ours: those are ended at their deadline.
                return False
            waits = waits_for(newest, pods, self._world.now())
            if waits is not None:
                raise NotReady(waits, reason=Reason.POD_PENDING)
            return True
        pause = FIRST_PAUSE * 2 ** min(len(jobs) - 1, _MOST_DOUBLINGS)
        if self._world.now() >= moment(ended["lastTransitionTime"]) + pause:
            return False
        if ended["type"] == "Failed":
            words = last_words(pods)
            told = plain(words[0]) if words else ended.get("message") or "it failed"
            raise NotReady(f"Job {name}, which is followed by another one: {told}"[:1024], reason=Reason.RUN_FAILED)
        return True

    async def _prepared(self, policy: PolicyDatabases, data: Mapping[str, bytes]) -> Search:
        """Whom to look for in a policy, and by what. Raises Invalid where nobody may be looked for, NotReady until one can."""
        scene = await scene_of(self._world, policy.manifest, settled=True)
        may_seek(policy.reference.name, scene.policy.spec)
        constants = constants_of(scene.definition)
        # In a thread: the first number loads what is known of all countries' numbers.
        subject = await asyncio.to_thread(parse_subject, data, scene.policy.spec.phone_default_region, constants)
        return Search(policy, scene, SoughtSubject(UUID(self._owner.uid), subject))

    async def _begin(self, search: Search) -> None:
        """Tells every database of the policy, then starts the Job. Killed in between, the next look does all of it again."""
        world, scene = self._world, search.scene
        schedules = Schedules(world, scene.reference, scene.manifest)
        busy = await schedules.at_work()
        if busy is not None:
            raise NotReady(
                f"Job {busy} of the policy is at work; the search begins when it has ended", reason=Reason.PENDING
            )
        spec, received = self._request.spec, moment(self._request.metadata.creation_timestamp or "")
        actions = [RequestAction(action) for action in spec.actions]
        placed = PlacedRequest.about(search.sought, self._owner.name, actions, received, world.entropy(16))
        for database in search.policy.mine:
            assert isinstance(database.where, DatabasePlace)
            await world.call(database.where.server.host, world.stores.place_request, database.where, placed)
        source = SubjectSource(
            request=search.sought.request, subject=SUBJECT_MOUNT, region=scene.policy.spec.phone_default_region
        )
        plan = schedules.plan(scene.definition, scene.stores, Mode.ENFORCE)
        plan = plan.model_copy(update={"task": Task.REQUESTS, "subjects": (source,)})
        job = request_job_name(scene.reference, self._owner, world.now())
        await schedules.start(self._owner, plan, scene.stores, job, DEFAULT_WINDOW_SECONDS)
