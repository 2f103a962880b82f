"""Longer storage that a tenant bought (T5): what it means for a category, and what is refused by category, value and bound (X1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import ExtendedStorage, TenantRetentionPolicySpec
from tenant_retention.domain.conditions import Finding, instant
from tenant_retention.domain.definition import ExtendedDefinition, RetentionDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid

ANNOUNCED_BEFORE = timedelta(days=30)
"""How long before its end a bought time is announced."""


def extensions(
    profile: RetentionProfileSpec,
    policy: TenantRetentionPolicySpec,
    keeps: Mapping[str, str | None],
    afters: Mapping[str, str | None],
) -> dict[str, ExtendedDefinition]:
    """By category what was bought for it. ``keeps``: the categories' keep without it, which a shorter one does not shorten;
    ``afters``: the ages at which they lose the person.

    Raises Invalid naming category, value and bound (CategoryUnknown, KeepOutOfBounds, ContentOutlivesRecord).
    """
    found = {
        bought.category: _extended(profile, policy, bought, keeps.get(bought.category))
        for bought in policy.extended_storage
    }
    for name, extended in found.items():
        category = profile.category(name)
        if category is not None and category.content_of is not None:
            _check_content(category, extended, keeps.get(category.content_of), found.get(category.content_of))
            if extended.keep != keeps.get(name):
                _check_anonymized(category, extended, afters.get(category.content_of))
    return found


def extensions_inside_bounds(
    profile: RetentionProfileSpec,
    policy: TenantRetentionPolicySpec,
    keeps: Mapping[str, str | None],
    afters: Mapping[str, str | None],
) -> tuple[ExtendedStorage, ...]:
    """What was bought as today's profile allows it: cut to extendedMax, left out where there is no room any more (M10)."""
    inside: list[ExtendedStorage] = []
    for bought in policy.extended_storage:
        category = profile.category(bought.category)
        if category is None or category.extended_max is None:
            continue
        longest = Period.parse(category.extended_max)
        cut = bought
        if not Period.parse(bought.keep).never_longer_than(longest):
            cut = bought.model_copy(update={"keep": category.extended_max})
        inside.append(cut)
    while True:
        try:
            extensions(profile, policy.model_copy(update={"extended_storage": tuple(inside)}), keeps, afters)
        except Invalid as problem:
            # What still does not fit goes: its category is kept by its own rule again.
            inside = [bought for bought in inside if _field(bought.category) not in (problem.field or "")]
            continue
        return tuple(inside)


def extension_findings(definition: RetentionDefinition | None, now: datetime) -> tuple[Finding, ...]:
    """The condition ExtendedStorageEnding; none where nothing was bought that ends."""
    ends = {
        category.name: category.extended.until
        for category in (definition.categories if definition else ())
        if category.extended is not None and category.extended.until is not None
    }
    if not ends:
        return ()
    soon = [f"{name} on {instant(end)}" for name, end in sorted(ends.items()) if end - ANNOUNCED_BEFORE <= now < end]
    if not soon:
        return (Finding(ConditionType.EXTENDED_STORAGE_ENDING, False, Reason.EXTENDED_STORAGE_KEPT),)
    message = (
        f"the bought time ends: {'; '.join(soon)}; the first run after it deletes what keep and max do not keep: set a later "
        "spec.extendedStorage[].until to keep it, or export it before"
    )
    return (Finding(ConditionType.EXTENDED_STORAGE_ENDING, True, Reason.EXTENDED_STORAGE_ENDS, message),)


def is_lasting(extended: ExtendedDefinition | None, now: datetime) -> bool:
    """Whether the bought time is not over at ``now`` (UTC)."""
    return extended is not None and (extended.until is None or now < extended.until)


def _extended(
    profile: RetentionProfileSpec, policy: TenantRetentionPolicySpec, bought: ExtendedStorage, keep: str | None
) -> ExtendedDefinition:
    category, field = profile.category(bought.category), _field(bought.category)
    if category is None:
        known = ", ".join(sorted(each.name for each in profile.categories))
        raise Invalid(
            f"{field}.category: the profile {policy.profile_ref.name} has no category {bought.category}; it has {known}",
            reason="CategoryUnknown",
            field=f"{field}.category",
        )
    period = Period.parse(bought.keep, field=f"{field}.keep")
    if category.extended_max is None or category.default is None:
        raise _out_of_bounds(
            category, bought, "is not offered: the profile has no extendedMax for it; remove the entry"
        )
    if not Period.parse(category.default).never_longer_than(period):
        raise _out_of_bounds(
            category, bought, f"is shorter than default {category.default}; write {category.default} or longer"
        )
    if not period.never_longer_than(Period.parse(category.extended_max)):
        raise _out_of_bounds(
            category,
            bought,
            f"is longer than extendedMax {category.extended_max}; write {category.extended_max} or shorter",
        )
    longer = bought.keep if keep is None or Period.parse(keep).never_longer_than(period) else keep
    return ExtendedDefinition(keep=longer, maximum=category.extended_max, until=_until(bought))


def _check_content(
    category: Category, extended: ExtendedDefinition, record_keep: str | None, record: ExtendedDefinition | None
) -> None:
    """Content keep <= that of its record (X1), at every time: also after the record's own bought time has ended (P4)."""
    period, field = Period.parse(extended.keep), f"{_field(category.name)}.keep"
    if record_keep is None or period.never_longer_than(Period.parse(record_keep)):
        return
    if record is not None and period.never_longer_than(Period.parse(record.keep)):
        if record.until is None or (extended.until is not None and extended.until <= record.until):
            return
        raise Invalid(
            f"{_field(category.name)}.until: category {category.name}: its bought time ends after that of its record "
            f"{category.content_of}, {record.until.isoformat()}; write this date or an earlier one",
            reason="ContentOutlivesRecord",
            field=f"{_field(category.name)}.until",
        )
    longest = record.keep if record is not None else record_keep
    raise Invalid(
        f"{field}: category {category.name}: keep {extended.keep} is longer than {longest} of its record "
        f"{category.content_of}; write {longest} or shorter, or extend the record too",
        reason="ContentOutlivesRecord",
        field=field,
    )


def _check_anonymized(category: Category, extended: ExtendedDefinition, after: str | None) -> None:
    """Content goes before its record loses the person, bought time or not: it tells who it was (X1)."""
    if after is None or Period.parse(extended.keep).never_longer_than(Period.parse(after)):
        return
    field = f"{_field(category.name)}.keep"
    raise Invalid(
        f"{field}: category {category.name}: keep {extended.keep} is longer than anonymizeAfter {after} of its record "
        f"{category.content_of}; write {after} or shorter, or a later anonymizeAfter",
        reason="ContentOutlivesRecord",
        field=field,
    )


def _until(bought: ExtendedStorage) -> datetime | None:
    try:
        return datetime.fromisoformat(bought.until).astimezone(UTC) if bought.until is not None else None
    except (ValueError, OverflowError):
        field = f"{_field(bought.category)}.until"
        raise Invalid(
            f"{field}: {bought.until} is no date; write one such as 2027-12-31T00:00:00Z",
            reason="SpecInvalid",
            field=field,
        ) from None


def _out_of_bounds(category: Category, bought: ExtendedStorage, text: str) -> Invalid:
    field = f"{_field(category.name)}.keep"
    return Invalid(
        f"{field}: category {category.name}: keep {bought.keep} {text}", reason="KeepOutOfBounds", field=field
    )


def _field(category: str) -> str:
    return f"spec.extendedStorage[{category}]"
