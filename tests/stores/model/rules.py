"""Which rules a tenant of the model may have, and the same as the operator writes them into a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tenant_retention.domain.definition import (
    ARCHIVE,
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    ConsentDefinition,
    ExtendedDefinition,
    FilesDefinition,
    ObjectsDefinition,
    QuarantineDefinition,
    RetentionDefinition,
)
from tests.stores.model.reference import Bought, Rule
from tests.support.enforcement import column, table

MAXIMUM, MARGIN, GUARD = "P2M", timedelta(days=1), 40
BACKUPS_KEEP, LIFE_OF_BACKUPS = "P3D", timedelta(days=5)
"""How long each is kept, and how long a row that has just left may still be in one: the run that removes it comes on top."""
MARGIN_OF_BACKUPS = timedelta(days=2) + LIFE_OF_BACKUPS
PERIODS = ("P1D", "P3D", "P1W", "P14D", "P30D", "P1M", "P45D", "P2M")
"""Keeps from the shortest to the longest, so that of two the one further right is never the shorter one."""
MINIMA = (None, "P2D", "P20D")
LONGER, EXTENDED_MAXIMUM = "P80D", "P4M"
LIVE = "Analytical"
TABLES = {
    "requests": "records",
    "recordings": "recordings",
    "chat_logs": "chat-logs",
    "cases": "cases",
    "media": "media",
}
CONTENT = ("recordings", "chat_logs")
LOGS = "system-logs"
"""The category of files that no row names."""
LOGS_PREFIX = "logs/"
WITH_PERSON = ("requests", "cases")


@dataclass(frozen=True)
class Choice:
    """What a tenant chose, as places in ``PERIODS``. ``record_forgets`` and ``case_forgets``: when the person goes.
    ``archived``: when records move to the archive, where there is one.

    ``bought_until``: longer storage of records, and of recordings too if ``with_recordings``; ``bought``: whether there is any.
    """

    record: int = 4
    recording: int = 2
    chat: int = 3
    case: int = 4
    logs: int = 4
    minimum: str | None = None
    record_forgets: int | None = None
    case_forgets: int | None = None
    archived: int | None = None
    bought: bool = False
    bought_until: datetime | None = None
    with_recordings: bool = False


def rules_of(choice: Choice, margin: timedelta = MARGIN) -> dict[str, Rule]:
    """Its rules; content is never kept longer than its record (X1), nor than its record tells of the person, nor shorter than
    its min. ``margin``: how long before its max a row leaves, for the run and for every copy."""
    least = {None: 0, "P2D": 1, "P20D": PERIODS.index("P30D")}[choice.minimum]
    record = max(choice.record, least)
    forgets = None if choice.record_forgets is None else min(max(choice.record_forgets, least), record)
    longest = record if forgets is None else forgets
    wanted = max(min(choice.recording, longest), least)
    case = max(choice.case, 3)
    case_forgets = None if choice.case_forgets is None else min(max(choice.case_forgets, 3), case)
    bought = Bought(LONGER, EXTENDED_MAXIMUM, choice.bought_until) if choice.bought else None
    archived = None if choice.archived is None or choice.archived >= record else choice.archived
    return {
        "records": Rule(
            "records",
            PERIODS[record],
            MAXIMUM,
            margin,
            anonymize_after=_period(forgets),
            bought=bought,
            archive_after=_period(archived),
        ),
        "recordings": Rule(
            "recordings",
            PERIODS[wanted],
            MAXIMUM,
            margin,
            choice.minimum,
            content_of="records",
            bought=bought if choice.with_recordings else None,
            consent=True,
        ),
        "chat-logs": Rule(
            "chat-logs", PERIODS[min(choice.chat, longest)], MAXIMUM, margin, content_of="records", consent=True
        ),
        "media": Rule("media", PERIODS[case], MAXIMUM, margin, "P10D", from_end=True, approve_within="P1W"),
        "cases": Rule(
            "cases", PERIODS[case], MAXIMUM, margin, "P10D", from_end=True, anonymize_after=_period(case_forgets)
        ),
        LOGS: Rule(LOGS, PERIODS[max(choice.logs, 3)], MAXIMUM, margin, "P10D"),
    }


def _period(place: int | None) -> str | None:
    return None if place is None else PERIODS[place]


def definition_of(rules: dict[str, Rule], *, archive: bool = False) -> RetentionDefinition:
    """The same rules as the operator writes them into a database. ``archive``: whether there is one; it stays when nothing is
    archived any more."""
    categories = tuple(
        CategoryDefinition(
            name=rule.category,
            state=CategoryState.ENFORCED,
            content_of=rule.content_of,
            minimum=rule.minimum,
            keep=rule.keep,
            maximum=rule.maximum,
            anonymize_after=rule.anonymize_after,
            archive_after=rule.archive_after,
            extended=None
            if rule.bought is None
            else ExtendedDefinition(keep=rule.bought.keep, maximum=rule.bought.maximum, until=rule.bought.until),
            clock_event=_event(rule),
            clock_column=None if rule.category == LOGS else "closed_at" if rule.from_end else "started_at",
            tables=tuple(name for name, category in TABLES.items() if category == rule.category),
            objects=_objects(rule.category) if rule.category in ("recordings", "media") else None,
            files=FilesDefinition(bucket="Content", prefix=LOGS_PREFIX) if rule.category == LOGS else None,
            consent=ConsentDefinition(table="requests", refused_column="denies") if rule.consent else None,
            quarantine=None
            if rule.approve_within is None
            else QuarantineDefinition(approved_column="approved_at", keep=rule.approve_within),
        )
        for rule in sorted(rules.values(), key=lambda rule: rule.content_of is None)
    )
    caller = column("caller", role="PhoneNumber", method="SetNull")
    named = column("object_key", role="ObjectKey"), column("object_version")
    tables = (
        table("requests", caller, column("denies", "Boolean"), back="P2M"),
        table("recordings", *named, back="P2M"),
        table("chat_logs", back="P2M"),
        table("cases", caller, column("closed_at", "Timestamp"), clocks=("closed_at",), back="P2M"),
        table(
            "media",
            *named,
            column("closed_at", "Timestamp"),
            column("approved_at", "Timestamp"),
            clocks=("closed_at", "approved_at"),
            back="P2M",
        ),
    )
    definition = RetentionDefinition(
        installation="model",
        namespace="customer",
        policy="acme",
        policy_uid="1",
        policy_generation=1,
        profile_generation=1,
        margin_seconds=int(rules[LOGS].margin.total_seconds()),
        guard_percent=GUARD,
        tables=tables,
        categories=categories,
    )
    return definition.placed_in((LIVE, ARCHIVE) if archive else (LIVE,))


def _event(rule: Rule) -> ClockEvent:
    if rule.category == LOGS:
        return ClockEvent.OBJECT_LAST_MODIFIED
    return ClockEvent.CLOSED if rule.from_end else ClockEvent.CREATED


def _objects(table: str) -> ObjectsDefinition:
    return ObjectsDefinition(bucket="Content", table=table, key_column="object_key", version_column="object_version")
