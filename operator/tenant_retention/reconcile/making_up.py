"""Which night is to be started by the operator: one that did not come, or one that failed while a store was away (M10, D7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenant_retention.domain.manifests.jobs import missed_job_name, one_off_job, plan_name
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cluster import Happening
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.run_status import CLOCK_SKEW, FAILED, outcome
from tenant_retention.domain.schedule import Schedule
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.schedules import Jobs, Proof, Schedules

FIRST_PAUSE = timedelta(minutes=5)
"""Between a night's first Job that failed and the next one; twice as long after each further one."""
_MOST_DOUBLINGS = 8
"""Whoever may make Jobs in the namespace may make many: no number of them is more than a long pause."""
SHORTEST = timedelta(minutes=15)
"""What a Job that is started again must have left before it has to end."""


@dataclass(frozen=True)
class Night:
    """A Job to start now: its name's minute, how long it may take, and the Event that tells of it."""

    minute: datetime
    seconds: int
    reason: str
    note: str


def missed(
    schedule: Schedule,
    jobs: Jobs,
    proofs: Sequence[Proof],
    mode: Mode,
    since: datetime,
    now: datetime,
    grace: timedelta,
) -> Night | None:
    """The newest night, if the time it was to begin has passed without a Job or evidence; else None. ``since``: when the schedule
    came into force; ``grace``: how late a night may be."""
    expected = schedule.latest_run(now)
    if now - expected < grace or expected <= since:
        return None
    # A Job that runs for longer than a Job of ours may is none of ours, whatever its labels say.
    if jobs.active_since is not None and now - jobs.active_since < timedelta(seconds=schedule.window_seconds) + grace:
        return None
    if jobs.active_since is None and jobs.newest is not None and jobs.newest >= expected - CLOCK_SKEW:
        return None
    # A dry run by hand is not the night's deletion.
    asked = [proof.latest for proof in proofs if proof.since < expected]
    if asked and all(run and run.mode is mode and run.started_at >= expected - CLOCK_SKEW for run in asked):
        return None
    note = f"the run of {_told(expected)} did not come"
    return Night(expected, schedule.window_seconds, "RunMissed", note)


def failed(
    schedule: Schedule,
    jobs: Jobs,
    proofs: Sequence[Proof],
    facts: Sequence[DatabaseFacts],
    mode: Mode,
    since: datetime,
    now: datetime,
) -> Night | None:
    """The newest night again, if it failed and may now be repeated; else None. For a policy all of whose stores answer.

    Within the night's window always; later in the day only if a database has no evidence of the night and something in one would
    else be there past its deadline (M10): what failed in every database for another reason would fail again. The pauses grow, and
    the last Job ends before the next night begins.
    """
    expected, following = schedule.latest_run(now), schedule.next_run(now)
    begun = [made for made in jobs.begun if made >= expected - CLOCK_SKEW]
    if jobs.active_since is not None or jobs.ended_at is None or not begun or expected <= since:
        return None
    if jobs.failure is None and not _left_undone(proofs, max(begun)):
        return None
    window = timedelta(seconds=schedule.window_seconds)
    unreached = jobs.failure is not None and mode is Mode.ENFORCE
    threatened = unreached and _threatened(facts, now, following + window)
    end = following if threatened else min(expected + window, following)
    due = jobs.ended_at + FIRST_PAUSE * 2 ** min(len(begun) - 1, _MOST_DOUBLINGS)
    if now < due or end - now < SHORTEST:
        return None
    note = f"the run of {_told(expected)} failed; every store answers now"
    return Night(due, int(min(window, end - now).total_seconds()), "RunRepeated", note)


async def make_up(schedules: Schedules, night: Night, stores: Sequence[ClaimedStore]) -> None:
    """Starts it, unless a Job of the policy is at work. A missed one has the name that the CronJob controller would have given
    it, one that is repeated that of the minute it became due: whoever comes second finds it taken."""
    if night.reason == "RunRepeated" and await schedules.at_work() is not None:
        return
    pod = schedules.pod(stores, plan_name(schedules.reference))
    name = missed_job_name(schedules.reference, night.minute)
    job = one_off_job(pod, name, active_deadline_seconds=night.seconds)
    if await schedules.world.cluster.create(job) is not None:
        note = f"{night.note}; Job {job['metadata']['name']} was started"
        await schedules.world.cluster.tell(Happening(schedules.regarding, night.reason, note, "Warning"))


def _left_undone(proofs: Sequence[Proof], made: datetime) -> bool:
    """Whether the databases' own word on a Job of that time is that it failed: a bucket may have been away."""
    runs = {str(place): proof.latest for place, proof in enumerate(proofs) if proof.latest is not None}
    return outcome({place: run for place, run in runs.items() if run.started_at >= made - CLOCK_SKEW}) == FAILED


def _threatened(facts: Sequence[DatabaseFacts], now: datetime, until: datetime) -> bool:
    """Whether something is past its deadline, or will be before the next night has ended."""
    return any(
        found.overdue or (found.next_deadline is not None and now < found.next_deadline <= until)
        for fact in facts
        for found in fact.categories
    )


def _told(expected: datetime) -> str:
    return f"{expected:%Y-%m-%dT%H:%MZ}"
