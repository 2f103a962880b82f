"""How long content is kept beside its record: neither beyond it, nor until the record has lost the person (X1, P4)."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.retentionprofile import Category
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.anonymize_rules import not_below_min
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid


def within_record(
    category: Category, policy: TenantRetentionPolicySpec, keep: str | None, record_keep: str | None
) -> str | None:
    """The keep of content whose record is kept for ``record_keep`` (P4). Raises Invalid (ContentOutlivesRecord)."""
    return _within(category, policy, keep, record_keep, told="{}", otherwise="keep the record longer")


def before_anonymized(
    category: Category, policy: TenantRetentionPolicySpec, keep: str | None, record_after: str | None
) -> str | None:
    """The keep of content whose record is anonymized at ``record_after``: content goes first, it names the person (X1).

    Raises Invalid (ContentOutlivesRecord).
    """
    return _within(
        category, policy, keep, record_after, told="anonymizeAfter {}", otherwise="anonymize the record later"
    )


def not_beyond(category: Category, keep: str, bound: str) -> str:
    """``keep`` cut to the record's ``bound``, but never below the content's own min (then the record waits)."""
    if Period.parse(keep).never_longer_than(Period.parse(bound)):
        return keep
    return not_below_min(category, bound)


def _within(
    category: Category,
    policy: TenantRetentionPolicySpec,
    keep: str | None,
    bound: str | None,
    told: str,
    otherwise: str,
) -> str | None:
    if keep is None or bound is None or Period.parse(keep).never_longer_than(Period.parse(bound)):
        return keep
    if policy.keep(category.name) is None:
        # Nobody chose it: the profile's default gives way to the shorter life of the record.
        return not_below_min(category, bound)
    if category.min is not None and keep == category.min:
        # The record waits for its content's min.
        return keep
    field = f"spec.retention[{category.name}].keep"
    raise Invalid(
        f"{field}: category {category.name}: keep {keep} is longer than {told.format(bound)} of its record "
        f"{category.content_of}; write {bound} or shorter, or {otherwise}",
        reason="ContentOutlivesRecord",
        field=field,
    )
