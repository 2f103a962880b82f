"""The reconcile of a policy: the one place that decides order (ARCHITECTURE.md).

Ledger entry, the operator's way into the namespace, server, database and bucket, binding Secrets, plan and CronJob,
probe, counts, status. Each step is idempotent and finds out by itself what is still to be done, so a kill anywhere is
continued by the next reconcile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy
from tenant_retention.domain.backup_status import BackupReport
from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.category_status import Counts, counts_of
from tenant_retention.domain.conditions import moment
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable
from tenant_retention.domain.foreseen import last_deadlines
from tenant_retention.domain.job_pods import PATIENCE
from tenant_retention.domain.ledger import Claimant
from tenant_retention.domain.left_behind import LeftStore
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.policy_report import PolicyReport
from tenant_retention.domain.ports.cluster import Manifest
from tenant_retention.domain.run_status import RunReport
from tenant_retention.domain.schedule import Schedule
from tenant_retention.reconcile.backing_up import BackingUp, BackupMemory
from tenant_retention.reconcile.buckets import Buckets
from tenant_retention.reconcile.caches import Caches
from tenant_retention.reconcile.claims import Claims
from tenant_retention.reconcile.databases import DatabaseResult, Databases, Wish
from tenant_retention.reconcile.encrypting import Encryption
from tenant_retention.reconcile.holding import hold_before_nights
from tenant_retention.reconcile.making_up import failed, make_up, missed
from tenant_retention.reconcile.measuring import Measuring
from tenant_retention.reconcile.placing import NothingLeft, claim_all
from tenant_retention.reconcile.preparing import Preparing
from tenant_retention.reconcile.probing import Isolation, Prober, told_before
from tenant_retention.reconcile.rules import Rules, read_policy, resolve, settle_waiting
from tenant_retention.reconcile.schedules import Jobs, Proof, Schedules, at_work, schedule_of
from tenant_retention.reconcile.servers import Authorities, Servers
from tenant_retention.reconcile.telling import Result, tell_policy, tell_stores
from tenant_retention.reconcile.tenancy import Home, enter, look_home
from tenant_retention.reconcile.tonight import look_at_stores
from tenant_retention.reconcile.unserved import count_unserved
from tenant_retention.reconcile.withdrawing import withdraw_requests
from tenant_retention.reconcile.world import World

SOON = timedelta(seconds=5)
"""When to look again at something that is coming up."""
LATER = timedelta(seconds=20)
"""When to try something again that does not answer."""


@dataclass
class Memory:
    """What this process knows of a policy between two reconciles: nothing that a restart may not lose."""

    uid: str
    prepared: dict[str, str] = field(default_factory=dict)
    nothing_left: NothingLeft | None = None
    isolation: Isolation = field(default_factory=Isolation)
    encryption: Encryption = field(default_factory=Encryption)
    measuring: Measuring = field(default_factory=Measuring)
    backups: BackupMemory = field(default_factory=BackupMemory)


@dataclass
class Draft:
    """What one reconcile has learned so far."""

    manifest: Manifest
    policy: TenantRetentionPolicy | None = None
    rules: Rules = field(default_factory=Rules)
    claims: Claims = field(default_factory=Claims)
    results: list[Result] = field(default_factory=list)
    schedule: Schedule | None = None
    schedule_problem: RetentionError | None = None
    standing: Schedule | None = None
    scheduled: bool = False
    jobs: Jobs = field(default_factory=Jobs)
    missed: bool = False
    problem: RetentionError | None = None
    left_stores: tuple[LeftStore, ...] = ()
    backups: BackupReport | None = None

    def databases(self) -> list[DatabaseResult]:
        """The results that are databases."""
        return [result for result in self.results if isinstance(result, DatabaseResult)]

    def wish(self) -> Wish:
        """What the databases are to hold; only once there are rules."""
        assert self.policy is not None
        assert self.rules.definition is not None
        backed_up = self.rules.backups is not None
        return Wish(self.rules.definition, Mode(self.policy.spec.mode), self.policy.spec.suspend, backed_up)

    def complete(self) -> bool:
        """Whether every store of the nights is there and as wanted; the bucket of the backups holds nothing up."""
        refused = [each for each in self.claims.refused if each.purpose != BACKUPS]
        mine = [each for each in self.results if each.store.wanted.purpose != BACKUPS]
        return not refused and all(result.problem is None and result.prepared for result in mine)


class PolicyReconciler:
    """Reconciles one policy at a time (the work queue sees to it); many policies at once."""

    def __init__(self, world: World, authorities: Authorities) -> None:
        self._world = world
        self._authorities = authorities
        self._memory: dict[tuple[str, str], Memory] = {}

    async def reconcile(self, manifest: Manifest) -> timedelta | None:
        """Makes everything as the policy asks, tells what is so, and says when to look again; None: with the next resync."""
        meta = manifest["metadata"]
        memory = self._memory.get((meta["namespace"], meta["name"]))
        if memory is None or memory.uid != meta["uid"]:
            memory = Memory(meta["uid"], isolation=Isolation(told_before(manifest)))
            self._memory[(meta["namespace"], meta["name"])] = memory
        draft = Draft(manifest)
        try:
            await self._work(draft, memory)
        except RetentionError as problem:
            draft.problem = draft.problem or problem
        draft.problem = settle_waiting(self._world, manifest, draft.problem)
        draft.claims.refused = [
            replace(refused, problem=settle_waiting(self._world, manifest, refused.problem))
            for refused in draft.claims.refused
        ]
        for result in draft.results:
            result.problem = settle_waiting(self._world, manifest, result.problem)
        report = self._report(draft, memory)
        await tell_stores(self._world, draft.rules.definition, draft.results, lambda: at_work(self._world, manifest))
        await tell_policy(self._world, manifest, report, [result.facts for result in draft.databases()])
        times = [found for found in (self._again(draft), memory.measuring.again()) if found is not None]
        return min(times, default=None)

    def forget(self, namespace: str, name: str) -> None:
        """Forgets a policy that is gone."""
        self._memory.pop((namespace, name), None)

    def _again(self, draft: Draft) -> timedelta | None:
        """What comes up is looked at again soon; what the user must change waits for a change or the resync."""
        problems = [draft.problem, *(result.problem for result in draft.results)]
        problems += [refused.problem for refused in draft.claims.refused]
        if any(isinstance(problem, NotReady) for problem in problems):
            return SOON
        if any(isinstance(problem, Unavailable) for problem in problems):
            return LATER
        # A Job whose pod does not come tells nobody.
        return PATIENCE if draft.jobs.active_since is not None else None

    async def _work(self, draft: Draft, memory: Memory) -> None:
        world = self._world
        meta = draft.manifest["metadata"]
        reference = PolicyRef(meta["namespace"], meta["name"], meta["uid"])
        draft.policy, unreadable = await read_policy(world, reference, draft.manifest)
        try:
            home = await look_home(world, reference.namespace)
        except Invalid as unserved:
            draft.problem = unserved
            memory.isolation.pause()
            memory.encryption.pause()
            draft.rules = await resolve(world, reference, draft.policy, None)
            draft.results = await count_unserved(world, self._authorities, reference, draft.manifest, draft.rules)
            return
        await enter(world, home, draft.manifest)
        draft.rules = await resolve(world, reference, draft.policy, home, unreadable)
        draft.problem = draft.rules.problem
        if draft.rules.definition is None:
            return
        self._choose_schedule(draft, reference)
        claimant = Claimant(reference.namespace, home.uid, reference.name, reference.uid)
        found = await claim_all(world, claimant, home, draft.rules, memory.nothing_left)
        draft.rules, draft.claims, draft.left_stores, memory.nothing_left = found
        draft.problem = draft.problem or draft.claims.problem
        await self._prepare(draft, memory, reference, home)
        await hold_before_nights(world, reference, draft.manifest, draft.databases())
        await withdraw_requests(world, reference, draft.databases())
        await asyncio.gather(memory.encryption.look(world, draft.results), memory.measuring.look(world, draft.results))
        await self._schedule(draft, reference)
        rules, night = draft.rules, draft.schedule or draft.standing
        if rules.backups is not None and rules.definition is not None:
            backing = BackingUp(world, reference, draft.manifest)
            draft.backups = await backing.work(rules.backups, rules.definition, night, draft.results, memory.backups)
        if draft.results and draft.complete():
            state = "|".join(sorted(f"{purpose}:{digest}" for purpose, digest in memory.prepared.items()))
            where = (world, reference, home, draft.manifest)
            prober = Prober(Databases(*where), Buckets(*where), Caches(*where))
            await memory.isolation.look(prober, draft.results, state, world.now())

    def _choose_schedule(self, draft: Draft, reference: PolicyRef) -> None:
        """The policy's schedule; with a wrong window or zone none: see ``Schedules.standing``."""
        assert draft.policy is not None
        try:
            draft.schedule = schedule_of(reference, draft.policy.spec)
        except RetentionError as problem:
            draft.schedule_problem = problem

    async def _prepare(self, draft: Draft, memory: Memory, reference: PolicyRef, home: Home) -> None:
        """All stores as wanted."""
        claimant = Claimant(reference.namespace, home.uid, reference.name, reference.uid)
        preparing = Preparing(
            self._world,
            Servers(self._world, self._authorities, reference, draft.manifest),
            Databases(self._world, reference, home, draft.manifest),
            Buckets(self._world, reference, home, draft.manifest),
            Caches(self._world, reference, home, draft.manifest),
            claimant,
            memory.prepared,
        )
        draft.results = await preparing.all(draft.claims.claimed, draft.wish())

    async def _schedule(self, draft: Draft, reference: PolicyRef) -> None:
        """CronJob and plan for the stores that are there, as soon as a database has the rules: a plan for the ones before would
        be refused every night, and one store that is away must not stop the nights of the others (M10)."""
        schedules = Schedules(self._world, reference, draft.manifest)
        policy, definition = draft.policy, draft.rules.definition
        assert policy is not None
        assert definition is not None
        proofs = [
            Proof(result.night, fact.now, moment(result.store.entry.metadata.creation_timestamp or ""), result.runs)
            for result in draft.databases()
            if (fact := result.facts)
        ]
        whole = len(proofs) == len(draft.databases())
        draft.jobs = await schedules.look(proofs, whole=whole)
        mode = Mode(policy.spec.mode)
        tonight = await look_at_stores(self._world, reference, draft.rules.stores, draft.results)
        if tonight.begins and draft.schedule is None:
            draft.standing = await schedules.standing()
        # With a wrong window or zone the nights go on; plan, program and mounts are of today (M10).
        schedule = draft.schedule or draft.standing
        if tonight.begins and schedule is not None:
            await schedules.apply(schedule, definition, tonight, mode=mode, suspend=policy.spec.suspend)
            draft.scheduled = draft.schedule is not None
        # A night that did not come is told also while a bucket is away; it is made up for afterwards, like one that failed.
        if draft.schedule is None or not (draft.complete() or (proofs and whole)):
            return
        made = moment(draft.manifest["metadata"]["creationTimestamp"])
        since = await schedules.in_force_since(draft.schedule, made, suspend=policy.spec.suspend)
        if policy.spec.suspend:
            return
        now, grace = self._world.now(), timedelta(seconds=self._world.grace_seconds)
        night = missed(draft.schedule, draft.jobs, proofs, mode, since, now, grace)
        draft.missed = night is not None
        facts = [result.facts for result in draft.databases() if result.facts is not None]
        night = night or failed(draft.schedule, draft.jobs, proofs, facts, mode, since, now)
        if night is not None and draft.scheduled and draft.complete():
            await make_up(schedules, night, tonight.stores)

    def _report(self, draft: Draft, memory: Memory) -> PolicyReport:
        spec = draft.policy.spec if draft.policy else None
        facts = {
            result.store.wanted.place.name: result.facts for result in draft.databases() if result.facts is not None
        }
        definition = draft.rules.definition
        schedule = draft.schedule if draft.scheduled else draft.standing
        return PolicyReport(
            generation=draft.manifest["metadata"].get("generation", 0),
            mode=spec.mode if spec else "Enforce",
            suspended=bool(spec and spec.suspend),
            problem=draft.problem,
            definition=definition,
            profile=draft.rules.profile,
            stores=(
                *(result.store.report(result.problem, result.warnings) for result in draft.results),
                *draft.claims.refused,
            ),
            counts=counts_of(facts, definition) if definition is not None and facts else Counts(),
            runs=RunReport(
                latest={result.store.wanted.place.name: result.night for result in draft.databases() if result.night},
                active_since=draft.jobs.active_since,
                waits=draft.jobs.waits,
                failure=draft.jobs.failure,
                failed_at=draft.jobs.failed_at,
                missed=draft.missed,
            ),
            enforced=bool(draft.databases()) and all(result.prepared for result in draft.databases()),
            cron=schedule.cron if schedule else None,
            time_zone=schedule.time_zone if schedule else None,
            next_run=schedule.next_run(self._world.now()) if schedule else None,
            schedule_problem=draft.schedule_problem,
            isolation=memory.isolation.found(),
            probed=memory.isolation.probed(),
            encryption=memory.encryption.state(draft.results),
            health=memory.measuring.state(draft.results),
            bindings=tuple(binding for result in draft.results for binding in result.bindings),
            last_deadlines={
                result.store.wanted.place.name: last_deadlines(result.store.entry.status)
                for result in draft.databases()
                if result.facts is None
            },
            left_stores=draft.left_stores,
            backups=draft.backups,
            late_cluster_backups=draft.rules.late,
        )
