"""How long copies outlive the live store: the one place that says it, per policy (M10, T6); pure."""

from __future__ import annotations

from datetime import timedelta

from tenant_retention.domain.durations import Period

RUN_INTERVAL = timedelta(days=2)
"""From one nightly run to the end of the next: a day, the hour that a night may have more, and the window it may take."""
FILE_SPAN = timedelta(days=1)
"""How much older than its newest row a file of the archive is, which goes with that one."""
_A_BACKUP_TAKES = timedelta(days=1)
NO_COPIES = timedelta(0)
"""Object versions outlive nothing: deletion names every one of them."""


def life_of_backups(keep: str | None) -> timedelta:
    """How long a row that has just left the live store may still be in a backup; ``keep``: how long backups are kept, None:
    there are none. A backup goes in the first run after its time, so that a run interval comes on top.

    Raises Invalid (InvalidDuration) for a keep that is no duration.
    """
    if keep is None:
        return NO_COPIES
    return timedelta(days=Period.parse(keep, field="spec.backup.keep").longest_days()) + RUN_INTERVAL


def life_of_cluster_backups(window: int, every: int) -> timedelta:
    """How long a row that has just left the live store may still be in a backup that CloudNativePG makes: until a later one is
    older than the ``window``, and the next one looked. ``every``: from one to the next; both in days. One backup may be late."""
    return timedelta(days=window + 2 * every) + _A_BACKUP_TAKES


def margin(life: timedelta = NO_COPIES, *, in_files: bool = False) -> timedelta:
    """How long before its deadline data leaves the live store, so that every copy, each living for ``life`` at most, is gone
    in time (X1, M10). ``in_files``: the policy's archive is a bucket, where the oldest row of a file waits for the newest."""
    return RUN_INTERVAL + life + (FILE_SPAN if in_files else NO_COPIES)


MARGIN_WITHOUT_COPIES = margin()
"""Of a policy whose rows are in the live store alone."""
