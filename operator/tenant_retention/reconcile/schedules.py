"""The nightly CronJob of a policy, its plan, and the run that did not come (EXPECTATIONS.md, "Jobs")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.conditions import moment
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.manifests.inputs import DnsServers, Endpoint, EnforcementPod, PolicyRef, RunRef
from tenant_retention.domain.manifests.jobs import (
    BINDINGS_MOUNT,
    RUN_LABEL,
    cron_job,
    missed_job_name,
    one_off_job,
    plan_config_map,
    plan_name,
)
from tenant_retention.domain.manifests.metadata import POLICY_LABEL, binding_name
from tenant_retention.domain.manifests.networking import JOB_COMPONENT, jobs_network_policy
from tenant_retention.domain.plan_document import Mode, PlanDocument, StoreBinding
from tenant_retention.domain.ports.cluster import JOB, POD, Happening, Manifest
from tenant_retention.domain.ports.enforcement import RunEvidence
from tenant_retention.domain.schedule import Schedule, plan_schedule
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.world import World

TASK = "expire"
_CONTAINER_COMPONENT = f"app.kubernetes.io/component={JOB_COMPONENT}"


@dataclass(frozen=True)
class Jobs:
    """What the Jobs of a policy say now. ``active_since``: one is at work; ``failure``: what the newest one said that
    failed, and when; ``newest``: when the newest one was made."""

    active_since: datetime | None = None
    failure: str | None = None
    failed_at: datetime | None = None
    newest: datetime | None = None


def schedule_of(reference: PolicyRef, spec: TenantRetentionPolicySpec) -> Schedule:
    """The policy's schedule. Raises Invalid naming spec.timeZone or spec.window."""
    return plan_schedule(
        reference.namespace,
        reference.name,
        TASK,
        time_zone=spec.time_zone,
        start=spec.window.start,
        duration=spec.window.duration,
    )


