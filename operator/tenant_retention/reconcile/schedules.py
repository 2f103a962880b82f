"""The nightly CronJob of a policy, its plan, and the run that did not come (EXPECTATIONS.md, "Jobs")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.conditions import instant, moment
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.job_pods import ended_as, last_words, plain, waits_for
from tenant_retention.domain.manifests.inputs import DnsServers, Endpoint, EnforcementPod, PolicyRef, RunRef
from tenant_retention.domain.manifests.jobs import (
    BINDINGS_MOUNT,
    RUN_LABEL,
    cron_job,
    cron_job_name,
    missed_job_name,
    one_off_job,
    plan_config_map,
    plan_name,
)
from tenant_retention.domain.manifests.metadata import POLICY_LABEL, binding_name
from tenant_retention.domain.manifests.networking import JOB_COMPONENT, jobs_network_policy
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.plan_document import Mode, PlanDocument, StoreBinding
from tenant_retention.domain.ports.cluster import CRON_JOB, JOB, POD, Happening, Manifest
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.run_status import CLOCK_SKEW
from tenant_retention.domain.schedule import Schedule, plan_schedule
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.tonight import Tonight
from tenant_retention.reconcile.world import World, kept_secret

TASK = "expire"
_CONTAINER_COMPONENT = f"app.kubernetes.io/component={JOB_COMPONENT}"


@dataclass(frozen=True)
class Jobs:
    """What the Jobs of a policy say now. ``active_since``: one is at work; ``waits``: why that one has no running pod;
    ``failure``: what the newest one said that failed, and when; ``newest``: when the newest one was made."""

    active_since: datetime | None = None
    waits: str | None = None
    failure: str | None = None
    failed_at: datetime | None = None
    newest: datetime | None = None


@dataclass(frozen=True)
class Proof:
    """One database's word on its runs: the newest evidence that counts for the policy's mode, when it was read (the
    database's clock), since when the database is in the ledger, and the newest evidence of any mode."""

    latest: RunEvidence | None
    read_at: datetime
    since: datetime
    runs: Sequence[RunEvidence] = ()

    def of_job(self, begin: datetime, end: datetime) -> bool:
        """Whether a run of a Job of that time has ended in this database, or a later one that counts.

        The Job may be of a time when the policy had another mode; a dry run by hand came after it.
        """
        latest = self.latest
        if latest is not None and latest.finished_at is not None and latest.started_at >= begin - CLOCK_SKEW:
            return True
        return any(
            run.finished_at is not None and begin - CLOCK_SKEW <= run.started_at <= end + CLOCK_SKEW
            for run in self.runs
        )


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
        tonight: Tonight,
        *,
        mode: Mode,
        suspend: bool,
    ) -> None:
        """Plan, NetworkPolicy and CronJob as wanted."""
        stores = tonight.stores
        existing = tuple(dict.fromkeys(found for store in stores if (found := _endpoint(store)) is not None))
        await self.world.applier.apply(jobs_network_policy(self.reference, DnsServers(), existing), self.regarding)
        await self.apply_plan(definition, tonight, mode)
        pod = self.pod(stores, plan_name(self.reference))
        await self.world.applier.apply(cron_job(pod, schedule, suspend=suspend), self.regarding)

    async def apply_plan(self, definition: RetentionDefinition, tonight: Tonight, mode: Mode) -> None:
        """The plan alone: what an existing CronJob runs on while the policy's time zone or window is wrong (M10)."""
        plan = self.plan(definition, tonight.stores, mode).model_copy(update={"awaited": tonight.awaited})
        await self.world.applier.apply(plan_config_map(self.reference, plan), self.regarding)

    async def standing(self) -> Schedule | None:
        """The schedule of the CronJob that is there; None without one, or with one that somebody changed into none."""
        found = await self.world.cluster.get(CRON_JOB, cron_job_name(self.reference), self.reference.namespace)
        spec = (found or {}).get("spec") or {}
        try:
            return Schedule(spec.get("schedule") or "", spec.get("timeZone") or "UTC", 0)
        except Invalid:
            return None

    def plan(self, definition: RetentionDefinition, stores: Sequence[ClaimedStore], mode: Mode) -> PlanDocument:
        """What a run is told to do."""
        bound = [
            (
                store,
                StoreBinding(
                    purpose=store.wanted.purpose,
                    binding=self._directory(store),
                    region=store.wanted.region,
                    unit=store.wanted.unit,
                ),
            )
            for store in stores
        ]
        return PlanDocument(
            mode=mode,
            definition=definition,
            rules_digest=definition.rules_digest(),
            databases=tuple(binding for store, binding in bound if store.wanted.type == "PostgreSQL"),
            buckets=tuple(binding for store, binding in bound if store.wanted.type == "S3"),
            caches=tuple(binding for store, binding in bound if store.wanted.type == "Redis"),
        )

    def pod(self, stores: Sequence[ClaimedStore], plan: str) -> EnforcementPod:
        """The pod of every job of the policy."""
        names = tuple(binding_name(self.reference, store.wanted.place, "enforcer") for store in stores)
        return EnforcementPod(self.reference, self.world.images.job, names, plan)

    async def look(self, proofs: Sequence[Proof], *, whole: bool) -> Jobs:
        """What the Jobs of the nightly schedule say. ``whole``: every database was read.

        The databases' evidence counts, not a Job's word: one that ended well without evidence in every database has
        failed (its plan or command was changed, or it did nothing), one that failed after all of them told has not.
        """
        labels = f"{POLICY_LABEL}={self.reference.name},{_CONTAINER_COMPONENT}"
        found = [
            job
            for job in await self.world.cluster.list(JOB, self.reference.namespace, labels)
            if RUN_LABEL not in (job["metadata"].get("labels") or {})
        ]
        if not found:
            return Jobs()
        newest = max(found, key=_made)
        made, name, status = _made(newest), newest["metadata"]["name"], newest.get("status") or {}
        if status.get("active") or not (status.get("conditions") or status.get("succeeded")):
            waits = waits_for(newest, await self.pods(name), self.world.now())
            return Jobs(active_since=made, newest=made, waits=waits)
        asked = [proof for proof in proofs if proof.since < made]
        ended = ended_as(newest) or {}
        failed = ended if ended.get("type") == "Failed" else None
        at = moment(ended.get("lastTransitionTime") or newest["metadata"]["creationTimestamp"])
        silent = sum(1 for proof in asked if not proof.of_job(made, at))
        if failed is None:
            # What was read while the run was still writing says nothing yet.
            settled = all(proof.read_at > at + CLOCK_SKEW for proof in asked)
            if not (whole and settled and silent):
                return Jobs(newest=made)
            told = (
                f"it ended, but {silent} of {len(asked)} databases have no evidence of it; see its log, and who changed "
                "the CronJob or its plan"
            )
            return Jobs(failure=f"Job {name}: {told}", failed_at=at, newest=made)
        if whole and asked and not silent:
            return Jobs(newest=made)
        words = last_words(await self.pods(name))
        told = plain(words[0]) if words else failed.get("message") or "the Job failed"
        return Jobs(failure=f"Job {name}: {told}"[:1024], failed_at=at, newest=made)

    async def at_work(self) -> str | None:
        """The name of a Job of the policy that has not ended, whoever made it; None if there is none."""
        labels = f"{POLICY_LABEL}={self.reference.name},{_CONTAINER_COMPONENT}"
        for job in await self.world.cluster.list(JOB, self.reference.namespace, labels):
            if ended_as(job) is None:
                return str(job["metadata"]["name"])
        return None

    async def pods(self, job: str) -> tuple[Manifest, ...]:
        """The pods of a Job, those that ended too."""
        return await self.world.cluster.list(POD, self.reference.namespace, f"batch.kubernetes.io/job-name={job}")

    async def in_force_since(self, schedule: Schedule, policy_made: datetime, *, suspend: bool) -> datetime:
        """Since when the schedule is what it is now: a start before that is none that was missed.

        Kept in the operator's namespace. Else an edited window, or a policy that is resumed, would begin a run at once,
        in the middle of the tenant's day.
        """
        line = f"{schedule.cron} {schedule.time_zone} {'suspended' if suspend else 'running'}"

        def fresh(known: dict[str, str]) -> dict[str, str]:
            if known.get("line") == line and _is_moment(known.get("since")):
                return known
            return {"line": line, "since": instant(self.world.now() if known else policy_made)}

        wanted = administrator_secret(self.world.operator, self.reference, "schedule", {})
        return moment((await kept_secret(self.world, wanted, fresh))["since"])

    def missed(
        self, schedule: Schedule, jobs: Jobs, proofs: Sequence[Proof], mode: Mode, since: datetime
    ) -> datetime | None:
        """When the newest run was to begin, if that time has passed without a Job or evidence; else None."""
        now = self.world.now()
        expected = schedule.latest_run(now)
        grace = timedelta(seconds=self.world.grace_seconds)
        if now - expected < grace or expected <= since:
            return None
        # A Job that runs for longer than a Job of ours may is none of ours, whatever its labels say.
        if (
            jobs.active_since is not None
            and now - jobs.active_since < timedelta(seconds=schedule.window_seconds) + grace
        ):
            return None
        if jobs.active_since is None and jobs.newest is not None and jobs.newest >= expected - CLOCK_SKEW:
            return None
        # A dry run by hand is not the night's deletion.
        asked = [proof.latest for proof in proofs if proof.since < expected]
        if asked and all(run and run.mode is mode and run.started_at >= expected - CLOCK_SKEW for run in asked):
            return None
        return expected

    async def make_up(self, expected: datetime, schedule: Schedule, stores: Sequence[ClaimedStore]) -> None:
        """Starts the run that was missed. The Job has the name that the CronJob controller would have given it: whoever
        comes second finds it taken."""
        pod = self.pod(stores, plan_name(self.reference))
        job = one_off_job(
            pod, missed_job_name(self.reference, expected), active_deadline_seconds=schedule.window_seconds
        )
        if await self.world.cluster.create(job) is not None:
            note = f"the run of {expected:%Y-%m-%dT%H:%MZ} did not come; Job {job['metadata']['name']} was started"
            await self.world.cluster.tell(Happening(self.regarding, "RunMissed", note, "Warning"))

    async def start(
        self, run: RunRef, plan: PlanDocument, stores: Sequence[ClaimedStore], name: str, seconds: int
    ) -> None:
        """Starts the Job of a RetentionRun with a plan of its own; a Job that is there already is left alone."""
        await self.world.cluster.apply(plan_config_map(self.reference, plan, run))
        pod = self.pod(stores, plan_name(self.reference, run))
        await self.world.cluster.create(one_off_job(pod, name, active_deadline_seconds=seconds, run=run))

    def _directory(self, store: ClaimedStore) -> str:
        return f"{BINDINGS_MOUNT}/{binding_name(self.reference, store.wanted.place, 'enforcer')}"


def _made(manifest: Manifest) -> datetime:
    return moment(manifest["metadata"]["creationTimestamp"])


def _is_moment(text: str | None) -> bool:
    try:
        return text is not None and moment(text).tzinfo is not None
    except ValueError:
        return False


def _endpoint(store: ClaimedStore) -> Endpoint | None:
    existing = store.entry.spec.class_snapshot.existing
    if store.entry.spec.provisioner != "Existing" or existing is None:
        return None
    if existing.host is not None:
        return Endpoint(existing.host, existing.port)
    host, _, port = (existing.endpoint or "").removeprefix("https://").partition(":")
    return Endpoint(host, int(port or 443))
