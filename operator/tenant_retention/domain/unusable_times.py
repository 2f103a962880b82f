"""Rows whose time cannot be: what to do about them, and since when they have been too long there (X8); pure."""

from __future__ import annotations

from datetime import datetime

from tenant_retention.domain.definition import CategoryDefinition, ClockEvent, RetentionDefinition
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.ports.observation import CategoryObservation


def unusable_times(definition: RetentionDefinition, category: CategoryDefinition) -> str:
    """Which table and column hold times that cannot be, and the next step (X8). Clocks are written once, even a wrong one."""
    births = {table.name: table.born_at for table in definition.tables}
    closed = category.clock_column if category.clock_event is ClockEvent.CLOSED else None
    places = [f"{name}.{closed or births[name]}" for name in category.tables]
    clocks = ", ".join([*places, *([f"files below {category.files.prefix}"] if category.files else [])])
    young = (
        f"; until min {category.minimum} after such a time the database refuses to delete its row: correct what writes it"
        if category.minimum
        else ""
    )
    return (
        f"rows with a time over a day ahead in {clocks} are never deleted by age: correct them (insert them anew with the "
        f"right time), or delete them by hand as <database>_owner{young}"
    )


def too_old(found: CategoryObservation | None, category: CategoryDefinition, now: datetime) -> bool:
    """Whether some were first seen longer than max ago."""
    if found is None or found.anomalies_since is None or category.maximum is None:
        return False
    return end_of_period(found.anomalies_since, Period.parse(category.maximum)) <= now
