"""The backups of a policy: their key, plan and CronJob, and what lies in their bucket (T6, PROVISIONING.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.backup_rules import BackupRules
from tenant_retention.domain.backup_status import BackupReport
from tenant_retention.domain.backups import BACKUPS, Frequency, StoredBackup
from tenant_retention.domain.bucket_identities import BucketRole
from tenant_retention.domain.conditions import moment
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError
from tenant_retention.domain.job_pods import ended_as, last_words, plain
from tenant_retention.domain.manifests.backup_key import backup_key_name
from tenant_retention.domain.manifests.inputs import EnforcementPod, PolicyRef
from tenant_retention.domain.manifests.jobs import BINDINGS_MOUNT, TASK_LABEL, cron_job, plan_config_map, plan_name
from tenant_retention.domain.manifests.metadata import POLICY_LABEL, binding_name
from tenant_retention.domain.plan_document import BackupPlan, Mode, PlanDocument, StoreBinding, Task
from tenant_retention.domain.ports.cluster import JOB, POD, SECRET, Manifest
from tenant_retention.domain.schedule import Schedule
from tenant_retention.reconcile.backup_state import BackupState
from tenant_retention.reconcile.buckets import BucketResult, require_writer
from tenant_retention.reconcile.databases import BACKUP, DatabaseResult
from tenant_retention.reconcile.telling import Result
from tenant_retention.reconcile.world import World

AFTER_THE_NIGHT = 30
"""Minutes from the night's run to the backup: a month that is rewritten while it is read would be read again."""
LOOK_AGAIN = timedelta(minutes=15)


@dataclass
class BackupMemory:
    """What this process saw in the bucket, when, and which Job was the newest then and how it stood."""

    found: tuple[StoredBackup, ...] | None = None
    at: datetime | None = None
    job: tuple[str, bool] | None = None


@dataclass(frozen=True)
class _Job:
    name: str
    ended: bool
    failure: str | None


