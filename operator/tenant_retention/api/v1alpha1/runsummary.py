"""What one run did, as the status of a policy and of a RetentionRun say it (X6)."""

from typing import Literal

from pydantic import Field

from tenant_retention.api.v1alpha1.common import DnsLabel, Instant, StatusModel

Task = Literal["expire"]
Outcome = Literal["Running", "Succeeded", "Failed", "Stopped"]


class CategoryCounts(StatusModel):
    """What one run did to one category."""

    name: DnsLabel = Field(description="Name of the category.", examples=["recordings"])
    candidates: int = Field(default=0, ge=0, description="Items that were due.", examples=[120])
    acted: int = Field(default=0, ge=0, description="Items deleted; in a dry run: that would be.", examples=[120])
    held: int = Field(default=0, ge=0, description="Items that a hold kept.", examples=[0])
    skipped: int = Field(default=0, ge=0, description="Items left by the guard or by order.", examples=[0])
    failed: int = Field(default=0, ge=0, description="Items that could not be deleted, or not be locked.", examples=[0])
    locked: int = Field(default=0, ge=0, description="Objects locked until their min is reached.", examples=[0])
    residue: int | None = Field(
        default=None, ge=0, description="Items still due after the run; absent: could not be counted.", examples=[0]
    )
    anonymized: int | None = Field(
        default=None,
        ge=0,
        description="Rows that lost the person; in a dry run: that would. Absent: no such rule.",
        examples=[120],
    )
    anonymize_residue: int | None = Field(
        default=None,
        ge=0,
        description="Rows still due to be anonymized after the run; absent: no such rule, or not counted.",
        examples=[0],
    )
    archived: int | None = Field(
        default=None,
        ge=0,
        description="Rows that moved to the archive; in a dry run: that would. Absent: no such rule.",
        examples=[120],
    )
    oldest_left: Instant | None = Field(
        default=None, description="Clock of the oldest item left.", examples=["2026-11-08T01:37:12Z"]
    )


class RunSummary(StatusModel):
    """One run, in short; the truth is the evidence in the stores."""

    task: Task = Field(default="expire", description="What ran.", examples=["expire"])
    outcome: Outcome = Field(
        description="Running, Succeeded, Failed, or Stopped (by the guard).", examples=["Succeeded"]
    )
    run_id: str | None = Field(
        default=None,
        max_length=64,
        description="Identity of the run in the evidence.",
        examples=["1f6d2a5e-2f0f-4c0e-9c5a-6a3c5e0c1b11"],
    )
    mode: Literal["Enforce", "DryRun"] | None = Field(
        default=None, description="Whether it deleted or only counted.", examples=["Enforce"]
    )
    started: Instant | None = Field(default=None, description="When it began.", examples=["2026-11-22T01:37:00Z"])
    finished: Instant | None = Field(default=None, description="When it ended.", examples=["2026-11-22T01:37:12Z"])
    duration_seconds: float | None = Field(
        default=None, ge=0, description="How long it took, in seconds.", examples=[12.4]
    )
    deleted_rows: int = Field(
        default=0, ge=0, description="Rows deleted, those of deleted objects apart.", examples=[120]
    )
    deleted_objects: int = Field(default=0, ge=0, description="Objects deleted.", examples=[100])
    message: str | None = Field(
        default=None,
        max_length=1024,
        description="What went wrong, and the next step.",
        examples=["database unreachable"],
    )
    categories: tuple[CategoryCounts, ...] = Field(
        default=(),
        max_length=32,
        description="Counts by category.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
