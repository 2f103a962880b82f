"""When a policy's job runs: one minute of the tenant's window, drawn by hash, as a five-field cron line in its time zone.

Kubernetes skips a start whose local time does not exist (the night clocks go forward) and starts twice where it exists
twice; ``next_run`` and ``latest_run`` expect exactly one run a local day, so that the operator notices the skipped one
and starts it (EXPECTATIONS.md, "Jobs"). A second run of the same night finds nothing to do.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from tenant_retention.domain.errors import Invalid

DAY_MINUTES = 24 * 60
DEFAULT_START = "01:00"
DEFAULT_DURATION = "PT4H"
DEFAULT_WINDOW_SECONDS = 4 * 3600
_DAILY = re.compile(r"([0-5]?[0-9]) ([01]?[0-9]|2[0-3]) \* \* \*")
_START = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DURATION = re.compile(r"PT([1-9]|1[0-9]|2[0-4])H")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_LONGEST_WAIT_SECONDS = 8 * 3600
_LONGEST_STEP_BACK = timedelta(days=400)


@dataclass(frozen=True)
class Schedule:
    """A five-field cron line in a time zone, and how long one run may take (``window_seconds``).

    Raises Invalid for any other number of fields: a sixth one is read as seconds elsewhere and starts a job every minute.
    """

    cron: str
    time_zone: str
    window_seconds: int

    def __post_init__(self) -> None:
        """Refuses what Kubernetes and cronsim would read differently."""
        zone(self.time_zone)
        if len(self.cron.split()) != 5 or self.cron != " ".join(self.cron.split()):
            raise _invalid("spec.window", f"{self.cron!r} is not a cron line of five fields")
        try:
            CronSim(self.cron, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise _invalid("spec.window", f"{self.cron!r} is not a cron line: {error}") from error

    @property
    def starting_deadline_seconds(self) -> int:
        """How late Kubernetes may still start a run, in seconds: one window, at most eight hours.

        Bounded, or a CronJob that missed 100 starts never runs again; hours, or a short outage loses the night.
        """
        return min(self.window_seconds, _LONGEST_WAIT_SECONDS)

    def is_daily(self) -> bool:
        """Whether it starts at one minute of every day and at no other, as those do that ``plan_schedule`` makes."""
        return _DAILY.fullmatch(self.cron) is not None

    def later(self, minutes: int) -> Schedule:
        """The same every day, so many minutes later; of a daily one only."""
        minute, hour = (int(field) for field in self.cron.split()[:2])
        later_hour, later_minute = divmod((hour * 60 + minute + minutes) % DAY_MINUTES, 60)
        return replace(self, cron=f"{later_minute} {later_hour} * * *")

    def next_run(self, now: datetime) -> datetime:
        """The first start after ``now``, in UTC."""
        return next(CronSim(self.cron, now.astimezone(zone(self.time_zone)))).astimezone(UTC)

    def latest_run(self, now: datetime) -> datetime:
        """The last start at or before ``now``, in UTC: if no job began since, a run did not come."""
        until = now.astimezone(UTC)
        steps = (timedelta(days=2), timedelta(days=40), _LONGEST_STEP_BACK)
        for step in steps:
            found: datetime | None = None
            for start in CronSim(self.cron, (until - step).astimezone(zone(self.time_zone))):
                if start.astimezone(UTC) > until:
                    break
                found = start.astimezone(UTC)
            if found is not None:
                return found
        raise _invalid("spec.window", f"{self.cron!r} has no start in {steps[-1].days} days")


def plan_schedule(
    namespace: str,
    policy: str,
    purpose: str,
    *,
    time_zone: str = "UTC",
    start: str = DEFAULT_START,
    duration: str = DEFAULT_DURATION,
) -> Schedule:
    """The daily schedule of one job of one policy; ``purpose`` is the task (``expire``).

    Raises Invalid naming spec.timeZone, spec.window.start or spec.window.duration (X1's apply-time rule, seen late).
    """
    opened = _START.fullmatch(start)
    if opened is None:
        raise _invalid("spec.window.start", f"{start!r} is not a time of day; write hours and minutes such as '01:00'")
    lasting = _DURATION.fullmatch(duration)
    if lasting is None:
        raise _invalid("spec.window.duration", f"{duration!r} does not fit a day; write whole hours from PT1H to PT24H")
    zone(time_zone)
    window_minutes = int(lasting.group(1)) * 60
    first = int(opened.group(1)) * 60 + int(opened.group(2))
    minute_of_day = (first + chosen_minute(namespace, policy, purpose, window_minutes)) % DAY_MINUTES
    hour, minute = divmod(minute_of_day, 60)
    return Schedule(f"{minute} {hour} * * *", time_zone, window_minutes * 60)


def chosen_minute(namespace: str, policy: str, purpose: str, window_minutes: int) -> int:
    """One SHA-256 draw over the window: 0 to ``window_minutes`` - 1, the same for the same policy for ever."""
    parts = (namespace, policy, purpose)
    text = "".join(f"{len(part.encode())}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()) % window_minutes


def zone(name: str) -> ZoneInfo:
    """The IANA time zone ``name``; raises Invalid naming spec.timeZone for what is none.

    Stricter than zoneinfo in what it looks up: no paths, and not ``Local``, which Kubernetes refuses in a CronJob.
    """
    if len(name) <= 64 and name.lower() != "local" and _ZONE.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            # zoneinfo raises OSError for the name of a directory such as "Europe".
            pass
    raise _invalid(
        "spec.timeZone", f"{name[:70]!r} is not a time zone; write an IANA name such as 'Europe/Amsterdam' or 'UTC'"
    )


def _invalid(field: str, message: str) -> Invalid:
    reason = "TimeZoneUnknown" if field == "spec.timeZone" else "InvalidDuration"
    return Invalid(f"{field}: {message}", reason=reason, field=field)