@dataclass(frozen=True)
class BackingUp:
    """Works on the backups of one policy; ``regarding``: the policy, for Events."""

    world: World
    reference: PolicyRef
    regarding: Manifest

    async def work(
        self,
        rules: BackupRules,
        definition: RetentionDefinition,
        schedule: Schedule | None,
        results: Sequence[Result],
        memory: BackupMemory,
    ) -> BackupReport:
        """Key, plan and CronJob as wanted; what is so. ``schedule``: the night's. Never raises RetentionError."""
        report = BackupReport(rules, rules.keep, backup_key_name(self.reference), found=memory.found)
        try:
            return await self._work(report, definition, schedule, results, memory)
        except RetentionError as problem:
            return replace(report, problem=problem, found=memory.found)

    async def _work(
        self,
        report: BackupReport,
        definition: RetentionDefinition,
        schedule: Schedule | None,
        results: Sequence[Result],
        memory: BackupMemory,
    ) -> BackupReport:
        state, job = BackupState(self.world, self.reference), await self._newest_job()
        bucket = next((each for each in results if each.store.wanted.purpose == BACKUPS), None)
        problem = await self._look(bucket, job, memory)
        keep = await state.keep(report.rules, memory.found)
        databases = [each for each in results if isinstance(each, DatabaseResult)]
        at_home = [each for each in databases if not each.store.wanted.region]
        waiting = _waiting(at_home)
        key_id = ""
        if problem is None:
            try:
                key_id = await state.key(memory.found)
            except RetentionError as lost:
                problem = lost
        makes = problem is None and waiting is None
        plan = self._backup_plan(keep, report.rules.schedule if makes else None, key_id)
        later = schedule.later(AFTER_THE_NIGHT) if schedule is not None else None
        await self._apply(definition, later, at_home, plan)
        return replace(
            report,
            keep=keep,
            found=memory.found,
            problem=problem,
            waiting=waiting,
            failure=job.failure if job is not None else None,
            left_out=tuple(each.store.wanted.place.name for each in databases if each.store.wanted.region),
            schedule=later,
        )

    async def _look(self, bucket: Result | None, job: _Job | None, memory: BackupMemory) -> RetentionError | None:
        """Looks into the bucket: at first, when a Job began or ended, and every quarter of an hour. What stands in the way."""
        if not isinstance(bucket, BucketResult):
            return NotReady("the bucket of the backups is not there yet", reason=Reason.PROVISIONING)
        if bucket.problem is not None or bucket.request is None:
            return bucket.problem
        try:
            require_writer(bucket.store.entry.spec.class_name, bucket.keys, "no backup is made or removed")
        except Invalid as missing:
            return missing
        now, state = self.world.now(), (job.name, job.ended) if job is not None else None
        if memory.at is None or now - memory.at >= LOOK_AGAIN or state != memory.job:
            request = bucket.request
            memory.found = await self.world.call(request.server.url, self.world.stores.list_backups, request)
            memory.at, memory.job = now, state
        return None

    async def _newest_job(self) -> _Job | None:
        where = self.reference.namespace
        labels = f"{POLICY_LABEL}={self.reference.name},{TASK_LABEL}={Task.BACKUP}"
        jobs = await self.world.cluster.list(JOB, where, labels)
        if not jobs:
            return None
        newest = max(jobs, key=lambda job: moment(job["metadata"]["creationTimestamp"]))
        name, ended = newest["metadata"]["name"], ended_as(newest)
        if ended is None or ended["type"] != "Failed":
            return _Job(name, ended is not None, None)
        pods = await self.world.cluster.list(POD, where, f"batch.kubernetes.io/job-name={name}")
        words = last_words(pods)
        told = plain(words[0]) if words else ended.get("message") or "it failed"
        return _Job(name, True, f"Job {name}: {told}"[:1024])

    def _backup_plan(self, keep: str, frequency: Frequency | None, key_id: str) -> BackupPlan:
        """Without a frequency nothing is sealed: a key that is lost must not keep old backups from going."""
        makes = frequency is not None
        return BackupPlan(
            keep=keep,
            frequency=frequency,
            bucket=self._directory(binding_name(self.reference, BACKUPS, BucketRole.ENFORCER)),
            writer=self._directory(binding_name(self.reference, BACKUPS, BucketRole.APP)) if makes else "",
            key=self._directory(backup_key_name(self.reference)) if makes else "",
            key_id=key_id if makes else "",
        )

    async def _apply(
        self,
        definition: RetentionDefinition,
        schedule: Schedule | None,
        databases: Sequence[DatabaseResult],
        backup: BackupPlan,
    ) -> None:
        """Plan and CronJob for the databases whose backup login has its Secret; none before the bucket's are there."""
        mounted = [each.rpartition("/")[2] for each in (backup.bucket, backup.writer, backup.key) if each]
        if not all([await self._has(name) for name in mounted]):
            return
        stores = [
            (each.store.wanted, name)
            for each in databases
            if await self._has(name := binding_name(self.reference, each.store.wanted.place, BACKUP))
        ]
        plan = PlanDocument(
            mode=Mode.ENFORCE,
            task=Task.BACKUP,
            definition=definition,
            rules_digest=definition.rules_digest(),
            databases=tuple(
                StoreBinding(purpose=wanted.purpose, binding=self._directory(name), region="", unit=wanted.unit)
                for wanted, name in stores
            ),
            backup=backup,
        )
        await self.world.applier.apply(plan_config_map(self.reference, plan), self.regarding)
        if schedule is not None:
            names = (*(name for _, name in stores), *mounted)
            config = plan_name(self.reference, task=Task.BACKUP)
            pod = EnforcementPod(self.reference, self.world.images.job, names, config, Task.BACKUP)
            await self.world.applier.apply(cron_job(pod, schedule), self.regarding)

    async def _has(self, name: str) -> bool:
        return await self.world.cluster.get(SECRET, name, self.reference.namespace) is not None

    def _directory(self, name: str) -> str:
        return f"{BINDINGS_MOUNT}/{name}"


def _waiting(databases: Sequence[DatabaseResult]) -> str | None:
    """Why a backup made now could hold a row beyond its max: by the rules of now no run has made room for its life yet, or
    one that had to be gone by now, with room for that life, is still there."""
    read = [each for each in databases if each.facts is not None]
    if behind := sorted(each.store.wanted.place.name for each in read if not each.made_room):
        return (
            f"the next backup waits for a run by the rules of now that ends well in {', '.join(behind)}: what must be gone "
            "before the backup is, must not get into it; see status.jobs"
        )[:1024]
    late = sorted({name for each in read for name in _late_rows(each)})
    if not late:
        return None
    return (
        f"the next backup waits until rows past their time are gone, which it would hold beyond their max: {', '.join(late)}; "
        "see status.categories[].overdue"
    )[:1024]


def _late_rows(database: DatabaseResult) -> list[str]:
    """Categories with rows past their deadline as it is counted, so much before max as a copy lives (observe.sql); held rows
    are none; files, and tables that left the profile, lie in no backup."""
    if database.facts is None:
        return []
    return [each.category for each in database.facts.categories if each.rows and each.overdue]