@dataclass(frozen=True)
class Schedules:
    """Works on the jobs of one policy; ``regarding``: the policy, for Events."""

    world: World
    reference: PolicyRef
    regarding: Manifest

    async def apply(
        self,
        schedule: Schedule,
        definition: RetentionDefinition,
        stores: Sequence[ClaimedStore],
        *,
        mode: Mode,
        suspend: bool,
    ) -> None:
        """Plan, NetworkPolicy and CronJob as wanted."""
        existing = tuple(found for store in stores if (found := _endpoint(store)) is not None)
        await self.world.applier.apply(jobs_network_policy(self.reference, DnsServers(), existing), self.regarding)
        await self.apply_plan(definition, stores, mode)
        pod = self.pod(stores, plan_name(self.reference))
        await self.world.applier.apply(cron_job(pod, schedule, suspend=suspend), self.regarding)

    async def apply_plan(self, definition: RetentionDefinition, stores: Sequence[ClaimedStore], mode: Mode) -> None:
        """The plan alone: what an existing CronJob runs on while the policy's time zone or window is wrong (M10)."""
        plan = self.plan(definition, stores, mode)
        await self.world.applier.apply(plan_config_map(self.reference, plan), self.regarding)

    def plan(self, definition: RetentionDefinition, stores: Sequence[ClaimedStore], mode: Mode) -> PlanDocument:
        """What a run is told to do."""
        bound = [
            (store, StoreBinding(purpose=store.wanted.purpose, binding=self._directory(store))) for store in stores
        ]
        return PlanDocument(
            mode=mode,
            definition=definition,
            rules_digest=definition.rules_digest(),
            databases=tuple(binding for store, binding in bound if store.wanted.type == "PostgreSQL"),
            buckets=tuple(binding for store, binding in bound if store.wanted.type == "S3"),
        )

    def pod(self, stores: Sequence[ClaimedStore], plan: str) -> EnforcementPod:
        """The pod of every job of the policy."""
        names = tuple(binding_name(self.reference, store.wanted.purpose, "enforcer") for store in stores)
        return EnforcementPod(self.reference, self.world.images.job, names, plan)

    async def look(self, evidence: Sequence[RunEvidence]) -> Jobs:
        """What the Jobs of the nightly schedule say; a failure that newer evidence outlived is not told."""
        labels = f"{POLICY_LABEL}={self.reference.name},{_CONTAINER_COMPONENT}"
        found = [
            job
            for job in await self.world.cluster.list(JOB, self.reference.namespace, labels)
            if RUN_LABEL not in (job["metadata"].get("labels") or {})
        ]
        found.sort(key=_made)
        if not found:
            return Jobs()
        newest = found[-1]
        status = newest.get("status") or {}
        if status.get("active") or not (status.get("conditions") or status.get("succeeded")):
            return Jobs(active_since=_made(newest), newest=_made(newest))
        failed = next(
            (c for c in status.get("conditions") or () if c["type"] == "Failed" and c["status"] == "True"), None
        )
        if failed is None:
            return Jobs(newest=_made(newest))
        at = moment(failed["lastTransitionTime"])
        if any(run.finished_at is not None and run.started_at >= _made(newest) for run in evidence):
            # The run itself told what it did: the evidence says more than the Job's exit code.
            return Jobs(newest=_made(newest))
        told = await self.last_words(newest["metadata"]["name"]) or failed.get("message") or "the Job failed"
        return Jobs(failure=f"Job {newest['metadata']['name']}: {told}"[:1024], failed_at=at, newest=_made(newest))

    async def at_work(self) -> str | None:
        """The name of a Job of the policy that has not ended, whoever made it; None if there is none."""
        labels = f"{POLICY_LABEL}={self.reference.name},{_CONTAINER_COMPONENT}"
        for job in await self.world.cluster.list(JOB, self.reference.namespace, labels):
            ended = {c["type"] for c in (job.get("status") or {}).get("conditions") or () if c["status"] == "True"}
            if not ended & {"Complete", "Failed"}:
                return str(job["metadata"]["name"])
        return None

    async def last_words(self, job: str) -> str | None:
        """The termination message of the newest pod of a Job."""
        pods = await self.world.cluster.list(POD, self.reference.namespace, f"batch.kubernetes.io/job-name={job}")
        for pod in sorted(pods, key=_made, reverse=True):
            for container in (pod.get("status") or {}).get("containerStatuses") or ():
                message = ((container.get("state") or {}).get("terminated") or {}).get("message")
                if message:
                    return str(message)
        return None

    async def start_missed(
        self,
        schedule: Schedule,
        stores: Sequence[ClaimedStore],
        jobs: Jobs,
        evidence: Sequence[RunEvidence],
        mode: Mode,
        policy_made: datetime,
    ) -> bool:
        """Starts the run whose time has come and passed without a Job or evidence; whether it was missed.

        The Job has the name that the CronJob controller would have given it: whoever comes second finds it taken.
        """
        now = self.world.now()
        expected = schedule.latest_run(now)
        grace = timedelta(seconds=self.world.grace_seconds)
        if now - expected < grace or expected <= policy_made or jobs.active_since is not None:
            return False
        if jobs.newest is not None and jobs.newest >= expected - timedelta(minutes=1):
            return False
        # A dry run by hand is not the night's deletion.
        if any(run.mode is mode and run.started_at >= expected - timedelta(minutes=1) for run in evidence):
            return False
        pod = self.pod(stores, plan_name(self.reference))
        job = one_off_job(
            pod, missed_job_name(self.reference, expected), active_deadline_seconds=schedule.window_seconds
        )
        if await self.world.cluster.create(job) is not None:
            note = f"the run of {expected:%Y-%m-%dT%H:%MZ} did not come; Job {job['metadata']['name']} was started"
            await self.world.cluster.tell(Happening(self.regarding, "RunMissed", note, "Warning"))
        return True

    async def start(
        self, run: RunRef, plan: PlanDocument, stores: Sequence[ClaimedStore], name: str, seconds: int
    ) -> None:
        """Starts the Job of a RetentionRun with a plan of its own; a Job that is there already is left alone."""
        await self.world.cluster.apply(plan_config_map(self.reference, plan, run))
        pod = self.pod(stores, plan_name(self.reference, run))
        await self.world.cluster.create(one_off_job(pod, name, active_deadline_seconds=seconds, run=run))

    def _directory(self, store: ClaimedStore) -> str:
        return f"{BINDINGS_MOUNT}/{binding_name(self.reference, store.wanted.purpose, 'enforcer')}"


def _made(manifest: Manifest) -> datetime:
    return moment(manifest["metadata"]["creationTimestamp"])


def _endpoint(store: ClaimedStore) -> Endpoint | None:
    existing = store.entry.spec.class_snapshot.existing
    if store.entry.spec.provisioner != "Existing" or existing is None:
        return None
    if existing.host is not None:
        return Endpoint(existing.host, existing.port)
    host, _, port = (existing.endpoint or "").removeprefix("https://").partition(":")
    return Endpoint(host, int(port or 443))
