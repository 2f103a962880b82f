"""Backups that a Cluster's owner asks CloudNativePG for: how long what a run deletes stays in them (T6, M10); pure.

CloudNativePG keeps a recovery window: a base backup goes once a newer one is older than the window, and that is looked at
when a backup ends. So what is deleted today stays for the window and for twice the time between two backups; where no
backup follows, for ever. Volume snapshots have no window at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

from cronsim import CronSim, CronSimError

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.domain.backup_rules import BackupRules, rooms
from tenant_retention.domain.conditions import Finding, moment
from tenant_retention.domain.copies import NO_COPIES, RUN_INTERVAL, life_of_cluster_backups
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.cluster import Manifest

BARMAN_PLUGIN = "barman-cloud.cloudnative-pg.io"
"""The plugin whose window is in an ``ObjectStore``."""
_OBJECT_STORE, _SNAPSHOT, _PLUGIN = "barmanObjectStore", "volumeSnapshot", "plugin"
_WINDOW = re.compile(r"([1-9][0-9]{0,4})([dwm])")
_UNITS = {"d": 1, "w": 7, "m": 31}
"""Days, as Barman counts them."""
_EVERY = re.compile(r"@every (?=[0-9])(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")
_NAMED = {
    "@yearly": "1 1 *",
    "@annually": "1 1 *",
    "@monthly": "1 * *",
    "@weekly": "* * 0",
    "@daily": "* * *",
    "@midnight": "* * *",
    "@hourly": "* * *",
}
_NEVER = 9999
"""Days from one to the next where there is no next."""
_ENOUGH, _LONGEST = 20, 200
_FROM, _UNTIL = datetime(2023, 12, 31, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
"""Long enough for a 29 February to come twice."""


@dataclass(frozen=True)
class ClusterBackups:
    """``window`` and ``every``: days that CloudNativePG must be able to go back, and from one backup to the next; where there
    are several kinds of backups, of those that live longest. ``field``: what says the window."""

    field: str
    window: int
    every: int

    @property
    def life(self) -> timedelta:
        """How long a row that leaves the live store today is still in a backup."""
        return life_of_cluster_backups(self.window, self.every)


@dataclass(frozen=True)
class _Way:
    """One way in which a Cluster is backed up. ``window``: as written, None where nobody wrote one."""

    method: str
    plugin: str
    field: str
    window: str | None


def cluster_backups(
    cluster: Manifest, scheduled: Sequence[Manifest], made: Sequence[Manifest], stores: Mapping[str, Manifest]
) -> ClusterBackups | None:
    """What holds for the backups of ``cluster``; None where it has none. ``scheduled``: ScheduledBackups, ``made``: Backups, both
    of any Cluster of the namespace; ``stores``: its ObjectStores by name.

    Raises Invalid (CopiesOutliveBounds) naming object and field where some backup is never removed.
    """
    name = cluster["metadata"]["name"]
    mine = [each["spec"] for each in scheduled if _is_of(each, name) and not each["spec"].get("suspend")]
    ways = _ways(cluster, [*mine, *(each["spec"] for each in made if _is_of(each, name))], stores)
    for each in made:
        _refuse_left(each, cluster, ways)
    for spec in mine:
        if _method(spec) == _SNAPSHOT:
            raise _endless(
                f"a ScheduledBackup takes volume snapshots of Cluster {name}, which CloudNativePG never removes",
                "its owner takes it away (or suspends it), removes the snapshots and their Backups, and backs up to an object "
                "store with a retentionPolicy",
                "spec.method",
            )
    found = [_of(way, mine, name) for way in ways]
    return max(found, key=lambda each: each.life, default=None)


def late_backups(cluster: Manifest, made: Sequence[Manifest], found: ClusterBackups, now: datetime) -> tuple[str, ...]:
    """Backups that CloudNativePG should have removed by now, by name: what runs deleted in time is still in them (X4)."""
    name = cluster["metadata"]["name"]
    return tuple(
        each["metadata"]["name"]
        for each in made
        if _is_of(each, name)
        and (each.get("status") or {}).get("phase") == "completed"
        and (ended := each["status"].get("stoppedAt") or each["metadata"].get("creationTimestamp"))
        and now - moment(ended) > found.life
    )


def late_finding(late: Sequence[str]) -> Finding | None:
    """That Compliant is False: copies outlive what was promised."""
    if not late:
        return None
    text = (
        f"{len(late)} backups of the Cluster should have been removed by now and may outlive a deadline: {', '.join(late)}; its "
        "owner looks at the Events of the Cluster (RetentionPolicyFailed) and at its newest Backups: an old one goes when a newer "
        "one has ended"
    )
    return Finding(ConditionType.COMPLIANT, False, Reason.DELETION_DEBT, text[:1024])


def longest_life(ours: BackupRules | None, clusters: ClusterBackups | None) -> timedelta:
    """How long a row that leaves the live store today is still in a backup, whoever makes it."""
    return max((each.life for each in (ours, clusters) if each is not None), default=NO_COPIES)


def check_cluster_backups(profile: RetentionProfileSpec, found: ClusterBackups | None) -> None:
    """Raises Invalid (CopiesOutliveBounds) naming field, bound and the longest window where the Cluster's own backups would
    outlive a max, leave no room between a min and its max, or outlast the deadline of a request or a termination (M10)."""
    if found is None:
        return
    # The rooms have what removes a backup of ours on top.
    days = (found.life - RUN_INTERVAL).days
    tight = [(room, what) for room, what in rooms(profile) if days > room]
    if not tight:
        return
    room, what = min(tight)
    longest = room - (days - found.window)
    step = (
        f"writes {longest}d or shorter there"
        if longest > 0
        else "backs it up more often, or takes its backups away and has a class with spec.backup make them"
    )
    raise Invalid(
        f"{found.field}: a window of {found.window} days with a backup every {found.every} day(s) keeps what a run deleted for up "
        f"to {found.life.days} days, too long for {what}; the Cluster's owner {step}",
        reason=Reason.COPIES_OUTLIVE_BOUNDS,
        field=found.field,
    )


def days_apart(schedule: str) -> int:
    """The longest wait between two starts of a ScheduledBackup's schedule (seconds first, or ``@daily`` and the like), in days,
    rounded up. Raises ValueError for what is no schedule."""
    if every := _EVERY.fullmatch(schedule):
        hours, minutes, seconds = (int(part or 0) for part in every.groups())
        return max(1, -(-(hours * 3600 + minutes * 60 + seconds) // 86400))
    fields = schedule.split()
    if len(schedule) > _LONGEST or (schedule not in _NAMED and len(fields) not in (5, 6)):
        raise ValueError(schedule)
    # The last field, the day of the week, may be left out.
    days = _NAMED.get(schedule) or " ".join([*fields, "*"][3:6]).replace("?", "*")
    if days == "* * *":
        return 1
    try:
        starts = list(takewhile(lambda start: start < _UNTIL, CronSim(f"0 0 {days}", _FROM)))
    except CronSimError as problem:
        raise ValueError(schedule) from problem
    return max(((later - first).days for first, later in pairwise(starts)), default=_NEVER)


def _ways(cluster: Manifest, asked: Sequence[Mapping[str, Any]], stores: Mapping[str, Manifest]) -> list[_Way]:
    """The ways in which it is backed up now: WAL files go to an object store all the time, not only with a backup."""
    name, backup = cluster["metadata"]["name"], cluster["spec"].get("backup") or {}
    ways = []
    if backup.get(_OBJECT_STORE):
        field = f"spec.backup.retentionPolicy of Cluster {name}"
        ways.append(_Way(_OBJECT_STORE, "", field, backup.get("retentionPolicy")))
    used = {_plugin(spec) for spec in asked if _method(spec) == _PLUGIN}
    for plugin in cluster["spec"].get("plugins") or ():
        if not plugin.get("enabled", True) or not (plugin.get("isWALArchiver") or plugin["name"] in used):
            continue
        if plugin["name"] != BARMAN_PLUGIN:
            raise _endless(
                f"Cluster {name} is backed up by plugin {plugin['name']}: nobody can say when it removes a backup",
                f"its owner backs it up by {BARMAN_PLUGIN} with a retentionPolicy, or takes the plugin away",
                "spec.plugins",
            )
        store = (plugin.get("parameters") or {}).get("barmanObjectName", "")
        window = ((stores.get(store) or {}).get("spec") or {}).get("retentionPolicy")
        ways.append(_Way(_PLUGIN, BARMAN_PLUGIN, f"spec.retentionPolicy of ObjectStore {store}", window))
    return ways


def _of(way: _Way, scheduled: Sequence[Mapping[str, Any]], name: str) -> ClusterBackups:
    window = _WINDOW.fullmatch(way.window or "")
    if window is None:
        raise _endless(
            f"{way.field}: there is none, so no backup of Cluster {name} is ever removed",
            "its owner writes one, such as 7d, or takes the backups away",
            way.field,
        )
    mine = [spec for spec in scheduled if (_method(spec), _plugin(spec)) == (way.method, way.plugin)]
    # Further ones only make newer backups sooner, and nobody's number of them is to keep the others waiting.
    waits = [_days_apart(str(spec.get("schedule", "")), name) for spec in mine[:_ENOUGH]]
    if not waits:
        raise _endless(
            f"no ScheduledBackup of method {way.method} backs up Cluster {name}: its WAL files and its last backup stay until a "
            "newer backup is there",
            "its owner makes one (and does not suspend it), or takes the backups away",
            way.field,
        )
    return ClusterBackups(way.field, int(window[1]) * _UNITS[window[2]], min(waits))


def _days_apart(schedule: str, name: str) -> int:
    try:
        return days_apart(schedule)
    except ValueError as problem:
        raise _endless(
            f"spec.schedule of a ScheduledBackup of Cluster {name}: {schedule[:80]!r} is not understood, so nobody knows how old "
            "its backups get",
            "its owner writes six fields, such as '0 0 2 * * *'",
            "spec.schedule",
        ) from problem


def _refuse_left(backup: Manifest, cluster: Manifest, ways: Sequence[_Way]) -> None:
    """Raises Invalid for a finished backup that nobody removes any more."""
    status, name = backup.get("status") or {}, cluster["metadata"]["name"]
    if not _is_of(backup, name) or status.get("phase") != "completed":
        return
    spec = backup["spec"]
    if (_method(spec), _plugin(spec)) in {(way.method, way.plugin) for way in ways} and not _elsewhere(status, cluster):
        return
    raise _endless(
        f"Backup {backup['metadata']['name']} holds a copy of Cluster {name} that nobody removes",
        "its owner removes what it left in the object store, or its volume snapshots, and then deletes the Backup",
        "spec.method",
    )


def _elsewhere(status: Mapping[str, Any], cluster: Manifest) -> bool:
    """Whether it lies where CloudNativePG does not look any more."""
    now = (cluster["spec"].get("backup") or {}).get(_OBJECT_STORE) or {}
    looked = (now.get("destinationPath"), now.get("serverName") or cluster["metadata"]["name"])
    moved = bool(now and status.get("destinationPath")) and (
        (status["destinationPath"], status.get("serverName") or cluster["metadata"]["name"]) != looked
    )
    of = (status.get("pluginMetadata") or {}).get("clusterUID")
    return moved or bool(of and of != cluster["metadata"].get("uid"))


def _is_of(each: Manifest, cluster: str) -> bool:
    return bool(((each.get("spec") or {}).get("cluster") or {}).get("name") == cluster)


def _method(spec: Mapping[str, Any]) -> str:
    return str(spec.get("method") or _OBJECT_STORE)


def _plugin(spec: Mapping[str, Any]) -> str:
    return str((spec.get("pluginConfiguration") or {}).get("name", "")) if _method(spec) == _PLUGIN else ""


def _endless(what: str, step: str, field: str) -> Invalid:
    return Invalid(f"{what}; {step}"[:1024], reason=Reason.COPIES_OUTLIVE_BOUNDS, field=field)
