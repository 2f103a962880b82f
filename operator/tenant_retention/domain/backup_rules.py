"""How long a policy's backups may be kept, so that no copy outlives a bound (M10, T6): agreed over its classes, checked; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.backups import BACKUPS, Frequency
from tenant_retention.domain.copies import life_of_backups, margin
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.profile_check import has_no_age, whole_days

_FIELD = "spec.backup.keep"
_MONTHS_ARE_LONGER_BY = 28
"""Days that one more month always has."""


@dataclass(frozen=True)
class BackupRules:
    """``keep``: how long a backup is kept. ``schedule`` None: none is made any more, and the old ones still go in time.
    ``class_name``: the class that says so, or said so last."""

    class_name: str
    keep: str
    schedule: Frequency | None

    @property
    def life(self) -> timedelta:
        """How long a row that leaves the live store today is still in a backup. Where none is made any more, nothing that
        leaves from now on gets into one; what is in the old ones left with room for their life."""
        return life_of_backups(self.keep if self.schedule is not None else None)

    @classmethod
    def recalled(cls, kept: Mapping[str, str | None]) -> BackupRules:
        """What was kept of it. Raises KeyError, TypeError or ValueError for what is none."""
        schedule = kept["schedule"]
        return cls(str(kept["class_name"]), str(kept["keep"]), Frequency(schedule) if schedule is not None else None)

    def ended(self) -> BackupRules:
        """The same where no class asks for backups any more."""
        return replace(self, schedule=None)


def agreed(asked: Mapping[str, BackupRules], before: BackupRules | None) -> BackupRules | None:
    """What holds for a policy. ``asked``: of the classes of its databases, those that ask for backups, by name; ``before``:
    what held until now, None where there never was a backup.

    Raises Invalid (ClassInvalid) where two classes say different things: a policy has one set of backups.
    """
    if not asked:
        return before.ended() if before is not None else None
    first, *others = (asked[name] for name in sorted(asked))
    for other in others:
        if (other.keep, other.schedule) != (first.keep, first.schedule):
            raise Invalid(
                f"spec.backup of DataStoreClass {other.class_name}: {other.schedule}, keep {other.keep} is not what class "
                f"{first.class_name} of the same policy says ({first.schedule}, keep {first.keep}); a policy's databases are in "
                "one backup: write the same in both, or leave it out of one, whose databases are not backed up then",
                reason="ClassInvalid",
                field="spec.backup",
            )
    return first


def check_backups(profile: RetentionProfileSpec, rules: BackupRules | None) -> None:
    """Raises Invalid (ClassInvalid) naming field, bound and the longest keep where backups would outlive a max, leave no room
    between a min and its max, or outlast the deadline of a request or a termination (M10)."""
    if rules is None or rules.schedule is None:
        return
    days = Period.parse(rules.keep, field=_FIELD).longest_days()
    tight = [(room, what) for room, what in rooms(profile) if days > room]
    if not tight:
        return
    room, what = min(tight)
    step = (
        f"write P{room}D or shorter there"
        if room > 0
        else "leave spec.backup out there, or name another class for this policy's databases"
    )
    raise Invalid(
        f"{_FIELD} of DataStoreClass {rules.class_name}: backups kept {rules.keep} are too long for {what}: a run to delete in "
        f"time and a run to remove the backup come on top ({whole_days(margin())} day(s) each); {step}",
        reason="ClassInvalid",
        field=_FIELD,
    )


def check_request(policy: TenantRetentionPolicySpec, rules: BackupRules | None) -> None:
    """Raises Invalid (ClassInvalid) for a store that is asked for backups which nobody makes."""
    if rules is None and any(request.purpose == BACKUPS for request in policy.stores):
        field = f"spec.stores[{BACKUPS}].purpose"
        raise Invalid(
            f"{field}: no class of the policy's databases asks for backups; set spec.backup of that DataStoreClass, or remove "
            "the entry",
            reason="ClassInvalid",
            field=field,
        )


def rooms(profile: RetentionProfileSpec) -> Sequence[tuple[int, str]]:
    """How many days backups may be kept that a run removes, and what bounds them."""
    # A run to leave the live store in time, and one that removes the backup.
    runs = whole_days(margin(life_of_backups("P1D"))) - 1
    found = []
    for word in ("request", "termination"):
        text = getattr(profile.deadlines, word)
        found.append((Period.parse(text).shortest_days() - runs, f"deadlines.{word} {text} of the profile"))
    for category in profile.categories:
        if not has_no_age(category) and category.max is not None:
            found += _rooms_of(category, category.max, runs)
    return found


def _rooms_of(category: Category, maximum: str, runs: int) -> list[tuple[int, str]]:
    bound = Period.parse(maximum)
    rooms = [(bound.shortest_days() - runs - 1, f"max {maximum} of category {category.name}")]
    if category.min is not None:
        least = Period.parse(category.min)
        between = bound.shortest_days() - least.longest_days()
        if least.months and bound.months and least.months < bound.months:
            between = max(between, _MONTHS_ARE_LONGER_BY)
        rooms.append((between - runs, f"min {category.min} and max {maximum} of category {category.name}"))
    return rooms
