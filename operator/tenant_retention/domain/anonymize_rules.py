"""At which age a tenant's rows lose the person, and the bounds of that choice: min and keep (X1)."""

from __future__ import annotations

from collections.abc import Mapping

from tenant_retention.api.v1alpha1.profile_tables import Table
from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import AnonymizeDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid


def anonymize_after(
    profile: RetentionProfileSpec, category: Category, policy: TenantRetentionPolicySpec, keep: str | None
) -> str | None:
    """The tenant's choice, None where it made none.

    Raises Invalid naming field, value and bound: below min, beyond keep, or a category in which no column has a method.
    """
    after = policy.anonymize_after(category.name)
    if after is None:
        return None
    field = f"spec.retention[{category.name}].anonymizeAfter"
    period = Period.parse(after, field=field)
    if category.min is not None and not Period.parse(category.min).never_longer_than(period):
        raise _refused(field, category, f"{after} is shorter than min {category.min}; write {category.min} or longer")
    if keep is not None and not period.never_longer_than(Period.parse(keep)):
        raise _refused(field, category, f"{after} is longer than keep {keep}; write {keep} or shorter")
    if not _has_method(profile, category):
        raise _refused(
            field,
            category,
            "no column of its tables says how it is anonymized; remove the line, or let the profile name a method",
        )
    return after


def inside_bounds(
    profile: RetentionProfileSpec, last_good: TenantRetentionPolicySpec, keeps: Mapping[str, str]
) -> dict[str, str]:
    """The last good choices as today's profile allows them, by category: never below min, never beyond keep (M8)."""
    chosen = {}
    for category in profile.categories:
        after, keep = last_good.anonymize_after(category.name), keeps.get(category.name)
        if after is None or keep is None or not _has_method(profile, category):
            continue
        if not Period.parse(after).never_longer_than(Period.parse(keep)):
            after = keep
        chosen[category.name] = not_below_min(category, after)
    return chosen


def not_below_min(category: Category, period: str) -> str:
    """``period``, or the category's min where that may be longer."""
    if category.min is not None and not Period.parse(category.min).never_longer_than(Period.parse(period)):
        return category.min
    return period


def method_of(table: Table, name: str) -> AnonymizeDefinition | None:
    """How this column loses the person, None where the profile does not say."""
    found = next((column.anonymize for column in table.columns if column.name == name), None)
    return AnonymizeDefinition(method=found.method, value=found.value) if found else None


def _has_method(profile: RetentionProfileSpec, category: Category) -> bool:
    tables = [table for table in profile.tables if table.name in category.tables]
    return any(column.anonymize is not None for table in tables for column in table.columns)


def _refused(field: str, category: Category, text: str) -> Invalid:
    return Invalid(
        f"{field}: category {category.name}: anonymizeAfter {text}", reason="AnonymizeOutOfBounds", field=field
    )
