"""The nightly CronJob of a policy, its plan, and the run that did not come (EXPECTATIONS.md, "Jobs")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.conditions import instant, moment
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.job_pods import ended_as, is_at_work, last_words, plain, waits_for
from tenant_retention.domain.manifests.inputs import DnsServers, Endpoint, EnforcementPod, PolicyRef, RequestRef
from tenant_retention.domain.manifests.jobs import (
    BINDINGS_MOUNT,
    REQUEST_LABEL,
    RUN_LABEL,
    TASK_LABEL,
    Asked,
    cron_job,
    cron_job_name,
    one_off_job,
    plan_config_map,
    plan_name,
)
from tenant_retention.domain.manifests.metadata import LABEL_LIMIT, POLICY_LABEL, binding_name
from tenant_retention.domain.manifests.networking import JOB_COMPONENT, jobs_network_policy
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.names import bounded
from tenant_retention.domain.plan_document import Mode, PlanDocument, StoreBinding, Task
from tenant_retention.domain.ports.cluster import CRON_JOB, JOB, POD, Manifest
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.run_status import CLOCK_SKEW
from tenant_retention.domain.schedule import DEFAULT_WINDOW_SECONDS, Schedule, plan_schedule
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.tonight import Tonight, of_night, roles_of_night
from tenant_retention.reconcile.world import World, kept_secret

_JOBS = f"app.kubernetes.io/component={JOB_COMPONENT}"
_OF_NIGHTS = f"{_JOBS},{TASK_LABEL}={Task.EXPIRE}"


@dataclass(frozen=True)
class Jobs:
    """What the Jobs of a policy say now. ``active_since``: one is at work; ``waits``: why that one has no running pod;
    ``failure``: what the newest one said that failed, and when; ``begun``: when each one was made that is still there;
    ``ended_at``: when the newest one ended as failed, or that one that left no evidence."""

    active_since: datetime | None = None
    waits: str | None = None
    failure: str | None = None
    failed_at: datetime | None = None
    begun: tuple[datetime, ...] = ()
    ended_at: datetime | None = None

    @property
    def newest(self) -> datetime | None:
        """When the newest one was made."""
        return max(self.begun, default=None)


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
        Task.EXPIRE,
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
        """What a run works by."""
        plan = self.plan(definition, tonight.stores, mode).model_copy(update={"awaited": tonight.awaited})
        await self.world.applier.apply(plan_config_map(self.reference, plan), self.regarding)

    async def standing(self) -> Schedule:
        """With a wrong window or zone: the schedule of the CronJob that is there, as long as it is a daily one, as ours are;
        else the default window in UTC, so that data goes in time (M10) whatever is written there."""
        found = await self.world.cluster.get(CRON_JOB, cron_job_name(self.reference), self.reference.namespace)
        spec = (found or {}).get("spec") or {}
        lasting = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("activeDeadlineSeconds")
        # A window is one hour at least (spec.window.duration); the default where somebody took it away.
        seconds = lasting if isinstance(lasting, int) and lasting >= 3600 else DEFAULT_WINDOW_SECONDS
        default = plan_schedule(self.reference.namespace, self.reference.name, Task.EXPIRE)
        try:
            standing = Schedule(spec.get("schedule") or "", spec.get("timeZone") or "UTC", seconds)
        except Invalid:
            return default
        return standing if standing.is_daily() else default

    def plan(self, definition: RetentionDefinition, stores: Sequence[ClaimedStore], mode: Mode) -> PlanDocument:
        """What a run is told to do."""
        bound = [
            (
                store,
                StoreBinding(
                    purpose=store.wanted.purpose,
                    binding=directories[0],
                    region=store.wanted.region,
                    unit=store.wanted.unit,
                    writer="".join(directories[1:]),
                ),
            )
            for store in of_night(stores)
            for directories in [[f"{BINDINGS_MOUNT}/{name}" for name in self._bindings(store)]]
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
        names = tuple(name for store in of_night(stores) for name in self._bindings(store))
        return EnforcementPod(self.reference, self.world.images.job, names, plan)

    async def look(self, proofs: Sequence[Proof], *, whole: bool) -> Jobs:
        """What the Jobs of the nightly schedule say. ``whole``: every database was read.

        The databases' evidence counts, not a Job's word: one that ended well without evidence in every database has
        failed (its plan or command was changed, or it did nothing), one that failed after all of them told has not.
        """
        labels = f"{POLICY_LABEL}={self.reference.name},{_OF_NIGHTS}"
        found = [
            job
            for job in await self.world.cluster.list(JOB, self.reference.namespace, labels)
            if RUN_LABEL not in (job["metadata"].get("labels") or {})
        ]
        if not found:
            return Jobs()
        newest, begun = max(found, key=_made), tuple(_made(job) for job in found)
        made, name, status = _made(newest), newest["metadata"]["name"], newest.get("status") or {}
        if status.get("active") or not (status.get("conditions") or status.get("succeeded")):
            waits = waits_for(newest, await self.pods(name), self.world.now())
            return Jobs(active_since=made, begun=begun, waits=waits)
        asked = [proof for proof in proofs if proof.since < made]
        ended = ended_as(newest) or {}
        failed = ended if ended.get("type") == "Failed" else None
        at = moment(ended.get("lastTransitionTime") or newest["metadata"]["creationTimestamp"])
        silent = sum(1 for proof in asked if not proof.of_job(made, at))
        if failed is None:
            # What was read while the run was still writing says nothing yet.
            settled = all(proof.read_at > at + CLOCK_SKEW for proof in asked)
            if not (whole and settled and silent):
                return Jobs(begun=begun)
            told = (
                f"it ended, but {silent} of {len(asked)} databases have no evidence of it; see its log, and who changed "
                "the CronJob or its plan"
            )
            return Jobs(failure=f"Job {name}: {told}", failed_at=at, begun=begun, ended_at=at)
        if whole and asked and not silent:
            return Jobs(begun=begun, ended_at=at)
        words = last_words(await self.pods(name))
        told = plain(words[0]) if words else failed.get("message") or "the Job failed"
        return Jobs(failure=f"Job {name}: {told}"[:1024], failed_at=at, begun=begun, ended_at=at)

    async def at_work(self) -> str | None:
        """The name of a Job of the policy that is at work and has a run in its databases, whoever made it; None if there is none."""
        labels = f"{POLICY_LABEL}={self.reference.name},{_JOBS}"
        for job in await self.world.cluster.list(JOB, self.reference.namespace, labels):
            if job["metadata"]["labels"].get(TASK_LABEL) != Task.BACKUP and is_at_work(job, self.world.now()):
                return str(job["metadata"]["name"])
        return None

    async def asked_by(self, request: RequestRef) -> tuple[Manifest, ...]:
        """The Jobs of a DataSubjectRequest that are still there, the newest first."""
        labels = f"{POLICY_LABEL}={self.reference.name},{REQUEST_LABEL}={bounded(request.name, LABEL_LIMIT)}"
        found = [
            job
            for job in await self.world.cluster.list(JOB, self.reference.namespace, labels)
            if any(owner["uid"] == request.uid for owner in job["metadata"].get("ownerReferences") or ())
        ]
        return tuple(sorted(found, key=_made, reverse=True))

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

    async def start(
        self, run: Asked, plan: PlanDocument, stores: Sequence[ClaimedStore], name: str, seconds: int
    ) -> None:
        """Starts the Job of whoever asked for one, with a plan of its own; a Job that is there already is left alone."""
        await self.world.cluster.apply(plan_config_map(self.reference, plan, run))
        pod = replace(self.pod(stores, plan_name(self.reference, run)), task=plan.task)
        if isinstance(run, RequestRef):
            pod = replace(pod, subject=run.secret)
        await self.world.cluster.create(one_off_job(pod, name, active_deadline_seconds=seconds, run=run))

    def _bindings(self, store: ClaimedStore) -> list[str]:
        return [binding_name(self.reference, store.wanted.place, role) for role in roles_of_night(store.wanted)]


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


async def at_work(world: World, policy: Manifest) -> str | None:
    """See ``Schedules.at_work``. Raises Invalid for a name that no policy may have."""
    meta = policy["metadata"]
    return await Schedules(world, PolicyRef(meta["namespace"], meta["name"], meta["uid"]), policy).at_work()
