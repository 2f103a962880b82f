"""RetentionRun: approval into the databases, one Job, its evidence into the status; one-shot, with a time to live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

from tenant_retention.adapters.tenant_stores import observer_user
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.retentionrun import RetentionRun
from tenant_retention.domain.approvals import (
    FINISHED,
    RunOutcome,
    evidence_of,
    grant_of,
    may_start,
    run_id_of,
    run_status,
    shares,
)
from tenant_retention.domain.conditions import moment, reason_of
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.job_pods import ended_as, last_words, plain, waits_for
from tenant_retention.domain.manifests.inputs import RunRef
from tenant_retention.domain.manifests.jobs import run_job_name
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cluster import JOB, POLICY, RUN, Happening
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.stores import ApprovalGrant, DatabaseLogin, DatabaseRequest, DatabaseServer
from tenant_retention.domain.run_status import outcome as outcome_of
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.observing import kept_passwords
from tenant_retention.reconcile.scenes import Scene, scene_of
from tenant_retention.reconcile.schedules import Schedules, schedule_of
from tenant_retention.reconcile.servers import Authorities, Servers
from tenant_retention.reconcile.telling import tell_status
from tenant_retention.reconcile.world import World, parse

AGAIN = timedelta(seconds=5)
_EVIDENCE_LINKS = 10
_REASONS = {"Succeeded": Reason.RUN_SUCCEEDED, "Stopped": Reason.GUARD_STOPPED, "Failed": Reason.RUN_FAILED}


class RunReconciler:
    """Carries RetentionRuns out."""

    def __init__(self, world: World, authorities: Authorities) -> None:
        self._world = world
        self._authorities = authorities

    async def reconcile(self, namespace: str, name: str) -> timedelta | None:
        """Brings one run forward; removes it when its time to live is over."""
        manifest = await self._world.cluster.get(RUN, name, namespace)
        if manifest is None or manifest["metadata"].get("deletionTimestamp"):
            return None
        run = parse(RetentionRun, manifest, Reason.APPROVAL_MISMATCH)
        if run.status.phase in FINISHED:
            return await self._remove_when_old(run)
        scene: Scene | None = None
        try:
            scene = await self._scene(run, namespace)
            if run.status.phase == "Running":
                outcome = await self._follow(run, scene)
            else:
                outcome = await self._start(run, scene)
        except Invalid as problem:
            outcome = RunOutcome("Failed", reason_of(problem.reason), problem.message)
        except NotReady as problem:
            outcome = RunOutcome(run.status.phase or "Pending", reason_of(problem.reason), problem.message)
        definition = scene.definition if scene else None
        status = run_status(
            outcome, manifest.get("status") or {}, run.metadata.generation, definition, self._world.now()
        )
        await tell_status(self._world, RUN, manifest, status)
        if outcome.phase in FINISHED:
            note = outcome.message or f"run {status.get('runId', '')}"
            type_: Literal["Normal", "Warning"] = "Normal" if outcome.phase == "Succeeded" else "Warning"
            await self._world.cluster.tell(Happening(manifest, outcome.reason.value, note, type_))
            return timedelta(seconds=run.spec.ttl_seconds_after_finished)
        return AGAIN

    async def _scene(self, run: RetentionRun, namespace: str) -> Scene:
        world, name = self._world, run.spec.policy_ref.name
        manifest = await world.cluster.get(POLICY, name, namespace)
        if manifest is None:
            raise Invalid(
                f"spec.policyRef.name: there is no TenantRetentionPolicy {name} in namespace {namespace}; "
                "make a new RetentionRun that names one",
                reason=Reason.POLICY_NOT_FOUND,
                field="spec.policyRef.name",
            )
        return await scene_of(world, manifest, settled=run.status.phase != "Running")

    async def _start(self, run: RetentionRun, scene: Scene) -> RunOutcome:
        may_start(run.spec, scene.policy.spec)
        grant = grant_of(run.spec, run.metadata.name, scene.definition, self._world.now())
        schedules = Schedules(self._world, scene.reference, scene.manifest)
        owner = RunRef(run.metadata.name, run.metadata.uid or "")
        job = run_job_name(scene.reference, owner)
        busy = await schedules.at_work()
        if busy is not None and busy != job:
            # One run at a time in a database: a second one would only be refused there, and end as failed.
            raise NotReady(
                f"Job {busy} of the policy is at work; this run begins when it has ended", reason=Reason.PENDING
            )
        if grant is not None:
            await self._approve(scene, grant)
        plan = schedules.plan(scene.definition, scene.stores, Mode(run.spec.mode))
        seconds = schedule_of(scene.reference, scene.policy.spec).window_seconds
        await schedules.start(owner, plan, scene.stores, job, seconds)
        return RunOutcome("Running", Reason.RUNNING, f"Job {job}", job=job, digest=scene.definition.rules_digest())

    async def _approve(self, scene: Scene, grant: ApprovalGrant) -> None:
        """Writes the approval into every database, each with its share: the ceiling is the policy's."""
        databases = await self._databases(scene)
        asking: dict[str, int] = {}
        for store, server, passwords in databases:
            login = _observer(store, server, passwords)
            facts = await self._world.call(server.host, self._world.stores.observe_database, login)
            asked = (found.surplus for found in facts.guard_requests if found.rules_digest == grant.rules_digest)
            asking[store.wanted.place.name] = sum(asked)
        room = shares(grant.max_rows, asking)
        for store, server, passwords in databases:
            share = replace(grant, max_rows=room[store.wanted.place.name])
            request = DatabaseRequest(server, store.identity, scene.home.uid, scene.definition, passwords)
            await self._world.call(server.host, self._world.stores.approve, request, share)

    async def _follow(self, run: RetentionRun, scene: Scene) -> RunOutcome:
        name = run.status.job_name or ""
        job = await self._world.cluster.get(JOB, name, scene.reference.namespace)
        if job is None:
            return RunOutcome("Failed", Reason.RUN_FAILED, f"Job {name} is gone; make a new RetentionRun")
        pods = await Schedules(self._world, scene.reference, scene.manifest).pods(name)
        ended = ended_as(job)
        if ended is None:
            waits = waits_for(job, pods, self._world.now())
            return RunOutcome("Running", Reason.POD_PENDING if waits else Reason.RUNNING, waits or f"Job {name}")
        made, until = moment(job["metadata"]["creationTimestamp"]), moment(ended["lastTransitionTime"])
        words = last_words(pods)
        ids = {run_id for each in words if (run_id := run_id_of(each)) is not None}
        links = await self._links(scene)
        evidence = evidence_of(links, Mode(run.spec.mode), made, until, ids)
        failed = f"Job {name}: {plain(words[0]) if words else ended.get('message') or 'it failed'}"[:1024]
        if not evidence and ended["type"] == "Complete":
            return RunOutcome("Failed", Reason.RUN_FAILED, f"Job {name} ended without evidence in the stores")
        if not evidence:
            return RunOutcome("Failed", Reason.RUN_FAILED, failed)
        phase = outcome_of(evidence) or "Failed"
        whole = evidence.keys() == links.keys() and len({link.run_id for link in evidence.values()}) == 1
        if ended["type"] == "Failed" and not whole:
            # A database that the last attempt did not reach is no success, whatever the others say.
            return RunOutcome("Failed", Reason.RUN_FAILED, failed, evidence=evidence)
        message = {
            "Stopped": "the guard asks for an approval; see status.approval of the policy",
            "Failed": "see status.categories and the log of the Job",
        }.get(phase, "")
        return RunOutcome(phase, _REASONS[phase], message, evidence=evidence)

    async def _links(self, scene: Scene) -> dict[str, tuple[RunEvidence, ...]]:
        """The newest evidence of every database, by purpose."""
        links = {}
        for store, server, passwords in await self._databases(scene):
            login = _observer(store, server, passwords)
            found = await self._world.call(server.host, self._world.stores.evidence, login, _EVIDENCE_LINKS)
            links[store.wanted.place.name] = found
        return links

    async def _databases(self, scene: Scene) -> list[tuple[ClaimedStore, DatabaseServer, dict[str, str]]]:
        servers = Servers(self._world, self._authorities, scene.reference, scene.manifest)
        found = []
        for store in scene.stores:
            if store.wanted.type != "PostgreSQL":
                continue
            server = await servers.of([store.entry])
            assert isinstance(server, DatabaseServer)
            passwords = await kept_passwords(self._world, scene.reference, store.wanted.place)
            found.append((store, server, passwords))
        return found

    async def _remove_when_old(self, run: RetentionRun) -> timedelta | None:
        ended = moment(run.status.finished) if run.status.finished else self._world.now()
        left = ended + timedelta(seconds=run.spec.ttl_seconds_after_finished) - self._world.now()
        if left > timedelta(0):
            return left
        await self._world.cluster.delete(RUN, run.metadata.name, run.metadata.namespace, run.metadata.uid)
        return None


def _observer(store: ClaimedStore, server: DatabaseServer, passwords: dict[str, str]) -> DatabaseLogin:
    """Raises NotReady while the password is being made anew."""
    database = store.entry.spec.name
    if "observer" not in passwords:
        raise NotReady(f"the observer's password of database {database} is being made anew", reason=Reason.PENDING)
    return DatabaseLogin(server.host, server.port, database, observer_user(database), passwords["observer"], server.ca)
