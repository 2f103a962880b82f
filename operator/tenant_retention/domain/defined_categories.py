"""What the categories and tables of a profile become in the definition that a database holds (X1)."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.profile_tables import Table
from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.domain import anonymize_rules
from tenant_retention.domain.cache_rules import cache_of
from tenant_retention.domain.column_persons import persons_of
from tenant_retention.domain.definition import (
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    ColumnDefinition,
    ConsentDefinition,
    ExtendedDefinition,
    FilesDefinition,
    ObjectsDefinition,
    OnlyWithDefinition,
    QuarantineDefinition,
    RangeDefinition,
    TableDefinition,
)

ENFORCED_EVENTS = frozenset({ClockEvent.CREATED, ClockEvent.CLOSED, ClockEvent.OBJECT_LAST_MODIFIED})
"""Clock events that this version acts on; categories with another one are shown as NotEnforced."""


def category_definition(
    profile: RetentionProfileSpec,
    category: Category,
    keep: str | None,
    extended: ExtendedDefinition | None,
    after: str | None,
    archived: str | None,
    *,
    cached: bool,
) -> CategoryDefinition:
    """One category with the tenant's choices (X1): its ``keep``, the time bought beyond it (T5), ``after`` what age its rows
    lose the person, and at which they are ``archived``. ``cached``: the policy names a cache."""
    event = ClockEvent(category.clock.event)
    files = _files(category)
    enforced = event in ENFORCED_EVENTS and (bool(category.tables) or files is not None)
    tables = _children_first(profile, category)
    return CategoryDefinition(
        name=category.name,
        state=CategoryState.ENFORCED if enforced else CategoryState.NOT_ENFORCED,
        database=profile.database_of(category),
        content_of=category.content_of,
        minimum=category.min,
        keep=keep,
        maximum=category.max,
        early_deletion=category.early_deletion == "Allowed",
        clock_event=event,
        clock_column=_clock_column(profile, category, tables) if enforced else None,
        tables=tables,
        objects=_objects(category),
        cache=cache_of(category) if cached else None,
        consent=ConsentDefinition(**category.consent.model_dump()) if category.consent else None,
        quarantine=QuarantineDefinition(**category.quarantine.model_dump()) if category.quarantine else None,
        extended=extended,
        anonymize_after=after if enforced else None,
        archive_after=archived,
        files=files,
    )


def _clock_column(profile: RetentionProfileSpec, category: Category, tables: tuple[str, ...]) -> str | None:
    if category.clock.event == "Closed":
        return category.clock.column
    root = profile.table(tables[-1]) if tables else None
    return root.born_at if root else None


def _objects(category: Category) -> ObjectsDefinition | None:
    link = category.objects
    if link is None or link.table is None or link.key_column is None or link.version_column is None:
        return None
    return ObjectsDefinition(
        bucket=link.bucket, table=link.table, key_column=link.key_column, version_column=link.version_column
    )


def _files(category: Category) -> FilesDefinition | None:
    link = category.objects
    return FilesDefinition(bucket=link.bucket, prefix=link.prefix) if link is not None and link.prefix else None


def _children_first(profile: RetentionProfileSpec, category: Category) -> tuple[str, ...]:
    """The category's tables in deletion order: those that only point to a session before those that are the session."""

    def is_root(name: str) -> bool:
        table = profile.table(name)
        return table is not None and _column_with_role(table, "SessionId") in (None, *table.primary_key)

    return tuple(sorted(category.tables, key=is_root))


def _column_with_role(table: Table, role: str) -> str | None:
    return next((column.name for column in table.columns if column.role == role), None)


def table_definition(profile: RetentionProfileSpec, table: Table) -> TableDefinition:
    """One table (X1); its clock columns are those that are written once, when a row is closed or approved."""
    clocks = {
        category.clock.column
        for category in profile.categories
        if table.name in category.tables and category.clock.event == "Closed" and category.clock.column
    }
    # An approval is given once, as a case is closed once.
    clocks |= {
        category.quarantine.approved_column
        for category in profile.categories
        if category.quarantine is not None and table.name in category.tables
    }
    persons = persons_of(table)
    return TableDefinition(
        name=table.name,
        primary_key=tuple(name for name in table.primary_key if name != table.born_at),
        born_at=table.born_at,
        back=table.partitions.back,
        ahead=table.partitions.ahead,
        columns=tuple(
            ColumnDefinition(
                name=column.name,
                type=column.type,
                nullable=column.nullable,
                role=column.role,
                anonymize=anonymize_rules.method_of(table, column.name),
                visible_digits=column.visible_digits,
                range=RangeDefinition(minimum=column.range.min, maximum=column.range.max) if column.range else None,
                person=persons[column.name],
            )
            for column in table.all_columns
            if column.name != table.born_at
        ),
        clock_columns=tuple(sorted(clocks)),
        session_column=_column_with_role(table, "SessionId"),
        unit_column=_column_with_role(table, "Unit"),
        only_with=OnlyWithDefinition(**table.only_with.model_dump()) if table.only_with else None,
    )
