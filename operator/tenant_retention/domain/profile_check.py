"""Whether a profile agrees with itself: min, default and max, room for runs and copies, links between categories (X1)."""

from __future__ import annotations

import re
from datetime import timedelta

from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.domain.copies import MARGIN_WITHOUT_COPIES
from tenant_retention.domain.definition import ClockEvent
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid

_MONTH_OF_A_TABLE = re.compile(r"(?P<table>.+)_p[0-9]{6}")
"""What the database calls the months of a table: its name, ``_p``, year and month."""


def check_profile(profile: RetentionProfileSpec, margin: timedelta = MARGIN_WITHOUT_COPIES) -> None:
    """Raises Invalid (reason ProfileInvalid) where the profile contradicts itself: min, default, max, room, links (X1).

    Also where a table has the name of another one's month: the month could not be made, and its rows find no room.
    """
    _check_table_names(profile)
    _check_masks(profile)
    _check_prefixes(profile)
    for category in profile.categories:
        path = f"spec.categories[{category.name}]"
        if has_no_age(category):
            continue
        if category.default is None or category.max is None:
            missing = "default" if category.default is None else "max"
            raise _profile_invalid(f"{path}.{missing}", f"category {category.name} needs {missing}")
        default, maximum = Period.parse(category.default, field="default"), Period.parse(category.max, field="max")
        if not default.never_longer_than(maximum):
            raise _profile_invalid(
                f"{path}.default",
                f"category {category.name}: default {category.default} is longer than max {category.max}",
            )
        if maximum.shortest_days() <= whole_days(margin):
            raise _profile_invalid(
                f"{path}.max",
                f"category {category.name}: max {category.max} leaves no room for any keep: runs and copies need "
                f"{whole_days(margin)} day(s) before it",
            )
        if category.min is not None:
            _check_minimum(path, category, category.min, default, maximum, margin)
        if category.content_of is not None:
            _check_content(profile, path, category)
        if category.consent is not None:
            _check_consent(profile, path, category, category.consent.table)
    _check_only_with(profile)


def _check_table_names(profile: RetentionProfileSpec) -> None:
    names = {table.name for table in profile.tables}
    for name in sorted(names):
        month = _MONTH_OF_A_TABLE.fullmatch(name)
        if month and month["table"] in names:
            raise _profile_invalid(
                f"spec.tables[{name}].name",
                f"{name} is what the database calls a month of table {month['table']}; give one of the two another name",
            )


def _check_masks(profile: RetentionProfileSpec) -> None:
    """Digits that got into a masked column are blanked: it must be able to hold nothing (P11)."""
    for table in profile.tables:
        for column in table.all_columns:
            if column.visible_digits is not None and not column.nullable and column.type not in ("Text", "Json"):
                raise _profile_invalid(
                    f"spec.tables[{table.name}].columns[{column.name}].nullable",
                    f"column {column.name} has role MaskedDigits and type {column.type}: it must be nullable to be blanked",
                )


def _check_only_with(profile: RetentionProfileSpec) -> None:
    """Rows are compared with their record by session, in one database (P5)."""
    databases = {name: profile.database_of(each) for each in profile.categories for name in each.tables}
    for table in profile.tables:
        if table.only_with is None:
            continue
        path, record = f"spec.tables[{table.name}].onlyWith", profile.table(table.only_with.table)
        named = {column.name: column for column in record.columns} if record else {}
        if record is None or table.only_with.column not in named or named[table.only_with.column].type != "Text":
            raise _profile_invalid(
                path, f"table {table.name}: {table.only_with.table} has no Text column {table.only_with.column}"
            )
        for each in (table, record):
            if not any(column.role == "SessionId" for column in each.columns):
                raise _profile_invalid(path, f"table {each.name} has no column with role SessionId to be looked up by")
        if len({databases[each.name] for each in (table, record) if each.name in databases}) > 1:
            raise _profile_invalid(path, f"tables {table.name} and {record.name} lie in two databases")


def _check_prefixes(profile: RetentionProfileSpec) -> None:
    """A file must have one rule, and nobody's but its own category's."""
    prefixes: dict[str, str] = {}
    for category in profile.categories:
        if category.objects is None or category.objects.prefix is None:
            continue
        path, prefix = f"spec.categories[{category.name}]", category.objects.prefix
        if ClockEvent(category.clock.event) is not ClockEvent.OBJECT_LAST_MODIFIED:
            raise _profile_invalid(
                f"{path}.clock.event",
                f"category {category.name}: files below objects.prefix go by their last modification; "
                "the event must be ObjectLastModified",
            )
        if category.content_of is not None:
            raise _profile_invalid(
                f"{path}.contentOf",
                f"category {category.name}: files below a prefix have no record that they could be content of",
            )
        for other, taken in prefixes.items():
            if prefix.startswith(taken) or taken.startswith(prefix):
                raise _profile_invalid(
                    f"{path}.objects.prefix",
                    f"category {category.name}: prefix {prefix} overlaps {taken} of category {other}",
                )
        prefixes[category.name] = prefix


def _check_minimum(
    path: str, category: Category, minimum: str, default: Period, maximum: Period, margin: timedelta
) -> None:
    period = Period.parse(minimum, field="min")
    if not period.never_longer_than(default):
        raise _profile_invalid(
            f"{path}.default", f"category {category.name}: default {category.default} is shorter than min {minimum}"
        )
    if not period.never_longer_than(maximum):
        raise _profile_invalid(
            f"{path}.min", f"category {category.name}: min {minimum} is longer than max {category.max}"
        )
    days = whole_days(margin)
    roomy = period.months and maximum.months and period.months < maximum.months and days <= 28
    if not roomy and period.longest_days() + days > maximum.shortest_days():
        raise _profile_invalid(
            f"{path}.min",
            f"category {category.name}: min {minimum} leaves no room before max {category.max}: "
            f"runs and copies need {days} day(s) in between",
        )


def _check_content(profile: RetentionProfileSpec, path: str, category: Category) -> None:
    record = profile.category(category.content_of or "")
    if record is None:
        raise _profile_invalid(
            f"{path}.contentOf",
            f"category {category.name}: contentOf names {category.content_of}, which does not exist",
        )
    if profile.database_of(category) != profile.database_of(record):
        # In two databases neither could wait for the other (P4).
        raise _profile_invalid(
            f"{path}.database",
            f"category {category.name}: content lies in the database of its record {record.name}, which is "
            f"{profile.database_of(record)}",
        )
    if category.min and record.max and not Period.parse(category.min).never_longer_than(Period.parse(record.max)):
        raise _profile_invalid(
            f"{path}.min",
            f"category {category.name}: min {category.min} is longer than max {record.max} of its record {record.name}",
        )


def _check_consent(profile: RetentionProfileSpec, path: str, category: Category, record: str) -> None:
    """Content is compared with its record by their session: without one nothing could ever be refused (P10)."""
    for name in (record, *category.tables):
        table = profile.table(name)
        if table is not None and not any(column.role == "SessionId" for column in table.columns):
            raise _profile_invalid(
                f"{path}.consent",
                f"category {category.name}: consent is looked up by session, and table {name} has no column with role SessionId",
            )


def _profile_invalid(field: str, text: str) -> Invalid:
    return Invalid(f"{field}: {text}; change the profile", reason="ProfileInvalid", field=field)


def has_no_age(category: Category) -> bool:
    """Whether a category is kept until termination: it has neither keep nor max."""
    return ClockEvent(category.clock.event) is ClockEvent.TERMINATED


def whole_days(margin: timedelta) -> int:
    """A margin as days, rounded up."""
    return -(-int(margin.total_seconds()) // 86400)
