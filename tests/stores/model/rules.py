"""Which rules a tenant of the model may have, and the same as the operator writes them into a database."""

from __future__ import annotations

from datetime import timedelta

from tenant_retention.domain.definition import (
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    ObjectsDefinition,
    RetentionDefinition,
)
from tests.stores.model.reference import Rule
from tests.support.enforcement import column, table

MAXIMUM, MARGIN, GUARD = "P2M", timedelta(days=1), 40
PERIODS = ("P1D", "P3D", "P1W", "P14D", "P30D", "P1M", "P45D", "P2M")
"""Keeps from the shortest to the longest, so that of two the one further right is never the shorter one."""
MINIMA = (None, "P2D", "P20D")
TABLES = {"requests": "records", "recordings": "recordings", "chat_logs": "chat-logs", "cases": "cases"}


def rules_of(record: int, recording: int, chat: int, minimum: str | None, case: int) -> dict[str, Rule]:
    """Rules by the places of their keeps; content is never kept longer than its record (X1), nor shorter than its min."""
    wanted = min(recording, record)
    if minimum == "P20D":
        wanted = max(wanted, PERIODS.index("P30D"))
        record = max(record, wanted)
    elif minimum:
        wanted = max(wanted, 1)
        record = max(record, wanted)
    return {
        "records": Rule("records", PERIODS[record], MAXIMUM, MARGIN),
        "recordings": Rule("recordings", PERIODS[wanted], MAXIMUM, MARGIN, minimum, content_of="records"),
        "chat-logs": Rule("chat-logs", PERIODS[min(chat, record)], MAXIMUM, MARGIN, content_of="records"),
        "cases": Rule("cases", PERIODS[max(case, 3)], MAXIMUM, MARGIN, "P10D", from_end=True),
    }


def definition_of(rules: dict[str, Rule]) -> RetentionDefinition:
    """The same rules as the operator writes them into a database."""
    objects = ObjectsDefinition(
        bucket="Content", table="recordings", key_column="object_key", version_column="object_version"
    )
    categories = tuple(
        CategoryDefinition(
            name=rule.category,
            state=CategoryState.ENFORCED,
            content_of=rule.content_of,
            minimum=rule.minimum,
            keep=rule.keep,
            maximum=rule.maximum,
            clock_event=ClockEvent.CLOSED if rule.from_end else ClockEvent.CREATED,
            clock_column="closed_at" if rule.from_end else "started_at",
            tables=tuple(name for name, category in TABLES.items() if category == rule.category),
            objects=objects if rule.category == "recordings" else None,
        )
        for rule in sorted(rules.values(), key=lambda rule: rule.content_of is None)
    )
    tables = (
        table("requests", back="P2M"),
        table("recordings", column("object_key", role="ObjectKey"), column("object_version"), back="P2M"),
        table("chat_logs", back="P2M"),
        table("cases", column("closed_at", "Timestamp"), clocks=("closed_at",), back="P2M"),
    )
    return RetentionDefinition(
        installation="model",
        namespace="customer",
        policy="acme",
        policy_uid="1",
        policy_generation=1,
        profile_generation=1,
        margin_seconds=int(MARGIN.total_seconds()),
        guard_percent=GUARD,
        tables=tables,
        categories=categories,
    )


FIRST_RULES = rules_of(4, 2, 3, None, 4)
