"""From profile and policy to one definition (X1): bounds checked, defaults filled in, the last good choice kept in bounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import CategoryRetention, TenantRetentionPolicySpec
from tenant_retention.domain import anonymize_rules, archive_rules, content_keep
from tenant_retention.domain.cache_rules import names_cache
from tenant_retention.domain.copies import MARGIN_WITHOUT_COPIES
from tenant_retention.domain.defined_categories import category_definition, table_definition
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.extended_storage import extensions, extensions_inside_bounds
from tenant_retention.domain.profile_check import check_profile, has_no_age, whole_days


@dataclass(frozen=True)
class Subject:
    """Whose definition it is, and of which generations of what was written."""

    installation: str
    namespace: str
    policy: str
    policy_uid: str
    policy_generation: int
    profile_generation: int
    margin: timedelta = MARGIN_WITHOUT_COPIES


def define(profile: RetentionProfileSpec, policy: TenantRetentionPolicySpec, subject: Subject) -> RetentionDefinition:
    """What ``policy`` means under ``profile`` (X1, P1, P4).

    Raises Invalid naming category, value and bound: an unknown category, a keep outside min and max, content kept
    longer than its record, a profile whose min leaves no room for runs and copies.
    """
    check_profile(profile, subject.margin)
    _refuse_unknown(profile, policy)
    keeps = {category.name: _keep(category, policy) for category in profile.categories}
    for category in profile.categories:
        if category.content_of is not None:
            record_keep = keeps.get(category.content_of)
            keeps[category.name] = content_keep.within_record(category, policy, keeps[category.name], record_keep)
    afters = {c.name: anonymize_rules.anonymize_after(profile, c, policy, keeps[c.name]) for c in profile.categories}
    for category in profile.categories:
        if category.content_of is not None:
            record_after = afters.get(category.content_of)
            keeps[category.name] = content_keep.before_anonymized(category, policy, keeps[category.name], record_after)
    extended = extensions(profile, policy, keeps, afters)
    # Content first: a record's rows wait until its content is gone (P4).
    ordered = sorted(profile.categories, key=lambda category: category.content_of is None)
    return RetentionDefinition(
        installation=subject.installation,
        namespace=subject.namespace,
        policy=subject.policy,
        policy_uid=subject.policy_uid,
        policy_generation=subject.policy_generation,
        profile_generation=subject.profile_generation,
        margin_seconds=int(subject.margin.total_seconds()),
        guard_percent=policy.guard.max_deleted_percent,
        tables=tuple(table_definition(profile, table) for table in profile.tables),
        categories=tuple(
            category_definition(
                profile,
                category,
                keeps[category.name],
                extended.get(category.name),
                afters[category.name],
                archive_rules.archive_after(category, policy, keeps[category.name]),
                # What a policy without a cache means does not change when its profile begins to speak of one.
                cached=names_cache(policy),
            )
            for category in ordered
        ),
    )


def inside_bounds(profile: RetentionProfileSpec, last_good: TenantRetentionPolicySpec) -> TenantRetentionPolicySpec:
    """The last good choice as today's profile allows it: what a policy that is invalid now goes on with (M8, M10)."""
    chosen: dict[str, str] = {}
    for category in profile.categories:
        keep = last_good.keep(category.name)
        if keep is None or category.default is None or category.max is None or has_no_age(category):
            continue
        period = Period.parse(keep)
        if not period.never_longer_than(Period.parse(category.max)):
            keep = category.max
        elif category.min is not None and not Period.parse(category.min).never_longer_than(period):
            keep = category.min
        chosen[category.name] = keep
    for category in profile.categories:
        if category.name in chosen and category.content_of is not None:
            record = profile.category(category.content_of)
            record_keep = chosen.get(category.content_of) or (record.default if record else None)
            if record_keep is not None:
                chosen[category.name] = content_keep.not_beyond(category, chosen[category.name], record_keep)
    afters = anonymize_rules.inside_bounds(profile, last_good, chosen)
    for category in profile.categories:
        after = afters.get(category.content_of or "")
        if category.name in chosen and after is not None:
            chosen[category.name] = content_keep.not_beyond(category, chosen[category.name], after)
    archived = archive_rules.inside_bounds(profile, last_good, chosen)
    retention = tuple(
        CategoryRetention(category=name, keep=keep, anonymize_after=afters.get(name), archive_after=archived.get(name))
        for name, keep in chosen.items()
    )
    keeps = {category.name: chosen.get(category.name, category.default) for category in profile.categories}
    bought = extensions_inside_bounds(profile, last_good, keeps, afters)
    return last_good.model_copy(update={"retention": retention, "extended_storage": bought})


def effective_keep(keep: str | None, maximum: str | None, margin: timedelta = MARGIN_WITHOUT_COPIES) -> str | None:
    """The keep that is enforced: shortened where it leaves no room before max for a run and the copies (X1)."""
    if keep is None or maximum is None:
        return keep
    period, bound, days = Period.parse(keep), Period.parse(maximum), whole_days(margin)
    if period.longest_days() + days <= bound.shortest_days():
        return keep
    if period.months and bound.months and period.months < bound.months and days <= 28:
        return keep
    rest = bound.shortest_days() - days
    return f"P{rest}D" if rest <= 9999 else f"{maximum} less {days} days"


def _keep(category: Category, policy: TenantRetentionPolicySpec) -> str | None:
    keep = policy.keep(category.name)
    if keep is None:
        return category.default
    field = f"spec.retention[{category.name}].keep"
    period = Period.parse(keep, field=field)
    if has_no_age(category):
        raise Invalid(
            f"{field}: category {category.name}: keep {keep} is not allowed: it is kept until termination and has no age; "
            "remove the entry",
            reason="KeepOutOfBounds",
            field=field,
        )
    if category.min is not None and not Period.parse(category.min).never_longer_than(period):
        raise Invalid(
            f"{field}: category {category.name}: keep {keep} is shorter than min {category.min}; "
            f"write {category.min} or longer",
            reason="KeepOutOfBounds",
            field=field,
        )
    if category.max is not None and not period.never_longer_than(Period.parse(category.max)):
        raise Invalid(
            f"{field}: category {category.name}: keep {keep} is longer than max {category.max}; "
            f"write {category.max} or shorter",
            reason="KeepOutOfBounds",
            field=field,
        )
    return keep


def _refuse_unknown(profile: RetentionProfileSpec, policy: TenantRetentionPolicySpec) -> None:
    known = {category.name for category in profile.categories}
    for choice in policy.retention:
        if choice.category not in known:
            field = f"spec.retention[{choice.category}].category"
            raise Invalid(
                f"{field}: the profile {policy.profile_ref.name} has no category {choice.category}; "
                f"it has {', '.join(sorted(known))}",
                reason="CategoryUnknown",
                field=field,
            )
