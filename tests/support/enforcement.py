"""An archive to run the engine on, and the world around a run with clocks and pauses that the test moves itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tenant_retention.domain.definition import (
    AnonymizeDefinition,
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    ColumnDefinition,
    ObjectsDefinition,
    RetentionDefinition,
    TableDefinition,
)
from tenant_retention.domain.plan_document import Mode, PlanDocument, StoreBinding
from tenant_retention.enforcement.world import World

NOW = datetime(2026, 11, 22, 1, 37, tzinfo=UTC)


def column(
    name: str, kind: str = "Text", *, role: str | None = None, nullable: bool = True, method: str | None = None
) -> ColumnDefinition:
    """One column of a table; ``method``: how it loses the person."""
    anonymize = AnonymizeDefinition(method=method) if method else None
    return ColumnDefinition(name=name, type=kind, role=role, nullable=nullable, anonymize=anonymize)


def table(name: str, *columns: ColumnDefinition, clocks: tuple[str, ...] = (), back: str = "P3Y") -> TableDefinition:
    """A table partitioned by ``started_at``, with an id and the session of its call."""
    return TableDefinition(
        name=name,
        primary_key=("id",),
        born_at="started_at",
        back=back,
        ahead="P1M",
        columns=(
            column("id", "Text", nullable=False),
            column("session_id", role="SessionId"),
            *columns,
        ),
        clock_columns=clocks,
        session_column="session_id",
    )


def archive(
    *,
    records: str = "P180D",
    recordings: str = "P14D",
    recordings_min: str | None = None,
    chat_logs: str = "P30D",
    guard_percent: int = 100,
    generation: int = 1,
    back: str = "P3Y",
    anonymize_after: str | None = None,
) -> RetentionDefinition:
    """A contact-centre archive (P1): records with surveys, recordings with objects, chat logs, and cases closed by hand."""
    return RetentionDefinition(
        installation="test",
        namespace="customer-acme",
        policy="acme",
        policy_uid="00000000-0000-0000-0000-000000000001",
        policy_generation=generation,
        profile_generation=1,
        margin_seconds=86_400,
        guard_percent=guard_percent,
        tables=(
            table("requests", column("caller", role="PhoneNumber", method="SetNull"), back=back),
            table("surveys", column("score", "Integer"), back=back),
            table("recordings", column("object_key", role="ObjectKey"), column("object_version"), back=back),
            table("chat_logs", column("text", role="FreeText"), back=back),
            table("cases", column("closed_at", "Timestamp"), clocks=("closed_at",), back=back),
        ),
        categories=(
            CategoryDefinition(
                name="general-information",
                state=CategoryState.ENFORCED,
                keep=records,
                anonymize_after=anonymize_after,
                maximum="P5Y",
                clock_column="started_at",
                tables=("surveys", "requests"),
            ),
            CategoryDefinition(
                name="recordings",
                state=CategoryState.ENFORCED,
                content_of="general-information",
                minimum=recordings_min,
                keep=recordings,
                maximum="P5Y",
                clock_column="started_at",
                tables=("recordings",),
                objects=ObjectsDefinition(
                    bucket="Content", table="recordings", key_column="object_key", version_column="object_version"
                ),
            ),
            CategoryDefinition(
                name="chat-logs",
                state=CategoryState.ENFORCED,
                content_of="general-information",
                keep=chat_logs,
                maximum="P5Y",
                clock_column="started_at",
                tables=("chat_logs",),
            ),
            CategoryDefinition(
                name="cases",
                state=CategoryState.ENFORCED,
                minimum="P6M",
                keep="P1Y",
                maximum="P2Y",
                early_deletion=False,
                clock_event=ClockEvent.CLOSED,
                clock_column="closed_at",
                tables=("cases",),
            ),
        ),
    )


def plan_of(
    definition: RetentionDefinition, *, mode: Mode = Mode.ENFORCE, categories: tuple[str, ...] = ()
) -> PlanDocument:
    """The plan that the operator would write for this definition."""
    return PlanDocument(
        mode=mode,
        definition=definition,
        rules_digest=definition.rules_digest(),
        databases=(StoreBinding(purpose="Analytical", binding="/bindings/acme-analytical-enforcer"),),
        buckets=(StoreBinding(purpose="Content", binding="/bindings/acme-content-enforcer"),),
        categories=categories,
    )


@dataclass
class RecordedWorld:
    """A world whose clocks move only by pausing; ``told`` collects what the run tells."""

    at: datetime = NOW
    seconds: float = 0.0
    stop: bool = False
    pauses: list[float] = field(default_factory=list)
    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def world(self) -> World:
        """The values that a run is given."""
        return World(lambda: self.at, lambda: self.seconds, self.pause, lambda: self.stop, self)

    def pause(self, seconds: float) -> None:
        """Lets that time pass."""
        self.pauses.append(seconds)
        self.seconds += seconds
        self.at += timedelta(seconds=seconds)

    def tell(self, event: str, **facts: str | int | float | None) -> None:
        """Remembers what was told."""
        self.told.append((event, dict(facts)))

    def events(self) -> list[str]:
        """The names of what was told, in order."""
        return [event for event, _ in self.told]
