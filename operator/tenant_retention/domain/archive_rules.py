"""At which age a tenant's rows move to its archive, the bounds of that choice, and whether there is an archive (D3, X1)."""

from __future__ import annotations

from collections.abc import Mapping

from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.anonymize_rules import not_below_min
from tenant_retention.domain.cache_rules import names_cache
from tenant_retention.domain.copies import margin
from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid

DATABASE = "PostgreSQL"
FILES = "S3"
"""Types of an archive: rows in a database, or Parquet files in a bucket."""


def archive_after(category: Category, policy: TenantRetentionPolicySpec, keep: str | None) -> str | None:
    """The tenant's choice, None where it made none.

    Raises Invalid (ArchiveOutOfBounds) naming field, value and bound: below min, not below keep, or a category that is not
    archived: content, objects, what does not count from its birth, and rows that keys of the policy's cache are about.
    """
    after = policy.archive_after(category.name)
    if after is None:
        return None
    field = f"spec.retention[{category.name}].archiveAfter"
    period = Period.parse(after, field=field)
    if not _is_archivable(category):
        text = "is not allowed: only records with tables and without objects, by clock Created, are archived; remove the line"
        raise _refused(field, category, f"{after} {text}")
    if _is_cached(category, policy):
        text = "is not allowed with the cache that spec.stores names: keys of archived rows would end; remove the line"
        raise _refused(field, category, f"{after} {text}")
    if category.min is not None and not Period.parse(category.min).never_longer_than(period):
        raise _refused(field, category, f"{after} is shorter than min {category.min}; write {category.min} or longer")
    if keep is not None and not _is_before(period, Period.parse(keep)):
        raise _refused(field, category, f"{after} is not shorter than keep {keep}; write less than {keep}")
    return after


def inside_bounds(
    profile: RetentionProfileSpec, last_good: TenantRetentionPolicySpec, keeps: Mapping[str, str]
) -> dict[str, str]:
    """The last good choices as today's profile allows them, by category; what has no room between min and keep is not
    archived any more, and what lies in the archive goes on expiring there (M8)."""
    chosen = {}
    for category in profile.categories:
        after, keep = last_good.archive_after(category.name), keeps.get(category.name)
        if after is None or keep is None or not _is_archivable(category) or _is_cached(category, last_good):
            continue
        after = not_below_min(category, after)
        if _is_before(Period.parse(after), Period.parse(keep)):
            chosen[category.name] = after
    return chosen


def has_archive(policy: TenantRetentionPolicySpec) -> bool:
    """Whether the policy asks for an archive."""
    return any(choice.archive_after is not None for choice in policy.retention)


def check_archive(policy: TenantRetentionPolicySpec, definition: RetentionDefinition, *, in_files: bool) -> None:
    """Raises Invalid (ClassInvalid) where an entry of ``spec.stores`` is an archive of a unit or of a region; Invalid
    (ArchiveOutOfBounds) as ``check_filing`` does, where the archive is a bucket."""
    for request in policy.stores:
        if request.purpose == ARCHIVE and (request.unit or request.region):
            field = f"spec.stores[{ARCHIVE}].{'unit' if request.unit else 'region'}"
            text = "a policy has one archive, of its home databases; remove the field"
            raise Invalid(f"{field}: {text}", reason="ClassInvalid", field=field)
    for category in definition.categories:
        if in_files and category.archive_after is not None:
            check_filing(definition, category.name)


def check_filing(definition: RetentionDefinition, name: str) -> None:
    """Raises Invalid (ArchiveOutOfBounds) for a category whose rows must not go into files: they could not lose the person
    there any more, or would outlive max, as the oldest row of a file waits for the newest (X1, M10)."""
    category = definition.category(name)
    after, before = category.archive_after, category.anonymize_after
    field = f"spec.retention[{name}].archiveAfter"
    if after is not None and before is not None and not Period.parse(before).never_longer_than(Period.parse(after)):
        raise Invalid(
            f"{field}: category {name}: archiveAfter {after} must not be shorter than anonymizeAfter {before} where the archive "
            f"is a bucket: nothing in a file can lose the person; write {before} or longer",
            reason="ArchiveOutOfBounds",
            field=field,
        )
    needed = margin(in_files=True)
    if definition.margin_seconds >= needed.total_seconds():
        return
    extended = category.extended
    for keep, maximum in (
        (category.keep, category.maximum),
        *([(extended.keep, extended.maximum)] if extended else []),
    ):
        if maximum is None or (keep is not None and _days_less(keep, maximum) >= needed.days):
            continue
        raise Invalid(
            f"{field}: category {name}: where the archive is a bucket marginSeconds must be {needed.total_seconds():.0f} at least, "
            f"or keep {needed.days} days shorter than max {maximum}",
            reason="ArchiveOutOfBounds",
            field=field,
        )


def _days_less(keep: str, maximum: str) -> int:
    return Period.parse(maximum).shortest_days() - Period.parse(keep).longest_days()


def _is_archivable(category: Category) -> bool:
    is_record = category.content_of is None and category.objects is None
    return is_record and bool(category.tables) and category.clock.event == "Created"


def _is_cached(category: Category, policy: TenantRetentionPolicySpec) -> bool:
    """Whether keys of the policy's cache are about its rows: they go with their row, which is looked for in live tables alone."""
    return category.cache is not None and category.cache.table is not None and names_cache(policy)


def _is_before(period: Period, keep: Period) -> bool:
    """Strictly: what leaves at its keep end has nothing to gain by a move."""
    return period.never_longer_than(keep) and not keep.never_longer_than(period)


def _refused(field: str, category: Category, text: str) -> Invalid:
    return Invalid(f"{field}: category {category.name}: archiveAfter {text}", reason="ArchiveOutOfBounds", field=field)
